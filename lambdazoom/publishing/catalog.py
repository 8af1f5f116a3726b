"""The records of all images, and the lists that find them; what is in a record is not decided here.

The lists and the index are empty objects whose names say it all (model/entries.py). They are hints: what a page shows is
checked against the record. An entry is written before the record that it speaks of and removed after, so that a crash leaves a
hint too many, never an image that nobody finds; `mend` takes such hints away. A page costs the same however many records there are.
"""

import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from lambdazoom.model import entries
from lambdazoom.model.entries import ROOT, Entry, Mark
from lambdazoom.model.errors import Conflict, NotFound, StorageError
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord, LaterSchema, Outcome, Step
from lambdazoom.storage.base import EMPTY, JSON, Store

MENDINGS = 5  # of a record that changes more often than this meanwhile, the next look takes care

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
    for name in sorted(new - old):
        store.put(name, b"", EMPTY)
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
    names = store.list(f"{ROOT}{kind}/", after)
    records: list[ImageRecord] = []
    cursor = ""
    while batch := list(itertools.islice(names, limit - len(records))):
        cursor = batch[-1]
        records += filter(None, store.each(lambda name: of_entry(name, kind, store), batch))
    return Page(tuple(records), cursor if next(names, None) else "")


def of_entry(name: str, kind: str, store: Store) -> ImageRecord | None:
    """The record that an entry of a list speaks of; None if it does not bear the entry out."""
    kept = _read(entries.listed_record(name, kind), store)
    return kept.record if kept and name in _entries(kept.record) else None


def all_listed(kind: str, store: Store) -> Iterator[tuple[str, ImageRecord | None]]:
    """Every entry of a list, and its record; None for an entry that no record bears out."""
    for name in store.list(f"{ROOT}{kind}/"):
        yield name, of_entry(name, kind, store)


def index(store: Store) -> Iterator[Entry]:
    """Every entry of the index in the order of the keys, but for those that are set aside."""
    for name in store.list(entries.INDEX):
        try:
            yield entries.parse_index(name)
        except ValueError as error:
            log.warning("not of the index: %s", error)


def aside(store: Store) -> Iterator[tuple[Entry, ImageRecord | None]]:
    """Every entry of an image whose name the index can't bear, with the record; the key is "" where nothing tells it any more."""
    for name in store.list(entries.ASIDE):
        try:
            record_name, mark = entries.parse_aside(name)
        except ValueError as error:
            log.warning("not of the index: %s", error)
            continue
        kept = _read(record_name, store)
        key = kept.record.key if kept else entries.key_of_record(record_name) or ""
        yield Entry(key, mark, name), kept.record if kept else None


def mark_of(record: ImageRecord) -> Mark | None:
    """What the index says of this record; None if nothing is settled yet."""
    if record.tiles is None or record.removed_at:
        return None
    recipe = record.recipe if record.tiles.outcome == Outcome.DONE else ""
    return Mark.of(record.version, _tiles_letter(record.tiles), _metadata_letter(record.metadata), recipe)


def mend(image: ImageKey, known: set[str], store: Store) -> None:
    """Make the entries match the record: those of `known` and of the index that it does not bear out go, what is missing comes."""
    beginning = entries.indexed(image) or entries.set_aside(image)
    for _ in range(MENDINGS):
        before = _read(image.record, store)
        wanted = _entries(before.record) if before else set()
        found = known | set(store.list(beginning))
        for name in sorted(wanted - found):
            store.put(name, b"", EMPTY)
        _discard(found - wanted, store)
        if _read(image.record, store) == before:
            return  # else somebody has changed it meanwhile, and may rely on what was just taken away


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
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("the record %s is damaged (%s)", name, error)
        if deletes_damaged:
            store.delete(name, stored.etag)
        return None


def _entries(record: ImageRecord) -> set[str]:
    """The names of the empty objects that list this record."""
    return set(_entry_names(record))


def _entry_names(record: ImageRecord) -> Iterator[str]:
    image, seen_at = record.image, record.seen_at
    mark = mark_of(record)
    if mark:
        yield entries.index_entry(image, mark)
    if record.tiles and record.tiles.outcome == Outcome.IGNORED:
        yield entries.list_entry(image, "ignored", seen_at)
        return
    yield entries.list_entry(image, "newest", seen_at)
    if record.heartbeat_at:
        yield entries.list_entry(image, "active", seen_at)
    if record.needs_attention:
        yield entries.list_entry(image, "failed", seen_at)


def _tiles_letter(step: Step) -> str:
    if step.outcome == Outcome.FAILED:
        return entries.FAILED if step.final else entries.UNFINISHED
    return entries.IGNORED if step.outcome == Outcome.IGNORED else entries.PUBLISHED


def _metadata_letter(step: Step | None) -> str:
    if step is None or (step.outcome == Outcome.FAILED and not step.final):
        return entries.OWED
    return entries.DESCRIBED if step.outcome == Outcome.DONE else entries.GIVEN_UP


def _discard(names: set[str], store: Store) -> None:
    """Take entries away: those of the index first, and that of the active ones, by which a crash is found, last."""
    for name in sorted(names, reverse=True):
        store.discard(name)
