"""Images whose rows stream: decoded in their own mode, finished on the tiler's threads, and cut while the decoder goes on.

Those of JPEG and PNG come row by row from one decoder, those of TIFF in bands, on all cores.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, cast

from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngImageFile

from lambdazoom.imaging import jpeg, mapped, needs
from lambdazoom.imaging.canvas import Canvas, Rows
from lambdazoom.imaging.colour import Conversion, space_of
from lambdazoom.imaging.finishing import Finish
from lambdazoom.imaging.formats import Header, WatchedFile, Wishes, is_truncation, reading
from lambdazoom.imaging.memory import REGION
from lambdazoom.imaging.source import Source
from lambdazoom.imaging.stored import Stored
from lambdazoom.imaging.tiler import Tiler, available_cores, rows_ahead
from lambdazoom.imaging.upright import FROM_BELOW, orientation
from lambdazoom.model.geometry import Pyramid

if TYPE_CHECKING:
    from lambdazoom.imaging.inflate import InflatedPng
    from lambdazoom.imaging.tiff import Bands

_BANDS_AHEAD = 4  # with fewer, decoding waits for encoding, and the other way round
_MOST_ROWS_AHEAD = 1024  # of high bands fewer are ahead: they are work enough, and much memory


class StreamedSource(Source):
    """One whose rows come one after the other."""

    def __init__(self, image: ImageFile.ImageFile, header: Header, name: str, wishes: Wishes) -> None:
        super().__init__(image, header, name, wishes)
        conversion = Conversion(image, self.samples, space_of(image), wishes.background)
        self.finish = Finish(conversion, orientation(image))
        self.mode, self.remarks = conversion.mode, (*self.remarks, *conversion.remarks)


class PulledSource(StreamedSource):
    """A JPEG, whose decoder pulls its input: between two reads we see how far it has come, and can let it wait."""

    way = "row by row"
    _ahead_bytes = 48 << 20  # of rows: with fewer, decoder and encoders wait for each other a fourteenth of the time

    def __init__(self, image: ImageFile.ImageFile, header: Header, name: str, wishes: Wishes, file: WatchedFile) -> None:
        super().__init__(image, header, name, wishes)
        self._file = file

    def need(self, pyramid: Pyramid) -> int:
        """As of any source."""
        ahead = self._ahead(pyramid.recipe.tile_size)
        if not self.finish.is_needed:
            return needs.streamed(pyramid, self.mode, ahead)
        # a row is in one mode or in the other: only if the first is wider, more is needed, beside what is not yet given back
        wider = max(0, mapped.stride(self.header.mode, 1) - mapped.bytes_a_pixel(self.mode))
        on_the_way = 2 * REGION + self.width * wider * ahead
        return needs.streamed(pyramid, self.mode, ahead, on_the_way + needs.finishing(pyramid))

    def pour(self, tiler: Tiler) -> None:
        """As of any source."""
        target = self._target(tiler)
        share = REGION / (target.stride * self.height)  # of the file, for about a region of rows
        with reading(self.name):
            reader = jpeg.ScanReader(self._file, share)
        self._pull(self.image, self._file, target, tiler, reader)

    def _ahead(self, tile_size: int) -> int:
        """How many rows may be there that are not yet cut: more than elsewhere, while they are short."""
        least = rows_ahead(tile_size)
        return max(least, min(2 * least, self._ahead_bytes // mapped.stride(self.header.mode, self.width)))

    def _target(self, tiler: Tiler) -> Canvas | Stored:
        """Where it is decoded to: at once to where tiles are cut from, if there is nothing to be done with the pixels."""
        return Stored(self.image) if self.finish.is_needed else tiler.canvas

    def _pull(
        self,
        image: ImageFile.ImageFile,
        file: "WatchedFile | InflatedPng",
        target: Canvas | Stored,
        tiler: Tiler,
        read: Callable[[int], bytes] | None = None,
    ) -> None:
        arrived, ahead = 0, self._ahead(tiler.canvas.level.tile_size)

        def look() -> None:
            nonlocal arrived
            rows = target.memory.written() // target.stride if target.memory else 0
            if rows > arrived:
                self._bring(Rows(arrived, rows), target, tiler)
                arrived = rows
                tiler.wait_for_room(rows, ahead)
                if isinstance(target, Canvas):
                    target.expect(rows)

        file.on_read = look
        try:
            with reading(self.name):
                try:
                    mapped.decode_into(image, target.pixels, read)
                except (OSError, EOFError) as error:
                    if not is_truncation(error):
                        raise
                    if target.memory:
                        target.memory.forget_unwritten()
                    self._is_cut_off(max(arrived, mapped.rows_of(target.pixels)[1]), self.height)
        finally:
            file.on_read = lambda: None
        for top in range(arrived, self.height, tiler.canvas.level.tile_size):  # many, where a file that is cut off is accepted
            tiler.wait_for_room(top)
            self._bring(Rows(top, min(self.height, top + tiler.canvas.level.tile_size)), target, tiler)

    def _bring(self, rows: Rows, target: Canvas | Stored, tiler: Tiler) -> None:
        if isinstance(target, Stored):
            tiler.decode(rows, partial(self._draw, rows, target, tiler))
        else:
            tiler.add(rows)

    def _draw(self, rows: Rows, stored: Stored, tiler: Tiler) -> None:
        with reading(self.name):
            self.finish.draw(stored.pixels, rows, tiler.canvas, rows.top)
        stored.finish(rows)


class PngSource(PulledSource):
    """A PNG: the same, with its image data decompressed beside it."""

    _ahead_bytes = 0  # its decoder is what all others wait for

    def need(self, pyramid: Pyramid) -> int:
        """As of any source."""
        from lambdazoom.imaging.inflate import PIECE_BYTES  # with isal, which nothing else needs

        return super().need(pyramid) + 20 * PIECE_BYTES

    def pour(self, tiler: Tiler) -> None:
        """As of any source."""
        from lambdazoom.imaging.inflate import PIECE_BYTES, InflatedPng

        with InflatedPng(self._file.fileno()) as inflated:
            with reading(self.name):
                image = PngImageFile(cast(BinaryIO, inflated))
            with image:
                image.decodermaxblock = 2 * PIECE_BYTES  # a chunk at once
                self._pull(image, inflated, self._target(tiler), tiler)


class BandedSource(StreamedSource):
    """A TIFF whose strips or tiles are decoded apart from each other, on several cores."""

    way = "band by band"

    def __init__(self, image: ImageFile.ImageFile, header: Header, name: str, wishes: Wishes, bands: "Bands", descriptor: int) -> None:
        super().__init__(image, header, name, wishes)
        self._bands, self._descriptor = bands, descriptor
        self._ahead = max(bands.step, min(_BANDS_AHEAD * bands.step, _MOST_ROWS_AHEAD))

    def need(self, pyramid: Pyramid) -> int:
        """As of any source."""
        bands, ahead = self._bands, max(self._ahead, rows_ahead(pyramid.recipe.tile_size))
        at_once = min(available_cores(), ahead // bands.step)
        # put together, a band is there twice, but hardly ever two of them at the same moment
        on_the_way = (at_once + 1) * bands.largest + at_once * bands.piece
        if self.finish.is_needed:
            on_the_way += needs.finishing(pyramid) + at_once * self.width * bands.step * mapped.bytes_a_pixel(self.header.mode)
        # the tile row that is just coming is among those ahead
        return needs.streamed(pyramid, self.mode, max(bands.step, ahead - pyramid.recipe.tile_size), on_the_way)

    def load(self) -> None:
        """As of any source."""
        there = self._bands.rows_there(self._descriptor)
        if there < self.height:
            self._is_cut_off(there, self.height)

    def pour(self, tiler: Tiler) -> None:
        """As of any source."""
        is_from_below = self.finish.orientation in FROM_BELOW
        for rows in reversed(list(self._bands)) if is_from_below else self._bands:
            shown = Rows(self.height - rows.bottom, self.height - rows.top) if is_from_below else rows
            tiler.wait_for_room(shown.bottom, self._ahead)
            tiler.canvas.expect(shown.bottom)
            tiler.decode(shown, partial(self._decode, rows, shown, tiler))

    def _decode(self, rows: Rows, shown: Rows, tiler: Tiler) -> None:
        with reading(self.name):
            if self.wishes.accepts_truncated and not self._bands.is_there(rows, self._descriptor):
                self._draw(Image.new(self.header.mode, (self.width, rows.bottom - rows.top)), shown, tiler)
                return
            with self._bands.open(rows, self._descriptor) as band:
                if self.finish.is_needed:
                    self._draw(band, shown, tiler)
                else:
                    tiler.canvas.fill(shown, band)

    def _draw(self, band: Image.Image, shown: Rows, tiler: Tiler) -> None:
        self.finish.draw(band, Rows(0, band.height), tiler.canvas, shown.top)
