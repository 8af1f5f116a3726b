"""Looking after what no event told of: sources that are newer than the last look."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from lambdazoom.model.errors import Conflict, LambdaZoomError, NotFound
from lambdazoom.model.keys import ImageKey, is_hidden
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.storage.base import JSON

LAST_LOOK = "_lambdazoom/schedule/last-look.json"
FIRST_LOOK_BACK = timedelta(hours=2)  # of the very first look; what is older was there before, and waits for somebody's wish
MARGIN = timedelta(minutes=30)  # looked at twice: clocks differ, and an upload gets its time when it begins

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Look:
    """A look at all sources that are newer than `since`; it began at some time, and has come to the key `after`."""

    since: datetime
    began: datetime
    after: str = ""


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
        failed += not _settles(ImageKey(found.key), workspace)
    _remember(workspace, _Look(look.began, look.began), etag)
    return Caught(looked_at, failed, stopped=False)


def _settles(image: ImageKey, workspace: Workspace) -> bool:
    try:
        settle(image, workspace)
    except LambdaZoomError as error:
        log.error("%s: %s", image.display, error)
        return False
    return True


def _look_begun(workspace: Workspace) -> tuple[_Look, str | None]:
    """The look that is to go on, or a new one, and the etag of what was remembered."""
    now = workspace.now()
    try:
        stored = workspace.metadata.read(LAST_LOOK)
    except NotFound:
        return _Look(now - FIRST_LOOK_BACK, now), None
    told = json.loads(stored.data)
    began = datetime.fromisoformat(told["began"]) if told.get("after") else now
    return _Look(datetime.fromisoformat(told["at"]), began, told.get("after", "")), stored.etag


def _remember(workspace: Workspace, look: _Look, etag: str | None) -> None:
    told = {"at": look.since.isoformat()}
    if look.after:
        told |= {"began": look.began.isoformat(), "after": look.after}
    try:
        workspace.metadata.write(LAST_LOOK, json.dumps(told).encode(), JSON, etag)
    except Conflict:
        log.info("another look at the sources ran at the same time")
