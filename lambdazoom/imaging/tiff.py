"""TIFF piece by piece: strips or tiles of a file as small TIFFs of their own, each decoded by itself.

libtiff decodes an image in one go, which nothing can hold back, on one core. But each strip or tile is compressed by itself
(TIFF 6.0, sections 3 and 15), so a band of them is a TIFF too, once it has a directory of its own; bands go to several cores.
"""

import io
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from lambdazoom.imaging.canvas import Rows

BAND_ROWS = 256  # at least, where strips and tiles are smaller
_WIDTH, _LENGTH, _COMPRESSION, _PLANES, _PREDICTOR = 256, 257, 259, 284, 317
_STRIP_OFFSETS, _STRIP_COUNTS, _STRIP_ROWS = 273, 279, 278
_TILE_OFFSETS, _TILE_COUNTS, _TILE_WIDTH, _TILE_LENGTH = 324, 325, 322, 323
_BITS, _PHOTOMETRIC, _FILL_ORDER, _SAMPLES, _PALETTE, _EXTRA, _FORMAT, _JPEG_TABLES = 258, 262, 266, 277, 320, 338, 339, 347
_YCBCR = (529, 530, 531, 532)  # coefficients, subsampling, positioning, reference black and white
_SAMPLING = (_BITS, _PHOTOMETRIC, _FILL_ORDER, _SAMPLES, _PALETTE, _EXTRA, _FORMAT, *_YCBCR)
_DESCRIBING = (_COMPRESSION, _PLANES, _PREDICTOR, _JPEG_TABLES, *_SAMPLING)
_NONE, _LZW, _JPEG, _DEFLATE, _PACKBITS, _OLD_DEFLATE, _LZMA, _ZSTD, _WEBP = 1, 5, 7, 8, 32773, 32946, 34925, 50000, 50001
_BY_ITSELF = (_NONE, _LZW, _JPEG, _DEFLATE, _PACKBITS, _OLD_DEFLATE, _LZMA, _ZSTD, _WEBP)  # not the first JPEG in TIFF, 6
_LONG = 4
_MOST_BYTES, _MOST_BYTES_BESIDE = 16, 1 << 20  # of a band in the file, a pixel and in all: more is no image, but an attack on memory


