"""What Pillow does not tell of AVIF and JPEG 2000: how deep samples are, and a profile; boxes, read as far as that; no pixels here.

Sources: ISO 14496-12 (boxes), ISO 23008-12 (meta, iprp, ipco), AV1 Codec ISO Media File Format Binding, 2.3 (av1C); ISO 15444-1,
I.5.3 (jp2h, colr), and 15444-2, M.11.7.3 (its further methods).
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO

_DEPTHS = (b"meta", b"iprp", b"ipco", b"av1C")
_COLOURS = (b"jp2h", b"colr")
_VERSION_BYTES = {b"meta": 4}  # between a full box's head and its content
_READ_BYTES = 1 << 16  # the boxes stand in front of the pixels
_PROFILE_BYTES = 4 << 20  # with a profile among them: the largest are of printing presses, 3 MB
_HIGH, _TWELVE = 0x40, 0x20  # bits of the third byte: more than 8 bits a sample; and 12, not 10
_BY_NAME, _BY_PROFILE = 1, (2, 3)  # methods
_SHOWN_AS_NAMED = (16, 17, 18)  # sRGB, grey and sYCC


def bits_of_avif(file: BinaryIO) -> int:
    """The bits of a sample, of the deepest item if there are several; 8 if it can't be told. The file is left where it was."""
    return max(map(_bits, _contents(file, _READ_BYTES, _DEPTHS)), default=8)


def profile_of_jp2(file: BinaryIO) -> bytes | None:
    """The ICC profile of a JPEG 2000 file, None if it has none or names its colours first. The file is left where it was.

    Of several boxes the first counts that tells something.
    """
    for content in _contents(file, _PROFILE_BYTES, _COLOURS):
        method, name = content[:1], content[3:7]
        if method and method[0] in _BY_PROFILE:
            return content[3:] or None
        if method and method[0] == _BY_NAME and int.from_bytes(name) in _SHOWN_AS_NAMED:
            return None
    return None


def _bits(configuration: bytes) -> int:
    flags = configuration[2] if len(configuration) > 2 else 0
    return 8 if not flags & _HIGH else 12 if flags & _TWELVE else 10


def _contents(file: BinaryIO, size: int, path: tuple[bytes, ...]) -> Iterator[bytes]:
    """Of the boxes at the end of this path, as far as they are among the first `size` bytes."""
    before = file.tell()
    file.seek(0)
    data = file.read(size)
    file.seek(before)
    return (data[start:end] for start, end in _found(data, 0, len(data), path))


def _found(data: bytes, start: int, end: int, path: tuple[bytes, ...]) -> Iterator[tuple[int, int]]:
    """Where the contents of the boxes at the end of this path are."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        if size < 8:  # to the end, or in 64 bits: that is where the pixels are
            return
        if kind == path[0]:
            inner, inner_end = start + 8 + _VERSION_BYTES.get(kind, 0), min(start + size, end)
            if len(path) == 1:
                yield inner, inner_end
            else:
                yield from _found(data, inner, inner_end, path[1:])
        start += size
