"""A run's sign of life: its progress, written to the record now and then."""

import threading
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import replace
from types import TracebackType
from typing import Self

from lambdazoom.model.errors import Conflict, NotFound, OutOfTime, StorageError
from lambdazoom.model.records import Progress
from lambdazoom.publishing import catalog
from lambdazoom.publishing.catalog import Kept
from lambdazoom.publishing.workspace import Workspace

FIRST_SECONDS = 2.0
EVERY_SECONDS = 5.0
RESERVE_SECONDS = 15.0  # what a run needs to take its tiles away and to write its record

Observer = Callable[[Progress], None]


class Pulse:
    """While its context lasts, the record in `kept` shows how far the run is, be it busy in one long call.

    `advance` may be called from several threads. Somebody else's record ends the signs of life, not the run: what is
    published never depends on them. A store that fails ends neither: a run that was thought dead would be done twice.
    """

    def __init__(self, kept: Kept, workspace: Workspace, observer: Observer) -> None:
        self.kept = kept
        self._workspace = workspace
        self._observer = observer
        self._progress = Progress("reading")
        self._lock = threading.Lock()
        self._over = threading.Event()
        # in our own context, so that what it asks of the stores counts for this run
        self._thread = threading.Thread(target=copy_context().run, args=(self._beat,), name="pulse", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def stage(self, stage: str, total: int = 0) -> None:
        """A new stage begins; `total` is its number of tiles."""
        self._tell(Progress(stage, 0, total))

    def advance(self) -> None:
        """One more tile is done. Raises OutOfTime."""
        with self._lock:
            known = self._progress
            self._progress = told = Progress(known.stage, known.done + 1, known.total)
            self._observer(told)
        if self._workspace.remaining() < RESERVE_SECONDS:
            sentence = f"Stopped before the time limit with {told.percent} % of the tiles stored. Nothing was published."
            raise OutOfTime(f"{sentence} Retry, or raise memory_size: more memory is also more speed.")

    def _tell(self, progress: Progress) -> None:
        with self._lock:
            self._progress = progress
            self._observer(progress)

    def _beat(self) -> None:
        wait = FIRST_SECONDS
        while not self._over.wait(wait):
            wait = EVERY_SECONDS
            if not self.beat():
                return

    def beat(self) -> bool:
        """Write a sign of life; False if the record is somebody else's by now."""
        beaten = replace(self.kept.record, heartbeat_at=self._workspace.now(), progress=self._progress)
        try:
            self.kept = catalog.save(beaten, self.kept, self._workspace.metadata)
        except (Conflict, NotFound):
            return self._is_still_ours()
        except StorageError:
            return True  # the next may be heard
        return True

    def _is_still_ours(self) -> bool:
        """Whether it was a beat of our own whose answer was lost."""
        try:
            kept = catalog.find_kept(self.kept.record.image, self._workspace.metadata)
        except StorageError:
            return True
        if kept is None or kept.record.run != self.kept.record.run:
            return False
        self.kept = kept
        return True
