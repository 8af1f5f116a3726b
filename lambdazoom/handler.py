"""The Lambda door: S3's events in, and what somebody asked for on a page; one settle() for each key, errors out so that Lambda's own
retries work for us.

Zappa calls `on_object_event` with the whole event. It catches TypeErrors and calls again with fewer arguments, so none may escape.
"""

import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from lambdazoom.model.errors import StorageError, Unfinished
from lambdazoom.model.events import Change, Unreadable, changes_of
from lambdazoom.model.keys import ImageKey, key_of
from lambdazoom.model.settings import Settings
from lambdazoom.model.wishes import HINT, Wish
from lambdazoom.publishing import notices
from lambdazoom.publishing.attempts import attempt
from lambdazoom.publishing.workspace import Workspace, open_workspace

RESERVE_SECONDS = 240  # what the largest image may still need when a scheduled run begins with it

log = logging.getLogger(__name__)


class _Door:
    """The workspace that all invocations of this process share, opened by the first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._workspace: Workspace | None = None

    def workspace(self) -> Workspace:
        with self._lock:
            if self._workspace is None:
                _clear_temporary_folder()
                self._workspace = open_workspace(Settings.from_env(os.environ))
            return self._workspace

    def close(self) -> None:
        """Forget the workspace, so that the next event opens another."""
        with self._lock:
            if self._workspace is not None:
                self._workspace.close()
            self._workspace = None


def _clear_temporary_folder() -> None:
    """Take away what a killed process left in this sandbox, which outlives it: an original there may take all the room of the next.

    Elsewhere than on Lambda others may be at work in that folder.
    """
    if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
        for left in Path(tempfile.gettempdir()).glob("lambdazoom-*"):
            log.warning("removing %s, which a process before this one has left", left)
            shutil.rmtree(left, ignore_errors=True)


door = _Door()


def on_object_event(event: Mapping[str, Any], context: Any) -> None:
    """Settle every key that the event names.

    Raises SettingsError, and Unfinished if something failed that may go better later, after every key was tried.
    """
    workspace = _within(context)
    _settle_all(_images_of(event, workspace), workspace, HINT)


def on_wish(event: Mapping[str, Any], context: Any) -> None:
    """Settle what somebody asked for; the event is calling.py's own. Raises as on_object_event does."""
    images = [ImageKey(key_of(name)) for name in event["names"]]
    wish = Wish(asked=True, recipe=event["recipe"], anew=event.get("anew", False))  # an event from before an update tells less
    _settle_all(images, _within(context), wish)


def on_schedule(event: Mapping[str, Any], context: Any) -> None:  # noqa: ARG001
    """Look after what events did not: sources newer than the last look, generations that are due to go, the search's index.

    Stops in time before the invocation ends; the next one goes on. Raises SettingsError, and Unfinished if something failed.
    """
    from lambdazoom.publishing import indexing  # an image's event does without all three
    from lambdazoom.publishing.lifecycle import catch_up
    from lambdazoom.publishing.sweeping import sweep

    workspace = _within(context)
    for_the_rest = max(workspace.remaining() / 2, RESERVE_SECONDS)

    def is_time_up() -> bool:
        return workspace.remaining() < RESERVE_SECONDS

    try:
        # among millions it goes on next time, and all else has its turn
        caught = catch_up(workspace, lambda: workspace.remaining() < for_the_rest)
        swept = sweep(workspace, is_time_up)
        indexed = indexing.rebuild(workspace.metadata, workspace.now, is_time_up)
    except StorageError as error:
        raise Unfinished(f"The scheduled look was not finished: {error}") from error
    log.info("schedule new=%d failed=%d swept=%d indexed=%d", caught.looked_at, caught.failed, swept.generations, indexed)
    if caught.failed or swept.failed:
        raise Unfinished(f"Of the scheduled look, {caught.failed} images and {swept.failed} old pyramids are left for another time.")


def _within(context: Any) -> Workspace:
    """The workspace, to be used for as long as this invocation may still last."""
    if context is None:  # somebody else than Lambda calls
        return door.workspace()
    return replace(door.workspace(), remaining=lambda: context.get_remaining_time_in_millis() / 1000)


def _images_of(event: Mapping[str, Any], workspace: Workspace) -> list[ImageKey]:
    """The images that the event is about, each once, in its order."""
    images: dict[str, ImageKey] = {}
    for change in changes_of(event):
        if isinstance(change, Unreadable):
            log.error("event not understood: %s", change.reason)
            continue
        key = _key_of(change, workspace)
        if key is not None:
            images[key] = ImageKey(key)
    return list(images.values())


def _key_of(change: Change, workspace: Workspace) -> str | None:
    if workspace.source.bucket not in (None, change.bucket):
        log.error("event from the bucket %s, which is not LAMBDAZOOM_SOURCE", change.bucket)
        with suppress(StorageError):  # a hint for the operator, which must not keep the event's images from being settled
            notices.unknown_bucket(change.bucket, workspace.metadata)
        return None
    return workspace.source.key_of(change.key)


def _settle_all(images: list[ImageKey], workspace: Workspace, wish: Wish) -> None:
    attempts = [attempt(image, workspace, wish) for image in images]
    troubles = [each.trouble for each in attempts if each.is_retryable]
    if troubles:
        raise Unfinished(f"{len(troubles)} of this event's images could not be settled: {' '.join(troubles)}")
