"""exiftool's death or sleep is survived, nothing of ours is told to it, and nothing of it is left over."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lambdazoom.metadata.exiftool import ExifTool, find_exiftool
from lambdazoom.model.errors import ExifToolFailed, ExifToolMissing, ExifToolTimeout
from lambdazoom.model.settings import Settings
from lambdazoom.publishing.workspace import open_workspace
from tests.processes import is_running
from tests.tagged import draw
from tests.tagged import executable as executable  # a fixture
from tests.tagged import exiftool as exiftool  # a fixture
from tests.waiting import wait_until

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc and prctl are Linux's")


def stopped(exiftool: ExifTool, path: Path) -> int:
    """exiftool's process, which has read a file and will not answer the next."""
    exiftool.read(path)
    child = exiftool.pid
    assert child is not None
    os.kill(child, signal.SIGSTOP)
    return child


def test_nothing_runs_before_the_first_file_and_nothing_after_close(executable: Path, tmp_path: Path) -> None:
    path = draw(tmp_path / "picture.jpg")
    with ExifTool(executable) as fresh:
        assert fresh.pid is None
        fresh.read(path)
        first = fresh.pid
        assert first is not None
        fresh.read(path)
        assert fresh.pid == first
    assert fresh.pid is None
    assert not is_running(first)
    fresh.close()


def test_it_can_be_launched_ahead(executable: Path, tmp_path: Path) -> None:
    path = draw(tmp_path / "picture.jpg")
    with ExifTool(executable) as fresh:
        fresh.prepare()
        launched = fresh.pid
        assert launched is not None
        fresh.read(path)
        assert fresh.pid == launched


def test_what_is_launched_ahead_is_not_waited_for(tmp_path: Path) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec sleep 60\n")
    silent.chmod(0o755)
    with ExifTool(silent, seconds=0.5) as fresh:
        fresh.prepare()
        launched = fresh.pid
        fresh.prepare()
        assert launched is not None
        assert fresh.pid == launched, "whoever had waited would have given it up"
        with pytest.raises(ExifToolTimeout):
            fresh.read(draw(tmp_path / "picture.jpg"))


@pytest.mark.parametrize(
    ("keys", "is_launched"), [((), False), (("a/cat.jpg",), True), (("notes.txt",), False), (("notes.txt", "dog.CR2"), True)]
)
def test_it_starts_while_the_places_are_opened_if_an_image_is_to_be_worked_on(
    keys: tuple[str, ...], is_launched: bool, executable: Path, tmp_path: Path
) -> None:
    places = {f"LAMBDAZOOM_{name.upper()}": str(tmp_path / name) for name in ("source", "zoom", "metadata")}
    settings = Settings.from_env({**places, "LAMBDAZOOM_EXIFTOOL": str(executable)})
    with open_workspace(settings, keys).closing() as workspace:
        assert (workspace.exiftool.pid is not None) == is_launched


def test_whoever_launches_ahead_does_not_wait_for_a_file_that_is_being_read(executable: Path, tmp_path: Path) -> None:
    path = draw(tmp_path / "picture.jpg")
    with ExifTool(executable) as fresh:
        child = stopped(fresh, path)
        with ThreadPoolExecutor(1) as beside:
            reading = beside.submit(fresh.read, path)
            time.sleep(0.2)
            fresh.prepare()
            assert not reading.done()
            assert fresh.pid == child
            os.kill(child, signal.SIGKILL)
            with pytest.raises(ExifToolFailed, match="stopped in the middle"):
                reading.result()


def test_what_goes_wrong_ahead_is_told_by_the_first_file(tmp_path: Path) -> None:
    path, broken = draw(tmp_path / "picture.jpg"), tmp_path / "exiftool"
    broken.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    for configured in (broken, tmp_path / "nowhere"):
        with ExifTool(configured) as fresh:
            fresh.prepare()
            with pytest.raises(ExifToolMissing, match=r"operations\.bundle"):
                fresh.read(path)


