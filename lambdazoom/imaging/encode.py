"""From a box of pixels to the bytes of a tile, without holding the GIL.

Pillow's JPEG encoder gives the GIL up only while it writes to a real file descriptor, so each thread encodes into an
anonymous file of its own (a memfd where there is one): two threads then need half the time.
"""

import os
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

from PIL import Image

from lambdazoom.imaging import mapped
from lambdazoom.imaging.memory import anonymous_file
from lambdazoom.model.geometry import Box, Recipe

THUMBNAIL_SIDE = 512
_OPTIONS: dict[str, Callable[[Recipe], dict[str, Any]]] = {
    "jpg": lambda recipe: {"format": "JPEG", "quality": recipe.quality, "subsampling": recipe.subsampling},
    "png": lambda _: {"format": "PNG", "compress_level": 6},
    "webp": lambda recipe: {"format": "WEBP", "quality": recipe.quality, "method": 4},
}


class TileEncoder:
    """Encodes tiles by one recipe, from any number of threads."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._options = _OPTIONS[recipe.format](recipe)
        self._is_direct = recipe.format == "jpg" and mapped.can_encode(recipe.quality, recipe.subsampling)
        self._scratch = threading.local()
        self._opened: list[BinaryIO] = []  # one for each thread

    def encode(self, image: Image.Image, box: Box) -> bytes:
        """The box as one file, in the recipe's format; `image` is RGB or L; RGBA or RGBa only where that is not JPEG.

        These pixels are not written to meanwhile.
        """
        scratch = self._scratch_file()
        scratch.seek(0)
        if self._is_direct:
            mapped.encode_jpeg(image, box, self._recipe.quality, self._recipe.subsampling, scratch.fileno())
        else:
            straight(image.crop(box)).save(scratch, **self._options)
        # the encoder writes through the descriptor, past the file object's own idea of where it stands
        length = os.lseek(scratch.fileno(), 0, os.SEEK_CUR)
        return os.pread(scratch.fileno(), length, 0)

    def close(self) -> None:
        """Close the threads' anonymous files; no thread may still be encoding."""
        for opened in self._opened:
            opened.close()

    def _scratch_file(self) -> BinaryIO:
        if not hasattr(self._scratch, "file"):
            self._scratch.file = anonymous_file()
            self._opened.append(self._scratch.file)
        opened: BinaryIO = self._scratch.file
        return opened


def thumbnail(image: Image.Image, background: str) -> bytes:
    """A JPEG of the image, RGB, L, RGBA or RGBa, whose longer side is THUMBNAIL_SIDE pixels at most."""
    small = straight(image.copy())
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    if small.mode == "RGBA":
        small = Image.composite(small.convert("RGB"), Image.new("RGB", small.size, background), small.getchannel("A"))
    with anonymous_file() as scratch:
        small.save(scratch, "JPEG", quality=85, subsampling="4:2:0", optimize=False)
        return os.pread(scratch.fileno(), os.lseek(scratch.fileno(), 0, os.SEEK_CUR), 0)


def straight(image: Image.Image) -> Image.Image:
    """The picture with its colours as they are stored in files: not premultiplied by alpha."""
    return image.convert("RGBA") if image.mode == "RGBa" else image
