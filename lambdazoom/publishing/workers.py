"""Threads that settle keys, a few at a time; who names the keys, who watches, and in which process it is done, is not known here."""

import logging
import random
import threading
import time
from collections.abc import Callable
from enum import Enum, auto
from types import TracebackType
from typing import Protocol, Self, TypeVar

from lambdazoom.model.errors import Interrupted, LambdaZoomError
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord, Progress
from lambdazoom.model.wishes import HINT, Wish
from lambdazoom.publishing.workspace import Workspace

RETRY_SECONDS = 60.0  # after a first failure, and twice as long after each further one
LONGEST_RETRY_SECONDS = 3600.0
STOP_SECONDS = 8.0

_Told = TypeVar("_Told")

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Hears, from several threads, how the work goes; what it can't bear is logged, and the work goes on."""

    def progress(self, image: ImageKey, progress: Progress) -> None:
        """A run is that far."""

    def finished(self, image: ImageKey, record: ImageRecord | None) -> None:
        """A run has ended; None if there is nothing to know of the image any more."""

    def failed(self, image: ImageKey, error: LambdaZoomError) -> None:
        """A run could not even be recorded."""


class Settling(Protocol):
    """How one image is settled: by a call in this process (Here), or by a process of its own (children.py)."""

    def __call__(self, image: ImageKey, wish: Wish, tell: Callable[[Progress], None]) -> ImageRecord | None:
        """As pipeline.settle; `tell` hears how far it is. Raises LambdaZoomError, Interrupted if the workspace is closing."""


class Here:
    """Settles images in this process. What crashes takes it along: for places where somebody else keeps runs apart."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def __call__(self, image: ImageKey, wish: Wish, tell: Callable[[Progress], None]) -> ImageRecord | None:
        """Settle one image."""
        from lambdazoom.publishing.pipeline import settle  # it brings Pillow, and the pages only put keys in

        return settle(image, self._workspace, tell, wish)


class Workers:
    """Settles each key that is put in, never one key twice at the same time; a context manager.

    What failed but may go better, and what another run seems to be at, is settled again after a while: ever longer if it fails
    again and again. Leaving the context interrupts what is at work; a later start takes it up again. In this process one long call of a
    decoder can't be interrupted: it is waited for STOP_SECONDS at most.
    """

    def __init__(self, workspace: Workspace, listener: Listener, settling: Settling | None = None) -> None:
        self._workspace = workspace
        self._listener = listener
        self._settling = settling or Here(workspace)
        self._waiting: dict[str, Wish] = {}  # in the order of arrival, each key once
        self._busy: set[str] = set()
        self._again: dict[str, float] = {}  # key -> when, on the monotonic clock
        self._failures: dict[str, int] = {}  # of each key, one after another
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

    def put(self, key: str, wish: Wish = HINT) -> None:
        """Have this key settled soon; once more if it is being settled now."""
        with self._changed:
            self._waiting[key] = self._waiting.get(key, HINT) | wish
            self._changed.notify_all()  # also those wait here who only want to know when all is done

    def wait_until_idle(self) -> None:
        """Return when nothing is waiting or at work."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._busy)

    def _run(self) -> None:
        while True:
            taken = self._take()
            if taken is None:
                return
            key, wish = taken
            ended = self._settle(ImageKey(key), wish)
            with self._changed:
                self._busy.discard(key)
                self._failures[key] = self._failures.get(key, 0) + 1 if ended == _End.FAILED else 0
                if ended != _End.SETTLED:
                    self._again[key] = time.monotonic() + _pause(self._failures[key])
                else:
                    del self._failures[key]
                self._changed.notify_all()

    def _take(self) -> tuple[str, Wish] | None:
        with self._changed:
            while not self._workspace.stopping.is_set():
                self._wake_due()
                key = next((key for key in self._waiting if key not in self._busy), None)
                if key is not None:
                    wish = self._waiting.pop(key)
                    self._again.pop(key, None)
                    self._busy.add(key)
                    return key, wish
                self._changed.wait(min(self._again.values()) - time.monotonic() if self._again else None)
        return None

    def _wake_due(self) -> None:
        for key in [key for key, due in self._again.items() if due <= time.monotonic()]:
            del self._again[key]
            self._waiting.setdefault(key, HINT)

    def _settle(self, image: ImageKey, wish: Wish) -> "_End":
        """Settle one image, and tell how that ended."""
        try:
            record = self._settling(image, wish, lambda progress: _tell(self._listener.progress, image, progress))
        except Interrupted:
            return _End.SETTLED
        except LambdaZoomError as error:
            _tell(self._listener.failed, image, error)
            return _End.FAILED
        except Exception as error:  # the folder's counterpart of the Lambda door: one image must not end the service
            log.exception("%s: unexpected error", image.display)
            sentence = f"It met an unexpected error ({type(error).__name__}). Please report it."
            _tell(self._listener.failed, image, LambdaZoomError(sentence))
            return _End.SETTLED
        _tell(self._listener.finished, image, record)
        if record is None or not (record.is_unsettled or record.heartbeat_at):
            return _End.SETTLED
        return _End.FAILED if record.is_unsettled and not record.heartbeat_at else _End.ELSEWHERE


class _End(Enum):
    """How a call of settle ended: for good for now, with what may go better, or because another run is at the image."""

    SETTLED = auto()
    FAILED = auto()
    ELSEWHERE = auto()


def _tell(hears: Callable[[ImageKey, _Told], None], image: ImageKey, told: _Told) -> None:
    """Let the listener hear how it goes; a thread that ended over it would settle nothing any more."""
    try:
        hears(image, told)
    except Exception:
        log.exception("%s: nobody could be told how it goes", image.display)


def _pause(failures: int) -> float:
    """Seconds until the next try, so that what failed together does not come back together."""
    longest = min(RETRY_SECONDS * 2.0 ** max(0, failures - 1), LONGEST_RETRY_SECONDS)
    return longest * random.uniform(0.75, 1)  # noqa: S311 (nobody gains by guessing it)
