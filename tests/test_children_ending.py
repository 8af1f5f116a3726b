"""However the process of an image ends: one image fails, its record says why, and nothing is left over."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from lambdazoom.model.errors import LambdaZoomError
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import Outcome, State
from lambdazoom.model.wishes import Wish
from lambdazoom.publishing import catalog, generations, workers
from lambdazoom.publishing.children import InChild
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace
from tests.conftest import Draw, free_port
from tests.crews import LARGE, Heard, children, impatient, kill_in_the_middle, large_one, record_of, standing_in, the_child, working
from tests.crews import drawn as drawn  # a fixture
from tests.crews import heard as heard  # a fixture
from tests.crews import large as large  # a fixture
from tests.crews import temporary as temporary  # a fixture
from tests.processes import command_of, descendants, is_running
from tests.waiting import wait_until

# how it dies


def test_a_crash_takes_one_image_with_it_and_stands_on_the_record(
    workspace: Workspace, draw: Draw, large: Path, heard: Heard, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "RETRY_SECONDS", 5.0)
    others = [f"{number}.jpg" for number in range(4)]
    with working(workspace, heard) as crew:
        kill_in_the_middle(signal.SIGSEGV, crew, heard)
        for key in others:
            draw(key)
            crew.put(key)
        wait_until(lambda: LARGE.key in heard.records)
        heard.tiling.clear()
        first = record_of(LARGE, workspace)
        assert first.state(workspace.now()) == State.FAILED
        assert first.complaints == (
            "The process that worked on large.png ended by SIGSEGV: probably the file makes its decoder crash. "
            "Save it anew with another program, and replace it in the source.",
        )
        assert (first.run, first.is_retryable, first.cut_short) == ("", True, 1)
        del heard.records[LARGE.key]
        assert heard.tiling.wait(30), "tried once more"
        os.kill(large_one(), signal.SIGSEGV)
        wait_until(lambda: LARGE.key in heard.records)
        second = record_of(LARGE, workspace)
        assert second.tiles is not None
        assert (second.tiles.code, second.tiles.final, second.cut_short, second.attempts) == ("crashed", True, 2, 2)
        wait_until(lambda: (step := record_of(LARGE, workspace).metadata) is not None and step.outcome == Outcome.DONE)
        crew.wait_until_idle()
    assert generations.published(LARGE, workspace.zoom) is None
    assert list(temporary.iterdir()) == []
    assert {record_of(ImageKey(key), workspace).state(workspace.now()) for key in others} == {State.PUBLISHED}
    workspace.stopping.clear()
    assert settle(LARGE, workspace) == record_of(LARGE, workspace), "settled until the source changes or somebody asks"
    assert settle(LARGE, workspace, wish=Wish(asked=True)).state(workspace.now()) == State.PUBLISHED  # type: ignore[union-attr]


def test_a_crash_of_a_replacement_leaves_the_version_before_on_show(workspace: Workspace, draw: Draw, drawn: Path, heard: Heard) -> None:
    path = draw(LARGE.key)
    settle(LARGE, workspace)
    shutil.copy(drawn, path)
    with working(workspace, heard) as crew:
        kill_in_the_middle(signal.SIGKILL, crew, heard)
        wait_until(lambda: LARGE.key in heard.records)
    record = record_of(LARGE, workspace)
    assert record.complaints == (
        "The process that worked on large.png was killed, probably because the machine was out of memory. "
        "Lower LAMBDAZOOM_JOBS or give it more memory, and retry. The version before stays on show.",
    )
    shown = generations.published(LARGE, workspace.zoom)
    assert shown is not None
    assert shown.pyramid.width == 300


def test_what_hangs_is_ended_when_its_time_is_over(workspace: Workspace, draw: Draw, large: Path, heard: Heard) -> None:
    with working(impatient(workspace, 12), heard) as crew:
        kill_in_the_middle(signal.SIGSTOP, crew, heard)
        draw("cat.jpg")
        crew.put("cat.jpg")
        wait_until(lambda: LARGE.key in heard.records)
        crew.wait_until_idle()
    assert record_of(ImageKey("cat.jpg"), workspace).state(workspace.now()) == State.PUBLISHED
    record = record_of(LARGE, workspace)
    assert record.complaints == (
        "large.png took longer than 12 s and was stopped. Raise LAMBDAZOOM_TIME_LIMIT and retry, or save it smaller.",
    )
    assert record.tiles is not None
    assert (record.tiles.code, record.is_retryable, record.cut_short) == ("out-of-time", True, 1)
    assert children(os.getpid()) == []


def test_what_a_crashed_process_had_started_does_not_outlive_it(workspace: Workspace, draw: Draw, tmp_path: Path) -> None:
    """exiftool, stuck in a file, leads a session of its own, and nobody is left who would end it."""
    draw("cat.jpg")
    noted = tmp_path / "noted"
    program = f"""
