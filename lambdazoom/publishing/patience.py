"""How often one call tries again what a store refused, and how long it waits; what is worth a try is not decided here.

Full jitter, capped (AWS, "Exponential Backoff And Jitter", 2015): who was told to slow down together does not come back together.
"""

import random
import time

from lambdazoom.model.errors import Conflict, StorageError
from lambdazoom.publishing.workspace import Workspace

ROUNDS = 20  # looks in one call: what changes more often meanwhile is left to its next event
FAILURES = 5  # in one call; a bucket's own client has tried again before each
FAILING_SECONDS = 45  # from the first failure in a row on; then the next is the last. A bucket that does not answer fails twice a minute
FIRST_SECONDS = 0.5
LAST_SECONDS = 8.0


class Patience:
    """Of one call, which its workspace's remaining time bounds."""

    def __init__(self, name: str, workspace: Workspace) -> None:
        self._name = name
        self._workspace = workspace
        self._rounds = 0
        self._failures = 0
        self._failing_since: float | None = None

    def look(self) -> None:
        """Another look is taken; Conflict if that was often enough."""
        self._rounds += 1
        if self._rounds > ROUNDS:
            raise Conflict(f"{self._name} changed again and again while it was processed.")

    def went_well(self) -> None:
        """A step is done: what fails from here on is another affair, though the failures before it still count."""
        self._failing_since = None

    def lost(self) -> None:
        """Somebody else was there first: give them a moment, so that two runs don't go on step by step against each other."""
        self._workspace.rest(random.uniform(0, FIRST_SECONDS / 10) * self._rounds)  # noqa: S311 (nobody gains by guessing it)

    def failed(self, error: StorageError) -> None:
        """Wait a while, so that the store may get over it; raise the error if it won't, or if neither times nor time are left."""
        self._failures += 1
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        is_enough = self._failures >= FAILURES or now > self._failing_since + FAILING_SECONDS
        seconds = random.uniform(0, min(LAST_SECONDS, FIRST_SECONDS * 2**self._failures))  # noqa: S311
        ends = self._workspace.stopping.is_set() or seconds >= self._workspace.remaining()
        if not error.retryable or is_enough or ends:
            raise error
        self._workspace.rest(seconds)
