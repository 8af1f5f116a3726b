"""The workspace that the application shows: opened when the first request needs it, then kept."""

from collections.abc import Callable
from threading import Lock
from typing import cast
from urllib.parse import urlsplit

from flask import Flask, current_app

from lambdazoom.publishing.workspace import Workspace

_NAME = "lambdazoom"


class Opening:
    """A workspace that is opened once, by whoever asks first; after a SettingsError the next one tries again."""

    def __init__(self, open_workspace: Callable[[], Workspace]) -> None:
        self._open_workspace = open_workspace
        self._lock = Lock()
        self._workspace: Workspace | None = None

    def workspace(self) -> Workspace:
        """The workspace; SettingsError if it can't be opened."""
        with self._lock:
            if self._workspace is None:
                self._workspace = self._open_workspace()
            return self._workspace

    @property
    def tiles_origin(self) -> str:
        """Scheme and host that browsers may read tiles from beside our own; empty while nothing is open."""
        if self._workspace is None or not self._workspace.settings.tiles_url:
            return ""
        address = urlsplit(self._workspace.settings.tiles_url)
        return f"{address.scheme}://{address.netloc}"


def install(application: Flask, open_workspace: Callable[[], Workspace]) -> None:
    """Tell the application how to open its workspace."""
    application.extensions[_NAME] = Opening(open_workspace)


def opening() -> Opening:
    """The current application's."""
    return cast(Opening, current_app.extensions[_NAME])


def workspace() -> Workspace:
    """The current application's workspace; SettingsError if it can't be opened."""
    return opening().workspace()
