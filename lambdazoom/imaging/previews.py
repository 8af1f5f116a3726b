"""The JPEGs that raw camera files embed: how large they are, which way up, and telling that to who reads them; no pixels here.

Source: ISO 10918-1, annex B.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from lambdazoom.imaging.formats import BROKEN

_START, _EXIF_MARKER, _SCAN, _END = b"\xff\xd8", 0xE1, 0xDA, 0xD9
_ALONE = (0x01, *range(0xD0, 0xD8))  # markers without a length: TEM, RSTn
_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive: raw data may be lossless JPEGs, which nobody shows
_EXIF_START = b"Exif\0\0"
_ORIENTATION = 0x0112  # EXIF 2.32, 4.6.4 A
_LONGEST = 65533  # bytes in a segment


@dataclass(frozen=True)
class Preview:
    """What a JPEG says of itself: `width` and `height` in pixels as stored, `orientation` if it tells one."""

    width: int
    height: int
    orientation: int | None


def preview_of(data: bytes | bytearray) -> Preview | None:
    """What the header says; None if it is none of a JPEG that can be shown."""
    size, orientation = (0, 0), None
    for marker, start, end in _segments(data):
        if marker in _FRAMES and end - start >= 5:
            height, width = struct.unpack_from(">HH", data, start + 1)
            size = (width, height)
        elif marker == _EXIF_MARKER and orientation is None and data.startswith(_EXIF_START, start):
            orientation = _exif(bytes(data[start:end])).get(_ORIENTATION)
    return Preview(*size, orientation if isinstance(orientation, int) else None) if all(size) else None


def with_orientation(data: bytes | bytearray, orientation: int) -> bytes:
    """The JPEG with an EXIF block that tells this orientation; what its own block tells besides is kept, so far as it can be read."""
    blocks = [(start, end) for marker, start, end in _segments(data) if marker == _EXIF_MARKER and data.startswith(_EXIF_START, start)]
    exif = _exif(bytes(data[slice(*blocks[0])])) if blocks else Image.Exif()
    told = _told(exif, orientation)
    kept, place = [], len(_START)
    for start, end in blocks:
        kept.append(data[place : start - 4])  # of the marker and its length
        place = end
    return b"".join((_START, b"\xff\xe1", struct.pack(">H", len(told) + 2), told, *kept, data[place:]))


def _exif(block: bytes) -> Image.Exif:
    """What an EXIF block holds; nothing if it can't be read."""
    exif = Image.Exif()
    try:
        exif.load(block)
    except BROKEN:
        return Image.Exif()
    return exif


def _told(exif: Image.Exif, orientation: int) -> bytes:
    """A block that tells the orientation beside what there is already; alone, if that can't be written."""
    exif[_ORIENTATION] = orientation
    try:
        block = exif.tobytes()
    except BROKEN:
        block = b""
    return block if 0 < len(block) <= _LONGEST else _told(Image.Exif(), orientation)


def _segments(data: bytes | bytearray) -> Iterator[tuple[int, int, int]]:
    """(marker, where its content starts, where it ends) up to the first scan, as far as they are whole."""
    if not data.startswith(_START):
        return
    place = len(_START)
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in (0xFF, *_ALONE):  # fill bytes: any number of them
            place += 1 if marker == 0xFF else 2
            continue
        if marker in (_SCAN, _END):
            return
        end = place + 2 + int(struct.unpack_from(">H", data, place + 2)[0])
        if end > len(data) or end < place + 4:
            return
        yield marker, place + 4, end
        place = end