def test_a_process_that_was_killed_between_two_files_is_replaced_unnoticed(executable: Path, tmp_path: Path) -> None:
    path = draw(tmp_path / "picture.jpg")
    with ExifTool(executable) as fresh:
        before = fresh.read(path)
        killed = fresh.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: fresh.pid is None, 10)
        assert fresh.read(path) == before
        assert fresh.pid not in {None, killed}


def test_a_process_that_dies_in_the_middle_fails_this_file_and_not_the_next(executable: Path, tmp_path: Path) -> None:
    path = draw(tmp_path / "picture.jpg")
    with ExifTool(executable) as fresh:
        child = stopped(fresh, path)  # so that it is surely in the middle when the blow comes
        threading.Timer(0.2, os.kill, (child, signal.SIGKILL)).start()
        with pytest.raises(ExifToolFailed, match="stopped in the middle"):
            fresh.read(path)
        assert not is_running(child)
        assert fresh.read(path).tags["File:FileType"]["text"] == "JPEG"


def test_a_hung_exiftool_is_ended_at_the_limit_and_the_next_file_is_read(executable: Path, tmp_path: Path) -> None:
    path = draw(tmp_path / "picture.jpg")
    with ExifTool(executable, seconds=5) as fresh:
        child = stopped(fresh, path)
        started = time.monotonic()
        with pytest.raises(ExifToolTimeout, match=re.escape("exiftool took longer than 5 s.")):
            fresh.read(path)
        assert 4.5 < time.monotonic() - started < 15
        assert not is_running(child)
        assert fresh.read(path).tags["File:FileType"]["text"] == "JPEG"


def test_a_program_that_only_sleeps_is_ended_with_its_children(tmp_path: Path) -> None:
    sleeper = tmp_path / "exiftool"
    sleeper.write_text(f"#!/bin/sh\nsleep 600 &\necho $! >{tmp_path}/child\nwait\n")
    sleeper.chmod(0o755)
    with ExifTool(sleeper, seconds=1) as fresh, pytest.raises(ExifToolTimeout):
        fresh.read(draw(tmp_path / "picture.jpg"))
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: not is_running(child), 10)


def test_a_program_that_fills_stderr_is_no_deadlock(executable: Path, tmp_path: Path) -> None:
    noisy = tmp_path / "noisy exiftool"
    noisy.write_text(f'#!/bin/sh\nhead -c 300000 /dev/zero | tr "\\0" x >&2\nexec "{executable}" "$@"\n')
    noisy.chmod(0o755)
    with ExifTool(noisy, seconds=20) as fresh:
        assert fresh.read(draw(tmp_path / "picture.jpg")).tags["File:FileType"]["text"] == "JPEG"


def test_a_program_that_never_stops_talking_is_ended(tmp_path: Path) -> None:
    chatter = tmp_path / "exiftool"
    chatter.write_text("#!/bin/sh\nexec yes\n")
    chatter.chmod(0o755)
    with ExifTool(chatter, seconds=30) as fresh:
        with pytest.raises(ExifToolFailed, match="says more than"):
            fresh.read(draw(tmp_path / "picture.jpg"))
        assert fresh.pid is None


@pytest.mark.parametrize("script", ["#!/bin/sh\nexit 3\n", "#!/nowhere/perl\n", "no program"])
def test_a_program_that_does_not_start_is_named(script: str, tmp_path: Path) -> None:
    broken = tmp_path / "exiftool"
    broken.write_text(script)
    broken.chmod(0o755)
    with ExifTool(broken, seconds=20) as fresh, pytest.raises(ExifToolMissing, match="does not start"):
        fresh.read(draw(tmp_path / "picture.jpg"))


