"""From a file to rows of upright 8-bit sRGB pixels, by the way that needs the least memory; what a file is, `formats` knows.

Rows of grey and RGB images stream: those of JPEG and PNG from one decoder, those of TIFF in bands, on all cores. What must be
converted, turned or put together first is decoded whole.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from lambdazoom.imaging import mapped, needs, tiff
from lambdazoom.imaging.canvas import Rows
from lambdazoom.imaging.colour import to_srgb
from lambdazoom.imaging.formats import Header, WatchedFile, open_image, reading
from lambdazoom.imaging.inflate import PIECE_BYTES, InflatedPng
from lambdazoom.imaging.needs import MemoryLimit, Whole
from lambdazoom.imaging.tiler import Picture, Tiler
from lambdazoom.imaging.upright import orientation, upright
from lambdazoom.imaging.ways import whole_because
from lambdazoom.model.geometry import Pyramid

_PHOTOMETRIC = 0x0106  # TIFF 6.0, PhotometricInterpretation
_SIDEWAYS = (5, 6, 7, 8)  # orientations that swap width and height


class Source:
    """An opened image, ready to be cut into tiles: `width` and `height` are in pixels, upright, `mode` is RGB or L.

    `way` names how its pixels are read; `remarks` are sentences on what was changed on the way, all of them there after `load`.
    """

    way = "whole"

    def __init__(self, image: ImageFile.ImageFile, header: Header, name: str) -> None:
        self.image = image
        self.header = header
        self.name = name
        self.width, self.height, self.mode = image.width, image.height, image.mode
        self.pixels: Image.Image | None = None
        self.remarks: tuple[str, ...] = ()
        if header.kind == "TIFF" and header.pages > 1:
            self.remarks = (f"Page {header.page + 1} of {header.pages}, the largest, is shown.",)

    def need(self, pyramid: Pyramid) -> int:
        """The memory that this will take in bytes, beside what the process holds already."""
        return needs.streamed(pyramid, self.mode)

    def check(self, pyramid: Pyramid, held: int, limit: MemoryLimit) -> None:
        """Raise NeedsMoreMemory if this needs more than is left beside the `held` bytes."""
        needs.check(self.name, f"{self.width:,} pixels wide", "save it smaller", held + self.need(pyramid), limit)

    def load(self) -> None:
        """Do what can't be done row by row. Raises UnsupportedImage, CorruptImage."""

    def pour(self, tiler: Tiler) -> None:
        """Bring all rows to the tiler. Raises CorruptImage, and Stopped."""
        raise NotImplementedError


class WholeSource(Source):
    """An image whose pixels are all there before the first tile."""

    def __init__(self, image: ImageFile.ImageFile, header: Header, name: str, because: Whole) -> None:
        super().__init__(image, header, name)
        self._because = because
        if header.kind != "TIFF" and orientation(image) in _SIDEWAYS:  # Pillow has turned a TIFF's size itself
            self.width, self.height = self.height, self.width

    def need(self, pyramid: Pyramid) -> int:
        """As of any source."""
        return needs.decoded_whole(pyramid, self.header.mode, self._because)

    def check(self, pyramid: Pyramid, held: int, limit: MemoryLimit) -> None:
        """As of any source."""
        needs.check(self.name, self._because.kind, self._because.advice, held + self.need(pyramid), limit)

    def load(self) -> None:
        """As of any source."""
        with reading(self.name):
            self.image.load()
            pixels, remarks = to_srgb(_positive(upright(self.image), self.image), self.name)
        self.pixels, self.mode, self.remarks = pixels, pixels.mode, (*self.remarks, *remarks)
        self.width, self.height = pixels.size

    def pour(self, tiler: Tiler) -> None:
        """As of any source."""
        if self.pixels is None:
            raise ValueError("load comes first")
        Picture(self.pixels).pour(tiler)


