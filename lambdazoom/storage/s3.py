"""S3 buckets as a source and as stores, with the promises of storage/base.py.

Almost all goes through obstore, which needs a tenth of boto3's CPU for each request and loads in no time (docs/architecture.md);
boto3 comes when something is to be listed, or a mass to be deleted, or a key is of a kind that obstore would change.
"""

import errno
import itertools
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambdazoom.model.errors import NotFound, StorageError
from lambdazoom.model.keys import SourceObject, display_name
from lambdazoom.model.places import Bucket
from lambdazoom.storage import by_obstore
from lambdazoom.storage.base import Found, Headers, Item, Stored, Writer
from lambdazoom.storage.connection import Connection
from lambdazoom.storage.effort import LONG, patiently
from lambdazoom.storage.refusals import Passing, RefusedAgain, Undecided
from lambdazoom.storage.uploads import uploading

if TYPE_CHECKING:
    from obstore import PutMode

    from lambdazoom.storage import by_boto3

DOWNLOADS = 6  # ranges of one source at once
RANGE_BYTES = 8 * 2**20
WHOLE_SECONDS = 900  # for an original in one piece
READERS = 16  # looks at once: a page of images costs about the time of one
DELETES = 1000  # S3 takes no more in one request

_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,10}\Z")


class _Requests:
    """What one bucket can be asked: by obstore at once, by boto3 where that is needed."""

    def __init__(self, connection: Connection, bucket: Bucket) -> None:
        self._connection = connection
        self._bucket = bucket
        self.swift = by_obstore.BucketRequests(connection, bucket)

    @property
    def lasting(self) -> by_obstore.BucketRequests:
        """For an answer that may take as long as a whole original does."""
        return by_obstore.BucketRequests(self._connection, self._bucket, WHOLE_SECONDS)

    @property
    def thorough(self) -> "by_boto3.BucketRequests":
        """By boto3, which takes a quarter of a second to load: only who needs it pays."""
        from lambdazoom.storage import by_boto3

        return by_boto3.BucketRequests(self._connection.client, self._bucket)

    def about(self, name: str) -> "by_obstore.BucketRequests | by_boto3.BucketRequests":
        """By whatever can name that object."""
        return self.swift if by_obstore.can_name(self._bucket.path + name) else self.thorough


