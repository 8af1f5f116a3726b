"""Bytecode in the package: read instead of its source, whatever dates the files get, and made for this Python alone."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from lambdazoom.operations.bytecode import add_bytecode, is_of


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of two modules, one of which no Python 3 can compile."""
    with ZipFile(tmp_path / "package.zip", "w") as archive:
        archive.writestr("trip/__init__.py", "")
        archive.writestr("trip/cat.py", "def name():\n    raise ValueError('Tom')\n")
        archive.writestr("trip/old.py", "print 'of Python 2'\n")
        archive.writestr("trip/cat.json", "{}")
    return tmp_path / "package.zip"


def run(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    """What a program prints in a process that keeps no bytecode, as on a disk that can't be written."""
    command = [sys.executable, "-B", "-c", program]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_modules_come_from_bytecode_and_sources_are_not_asked(package: Path, tmp_path: Path) -> None:
    assert add_bytecode(package) == 2
    with ZipFile(package) as archive:
        archive.extractall(tmp_path / "task")  # every file gets the date of this moment
        assert {entry.external_attr >> 16 & 0o777 for entry in archive.infolist() if entry.filename.endswith(".pyc")} == {0o644}
    (tmp_path / "task" / "trip" / "cat.py").write_text("def name():\n    raise ValueError('Felix')\n")
    assert "ValueError: Tom" in run(tmp_path / "task", "from trip.cat import name; name()").stderr


def test_a_traceback_names_the_file_where_it_lies(package: Path, tmp_path: Path) -> None:
    add_bytecode(package)
    with ZipFile(package) as archive:
        archive.extractall(tmp_path / "task")
    said = run(tmp_path / "task", "from trip.cat import name; name()").stderr
    assert f'{Path("trip", "cat.py")}", line 2, in name' in said
    assert "module.py" not in said


def test_what_cannot_be_compiled_is_left_to_the_one_who_imports_it(package: Path, tmp_path: Path) -> None:
    add_bytecode(package)
    with ZipFile(package) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "task")
    assert len(names) == len(set(names)) == 6
    assert not [name for name in names if "old" in name and name.endswith(".pyc")]
    assert "SyntaxError" in run(tmp_path / "task", "import trip.old").stderr


def test_bytecode_is_for_one_python_alone() -> None:
    assert is_of(f"cpython-{sys.version_info.major}{sys.version_info.minor}")
    assert not is_of("cpython-27")
