"""Runs that go on only as far as they are told: real threads of which one moves at a time, held at each store operation.

A killed run does nothing more: each further operation of it raises and has no effect, as if the process were gone, so that
clean-up code, which a kill -9 does not run, has none either.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self, TypeVar

from lambdazoom.model.errors import Conflict, LambdaZoomError, StorageError
from lambdazoom.publishing.pulse import Pulse
from lambdazoom.publishing.workspace import Workspace
from tests.in_memory import Gate, MemorySource, MemoryStore, Objects, Originals

T = TypeVar("T")

TO_THE_END = 10**9
REFUSED, ANSWER_LOST = "refused", "answer lost"


class Killed(BaseException):
    """The process is gone."""


class Clock:
    """The time that all runs see: a millisecond later with each operation, and later still when somebody says so."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def pass_by(self, time: timedelta) -> None:
        self.time += time


class World:
    """What all runs share."""

    def __init__(self, workspace: Workspace, is_versioned: bool) -> None:
        self.clock = Clock()
        self.originals = Originals(is_versioned)
        self.zoom = Objects()
        self.metadata = Objects()
        self._workspace = workspace

    def workspace(self, gate: Gate) -> Workspace:
        """The three places as they are seen through this gate."""
        return replace(
            self._workspace,
            source=MemorySource(self.originals, gate),
            zoom=MemoryStore(self.zoom, gate),
            metadata=MemoryStore(self.metadata, gate),
            now=self.clock,
            rest=lambda _: None,
        )


class Run:
    """One call of `body`, on a thread of its own; `move` lets it go on."""

    def __init__(self, world: World, body: Callable[[Workspace], object], name: str) -> None:
        self.name = name
        self.killed = False
        self.standing_at = ""  # the object that the next operation is about, if that is a commit
        self.is_over = False
        self.succeeded = False  # ended, and nothing is left to be retried
        self.began_at = self.moved_at = world.clock.time
        self.operations = 0
        self.pulse: Pulse | None = None
        self._clock = world.clock
        self._budget = 0
        self._halts, self._halted_at = False, -1
        self._fault = ("", 0)
        self._beats = False
        self._broken: BaseException | None = None
        self._go, self._stands = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=(body, world.workspace(self.gate)), daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return self.name

    def move(self, operations: int = TO_THE_END, up_to_a_commit: bool = False) -> None:
        """Let it do so many operations, or fewer if it ends before, or stands before a commit; raise what it should not have raised."""
        if self.is_over:
            return
        self._budget, self._halts = operations, up_to_a_commit
        self._go.release()
        self._stands.acquire()
        if self._broken:
            raise self._broken

    def kill(self) -> None:
        """It never does anything more."""
        self.killed = True
        self.move()
        self._thread.join()

    def break_operation(self, kind: str, after: int) -> None:
        """Let one of its operations fail, after so many others: before it has an effect, or after."""
        self._fault = (kind, self.operations + after)

    def beat(self) -> None:
        """Let it write a sign of life at its next operation, as its pulse does now and then."""
        self._beats = True

    def gate(self, effect: Callable[[], T], conditional: bool = False, name: str = "") -> T:
        """Wait until the operation may happen; have it happen."""
        if self._beats and self.pulse and not self.killed:
            self._beats, pulse = False, self.pulse
            pulse.beat()
        if self._halts and conditional and self.operations > self._halted_at:
            self._budget, self._halted_at = 0, self.operations
        self.standing_at = name
        self._wait()
        if self.killed:
            raise Killed
        self.operations += 1
        self.moved_at = self._clock.time
        self._clock.pass_by(timedelta(milliseconds=1))
        kind, at = self._fault
        if not kind or self.operations < at:
            return effect()
        self._fault = ("", 0)
        if kind == ANSWER_LOST:
            effect()
            if conditional:  # the client has asked again, and was told that the condition no longer holds
                raise Conflict("changed by somebody else")
        raise StorageError("The store did not answer.")

    def _wait(self) -> None:
        while self._budget == 0 and not self.killed:
            self._stands.release()
            self._go.acquire()
        self._budget -= 1

    def _run(self, body: Callable[[Workspace], object], workspace: Workspace) -> None:
        self._go.acquire()
        _current.run = self
        try:
            self.succeeded = bool(body(workspace))
        except LambdaZoomError as error:
            self.succeeded = not error.retryable
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 (raised where the run is moved)
            self._broken = error
        self.is_over = True
        self._stands.release()


_current = threading.local()


class HeldPulse(Pulse):
    """The real pulse, but for its clock: it beats when its run is told to."""

    def __enter__(self) -> Self:
        _current.run.pulse = self
        return super().__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _current.run.pulse = None
        super().__exit__(kind, error, trace)
