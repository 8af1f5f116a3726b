"""The mass of tiles on its way to S3, by obstore on threads of ours; conditions, reads and lists are boto3's (s3.py)."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from queue import Queue
from typing import Any

import boto3
import obstore
from botocore.exceptions import NoCredentialsError
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import S3Store

from lambdazoom.storage import effort
from lambdazoom.storage.base import Headers, Writer
from lambdazoom.storage.refusals import of_upload

UPLOADS = 32  # under way at once; as many wait their turn, then callers wait
CREDENTIALS_TTL = timedelta(minutes=5)  # boto3 renews what has less than ten minutes left
RETRIES: dict[str, Any] = {  # for server errors, dropped connections and timeouts; never for what S3 refuses
    "max_retries": 10,
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=10), "base": 2},
    "retry_timeout": timedelta(seconds=60),
}


def open_tile_store(session: boto3.Session, endpoint: str, region: str, bucket: str) -> S3Store:
    """obstore's store of that bucket, with boto3's credentials; NoCredentialsError if there are none."""
    if session.get_credentials() is None:
        raise NoCredentialsError
    return S3Store(
        bucket,
        endpoint=endpoint,
        region=region,
        virtual_hosted_style_request=False,
        credential_provider=Boto3CredentialProvider(session, ttl=CREDENTIALS_TTL),
        client_options={"allow_http": endpoint.startswith("http://"), "connect_timeout": "5s", "timeout": "30s"},
        retry_config=RETRIES,  # type: ignore[arg-type] # a typed dictionary that exists for type checkers alone
    )


@contextmanager
def uploading(store: S3Store, bucket: str, prefix: str) -> Iterator[Writer]:
    """A writer that returns before its object is stored; when the context ends well, all are."""
    uploads = _Uploads(store, bucket, prefix)
    try:
        yield uploads.submit
    except BaseException:
        uploads.end(is_wanted=False)
        raise
    uploads.end()
    uploads.raise_failure()


class _Uploads:
    """Objects on their way: bounded, and the first failure is kept for the caller.

    Threads and a queue, for an executor's futures take as much time as the uploads themselves.
    """

    def __init__(self, store: S3Store, bucket: str, prefix: str) -> None:
        self._store = store
        self._bucket = bucket
        self._prefix = prefix
        self._effort = effort.current()
        self._waiting = Queue[tuple[str, bytes, Headers] | None](UPLOADS)
        self._starting = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._is_wanted = True
        self._failure: tuple[str, BaseException] | None = None

    def submit(self, name: str, data: bytes, headers: Headers) -> None:
        """Upload soon; wait if too many are under way."""
        self.raise_failure()
        self._waiting.put((name, data, headers))
        if len(self._threads) < UPLOADS and not self._waiting.empty():
            self._start_another()

    def raise_failure(self) -> None:
        """Raise what went wrong first, if anything did."""
        if self._failure:
            name, error = self._failure
            raise of_upload(error, self._bucket, name) from error

    def end(self, is_wanted: bool = True) -> None:
        """Wait for what is under way, and for what waits if that is still wanted; no thread is left behind."""
        self._is_wanted = is_wanted
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _start_another(self) -> None:
        with self._starting:
            if len(self._threads) == UPLOADS:
                return
            thread = threading.Thread(target=self._upload_all, name=f"upload_{len(self._threads)}")
            try:
                thread.start()
            except RuntimeError as error:  # there is no room for one thread more
                if not self._threads:
                    raise MemoryError(str(error)) from error
            else:
                self._threads.append(thread)

    def _upload_all(self) -> None:
        while each := self._waiting.get():
            if self._is_wanted and not self._failure:
                self._upload(*each)

    def _upload(self, name: str, data: bytes, headers: Headers) -> None:
        attributes = {"Content-Type": headers.content_type, "Cache-Control": headers.cache_control}
        self._effort.count("put")
        try:
            obstore.put(self._store, self._prefix + name, data, attributes=attributes, use_multipart=False)
        except BaseException as error:  # noqa: BLE001 (whatever it is, the caller gets it)
            self._failure = self._failure or (name, error)
