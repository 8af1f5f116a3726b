"""Threads that settle keys, a few at a time; who names the keys, and who watches, is not known here."""

import threading
from types import TracebackType
from typing import Protocol, Self

from lambdazoom.model.errors import Interrupted, LambdaZoomError
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord, Progress
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace


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

    Leaving the context interrupts what is at work; a later start takes it up again.
    """

    def __init__(self, workspace: Workspace, listener: Listener) -> None:
        self._workspace = workspace
        self._listener = listener
        self._waiting: dict[str, None] = {}  # in the order of arrival, each key once
        self._busy: set[str] = set()
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._run, name=f"job-{number}") for number in range(workspace.settings.jobs)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._workspace.stopping.set()
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def put(self, key: str) -> None:
        """Have this key settled soon; once more if it is being settled now."""
        with self._changed:
            self._waiting[key] = None
            self._changed.notify()

    def wait_until_idle(self) -> None:
        """Return when nothing is waiting or at work."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._busy)

    def _run(self) -> None:
        while True:
            key = self._take()
            if key is None:
                return
            try:
                self._settle(ImageKey(key))
            finally:
                with self._changed:
                    self._busy.discard(key)
                    self._changed.notify_all()

    def _take(self) -> str | None:
        with self._changed:
            self._changed.wait_for(lambda: self._workspace.stopping.is_set() or self._next() is not None)
            key = self._next()
            if key is None or self._workspace.stopping.is_set():
                return None
            del self._waiting[key]
            self._busy.add(key)
            return key

    def _next(self) -> str | None:
        return next((key for key in self._waiting if key not in self._busy), None)

    def _settle(self, image: ImageKey) -> None:
        try:
            record = settle(image, self._workspace, lambda progress: self._listener.progress(image, progress))
        except Interrupted:
            return
        except LambdaZoomError as error:
            self._listener.failed(image, error)
            return
        self._listener.finished(image, record)
