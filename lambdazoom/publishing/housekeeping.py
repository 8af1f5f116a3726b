"""What `serve` looks after in a thread of its own, as the schedule does on AWS: what went while nobody watched, and the sweep."""

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from lambdazoom.model.errors import LambdaZoomError
from lambdazoom.publishing.reconciling import Finding, survey
from lambdazoom.publishing.repairing import check_removal
from lambdazoom.publishing.sweeping import sweep
from lambdazoom.publishing.workspace import Workspace

SWEEP_SECONDS = 300.0
STOP_SECONDS = 5.0
ALL = 100  # percent of the images may have been deleted; only an empty source is more likely to be a drive that is not there

log = logging.getLogger(__name__)


class Housekeeping:
    """For as long as its context lasts; `changed(key)` is called for each image that is published and gone from the source."""

    def __init__(self, workspace: Workspace, changed: Callable[[str], None]) -> None:
        self._workspace = workspace
        self._changed = changed
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        has_told = False
        while not self._over.is_set():
            has_told = has_told or self._attempt(self._tell_what_went)  # its drive may be mounted after we have started
            self._attempt(lambda: sweep(self._workspace, self._over.is_set))
            self._over.wait(SWEEP_SECONDS)

    def _attempt(self, work: Callable[[], object]) -> bool:
        """Whether that went well; if not, the next time comes."""
        try:
            work()
        except (LambdaZoomError, OSError) as error:  # OSError: of our own temporary file, on a disk that is full
            log.warning("%s Trying again later.", error)
            return False
        return True

    def _tell_what_went(self) -> None:
        with survey(self._workspace) as found:
            check_removal(found, ALL, self._workspace.settings.texts["LAMBDAZOOM_SOURCE"])
            for orphan in found.of([Finding.ORPHANED]):
                self._changed(orphan.key)
