"""The first directory of a TIFF, by its bytes alone: whether the file holds all of it; what it says is not looked at."""

import os
import struct
from typing import BinaryIO

_BIG = (b"+\0", b"\0+")  # BigTIFF
_KINDS = {1: (1, 2, 6, 7), 2: (3, 8), 4: (4, 9, 11, 13), 8: (5, 10, 12, 16, 17, 18)}  # of values, by the bytes that one takes
_SIZES = {kind: size for size, kinds in _KINDS.items() for kind in kinds}
_MOST_TAGS = 65_535  # as many as there are


def is_cut_off(opened: BinaryIO) -> bool:
    """Whether the file ends before the directory does, or before a value that this points to (TIFF 6.0, section 2)."""
    size, head = os.fstat(opened.fileno()).st_size, opened.read(16)
    order, is_big = "<" if head.startswith(b"II") else ">", head[2:4] in _BIG
    place_as, count_as, entry_as = ("Q", "Q", "HHQQ") if is_big else ("I", "H", "HHII")
    try:
        (place,) = struct.unpack_from(f"{order}{place_as}", head, 8 if is_big else 4)
        opened.seek(min(place, size))
        count: int = struct.unpack(f"{order}{count_as}", opened.read(struct.calcsize(count_as)))[0]
    except struct.error:
        return True
    entries = opened.read(min(count, _MOST_TAGS) * struct.calcsize(f"{order}{entry_as}"))
    if len(entries) < count * struct.calcsize(f"{order}{entry_as}"):
        return count <= _MOST_TAGS
    values = ((at, number * _SIZES.get(kind, 0)) for _, kind, number, at in struct.iter_unpack(f"{order}{entry_as}", entries))
    return any(at + taken > size for at, taken in values if taken > struct.calcsize(place_as))
