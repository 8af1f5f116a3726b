"""What a JPEG's header says of how it was written, which Pillow keeps to itself; no pixels here. Source: ISO 10918-1, annex B."""

import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

# as many bits as libjpeg reads ahead; all ones, which no code is, so that of what is missing they stand for two blocks at most
_PADDING = b"\xff\x00" * 8
_LEAST_PIECE, _LARGEST_PIECE = 512, 131072
_SCAN, _END = 0xDA, 0xD9
_END_MARKER = re.compile(rb"\xff\xd9")  # found in a third of the time that bytes.find takes
_ALONE = (0x01, *range(0xD0, 0xD9))  # markers without a length: TEM, RSTn, SOI
_FRAMES = {marker for marker in range(0xC0, 0xD0) if marker not in (0xC4, 0xC8, 0xCC)}  # SOFn
_LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF)
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


def unopened_bits(file: BinaryIO) -> int:
    """The bits of a sample, if they are as many as a JPEG may have (B.2.2) and Pillow opens none of; else 0."""
    for marker, segment in _segments(file):
        if marker in _FRAMES:
            bits = segment[0] if segment else 0
            return bits if bits in ((*range(2, 8), *range(9, 17)) if marker in _LOSSLESS else (12,)) else 0
    return 0


class ScanReader:
    """Reads a JPEG whose rows come one after the other for its decoder, in pieces of `share` of the file, without its end mark.

    With it libjpeg makes up what is missing, any number of rows at once; nothing could hold it back. Without it and without what is
    behind it, Pillow is done when all rows are there, and else says that the file is truncated.
    """

    def __init__(self, file: BinaryIO, share: float = 1) -> None:
        self._file, self._is_at_end = file, False
        self._scan = self._position_of_scan()
        file.seek(0, 2)
        self._piece = max(_LEAST_PIECE, min(int(share * file.tell()), _LARGEST_PIECE))
        file.seek(0)

    def __call__(self, _: int) -> bytes:
        """The next piece; behind the last one what libjpeg wants to see before it finishes the last rows, then nothing."""
        if self._is_at_end:
            return b""
        start = self._file.tell()
        data = self._file.read(self._piece)
        while data.endswith(b"\xff") and (more := self._file.read(1)):
            data += more
        end = _END_MARKER.search(data, max(0, self._scan - start))
        self._is_at_end = not data or end is not None
        return data[: end.start()] + _PADDING if end else data or _PADDING

    def _position_of_scan(self) -> int:
        self._file.seek(0)
        _is_one_scan(self._file)
        return self._file.tell()


def _is_one_scan(file: BinaryIO) -> bool:
    components = 0
    for marker, segment in _segments(file):
        if marker in _FRAMES:
            if marker not in _SEQUENTIAL:
                return False
            components = struct.unpack_from("B", segment, 5)[0]
        if marker == _SCAN:
            return bool(components == struct.unpack_from("B", segment)[0])
    return False


def _segments(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Markers and what belongs to them, read one after the other, up to the first scan."""
    marker = 0
    while marker != _SCAN and file.read(1) == b"\xff":
        marker = 0xFF
        while marker == 0xFF:  # any number of fill bytes
            (marker,) = struct.unpack("B", file.read(1))
        if marker in _ALONE:
            continue
        if marker == _END:
            return
        (length,) = struct.unpack(">H", file.read(2))
        yield marker, file.read(max(0, length - 2))  # libjpeg lets shorter ones pass
