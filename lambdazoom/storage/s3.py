"""S3 buckets as a source and as stores, with the promises of storage/base.py.

boto3 does control: listing, reading any key, every conditional write and delete. The mass of tiles goes through obstore, which
needs a tenth of boto3's CPU for each (docs/architecture.md); not more, for it strips slashes from keys and calls a lost
race a success of somebody else's. Both take the endpoint and the credentials from boto3's own chain.
"""

import errno
import itertools
import os
import re
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from obstore.store import S3Store

from lambdazoom.model.errors import Conflict, NotFound, StorageError, Unstorable
from lambdazoom.model.keys import SourceObject, SourceVersion, display_name
from lambdazoom.model.places import Bucket
from lambdazoom.storage import effort
from lambdazoom.storage.base import Headers, Stored, Writer
from lambdazoom.storage.effort import patiently
from lambdazoom.storage.refusals import CutShort, Undecided, no_bucket, speaking, was_repeated
from lambdazoom.storage.uploads import open_tile_store, uploading

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DOWNLOADS = 6  # ranges of one source at once
RANGE_BYTES = 8 * 2**20
DELETES = 1000  # S3 takes no more in one request
MAX_KEY_BYTES = 1024
ATTEMPTS = 7  # of one boto3 request: with its pauses, of a random part of 1, 2, 4, ... 20 s, half a minute on average
LONGEST_PAUSE = 20.0  # of boto3's, in seconds

_KINDS = {  # of boto3's operations, as receipts count them
    "GetObject": "get",
    "HeadObject": "head",
    "HeadBucket": "head",
    "PutObject": "put",
    "ListObjectsV2": "list",
    "DeleteObject": "delete",
    "DeleteObjects": "delete",
}
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,10}\Z")


_PASSING = {"InternalError", "ServiceUnavailable", "SlowDown"}  # of single keys of a DeleteObjects


class NotDeleted(StorageError):
    """S3 deleted some of several objects, and may delete the others in a moment."""


@dataclass(frozen=True)
class Connection:
    """What all buckets share: boto3's client, and its credentials for obstore."""

    client: "S3Client"
    session: boto3.Session


