"""The search's index as it is kept: built from the records, stored, loaded, and brought up to date; what is in it, search.py knows.

It is one object of gzipped JSON lines, under a name never used before that tells how many entries it has: readers need no lock, and
a count costs no read. A new one takes over from the old what can't have changed, so that it costs a walk over a list and the
reading of what is new. Between two buildings, what is new is read from the records as somebody searches.
"""

import gzip
import io
import itertools
import json
import logging
import re
import secrets
import threading
import time
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from lambdazoom.model.errors import NotFound
from lambdazoom.model.keys import inverted_time
from lambdazoom.publishing import catalog
from lambdazoom.publishing.search import NEWEST, Entry, Index
from lambdazoom.storage.base import Headers, Store

PLACE = "_lambdazoom/search/"
SCHEMA = 1
MARGIN = timedelta(minutes=30)  # what is younger than the index less this is read anew: runs may still have been at work
MAX_NEWER = 500  # so many, then it waits for the next building
FRESH_SECONDS = 2.0
FIRST_SECONDS = 5.0  # for building one while somebody waits, where there is none
ATTEMPTS = 4  # to find one that is whole
BATCH = 256

_GZIP = Headers("application/gzip")
_NAME = re.compile(rf"{PLACE}(\d{{8}}T\d{{9}})-(\d+)-[0-9a-f]{{8}}\.jsonl\.gz")
_NEVER = datetime.fromtimestamp(0, UTC)

log = logging.getLogger(__name__)


class Damaged(ValueError):
    """A stored index that can't be understood: it is only worth being made anew."""


@dataclass(frozen=True)
class Stored:
    """An index in the store, as its name tells."""

    name: str
    as_of: datetime
    count: int


def latest(store: Store) -> Stored | None:
    """The newest index that is stored."""
    names = list(_names(store))
    return names[-1] if names else None


def tally(store: Store, limit: int) -> tuple[int, bool]:
    """How many images there are, and whether that is exact; it costs no more where there are many."""
    known = latest(store)
    if known is None or known.count <= limit:
        count = catalog.count("newest", store, limit + 1)
        if count <= limit:
            return count, True
    if known is None:
        return limit + 1, False
    border = NEWEST + inverted_time(known.as_of)
    newer = itertools.takewhile(lambda name: name < border, itertools.islice(store.list(NEWEST), MAX_NEWER))
    return known.count + sum(1 for _ in newer), False


def rebuild(store: Store, now: Callable[[], datetime], is_time_up: Callable[[], bool] = lambda: False) -> int:
    """Store a new index, and take old ones away; how many entries it has. When time is up, older ones are taken over unseen."""
    as_of = now()
    old = list(_names(store))
    settled = _settled(store, old[-1]) if old else {}
    count = keep(store, _lines(store, settled, as_of, is_time_up), as_of)
    for each in old[:-1]:  # the last one may be about to be read
        store.discard(each.name)
    return count


def keep(store: Store, lines: Iterable[str], as_of: datetime) -> int:
    """Store the index of these lines, which are entries as JSON, the latest first; how many there are."""
    written, count = io.BytesIO(), 0
    with gzip.GzipFile(fileobj=written, mode="wb", compresslevel=5, mtime=0) as zipped:
        zipped.write(json.dumps({"schema": SCHEMA}).encode())
        for line in lines:
            zipped.write(b"\n" + line.encode())
            count += 1
    stamp = f"{as_of.astimezone(UTC):%Y%m%dT%H%M%S}{as_of.microsecond // 1000:03d}"
    store.put(f"{PLACE}{stamp}-{count}-{secrets.token_hex(4)}.jsonl.gz", written.getvalue(), _GZIP)
    return count


