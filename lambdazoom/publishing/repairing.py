"""Making right what a survey found, a few images at a time; finding it is reconciling.py's affair, settling one image the pipeline's."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass

from lambdazoom.model.errors import Interrupted, LambdaZoomError
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord, State
from lambdazoom.model.wishes import Wish
from lambdazoom.publishing import catalog
from lambdazoom.publishing.attempts import attempt
from lambdazoom.publishing.reconciling import Finding, Found, Survey
from lambdazoom.publishing.workspace import Workspace

ADDS = (  # or completes
    Finding.MISSING,
    Finding.STALE,
    Finding.STALLED,
    Finding.UNFINISHED,
    Finding.METADATA,
    Finding.LOST,
    Finding.UNTIDY,
)
GONE = "withdrawn"

log = logging.getLogger(__name__)


class RemovalRefused(LambdaZoomError):
    """So much would go that the source is more likely to be mistaken than the index."""

    code = "removal-refused"


@dataclass(frozen=True)
class Repaired:
    """What became of the images: how many are in which state now, and the errors of those that could not even be recorded."""

    states: Counter[str]
    errors: int


def check_removal(found: Survey, at_most: int, source: str) -> None:
    """RemovalRefused if the source is empty, or more than `at_most` percent of all known images would go."""
    going = found.counts[Finding.ORPHANED]
    if going and not found.images:
        raise RemovalRefused(f"{source} holds no images at all, so nothing is withdrawn. Is LAMBDAZOOM_SOURCE right?")
    if 100 * going > at_most * found.known:
        share = 100 * going / max(found.known, 1)
        raise RemovalRefused(
            f"{going:,} of {found.known:,} known images ({share:.0f} %) are not in {source}. At most {at_most} % may go, so nothing is "
            "withdrawn. Is LAMBDAZOOM_SOURCE right? If it is, allow more with --at-most."
        )


def repair(found: Iterable[Found], workspace: Workspace, told: Callable[[int], None] = lambda _: None) -> Repaired:
    """Settle each image, `settings.jobs` at a time; `told` hears how many are done. Raises Interrupted if the workspace is closing.

    What one of them meets stops no other. After an interruption the next survey finds what is left.
    """
    states: Counter[str] = Counter()
    at_work: set[Future[str]] = set()

    def take(done: set[Future[str]]) -> None:
        states.update(each.result() for each in done)
        told(states.total())

    with ThreadPoolExecutor(workspace.settings.jobs, thread_name_prefix="repair") as pool:
        try:
            for one in _until_stopped(found, workspace):
                at_work.add(pool.submit(copy_context().run, repair_one, one, workspace))
                if len(at_work) >= 2 * workspace.settings.jobs:
                    done, at_work = wait(at_work, return_when=FIRST_COMPLETED)
                    take(done)
            take(wait(at_work).done)
        except BaseException:  # Ctrl-C: what is at work is interrupted, and the next survey finds it
            workspace.stopping.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    errors = states.pop("", 0)
    return Repaired(states, errors)


def _until_stopped(found: Iterable[Found], workspace: Workspace) -> Iterator[Found]:
    for one in found:
        if workspace.stopping.is_set():
            raise Interrupted("Stopped before all was done. Start it again to go on.")
        yield one


def repair_one(one: Found, workspace: Workspace) -> str:
    """Settle one image, and take away what a crash left of it in lists: its state afterwards, "" if it could not be settled."""
    image = ImageKey(one.key)
    done = attempt(image, workspace, Wish(asked=one.finding == Finding.FAILED, recipe=one.finding == Finding.RECIPE))
    if done.trouble and done.record is None:
        return ""
    try:
        catalog.mend(image, set(one.names), workspace.metadata)
    except LambdaZoomError as error:
        log.error("%s: %s", image.display, error)
        return ""
    return _state(done.record, workspace)


def _state(record: ImageRecord | None, workspace: Workspace) -> str:
    state = record.state(workspace.now()) if record else State.REMOVED
    return GONE if state == State.REMOVED else state
