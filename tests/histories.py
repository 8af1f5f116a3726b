"""Histories of uploads, deletions, crashes, faults and sweeps over stores in memory, and what must hold in them.

Two or three runs are interleaved at every store operation. After each step what viewers can see is whole; once all is quiet, it is
what the source holds.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lambdazoom.model.keys import ImageKey, SourceVersion
from lambdazoom.model.records import ImageRecord, Outcome, State
from lambdazoom.model.settings import Settings
from lambdazoom.model.wishes import HINT, Wish
from lambdazoom.publishing import catalog, documents, generations, pipeline
from lambdazoom.publishing import pulse as pulses
from lambdazoom.publishing.documents import Described
from lambdazoom.publishing.generations import LONGEST_RUN, Published, same_version
from lambdazoom.publishing.lifecycle import catch_up
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.reconciling import Finding, survey
from lambdazoom.publishing.repairing import ADDS, repair_one
from lambdazoom.publishing.sweeping import sweep
from lambdazoom.publishing.workspace import Workspace, open_workspace
from tests.contents import CONTENT_OF, CONTENTS, Content, colour_of
from tests.in_memory import MemoryStore, etag_of
from tests.runs import ANSWER_LOST, REFUSED, TO_THE_END, HeldPulse, Run, World

T = TypeVar("T")
KEYS = ("img_1.png", "img_10.png", "notes")
A_KEY = st.sampled_from((KEYS[0], *KEYS))  # one more often than the others, for more to happen to it
AGAIN = timedelta(seconds=60)  # Lambda repeats what failed after a minute, the workers of `serve` likewise
GIVEN_UP = ("stalled", "out-of-time")  # a failure that the source is not to blame for: somebody asks for another try
LONGEST_PAUSE = LONGEST_RUN / 4 - timedelta(minutes=1)  # between two operations of one run: this, and LONGEST_RUN, is all that is asked


@dataclass(frozen=True)
class HowFar:
    """How far a run may go on: up to so many commits, where it matters most who else is at work, and then so many operations."""

    operations: int = TO_THE_END
    commits: int = 0


HOW_FAR = st.just(HowFar()) | st.integers(1, 12).map(HowFar) | st.integers(1, 7).map(lambda commits: HowFar(0, commits))


@pytest.fixture(scope="module", autouse=True)
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One workspace for all histories: its stores are replaced, its exiftool is a program that answers at once."""
    folder = tmp_path_factory.mktemp("model")
    program = folder / "exiftool"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -S {Path(__file__).with_name('exiftool_stand_in.py')}\n")
    program.chmod(0o755)
    names = {name: str(folder / name) for name in ("LAMBDAZOOM_SOURCE", "LAMBDAZOOM_ZOOM", "LAMBDAZOOM_METADATA")}
    opened = open_workspace(Settings.from_env({**names, "LAMBDAZOOM_EXIFTOOL": str(program)}))
    Publishing.tools = opened
    with patch.object(pipeline, "Pulse", HeldPulse), patch.object(pulses, "FIRST_SECONDS", 10**6):
        yield
    opened.close()


