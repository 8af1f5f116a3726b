"""The watch: what arrives, changes and goes is told once it is at rest, and only then."""

import os
import queue
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambdazoom.storage import watch
from lambdazoom.storage.folder import FolderSource
from lambdazoom.storage.watch import Watch

Told = queue.Queue[tuple[str, float]]


@pytest.fixture
def told(source: Path, environment: dict[str, str]) -> Iterator[Told]:
    """What the watch over `source` tells, and when."""
    heard: Told = queue.Queue()
    with Watch(FolderSource(source), lambda key: heard.put((key, time.monotonic()))):
        yield heard


def next_key(told: Told, seconds: float = 10) -> str:
    return told.get(timeout=seconds)[0]


def test_a_file_that_arrives_is_told_once(told: Told, source: Path) -> None:
    (source / "trip").mkdir()
    (source / "trip" / "cat.jpg").write_bytes(b"1")
    assert next_key(told) == "trip/cat.jpg"
    with pytest.raises(queue.Empty):
        told.get(timeout=3)


def test_a_writer_that_pauses_is_waited_for(told: Told, source: Path) -> None:
    with (source / "cat.jpg").open("wb", buffering=0) as writer:
        writer.write(b"first half")
        time.sleep(1.5)
        writer.write(b"second half")
    finished = time.monotonic()
    key, moment = told.get(timeout=10)
    assert key == "cat.jpg"
    assert moment - finished >= 1.8, "two seconds of rest, as the watch's clock ticks"
    with pytest.raises(queue.Empty):
        told.get(timeout=2)


def test_a_writer_that_keeps_the_file_open_is_waited_for_however_long_it_pauses(told: Told, source: Path) -> None:
    with (source / "cat.jpg").open("wb", buffering=0) as writer:
        writer.write(b"first half")
        with pytest.raises(queue.Empty):
            told.get(timeout=4)
        writer.write(b"second half")
    assert next_key(told) == "cat.jpg"


def test_a_changed_and_a_removed_file_are_told_again(told: Told, source: Path) -> None:
    path = source / "cat.jpg"
    path.write_bytes(b"1")
    assert next_key(told) == "cat.jpg"
    path.write_bytes(b"22")
    assert next_key(told) == "cat.jpg"
    path.unlink()
    assert next_key(told, 2) == "cat.jpg"


def test_a_renamed_file_is_told_under_both_names(told: Told, source: Path) -> None:
    (source / "old.jpg").write_bytes(b"1")
    assert next_key(told) == "old.jpg"
    (source / "old.jpg").rename(source / "new.jpg")
    assert {next_key(told), next_key(told)} == {"old.jpg", "new.jpg"}


def test_a_download_is_told_under_its_final_name_only(told: Told, source: Path) -> None:
    (source / "cat.jpg.part").write_bytes(b"1")
    (source / ".cat.jpg.Xy12").write_bytes(b"1")
    time.sleep(0.6)
    (source / "cat.jpg.part").rename(source / "cat.jpg")
    assert next_key(told) == "cat.jpg"
    assert told.empty()


def test_a_folder_moved_in_and_deleted_is_told_file_by_file(told: Told, source: Path, tmp_path: Path) -> None:
    (tmp_path / "album" / "deep").mkdir(parents=True)
    for name in ("a.jpg", "deep/b.jpg"):
        (tmp_path / "album" / name).write_bytes(b"1")
    (tmp_path / "album").rename(source / "album")
    assert {next_key(told), next_key(told)} == {"album/a.jpg", "album/deep/b.jpg"}
    shutil.rmtree(source / "album")
    assert {next_key(told), next_key(told)} == {"album/a.jpg", "album/deep/b.jpg"}


def test_what_was_there_before_the_start_is_told(source: Path, environment: dict[str, str]) -> None:
    (source / "cat.jpg").write_bytes(b"1")
    heard: Told = queue.Queue()
    with Watch(FolderSource(source), lambda key: heard.put((key, 0.0))):
        assert next_key(heard) == "cat.jpg"


def test_a_drive_that_sends_no_events_is_looked_through(source: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "RESCAN_SECONDS", 1.0)  # the clock is faked: a minute would be long
    heard: Told = queue.Queue()
    quiet = Watch(FolderSource(source), lambda key: heard.put((key, 0.0)))
    monkeypatch.setattr(quiet, "on_any_event", lambda event: None)  # as if the system said nothing
    with quiet:
        (source / "cat.jpg").write_bytes(b"1")
        assert next_key(heard) == "cat.jpg"
        (source / "cat.jpg").unlink()
        assert next_key(heard) == "cat.jpg"


def test_a_source_that_is_lost_from_sight_as_a_whole_is_not_taken_for_deleted(
    source: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "RESCAN_SECONDS", 0.5)
    (source / "cat.jpg").write_bytes(b"1")
    heard: Told = queue.Queue()
    with Watch(FolderSource(source), lambda key: heard.put((key, 0.0))):
        assert next_key(heard) == "cat.jpg"
        source.rename(source.parent / "unmounted")
        with pytest.raises(queue.Empty):
            heard.get(timeout=3)
        (source.parent / "unmounted").rename(source)


def test_a_subfolder_that_becomes_unreadable_does_not_end_the_watch(source: Path, environment: dict[str, str]) -> None:
    (source / "trip" / "deep").mkdir(parents=True)
    (source / "trip" / "deep" / "cat.jpg").write_bytes(b"1")
    program = f"""
        import queue, time
        from pathlib import Path
        from lambdazoom.storage import watch
        from lambdazoom.storage.folder import FolderSource
        watch.RESCAN_SECONDS, watch.QUIET_SECONDS = 0.2, 0.2
        source, heard = Path({str(source)!r}), queue.Queue()
        with watch.Watch(FolderSource(source), heard.put) as watching:
            print(heard.get(timeout=10))
            (source / "trip").chmod(0)
            time.sleep(1)  # it is looked through meanwhile
            (source / "new.jpg").write_bytes(b"1")
            print(heard.get(timeout=10))
    """
    # root may read everything, so its right to do so is taken from the child
    unprivileged = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"] if os.geteuid() == 0 else []
    command = [*unprivileged, sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    (source / "trip").chmod(0o700)
    assert done.stdout.split() == ["trip/deep/cat.jpg", "new.jpg"], done.stderr


def test_the_watch_leaves_nothing_behind(source: Path, environment: dict[str, str]) -> None:
    descriptors, threads = len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
    with Watch(FolderSource(source), lambda key: None):
        (source / "cat.jpg").write_bytes(b"1")
        time.sleep(0.5)
    assert threading.active_count() == threads
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors
