"""How somebody who looks at pages has an image settled; who does the work, the door that serves the pages decides.

This process's own threads do it here, for doors that have no others.
"""

import threading
from typing import Protocol

from lambdazoom.model.errors import LambdaZoomError
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord, Progress
from lambdazoom.model.wishes import Wish
from lambdazoom.publishing.workers import Workers
from lambdazoom.publishing.workspace import Workspace


class Ask(Protocol):
    """Has images settled soon, and returns at once."""

    def __call__(self, image: ImageKey, wish: Wish, workspace: Workspace) -> None:
        """One image; StorageError if nobody can be asked."""


class OwnThreads:
    """Settles what is asked for in threads of this process, which the first wish starts and which end with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._workers: Workers | None = None

    def __call__(self, image: ImageKey, wish: Wish, workspace: Workspace) -> None:
        """Leave it to the threads."""
        with self._lock:
            if self._workers is None:
                self._workers = Workers(workspace, _Silent()).__enter__()
        self._workers.put(image.key, wish)


class _Silent:
    """Nobody listens: the records tell how it goes."""

    def progress(self, image: ImageKey, progress: Progress) -> None:
        pass

    def finished(self, image: ImageKey, record: ImageRecord | None) -> None:
        pass

    def failed(self, image: ImageKey, error: LambdaZoomError) -> None:
        pass
