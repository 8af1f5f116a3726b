"""Uploads as plain values: which names are taken, and how a file is cut into parts; no I/O."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from lambdazoom.model.keys import ImageKey, is_hidden

MIB = 2**20
STREAM_PART_BYTES = 8 * MIB  # through our own server, which keeps a whole part before it hands it on
SINGLE_BYTES = 100_000_000  # up to here a bucket gets an original in one request
BUCKET_PART_BYTES = 16 * MIB
MAX_PARTS = 10_000  # of one upload to S3


@dataclass(frozen=True)
class Part:
    """`length` bytes of a file from `offset` on; numbers begin with 1."""

    number: int
    offset: int
    length: int


@dataclass(frozen=True)
class Plan:
    """How a file of `size` bytes goes over the wire."""

    size: int
    part_size: int

    @classmethod
    def for_folder(cls, size: int) -> "Plan":
        """Parts that our own server can take."""
        return cls(size, STREAM_PART_BYTES)

    @classmethod
    def for_bucket(cls, size: int) -> "Plan":
        """One part up to SINGLE_BYTES, then as many as S3's multipart uploads take ("Amazon S3 multipart upload limits")."""
        if size <= SINGLE_BYTES:
            return cls(size, size)
        least = -(-size // MAX_PARTS)
        return cls(size, max(BUCKET_PART_BYTES, -(-least // MIB) * MIB))

    @property
    def part_count(self) -> int:
        """How many parts there are."""
        return -(-self.size // self.part_size)

    def parts(self, first: int, limit: int) -> Iterator[Part]:
        """The parts from number `first` on, `limit` at most."""
        for number in range(first, min(first + limit, self.part_count + 1)):
            offset = (number - 1) * self.part_size
            yield Part(number, offset, min(self.part_size, self.size - offset))


@dataclass(frozen=True)
class Upload:
    """One upload: `id` is the store's own word for it, "" where it needs none."""

    id: str
    key: str
    plan: Plan


def upload_key(name: str) -> str:
    """The key under which a file of that name is put; ValueError is a sentence that says why there is none.

    The text comes in Unicode's normal form C, so that a name looks the same wherever it was typed.
    """
    key = unicodedata.normalize("NFC", name)
    shown = f"{key[:80]!r}"
    if not all(key.split("/")) or any(segment.strip(" ") in ("", ".", "..") for segment in key.split("/")):
        raise ValueError(f"{shown} can't be the name of an upload: names stand between single slashes.")
    if "\\" in key or any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in key):
        raise ValueError(f"{shown} can't be the name of an upload: it has a backslash or a character that nobody sees. Rename the file.")
    if is_hidden(key):
        raise ValueError(f"{shown} can't be the name of an upload: hidden and unfinished files are passed over. Rename the file.")
    if not ImageKey(key).is_storable:
        raise ValueError(f"{shown} … is too long a name for an upload. Shorten it.")
    return key