def test_many_threads_share_one_process(exiftool: ExifTool, tmp_path: Path) -> None:
    paths = [draw(tmp_path / f"{width}.jpg", width) for width in range(20, 60)]
    widths: dict[Path, object] = {}

    def read(mine: list[Path]) -> None:
        widths.update((path, exiftool.read(path).tags["File:ImageWidth"]["text"]) for path in mine)

    threads = [threading.Thread(target=read, args=(paths[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert widths == {path: path.stem for path in paths}


def test_a_process_outlives_the_thread_that_started_it(executable: Path, tmp_path: Path) -> None:
    path = draw(tmp_path / "picture.jpg")
    with ExifTool(executable) as fresh:
        starter = threading.Thread(target=fresh.read, args=(path,))
        starter.start()
        starter.join()
        child = fresh.pid
        fresh.read(path)
        assert fresh.pid == child is not None


@linux
@pytest.mark.parametrize("wrapped", [True, False])
def test_the_child_sees_no_secret_of_ours(wrapped: bool, executable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("PERL5OPT", "-Mnonsense")
    program = executable
    if not wrapped:  # an exiftool as a system installs it: a script that starts perl, with no `env -i` before it
        program = tmp_path / "exiftool"
        perl = bundle_perl(executable)
        program.write_text(f'#!/bin/sh\nexec {perl} "{executable.parent}/image-exiftool/exiftool" "$@"\n')
        program.chmod(0o755)
    with ExifTool(program) as fresh:
        fresh.read(draw(tmp_path / "picture.jpg"))
        names = {line.split(b"=")[0] for line in Path(f"/proc/{fresh.pid}/environ").read_bytes().split(b"\0") if line}
    assert names - {b"PWD", b"_", b"OLDPWD", b"SHLVL"} == {b"PATH", b"HOME", b"LC_ALL"}
    assert names == {b"PATH", b"HOME", b"LC_ALL"} or not wrapped


def bundle_perl(executable: Path) -> str:
    perl = executable.parent / "perl"
    return f'"{perl}/bin/perl" "-I{perl}/arch" "-I{perl}/lib"' if perl.exists() else "perl"


@linux
def test_the_parent_can_not_be_dumped_once_exiftool_runs(executable: Path, tmp_path: Path) -> None:
    path = draw(tmp_path / "picture.jpg")
    script = """
import ctypes, sys
from pathlib import Path
from lambdazoom.metadata.exiftool import ExifTool
libc = ctypes.CDLL(None)
before = libc.prctl(3, 0, 0, 0, 0)
with ExifTool(Path(sys.argv[1])) as exiftool:
    exiftool.read(Path(sys.argv[2]))
    sys.stdout.write(f"{before} {libc.prctl(3, 0, 0, 0, 0)}")
"""
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script, executable, path], capture_output=True, text=True, check=True, timeout=60, cwd=root
    )
    assert done.stdout == "1 0"


@linux
def test_exiftool_ends_when_its_parent_is_killed(executable: Path, tmp_path: Path) -> None:
    path = draw(tmp_path / "picture.jpg")
    script = """
import os, sys
from pathlib import Path
from lambdazoom.metadata.exiftool import ExifTool
exiftool = ExifTool(Path(sys.argv[1]))
exiftool.read(Path(sys.argv[2]))
sys.stdout.write(str(exiftool.pid))
sys.stdout.flush()
os.kill(os.getpid(), 9)
"""
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script, executable, path], capture_output=True, text=True, check=False, timeout=60, cwd=root
    )
    wait_until(lambda: not is_running(int(done.stdout)), 10)


def test_a_configuration_of_the_users_is_not_run(executable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".ExifTool_config").write_text(f"open my $f, '>', '{tmp_path}/ran'; 1;\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with ExifTool(executable) as fresh:
        fresh.read(draw(tmp_path / "picture.jpg"))
    assert not (tmp_path / "ran").exists()


def test_the_configured_exiftool_comes_first_and_then_the_bundle(executable: Path, tmp_path: Path) -> None:
    own = tmp_path / "exiftool"
    own.write_text("#!/bin/sh\n")
    with pytest.raises(ExifToolMissing, match=re.escape(str(own))):
        find_exiftool(own)
    own.chmod(0o755)
    assert find_exiftool(own) == own
    assert find_exiftool(None) == executable
