"""What a store promises, whatever it is made of; no implementation.

A *source* holds the users' originals under their own keys and can only be read. A *store* holds what we make, under stored
names (see model/keys.py). Both raise the StorageErrors of model/errors.py and nothing else.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from lambdazoom.model.keys import SourceObject

IMMUTABLE = "public, max-age=31536000, immutable"  # for what is never written twice
FRESH = "no-cache"  # for what is replaced: ask again each time


@dataclass(frozen=True)
class Headers:
    """What browsers are told about an object: a media type and a caching rule (RFC 9111)."""

    content_type: str
    cache_control: str = FRESH


JSON = Headers("application/json")
XML = Headers("application/xml")
EMPTY = Headers("application/octet-stream")


@dataclass(frozen=True)
class Stored:
    """An object's bytes, and the etag that a conditional write of it must name."""

    data: bytes
    etag: str


Writer = Callable[[str, bytes, Headers], None]  # a name, its bytes and headers

Item = TypeVar("Item")
Found = TypeVar("Found")


class Source(Protocol):
    """The users' originals: to be listed and read, never written. `bucket` is the name that events give it, None for a folder."""

    @property
    def bucket(self) -> str | None:
        """The bucket's name."""

    def key_of(self, bucket_key: str) -> str | None:
        """The key of an object as events name it; None if it lies outside."""

    def list(self, after: str = "") -> Iterator[SourceObject]:
        """Every object behind the key `after`, in the order of the keys' UTF-8 bytes as far as the store can."""

    def head(self, key: str) -> SourceObject:
        """The object as it is now; NotFound if there is none."""

    def fetch(self, wanted: SourceObject) -> AbstractContextManager[Path]:
        """The object as a local file for as long as the context lasts, at a path of our own making.

        Conflict if the source holds another version by now, NotFound if none.
        """


class Store(Protocol):
    """What we make: small control objects with conditional writes, and the mass of immutable ones."""

    def read(self, name: str) -> Stored:
        """The object; NotFound if there is none."""

    def write(self, name: str, data: bytes, headers: Headers, etag: str | None) -> str:
        """Replace the object whose etag is `etag`, or create it if that is None; return the new etag.

        Conflict if the store holds something else; then nothing was written.
        """

    def delete(self, name: str, etag: str) -> None:
        """Delete the object whose etag is `etag`; Conflict if it is another or none."""

    def discard(self, name: str) -> None:
        """Delete the object, if there is one, whatever it holds."""

    def discard_all(self, names: Iterable[str]) -> None:
        """The same for many objects that nobody else touches."""

    def put(self, name: str, data: bytes, headers: Headers) -> None:
        """Write a small object, whatever it held before."""

    def bulk(self) -> AbstractContextManager[Writer]:
        """A writer for a mass of objects that nobody else writes, to be called from any thread.

        It may return before the object is stored, and makes callers wait while too many are under way. When the context
        ends well, all are stored and will outlast a power cut; what went wrong with one is raised by a later call or the end.
        """

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """The names that start with `prefix` and are greater than `after`, sorted, read as the caller goes on."""

    def each(self, look: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
        """What `look`, which asks this store, finds for each item, in their order; at once where answers have to be waited for."""
