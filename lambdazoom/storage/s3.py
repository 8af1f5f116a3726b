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
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import obstore
from botocore.config import Config
from botocore.exceptions import NoCredentialsError
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import S3Store

from lambdazoom.model.errors import NotFound, StorageError, Unstorable
from lambdazoom.model.keys import SourceObject, SourceVersion, display_name
from lambdazoom.model.places import Bucket
from lambdazoom.storage.base import Headers, Stored, Writer
from lambdazoom.storage.refusals import no_bucket, of_upload, speaking

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

UPLOADS = 32  # under way at once; as many wait their turn, then callers wait
DOWNLOADS = 6  # ranges of one source at once
RANGE_BYTES = 8 * 2**20
DELETES = 1000  # S3 takes no more in one request
CREDENTIALS_TTL = timedelta(minutes=5)  # boto3 renews what has less than ten minutes left
MAX_KEY_BYTES = 1024

_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,10}\Z")


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
        read_timeout=60,
        retries={"mode": "standard", "total_max_attempts": 5},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return Connection(session.client("s3", region_name=session.region_name or "us-east-1", config=config), session)


class BucketSource:
    """The originals in a bucket, below a prefix; keys are relative to it."""

    def __init__(self, connection: Connection, bucket: Bucket) -> None:
        self._client = connection.client
        self.bucket = bucket.name
        self._prefix = bucket.path

    def key_of(self, bucket_key: str) -> str | None:
        """The key of an object of the bucket; None if it is not below the prefix."""
        return bucket_key.removeprefix(self._prefix) if bucket_key.startswith(self._prefix) else None

    def list(self) -> Iterator[SourceObject]:
        """Every object, a thousand a request."""
        for entry in _list(self._client, self.bucket, self._prefix, ""):
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
                ranges = [pool.submit(self._download_range, wanted, opened.fileno(), start) for start in range(0, size, RANGE_BYTES)]
                try:
                    for each in ranges:
                        each.result()
                finally:
                    pool.shutdown(wait=True, cancel_futures=True)

    def _download_range(self, wanted: SourceObject, descriptor: int, start: int) -> None:
        end = min(start + RANGE_BYTES, wanted.version.size)
        with speaking(self.bucket, wanted.key, conditional=True):
            answer = self._client.get_object(
                Bucket=self.bucket, Key=self._prefix + wanted.key, Range=f"bytes={start}-{end - 1}", IfMatch=wanted.version.etag
            )
            for chunk in answer["Body"].iter_chunks(2**20):
                start += os.pwrite(descriptor, chunk, start)


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
        with speaking(self.bucket, name):
            answer = self._client.get_object(Bucket=self.bucket, Key=self._key(name))
            return Stored(answer["Body"].read(), answer["ETag"])

    def write(self, name: str, data: bytes, headers: Headers, etag: str | None) -> str:
        """A conditional PUT; also what S3 leaves undecided is a Conflict, so that the caller looks again."""
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        with speaking(self.bucket, name, conditional=True):
            return self._put(name, data, headers, condition)

    def delete(self, name: str, etag: str) -> None:
        """A conditional DELETE."""
        with speaking(self.bucket, name, conditional=True):
            self._client.delete_object(Bucket=self.bucket, Key=self._key(name), IfMatch=etag)

    def discard(self, name: str) -> None:
        """A plain DELETE."""
        with speaking(self.bucket, name):
            self._client.delete_object(Bucket=self.bucket, Key=self._key(name))

    def discard_all(self, names: Iterable[str]) -> None:
        """A thousand objects a request."""
        remaining = iter(names)
        while batch := list(itertools.islice(remaining, DELETES)):
            objects: list[Any] = [{"Key": self._key(name)} for name in batch]
            with speaking(self.bucket, batch[0]):
                answer = self._client.delete_objects(Bucket=self.bucket, Delete={"Objects": objects, "Quiet": True})
            for error in answer.get("Errors", ()):
                raise StorageError(f"{error.get('Key')} could not be deleted ({error.get('Code')}). Retry later.")

    def put(self, name: str, data: bytes, headers: Headers) -> None:
        """A plain PUT."""
        with speaking(self.bucket, name):
            self._put(name, data, headers, {})

    @contextmanager
    def bulk(self) -> Iterator[Writer]:
        """Uploads by obstore on UPLOADS threads."""
        uploads = _Uploads(self._tile_store(), self.bucket, self._prefix)
        with ThreadPoolExecutor(UPLOADS, thread_name_prefix="upload") as pool:
            try:
                yield lambda name, data, headers: uploads.submit(pool, name, data, headers)
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        uploads.raise_failure()

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
                    self._tiles = _obstore(self._connection, self.bucket)
            return self._tiles


class _Uploads:
    """Objects on their way: bounded, and the first failure is kept for the caller."""

    def __init__(self, store: S3Store, bucket: str, prefix: str) -> None:
        self._store = store
        self._bucket = bucket
        self._prefix = prefix
        self._room = threading.BoundedSemaphore(2 * UPLOADS)
        self._failure: tuple[str, BaseException] | None = None

    def submit(self, pool: ThreadPoolExecutor, name: str, data: bytes, headers: Headers) -> None:
        """Upload soon; wait if too many are under way."""
        self.raise_failure()
        self._room.acquire()
        pool.submit(self._upload, name, data, headers).add_done_callback(lambda upload: self._done(name, upload))

    def raise_failure(self) -> None:
        """Raise what went wrong first, if anything did."""
        if self._failure:
            name, error = self._failure
            raise of_upload(error, self._bucket, name) from error

    def _upload(self, name: str, data: bytes, headers: Headers) -> None:
        attributes = {"Content-Type": headers.content_type, "Cache-Control": headers.cache_control}
        obstore.put(self._store, self._prefix + name, data, attributes=attributes, use_multipart=False)

    def _done(self, name: str, upload: Future[None]) -> None:
        self._room.release()
        error = None if upload.cancelled() else upload.exception()
        if error and not self._failure:
            self._failure = (name, error)


def _obstore(connection: Connection, bucket: str) -> S3Store:
    credentials = connection.session.get_credentials()
    if credentials is None:
        raise NoCredentialsError
    endpoint = connection.client.meta.endpoint_url
    return S3Store(
        bucket,
        endpoint=endpoint,
        region=connection.client.meta.region_name,
        virtual_hosted_style_request=False,
        credential_provider=Boto3CredentialProvider(connection.session, ttl=CREDENTIALS_TTL),
        client_options={"allow_http": endpoint.startswith("http://"), "connect_timeout": "5s", "timeout": "60s"},
        retry_config={"max_retries": 6, "retry_timeout": timedelta(seconds=60)},
    )


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
