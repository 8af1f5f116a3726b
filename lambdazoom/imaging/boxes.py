"""How deep an AVIF's samples are, which Pillow doesn't tell: its boxes, read as far as that; no pixels here.

Sources: ISO 14496-12 (boxes), ISO 23008-12 (meta, iprp, ipco), AV1 Codec ISO Media File Format Binding, 2.3 (av1C).
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO

_PATH = (b"meta", b"iprp", b"ipco", b"av1C")
_VERSION_BYTES = {b"meta": 4}  # between a full box's head and its content
_READ_BYTES = 1 << 16  # the boxes stand in front of the pixels
_HIGH, _TWELVE = 0x40, 0x20  # bits of the third byte: more than 8 bits a sample; and 12, not 10


def bits_of_avif(file: BinaryIO) -> int:
    """The bits of a sample, of the deepest item if there are several; 8 if it can't be told. The file is left where it was."""
    before = file.tell()
    file.seek(0)
    data = file.read(_READ_BYTES)
    file.seek(before)
    return max((_bits(data[start:end]) for start, end in _found(data, 0, len(data), _PATH)), default=8)


def _bits(configuration: bytes) -> int:
    flags = configuration[2] if len(configuration) > 2 else 0
    return 8 if not flags & _HIGH else 12 if flags & _TWELVE else 10


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
