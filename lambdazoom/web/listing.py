"""A page of images: the newest, a part of them, what is searched for; records and figures, no markup and no JSON.

The lists are read as they stand; words, and sorts by anything but time, go through the search's index. In both cases what is
shown is an image's record as it is now.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from lambdazoom.model.entries import ROOT
from lambdazoom.model.records import ImageRecord
from lambdazoom.publishing import catalog, indexing
from lambdazoom.publishing.search import NEWEST, SORTS, Entry, Index, words_of
from lambdazoom.storage.base import Store
from lambdazoom.web.failures import Refused
from lambdazoom.web.opening import opening, workspace

PAGE_SIZE = 60
MAX_PAGE_SIZE = 100
MAX_QUERY = 200  # characters
MAX_PART = 1000  # images of a part that are searched and sorted
COUNT_LIMIT = 1000
LIVE_COUNT = 200  # up to here all images are counted as the page is made

KINDS = {"": "newest", "active": "active", "failed": "failed", "ignored": "ignored"}  # the state of a request -> the catalog's list


@dataclass(frozen=True)
class Wanted:
    """What somebody wants to see; Refused (400) for what can't be."""

    query: str = ""
    state: str = ""
    sort: str = "newest"
    cursor: str = ""
    limit: int = PAGE_SIZE

    def __post_init__(self) -> None:
        if self.state not in KINDS:
            raise Refused(f"A state is {', '.join(filter(None, KINDS))} or left out.", 400)
        if self.sort not in SORTS:
            raise Refused(f"A sort is {', '.join(SORTS)} or left out.", 400)
        if not 1 <= self.limit <= MAX_PAGE_SIZE:
            raise Refused(f"A limit is a number from 1 to {MAX_PAGE_SIZE}.", 400)

    @property
    def words(self) -> list[str]:
        """What to look for, folded."""
        return words_of(self.query[:MAX_QUERY])

    @property
    def is_plain(self) -> bool:
        """Whether the catalog's own list is the answer."""
        return not self.words and self.sort == "newest"


@dataclass(frozen=True)
class Listing:
    """A page. `cursor` continues it, "" at the end; `total` and `as_of` tell of the index, None where it wasn't asked."""

    records: Sequence[ImageRecord]
    cursor: str
    total: int | None = None
    as_of: datetime | None = None


@dataclass(frozen=True)
class Count:
    """How many there are, and whether that is exact or a guess."""

    count: int
    exact: bool


def listing(wanted: Wanted) -> Listing:
    """The page that is wanted."""
    store, kind = workspace().metadata, KINDS[wanted.state]
    if wanted.is_plain:
        if wanted.cursor and not wanted.cursor.startswith(f"{ROOT}{kind}/"):
            raise _bad_cursor()
        page = catalog.listed(kind, store, wanted.cursor, wanted.limit)
        return Listing(page.records, page.cursor)
    if wanted.state:
        return _of_part(wanted)
    index = opening().search().index()
    found, following = _find(index, wanted)
    records, cursor = _read(index, following, wanted, store)
    return Listing(records, cursor, len(found), index.as_of)


def indexed_part(state: str) -> tuple[Index, dict[str, ImageRecord]]:
    """An index of a part, and its records by their listings: both made from what is there, for none is kept and parts are small."""
    store, now = workspace().metadata, workspace().now()
    prefix = f"{ROOT}{KINDS[state]}/"
    names = list(itertools.islice(store.list(prefix), MAX_PART))
    read = store.each(lambda name: catalog.of_entry(name, KINDS[state], store), names)
    held = {name.removeprefix(prefix): record for name, record in zip(names, read, strict=True) if record}
    return Index(_entries(held.items(), now), now), held


def counts() -> dict[str, Count]:
    """How many images there are, and of each part; each costs a bounded number of requests, and they are made at once."""
    store = workspace().metadata

    def count(state: str) -> Count:
        if not state:
            return Count(*indexing.tally(store, LIVE_COUNT))
        entries = catalog.count(KINDS[state], store, COUNT_LIMIT)
        return Count(entries, entries < COUNT_LIMIT)

    return {state or "all": counted for state, counted in zip(KINDS, store.each(count, KINDS), strict=True)}


def _find(index: Index, wanted: Wanted) -> tuple[Sequence[int], Sequence[int]]:
    """The places of all that is found, and of what follows the cursor."""
    found = index.find(wanted.words, wanted.sort)
    try:
        return found, index.after(found, wanted.sort, wanted.cursor)
    except ValueError as error:
        raise _bad_cursor() from error


def _bad_cursor() -> Refused:
    return Refused("That is no cursor of this list. Begin at its first page.", 400)


def _read(index: Index, places: Sequence[int], wanted: Wanted, store: Store) -> tuple[list[ImageRecord], str]:
    """The records of the first places that have one, and the cursor after the last."""
    records: list[ImageRecord] = []
    at = 0
    while len(records) < wanted.limit and at < len(places):
        batch = places[at : at + wanted.limit - len(records)]
        at += len(batch)
        names = [NEWEST + index.listings[place] for place in batch]
        records += filter(None, store.each(lambda name: catalog.of_entry(name, "newest", store), names))
    return records, index.cursor(places[at - 1], wanted.sort) if at < len(places) else ""


def _of_part(wanted: Wanted) -> Listing:
    index, held = indexed_part(wanted.state)
    found, following = _find(index, wanted)
    shown = following[: wanted.limit]
    cursor = index.cursor(shown[-1], wanted.sort) if len(shown) < len(following) else ""
    return Listing([held[index.listings[place]] for place in shown], cursor, len(found))


def _entries(held: Iterable[tuple[str, ImageRecord]], now: datetime) -> Iterable[Entry]:
    return (Entry.of(listing, record, now) for listing, record in held)
