"""What a JPEG's header says of how it was written, which Pillow keeps to itself; no pixels here. Source: ISO 10918-1, annex B."""

import struct
from typing import BinaryIO

_SCAN, _END = 0xDA, 0xD9
_ALONE = (0x01, *range(0xD0, 0xD9))  # markers without a length: TEM, RSTn, SOI
_FRAMES = {marker for marker in range(0xC0, 0xD0) if marker not in (0xC4, 0xC8, 0xCC)}  # SOFn
_SEQUENTIAL = (0xC0, 0xC1, 0xC9)  # baseline, extended, and extended with arithmetic coding


def comes_row_by_row(file: BinaryIO) -> bool:
    """Whether all components come in one sequential scan: then rows can be decoded as they are read.

    Otherwise a decoder holds all coefficients, two bytes a sample, before the first row. The file is left where it was.
    """
    before = file.tell()
    try:
        file.seek(0)
        return _is_one_scan(file)
    except struct.error:  # the header ends too early
        return False
    finally:
        file.seek(before)


def _is_one_scan(file: BinaryIO) -> bool:
    components = 0
    while file.read(1) == b"\xff":
        marker = 0xFF
        while marker == 0xFF:  # any number of fill bytes
            (marker,) = struct.unpack("B", file.read(1))
        if marker in _ALONE:
            continue
        if marker == _END:
            return False
        (length,) = struct.unpack(">H", file.read(2))
        segment = file.read(length - 2)
        if marker in _FRAMES:
            if marker not in _SEQUENTIAL:
                return False
            components = struct.unpack_from("B", segment, 5)[0]
        if marker == _SCAN:
            return bool(components == struct.unpack_from("B", segment)[0])
    return False