class BucketSource:
    """The originals in a bucket, below a prefix; keys are relative to it."""

    def __init__(self, connection: Connection, bucket: Bucket) -> None:
        self._requests = _Requests(connection, bucket)
        self.bucket = bucket.name
        self._prefix = bucket.path

    def key_of(self, bucket_key: str) -> str | None:
        """The key of an object of the bucket; None if it is not below the prefix."""
        return bucket_key.removeprefix(self._prefix) if bucket_key.startswith(self._prefix) else None

    def list(self, after: str = "") -> Iterator[SourceObject]:
        """Every object behind `after`, a thousand a request."""
        for key, version in self._requests.thorough.list("", after):
            yield SourceObject(key, version)

    def head(self, key: str) -> SourceObject:
        """The object as it is now."""
        try:
            return SourceObject(key, self._requests.about(key).head(key))
        except NotFound:
            # the same answer comes from a bucket that is not there, and must not withdraw everything
            self._requests.about(key).require_bucket(key)
            raise

    @contextmanager
    def fetch(self, wanted: SourceObject) -> Iterator[Path]:
        """The object in a temporary file, read in parallel ranges, each of them of the wanted version; removed in every case."""
        with tempfile.TemporaryDirectory(prefix="lambdazoom-") as private:
            suffix = _SUFFIX.search(wanted.key)
            path = Path(private) / f"source{suffix[0] if suffix else ''}"
            self._download(wanted, path)
            yield path

    def _download(self, wanted: SourceObject, path: Path) -> None:
        size = wanted.version.size
        with path.open("wb") as opened, _room_for(wanted, path):
            if size and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(opened.fileno(), 0, size)  # too little room is better known now
            try:
                self._download_ranges(wanted, opened.fileno())
            except by_obstore.NoRanges:
                patiently(lambda: self._download_whole(wanted, opened.fileno()), Passing, LONG)

    def _download_ranges(self, wanted: SourceObject, descriptor: int) -> None:
        with ThreadPoolExecutor(DOWNLOADS, thread_name_prefix="range") as pool:
            starts = range(0, wanted.version.size, RANGE_BYTES)
            # each in a copy of our context, so that its requests count for whom we work for
            ranges = [pool.submit(copy_context().run, self._download_range, wanted, descriptor, start) for start in starts]
            try:
                for each in ranges:
                    each.result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _download_range(self, wanted: SourceObject, descriptor: int, start: int) -> None:
        end = min(start + RANGE_BYTES, wanted.version.size)

        def take(chunk: Any) -> None:
            nonlocal start
            start += os.pwrite(descriptor, chunk, start)

        def go_on() -> None:  # where the attempt before was cut short; one that has brought something is no failure
            while start < end:
                begun, is_whole = start, end - start == wanted.version.size
                try:
                    self._requests.about(wanted.key).fetch(wanted.key, wanted.version.etag, None if is_whole else (start, end), take)
                except Passing:
                    if start == begun:
                        raise

        patiently(go_on, Passing, LONG)

    def _download_whole(self, wanted: SourceObject, descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        self._requests.lasting.fetch(wanted.key, wanted.version.etag, None, lambda chunk: os.write(descriptor, chunk))


class BucketStore:
    """What we make, in a bucket, below a prefix; its names are of our making, so obstore leaves them as they are."""

    def __init__(self, connection: Connection, bucket: Bucket) -> None:
        self._requests = _Requests(connection, bucket)
        self.bucket = bucket.name

    def read(self, name: str) -> Stored:
        """The whole object."""
        return self._requests.swift.get(name)

    def write(self, name: str, data: bytes, headers: Headers, etag: str | None) -> str:
        """A conditional PUT; also what S3 leaves undecided is a Conflict in the end, so that the caller looks again.

        If the answer to the first attempt got lost, S3 refuses the second because of what the first has written. So a repeated
        request that is refused looks whether our own bytes are there.
        """
        mode: PutMode = "create" if etag is None else {"e_tag": etag}
        try:
            return patiently(lambda: self._requests.swift.put(name, data, headers, mode), Undecided)
        except RefusedAgain:
            held = self._held(name)
            if held is None or held.data != data:
                raise
            return held.etag

    def delete(self, name: str, etag: str) -> None:
        """A conditional DELETE; one that was repeated, and finds nothing any more, has done it the first time."""
        try:
            patiently(lambda: self._requests.swift.delete(name, etag), Undecided)
        except RefusedAgain:
            if self._held(name) is not None:
                raise

    def _held(self, name: str) -> Stored | None:
        try:
            return self.read(name)
        except NotFound:
            return None

    def discard(self, name: str) -> None:
        """A plain DELETE."""
        self._requests.swift.delete(name)

    def discard_all(self, names: Iterable[str]) -> None:
        """A thousand objects a request."""
        remaining = iter(names)
        while batch := list(itertools.islice(remaining, DELETES)):
            self._requests.thorough.delete_all(batch)

    def put(self, name: str, data: bytes, headers: Headers) -> None:
        """A plain PUT."""
        self._requests.swift.put(name, data, headers)

    def bulk(self) -> AbstractContextManager[Writer]:
        """Uploads on threads of their own."""
        return uploading(self.put)

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """A thousand names a request, as the caller goes on."""
        for name, _ in self._requests.thorough.list(prefix, after):
            yield name

    def each(self, look: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
        """On threads, in copies of our context, so that their requests count for whom we work for."""
        remaining = iter(items)
        with ThreadPoolExecutor(READERS, thread_name_prefix="look") as pool:
            while batch := list(itertools.islice(remaining, 4 * READERS)):
                contexts = [copy_context() for _ in batch]
                yield from pool.map(lambda context, item: context.run(look, item), contexts, batch)


@contextmanager
def _room_for(wanted: SourceObject, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise StorageError(f"{display_name(wanted.key)} could not be kept in {path.parent} ({error.strerror}).") from error
        sentence = f"{display_name(wanted.key)} has {wanted.version.size:,} bytes, more than the temporary folder has room for."
        raise StorageError(f"{sentence} Raise ephemeral_storage.") from error
