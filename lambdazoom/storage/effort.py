"""What a run may spend on a store, and what it has spent: the time until which it may try again, and requests by kind.

Stores look here whom they work for; whoever runs something says so with `spending`. Nothing is known here of any store.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from lambdazoom.model.errors import StorageError
from lambdazoom.model.prices import Requests

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How often something is tried, and how long the pauses between are at most, in seconds: each a random part of twice the one before."""

    attempts: int
    first: float
    longest: float


SHORT = Patience(6, 0.1, 5.0)  # two seconds on average
LONG = Patience(10, 0.1, 20.0)  # half a minute


class Effort:
    """Counts requests, from any thread, and knows until when (on the monotonic clock) there is time for more."""

    def __init__(self, deadline: float | None = None, outer: "Effort | None" = None) -> None:
        ends = [end for end in (deadline, outer.deadline if outer else None) if end is not None]
        self.deadline: float | None = min(ends, default=None)
        self._outer = outer
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, kind: str) -> None:
        """One more request of this kind (a field of Requests)."""
        with self._lock:
            self._counts[kind] += 1
        if self._outer:
            self._outer.count(kind)

    @property
    def requests(self) -> Requests:
        """What was counted until now."""
        with self._lock:
            return Requests(**self._counts)

    def has_time_for(self, seconds: float) -> bool:
        """Whether something that takes so long would end in time."""
        return self.deadline is None or time.monotonic() + seconds < self.deadline


_current: ContextVar[Effort] = ContextVar("effort")


def current() -> Effort:
    """The effort of whoever is at work in this context; one that nobody looks at if nobody has said."""
    return _current.get(None) or Effort()


@contextmanager
def spending(seconds: float | None = None) -> Iterator[Effort]:
    """Count what is done in this context, and let nothing be tried again after so many seconds.

    What is spent inside counts for the outer effort too, and the outer one's time holds inside. A thread counts only if it was
    started with this context (contextvars.copy_context).
    """
    effort = Effort(None if seconds is None else time.monotonic() + seconds, _current.get(None))
    token = _current.set(effort)
    try:
        yield effort
    finally:
        _current.reset(token)


def patiently(work: Callable[[], T], passing: type[StorageError], patience: Patience = SHORT) -> T:
    """What the work gives; after a `passing` error it is tried again, after capped, jittered pauses, while there is time."""
    effort, ceiling = current(), patience.first
    for _ in range(patience.attempts - 1):
        try:
            return work()
        except passing:
            pause = random.uniform(0, ceiling)  # noqa: S311 (nobody gains from guessing it)
            if not effort.has_time_for(pause):
                raise
        effort.count("retries")
        time.sleep(pause)
        ceiling = min(2 * ceiling, patience.longest)
    return work()
