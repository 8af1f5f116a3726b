"""The workspace that the application shows, and what it needs beside it: opened when the first request needs it, then kept."""

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import cast
from urllib.parse import urlsplit

from flask import Flask, current_app

from lambdazoom.model.errors import StorageError
from lambdazoom.model.places import Folder
from lambdazoom.publishing.asking import Ask, OwnThreads
from lambdazoom.publishing.indexing import Search
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.storage.folder import FolderSource
from lambdazoom.storage.folder_originals import FolderOriginals
from lambdazoom.storage.originals import Originals

_NAME = "lambdazoom"


class Opening:
    """A workspace that is opened once, by whoever asks first; after a SettingsError the next one tries again."""

    def __init__(self, open_workspace: Callable[[], Workspace], ask: Ask) -> None:
        self.ask = ask
        self._open_workspace = open_workspace
        self._lock = Lock()
        self._workspace: Workspace | None = None
        self._originals: Originals | None = None
        self._search: Search | None = None

    def workspace(self) -> Workspace:
        """The workspace; SettingsError if it can't be opened."""
        with self._lock:
            if self._workspace is None:
                self._workspace = self._open_workspace()
            return self._workspace

    def originals(self) -> Originals:
        """The originals, for what somebody asks to be done to them."""
        opened = self.workspace()
        with self._lock:
            if self._originals is None:
                self._originals = _originals(opened)
            return self._originals

    def search(self) -> Search:
        """The search's index."""
        opened = self.workspace()
        with self._lock:
            if self._search is None:
                self._search = Search(opened.metadata, opened.now)
            return self._search

    @property
    def manages_source(self) -> bool:
        """Whether originals may be uploaded and deleted; False while nothing is open."""
        return self._workspace is not None and self._workspace.settings.manages_source

    @property
    def uploads_origin(self) -> str:
        """Scheme and host that browsers may send uploads to beside our own; empty while nothing is open, and if there is none."""
        if self._workspace is None or not self.manages_source or isinstance(self._workspace.settings.source, Folder):
            return ""
        try:
            return self.originals().origin
        except StorageError:
            return ""  # no credentials: then nothing is uploaded either

    @property
    def tiles_origin(self) -> str:
        """Scheme and host that browsers may read tiles from beside our own; empty while nothing is open."""
        if self._workspace is None or not self._workspace.settings.tiles_url:
            return ""
        address = urlsplit(self._workspace.settings.tiles_url)
        return f"{address.scheme}://{address.netloc}"


def install(application: Flask, open_workspace: Callable[[], Workspace], ask: Ask | None = None) -> None:
    """Tell the application how to open its workspace, and whom to ask to have an image settled: threads of its own, if nobody."""
    application.extensions[_NAME] = Opening(open_workspace, ask or OwnThreads())


def opening() -> Opening:
    """The current application's."""
    return cast(Opening, current_app.extensions[_NAME])


def workspace() -> Workspace:
    """The current application's workspace; SettingsError if it can't be opened."""
    return opening().workspace()


def _originals(opened: Workspace) -> Originals:
    place = opened.settings.source
    if isinstance(place, Folder):
        return FolderOriginals(FolderSource(Path(place.path).resolve()))
    from lambdazoom.storage.bucket_originals import BucketOriginals  # boto3 takes half a second to import: only who needs it pays

    return BucketOriginals(place)
