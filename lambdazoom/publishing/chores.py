"""What `serve` sees to now and then, as the schedule does on AWS: the search's index; and uploads to a folder that nobody goes on with."""

import logging
import threading
import time
from types import TracebackType
from typing import Self

from lambdazoom.model.errors import LambdaZoomError
from lambdazoom.publishing import indexing
from lambdazoom.publishing.search import NEWEST
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.storage.folder import FolderSource
from lambdazoom.storage.folder_originals import FolderOriginals

LOOK_SECONDS = 60.0
REBUILD_SECONDS = 3600.0  # though nothing new has come: what was deleted goes
SHARE = 50  # of the time goes into rebuilding, at most one part of so many

log = logging.getLogger(__name__)


class Chores:
    """Sees to it in a thread of its own for as long as its context lasts."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chores", daemon=True)
        self._rebuilt: tuple[str | None, float] | None = None  # the newest image at that time, and when

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        wait = 0.0
        while not self._over.wait(wait):
            started = time.monotonic()
            try:
                self._sweep_uploads()
                self._rebuild()
            except LambdaZoomError as error:
                log.warning("%s Trying again later.", error)
            wait = max(LOOK_SECONDS, SHARE * (time.monotonic() - started))

    def _sweep_uploads(self) -> None:
        if isinstance(self._workspace.source, FolderSource):
            FolderOriginals(self._workspace.source).sweep()

    def _rebuild(self) -> None:
        newest = next(self._workspace.metadata.list(NEWEST), None)
        is_due = self._rebuilt is None or newest != self._rebuilt[0] or time.monotonic() - self._rebuilt[1] > REBUILD_SECONDS
        if is_due:
            indexing.rebuild(self._workspace.metadata, self._workspace.now, self._over.is_set)
            self._rebuilt = (newest, time.monotonic())