def connect() -> Connection:
    """A connection by boto3's whole chain: environment, profile, role, AWS_ENDPOINT_URL."""
    session = boto3.Session()
    config = Config(
        max_pool_connections=DOWNLOADS + 16,
        connect_timeout=5,
        read_timeout=30,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    client = session.client("s3", region_name=session.region_name or "us-east-1", config=config)
    client.meta.events.register("before-send.s3", _count)
    client.meta.events.register_first("needs-retry.s3", _end_in_time)
    return Connection(client, session)


def _count(event_name: str, **_: Any) -> None:
    """boto3 is about to send a request: each attempt counts."""
    effort.current().count(_KINDS.get(event_name.rpartition(".")[2], "other"))


def _end_in_time(attempts: int, **_: Any) -> Any:
    """boto3 asks whether to send a request again: not (False) if its pause might be longer than the time that is left."""
    now = effort.current()
    if attempts > 1:
        now.count("retries")
    return None if now.has_time_for(min(2.0**attempts, LONGEST_PAUSE)) else False


class BucketSource:
    """The originals in a bucket, below a prefix; keys are relative to it."""

    def __init__(self, connection: Connection, bucket: Bucket) -> None:
        self._client = connection.client
        self.bucket = bucket.name
        self._prefix = bucket.path

    def key_of(self, bucket_key: str) -> str | None:
        """The key of an object of the bucket; None if it is not below the prefix."""
        return bucket_key.removeprefix(self._prefix) if bucket_key.startswith(self._prefix) else None

    def list(self, after: str = "") -> Iterator[SourceObject]:
        """Every object behind `after`, a thousand a request."""
        for entry in _list(self._client, self.bucket, self._prefix, self._prefix + after if after else ""):
            version = SourceVersion(entry["ETag"], entry["LastModified"].astimezone(UTC).replace(microsecond=0), entry["Size"])
            yield SourceObject(entry["Key"].removeprefix(self._prefix), version)

    def head(self, key: str) -> SourceObject:
        """The object as it is now; versions that differ in nothing else differ in their version id."""
        try:
            with speaking(self.bucket, key):
                found = self._client.head_object(Bucket=self.bucket, Key=self._prefix + key)
        except NotFound:
            self._require_bucket()  # the same answer comes from a bucket that is not there, and must not withdraw everything
            raise
        modified = found["LastModified"].astimezone(UTC).replace(microsecond=0)
        return SourceObject(key, SourceVersion(found["ETag"], modified, found["ContentLength"], found.get("VersionId", "")))

    def _require_bucket(self) -> None:
        try:
            with speaking(self.bucket, ""):
                self._client.head_bucket(Bucket=self.bucket)
        except NotFound as error:
            raise no_bucket(self.bucket) from error

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
            with ThreadPoolExecutor(DOWNLOADS, thread_name_prefix="range") as pool:
                starts = range(0, size, RANGE_BYTES)
                # each in a copy of our context, so that its requests count for whom we work for
                ranges = [pool.submit(copy_context().run, self._download_range, wanted, opened.fileno(), start) for start in starts]
                try:
                    for each in ranges:
                        each.result()
                finally:
                    pool.shutdown(wait=True, cancel_futures=True)

    def _download_range(self, wanted: SourceObject, descriptor: int, start: int) -> None:
        end = min(start + RANGE_BYTES, wanted.version.size)

        def go_on() -> None:  # where the attempt before was cut short
            nonlocal start
            with speaking(self.bucket, wanted.key, conditional=True):
                answer = self._client.get_object(
                    Bucket=self.bucket, Key=self._prefix + wanted.key, Range=f"bytes={start}-{end - 1}", IfMatch=wanted.version.etag
                )
                for chunk in answer["Body"].iter_chunks(2**20):
                    start += os.pwrite(descriptor, chunk, start)

        patiently(go_on, CutShort)


class BucketStore:
    """What we make, in a bucket, below a prefix."""

    def __init__(self, connection: Connection, bucket: Bucket) -> None:
        self._connection = connection
        self._client = connection.client
        self.bucket = bucket.name
        self._prefix = bucket.path
        self._lock = threading.Lock()
        self._tiles: S3Store | None = None

    def read(self, name: str) -> Stored:
        """The whole object."""

        def attempt() -> Stored:
            with speaking(self.bucket, name):
                answer = self._client.get_object(Bucket=self.bucket, Key=self._key(name))
                return Stored(answer["Body"].read(), answer["ETag"])

        return patiently(attempt, CutShort)

    def write(self, name: str, data: bytes, headers: Headers, etag: str | None) -> str:
        """A conditional PUT; also what S3 leaves undecided is a Conflict in the end, so that the caller looks again.

        If the answer to the first attempt got lost, S3 refuses the second because of what the first has written. So a repeated
        request that is refused looks whether our own bytes are there.
        """
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}

        def attempt() -> str:
            with speaking(self.bucket, name, conditional=True):
                return self._put(name, data, headers, condition)

        try:
            return patiently(attempt, Undecided)
        except Conflict as error:
            held = self._held(name) if was_repeated(error) else None
            if held is None or held.data != data:
                raise
            return held.etag

    def delete(self, name: str, etag: str) -> None:
        """A conditional DELETE; one that was repeated, and finds nothing any more, has done it the first time."""

        def attempt() -> None:
            with speaking(self.bucket, name, conditional=True):
                self._client.delete_object(Bucket=self.bucket, Key=self._key(name), IfMatch=etag)

        try:
            patiently(attempt, Undecided)
        except Conflict as error:
            if not was_repeated(error) or self._held(name) is not None:
                raise

    def _held(self, name: str) -> Stored | None:
        try:
            return self.read(name)
        except NotFound:
            return None

    def discard(self, name: str) -> None:
        """A plain DELETE."""
        with speaking(self.bucket, name):
            self._client.delete_object(Bucket=self.bucket, Key=self._key(name))

    def discard_all(self, names: Iterable[str]) -> None:
        """A thousand objects a request."""
        remaining = iter(names)
        while batch := [self._key(name) for name in itertools.islice(remaining, DELETES)]:
            self._delete_keys(batch)

    def _delete_keys(self, keys: list[str]) -> None:
        left = keys

        def attempt() -> None:
            nonlocal left
            objects: list[Any] = [{"Key": key} for key in left]
            with speaking(self.bucket, left[0]):
                answer = self._client.delete_objects(Bucket=self.bucket, Delete={"Objects": objects, "Quiet": True})
            errors = answer.get("Errors", ())
            left = [error["Key"] for error in errors]
            for error in errors:
                kind = NotDeleted if error.get("Code") in _PASSING else StorageError
                raise kind(f"{error['Key']} could not be deleted ({error.get('Code')}). Retry later.")

        patiently(attempt, NotDeleted)

    def put(self, name: str, data: bytes, headers: Headers) -> None:
        """A plain PUT."""
        with speaking(self.bucket, name):
            self._put(name, data, headers, {})

    @contextmanager
    def bulk(self) -> Iterator[Writer]:
        """Uploads by obstore on threads of their own."""
        with uploading(self._tile_store(), self.bucket, self._prefix) as write:
            yield write

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """A thousand names a request, as the caller goes on."""
        for entry in _list(self._client, self.bucket, self._key(prefix), self._key(after) if after else ""):
            yield entry["Key"].removeprefix(self._prefix)

    def _key(self, name: str) -> str:
        key = self._prefix + name
        if len(key.encode()) > MAX_KEY_BYTES:
            raise Unstorable(f"The name {display_name(name)} is too long for S3 ({MAX_KEY_BYTES} bytes).")
        return key

    def _put(self, name: str, data: bytes, headers: Headers, condition: dict[str, Any]) -> str:
        answer = self._client.put_object(
            Bucket=self.bucket,
            Key=self._key(name),
            Body=data,
            ContentType=headers.content_type,
            CacheControl=headers.cache_control,
            **condition,
        )
        return answer["ETag"]

    def _tile_store(self) -> S3Store:
        with self._lock:
            if self._tiles is None:
                with speaking(self.bucket, ""):
                    meta = self._client.meta
                    self._tiles = open_tile_store(self._connection.session, meta.endpoint_url, meta.region_name, self.bucket)
            return self._tiles


def _list(client: "S3Client", bucket: str, prefix: str, after: str) -> Iterator[Any]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, StartAfter=after)
    with speaking(bucket, prefix):
        for page in pages:
            yield from page.get("Contents", ())


@contextmanager
def _room_for(wanted: SourceObject, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise StorageError(f"{display_name(wanted.key)} could not be kept in {path.parent} ({error.strerror}).") from error
        sentence = f"{display_name(wanted.key)} has {wanted.version.size:,} bytes, more than the temporary folder has room for."
        raise StorageError(f"{sentence} Raise ephemeral_storage.") from error
