"""The portable exiftool: built once, complete or not at all, and movable."""

import os
import platform
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from lambdazoom.model.errors import ExifToolMissing
from lambdazoom.operations import bundle

HAS_WHEEL = platform.system() == "Linux" and platform.machine() in {"x86_64", "aarch64"} and platform.libc_ver()[0] == "glibc"


@pytest.fixture(scope="session")
def built() -> bundle.Bundle:
    return bundle.build()


def run(*command: str | Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def test_a_second_build_does_nothing_and_says_so_at_once(built: bundle.Bundle) -> None:
    before = built.executable.stat()
    started = time.monotonic()
    again = bundle.build()
    assert time.monotonic() - started < 0.5
    assert not again.built
    assert again.executable == built.executable
    assert (built.executable.stat().st_ino, built.executable.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_it_runs_without_any_environment(built: bundle.Bundle) -> None:
    assert run(built.executable, "-config", "", "-ver", environment={}) == "13.59"


def test_it_works_after_a_move_to_a_folder_with_a_space_in_its_name(built: bundle.Bundle, tmp_path: Path) -> None:
    moved = tmp_path / "some where" / "else $HOME"
    shutil.copytree(built.executable.parent, moved)
    report = run(moved / "exiftool", "-config", "", "-ver", "-v", environment={})
    assert report.startswith("ExifTool version 13.59")
    assert run("exiftool", "-config", "", "-ver", environment={"PATH": f"{moved}:/usr/bin:/bin"}) == "13.59"


@pytest.mark.skipif(not HAS_WHEEL, reason="perl5 has no wheel for this system")
def test_its_perl_is_its_own_and_has_what_exiftool_reads_compressed_data_with(built: bundle.Bundle) -> None:
    assert built.perl == "a perl of its own"
    report = run(built.executable, "-config", "", "-ver", "-v", environment={})
    assert "Perl version 5.041013" in report
    missing = {line.split()[0] for line in report.splitlines() if line.endswith("(not installed)")}
    assert not missing & {"Compress::Zlib", "Digest::MD5", "Digest::SHA", "Time::Local", "IO::Uncompress::RawInflate"}


def test_perl_loads_no_module_from_outside_it(built: bundle.Bundle, tmp_path: Path) -> None:
    tree = built.executable.parent
    if not (tree / "perl").exists():
        pytest.skip("it runs on the system's perl")
    Image.new("RGB", (8, 8)).save(tmp_path / "picture.tif", compression="tiff_adobe_deflate")
    (tmp_path / "Loaded.pm").write_text("package Loaded; END { print STDERR map { qq{$_\\n} } values %INC } 1;\n")
    folders = [f"-I{tree}/perl/arch", f"-I{tree}/perl/lib", f"-I{tmp_path}"]
    command: list[str | Path] = [
        tree / "perl" / "bin" / "perl",
        *folders,
        "-MLoaded",
        tree / "image-exiftool" / "exiftool",
        tmp_path / "picture.tif",
    ]
    done = subprocess.run(command, env={}, capture_output=True, text=True, check=True, timeout=60)
    modules = set(done.stderr.splitlines()) - {str(tmp_path / "Loaded.pm")}
    assert len(modules) > 10
    assert [module for module in modules if not Path(module).is_relative_to(tree)] == []


def test_what_exiftool_never_reads_is_left_out(built: bundle.Bundle) -> None:
    files = [path for path in built.executable.parent.rglob("*") if path.is_file()]
    assert [path.name for path in files if path.suffix in {".pod", ".h", ".a", ".t"}] == []
    assert sum(path.stat().st_size for path in files) < 60_000_000


def test_no_link_leads_out_of_it(built: bundle.Bundle) -> None:
    assert [path for path in built.executable.parent.rglob("*") if path.is_symlink()] == []


@pytest.mark.skipif(shutil.which("perl") is None, reason="this system has no perl")
def test_a_bundle_on_the_systems_perl_is_built_and_rebuilt_in_one_step(tmp_path: Path) -> None:
    target = tmp_path / "build" / "exiftool"
    first = bundle.build(target, system_perl=True)
    assert first.built
    assert first.perl == shutil.which("perl")
    (target / "stamp.json").write_text("of another version")
    (tmp_path / "build" / ".exiftool-scratch-of-a-killed-build").mkdir()
    (target / "old").write_text("this was there before")
    assert bundle.build(target, system_perl=True).built
    assert not bundle.build(target, system_perl=True).built
    assert sorted(path.name for path in target.iterdir()) == ["exiftool", "image-exiftool", "stamp.json"]
    assert sorted(path.name for path in target.parent.iterdir()) == [".exiftool.lock", "exiftool"]
    assert run(first.executable, "-config", "", "-ver", environment={}) == "13.59"


@pytest.mark.skipif(shutil.which("perl") is None, reason="this system has no perl")
def test_of_two_that_build_at_once_one_builds_and_the_other_waits(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        builds = [pool.submit(bundle.build, tmp_path / "exiftool", system_perl=True) for _ in range(2)]
    assert sorted(build.result().built for build in builds) == [False, True]


@pytest.mark.skipif(shutil.which("perl") is None, reason="this system has no perl")
def test_a_failed_build_leaves_what_stood_there(tmp_path: Path) -> None:
    target = tmp_path / "exiftool"
    target.mkdir()
    (target / "exiftool").write_text("the one that stood there")
    package = tmp_path / "package"
    (package / "bin" / "lib").mkdir(parents=True)
    (package / "package.json").write_text('{"version": "0"}')
    (package / "bin" / "exiftool").write_text("die 'no exiftool at all'")
    (package / "bin" / "README").write_text("")
    with pytest.raises(ExifToolMissing, match="does not start"):
        bundle.build(target, package=package, system_perl=True)
    assert (target / "exiftool").read_text() == "the one that stood there"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".exiftool.lock", "exiftool", "package"]


def test_without_the_npm_package_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ExifToolMissing, match="npm ci"):
        bundle.build(tmp_path / "exiftool", package=tmp_path / "nothing")


def test_without_a_wheel_and_without_perl_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExifToolMissing, match="install perl"):
        bundle.build(tmp_path / "exiftool", system_perl=True)


def test_the_command_says_in_one_line_what_it_did(built: bundle.Bundle) -> None:
    said = run(sys.executable, "-m", "lambdazoom.operations.bundle", environment={**os.environ, "PYTHONWARNINGS": "error"})
    assert said.count("\n") == 0
    assert said.startswith("exiftool with a perl of its own is ready: ")
