"""THIRD_PARTY.md names everything that the zip redistributes."""

import json
import re
from importlib.metadata import files as files_of
from pathlib import Path

from lambdazoom.operations.deployment import PROVIDED, UNUSED

ROOT = Path(__file__).parents[1]
ONLY_ELSEWHERE = {"colorama", "typing-extensions"}  # on Windows, and on a Python older than the deployed one


def test_every_package_of_the_zip_is_named() -> None:
    named = (ROOT / "THIRD_PARTY.md").read_text("utf-8").lower()
    pinned = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.txt").read_text("utf-8"), re.MULTILINE))
    packages = pinned - {*PROVIDED, *UNUSED} - ONLY_ELSEWHERE
    assert {name for name in packages if name not in named} == set()


def test_what_comes_from_npm_is_named() -> None:
    named = (ROOT / "THIRD_PARTY.md").read_text("utf-8").lower()
    packages = json.loads((ROOT / "package.json").read_text("utf-8"))["dependencies"]
    assert {name for name in packages if name.split("-")[0].split(".")[0] not in named} == set()


def test_every_library_in_the_wheels_of_further_formats_is_named() -> None:
    named = (ROOT / "THIRD_PARTY.md").read_text("utf-8").lower()
    for package in re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements-formats.txt").read_text("utf-8"), re.MULTILINE):
        files = [file.name for file in files_of(package) or () if ".so" in file.name or ".dylib" in file.name]
        libraries = {re.split(r"[-.]", name)[0].removeprefix("lib") for name in files if name.startswith("lib")}
        assert libraries, "the wheel brings libraries of its own"
        assert {name for name in (package, *libraries) if name not in named} == set()
