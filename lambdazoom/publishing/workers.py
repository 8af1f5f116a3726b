"""Threads that settle keys, a few at a time; who names the keys, and who watches, is not known here."""

import logging
import threading
import time
from types import TracebackType
from typing import Protocol, Self

from lambdazoom.model.errors import Interrupted, LambdaZoomError
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord, Progress
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace

RETRY_SECONDS = 60.0
STOP_SECONDS = 5.0

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Hears, from several threads, how the work goes."""

    def progress(self, image: ImageKey, progress: Progress) -> None:
        """A run is that far."""

    def finished(self, image: ImageKey, record: ImageRecord | None) -> None:
        """A run has ended; None if there is nothing to know of the image any more."""

    def failed(self, image: ImageKey, error: LambdaZoomError) -> None:
        """A run could not even be recorded."""


class Workers:
    """Settles each key that is put in, never one key twice at the same time; a context manager.

    What failed but may go better, and what another run seems to be at, is settled again after RETRY_SECONDS. Leaving the context
    interrupts what is at work; a later start takes it up again. One long call of a decoder can't be interrupted: it is waited
    for STOP_SECONDS at most.
    """

    def __init__(self, workspace: Workspace, listener: Listener) -> None:
        self._workspace = workspace
        self._listener = listener
        self._waiting: dict[str, None] = {}  # in the order of arrival, each key once
        self._busy: set[str] = set()
        self._again: dict[str, float] = {}  # key -> when, on the monotonic clock
        self._changed = threading.Condition()
        names = [f"job-{number}" for number in range(workspace.settings.jobs)]
        self._threads = [threading.Thread(target=self._run, name=name, daemon=True) for name in names]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._workspace.stopping.set()
        with self._changed:
            self._changed.notify_all()
        deadline = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def put(self, key: str) -> None:
        """Have this key settled soon; once more if it is being settled now."""
        with self._changed:
            self._waiting[key] = None
            self._changed.notify_all()  # also those wait here who only want to know when all is done

    def wait_until_idle(self) -> None:
        """Return when nothing is waiting or at work."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._busy)

    def _run(self) -> None:
        while True:
            key = self._take()
            if key is None:
                return
            goes_on = self._settle(ImageKey(key))
            with self._changed:
                self._busy.discard(key)
                if goes_on:
                    self._again[key] = time.monotonic() + RETRY_SECONDS
                self._changed.notify_all()

    def _take(self) -> str | None:
        with self._changed:
            while not self._workspace.stopping.is_set():
                self._wake_due()
                key = next((key for key in self._waiting if key not in self._busy), None)
                if key is not None:
                    del self._waiting[key]
                    self._again.pop(key, None)
                    self._busy.add(key)
                    return key
                self._changed.wait(min(self._again.values()) - time.monotonic() if self._again else None)
        return None

    def _wake_due(self) -> None:
        for key in [key for key, due in self._again.items() if due <= time.monotonic()]:
            del self._again[key]
            self._waiting[key] = None

    def _settle(self, image: ImageKey) -> bool:
        """Settle one image; True if it should be looked at again in a while."""
        try:
            record = settle(image, self._workspace, lambda progress: self._listener.progress(image, progress))
        except Interrupted:
            return False
        except LambdaZoomError as error:
            self._listener.failed(image, error)
            return True
        except Exception as error:  # the folder's counterpart of the Lambda door: one image must not end the service
            log.exception("%s: unexpected error", image.display)
            self._listener.failed(image, LambdaZoomError(f"It met an unexpected error ({type(error).__name__}). Please report it."))
            return False
        self._listener.finished(image, record)
        return record is not None and (record.is_unsettled or record.heartbeat_at is not None)
