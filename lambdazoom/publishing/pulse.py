"""A run's sign of life: its progress, written to the record now and then."""

import threading
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Self

from lambdazoom.model.errors import StorageError
from lambdazoom.model.records import Progress
from lambdazoom.publishing import catalog
from lambdazoom.publishing.catalog import Kept
from lambdazoom.publishing.workspace import Workspace

FIRST_SECONDS = 1.0
EVERY_SECONDS = 2.0

Observer = Callable[[Progress], None]


class Pulse:
    """While its context lasts, the record in `kept` shows how far the run is, be it busy in one long call.

    `tell` may be called from several threads. Somebody else's record ends the signs of life, not the run: what is
    published never depends on them.
    """

    def __init__(self, kept: Kept, workspace: Workspace, observer: Observer) -> None:
        self.kept = kept
        self._workspace = workspace
        self._observer = observer
        self._progress = Progress("reading")
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)

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
        """One more tile is done."""
        with self._lock:
            told = replace(self._progress, done=self._progress.done + 1)
            self._progress = told
            self._observer(told)

    def _tell(self, progress: Progress) -> None:
        with self._lock:
            self._progress = progress
            self._observer(progress)

    def _beat(self) -> None:
        wait = FIRST_SECONDS
        while not self._over.wait(wait):
            wait = EVERY_SECONDS
            beaten = replace(self.kept.record, heartbeat_at=self._workspace.now(), progress=self._progress)
            try:
                self.kept = catalog.save(beaten, self.kept, self._workspace.metadata)
            except StorageError:
                return
