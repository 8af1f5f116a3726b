"""Runs cut short, by a kill or by the time limit: the next one goes on at once, and what never ends is given up."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image

from lambdazoom.model.errors import OutOfTime
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord, Outcome, Progress, State
from lambdazoom.publishing import catalog, generations, owners
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.storage.folder import FolderStore
from tests.conftest import Draw
from tests.settling import CAT, failing, settled, tiles
from tests.waiting import wait_until


def killed(record: ImageRecord, workspace: Workspace) -> ImageRecord:
    """The record that a run leaves which is killed at its work, long ago."""
    at_work = replace(record, run="killed", heartbeat_at=workspace.now() - timedelta(minutes=5), progress=Progress("tiling", 3, 7))
    catalog.save(at_work, catalog.find_kept(record.image, workspace.metadata), workspace.metadata)
    return at_work


def test_what_was_killed_twice_is_given_up_until_somebody_asks(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key)
    version = workspace.source.head(CAT.key).version
    at_work = killed(ImageRecord(CAT.key, version, workspace.now(), attempts=2, cut_short=1), workspace)
    record = settled(CAT, workspace)
    assert record.state(workspace.now()) == State.FAILED
    assert record.complaints == (
        f"No sign of life since {at_work.heartbeat_at:%H:%M} UTC; probably out of memory. Retry; if it stalls again, raise memory_size.",
    )
    assert not record.is_retryable
    assert record.metadata is not None
    assert record.metadata.outcome == Outcome.DONE, "reading the metadata needs no such memory"
    assert generations.published(CAT, workspace.zoom) is None
    assert settled(CAT, workspace).attempts == record.attempts
    assert settled(CAT, workspace, asked=True).state(workspace.now()) == State.PUBLISHED


def test_what_was_killed_once_is_tried_again(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key)
    killed(ImageRecord(CAT.key, workspace.source.head(CAT.key).version, workspace.now(), attempts=1), workspace)
    record = settled(CAT, workspace)
    assert (record.state(workspace.now()), record.cut_short) == (State.PUBLISHED, 1)


def running_out(workspace: Workspace, tiles_before: int) -> Workspace:
    """The same, but time is up when so many tiles were stored."""
    assert isinstance(workspace.zoom, FolderStore)
    stored = [0]

    def count(verb: str, name: str) -> bool:
        stored[0] += verb == "bulk"
        return False

    return replace(workspace, zoom=failing(workspace.zoom, count), remaining=lambda: 900.0 if stored[0] < tiles_before else 3.0)


def test_a_run_stops_before_its_time_is_up_and_the_second_time_it_is_given_up(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key, 3000, 2000)
    first = settled(CAT, running_out(workspace, 100))
    assert first.tiles is not None
    assert first.complaints[0].startswith("Stopped before the time limit with ")
    assert first.complaints[0].endswith(
        " % of the tiles stored. Nothing was published. Retry, or raise memory_size: more memory is also more speed."
    )
    assert (first.tiles.code, first.is_retryable, first.cut_short) == (OutOfTime.code, True, 1)
    assert tiles(workspace) == []
    second = settled(CAT, running_out(workspace, 100))
    assert (second.is_retryable, second.is_unsettled, second.cut_short) == (False, False, 2)
    assert settled(CAT, workspace).attempts == second.attempts
    assert settled(CAT, workspace, asked=True).state(workspace.now()) == State.PUBLISHED


def test_a_run_without_time_is_not_begun_and_not_blamed_on_the_image(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key)
    with pytest.raises(OutOfTime, match="was not begun"):
        settle(CAT, replace(workspace, remaining=lambda: 3.0))
    assert catalog.find(CAT, workspace.metadata) is None


def test_after_kill_9_the_next_run_goes_on_at_once(environment: dict[str, str], workspace: Workspace, source: Path) -> None:
    Image.effect_noise((6000, 6000), 90).save(source / "large.png", compress_level=1)
    large = ImageKey("large.png")
    process = subprocess.Popen([sys.executable, "-m", "lambdazoom", "process", large.key], env={**os.environ, **environment})
    wait_until(lambda: (found := catalog.find(large, workspace.metadata)) is not None and found.heartbeat_at is not None)
    found = catalog.find(large, workspace.metadata)
    assert found is not None
    assert not owners.is_gone(found.owner)
    assert settled(large, workspace).run == found.run, "it is at work"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert owners.is_gone(found.owner)
    record = settled(large, workspace)
    assert (record.state(workspace.now()), record.cut_short) == (State.PUBLISHED, 1)


def test_nobody_is_thought_gone_who_runs_where_one_can_not_see() -> None:
    mine, ended = owners.this_process(), "999999999 1"
    machine, processes, number, _ = mine.split(" ")
    assert not owners.is_gone(mine)
    assert not owners.is_gone("")
    assert not owners.is_gone(f"another-machine {processes} {ended}")
    assert not owners.is_gone(f"{machine} another-container {ended}")
    assert owners.is_gone(f"{machine} {processes} {ended}")
    assert owners.is_gone(f"{machine} {processes} {number} 1"), "its number is another process's by now"
