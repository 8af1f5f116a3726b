"""From a file to upright 8-bit sRGB pixels. The plain path: the whole image at once, 4 bytes a pixel."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from lambdazoom.imaging.colour import to_srgb
from lambdazoom.imaging.formats import BROKEN, Header, open_image

_ORIENTATION = 0x0112  # EXIF 2.32, 4.6.4 A
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PHOTOMETRIC = 0x0106  # TIFF 6.0, PhotometricInterpretation


@dataclass(frozen=True)
class Decoded:
    """An image ready to be tiled: RGB pixels, upright; `remarks` are sentences on what was changed on the way."""

    pixels: Image.Image
    header: Header
    remarks: tuple[str, ...]


def decode(path: Path, name: str, max_pixels: int) -> Decoded:
    """All pixels of the image's largest page; `name` is what errors call it.

    Raises NotAnImage, UnsupportedImage, CorruptImage, ImageTooLarge.
    """
    with open_image(path, name, max_pixels) as (image, header):
        image.load()
        pixels, remarks = to_srgb(_positive(_upright(image), image), name)
    if header.kind == "TIFF" and header.pages > 1:
        remarks = (f"Page {header.page + 1} of {header.pages}, the largest, is shown.", *remarks)
    return Decoded(pixels, header, remarks)


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except BROKEN:
        return image  # an EXIF block that can't be read turns nothing
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return image.transpose(turn) if turn is not None else image


def _positive(upright: Image.Image, stored: Image.Image) -> Image.Image:
    """Invert a 16-bit TIFF whose 0 is white: that Pillow leaves undone."""
    if isinstance(stored, TiffImageFile) and stored.mode == "I;16" and stored.tag_v2.get(_PHOTOMETRIC) == 0:
        return upright.point(lambda value: value * -1 + 65535)
    return upright
