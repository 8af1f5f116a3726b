"""A folder as a source or a store: a first-class store without AWS, with the promises of storage/base.py.

A commit (conditional write or delete) holds the store's flock, which the kernel frees when its owner dies. Control objects'
etag is the SHA-256 of their bytes; a source's is inode, size and modification time. What `write` has returned from outlasts a
power cut, and so does what `bulk` has: the mass of tiles with one sync for all.
"""

import ctypes
import errno
import fcntl
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from lambdazoom.model.errors import AccessDenied, Conflict, NotFound, StorageError, Unstorable
from lambdazoom.model.keys import SourceObject, SourceVersion, display_name
from lambdazoom.storage.base import Headers, Stored, Writer

LOCK = ".lambdazoom.lock"
UNFINISHED = ".lambdazoom.unfinished"  # what is being written, by who holds the lock: a killed writer's is written over by the next
_OURS = (LOCK, UNFINISHED)  # listings pass over them
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

    def list(self) -> Iterator[SourceObject]:
        """Every file; one that vanishes meanwhile, or is no plain file, is passed over."""
        self._require_root()
        for name in _walk(self.root, "", "", passes_over_unreadable=True):
            try:
                yield self._look(name)
            except (NotFound, AccessDenied):
                continue

    def head(self, key: str) -> SourceObject:
        """The file as it is now; a folder that is not there at all is a StorageError, so that nobody takes it for empty."""
        path = _inside(self.root, key)
        folder = path.parent.relative_to(self.root)
        if Path(os.path.realpath(self.root / folder)) != Path(os.path.realpath(self.root)) / folder:
            raise NotFound(f"There is no {display_name(key)}.")  # below a link: what the list passes over, nobody gets by name
        return self._look(key)

    def _look(self, key: str) -> SourceObject:
        self._require_root()
        with _named(key):
            status = _inside(self.root, key).stat()
        if not stat.S_ISREG(status.st_mode):
            raise NotFound(f"{display_name(key)} is not a file.")
        return SourceObject(key, _version(status))

    def path_of(self, key: str) -> Path:
        """Where the file of that key is, or would be; Unstorable for a key that no file below the folder can have."""
        return _inside(self.root, key)

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
        path = _inside(self.root, wanted.key).absolute()
        before = self._status(wanted, path)
        with tempfile.TemporaryDirectory(prefix="lambdazoom-") as private:
            suffix = _SUFFIX.search(path.name)
            link = Path(private) / f"source{suffix[0] if suffix else ''}"
            link.symlink_to(path)
            yield link
        if self._status(wanted, path).st_ctime_ns != before.st_ctime_ns:
            raise Conflict(f"{display_name(wanted.key)} was moved meanwhile.")

    def _status(self, wanted: SourceObject, path: Path) -> os.stat_result:
        with _named(wanted.key), path.open("rb") as opened:
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
        with _named(name):
            data = _inside(self.root, name).read_bytes()
        return Stored(data, _etag(data))

    def write(self, name: str, data: bytes, headers: Headers, etag: str | None) -> str:  # noqa: ARG002 (a file has no headers)
        """A new file renamed into place, under the store's lock."""
        path = _inside(self.root, name)
        with _named(name, writing=True), self._locked():
            if self._etag_at(path) != etag:
                raise Conflict(f"{name} was changed by somebody else.")
            self._write_whole(path, data, lasts=True)
        return _etag(data)

    def delete(self, name: str, etag: str) -> None:
        """The file, and the folders that it leaves empty."""
        path = _inside(self.root, name)
        with _named(name), self._locked():
            if self._etag_at(path) != etag:
                raise Conflict(f"{name} was changed by somebody else.")
            path.unlink()
            _prune(path.parent, self.root)

    def discard(self, name: str) -> None:
        """The file, and the folders that it leaves empty."""
        path = _inside(self.root, name)
        with _named(name), self._locked():
            path.unlink(missing_ok=True)
            _prune(path.parent, self.root)

    def discard_all(self, names: Iterable[str]) -> None:
        """The files, and then the folders that they leave empty."""
        folders = set()
        for name in names:
            path = _inside(self.root, name)
            with _named(name):
                path.unlink(missing_ok=True)
            folders.add(path.parent)
        for folder in folders:
            with _named(str(folder)), self._locked():
                _prune(folder, self.root)

    def put(self, name: str, data: bytes, headers: Headers) -> None:  # noqa: ARG002
        """A new file renamed into place, under the lock: so nobody takes its folder away for being empty."""
        path = _inside(self.root, name)
        with _named(name, writing=True), self._locked():
            self._write_whole(path, data)

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """A walk in the order of the names that enters only folders which can hold such names."""
        base = prefix[: prefix.rfind("/") + 1]  # however full the folders above are, nobody looks through them
        return _walk(self.root / base, prefix, after, base)

    @contextmanager
    def bulk(self) -> Iterator[Writer]:
        """Plain writes in the caller's thread, not atomic, and one sync of the file system for all of them."""
        yield self._write
        with _named(str(self.root)):
            self.root.mkdir(parents=True, exist_ok=True)
            _sync_file_system(self.root)

    def _write(self, name: str, data: bytes, headers: Headers) -> None:  # noqa: ARG002
        path = _inside(self.root, name)
        with _named(name, writing=True):
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
            _sync_folder(path.parent)

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


