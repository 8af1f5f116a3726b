"""The records of all images, and the lists that find them; what is in a record is not decided here.

The lists are empty objects whose names say it all (`_lambdazoom/failed/trip/cat.jpg`). They are hints: what a page shows is
checked against the record. A list's entry is written before the record that it lists and removed after, so that a crash leaves
a hint too many, never an image that nobody finds.
"""

import itertools
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lambdazoom.model.errors import Conflict, NotFound, StorageError
from lambdazoom.model.keys import LEAF, ImageKey
from lambdazoom.model.records import ImageRecord, LaterSchema, Outcome
from lambdazoom.storage.base import EMPTY, JSON, Store

ROOT = "_lambdazoom/"
READERS = 16  # records read at once: a page on S3 costs about the time of one
_TIME_SEGMENTS = 3  # of model.keys.inverted_time


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """A record as it is stored, and the etag that replacing it must name."""

    record: ImageRecord
    etag: str


@dataclass(frozen=True)
class Page:
    """Some records, and the cursor that continues after them ("" at the end)."""

    records: tuple[ImageRecord, ...]
    cursor: str


def find(image: ImageKey, store: Store) -> ImageRecord | None:
    """The image's record."""
    kept = _read(image.record, store)
    return kept.record if kept else None


def find_kept(image: ImageKey, store: Store) -> Kept | None:
    """The image's record, with its etag. A damaged one is deleted: it can be made anew from what is published."""
    return _read(image.record, store, deletes_damaged=True)


def save(record: ImageRecord, before: Kept | None, store: Store) -> Kept:
    """Write the record in place of `before`; Conflict if it is another by now, and then nothing has changed."""
    old = _entries(before.record) if before else set()
    new = _entries(record)
    for entry in sorted(new - old):
        store.put(entry, b"", EMPTY)
    try:
        etag = store.write(record.image.record, record.to_json(), JSON, before.etag if before else None)
    except Conflict:
        winner = find(record.image, store)
        _discard(new - old - (_entries(winner) if winner else set()), store)
        raise
    _discard(old - new, store)
    return Kept(record, etag)


def forget(kept: Kept, store: Store) -> None:
    """Delete the record and its entries; Conflict if it is another by now."""
    store.delete(kept.record.image.record, kept.etag)
    _discard(_entries(kept.record), store)


def newest(store: Store, after: str = "", limit: int = 60) -> Page:
    """A page of all images but the ignored ones, by the time their present version was first seen, the latest first."""
    return listed("newest", store, after, limit)


def listed(kind: str, store: Store, after: str = "", limit: int = 60) -> Page:
    """A page of the images of one kind: "newest", "active" (a run is at work), "failed" (needs attention), "ignored"."""
    entries = store.list(f"{ROOT}{kind}/", after)
    records: list[ImageRecord] = []
    cursor = ""
    with ThreadPoolExecutor(READERS, thread_name_prefix="record") as pool:
        while batch := list(itertools.islice(entries, limit - len(records))):
            cursor = batch[-1]
            found = pool.map(lambda entry: _read(_record_of(entry, kind), store), batch)
            records += [kept.record for entry, kept in zip(batch, found, strict=True) if kept and entry in _entries(kept.record)]
    return Page(tuple(records), cursor if next(entries, None) else "")


def count(kind: str, store: Store, limit: int = 1000) -> int:
    """How many entries a list has; counting stops at `limit`."""
    return sum(1 for _ in itertools.islice(store.list(f"{ROOT}{kind}/"), limit))


def _read(name: str, store: Store, deletes_damaged: bool = False) -> Kept | None:
    try:
        stored = store.read(name)
    except NotFound:
        return None
    try:
        return Kept(ImageRecord.from_json(stored.data), stored.etag)
    except LaterSchema as error:
        raise StorageError(f"A later version of LambdaZoom wrote the record {name} ({error}). Update this one.") from error
    except (ValueError, KeyError, TypeError) as error:
        log.warning("the record %s is damaged (%s)", name, error)
        if deletes_damaged:
            store.delete(name, stored.etag)
        return None


def _entries(record: ImageRecord) -> set[str]:
    """The names of the empty objects that list this record."""
    return set(_entry_names(record))


def _entry_names(record: ImageRecord) -> Iterator[str]:
    image = record.image
    if record.tiles and record.tiles.outcome == Outcome.IGNORED:
        yield image.index("ignored")
        return
    yield image.newest(record.seen_at)
    if record.heartbeat_at:
        yield image.index("active")
    if record.needs_attention:
        yield image.index("failed")
    if record.tiles and record.tiles.outcome == Outcome.DONE and not record.removed_at:
        yield image.published(record.version)


def _record_of(entry: str, kind: str) -> str:
    skipped = _TIME_SEGMENTS if kind == "newest" else 0
    short_name = entry.removeprefix(f"{ROOT}{kind}/").split("/", skipped)[-1].removesuffix(LEAF)
    return f"{ROOT}records/{short_name}.json"


def _discard(entries: set[str], store: Store) -> None:
    for entry in sorted(entries):
        store.discard(entry)
