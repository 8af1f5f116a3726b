"""How a picture is to be turned, where its rows are before that, and turning it."""

from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from lambdazoom.imaging.canvas import Rows
from lambdazoom.imaging.formats import BROKEN
from lambdazoom.model.geometry import Box

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
FROM_BELOW = (3, 4)  # whose first row is the last
SIDEWAYS = (5, 6, 7, 8)  # that swap width and height
_BACKWARDS = (*FROM_BELOW, 7, 8)  # whose first row is the last, or was the last column


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


def final_orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8, of a picture whose pixels are read."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except BROKEN:
        return 1
    return found if found in _TURNS else 1


def upright_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Width and height once the picture is turned."""
    return size[::-1] if orientation in SIDEWAYS else size


def stored_box(rows: Rows, size: tuple[int, int], orientation: int) -> Box:
    """Where the upright picture's rows are in the picture of this size as it is stored; there they may be columns."""
    width, height = size
    length = width if orientation in SIDEWAYS else height
    first, end = (length - rows.bottom, length - rows.top) if orientation in _BACKWARDS else rows
    return Box(first, 0, end, height) if orientation in SIDEWAYS else Box(0, first, width, end)


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """The picture, its pixels read, as this orientation wants it shown."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image
