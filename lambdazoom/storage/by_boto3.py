"""S3 by boto3: lists, mass deletions, and what obstore has no way or no name for."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from lambdazoom.model.errors import AccessDenied, NotFound, StorageError
from lambdazoom.model.keys import SourceVersion
from lambdazoom.model.places import Bucket
from lambdazoom.storage import effort
from lambdazoom.storage.connection import CONNECT_SECONDS, NO_CREDENTIALS, REQUEST_SECONDS, region_of
from lambdazoom.storage.effort import patiently
from lambdazoom.storage.refusals import no_bucket, refusal, unreachable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ATTEMPTS = 7  # of one request: with its pauses, of a random part of 1, 2, 4, ... 20 s, half a minute on average
LONGEST_PAUSE = 20.0  # of boto3's, in seconds
CHUNK_BYTES = 2**20

_KINDS = {  # of boto3's operations, as receipts count them
    "GetObject": "get",
    "HeadObject": "head",
    "HeadBucket": "head",
    "ListObjectsV2": "list",
    "DeleteObjects": "delete",
}
_PASSING = {"InternalError", "ServiceUnavailable", "SlowDown"}  # of single keys of a DeleteObjects


class NotDeleted(StorageError):
    """S3 deleted some of several objects, and may delete the others in a moment."""


def open_client(session: boto3.Session, connections: int) -> "S3Client":
    """boto3's client, which counts what it sends, and sends nothing again that would end too late."""
    config = Config(
        max_pool_connections=connections,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=REQUEST_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    client = session.client("s3", region_name=region_of(session), config=config)
    client.meta.events.register("before-send.s3", _count)
    client.meta.events.register_first("needs-retry.s3", _end_in_time)
    return client


@contextmanager
def speaking(bucket: str, name: str, conditional: bool = False) -> Iterator[None]:
    """Turn what boto3 raises into our own errors; `conditional` requests that are lost or undecided are Conflicts."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        raise refusal(code, str(error), bucket, name, conditional) from error
    except NoCredentialsError as error:
        raise AccessDenied(NO_CREDENTIALS) from error
    except BotoCoreError as error:
        raise unreachable(name, type(error).__name__) from error


class BucketRequests:
    """Requests about names below the bucket's prefix, whatever they look like."""

    def __init__(self, client: "S3Client", bucket: Bucket) -> None:
        self._client = client
        self._bucket = bucket.name
        self._prefix = bucket.path

    def require_bucket(self, name: str) -> None:
        """Raises NoBucket if the bucket itself is not there, and not only this object of it."""
        try:
            with speaking(self._bucket, name):
                self._client.head_bucket(Bucket=self._bucket)
        except NotFound as error:
            raise no_bucket(self._bucket) from error

    def list(self, prefix: str, after: str) -> Iterator[tuple[str, SourceVersion]]:
        """Names that start with `prefix` and are greater than `after`, sorted, and their versions; a thousand a request."""
        behind = self._prefix + after if after else ""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix + prefix, StartAfter=behind)
        with speaking(self._bucket, prefix):
            for page in pages:
                for entry in page.get("Contents", ()):
                    version = SourceVersion(entry["ETag"], _whole_seconds(entry["LastModified"]), entry["Size"])
                    yield entry["Key"].removeprefix(self._prefix), version

    def head(self, name: str) -> SourceVersion:
        """The version of the object that is there; those that differ in nothing else differ in their version id."""
        with speaking(self._bucket, name):
            found = self._client.head_object(Bucket=self._bucket, Key=self._prefix + name)
        return SourceVersion(found["ETag"], _whole_seconds(found["LastModified"]), found["ContentLength"], found.get("VersionId", ""))

    def fetch(self, name: str, etag: str, within: tuple[int, int] | None, take: Callable[[Any], object]) -> None:
        """Hand the object's bytes from and up to these positions (None: all) to `take`, chunk by chunk; Conflict if it is another.

        An answer that was cut short is not asked for again: boto3 has handed it over already.
        """
        wanted = f"bytes={within[0]}-{within[1] - 1}" if within else ""
        with speaking(self._bucket, name, conditional=True):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name, Range=wanted, IfMatch=etag)
            for chunk in answer["Body"].iter_chunks(CHUNK_BYTES):
                take(chunk)

    def delete_all(self, names: Sequence[str]) -> None:
        """Delete up to a thousand objects, whether or not they are there."""
        left = [self._prefix + name for name in names]

        def attempt() -> None:
            nonlocal left
            objects: list[Any] = [{"Key": key} for key in left]
            with speaking(self._bucket, left[0]):
                answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True})
            errors = answer.get("Errors", ())
            left = [error["Key"] for error in errors]
            for error in errors:
                code = error.get("Code", "")
                if code in _PASSING:
                    raise NotDeleted(f"{error['Key']} could not be deleted ({code}). Retry later.")
                raise refusal(code, error.get("Message", ""), self._bucket, error["Key"])

        patiently(attempt, NotDeleted)


def _whole_seconds(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


def _count(event_name: str, **_: Any) -> None:
    """boto3 is about to send a request: each attempt counts."""
    effort.current().count(_KINDS.get(event_name.rpartition(".")[2], "other"))


def _end_in_time(attempts: int, **_: Any) -> Any:
    """boto3 asks whether to send a request again: not (False) if its pause might be longer than the time that is left."""
    now = effort.current()
    if attempts > 1:
        now.count("retries")
    return None if now.has_time_for(min(2.0**attempts, LONGEST_PAUSE)) else False
