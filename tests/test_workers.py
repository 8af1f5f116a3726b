"""The workers: every key is settled, none twice at once, and stopping leaves nothing half done."""

import io
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from lambdazoom.model.errors import LambdaZoomError
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord, Progress, State
from lambdazoom.model.wishes import Wish
from lambdazoom.publishing import catalog, generations
from lambdazoom.publishing.workers import Workers
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.terminal import Terminal
from tests.conftest import Draw
from tests.crews import Silent
from tests.waiting import wait_until


@dataclass
class Heard:
    """A listener that remembers."""

    finished_keys: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    at_work: set[str] = field(default_factory=set)
    started: threading.Event = field(default_factory=threading.Event)

    def progress(self, image: ImageKey, progress: Progress) -> None:
        self.at_work.add(image.key)
        if progress.stage == "tiling" and progress.done:
            self.started.set()

    def finished(self, image: ImageKey, record: ImageRecord | None) -> None:
        self.finished_keys.append(image.key)

    def failed(self, image: ImageKey, error: LambdaZoomError) -> None:
        self.failures.append(str(error))


def test_everything_that_is_put_in_is_settled(workspace: Workspace, draw: Draw) -> None:
    keys = [f"trip/{number}.jpg" for number in range(12)]
    heard = Heard()
    with Workers(workspace, heard) as workers:
        for key in keys:
            draw(key)
            workers.put(key)
            workers.put(key)
        workers.wait_until_idle()
    assert set(heard.finished_keys) == set(keys)
    assert {record.key for record in catalog.newest(workspace.metadata).records} == set(keys)
    assert all(record.attempts == 1 for record in catalog.newest(workspace.metadata).records)


def test_one_that_fails_does_not_stop_the_others(workspace: Workspace, draw: Draw) -> None:
    broken = draw("broken.jpg")
    broken.write_bytes(broken.read_bytes()[:500])
    draw("fine.jpg")
    with Workers(workspace, Heard()) as workers:
        for key in ("../escape.jpg", "broken.jpg", "fine.jpg"):
            workers.put(key)
        workers.wait_until_idle()
    states = {record.key: record.state(workspace.now()) for record in catalog.newest(workspace.metadata).records}
    assert states == {"broken.jpg": State.FAILED, "fine.jpg": State.PUBLISHED}


def test_stopping_interrupts_and_the_next_start_goes_on(workspace: Workspace, draw: Draw) -> None:
    draw("large.jpg", 8000, 6000)
    heard = Heard()
    with Workers(workspace, heard) as workers:
        workers.put("large.jpg")
        assert heard.started.wait(30)
    assert heard.finished_keys == []
    assert generations.published(ImageKey("large.jpg"), workspace.zoom) is None
    record = catalog.find(ImageKey("large.jpg"), workspace.metadata)
    assert record is not None
    assert record.state(workspace.now()) == State.WAITING
    workspace.stopping.clear()
    with Workers(workspace, heard) as workers:
        workers.put("large.jpg")
        workers.wait_until_idle()
    assert heard.finished_keys == ["large.jpg"]


class Deaf(Silent):
    """A listener that can't bear what it hears."""

    def progress(self, image: ImageKey, progress: Progress) -> None:
        raise BrokenPipeError

    def finished(self, image: ImageKey, record: ImageRecord | None) -> None:
        super().finished(image, record)
        raise BrokenPipeError

    def failed(self, image: ImageKey, error: LambdaZoomError) -> None:
        raise BrokenPipeError


def test_a_listener_that_fails_ends_no_thread(workspace: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    errors = {"refused.jpg": LambdaZoomError("The disk is full."), "unexpected.jpg": ValueError()}

    def settling(image: ImageKey, wish: Wish, tell: Callable[[Progress], None]) -> ImageRecord | None:
        tell(Progress("tiling"))
        if image.key in errors:
            raise errors[image.key]
        return None

    heard = Deaf()
    one_thread = replace(workspace, settings=replace(workspace.settings, jobs=1))
    with Workers(one_thread, heard, settling) as workers:
        for key in (*errors, "one.jpg", "two.jpg"):
            workers.put(key)
        wait_until(lambda: heard.finished_keys == ["one.jpg", "two.jpg"], 10)
        workers.wait_until_idle()
    assert caplog.text.count("nobody could be told how it goes") == 4 * 2


def test_a_line_that_the_terminal_has_no_letters_for_is_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="latin-1"))
    Terminal().failed(ImageKey("日本.jpg"), LambdaZoomError("It is no image."))
    assert "日本.jpg: It is no image." in caplog.text


def test_a_line_that_nobody_reads_any_more_is_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with io.TextIOWrapper(io.FileIO(writer, "w"), encoding="utf-8", write_through=True) as out:
        monkeypatch.setattr(sys, "stdout", out)
        Terminal().failed(ImageKey("cat.jpg"), LambdaZoomError("It is no image."))
    assert "Broken pipe): cat.jpg: It is no image." in caplog.text
