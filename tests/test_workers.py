"""The workers: every key is settled, none twice at once, and stopping leaves nothing half done."""

import threading
from dataclasses import dataclass, field

from lambdazoom.model.errors import LambdaZoomError
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord, Progress, State
from lambdazoom.publishing import catalog, generations
from lambdazoom.publishing.workers import Workers
from lambdazoom.publishing.workspace import Workspace
from tests.conftest import Draw


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
