"""An opened image as the tiler gets it, and the plain way of reading it, all pixels first; how rows stream, `streams` knows."""

import math
from functools import partial
from typing import BinaryIO, cast

from PIL import Image, ImageFile

from lambdazoom.imaging import jpeg, mapped, needs
from lambdazoom.imaging.canvas import Rows
from lambdazoom.imaging.colour import Conversion, space_of
from lambdazoom.imaging.depth import check_colour, samples_of
from lambdazoom.imaging.finishing import Finish
from lambdazoom.imaging.formats import Header, Wishes, is_truncation, reading
from lambdazoom.imaging.needs import MemoryLimit, Whole
from lambdazoom.imaging.stored import Stored
from lambdazoom.imaging.tiler import Picture, Tiler
from lambdazoom.imaging.upright import final_orientation, orientation, upright_size
from lambdazoom.imaging.ways import JPEGS
from lambdazoom.model.errors import CorruptImage
from lambdazoom.model.geometry import Pyramid


class Source:
    """An opened image, ready to be cut into tiles: `width` and `height` are in pixels, upright, `mode` is RGB, L or RGBA.

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
            raise CorruptImage(f"{self.name} is cut off; {share} could be read. Replace it with a whole file{way_out}.")
        self.remarks = (*self.remarks, f"The file is cut off: {share} could be read, the rest is empty. Replace it with a whole file.")


class WholeSource(Source):
    """An image whose pixels are all there before the first tile; what has to be done with them is done on the way to the tiles."""

    def __init__(self, image: ImageFile.ImageFile, header: Header, name: str, wishes: Wishes, because: Whole) -> None:
        super().__init__(image, header, name, wishes)
        self._because = because
        self._stored: tuple[Image.Image, Finish] | None = None
        if header.kind != "TIFF":  # Pillow has turned a TIFF's size itself
            self.width, self.height = upright_size(image.size, orientation(image))

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
            conversion = Conversion(stored, self.samples, space_of(self.image), self.wishes.background)
            finish = Finish(conversion, final_orientation(self.image))
        self.mode, self.remarks = conversion.mode, (*self.remarks, *conversion.remarks)
        self.width, self.height = upright_size(stored.size, finish.orientation)
        if finish.is_needed:
            self._stored = stored, finish
        else:
            self.pixels = conversion(stored)

    def pour(self, tiler: Tiler) -> None:
        """As of any source."""
        if self.pixels:
            Picture(self.pixels).pour(tiler)
        elif self._stored:
            self._finish(*self._stored, tiler)
        else:
            raise ValueError("load comes first")

    def _finish(self, stored: Image.Image, finish: Finish, tiler: Tiler) -> None:
        def draw(rows: Rows) -> None:
            with reading(self.name):
                finish.draw(stored, rows, tiler.canvas, rows.top)

        for rows in finish.strips(Rows(0, self.height), self.width):
            tiler.wait_for_room(rows.bottom)
            tiler.decode(rows, partial(draw, rows))

    def _decoded(self) -> Image.Image:
        """The picture as it is stored, or as much of it as the file holds."""
        # in huge pages, where Pillow can be told to
        stored = Stored(self.image) if self.header.kind in JPEGS and mapped.can_decode("JPEG") else None
        try:
            if stored:
                file = cast(BinaryIO, self.image.fp)
                mapped.decode_into(self.image, stored.pixels, jpeg.ScanReader(file) if jpeg.comes_row_by_row(file) else None)
                return stored.pixels
            self.image.load()
        except (OSError, EOFError) as error:
            if not is_truncation(error):
                raise
            part = stored.pixels if stored else mapped.decoded_so_far(self.image)
            is_turned = self.header.kind == "TIFF" and orientation(self.image) != 1  # what Pillow does at the very end
            is_filled = self.header.kind == "GIF" or self.image.info.get("interlace")  # no row tells whether it was read
            if part is None or is_turned or is_filled:
                raise
            top, bottom = mapped.rows_of(part)
            self._is_cut_off(bottom - top, part.height)
            return part
        return self.image
