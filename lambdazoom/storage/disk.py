"""What folders need of the operating system: paths that stay inside, listings in order, syncs, and its errors in our own words."""

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lambdazoom.model.errors import AccessDenied, NotFound, StorageError, Unstorable
from lambdazoom.model.keys import display_name

LOCK = ".lambdazoom.lock"
UNFINISHED = ".lambdazoom.unfinished"  # what is being written, by who holds the lock: a killed writer's is written over by the next
OURS = (LOCK, UNFINISHED)  # listings pass over them


def inside(root: Path, name: str) -> Path:
    """The path of a name below `root`; Unstorable for a name that would lead elsewhere or that no file can bear."""
    if "\0" in name or any(segment in ("", ".", "..") for segment in name.split("/")):
        raise Unstorable(f"No file can be named {display_name(name)!r}.")
    return root / name


def prune(folder: Path, root: Path) -> None:
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


def walk(folder: Path, prefix: str, after: str, base: str = "", passes_over_unreadable: bool = False) -> Iterator[str]:
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
                yield from walk(folder / entry, prefix, after, name, passes_over_unreadable)
        elif name.startswith(prefix) and name > after and entry not in OURS:
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
def named(name: str, writing: bool = False) -> Iterator[None]:
    """Turn what the operating system says into our own errors, which name the object."""
    try:
        yield
    except OSError as error:
        shown = display_name(name)
        if writing and error.errno in _IN_THE_WAY:
            raise Unstorable(f"{shown} can't be stored: a file and a folder of the same name meet there.") from error
        kind, sentence = _REFUSALS.get(error.errno, (StorageError, f"{{name}}: {error.strerror or error}."))
        raise kind(sentence.format(name=shown)) from error


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # of a network file system that keeps its folders itself
            raise
    finally:
        os.close(descriptor)


def sync_file_system(folder: Path) -> None:
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
