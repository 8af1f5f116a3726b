"""A run's signs of life: when they come, and what ends them."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest

from lambdazoom.model.errors import StorageError
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord, Progress
from lambdazoom.publishing import catalog, pulse
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.pulse import Pulse
from lambdazoom.publishing.workspace import Workspace
from tests.conftest import Draw
from tests.settling import failing
from tests.waiting import wait_until

CAT = ImageKey("cat.jpg")


@pytest.fixture
def kept(workspace: Workspace, draw: Draw) -> catalog.Kept:
    draw(CAT.key)
    now = workspace.now()
    record = ImageRecord(CAT.key, workspace.source.head(CAT.key).version, now, run="mine", heartbeat_at=now)
    return catalog.save(record, None, workspace.metadata)


def progress(workspace: Workspace) -> Progress | None:
    found = catalog.find(CAT, workspace.metadata)
    assert found is not None
    return found.progress


def test_the_record_tells_after_two_seconds_and_then_every_five_how_far_the_run_is(workspace: Workspace, kept: catalog.Kept) -> None:
    heard: list[Progress] = []
    with Pulse(kept, workspace, heard.append) as beating:
        started = time.monotonic()
        beating.stage("tiling", 7)
        beating.advance()
        time.sleep(1.5)
        assert progress(workspace) is None
        wait_until(lambda: progress(workspace) == Progress("tiling", 1, 7))
        first = time.monotonic() - started
        beating.advance()
        wait_until(lambda: progress(workspace) == Progress("tiling", 2, 7))
        second = time.monotonic() - started
    assert 1.9 < first < 4
    assert 6.5 < second < 10
    assert heard == [Progress("tiling", 0, 7), Progress("tiling", 1, 7), Progress("tiling", 2, 7)]


def test_a_store_that_fails_once_does_not_end_the_signs_of_life(
    workspace: Workspace, kept: catalog.Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "FIRST_SECONDS", 0.1)
    monkeypatch.setattr(pulse, "EVERY_SECONDS", 0.1)
    failures = iter([True, True, False])
    broken = failing(workspace.metadata, lambda verb, name: name == CAT.record and next(failures, False))
    with Pulse(kept, replace(workspace, metadata=broken), lambda _: None) as beating:
        beating.stage("tiling", 7)
        wait_until(lambda: progress(workspace) == Progress("tiling", 0, 7))


def test_a_beat_whose_answer_was_lost_does_not_end_them_but_another_run_does(workspace: Workspace, kept: catalog.Kept) -> None:
    beating = Pulse(kept, workspace, lambda _: None)
    lost = catalog.save(replace(kept.record, progress=Progress("reading")), kept, workspace.metadata)
    assert beating.beat(), "it was our own"
    assert beating.kept == lost
    assert beating.beat()
    assert progress(workspace) == Progress("reading")
    catalog.save(replace(kept.record, run="another"), beating.kept, workspace.metadata)
    assert not beating.beat()
    found = catalog.find(CAT, workspace.metadata)
    assert found is not None
    assert found.run == "another"


def test_what_a_store_refuses_to_a_beat_is_nobodys_business(workspace: Workspace, kept: catalog.Kept) -> None:
    def fails(verb: str, name: str) -> bool:
        raise StorageError("The drive did not answer.")

    assert Pulse(kept, replace(workspace, metadata=failing(workspace.metadata, fails)), lambda _: None).beat()


def test_the_record_tells_since_when_the_run_is_at_it_until_it_is_over(workspace: Workspace, kept: catalog.Kept) -> None:
    catalog.save(replace(kept.record.at_rest(), seen_at=workspace.now() - timedelta(days=9)), kept, workspace.metadata)
    begun, seen = workspace.now(), []

    def look(_: Progress) -> None:
        found = catalog.find(CAT, workspace.metadata)
        assert found is not None
        seen.append(found.started_at)

    record = settle(CAT, workspace, look)
    assert seen
    assert all(moment is not None and begun <= moment <= workspace.now() for moment in seen)
    assert record is not None
    assert record.started_at is None
