"""Documents stay true: every setting, command, path and link that they name exists."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from lambdazoom.cli import COMMANDS, commands
from lambdazoom.model.errors import Interrupted, LambdaZoomError, SettingsError, StorageError
from lambdazoom.model.settings import PREFIX, SETTINGS, SUCCESSORS
from lambdazoom.web.failures import WORDS, status_of

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
ROOMS = [path for path in (ROOT / "lambdazoom").iterdir() if path.is_dir()]

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def test_the_settings_page_is_made_from_the_declared_list() -> None:
    printed = CliRunner().invoke(commands, ["settings", "--markdown"]).output
    assert (ROOT / "docs" / "settings.md").read_text("utf-8") == printed


@each_document
def test_every_setting_that_is_named_exists(document: Path) -> None:
    known = {setting.name for setting in SETTINGS} | set(SUCCESSORS.values()) | {PREFIX}
    assert set(re.findall(rf"{PREFIX}[A-Z_]*", document.read_text("utf-8"))) <= known


@each_document
def test_every_command_that_is_named_exists(document: Path) -> None:
    text = document.read_text("utf-8")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"`make ([a-z-]+)|^    make ([a-z-]+)", text, re.MULTILINE):
        assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE), target
    for command in re.findall(r"-m lambdazoom ([a-z]+)", text):
        assert command in COMMANDS


@each_document
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", document.read_text("utf-8")):
        assert target.startswith("https://") or (document.parent / target).exists(), target


@each_document
def test_every_module_that_is_named_exists(document: Path) -> None:
    text = document.read_text("utf-8")
    for name in re.findall(r"`(?:lambdazoom/)?((?:[a-z_]+/)?[a-z_]+\.py)`", text):
        assert (ROOT / name).exists() or (ROOT / "lambdazoom" / name).exists(), name


def test_the_house_as_it_is_drawn_is_the_house_as_it_stands() -> None:
    drawn = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    for room in ROOMS:
        if room.name == "__pycache__":
            continue
        assert f"{room.name}/" in drawn
    for path in (ROOT / "lambdazoom" / "publishing").glob("[a-z]*.py"):
        assert path.stem in drawn, path


def test_the_readmes_first_screen_is_short_and_holds_the_two_commands() -> None:
    first_screen = (ROOT / "README.md").read_text("utf-8").splitlines()[:25]
    assert any("make demo" in line for line in first_screen)
    assert any("make test" in line for line in first_screen)


@pytest.mark.parametrize("name", ["README.md", "docs/deploy.md"])
def test_after_deploying_comes_the_doctor(name: str) -> None:
    """Zappa reports success even when the notification could not be set."""
    assert re.search(r"^    zappa deploy live.*\n    python -m lambdazoom doctor", (ROOT / name).read_text("utf-8"), re.MULTILINE)


def test_no_file_names_a_package_registry_or_this_workplace() -> None:
    hosts = ("pypi" + ".org", "registry" + ".npmjs", "deb" + "ian.org/debian", "/work" + "/")
    for path in (ROOT / "package-lock.json", ROOT / "Makefile", *DOCUMENTS, *ROOT.glob("*requirements*")):
        text = path.read_text("utf-8")
        assert not [host for host in hosts if host in text], path


def test_every_code_of_an_error_stands_in_the_documented_table() -> None:
    rows = re.findall(r"^\| (\d{3}) \| (.*) \|$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    documented = {(int(status), code) for status, codes in rows for code in re.findall(r"`([a-z]+(?:-[a-z]+)*)`", codes)}
    raised: list[type[LambdaZoomError]] = [StorageError, *StorageError.__subclasses__(), Interrupted, SettingsError]
    of_stores = {(status_of(each("")), each.code) for each in raised}
    of_pages = {
        (int(status), word)
        for path in (ROOT / "lambdazoom" / "web").glob("*.py")
        for status, word in re.findall(r"Refused\([^\n]*, (\d{3}), \"([a-z-]+)\"\)", path.read_text())
    }
    assert len(of_pages) > 4
    assert (of_stores | of_pages | set(WORDS.items())) - documented == set()
