"""What the search knows of all images, and how it finds and sorts them; no I/O, and nothing is shown from here.

It is held in a few long columns: 100,000 images take some 40 MB and are looked through in a few milliseconds.
"""

import json
import unicodedata
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Self

from lambdazoom.model.entries import ROOT, listed_record
from lambdazoom.model.keys import inverted_time, key_of
from lambdazoom.model.records import ImageRecord, State

NEWEST = f"{ROOT}newest/"
MAX_WORDS = 10

_RECORDS = f"{ROOT}records/"
_LATEST_FIRST = str.maketrans("0123456789", "9876543210")
_NO_DATE = "~"  # after all digits


class Entry(NamedTuple):
    """One image: the rest of its name in the list of the newest, and what it can be found by.

    `settled` entries stay as they are for as long as the list has them. `key` is there where the name does not tell it.
    """

    listing: str
    settled: bool
    title: str
    camera: str
    taken: str
    width: int
    height: int
    tiles: int
    seconds: float
    dollars: float
    key: str = ""

    @classmethod
    def of(cls, listing: str, record: ImageRecord, now: datetime) -> Self:
        """What there is to find of a record."""
        settled = record.state(now) == State.PUBLISHED and not record.needs_attention
        dollars = record.receipt.dollars if record.receipt else 0.0
        said, name = record.caption, _name(listing)
        facts = (said.title, said.camera, said.taken, record.width, record.height, record.tile_count, round(record.seconds, 3), dollars)
        return cls(listing, settled, *facts, "" if name == record.image.name else record.image.display)


@dataclass(frozen=True)
class Sums:
    """What was made in some time."""

    images: int = 0
    pixels: int = 0
    tiles: int = 0
    seconds: float = 0.0
    dollars: float = 0.0


class Index:
    """Entries, the latest first, in columns. `as_of` is the moment up to which it knows every image."""

    def __init__(self, entries: Iterable[Entry], as_of: datetime) -> None:
        self.as_of = as_of
        self.listings: list[str] = []
        self._texts: list[str] = []
        self._taken: list[str] = []
        self._areas, self._tiles = array("q"), array("q")
        self._seconds, self._dollars = array("d"), array("d")
        self._orders: dict[str, Sequence[int]] = {}
        for entry in entries:
            self._add(entry)

    def __len__(self) -> int:
        return len(self.listings)

    def preceded_by(self, newer: Iterable[Entry], start: int, as_of: datetime) -> "Index":
        """The index with these entries in place of those before `start`."""
        joined = Index(newer, as_of)
        joined.listings += self.listings[start:]
        joined._texts += self._texts[start:]
        joined._taken += self._taken[start:]
        joined._areas += self._areas[start:]
        joined._tiles += self._tiles[start:]
        joined._seconds += self._seconds[start:]
        joined._dollars += self._dollars[start:]
        return joined

    def find(self, words: Sequence[str], sort: str) -> Sequence[int]:
        """The places of the entries that hold all these folded words, sorted."""
        order = self._order(sort)
        if not words:
            return order
        texts = self._texts
        found: Sequence[int] = range(len(texts))
        for word in sorted(words, key=len, reverse=True):  # the long ones leave less to the others
            found = [place for place in found if word in texts[place]]
        if sort == "newest":
            return found
        chosen = bytearray(len(texts))
        for place in found:
            chosen[place] = 1
        return [place for place in order if chosen[place]]

    def after(self, found: Sequence[int], sort: str, cursor: str) -> Sequence[int]:
        """What comes after the place that a cursor tells; ValueError for a text that is no cursor of this sort."""
        if not cursor:
            return found
        value, listing = _parse_cursor(cursor)
        key = self._key(sort)
        return found[bisect_right(found, (value, listing), key=key) :]

    def cursor(self, place: int, sort: str) -> str:
        """The cursor that continues after this place, in this index or the next."""
        return json.dumps(self._key(sort)(place), ensure_ascii=False)

    def since(self, moment: datetime) -> Sums:
        """What was made of the images seen since then."""
        end = bisect_left(self.listings, inverted_time(moment))
        made = [place for place in range(end) if self._tiles[place]]
        return Sums(
            images=len(made),
            pixels=sum(self._areas[place] for place in made),
            tiles=sum(self._tiles[place] for place in made),
            seconds=sum(self._seconds[place] for place in made),
            dollars=sum(self._dollars[place] for place in made),
        )

    def _add(self, entry: Entry) -> None:
        name = entry.key or _display(_name(entry.listing))
        self.listings.append(entry.listing)
        self._texts.append("\n".join(map(folded, (name, entry.title, entry.camera, entry.taken))))
        self._taken.append(entry.taken)
        self._areas.append(entry.width * entry.height)
        self._tiles.append(entry.tiles)
        self._seconds.append(entry.seconds)
        self._dollars.append(entry.dollars)

    def _order(self, sort: str) -> Sequence[int]:
        if sort == "newest":
            return range(len(self.listings))
        if sort not in self._orders:
            self._orders[sort] = array("q", sorted(range(len(self.listings)), key=self._key(sort)))
        return self._orders[sort]

    def _key(self, sort: str) -> Callable[[int], tuple[str, str]]:
        """What a sort goes by: some text of the entry's own, then its age."""
        values: dict[str, Callable[[int], str]] = {
            "newest": lambda _: "",
            "name": lambda place: self._texts[place].partition("\n")[0],
            "taken": lambda place: self._taken[place].translate(_LATEST_FIRST) or _NO_DATE,
            "largest": lambda place: f"{10**14 - self._areas[place]:015d}",
        }
        value = values[sort]
        return lambda place: (value(place), self.listings[place])


SORTS = ("newest", "name", "taken", "largest")


def words_of(query: str) -> list[str]:
    """The words to look for, folded."""
    return folded(query).split()[:MAX_WORDS]


def folded(text: str) -> str:
    """The text without case and accents, so that "Café" and "CAFE" are found by "cafe"."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in apart if not unicodedata.combining(character))


def _parse_cursor(text: str) -> tuple[str, str]:
    parts = json.loads(text)
    if not (isinstance(parts, list) and len(parts) == 2 and all(isinstance(part, str) for part in parts)):
        raise ValueError(f"{text!r} is no cursor")
    return parts[0], parts[1]


def _name(listing: str) -> str:
    """The stored name of a listing's image, or what stands for one that is too long."""
    return listed_record(NEWEST + listing, "newest").removeprefix(_RECORDS).removesuffix(".json")


def _display(name: str) -> str:
    try:
        return key_of(name).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except ValueError:
        return name
