"""Looking after what no event told of: sources that are newer than the last look."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
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
class Caught:
    """What a look found: new source objects, those that could not be settled, and whether time ended it."""

    looked_at: int
    failed: int
    stopped: bool


def catch_up(workspace: Workspace, is_time_up: Callable[[], bool] = lambda: False) -> Caught:
    """Settle every source object that is newer than the last look, whether or not an event told of it.

    Events get lost: `zappa update` takes the notification away and adds it again, and Lambda drops what waits too long. When
    time is up, the next look begins where this one did.
    """
    started_at = workspace.now()
    since, etag = _last_look(workspace, started_at)
    looked_at = failed = 0
    for found in workspace.source.list():
        if found.version.last_modified < since - MARGIN or is_hidden(found.key):
            continue
        if is_time_up():
            return Caught(looked_at, failed, stopped=True)
        looked_at += 1
        failed += not _settles(ImageKey(found.key), workspace)
    _remember(workspace, started_at, etag)
    return Caught(looked_at, failed, stopped=False)


def _settles(image: ImageKey, workspace: Workspace) -> bool:
    try:
        settle(image, workspace)
    except LambdaZoomError as error:
        log.error("%s: %s", image.display, error)
        return False
    return True


def _last_look(workspace: Workspace, now: datetime) -> tuple[datetime, str | None]:
    try:
        stored = workspace.metadata.read(LAST_LOOK)
    except NotFound:
        return now - FIRST_LOOK_BACK, None
    return datetime.fromisoformat(json.loads(stored.data)["at"]), stored.etag


def _remember(workspace: Workspace, at: datetime, etag: str | None) -> None:
    try:
        workspace.metadata.write(LAST_LOOK, json.dumps({"at": at.isoformat()}).encode(), JSON, etag)
    except Conflict:
        log.info("another look at the sources ran at the same time")
