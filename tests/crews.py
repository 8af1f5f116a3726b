"""What tests of children share: a crew that settles each image in a process of its own, and a look at these processes."""

import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from lambdazoom.model.errors import LambdaZoomError
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord, Progress
from lambdazoom.publishing import catalog
from lambdazoom.publishing.children import InChild
from lambdazoom.publishing.workers import Workers
from lambdazoom.publishing.workspace import Workspace
from tests.conftest import picture
from tests.processes import command_of, descendants
from tests.waiting import wait_until

LARGE = ImageKey("large.png")


class Silent:
    """A listener that only counts."""

    def __init__(self) -> None:
        self.finished_keys: list[str] = []

    def progress(self, image: ImageKey, progress: Progress) -> None:
        pass

    def finished(self, image: ImageKey, record: ImageRecord | None) -> None:
        self.finished_keys.append(image.key)

    def failed(self, image: ImageKey, error: LambdaZoomError) -> None:
        pass


@dataclass
class Heard:
    """A listener that remembers."""

    records: dict[str, ImageRecord | None] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    tiling: threading.Event = field(default_factory=threading.Event)

    def progress(self, image: ImageKey, progress: Progress) -> None:
        if image == LARGE and progress.stage == "tiling" and progress.done:
            self.tiling.set()

    def finished(self, image: ImageKey, record: ImageRecord | None) -> None:
        self.records[image.key] = record

    def failed(self, image: ImageKey, error: LambdaZoomError) -> None:
        self.failures.append(str(error))


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@contextmanager
def working(workspace: Workspace, heard: Heard) -> Iterator[Workers]:
    with Workers(workspace, heard, InChild(workspace)) as crew:
        yield crew


def children(of: int) -> list[int]:
    """The processes that settle an image each for this one."""
    return [each for each in descendants(of) if "\0--child\0" in command_of(each)]


def the_child(of: int | None = None) -> int:
    """The one that settles an image for us, or for another process, once there is one."""
    parent = of or os.getpid()
    wait_until(lambda: len(children(parent)) == 1)
    return children(parent)[0]


def large_one() -> int:
    """That which settles the large image for us, be there others."""
    [found] = [each for each in children(os.getpid()) if LARGE.key in command_of(each)]
    return found


def kill_in_the_middle(how: signal.Signals, crew: Workers, heard: Heard) -> None:
    """Put the large image in, and send its process a signal while it cuts tiles."""
    heard.tiling.clear()
    crew.put(LARGE.key)
    assert heard.tiling.wait(30)
    os.kill(large_one(), how)


def record_of(image: ImageKey, workspace: Workspace) -> ImageRecord:
    record = catalog.find(image, workspace.metadata)
    assert record is not None
    return record


def impatient(workspace: Workspace, seconds: int) -> Workspace:
    settings = workspace.settings
    texts = {**settings.texts, "LAMBDAZOOM_TIME_LIMIT": str(seconds)}
    return replace(workspace, settings=replace(settings, time_limit=seconds, texts=texts))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image that takes a few seconds."""
    path = tmp_path_factory.mktemp("drawn") / LARGE.key
    picture(9000, 9000).save(path, compress_level=1)
    return path


@pytest.fixture
def large(drawn: Path, source: Path) -> Path:
    """The same, in the source."""
    return Path(shutil.copy(drawn, source / LARGE.key))


def standing_in(program: str) -> tuple[str, ...]:
    """A program in the place of ours, that tells, or does, what ours would only with a decoder that is broken."""
    return (sys.executable, "-c", program)
