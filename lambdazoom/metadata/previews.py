"""Which pictures a raw camera file carries beside its raw data, as exiftool tells it; none of them is taken out or looked at here."""

import re
from dataclasses import dataclass

from lambdazoom.metadata.exiftool import Metadata, Tag
from lambdazoom.metadata.facts import without_copy

TAGS = ("JpgFromRaw", "JpgFromRaw2", "PreviewImage", "OtherImage")
"""exiftool's names of what cameras embed to be looked at (Image::ExifTool::TagNames); a ThumbnailImage is for lists."""

_SIZE = "Composite:ImageSize"
_ORIENTATION = "EXIF:IFD0:Orientation"
_BINARY = re.compile(r"\(Binary data (\d{1,12}) bytes, use -b option to extract\)", re.ASCII)
_SIDES = re.compile(r"(\d{1,9}) (\d{1,9})", re.ASCII)


@dataclass(frozen=True)
class Listed:
    """A picture that a file carries: the key of its tag, and its size in bytes."""

    key: str
    size: int


@dataclass(frozen=True)
class Carried:
    """What a raw camera file carries: `pictures`, the largest in bytes first; its own `width` and `height` in pixels as stored, 0 if it
    doesn't tell; its EXIF `orientation`, 1 to 8.
    """

    pictures: tuple[Listed, ...]
    width: int
    height: int
    orientation: int


def carried(metadata: Metadata) -> Carried:
    """What the tags of a raw camera file tell."""
    listed = [Listed(key, int(found[1])) for key, tag in metadata.tags.items() if (found := _binary(key, tag))]
    sides = _SIDES.fullmatch(str(_number(metadata, _SIZE)))
    width, height = map(int, sides.groups()) if sides else (0, 0)
    orientation = _number(metadata, _ORIENTATION)
    return Carried(
        tuple(sorted(listed, key=lambda each: each.size, reverse=True)),
        width,
        height,
        orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1,
    )


def _binary(key: str, tag: Tag) -> re.Match[str] | None:
    return _BINARY.fullmatch(str(tag["text"])) if key.rpartition(":")[2] in TAGS else None


def _number(metadata: Metadata, wanted: str) -> object:
    """The raw value of a tag in its first copy."""
    found = next((tag for key, tag in metadata.tags.items() if without_copy(key) == wanted), None)
    return found.get("number", "") if found else ""