import os, pathlib, signal, subprocess, sys, time
stuck = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True, stdout=subprocess.DEVNULL)
pathlib.Path({str(noted)!r}).write_text(str(stuck.pid))
time.sleep(1)
os.kill(os.getpid(), signal.SIGSEGV)
"""
    with pytest.raises(LambdaZoomError, match="ended by SIGSEGV"):
        InChild(workspace, standing_in(program))(ImageKey("cat.jpg"), Wish(), lambda _: None)
    wait_until(lambda: not is_running(int(noted.read_text())), 5)


@pytest.mark.parametrize("end", ["sys.exit(0)", "os.kill(os.getpid(), signal.SIGTERM)"])
def test_what_was_stopped_from_outside_is_tried_again_and_not_blamed(end: str, workspace: Workspace, draw: Draw) -> None:
    draw("cat.jpg")
    with pytest.raises(LambdaZoomError, match=r"worked on cat\.jpg was stopped from outside\. It is tried again\."):
        InChild(workspace, standing_in(f"import os, signal, sys; {end}"))(ImageKey("cat.jpg"), Wish(), lambda _: None)


def test_what_eats_memory_is_ended(workspace: Workspace, draw: Draw) -> None:
    draw("cat.jpg")
    settings = replace(workspace.settings, memory_limit=200)
    eater = standing_in("import time\neaten = bytearray(b'x') * 300_000_000\ntime.sleep(60)")
    started = time.monotonic()
    with pytest.raises(LambdaZoomError, match=r"cat\.jpg took more than 200 MB of memory and was stopped\. Raise LAMBDAZOOM_MEMORY_LIMIT"):
        InChild(replace(workspace, settings=settings), eater)(ImageKey("cat.jpg"), Wish(), lambda _: None)
    assert time.monotonic() - started < 30
    assert not [each for each in descendants(os.getpid()) if "eaten" in command_of(each)]


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("import sys; sys.exit(7)", "ended without a word"),
        ("import os; os.abort()", "ended by SIGABRT"),
        ("print('x' * 10**6, flush=True); print('{\"end\": 1}'); print('[' * 10**5); raise SystemExit(1)", "ended without a word"),
        ('import time; print(\'{"progress": {"stage": "x", "done": Infinity, "total": 1}}\'); raise SystemExit(1)', "ended without"),
        ("import json; print(json.dumps({'end': {'refusal': 'The disk is full.'}}))", r"^The disk is full\.$"),
    ],
)
def test_whatever_it_says_or_does_not_say_is_borne(workspace: Workspace, draw: Draw, program: str, sentence: str) -> None:
    draw("cat.jpg")
    with pytest.raises(LambdaZoomError, match=sentence):
        InChild(workspace, standing_in(program))(ImageKey("cat.jpg"), Wish(), lambda _: None)
    assert catalog.find(ImageKey("cat.jpg"), workspace.metadata) is None, "what had not begun has no record"


# how it ends with those who started it


def test_leaving_interrupts_it_and_the_next_start_goes_on(workspace: Workspace, large: Path, heard: Heard) -> None:
    with working(workspace, heard) as crew:
        crew.put(LARGE.key)
        assert heard.tiling.wait(30)
        started = time.monotonic()
    assert time.monotonic() - started < workers.STOP_SECONDS
    assert (heard.records, heard.failures, children(os.getpid())) == ({}, [], [])
    record = record_of(LARGE, workspace)
    assert (record.state(workspace.now()), record.cut_short) == (State.WAITING, 0)
    assert list(workspace.zoom.list("_tiles/")) == [], "it has taken its tiles away"
    workspace.stopping.clear()
    with working(workspace, heard) as crew:
        crew.put(LARGE.key)
        crew.wait_until_idle()
    assert record_of(LARGE, workspace).state(workspace.now()) == State.PUBLISHED


def test_what_does_not_heed_the_wish_is_killed_and_not_blamed(workspace: Workspace, large: Path, heard: Heard) -> None:
    with working(workspace, heard) as crew:
        kill_in_the_middle(signal.SIGSTOP, crew, heard)
    assert children(os.getpid()) == []
    record = record_of(LARGE, workspace)
    assert (record.state(workspace.now()), record.cut_short, heard.failures) == (State.WAITING, 0, [])


@contextmanager
def serving(environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`serve` at work; killed at the end, if it still runs."""
    command = [sys.executable, "-m", "lambdazoom", "serve", "--port", str(free_port())]
    with log.open("wb") as said, subprocess.Popen(command, env={**os.environ, **environment}, stdout=said, stderr=said) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("is_stuck", [False, True], ids=["at work", "stuck"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_serve_leaves_no_orphan(
    how: signal.Signals, is_stuck: bool, environment: dict[str, str], workspace: Workspace, large: Path, temporary: Path
) -> None:
    log = temporary / "log"
    with serving(environment, log) as process:
        child = the_child(process.pid)
        wait_until(lambda: (found := catalog.find(LARGE, workspace.metadata)) is not None and found.heartbeat_at is not None)
        families = {child, *descendants(child)}
        if is_stuck:
            os.kill(child, signal.SIGSTOP)
        process.send_signal(how)
        assert process.wait(20) == (-signal.SIGKILL if how == signal.SIGKILL else 0)
        wait_until(lambda: not [each for each in families if is_running(each)], 5)
    if how != signal.SIGKILL:
        assert record_of(LARGE, workspace).state(workspace.now()) == State.WAITING
        assert log.read_text("utf-8").splitlines()[-1].startswith("Stopped.")
