"""The pixels of one level: rows arrive, tile rows become complete, and what all have done with is given back.

Not safe for several threads at once, but for `pixels`, of which they read and write different rows: the tiler sees to that.
"""

from typing import NamedTuple

from PIL import Image, ImageFile

from lambdazoom.imaging import mapped
from lambdazoom.imaging.memory import PixelMemory, pixel_memory
from lambdazoom.model.geometry import Level

_HALVED_ROWS = 32  # at once, where that takes copies
LEAST_BYTES = 4 << 20  # of a smaller level nothing is given back: it is little, and the thumbnail is made of one


def mode_of_halves(mode: str) -> str:
    """The mode of all smaller levels, where the image has this one: with alpha, colours are premultiplied by it once and for all."""
    return "RGBa" if mode == "RGBA" else mode


class Rows(NamedTuple):
    """Rows of a level, counted from its top: `top` is inside, `bottom` is not."""

    top: int
    bottom: int


class Canvas:
    """One level's pixels, mode RGB, L or one with alpha, over memory of our own that goes back to the system row by row.

    `rows` from the top are there. Where our own memory can't be had, and where the pixels are there already, it holds all of
    them until it is closed.
    """

    def __init__(self, level: Level, mode: str, pixels: Image.Image | None = None, is_decoded_into: bool = False) -> None:
        self.level = level
        self.rows = 0
        self.stride = level.width * mapped.bytes_a_pixel(mode)
        self._size = self.stride * level.height
        self.memory: PixelMemory | None = None
        if pixels is None and (is_decoded_into or self._size >= LEAST_BYTES) and mapped.can_map():
            self.memory = pixel_memory(self._size, self.stride)
        if self.memory:
            pixels = mapped.over(self.memory.buffer, self.memory.start, mode, (level.width, level.height))
        self.pixels = pixels or Image.new(mode, (level.width, level.height))
        self._waiting: dict[int, int] = {}  # rows that arrived before those above them: top → bottom
        self._complete = 0  # tile rows, from the top
        self._finished: set[int] = set()
        self.finished = 0  # tile rows, from the top

    def close(self) -> None:
        """Give all memory back."""
        self.pixels = Image.new("L", (1, 1))
        if self.memory:
            self.memory.close()

    def fill(self, rows: Rows, piece: ImageFile.ImageFile) -> None:
        """Decode a piece of the image, opened but not loaded, into these rows. Raises what Pillow's `load` raises."""
        if self.memory:
            offset = self.memory.start + rows.top * self.stride
            size = (self.level.width, rows.bottom - rows.top)
            mapped.decode_into(piece, mapped.over(self.memory.buffer, offset, self.pixels.mode, size))
        else:
            self.pixels.paste(piece, (0, rows.top))

    def expect(self, bottom: int) -> None:
        """Say that rows up to `bottom` are about to be decoded into `pixels`; those behind them are, if at all, one after the other."""
        if self.memory and self.pixels.mode == "RGB":  # whose fourth byte, that nobody uses, shows that a pixel was written
            self.memory.expect(bottom * self.stride)

    def add(self, rows: Rows) -> range:
        """Say that these rows are there, in any order; the tile rows that became complete."""
        if rows.bottom > rows.top:
            self._waiting[rows.top] = rows.bottom
        while self.rows in self._waiting:
            self.rows = self._waiting.pop(self.rows)
        before = self._complete
        self._complete = self._complete_tile_rows()
        return range(before, self._complete)

    def halve_into(self, smaller: "Canvas", tile_row: int) -> Rows:
        """Halve a complete tile row into the next smaller level (box filter); the rows that became complete there.

        An odd last column or row is the mean of what there is of it. What is transparent gives its colour as far as it is seen.
        """
        # of two rows that belong together, one may be in the next tile row: then both are left to that one
        top, bottom = (tile_row + step for step in (0, 1))
        is_last = bottom == self.level.rows
        rows = Rows(top * self.level.tile_size // 2, smaller.level.height if is_last else bottom * self.level.tile_size // 2)
        if smaller.memory:
            smaller.memory.expect(rows.bottom * smaller.stride)
        step = _HALVED_ROWS if self.pixels.mode == "RGBA" else max(1, rows.bottom - rows.top)
        for upper in range(rows.top, rows.bottom, step):
            lower = min(upper + step, rows.bottom)
            box = (0, 2 * upper, self.level.width, min(2 * lower, self.level.height))
            smaller.pixels.paste(self._halved(box), (0, upper))
        return rows

    def _halved(self, box: tuple[int, int, int, int]) -> Image.Image:
        if self.pixels.mode == "RGBA":
            return self.pixels.crop(box).convert(mode_of_halves("RGBA")).reduce(2)
        return self.pixels.reduce(2, box)

    def finish(self, tile_row: int) -> None:
        """Say that a tile row is cut and halved: with all above it done too, its memory goes back."""
        self._finished.add(tile_row)
        while self.finished in self._finished:
            self._finished.remove(self.finished)
            self.finished += 1
        if self.memory and self._size >= LEAST_BYTES:
            # the next tile row still needs the overlap above it, or the one row that was left to it for halving
            kept = max(self.level.overlap, 1)
            done = self.finished * self.level.tile_size - kept
            self.memory.release(self._size if self.finished == self.level.rows else max(0, done * self.stride))

    def _complete_tile_rows(self) -> int:
        if self.rows == self.level.height:
            return self.level.rows
        return max(0, (self.rows - self.level.overlap) // self.level.tile_size)