class Publishing(RuleBasedStateMachine):
    """The history of three keys. An event says that somebody must settle a key, from a time on; it goes when a run has settled it."""

    tools: Workspace
    is_versioned = False
    grace_seconds = 3600

    def __init__(self) -> None:
        super().__init__()
        tools = replace(self.tools, settings=replace(self.tools.settings, grace_seconds=self.grace_seconds))
        self.world = World(tools, self.is_versioned)
        self.clock = self.world.clock
        self.events: list[tuple[str, datetime]] = []
        self.runs: list[tuple[Run, str]] = []
        self.checked = (-1, -1)
        # what the test itself looks with, on no thread and past all gates
        self.zoom = MemoryStore(self.world.zoom, at_once)
        self.metadata = MemoryStore(self.world.metadata, at_once)

    # what people do

    @initialize(content=st.sampled_from(CONTENTS) | st.none())
    def begin(self, content: Content | None) -> None:
        """Half of the histories begin with something on show."""
        if content:
            self.upload(KEYS[0], content)
            self.settle_one(0, HowFar())

    @rule(key=A_KEY, content=st.sampled_from(CONTENTS))
    def upload(self, key: str, content: Content) -> None:
        originals = self.world.originals
        originals.uploads += 1
        while (key, content.data, self.clock.time.replace(microsecond=0)) in originals.uploaded:
            self.clock.pass_by(timedelta(seconds=1))  # the same bytes in the same second: a listing can't tell, nor need anybody
        originals.uploaded.add((key, content.data, self.clock.time.replace(microsecond=0)))
        version_id = str(originals.uploads) if originals.is_versioned else ""
        version = SourceVersion(etag_of(content.data), self.clock.time.replace(microsecond=0), len(content.data), version_id)
        self._now_holds(key, (version, content.data))

    @rule(key=A_KEY)
    def delete(self, key: str) -> None:
        if key in self.world.originals.held:
            self._now_holds(key, None)

    @rule(key=A_KEY)
    def put_back(self, key: str) -> None:
        """As a file moved aside and back, or a delete marker taken away: the very version that was there before."""
        if key in self.world.originals.before:
            self._now_holds(key, self.world.originals.before[key])

    def _now_holds(self, key: str, original: tuple[SourceVersion, bytes] | None) -> None:
        originals = self.world.originals
        if key in originals.held:
            originals.before[key] = originals.held.pop(key)
        if original:
            originals.held[key] = original
        self.events.append((key, self.clock.time))

    # what becomes of their events

    @rule(which=st.integers(0, 5), how_far=HOW_FAR)
    def settle_one(self, which: int, how_far: HowFar) -> None:
        """The events that are due, in any order; also one that was settled long ago comes again."""
        due = [event for event in self.events if event[1] <= self.clock.time]
        event = due[which % len(due)] if due else (KEYS[0], self.clock.time)
        if event in self.events:
            self.events.remove(event)
        self._begin(lambda workspace: is_settled(event[0], workspace), event[0], how_far)

    @rule(key=A_KEY, how_far=HOW_FAR)
    def ask_for_it_anew(self, key: str, how_far: HowFar) -> None:
        self._begin(lambda workspace: is_settled(key, workspace, Wish(asked=True, anew=True)), key, how_far)

    @rule(minutes=st.sampled_from((0, 61, 14 * 60, 27 * 60)), how_far=HOW_FAR)
    def sweep(self, minutes: int, how_far: HowFar) -> None:
        self.let_time_pass(minutes)
        self._begin(lambda workspace: sweep(workspace), "", how_far)

    @rule(how_far=HOW_FAR)
    def look_for_what_was_missed(self, how_far: HowFar) -> None:
        self._begin(lambda workspace: catch_up(workspace), "", how_far)

    @rule(how_far=HOW_FAR)
    def reconcile(self, how_far: HowFar) -> None:
        self._begin(lambda workspace: reconcile(workspace), "", how_far)

    @precondition(lambda self: self.events)
    @rule(which=st.integers(0, 5))
    def lose_an_event(self, which: int) -> None:
        """Nobody promises that each arrives."""
        self.events.pop(which % len(self.events))

    def _begin(self, body: Callable[[Workspace], object], key: str, how_far: HowFar) -> None:
        while len(self.runs) >= 3:
            self._move(*self.runs[0], TO_THE_END)
        self.runs.append((Run(self.world, body, key or "care"), key))
        self.move(-1, how_far)

    # how their runs fare

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 2), how_far=HOW_FAR)
    def move(self, which: int, how_far: HowFar) -> None:
        run, key = self.runs[which % len(self.runs)]
        for _ in range(how_far.commits):
            run.move(up_to_a_commit=True)
        self._move(run, key, how_far.operations)

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 2), after=st.integers(1, 25), kind=st.sampled_from((REFUSED, ANSWER_LOST)))
    def fail(self, which: int, after: int, kind: str) -> None:
        run, key = self.runs[which % len(self.runs)]
        if not self._is_too_old(run):
            run.break_operation(kind, after)
        self._move(run, key, after)

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 2))
    def kill(self, which: int) -> None:
        run, key = self.runs[which % len(self.runs)]
        if not self._is_too_old(run):
            run.kill()
        self._move(run, key, TO_THE_END)

    def _is_too_old(self, run: Run) -> bool:
        """What lasts for more than a day breaks nothing, but nobody else knows of its tiles: it must live on to take them away."""
        return self.clock.time - run.began_at > LONGEST_RUN

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 2))
    def beat(self, which: int) -> None:
        self.runs[which % len(self.runs)][0].beat()

    @rule(minutes=st.sampled_from((0.1, 1, 61, 14 * 60)))
    def let_time_pass(self, minutes: float) -> None:
        """But no run stands still for longer than runs may: now and then each does something."""
        until = self.clock.time + timedelta(minutes=minutes)
        while self.clock.time < until:
            pauses = [run.moved_at + LONGEST_PAUSE for run, _ in self.runs]
            self.clock.pass_by(min([until, *pauses]) - self.clock.time)
            for run, key in list(self.runs):
                self._move(run, key, int(self.clock.time - run.moved_at >= LONGEST_PAUSE))

    def _move(self, run: Run, key: str, operations: int) -> None:
        run.move(operations)
        if not run.is_over:
            return
        self.runs.remove((run, key))
        if key and not run.succeeded:
            self.events.append((key, self.clock.time + AGAIN))

    # what must hold

    @invariant()
    def viewers_see_whole_pyramids_of_one_version(self) -> None:
        changes = (self.world.zoom.changes, self.world.metadata.changes)
        if changes == self.checked:
            return
        self.checked = changes
        on_show = [shown for key in KEYS if (shown := generations.published(ImageKey(key), self.zoom))]
        for shown in on_show:
            self._require_whole(shown)
        known = {shown.generation.id for shown in on_show} | {note.generation.id for note in generations.notes(self.metadata)}
        unaccounted = {name.split("/")[2] for name in self.zoom.list("_tiles/")} - known
        assert not unaccounted or any(self._is_too_old(run) for run, _ in self.runs), "tiles that nothing accounts for"

    def _require_whole(self, shown: Published) -> None:
        colour, held = CONTENT_OF[shown.version.etag].colour, self.world.zoom.held
        assert shown.generation.descriptor in held
        assert colour_of(held[shown.generation.thumbnail]) == colour
        for level, column, row in shown.pyramid.tiles():
            assert colour_of(held[shown.generation.tile(level, column, row, "jpg")]) == colour

    def teardown(self) -> None:
        """All runs end, all events are settled, the sweep has taken what was due: now nothing but the source counts."""
        try:
            self._quieten()
        finally:
            for run, _ in self.runs:
                run.kill()

    def _quieten(self) -> None:
        while self.runs:
            self._move(*self.runs[0], TO_THE_END)
        for _ in range(5):
            self.clock.pass_by(2 * AGAIN)
            for key in sorted({key for key, _ in self.events}):
                self.events = [event for event in self.events if event[0] != key]
                self._settle_again(key)
        assert not self.events, "an event is never settled"
        self._begin(lambda workspace: reconcile(workspace), "", HowFar())  # what no event told of
        for key in KEYS:
            record = catalog.find(ImageKey(key), self.metadata)
            if record is not None and any(step and step.code in GIVEN_UP for step in (record.tiles, record.metadata)):
                self._settle_again(key, Wish(asked=True))
        for _ in range(3):
            self.clock.pass_by(LONGEST_RUN + timedelta(hours=2))
            self._begin(lambda workspace: sweep(workspace), "", HowFar())
        self._begin(lambda workspace: reconcile(workspace), "", HowFar())  # what a crash left in lists counts only now
        self.viewers_see_whole_pyramids_of_one_version()
        for key in KEYS:
            self._require_settled(ImageKey(key))
        assert list(self.metadata.list("_lambdazoom/generations/")) == []
        with survey(self.world.workspace(at_once), thorough=True) as found:
            assert set(found.counts) <= {Finding.FAILED}
            failed = {one.key for one in found.of([Finding.FAILED])}
        assert all(CONTENT_OF[etag_of(self.world.originals.held[key][1])].is_bad for key in failed)

    def _settle_again(self, key: str, wish: Wish = HINT) -> None:
        self._begin(lambda workspace: is_settled(key, workspace, wish), key, HowFar())

    def _require_settled(self, image: ImageKey) -> None:
        shown, described = generations.published(image, self.zoom), documents.find(image, self.metadata)
        record = catalog.find(image, self.metadata)
        if image.key not in self.world.originals.held:
            assert (shown, described) == (None, None)
            assert record is None or record.removed_at
            return
        version, data = self.world.originals.held[image.key]
        assert record
        assert record.version == version
        assert record.state(self.clock.time) in (State.PUBLISHED, State.FAILED, State.IGNORED)
        self._require_match(CONTENT_OF[etag_of(data)], version, record, shown, described)

    def _require_match(
        self, content: Content, version: SourceVersion, record: ImageRecord, shown: Published | None, described: Described | None
    ) -> None:
        if content.colour:
            assert shown
            assert same_version(shown.version, version)
            assert record.generation == shown.generation.id
            assert (described is not None) == content.is_readable
        else:
            assert record.tiles
            assert record.tiles.outcome != Outcome.DONE
        if shown and described:
            assert same_version(described.version, shown.version)
        if described:
            assert described.metadata.tags["File:Sum"]["text"] == described.version.etag
        if record.metadata and (shown is None or same_version(shown.version, version)):
            is_done = record.metadata.outcome == Outcome.DONE
            assert is_done == (described is not None and same_version(described.version, version))


def at_once(effect: Callable[[], T], conditional: bool = False, name: str = "") -> T:
    """A gate that stands open."""
    return effect()


def is_settled(key: str, workspace: Workspace, wish: Wish = HINT) -> bool:
    """Settle as a door does: whether nothing is left to be tried again."""
    record = settle(ImageKey(key), workspace, wish=wish)
    return record is None or not record.is_retryable


def reconcile(workspace: Workspace) -> bool:
    """What `reconcile --fix --delete-orphans` does, one image at a time."""
    with survey(workspace) as found:
        states = [repair_one(one, workspace) for one in found.of((*ADDS, Finding.ORPHANED))]
        return all(states)
