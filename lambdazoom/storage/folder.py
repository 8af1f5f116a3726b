"""A folder as a source or a store: a first-class store without AWS, with the promises of storage/base.py.

A commit (conditional write or delete) holds the store's flock, which the kernel frees when its owner dies. Control objects'
etag is the SHA-256 of their bytes; a source's is inode, size and modification time. What `write` has returned from outlasts a
power cut, and so does what `bulk` has: the mass of tiles with one sync for all.
"""

import fcntl
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from lambdazoom.model.errors import AccessDenied, Conflict, NotFound, StorageError
from lambdazoom.model.keys import SourceObject, SourceVersion, display_name
from lambdazoom.storage.base import Found, Headers, Item, Stored, Writer
from lambdazoom.storage.disk import LOCK, UNFINISHED, inside, named, prune, sync_file_system, sync_folder, walk

_ATTEMPTS = 10
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,10}\Z")


class FolderSource:
    """The originals in a folder and its subfolders; links to folders are not followed."""

    bucket = None

    def __init__(self, root: Path) -> None:
        self.root = root
        self._device: int | None = None  # of the root, when it was last seen
        self._devices_above: set[int] = set()  # of the folders that it lies in, where these are others

    def key_of(self, bucket_key: str) -> str | None:
        """The same key: a folder has no prefix."""
        return bucket_key

    def list(self, after: str = "") -> Iterator[SourceObject]:
        """Every file behind `after`; one that vanishes meanwhile, or is no plain file, is passed over."""
        self._require_root()
        for name in walk(self.root, "", after, passes_over_unreadable=True):
            try:
                yield self._look(name)
            except (NotFound, AccessDenied):
                continue

    def head(self, key: str) -> SourceObject:
        """The file as it is now; a folder that is not there at all is a StorageError, so that nobody takes it for empty."""
        path = inside(self.root, key)
        folder = path.parent.relative_to(self.root)
        if Path(os.path.realpath(self.root / folder)) != Path(os.path.realpath(self.root)) / folder:
            raise NotFound(f"There is no {display_name(key)}.")  # below a link: what the list passes over, nobody gets by name
        return self._look(key)

    def _look(self, key: str) -> SourceObject:
        self._require_root()
        with named(key):
            status = inside(self.root, key).stat()
        if not stat.S_ISREG(status.st_mode):
            raise NotFound(f"{display_name(key)} is not a file.")
        return SourceObject(key, _version(status))

    def path_of(self, key: str) -> Path:
        """Where the file of that key is, or would be; Unstorable for a key that no file below the folder can have."""
        return inside(self.root, key)

    def _require_root(self) -> None:
        try:
            status = self.root.stat()
        except OSError as error:
            raise StorageError(f"The source folder {self.root} is not there.") from error
        if not stat.S_ISDIR(status.st_mode):
            raise StorageError(f"The source {self.root} is not a folder.")
        if status.st_dev == self._device:
            return
        if status.st_dev in self._devices_above:
            # the bare mount point of a drive that is gone looks like an empty folder
            raise StorageError(f"The drive of the source folder {self.root} is gone: only its mount point is there. Mount it again.")
        self._device = status.st_dev  # seen for the first time, or mounted again
        self._devices_above = _devices_above(self.root) - {status.st_dev}

    @contextmanager
    def fetch(self, wanted: SourceObject) -> Iterator[Path]:
        """A link to the file under a name of our own, in a folder that only we can enter.

        Conflict at the end if it was not one and the same file all the time: one that is moved aside for another and back has the
        same version again, but another change time.
        """
        path = inside(self.root, wanted.key).absolute()
        before = self._status(wanted, path)
        with tempfile.TemporaryDirectory(prefix="lambdazoom-") as private:
            suffix = _SUFFIX.search(path.name)
            link = Path(private) / f"source{suffix[0] if suffix else ''}"
            link.symlink_to(path)
            yield link
        if self._status(wanted, path).st_ctime_ns != before.st_ctime_ns:
            raise Conflict(f"{display_name(wanted.key)} was moved meanwhile.")

    def _status(self, wanted: SourceObject, path: Path) -> os.stat_result:
        with named(wanted.key), path.open("rb") as opened:
            status = os.fstat(opened.fileno())
        if _version(status) != wanted.version:
            raise Conflict(f"{display_name(wanted.key)} has changed.")
        return status


