"""How a picture is to be turned, and turning it."""

from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from lambdazoom.imaging.formats import BROKEN

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


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8, so far as it is known before the pixels are read: a PNG may tell it behind them."""
    try:
        found = known_exif(image).get(_ORIENTATION, 1)
    except BROKEN:
        return 1  # an EXIF block that can't be read turns nothing
    return found if found in _TURNS else 1


def known_exif(image: Image.Image) -> Image.Exif:
    """The EXIF block, so far as it is known before the pixels are read. Raises one of BROKEN."""
    if isinstance(image, PngImageFile):  # its own getexif would decode the whole image first, and keep what it found so far
        known, image = image.info, Image.new("1", (1, 1))
        image.info = known
    return image.getexif()


def upright(image: Image.Image) -> Image.Image:
    """The picture, its pixels read, as its EXIF orientation wants it shown."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except BROKEN:
        return image
    turn = _TURNS.get(found) if isinstance(found, int) else None
    return image.transpose(turn) if turn is not None else image
