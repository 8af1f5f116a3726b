"""From a file to rows of upright 8-bit sRGB pixels, by the way that needs the least memory; what a file is, `formats` knows.

Rows of grey and RGB images stream: those of JPEG and PNG from one decoder, those of TIFF in bands, on all cores. What must be
converted, turned or put together first is decoded whole.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from lambdazoom.imaging import jpeg, mapped, needs, tiff
from lambdazoom.imaging.canvas import Rows
from lambdazoom.imaging.colour import space_of, to_srgb
from lambdazoom.imaging.depth import check_colour, samples_of
from lambdazoom.imaging.formats import Header, WatchedFile, Wishes, is_truncation, open_image, reading
from lambdazoom.imaging.holding import held_beside
from lambdazoom.imaging.inflate import PIECE_BYTES, InflatedPng
from lambdazoom.imaging.memory import REGION
from lambdazoom.imaging.needs import MemoryLimit, Whole
from lambdazoom.imaging.tiler import Picture, Tiler, available_cores, rows_ahead
from lambdazoom.imaging.upright import orientation, upright
from lambdazoom.imaging.ways import whole_because
from lambdazoom.model.errors import CorruptImage
from lambdazoom.model.geometry import Pyramid

_AS_IT_COMES = Wishes()
_SIDEWAYS = (5, 6, 7, 8)  # orientations that swap width and height
_BANDS_AHEAD = 4  # with fewer, decoding waits for encoding, and the other way round


class Source:
    """An opened image, ready to be cut into tiles: `width` and `height` are in pixels, upright, `mode` is RGB or L.

    `way` names how its pixels are read; `remarks` are sentences on what was changed on the way, all of them there after `pour`.
    """

    way = "whole"

    def __init__(self, image: ImageFile.ImageFile, header: Header, name: str, wishes: Wishes) -> None:
        self.image = image
        self.header = header
        self.name = name
        self.wishes = wishes
        self.width, self.height, self.mode = image.width, image.height, image.mode
        self.pixels: Image.Image | None = None
        self.samples = samples_of(image)
        self.remarks = check_colour(image, self.samples, name)
        if header.pages > 1:
            largest = ", the largest," if wishes.page is None else ""
            self.remarks = (f"Page {header.page + 1} of {header.pages}{largest} is shown.", *self.remarks)

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

    def _is_cut_off(self, rows: int, height: int) -> None:
        """The file ends too early, behind so many rows: a remark on that if it is accepted, else CorruptImage."""
        share = f"{math.floor(100 * rows / height)} %"
        if not self.wishes.accepts_truncated or not rows:
            way_out = ", or set LAMBDAZOOM_TRUNCATED=accept and retry" if rows else ""
            raise CorruptImage(f"{self.name} is cut off; {share} could be read. Upload it again{way_out}.")
        self.remarks = (*self.remarks, f"The file is cut off: {share} could be read, the rest is empty. Upload it again.")


class WholeSource(Source):
    """An image whose pixels are all there before the first tile."""

    def __init__(self, image: ImageFile.ImageFile, header: Header, name: str, wishes: Wishes, because: Whole) -> None:
        super().__init__(image, header, name, wishes)
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
            stored = self._decoded()
            pixels, remarks = to_srgb(upright(stored), self.samples, space_of(self.image), self.wishes.background)
            if pixels is not self.image:
                self.image.close()  # what was converted is not held beside what came of it
        self.pixels, self.mode, self.remarks = pixels, pixels.mode, (*self.remarks, *remarks)
        self.width, self.height = pixels.size

    def pour(self, tiler: Tiler) -> None:
        """As of any source."""
        if self.pixels is None:
            raise ValueError("load comes first")
        Picture(self.pixels).pour(tiler)

    def _decoded(self) -> Image.Image:
        """The picture as it is stored, or as much of it as the file holds."""
        try:
            self.image.load()
        except (OSError, EOFError) as error:
            if not is_truncation(error):
                raise
            part = mapped.decoded_so_far(self.image)
            is_turned = self.header.kind == "TIFF" and orientation(self.image) != 1  # what Pillow does at the very end
            is_filled = self.header.kind == "GIF" or self.image.info.get("interlace")  # no row tells whether it was read
            if part is None or is_turned or is_filled:
                raise
            top, bottom = mapped.rows_of(part)
            self._is_cut_off(bottom - top, part.height)
            return part
        return self.image


class PulledSource(Source):
    """A JPEG, whose decoder pulls its input: between two reads we see how far it has come, and can let it wait."""

    way = "row by row"

    def __init__(self, image: ImageFile.ImageFile, header: Header, name: str, wishes: Wishes, file: WatchedFile) -> None:
        super().__init__(image, header, name, wishes)
        self._file = file

    def pour(self, tiler: Tiler) -> None:
        """As of any source."""
        canvas = tiler.canvas
        share = REGION / (canvas.stride * self.height)  # of the file, for about a region of rows
        with reading(self.name):
            reader = jpeg.ScanReader(self._file, share, lambda: canvas.reaches(self.height - jpeg.UNFINISHED_ROWS))
        self._pull(self.image, self._file, tiler, reader)

    def _pull(
        self, image: ImageFile.ImageFile, file: WatchedFile | InflatedPng, tiler: Tiler, read: Callable[[int], bytes] | None = None
    ) -> None:
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
                try:
                    mapped.decode_into(image, canvas.pixels, read)
                except (OSError, EOFError) as error:
                    if not is_truncation(error):
                        raise
                    self._is_cut_off(max(arrived, mapped.rows_of(canvas.pixels)[1]), self.height)
        finally:
            file.on_read = lambda: None
        for top in range(arrived, self.height, tiler.canvas.level.tile_size):  # many, where a file that is cut off is accepted
            tiler.wait_for_room(top)
            tiler.add(Rows(top, min(self.height, top + tiler.canvas.level.tile_size)))


class PngSource(PulledSource):
    """A PNG: the same, with its image data decompressed beside it."""

    def need(self, pyramid: Pyramid) -> int:
        """As of any source."""
        return needs.streamed(pyramid, self.mode, on_the_way=16 * PIECE_BYTES)

    def pour(self, tiler: Tiler) -> None:
        """As of any source."""
        with InflatedPng(self._file.fileno()) as inflated:
            with reading(self.name):
                image = PngImageFile(cast(BinaryIO, inflated))
            with image:
                image.decodermaxblock = 2 * PIECE_BYTES  # a chunk at once
                self._pull(image, inflated, tiler)


class BandedSource(Source):
    """A TIFF whose strips or tiles are decoded apart from each other, on several cores."""

    way = "band by band"

    def __init__(self, image: ImageFile.ImageFile, header: Header, name: str, wishes: Wishes, bands: tiff.Bands, descriptor: int) -> None:
        super().__init__(image, header, name, wishes)
        self._bands, self._descriptor = bands, descriptor
        self._ahead = _BANDS_AHEAD * bands.step

    def need(self, pyramid: Pyramid) -> int:
        """As of any source."""
        bands, ahead = self._bands, max(self._ahead, rows_ahead(pyramid.recipe.tile_size))
        at_once = min(available_cores(), ahead // bands.step)
        # put together, a band is there twice, but hardly ever two of them at the same moment
        return needs.streamed(pyramid, self.mode, ahead, (at_once + 1) * bands.largest + at_once * bands.piece)

    def load(self) -> None:
        """As of any source."""
        there = self._bands.rows_there(self._descriptor)
        if there < self.height:
            self._is_cut_off(there, self.height)

    def pour(self, tiler: Tiler) -> None:
        """As of any source."""
        for rows in self._bands:
            tiler.wait_for_room(rows.bottom, self._ahead)
            if self._bands.is_there(rows, self._descriptor) or not self.wishes.accepts_truncated:
                tiler.decode(rows, partial(self._decode, tiler, rows))
            else:
                tiler.add(rows)

    def _decode(self, tiler: Tiler, rows: Rows) -> None:
        with reading(self.name), self._bands.open(rows, self._descriptor) as band:
            tiler.canvas.fill(rows, band)


@contextmanager
def open_source(path: Path, name: str, max_pixels: int, wishes: Wishes = _AS_IT_COMES) -> Iterator[Source]:
    """The image's largest page, or the one that is wished for, not yet decoded; `name` is what errors call it.

    Raises NotAnImage, UnsupportedImage, CorruptImage, ImageTooLarge.
    """
    with open_image(path, name, max_pixels, wishes.page) as (image, header, file):
        with reading(name):
            source = _source(image, header, name, file, wishes)
        yield source


def _source(image: ImageFile.ImageFile, header: Header, name: str, file: WatchedFile, wishes: Wishes) -> Source:
    because = whole_because(image, header, file)
    if because:
        return WholeSource(image, header, name, wishes, because)
    if not isinstance(image, TiffImageFile):
        kind = PngSource if header.kind == "PNG" else PulledSource
        return kind(image, header, name, wishes, file)
    bands = tiff.bands(image)
    if bands is None:
        return WholeSource(image, header, name, wishes, Whole("a TIFF in one piece", "save it with tiles", held_beside(image)))
    return BandedSource(image, header, name, wishes, bands, file.fileno())