@dataclass(frozen=True)
class Bands:
    """How a TIFF's page can be taken apart: strips or tiles of `rows` rows, `across` of them beside each other.

    `offsets` and `counts` are in bytes, from the top, row by row. `width` and `height` in pixels.
    """

    width: int
    height: int
    rows: int
    across: int
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    tags: ImageFileDirectory_v2

    @property
    def step(self) -> int:
        """The height of a band in pixels; the last may be lower."""
        return self.rows * max(1, BAND_ROWS // self.rows)

    @property
    def largest(self) -> int:
        """The most bytes that a band has in the file."""
        return max(sum(self.counts[span]) for span in map(self._span, self))

    @property
    def piece(self) -> int:
        """The bytes that libtiff takes for the pixels of one strip or tile; none are taken where they are not compressed."""
        is_plain = self.tags.get(_COMPRESSION, _NONE) == _NONE
        return 0 if is_plain else self.rows * self.width * sum(self.tags.get(_BITS, (1,))) // 8 // self.across

    @property
    def _is_tiled(self) -> bool:
        return _TILE_WIDTH in self.tags

    def __iter__(self) -> Iterator[Rows]:
        for top in range(0, self.height, self.step):
            yield Rows(top, min(self.height, top + self.step))

    def open(self, rows: Rows, descriptor: int) -> TiffImageFile:
        """One of the bands as a TIFF in memory, read from the file of this descriptor; OSError if the file ends before it does."""
        span = self._span(rows)
        pieces = [_read(descriptor, offset, count) for offset, count in zip(self.offsets[span], self.counts[span], strict=True)]
        # written twice: where the pieces lie depends on how long the directory is; Pillow adds that to offsets of strips itself
        start = len(self._directory(rows, [0] * len(pieces), pieces)) if self._is_tiled else 0
        offsets = list(accumulate(map(len, pieces[:-1]), initial=start))
        return TiffImageFile(io.BytesIO(b"".join([self._directory(rows, offsets, pieces), *pieces])))

    def is_there(self, rows: Rows, descriptor: int) -> bool:
        """Whether the file holds all of this band."""
        size, span = os.fstat(descriptor).st_size, self._span(rows)
        return all(offset + count <= size for offset, count in zip(self.offsets[span], self.counts[span], strict=True))

    def rows_there(self, descriptor: int) -> int:
        """How many rows are in bands that the file holds."""
        return sum(rows.bottom - rows.top for rows in self if self.is_there(rows, descriptor))

    def _span(self, rows: Rows) -> slice:
        return slice(rows.top // self.rows * self.across, -(-rows.bottom // self.rows) * self.across)

    def _directory(self, rows: Rows, offsets: list[int], pieces: list[bytes]) -> bytes:
        directory = ImageFileDirectory_v2(prefix=self.tags.prefix)
        for tag in _DESCRIBING:
            if tag in self.tags:
                directory.tagtype[tag] = self.tags.tagtype[tag]
                directory[tag] = self.tags[tag]
        numbers: dict[int, Any] = {_WIDTH: self.width, _LENGTH: rows.bottom - rows.top}
        if self._is_tiled:
            numbers |= {_TILE_WIDTH: self.tags[_TILE_WIDTH], _TILE_LENGTH: self.rows}
        else:
            numbers |= {_STRIP_ROWS: self.rows}
        numbers[_TILE_OFFSETS if self._is_tiled else _STRIP_OFFSETS] = tuple(offsets)
        numbers[_TILE_COUNTS if self._is_tiled else _STRIP_COUNTS] = tuple(map(len, pieces))
        for tag, value in numbers.items():
            directory.tagtype[tag] = _LONG
            directory[tag] = value
        order = "<" if self.tags.prefix == b"II" else ">"
        header = self.tags.prefix + struct.pack(order + "HL", 42, 8)
        return bytes(header + directory.tobytes(len(header)))


def bands(image: TiffImageFile) -> Bands | None:
    """How this page can be taken apart; None if it can't, or if nothing would be gained: then Pillow decodes it whole."""
    tags = image.tag_v2
    compression = tags.get(_COMPRESSION, _NONE)
    if compression not in _BY_ITSELF or tags.get(_PLANES, 1) != 1 or (_TILE_WIDTH in tags and _STRIP_OFFSETS in tags):
        return None
    if _TILE_WIDTH in tags:
        rows, piece_width = tags.get(_TILE_LENGTH, 0), tags[_TILE_WIDTH]
        offsets, counts = tags.get(_TILE_OFFSETS, ()), tags.get(_TILE_COUNTS, ())
    else:
        rows, piece_width = min(tags.get(_STRIP_ROWS, image.height), image.height), image.width
        offsets, counts = tags.get(_STRIP_OFFSETS, ()), tags.get(_STRIP_COUNTS, ())
    if rows < 1 or piece_width < 1:
        return None
    across = -(-image.width // piece_width)
    if not len(offsets) == len(counts) == across * -(-image.height // rows) or min(counts) < 1:
        return None  # parts are missing, or sizes: what is left of such a file is for Pillow to say
    found: Bands | None = Bands(image.width, image.height, rows, across, tuple(offsets), tuple(counts), tags)
    if found and compression == _NONE:
        found = _uncompressed(found, piece_width)
    if not found or found.rows >= image.height or found.largest > _MOST_BYTES * found.step * across * piece_width + _MOST_BYTES_BESIDE:
        return None
    return found


def bytes_of_piece(image: TiffImageFile) -> int:
    """What libtiff holds of one strip or tile while it decodes the page: what the file has of it, and its pixels."""
    tags = image.tag_v2
    if tags.get(_COMPRESSION, _NONE) == _NONE:
        return 0
    if _TILE_WIDTH in tags:
        width, rows, counts = tags[_TILE_WIDTH], tags.get(_TILE_LENGTH, 0), tags.get(_TILE_COUNTS, ())
    else:
        width, rows, counts = image.width, min(tags.get(_STRIP_ROWS, image.height), image.height), tags.get(_STRIP_COUNTS, ())
    return int(max(counts, default=0) + -(-width * sum(tags.get(_BITS, (1,))) // 8) * rows)


def _uncompressed(found: Bands, piece_width: int) -> Bands | None:
    """The same, a single strip, as many programs write it, cut finer; None if too few bytes are said to be there."""
    bits = found.tags.get(_BITS, (1,))  # of each sample, also of those that Pillow passes over
    if len(bits) != found.tags.get(_SAMPLES, 1):
        return None
    row = -(-piece_width * sum(bits) // 8)
    last = found.rows if _TILE_WIDTH in found.tags else (found.height - 1) % found.rows + 1
    if min(found.counts[:-1], default=row * found.rows) < row * found.rows or found.counts[-1] < row * last:
        return None  # Pillow goes by the size of the image
    if len(found.counts) > 1 or _TILE_WIDTH in found.tags:
        return found
    tops = range(0, found.height, BAND_ROWS)
    offsets = tuple(found.offsets[0] + top * row for top in tops)
    counts = tuple(min(BAND_ROWS, found.height - top) * row for top in tops)
    return replace(found, rows=BAND_ROWS, offsets=offsets, counts=counts)


def _read(descriptor: int, offset: int, count: int) -> bytes:
    if not 0 <= offset <= os.fstat(descriptor).st_size - count:
        raise OSError("image file is truncated")
    data = os.pread(descriptor, count, offset)
    if len(data) != count:
        raise OSError("image file is truncated")
    return data
