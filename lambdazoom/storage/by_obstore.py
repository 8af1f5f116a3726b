"""One bucket's requests by obstore: all that the way of an image from bucket to bucket needs, at a tenth of boto3's time.

obstore has no conditional delete, but signs addresses; so that one request goes over Python's own urllib. It also
normalizes keys (empty segments, dots, control characters): `can_name` tells which it leaves as they are.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, GenericError, PreconditionError

from lambdazoom.model.errors import Conflict, NotFound, StorageError, Unstorable
from lambdazoom.model.keys import SourceVersion, display_name
from lambdazoom.model.places import Bucket
from lambdazoom.storage import effort
from lambdazoom.storage.base import Headers, Stored
from lambdazoom.storage.connection import REQUEST_SECONDS, Connection, trusted_authorities
from lambdazoom.storage.effort import LONG, patiently
from lambdazoom.storage.refusals import Passing, RefusedAgain, refusal, unreachable

if TYPE_CHECKING:
    from obstore import GetOptions, PutMode
    from obstore.store import S3Store

CHUNK_BYTES = 2**20
MAX_KEY_BYTES = 1024

_UNUSUAL = re.compile(r"(^|/)\.{0,2}(/|$)|[\x00-\x1f\x7f]")  # an empty segment, one of dots, a control character
_ANSWERED = re.compile(
    r"Error performing [A-Z]+ \S+ in \S+ - Server returned non-2xx status code: (?P<status>\d{3})[^:]*: ?(?P<body>.*)", re.DOTALL
)
_CODE = re.compile(r"<Code>([\w.]+)</Code>")
_ELSEWHERE = "Received redirect"
_WHOLE = "Received non-partial response"

T = TypeVar("T")


class NoRanges(StorageError):
    """A range was asked for, and the answer does not say that it is one (rclone's server, for example)."""


def can_name(key: str) -> bool:
    """Whether obstore sends this key as it is."""
    return not _UNUSUAL.search(key)


class BucketRequests:
    """Requests about names below the bucket's prefix; each counts, and is sent again while the trouble may pass and there is time.

    An answer must have come, to its last byte, within so many `seconds`.
    """

    def __init__(self, connection: Connection, bucket: Bucket, seconds: float = REQUEST_SECONDS) -> None:
        self._connection = connection
        self._bucket = bucket
        self._seconds = seconds

    def key(self, name: str) -> str:
        """The object's key in the bucket; Unstorable if S3 takes none so long."""
        key = self._bucket.path + name
        if len(key.encode()) > MAX_KEY_BYTES:
            raise Unstorable(f"The name {display_name(name)} is too long for S3 ({MAX_KEY_BYTES} bytes).")
        return key

    def head(self, name: str) -> SourceVersion:
        """The version of the object that is there; those that differ in nothing else differ in their version id."""
        found = self._ask("head", name, lambda store, path: obstore.head(store, path))
        return SourceVersion(found["e_tag"] or "", found["last_modified"].replace(microsecond=0), found["size"], found["version"] or "")

    def require_bucket(self, name: str) -> None:
        """Raises NoBucket if the bucket itself is not there: the refusal of a GET tells that, a HEAD's does not."""
        with suppress(NotFound, NoRanges):
            self._ask("get", name, lambda store, path: obstore.get(store, path, options={"range": (0, 1)}))

    def get(self, name: str) -> Stored:
        """The whole object."""

        def get(store: "S3Store", path: str) -> Stored:
            answer = obstore.get(store, path)
            return Stored(answer.bytes().to_bytes(), answer.meta["e_tag"] or "")

        return self._ask("get", name, get)

    def fetch(self, name: str, etag: str, within: tuple[int, int] | None, take: Callable[[Any], object]) -> None:
        """Hand the object's bytes from and up to these positions (None: all) to `take`, chunk by chunk; not asked again by itself.

        Conflict if the object is another, NoRanges if the server gives objects as a whole only.
        """
        path = self._path(name)
        effort.current().count("get")
        with _speaking(self._bucket.name, name, path, conditional=True):
            options: GetOptions = {"if_match": etag, "range": within} if within else {"if_match": etag}
            answer = obstore.get(self._connection.store(self._seconds), path, options=options)
            for chunk in answer.stream(min_chunk_size=CHUNK_BYTES):
                take(chunk)

    def put(self, name: str, data: bytes, headers: Headers, mode: "PutMode" = "overwrite") -> str:
        """Store the object, if the mode's condition holds; its etag."""
        attributes = {"Content-Type": headers.content_type, "Cache-Control": headers.cache_control}

        def put(store: "S3Store", path: str) -> str:
            return obstore.put(store, path, data, attributes=attributes, mode=mode, use_multipart=False)["e_tag"] or ""

        return self._ask("put", name, put, conditional=mode != "overwrite")

    def delete(self, name: str, etag: str | None = None) -> None:
        """Delete the object, whether or not it is there; with an etag, only the one that has it."""

        def delete(store: "S3Store", path: str) -> None:
            address = obstore.sign(store, "DELETE", path, timedelta(minutes=5))
            _send_delete(address, etag, self._bucket.name, name)

        self._ask("delete", name, delete, conditional=etag is not None)

    def _ask(self, kind: str, name: str, request: Callable[["S3Store", str], T], conditional: bool = False) -> T:
        store, path, tries = self._connection.store(self._seconds), self._path(name), 0

        def attempt() -> T:
            nonlocal tries
            tries += 1
            effort.current().count(kind)
            with _speaking(self._bucket.name, name, path, conditional):
                return request(store, path)

        try:
            return patiently(attempt, Passing, LONG)
        except Conflict as error:
            if tries > 1 and type(error) is Conflict:
                raise RefusedAgain(str(error)) from error
            raise

    def _path(self, name: str) -> str:
        """The object's key, behind its bucket: what the connection's store calls it."""
        return f"{self._bucket.name}/{self.key(name)}"


@contextmanager
def _speaking(bucket: str, name: str, path: str, conditional: bool) -> Iterator[None]:
    """Turn what obstore raises into our own errors. Its own words hold whole answers of S3, so they are read, but never repeated."""
    try:
        yield
    except ValueError as error:  # it takes no control characters, for one
        raise Unstorable(f"No object can be named {display_name(name)!r}.") from error
    except (BaseError, FileNotFoundError) as error:  # of a 404 it raises Python's own
        raise _translate(error, bucket, name, path, conditional) from error


def _translate(error: Exception, bucket: str, name: str, path: str, conditional: bool) -> StorageError:
    said = str(error)
    # all but the generic one begin with the path: behind it, so that no key can be taken for an answer
    answered = _ANSWERED.search(said, 0 if isinstance(error, GenericError) else said.find(path) + len(path))
    if answered:
        code = _CODE.search(answered["body"])
        return refusal(code[1] if code else answered["status"], answered["body"], bucket, name, conditional)
    if _ELSEWHERE in said:
        return refusal("301", "", bucket, name)
    if _WHOLE in said:
        return NoRanges(f"This server gives {display_name(name)} as a whole only.")
    if conditional and isinstance(error, (AlreadyExistsError, PreconditionError)):
        return refusal("412", "", bucket, name, conditional)
    return unreachable(name, type(error).__name__)


def _send_delete(address: str, etag: str | None, bucket: str, name: str) -> None:
    from http.client import HTTPException  # here: most calls delete nothing, and these take a hundredth of a second to load

    try:
        status, body = _answer_to_delete(address, etag)
    except (OSError, HTTPException) as error:
        raise unreachable(name, type(error).__name__) from error
    if status < 300:
        return
    code = _CODE.search(body)
    answer = refusal(code[1] if code else str(status), body, bucket, name, conditional=etag is not None)
    if etag is not None or not isinstance(answer, NotFound):
        raise answer


def _answer_to_delete(address: str, etag: str | None) -> tuple[int, str]:
    """The status and, of a refusal, what it says. Raises OSError and HTTPException, also for one that is cut short."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    request = Request(address, method="DELETE", headers={} if etag is None else {"If-Match": etag})  # noqa: S310 (obstore's own address)
    authorities = trusted_authorities() if request.type == "https" else None
    try:
        with urlopen(request, timeout=REQUEST_SECONDS, context=authorities) as answer:  # noqa: S310 (the same)
            return answer.status, ""
    except HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode("utf-8", "replace")
