"""The floors of the house: who may import whom, and where each guest library lives."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lambdazoom"

FLOORS = {"model": 0, "imaging": 1, "metadata": 1, "storage": 1, "publishing": 2, "web": 3, "operations": 3, "doors": 3}

HOMES = {
    "PIL": {"imaging"},
    "pillow_heif": {"imaging"},
    "isal": {"imaging"},
    "exiftool": {"metadata"},
    "boto3": {"storage", "operations"},
    "botocore": {"storage", "operations"},
    "mypy_boto3_s3": {"storage"},
    "certifi": {"storage"},
    "obstore": {"storage"},
    "watchdog": {"storage"},
    "flask": {"web"},
    "jinja2": {"web"},
    "werkzeug": {"web"},
    "markupsafe": {"web"},
    "click": {"doors", "operations"},
    "tqdm": {"doors"},
    "waitress": {"doors"},
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    inside = path.relative_to(PACKAGE).parts
    return inside[0] if len(inside) > 1 else "doors"


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module or ""


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_floors_below_and_its_own_room(path: Path) -> None:
    room = room_of(path)
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] != "lambdazoom" or len(parts) == 1:
            continue
        other = parts[1] if parts[1] in FLOORS else "doors"
        allowed = other == room or FLOORS[other] < FLOORS[room] or room == "doors"
        assert allowed, f"{room} may not import {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_guest_library_is_imported_at_home_only(path: Path) -> None:
    for name in imports_of(path):
        guest = name.split(".")[0]
        if guest == "lambdazoom":
            continue
        if guest in sys.stdlib_module_names:
            continue
        assert room_of(path) in HOMES.get(guest, set()), f"{name} does not live here"


def test_every_room_is_on_a_floor() -> None:
    assert {room_of(path) for path in modules()} <= set(FLOORS)


@pytest.mark.parametrize(
    ("module", "strangers"),
    [
        ("lambdazoom.imaging.tiler", ("boto3", "obstore", "flask", "exiftool")),
        ("lambdazoom.publishing.export", ("boto3", "obstore", "flask", "exiftool")),
        ("lambdazoom.cli", ("boto3", "obstore", "flask", "exiftool", "PIL", "watchdog")),
        ("lambdazoom.publishing.pipeline", ("flask", "watchdog")),
    ],
)
def test_a_part_serves_as_a_library_of_its_own(module: str, strangers: tuple[str, ...]) -> None:
    program = f"import sys, {module}; print(*[name for name in {strangers!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert done.stdout.split() == []


def test_nothing_but_the_boundaries_catches_everything() -> None:
    catching = {str(path.relative_to(PACKAGE)) for path in modules() if "except Exception" in path.read_text("utf-8")}
    assert catching <= {"publishing/making.py", "publishing/workers.py", "confined.py", "publishing/attempts.py"}
