"""Names of the empty objects that list images, for whoever looks for many at once; text only, no I/O.

There are two sorts. A *list* (`_lambdazoom/newest/…`) is sorted by time, the latest first. The *index* (`_lambdazoom/settled/…`)
says of each image which version was looked at last and what became of it, and is sorted exactly as the source's own keys are:
so the two can be merged as they are listed, however many there are.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from lambdazoom.model.keys import LEAF, MAX_NAME_BYTES, ImageKey, SourceVersion, inverted_time, key_of

ROOT = "_lambdazoom/"
INDEX = f"{ROOT}settled/"
ASIDE = f"{ROOT}aside/"  # of images whose name the index can't bear
LISTS = ("newest", "active", "failed", "ignored")

PUBLISHED, FAILED, UNFINISHED, IGNORED = "p", "f", "u", "i"  # of tiles; UNFINISHED is a failure that time may mend
DESCRIBED, GIVEN_UP, OWED = "d", "n", "o"  # of metadata

_END = " "  # ends an image's name in the index: no character of an ordered name stands before it
_LOW = "!"  # the last of the characters that are escaped for being low
_SURROGATES = "\ue000"  # stands after all surrogates and before what follows them
_MAX_SEGMENT = 255
_MARK = re.compile(r"([0-9a-f]{16})-([pfui])([dno])-([0-9a-f]{8}|-)")
_MARK_BYTES = 30  # with the space before it
_SLASH = "~s"  # in lists: opens no escape, so no stored name looks like this
_TIME_LENGTH = 18  # of model.keys.inverted_time
_SPECIAL = re.compile(rf"[\x00-{_LOW}\ud800-{_SURROGATES}]|(?:\A|(?<=/))[./]")
_ORDERED = re.compile(rf"{_LOW}([0-9A-F]{{2}})|{_SURROGATES}(~|[0-9A-F]{{2}})")


@dataclass(frozen=True)
class Mark:
    """What the index says of one image: its version's fingerprint, what became of tiles and metadata, the recipe's short hash."""

    fingerprint: str
    tiles: str
    metadata: str
    recipe: str

    @classmethod
    def of(cls, version: SourceVersion, tiles: str, metadata: str, recipe: str) -> Self:
        """The mark of a record that says this; `recipe` is the recipe's fingerprint, "" if there are no tiles."""
        return cls(version.fingerprint, tiles, metadata, recipe_hash(recipe))

    def __str__(self) -> str:
        return f"{self.fingerprint}-{self.tiles}{self.metadata}-{self.recipe}"


@dataclass(frozen=True)
class Entry:
    """One entry of the index: the key, what it says of it, and its own name."""

    key: str
    mark: Mark
    name: str


def recipe_hash(recipe: str) -> str:
    """A recipe's fingerprint, short enough for a name."""
    return hashlib.sha256(recipe.encode()).hexdigest()[:8] if recipe else "-"


def ordered_name(key: str) -> str:
    """A text that any store can hold, and that sorts as the key does: by its code points, which are UTF-8's order too.

    Each character's code is greater than those of all lesser characters, and none begins another: so the order stays. Where a
    segment begins, a dot and a slash (an empty segment) are escaped as well, for no folder could be called so.
    """
    return _SPECIAL.sub(_code, key)


def _code(found: re.Match[str]) -> str:
    character = found[0]
    if character in "./":
        return ".a" if character == "." else ".b/"
    if character <= _LOW:
        return f"{_LOW}{ord(character):02X}"
    return f"{_SURROGATES}~" if character == _SURROGATES else f"{_SURROGATES}{ord(character) & 0xFF:02X}"


def key_of_ordered(name: str) -> str:
    """The key of an ordered name; ValueError for a text that is none."""
    plain = "/".join(map(_plain_segment, name.split("/"))) if "." in name else name
    key = _ORDERED.sub(_character, plain)
    if ordered_name(key) != name:
        raise ValueError(f"{name!r} is not an ordered name")
    return key


def _plain_segment(segment: str) -> str:
    if segment == ".b":
        return ""
    return "." + segment[2:] if segment.startswith(".a") else segment


def _character(found: re.Match[str]) -> str:
    if found[1]:
        return chr(int(found[1], 16))
    return _SURROGATES if found[2] == "~" else chr(0xDC00 + int(found[2], 16))


def indexed(image: ImageKey) -> str | None:
    """What all the image's entries of the index begin with; None if its name is too long: then they are set aside."""
    name = ordered_name(image.key)
    sizes = [len(segment.encode()) for segment in name.split("/")]
    sizes[-1] += _MARK_BYTES
    # DEL: a name may hold it, but no S3 client of ours can say it
    fits = image.is_storable and "\x7f" not in name and max(sizes) <= _MAX_SEGMENT and sum(sizes) + len(sizes) <= MAX_NAME_BYTES
    return f"{INDEX}{name}{_END}" if fits else None


def set_aside(image: ImageKey) -> str:
    """The same for an image whose name is too long for the index."""
    return f"{ASIDE}{image.short_name}/~v"  # `~v` opens no escape: no stored name looks like this


def index_entry(image: ImageKey, mark: Mark) -> str:
    """The name of the image's entry."""
    return f"{indexed(image) or set_aside(image)}{mark}"


def parse_index(name: str) -> Entry:
    """The entry of that name; ValueError if it is none of the index."""
    ordered, _, mark = name.removeprefix(INDEX).rpartition(_END)
    return Entry(key_of_ordered(ordered), _parse_mark(mark), name)


def parse_aside(name: str) -> tuple[str, Mark]:
    """The name of the record that an entry set aside speaks of, and what it says of it; ValueError if it is none."""
    short_name, _, mark = name.removeprefix(ASIDE).rpartition("/~v")
    return _record(short_name), _parse_mark(mark)


def _parse_mark(text: str) -> Mark:
    found = _MARK.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no mark of the index")
    return Mark(*found.groups())


def list_entry(image: ImageKey, kind: str, seen_at: datetime) -> str:
    """The name of the image's entry in a list ("newest", "failed", …); no folders of its own for it, if it can be helped."""
    flat = image.short_name.replace("/", _SLASH)
    fits = len(flat.encode()) <= _MAX_SEGMENT - len(".") - len(LEAF) - _TIME_LENGTH
    return f"{listed_at(kind, seen_at)}.{flat if fits else image.short_name}{LEAF}"


def listed_at(kind: str, seen_at: datetime) -> str:
    """What the entries of that moment (milliseconds) begin with; those of later ones stand before it in the list."""
    return f"{ROOT}{kind}/{inverted_time(seen_at)}"


def in_all_lists(name: str, kind: str) -> tuple[str, ...]:
    """What a list's entry would be called in each of them."""
    return tuple(name.replace(f"{ROOT}{kind}/", f"{ROOT}{each}/", 1) for each in LISTS)


def listed_record(name: str, kind: str) -> str:
    """The name of the record that an entry of a list speaks of."""
    return _record(name[len(f"{ROOT}{kind}/") + _TIME_LENGTH + 1 :].removesuffix(LEAF).replace(_SLASH, "/"))


def _record(short_name: str) -> str:
    return f"{ROOT}records/{short_name}.json"


def key_of_record(name: str) -> str | None:
    """The key of a record's name; None if the name does not tell (it was too long)."""
    try:
        return key_of(name.removeprefix(f"{ROOT}records/").removesuffix(".json"))
    except ValueError:
        return None
