"""The watch over a source folder: tells which keys changed, once each file is at rest; what is done then is not known here.

The system's own events come through watchdog. Network drives send none, so the whole folder is looked through now and then.
A file counts as at rest when its size and time stayed the same for QUIET_SECONDS, by our clock, and nobody has it open for
writing, where the system can tell (a read lease on Linux, see fcntl(2)).
"""

import fcntl
import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from lambdazoom.model.errors import NotFound, StorageError
from lambdazoom.model.keys import SourceVersion, is_hidden
from lambdazoom.storage.folder import FolderSource

QUIET_SECONDS = 2.0
RESCAN_SECONDS = 60.0
LOOK_SECONDS = 0.25

_NO_VERSION = SourceVersion("", datetime.fromtimestamp(0, UTC), 0)  # of a file not looked at yet

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Sighting:
    """A file as it was when it was told of, and the drive that it lay on."""

    version: SourceVersion
    device: int


class Watch(FileSystemEventHandler):
    """Calls `changed(key)`, from a thread of its own, for each file that is there, that arrives, changes or goes.

    A context manager: the watch lasts as long as its context.
    """

    def __init__(self, source: FolderSource, changed: Callable[[str], None]) -> None:
        self._source = source
        self._changed = changed
        self._events: queue.SimpleQueue[str | None] = queue.SimpleQueue()  # None: look everything through
        self._restless: dict[str, tuple[SourceVersion, float]] = {}  # what is not at rest yet, and since when it is the same
        self._told: dict[str, _Sighting] = {}  # what was last told of
        self._device = -1  # of the folder, when it was last looked through
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._observer = Observer()

    def __enter__(self) -> Self:
        handled: list[type[FileSystemEvent]] = [FileCreatedEvent, FileModifiedEvent, FileMovedEvent, FileDeletedEvent, FileClosedEvent]
        handled += [DirCreatedEvent, DirMovedEvent, DirDeletedEvent]
        try:
            self._observer.schedule(self, str(self._source.root), recursive=True, event_filter=handled)
            self._observer.start()
        except OSError as error:  # more folders than the system watches (fs.inotify.max_user_watches)
            log.warning("No events from %s (%s); it is looked through every %d s.", self._source.root, error, RESCAN_SECONDS)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join()
        self._thread.join()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Note what may have changed (called by watchdog's thread)."""
        if event.is_directory:
            self._events.put(None)
            return
        for path in (event.src_path, event.dest_path):
            if path:
                self._events.put(self._key(os.fsdecode(path)))

    def _key(self, path: str) -> str:
        return Path(path).relative_to(self._source.root).as_posix()

    def _run(self) -> None:
        rescan_at = 0.0
        while not self._over.wait(LOOK_SECONDS):
            if time.monotonic() >= rescan_at or self._note_events():
                self._rescan()
                rescan_at = time.monotonic() + RESCAN_SECONDS
            for key in list(self._restless):
                self._look_again(key)

    def _note_events(self) -> bool:
        """Take in what watchdog told; True if that asks for a look at everything."""
        everything = False
        while not self._events.empty():
            key = self._events.get()
            everything = everything or key is None
            if key is not None and not is_hidden(key):
                self._restless.setdefault(key, (_NO_VERSION, 0.0))
        return everything

    def _rescan(self) -> None:
        try:
            present = {found.key: found.version for found in self._source.list() if not is_hidden(found.key)}
        except StorageError as error:
            log.warning("%s Trying again later.", error)
            return
        device = _device_of(self._source.root)
        if device != self._device:  # another number for the same drive, mounted again
            self._device = device
            self._told = {
                key: _Sighting(told.version, _device_of(self._source.root / key)) if key in present else told
                for key, told in self._told.items()
            }
        for key, version in present.items():
            if key not in self._told or self._told[key].version != version:
                self._restless.setdefault(key, (_NO_VERSION, 0.0))
        for key in self._told.keys() - present.keys():
            if self._is_really_gone(key):
                self._restless.setdefault(key, (_NO_VERSION, 0.0))

    def _is_really_gone(self, key: str) -> bool:
        """Whether the file was deleted, not a whole drive lost from sight: that must not take all pyramids along."""
        folder = (self._source.root / key).parent
        while not os.path.exists(folder) and folder != self._source.root:  # noqa: PTH110 (Path's raises below an unreadable folder)
            folder = folder.parent
        try:
            return folder.stat().st_dev == self._told[key].device
        except OSError:
            return False

    def _look_again(self, key: str) -> None:
        try:
            version = self._source.head(key).version
        except NotFound:
            self._tell(key, None)
            return
        except StorageError as error:
            log.warning("%s Trying again later.", error)
            self._restless.pop(key)
            return
        before, since = self._restless[key]
        if version != before:
            self._restless[key] = (version, time.monotonic())
        elif time.monotonic() - since >= QUIET_SECONDS and not _is_open_for_writing(self._source.root / key):
            self._tell(key, version)

    def _tell(self, key: str, version: SourceVersion | None) -> None:
        self._restless.pop(key)
        told = self._told.pop(key, None)
        if version is None and told is None:
            return  # it came and went before anybody heard of it
        if version is not None:
            self._told[key] = _Sighting(version, _device_of(self._source.root / key))
        if told is None or told.version != version:
            self._changed(key)


def _device_of(path: Path) -> int:
    """The drive that the file lies on; of one that has just gone, none."""
    try:
        return path.stat().st_dev
    except OSError:
        return -1


def _is_open_for_writing(path: Path) -> bool:
    """Whether somebody has the file open for writing; False where the system can't tell."""
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False  # settle will say what is wrong with it
    try:
        # who opens the file for writing meanwhile makes the kernel send us a signal: not SIGIO, which would end the process
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False  # not our file, or a file system without leases
    finally:
        os.close(descriptor)
    return False