class Search:
    """The index as the pages use it: loaded once, exchanged when there is another, and with what is new since."""

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now
        self._lock = threading.Lock()
        self._stored: Stored | None = None
        self._base = Index((), _NEVER)
        self._newer: tuple[Entry, ...] = ()
        self._index = self._base
        self._fresh_until = 0.0

    def index(self) -> Index:
        """The index, FRESH_SECONDS old at most."""
        with self._lock:
            if time.monotonic() >= self._fresh_until:
                self._load()
                self._catch_up()
                self._fresh_until = time.monotonic() + FRESH_SECONDS
            return self._index

    def _load(self) -> None:
        """Take the index that is stored; make the first one, as far as some seconds go."""
        for _ in range(ATTEMPTS):
            stored = latest(self._store)
            if stored is None:
                rebuild(self._store, self._now, partial(_is_past, time.monotonic() + FIRST_SECONDS))
            elif stored == self._stored or self._take(stored):
                return

    def _take(self, stored: Stored) -> bool:
        try:
            self._base = Index((entry for entry, _ in _read(self._store, stored)), stored.as_of)
        except NotFound:
            return False  # there is a newer one by now
        except Damaged as error:
            log.warning("the search's index %s can't be read (%s) and goes", stored.name, error)
            self._store.discard(stored.name)
            return False
        self._stored, self._newer, self._index = stored, (), self._base
        return True

    def _catch_up(self) -> None:
        """Put what is new in front; the index stays the very same while nothing is."""
        started_at = self._now()
        border = inverted_time(self._base.as_of - MARGIN)
        young = itertools.takewhile(lambda name: name < NEWEST + border, self._store.list(NEWEST))
        names = list(itertools.islice(young, MAX_NEWER + 1))
        known = {entry.listing: entry for entry in self._newer if entry.settled}
        newer = tuple(_entries(self._store, names[:MAX_NEWER], known, started_at))
        as_of = started_at if len(names) <= MAX_NEWER else self._base.as_of
        if newer == self._newer and self._index is not self._base:
            self._index.as_of = as_of
            return
        start = bisect_left(self._base.listings, border)
        self._newer, self._index = newer, self._base.preceded_by(newer, start, as_of)


def _is_past(deadline: float) -> bool:
    return time.monotonic() > deadline


def _names(store: Store) -> Iterator[Stored]:
    for name in store.list(PLACE):
        found = _NAME.fullmatch(name)
        if found:
            yield Stored(name, datetime.strptime(f"{found[1]}000+0000", "%Y%m%dT%H%M%S%f%z"), int(found[2]))


def _lines(store: Store, settled: dict[str, str], now: datetime, is_time_up: Callable[[], bool]) -> Iterator[str]:
    """The index's lines: those that are settled as they are, the others from the records; when time is up, the old ones alone."""
    names, last = store.list(NEWEST), ""
    while batch := list(itertools.islice(names, BATCH)):
        if is_time_up():
            log.warning("the search's index was not finished; the next one goes on")
            yield from (line for listing, line in settled.items() if listing > last)
            return
        last = batch[-1].removeprefix(NEWEST)
        unknown = [name for name in batch if name.removeprefix(NEWEST) not in settled]
        read = {entry.listing: json.dumps(entry) for entry in _entries(store, unknown, {}, now)}
        for listing in (name.removeprefix(NEWEST) for name in batch):
            line = settled.get(listing) or read.get(listing)
            if line:
                yield line


def _entries(store: Store, names: Iterable[str], known: dict[str, Entry], now: datetime) -> Iterator[Entry]:
    """The entries of these names of the list: the known ones, and the others from their records."""

    def entry(name: str) -> Entry | None:
        listing = name.removeprefix(NEWEST)
        if listing in known:
            return known[listing]
        record = catalog.of_entry(name, "newest", store)
        return Entry.of(listing, record, now) if record else None

    return filter(None, store.each(entry, names))


def _settled(store: Store, stored: Stored) -> dict[str, str]:
    """The lines of an index that can be taken over, by their listing; none of one that can't be read."""
    try:
        return {entry.listing: line for entry, line in _read(store, stored) if entry.settled}
    except (NotFound, Damaged) as error:
        log.warning("the search's index %s can't be read (%s); all records are read", stored.name, error)
        return {}


def _read(store: Store, stored: Stored) -> Iterator[tuple[Entry, str]]:
    """The entries of an index with their lines; Damaged, also for one of another version."""
    data = store.read(stored.name).data
    try:
        with gzip.open(io.BytesIO(data), "rt", encoding="utf-8") as lines:
            if json.loads(next(lines, "{}")) != {"schema": SCHEMA}:
                raise Damaged("another schema")
            for line in lines:
                yield Entry(*json.loads(line)), line.rstrip("\n")
    except (OSError, EOFError, ValueError, TypeError, zlib.error) as error:
        raise Damaged(str(error)) from error