class PulledSource(Source):
    """A JPEG, whose decoder pulls its input: between two reads we see how far it has come, and can let it wait."""

    way = "row by row"

    def __init__(self, image: ImageFile.ImageFile, header: Header, name: str, file: WatchedFile) -> None:
        super().__init__(image, header, name)
        self._file = file

    def pour(self, tiler: Tiler) -> None:
        """As of any source."""
        self._pull(self.image, self._file, tiler)

    def _pull(self, image: ImageFile.ImageFile, file: WatchedFile | InflatedPng, tiler: Tiler) -> None:
        canvas, arrived = tiler.canvas, 0

        def look() -> None:
            nonlocal arrived
            rows = canvas.memory.written() // canvas.stride if canvas.memory else 0
            if rows > arrived:
                tiler.add(Rows(arrived, rows))
                arrived = rows
                tiler.wait_for_room(rows)

        file.on_read = look
        try:
            with reading(self.name):
                mapped.decode_into(image, canvas.pixels)
        finally:
            file.on_read = lambda: None
        tiler.add(Rows(arrived, self.height))


class PngSource(PulledSource):
    """A PNG: the same, with its image data decompressed beside it."""

    def pour(self, tiler: Tiler) -> None:
        """As of any source."""
        with InflatedPng(self._file.fileno()) as inflated, PngImageFile(cast(BinaryIO, inflated)) as image:
            image.decodermaxblock = 2 * PIECE_BYTES  # a chunk at once
            self._pull(image, inflated, tiler)


class BandedSource(Source):
    """A TIFF whose strips or tiles are decoded apart from each other, on several cores."""

    way = "band by band"

    def __init__(self, image: ImageFile.ImageFile, header: Header, name: str, bands: tiff.Bands, descriptor: int) -> None:
        super().__init__(image, header, name)
        self._bands, self._descriptor = bands, descriptor

    def need(self, pyramid: Pyramid) -> int:
        """As of any source."""
        raw = self._bands.step * self.width * mapped.BYTES_A_PIXEL[self.mode]
        return needs.streamed(pyramid, self.mode, on_the_way=2 * (raw + 3 * self._bands.largest))

    def pour(self, tiler: Tiler) -> None:
        """As of any source."""
        for rows in self._bands:
            tiler.wait_for_room(rows.bottom)
            tiler.decode(rows, partial(self._decode, tiler, rows))

    def _decode(self, tiler: Tiler, rows: Rows) -> None:
        with reading(self.name), self._bands.open(rows, self._descriptor) as band:
            tiler.canvas.fill(rows, band)


@contextmanager
def open_source(path: Path, name: str, max_pixels: int) -> Iterator[Source]:
    """The image's largest page, not yet decoded; `name` is what errors call it.

    Raises NotAnImage, UnsupportedImage, CorruptImage, ImageTooLarge.
    """
    with open_image(path, name, max_pixels) as (image, header, file):
        with reading(name):
            source = _source(image, header, name, file)
        yield source


def _source(image: ImageFile.ImageFile, header: Header, name: str, file: WatchedFile) -> Source:
    because = whole_because(image, header, file)
    if because:
        return WholeSource(image, header, name, because)
    if not isinstance(image, TiffImageFile):
        kind = PngSource if header.kind == "PNG" else PulledSource
        return kind(image, header, name, file)
    bands = tiff.bands(image)
    if bands is None:
        return WholeSource(image, header, name, Whole("a TIFF in one piece", "save it with tiles"))
    return BandedSource(image, header, name, bands, file.fileno())


def _positive(turned: Image.Image, stored: Image.Image) -> Image.Image:
    """Invert a 16-bit TIFF whose 0 is white: that Pillow leaves undone."""
    if isinstance(stored, TiffImageFile) and stored.mode == "I;16" and stored.tag_v2.get(_PHOTOMETRIC) == 0:
        return turned.point(lambda value: value * -1 + 65535)
    return turned
