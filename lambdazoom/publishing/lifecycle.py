"""Looking after what no event told of: sources that are newer than the last look."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from lambdazoom.model.errors import Conflict, NotFound
from lambdazoom.model.keys import ImageKey, is_hidden
from lambdazoom.publishing.attempts import attempt
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.storage.base import JSON

LAST_LOOK = "_lambdazoom/schedule/last-look.json"
FIRST_LOOK_BACK = timedelta(hours=2)  # of the very first look; what is older was there before, and waits for somebody's wish
LONGEST_DEBT = timedelta(days=1)  # what failed is looked at again for so long; then `reconcile` finds it
MARGIN = timedelta(minutes=30)  # looked at twice: clocks differ, and an upload gets its time when it begins

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Look:
    """A look at all sources that are newer than `since`; it began at some time, and has come to the key `after`.

    `owes` tells whether one of them failed.
    """

    since: datetime
    began: datetime
    after: str = ""
    owes: bool = False


@dataclass(frozen=True)
class Caught:
    """What a look found: new source objects, those that could not be settled, and whether time ended it."""

    looked_at: int
    failed: int
    stopped: bool


def catch_up(workspace: Workspace, is_time_up: Callable[[], bool] = lambda: False) -> Caught:
    """Settle every source object that is newer than the last look, whether or not an event told of it.

    Events get lost: `zappa update` takes the notification away and adds it again, and Lambda drops what waits too long. When
    time is up, the next call goes on behind the key that this one came to, however many there are.
    """
    look, etag = _look_begun(workspace)
    looked_at = failed = 0
    for found in workspace.source.list(look.after):
        if is_time_up():
            _remember(workspace, look, etag)
            return Caught(looked_at, failed, stopped=True)
        look = replace(look, after=found.key)
        if found.version.last_modified < look.since - MARGIN or is_hidden(found.key):
            continue
        looked_at += 1
        failed += bool(attempt(ImageKey(found.key), workspace).trouble)
        look = replace(look, owes=look.owes or failed > 0)
    # what failed may go well next time, and events of it come no more
    since = max(look.since, look.began - LONGEST_DEBT) if look.owes else look.began
    _remember(workspace, _Look(since, look.began), etag)
    return Caught(looked_at, failed, stopped=False)


def _look_begun(workspace: Workspace) -> tuple[_Look, str | None]:
    """The look that is to go on, or a new one, and the etag of what was remembered."""
    now = workspace.now()
    try:
        stored = workspace.metadata.read(LAST_LOOK)
    except NotFound:
        return _Look(now - FIRST_LOOK_BACK, now), None
    told = json.loads(stored.data)
    began = datetime.fromisoformat(told["began"]) if told.get("after") else now
    return _Look(datetime.fromisoformat(told["at"]), began, told.get("after", ""), told.get("owes", False)), stored.etag


def _remember(workspace: Workspace, look: _Look, etag: str | None) -> None:
    told: dict[str, object] = {"at": look.since.isoformat()}
    if look.after:
        told |= {"began": look.began.isoformat(), "after": look.after, "owes": look.owes}
    try:
        workspace.metadata.write(LAST_LOOK, json.dumps(told).encode(), JSON, etag)
    except Conflict:
        log.info("another look at the sources ran at the same time")
