"""A source and a store in memory, with the promises of storage/base.py; each operation goes through a gate that may hold or break it.

Etags are MD5 sums of the bytes, as S3's are: what is written twice has the same one.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeVar

from lambdazoom.model.errors import Conflict, NotFound
from lambdazoom.model.keys import SourceObject, SourceVersion
from lambdazoom.storage.base import Found, Headers, Item, Stored, Writer

T = TypeVar("T")


class Gate(Protocol):
    """Lets an operation happen, now or later, or not at all."""

    def __call__(self, effect: Callable[[], T], conditional: bool = False, name: str = "") -> T:
        """What the operation gives; `conditional` ones may be repeated by a client that never got its answer. `name` is their object's."""


def etag_of(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@dataclass
class Objects:
    """What a store holds, for all who look at it; `changes` counts."""

    held: dict[str, bytes] = field(default_factory=dict)
    changes: int = 0

    def set(self, name: str, data: bytes) -> str:
        self.changes += 1
        self.held[name] = data
        return etag_of(data)

    def drop(self, name: str) -> None:
        self.changes += 1
        self.held.pop(name, None)

    def require(self, name: str, etag: str | None) -> None:
        held = self.held.get(name)
        if (None if held is None else etag_of(held)) != etag:
            raise Conflict(f"{name} was changed by somebody else.")


class MemoryStore:
    """The Store of one run, over objects that all runs share."""

    def __init__(self, objects: Objects, gate: Gate) -> None:
        self.objects = objects
        self._gate = gate

    def read(self, name: str) -> Stored:
        def effect() -> Stored:
            if name not in self.objects.held:
                raise NotFound(f"There is no {name}.")
            return Stored(self.objects.held[name], etag_of(self.objects.held[name]))

        return self._gate(effect)

    def write(self, name: str, data: bytes, headers: Headers, etag: str | None) -> str:
        def effect() -> str:
            self.objects.require(name, etag)
            return self.objects.set(name, data)

        return self._gate(effect, conditional=True, name=name)

    def delete(self, name: str, etag: str) -> None:
        def effect() -> None:
            self.objects.require(name, etag)
            self.objects.drop(name)

        self._gate(effect, conditional=True, name=name)

    def discard(self, name: str) -> None:
        self._gate(lambda: self.objects.drop(name))

    def discard_all(self, names: Iterable[str]) -> None:
        for name in names:  # one by one: S3 may be cut short in the middle of a batch
            self.discard(name)

    def put(self, name: str, data: bytes, headers: Headers) -> None:
        self._gate(lambda: self.objects.set(name, data))

    @contextmanager
    def bulk(self) -> Iterator[Writer]:
        taken: dict[str, bytes] = {}

        def write(name: str, data: bytes, headers: Headers) -> None:
            taken[name] = data

        yield write
        for name in sorted(taken):  # whatever threads they came from: the same history twice is the same
            self.put(name, taken[name], Headers(""))

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        yield from self._gate(lambda: sorted(name for name in self.objects.held if name.startswith(prefix) and name > after))

    def each(self, look: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
        return map(look, items)


@dataclass
class Originals:
    """What the source holds, and what it held before."""

    is_versioned: bool
    held: dict[str, tuple[SourceVersion, bytes]] = field(default_factory=dict)
    before: dict[str, tuple[SourceVersion, bytes]] = field(default_factory=dict)
    uploads: int = 0
    uploaded: set[tuple[str, bytes, datetime]] = field(default_factory=set)  # keys, bytes and seconds


class MemorySource:
    """The Source of one run, over originals that all runs share."""

    bucket = None

    def __init__(self, originals: Originals, gate: Gate) -> None:
        self._originals = originals
        self._gate = gate

    def key_of(self, bucket_key: str) -> str | None:
        return bucket_key

    def list(self, after: str = "") -> Iterator[SourceObject]:
        held = self._originals.held
        yield from self._gate(lambda: [SourceObject(key, version) for key, (version, _) in sorted(held.items()) if key > after])

    def head(self, key: str) -> SourceObject:
        return self._gate(lambda: SourceObject(key, self._held(key)[0]))

    @contextmanager
    def fetch(self, wanted: SourceObject) -> Iterator[Path]:
        version, data = self._gate(lambda: self._held(wanted.key))
        if version.etag != wanted.version.etag:
            raise Conflict(f"{wanted.key} has changed.")
        with tempfile.TemporaryDirectory(prefix="lambdazoom-") as private:
            path = Path(private) / f"source{Path(wanted.key).suffix}"
            path.write_bytes(data)
            yield path

    def _held(self, key: str) -> tuple[SourceVersion, bytes]:
        if key not in self._originals.held:
            raise NotFound(f"There is no {key}.")
        return self._originals.held[key]