class FolderStore:
    """What we make, in a folder. An object's name is its path below `root`; its headers are what the file name says."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, name: str) -> Stored:
        """The whole file."""
        with named(name):
            data = inside(self.root, name).read_bytes()
        return Stored(data, _etag(data))

    def write(self, name: str, data: bytes, headers: Headers, etag: str | None) -> str:  # noqa: ARG002 (a file has no headers)
        """A new file renamed into place, under the store's lock."""
        path = inside(self.root, name)
        with named(name, writing=True), self._locked():
            if self._etag_at(path) != etag:
                raise Conflict(f"{name} was changed by somebody else.")
            self._write_whole(path, data, lasts=True)
        return _etag(data)

    def delete(self, name: str, etag: str) -> None:
        """The file, and the folders that it leaves empty."""
        path = inside(self.root, name)
        with named(name), self._locked():
            if self._etag_at(path) != etag:
                raise Conflict(f"{name} was changed by somebody else.")
            path.unlink()
            prune(path.parent, self.root)

    def discard(self, name: str) -> None:
        """The file, and the folders that it leaves empty."""
        path = inside(self.root, name)
        with named(name), self._locked():
            path.unlink(missing_ok=True)
            prune(path.parent, self.root)

    def discard_all(self, names: Iterable[str]) -> None:
        """The files, and then the folders that they leave empty."""
        folders = set()
        for name in names:
            path = inside(self.root, name)
            with named(name):
                path.unlink(missing_ok=True)
            folders.add(path.parent)
        for folder in folders:
            with named(str(folder)), self._locked():
                prune(folder, self.root)

    def put(self, name: str, data: bytes, headers: Headers) -> None:  # noqa: ARG002
        """A new file renamed into place, under the lock: so nobody takes its folder away for being empty."""
        path = inside(self.root, name)
        with named(name, writing=True), self._locked():
            self._write_whole(path, data)

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """A walk in the order of the names that enters only folders which can hold such names."""
        base = prefix[: prefix.rfind("/") + 1]  # however full the folders above are, nobody looks through them
        return walk(self.root / base, prefix, after, base)

    def each(self, look: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
        """One after another: a thread takes longer to begin than a file to be read."""
        return map(look, items)

    @contextmanager
    def bulk(self) -> Iterator[Writer]:
        """Plain writes in the caller's thread, not atomic, and one sync of the file system for all of them."""
        yield self._write
        with named(str(self.root)):
            self.root.mkdir(parents=True, exist_ok=True)
            sync_file_system(self.root)

    def _write(self, name: str, data: bytes, headers: Headers) -> None:  # noqa: ARG002
        path = inside(self.root, name)
        with named(name, writing=True):
            for _ in range(_ATTEMPTS):
                try:
                    path.write_bytes(data)
                except FileNotFoundError:  # the first of its folder, or a sweep took the empty folder away just now
                    path.parent.mkdir(parents=True, exist_ok=True)
                else:
                    return
            path.write_bytes(data)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)  # and with it the lock

    def _write_whole(self, path: Path, data: bytes, lasts: bool = False) -> None:
        unfinished = self.root / UNFINISHED
        try:
            with unfinished.open("wb") as opened:
                opened.write(data)
                if lasts:  # without this, a power cut after the renaming may leave an empty file
                    opened.flush()
                    os.fsync(opened.fileno())
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        if lasts:
            sync_folder(path.parent)

    def _etag_at(self, path: Path) -> str | None:
        try:
            return _etag(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None


def _etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _version(status: os.stat_result) -> SourceVersion:
    modified = datetime.fromtimestamp(status.st_mtime_ns // 1000 / 1_000_000, UTC)
    return SourceVersion(f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}", modified, status.st_size)


def _devices_above(root: Path) -> set[int]:
    return {folder.stat().st_dev for folder in root.absolute().parents}
