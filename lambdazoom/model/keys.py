"""Names: where everything that belongs to one image is stored; text only, no I/O.

A *key* is the source's own name for an image (`trip/cat.jpg`), any text that S3 or a file system allows. Its *stored name*
is what we use in buckets, folders and URLs alike: the key itself, but for what proxies, browsers, file systems and double
decoding would change, escaped as `~XX`. (`?` and `#` are among it: API Gateway's HTTP APIs decode a path and then cut it at a
`?`.) The escape is reversible and no two keys share a stored name.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import ClassVar, Self

RESERVED = ("_tiles", "_lambdazoom")  # first segments that are ours
MAX_NAME_BYTES = 900  # of a stored name: S3 allows 1,024 with our prefixes and suffixes
LEAF = "~"  # ends the names of lists' entries, as no stored name ends: "a" and "a/b" then are a file and a folder apart
MAX_SEGMENT_BYTES = 240  # of one segment: file systems allow 255 with our suffixes

_SPECIAL = re.compile(r"[~%\\?#\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ESCAPE = re.compile(rb"~([0-9A-F]{2}|-)")
_TURNING = re.compile(r"[\u202a-\u202e\u2066-\u2069]")  # makes what follows run the other way, past a name's own end
_GENERATION = re.compile(r"\d{8}T\d{9}Z-[0-9a-f]{16}")
_UNFINISHED = (".part", ".crdownload")


def stored_name(key: str) -> str:
    """The stored name of a key; bytes that are no UTF-8 (surrogate escapes, from file systems) are escaped too."""
    segments = key.split("/")
    escaped = [_escape_segment(segment) for segment in segments]
    if segments[0] in RESERVED:
        escaped[0] = "~5F" + escaped[0][1:]
    return "/".join(escaped)


def _escape_segment(segment: str) -> str:
    if segment == "":
        return "~-"
    if segment in (".", ".."):
        return "~2E" * len(segment)
    return _SPECIAL.sub(_escape_character, segment)


def _escape_character(found: re.Match[str]) -> str:
    return "".join(f"~{byte:02X}" for byte in found[0].encode("utf-8", "surrogateescape"))


def key_of(name: str) -> str:
    """The key of a stored name; ValueError for a text that is no key's stored name."""
    raw = _ESCAPE.sub(lambda found: b"" if found[1] == b"-" else bytes.fromhex(found[1].decode()), name.encode("utf-8", "surrogateescape"))
    key = raw.decode("utf-8", "surrogateescape")
    if stored_name(key) != name:
        raise ValueError(f"{name!r} is not a stored name")
    return key


def is_hidden(key: str) -> bool:
    """Whether we never look at this key: dotfiles, anything below a dot folder, and what is still being downloaded."""
    return any(segment.startswith(".") for segment in key.split("/")) or key.lower().endswith(_UNFINISHED)


def display_name(key: str) -> str:
    """The key as text that any page or terminal can show, in a sentence too."""
    return _TURNING.sub("\N{REPLACEMENT CHARACTER}", key.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


@dataclass(frozen=True)
class SourceVersion:
    """What tells one version of a source object from any other: equal only if nothing was put there in between.

    `etag` and `version_id` are the store's own; `size` in bytes.
    """

    etag: str
    last_modified: datetime
    size: int
    version_id: str = ""

    @property
    def fingerprint(self) -> str:
        """A short text that differs whenever a listing would show another version (listings know no version ids)."""
        text = f"{self.etag} {self.last_modified.isoformat()} {self.size}"
        return _sha256(text)[:16]


@dataclass(frozen=True)
class SourceObject:
    """A source object as the store showed it at one moment."""

    key: str
    version: SourceVersion


@dataclass(frozen=True)
class ImageKey:
    """One image: its key, and the names of the objects that speak of it."""

    key: str

    @cached_property
    def name(self) -> str:
        """The stored name."""
        return stored_name(self.key)

    @property
    def display(self) -> str:
        """The key for people."""
        return display_name(self.key)

    @cached_property
    def is_storable(self) -> bool:
        """Whether pointer, metadata and record can bear its name; otherwise it only gets a record that says so."""
        encoded = self.name.encode()
        return len(encoded) <= MAX_NAME_BYTES and all(len(segment) <= MAX_SEGMENT_BYTES for segment in encoded.split(b"/"))

    @cached_property
    def short_name(self) -> str:
        """The stored name, or what stands for it where it is too long: `~l` opens no escape, so no stored name looks like this."""
        return self.name if self.is_storable else f"~long/{_sha256(self.name)}"

    @property
    def pointer(self) -> str:
        """In the zoom store: the descriptor that names the generation on show."""
        return f"{self.name}.dzi"

    @property
    def metadata(self) -> str:
        """In the metadata store: all that exiftool reads."""
        return f"{self.name}.json"

    @property
    def record(self) -> str:
        """In the metadata store: the record."""
        return f"_lambdazoom/records/{self.short_name}.json"


def inverted_time(moment: datetime) -> str:
    """A moment (milliseconds) as text that sorts the latest first, cut so that no folder gets more than a hundred others."""
    digits = f"{10**14 - int(moment.timestamp() * 1000):014d}"
    return f"{digits[:5]}/{digits[5:7]}/{digits[7:9]}/{digits[9:11]}/{digits[11:]}"


@dataclass(frozen=True)
class Generation:
    """One immutable pyramid: `id` is its start time and 64 random bits, and was never used before."""

    NOTES: ClassVar[str] = "_lambdazoom/generations/"

    id: str

    @classmethod
    def new(cls, started_at: datetime, random_bits: int) -> Self:
        """The generation that starts now; `random_bits` are 64 fresh ones."""
        stamp = started_at.astimezone(UTC)
        return cls(f"{stamp:%Y%m%dT%H%M%S}{stamp.microsecond // 1000:03d}Z-{random_bits:016x}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The generation that a URL or a pointer names; ValueError for anything else."""
        if not _GENERATION.fullmatch(text):
            raise ValueError(f"{text!r} is not a generation")
        return cls(text)

    @cached_property
    def folder(self) -> str:
        """In the zoom store; two hex digits first, so that S3 spreads the load of many images over many prefixes."""
        return f"_tiles/{_sha256(self.id)[:2]}/{self.id}"

    @property
    def descriptor(self) -> str:
        """A plain standard DZI that any reader can open."""
        return f"{self.folder}/image.dzi"

    @property
    def thumbnail(self) -> str:
        """A JPEG whose longer side is 512 pixels at most."""
        return f"{self.folder}/thumbnail.jpg"

    @property
    def tiles(self) -> str:
        """The folder of the tiles, with the slash that DZI's Url wants."""
        return f"{self.folder}/image_files/"

    def tile(self, level: int, column: int, row: int, extension: str) -> str:
        """One tile."""
        return f"{self.tiles}{level}/{column}_{row}.{extension}"

    @property
    def note(self) -> str:
        """In the metadata store: the sweep's note, there while the generation is not, or no longer, the one on show."""
        return f"{self.NOTES}{self.id}.json"


def _sha256(text: str) -> str:
    import hashlib  # it loads OpenSSL, and `tile` does without

    return hashlib.sha256(text.encode()).hexdigest()
