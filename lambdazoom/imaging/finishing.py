"""From pixels as a file has them to rows of the upright image in sRGB, strip by strip; who decodes them is not known here.

Strips are small, so that what a conversion takes beside them is little, and stays in the processor's cache.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from lambdazoom.imaging.canvas import Canvas, Rows
from lambdazoom.imaging.colour import Conversion
from lambdazoom.imaging.upright import SIDEWAYS, stored_box, turned, upright_size

STRIP_PIXELS = 1 << 18
_LEAST_ROWS = 64  # of those that were columns: a strip of a few pixels' width would be slow to gather


@dataclass(frozen=True)
class Finish:
    """What has to be done with all pixels of an image: converted, and turned as the EXIF orientation says."""

    conversion: Conversion
    orientation: int = 1

    @property
    def is_needed(self) -> bool:
        """Whether the pixels change at all."""
        return self.conversion.is_needed or self.orientation != 1

    def draw(self, picture: Image.Image, rows: Rows, canvas: Canvas, top: int) -> None:
        """Draw rows of the picture, counted as they are upright, into the canvas, from its row `top` on."""
        for strip in self.strips(rows, upright_size(picture.size, self.orientation)[0]):
            part = picture.crop(stored_box(strip, picture.size, self.orientation))
            canvas.pixels.paste(self.conversion(turned(part, self.orientation)), (0, top + strip.top - rows.top))

    def strips(self, rows: Rows, width: int) -> Iterator[Rows]:
        """The rows in parts."""
        step = max(STRIP_PIXELS // width, _least_rows(self.orientation))
        for top in range(rows.top, rows.bottom, step):
            yield Rows(top, min(rows.bottom, top + step))


def strip_pixels(width: int, orientation: int) -> int:
    """The most pixels that a strip of upright rows so wide can have."""
    return max(STRIP_PIXELS, _least_rows(orientation) * width)


def _least_rows(orientation: int) -> int:
    return _LEAST_ROWS if orientation in SIDEWAYS else 1
