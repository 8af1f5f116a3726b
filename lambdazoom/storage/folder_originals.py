"""Originals in a folder: uploads arrive in parts in a hidden file beside them, and get their name when they are whole.

The hidden file has no state but its size, so that an upload survives a restart of ours. What is left alone for IDLE_SECONDS goes.
"""

import errno
import fcntl
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lambdazoom.model.errors import AccessDenied, AlreadyThere, Incomplete, NoRoom, NotFound, StorageError, Unstorable
from lambdazoom.model.keys import SourceObject, display_name
from lambdazoom.model.uploads import Part, Plan, Upload
from lambdazoom.storage.folder import FolderSource
from lambdazoom.storage.originals import Signed

IDLE_SECONDS = 3600
HIDDEN = ".lambdazoom-upload-"
KEPT_FREE = 100_000_000  # bytes of the disk that no upload may take: tiles and records need some, too
CHUNK_BYTES = 2**20

_ID = re.compile(r"[0-9a-f]{32}")
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)  # what link(2) says on file systems that have none

log = logging.getLogger(__name__)


class FolderOriginals:
    """The originals of a folder."""

    origin = ""

    def __init__(self, source: FolderSource) -> None:
        self._source = source
        self._root = source.root

    def plan(self, size: int) -> Plan:
        """Parts of a size that our server can keep while they arrive."""
        return Plan.for_folder(size)

    def begin(self, key: str, plan: Plan, content_type: str) -> Upload:  # noqa: ARG002 (a file has no type but its name)
        """An empty hidden file."""
        self.sweep()
        with _refusals(key):
            self._root.mkdir(parents=True, exist_ok=True)
            self._require_place(key)
            self._require_room(key, plan.size)
            upload = Upload(secrets.token_hex(16), key, plan)
            os.close(os.open(self._hidden(upload), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        return upload

    def signed(self, upload: Upload, part: Part, content_type: str) -> Signed | None:  # noqa: ARG002
        """None: parts come through us."""
        return None

    def receive(self, upload: Upload, part: Part, body: BinaryIO) -> None:
        """Write the part in its place. Parts come in order; one that was sent before, whole or not, is written anew."""
        with _refusals(upload.key), self._hidden(upload).open("r+b", buffering=0) as opened:
            fcntl.flock(opened, fcntl.LOCK_EX)  # a part that is sent again must not meet itself
            if os.fstat(opened.fileno()).st_size < part.offset:
                raise Incomplete(f"Part {part.number} of {display_name(upload.key)} came before the one ahead of it. Send them in order.")
            self._require_room(upload.key, upload.plan.size - part.offset)
            opened.truncate(part.offset)
            opened.seek(part.offset)
            while opened.tell() <= part.offset + part.length and (chunk := body.read(CHUNK_BYTES)):
                opened.write(chunk)
            if opened.tell() != part.offset + part.length:
                opened.truncate(part.offset)
                raise Incomplete(f"Part {part.number} of {display_name(upload.key)} has another length than it should. Send it again.")

    def complete(self, upload: Upload, etags: Sequence[str]) -> None:  # noqa: ARG002
        """Bring the file to the disk, then under its name, where nothing may be yet."""
        hidden, target = self._hidden(upload), self._source.path_of(upload.key)
        with _refusals(upload.key):
            with hidden.open("r+b") as opened:
                received = os.fstat(opened.fileno()).st_size
                if received != upload.plan.size:
                    missing = f"{received:,} of {upload.plan.size:,} bytes of {display_name(upload.key)} have arrived."
                    raise Incomplete(f"{missing} Send the parts that are missing.")
                os.fchmod(opened.fileno(), 0o644)
                os.fsync(opened.fileno())
            self._require_place(upload.key)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._put_in_place(hidden, target)

    def abort(self, upload: Upload) -> None:
        """Delete the hidden file."""
        with _refusals(upload.key):
            self._hidden(upload).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Delete the uploads that nobody goes on with; one that can't be deleted is logged, and is in nobody's way."""
        for left in self._root.glob(f"{HIDDEN}*"):
            try:
                if time.time() - left.stat().st_mtime > IDLE_SECONDS:
                    left.unlink()
            except FileNotFoundError:
                continue  # done, or given up, just now
            except OSError as error:
                log.warning("%s is left of an upload and can't be deleted (%s).", left, error.strerror)

    def download(self, found: SourceObject, file_name: str) -> Path:  # noqa: ARG002
        """The file itself."""
        return self._source.path_of(found.key)

    def delete(self, key: str) -> bool:
        """Delete the file; its folder stays, for it is not ours."""
        self._source.head(key)
        with _refusals(key):
            self._source.path_of(key).unlink(missing_ok=True)
        return False

    def _hidden(self, upload: Upload) -> Path:
        if not _ID.fullmatch(upload.id):
            raise NotFound("There is no such upload. Begin it again.")
        return self._root / f"{HIDDEN}{upload.id}"

    def _require_place(self, key: str) -> None:
        """Whether the key leads to a free place in the folder itself: not through links, nor onto another drive."""
        target = self._source.path_of(key)
        parent = target.parent
        while not os.path.lexists(parent):
            parent = parent.parent
        if not parent.is_dir() or os.path.lexists(target):
            raise _in_the_way(key)
        is_below = parent.resolve() == self._root.resolve() / parent.relative_to(self._root)
        if not is_below or parent.stat().st_dev != self._root.stat().st_dev:
            where = f"{display_name(parent.name)} leads out of the source folder"
            raise Unstorable(f"{display_name(key)} can't be put there: {where}. Choose another folder.")

    def _require_room(self, key: str, size: int) -> None:
        free = shutil.disk_usage(self._root).free - KEPT_FREE
        if size > free:
            raise NoRoom(f"{display_name(key)} needs {size:,} bytes; the disk has room for {max(0, free):,}. Free some space.")

    def _put_in_place(self, hidden: Path, target: Path) -> None:
        try:
            os.link(hidden, target)  # fails if anything is there: renaming would take its place
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            put_without_links(hidden, target)
        else:
            hidden.unlink()


def put_without_links(hidden: Path, target: Path) -> None:
    """Give the file its name on a file system without links: an empty file claims the name, and is then replaced by it."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
    try:
        hidden.replace(target)
    except BaseException:
        target.unlink()
        raise


@contextmanager
def _refusals(key: str) -> Iterator[None]:
    """Turn what the operating system says into our own errors, which name the original."""
    try:
        yield
    except OSError as error:
        shown = display_name(key)
        if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
            raise _in_the_way(key) from error
        if error.errno == errno.ENOENT:
            raise NotFound("There is no such upload: it was given up, or left alone for too long. Begin it again.") from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoRoom(f"The disk is full; {shown} was not stored. Free some space.") from error
        if error.errno in (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL):
            raise Unstorable(f"This file system refuses the name {shown}. Rename the file.") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise AccessDenied(f"The source folder can't be written to over {shown} ({error.strerror}).") from error
        raise StorageError(f"{shown} could not be stored ({error.strerror or error}).") from error


def _in_the_way(key: str) -> AlreadyThere:
    return AlreadyThere(f"There is a file {display_name(key)} already, or one in its way. Rename yours, or delete that one first.")
