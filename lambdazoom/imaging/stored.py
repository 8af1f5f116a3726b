"""Rows as a file has them, drawn by a decoder and given back when they are converted: what a canvas is for tiles, without tiles."""

from threading import Lock

from PIL import Image

from lambdazoom.imaging import mapped
from lambdazoom.imaging.canvas import Rows
from lambdazoom.imaging.memory import PixelMemory, pixel_memory


class Stored:
    """The pixels of an opened image, in its own mode, over memory of ours, or Pillow's where there is none to be had.

    `pixels` have the image's palette and information, and so do parts of them.
    """

    def __init__(self, image: Image.Image) -> None:
        self.stride = mapped.stride(image.mode, image.width)
        self.memory: PixelMemory | None = pixel_memory(self.stride * image.height)
        if self.memory:
            self.pixels = mapped.over(self.memory.buffer, self.memory.start, image.mode, image.size)
        else:
            self.pixels = Image.new(image.mode, image.size)
        self.pixels.info = image.info.copy()
        if image.palette:
            self.pixels.palette = image.palette.copy()
            self.pixels.load()  # that is: tell the palette to Pillow's core
        self._finishing = Lock()
        self._waiting: dict[int, int] = {}  # rows that are done before those above them: top → bottom
        self._done = 0  # rows, from the top

    def finish(self, rows: Rows) -> None:
        """Say that these rows are needed no more, in any order, from any thread."""
        with self._finishing:
            self._waiting[rows.top] = rows.bottom
            while self._done in self._waiting:
                self._done = self._waiting.pop(self._done)
            if self.memory:
                self.memory.release(self._done * self.stride)