def _inside(root: Path, name: str) -> Path:
    """The path of a name below `root`; Unstorable for a name that would lead elsewhere or that no file can bear."""
    if "\0" in name or any(segment in ("", ".", "..") for segment in name.split("/")):
        raise Unstorable(f"No file can be named {display_name(name)!r}.")
    return root / name


def _devices_above(root: Path) -> set[int]:
    return {folder.stat().st_dev for folder in root.absolute().parents}


def _prune(folder: Path, root: Path) -> None:
    """Remove the folder and those above it, up to `root`, as far as they are empty."""
    while folder != root:
        try:
            folder.rmdir()
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return
            if error.errno != errno.ENOENT:
                raise
        folder = folder.parent


def _walk(folder: Path, prefix: str, after: str, base: str = "", passes_over_unreadable: bool = False) -> Iterator[str]:
    """The names of the files below, sorted as whole names: as S3 does, "a-b" stands before "a/b"."""
    try:
        entries = sorted((entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name) for entry in os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    except PermissionError as error:
        if passes_over_unreadable and base:
            return
        raise AccessDenied(f"The folder {display_name(str(folder))} can't be listed: permission denied.") from error
    except OSError as error:  # a network drive that does not answer
        raise StorageError(f"The folder {display_name(str(folder))} can't be listed ({error.strerror}).") from error
    for entry in entries:
        name = base + entry
        if entry.endswith("/"):
            can_match = name.startswith(prefix) or prefix.startswith(name)
            if can_match and not (after > name and not after.startswith(name)):
                yield from _walk(folder / entry, prefix, after, name, passes_over_unreadable)
        elif name.startswith(prefix) and name > after and entry not in _OURS:
            yield name


_DENIED = "{name} can't be opened: permission denied. Give the user that runs LambdaZoom access to it."
_REFUSED = "This file system refuses the name {name}."
_REFUSALS: dict[int | None, tuple[type[StorageError], str]] = {
    errno.ENOENT: (NotFound, "There is no {name}."),
    errno.ENOTDIR: (NotFound, "There is no {name}."),
    errno.ELOOP: (NotFound, "There is no {name}: it is a link that leads to itself."),
    errno.EACCES: (AccessDenied, _DENIED),
    errno.EPERM: (AccessDenied, _DENIED),
    errno.ENAMETOOLONG: (Unstorable, "The name {name} is too long for this file system."),
    errno.EILSEQ: (Unstorable, _REFUSED),
    errno.EINVAL: (Unstorable, _REFUSED),
    errno.ENOSPC: (StorageError, "The disk is full; {name} was not written. Free some space and retry."),
}
_IN_THE_WAY = {errno.ENOTDIR, errno.EEXIST, errno.EISDIR}  # when writing: a file stands where a folder must be, or the reverse


@contextmanager
def _named(name: str, writing: bool = False) -> Iterator[None]:
    """Turn what the operating system says into our own errors, which name the object."""
    try:
        yield
    except OSError as error:
        shown = display_name(name)
        if writing and error.errno in _IN_THE_WAY:
            raise Unstorable(f"{shown} can't be stored: a file and a folder of the same name meet there.") from error
        kind, sentence = _REFUSALS.get(error.errno, (StorageError, f"{{name}}: {error.strerror or error}."))
        raise kind(sentence.format(name=shown)) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # of a network file system that keeps its folders itself
            raise
    finally:
        os.close(descriptor)


def _sync_file_system(folder: Path) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "syncfs"):
        os.sync()
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if library.syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(descriptor)
