"""What a file is, told by its content, and whether we open it; its pixels are not touched here.

Signatures: the magic numbers of each format's specification, as Pillow's own readers check them too.
"""

import errno
import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageFile, UnidentifiedImageError

from lambdazoom.imaging import directory, jpeg, overlooked, raw, signatures
from lambdazoom.imaging.pages import refuse_compression, turn_to_page
from lambdazoom.model.errors import AccessDenied, CorruptImage, ImageTooLarge, NotAnImage, NotFound, StorageError, UnsupportedImage
from lambdazoom.model.geometry import WHITE

# Pillow's readers that we trust with strangers' files: not EPS (it runs Ghostscript), nor the many that nobody asks for
OPENED = ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "JPEG2000", "AVIF", "ICO", "PSD")

_JPEG = b"\xff\xd8\xff"
_OPENED_FIRST = (_JPEG, b"\x89PNG\r\n\x1a\n")  # what Pillow opens without looking whether it is a TIFF

# what Pillow's readers raise on broken files; UnidentifiedImageError is an OSError, RuntimeError is AVIF's
BROKEN = (OSError, SyntaxError, ValueError, ArithmeticError, EOFError, LookupError, TypeError, RuntimeError, struct.error, zlib.error)

MAX_SIDE = 2_000_000  # pixels: no row takes more than 8 MB, and no image more than 22 levels

_MUCH = 1 << 20  # bytes
_MAX_TEXT = 16 << 20  # bytes of one text or profile in a PNG, decompressed; of all texts Pillow takes 64 MiB

FORMATS = "requirements-formats.txt"  # the packages that open further formats


@dataclass(frozen=True)
class Wishes:
    """How a file is to be read: `page` counts from 0, None is the largest.

    `background`, as #rrggbb, shows through transparent parts; with None they stay transparent.
    """

    page: int | None = None
    background: str | None = WHITE
    accepts_truncated: bool = False


@dataclass(frozen=True)
class Header:
    """What an image says of itself before its pixels are read.

    `width` and `height` are in pixels as stored, before any turning (HEIF turns by itself); `kind` is Pillow's name of the format;
    `page` counts from 0.
    """

    kind: str
    width: int
    height: int
    mode: str
    page: int = 0
    pages: int = 1


class WatchedFile(io.BufferedReader):
    """A file that tells of each `read`: what decoders that pull their input do between two of them."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self.on_read: Callable[[], None] = lambda: None

    def read(self, size: int | None = -1) -> bytes:
        """As of any file."""
        self.on_read()
        if size is not None and size > _MUCH:  # room is made for so many bytes, whatever the file has: a damaged one asks for terabytes
            size = min(size, max(0, os.fstat(self.fileno()).st_size - self.tell()))
        return super().read(size)


@contextmanager
def open_image(
    path: Path, name: str, max_pixels: int, page: int | None = None
) -> Iterator[tuple[ImageFile.ImageFile, Header, WatchedFile]]:
    """The image, its pixels not yet read, turned to a page, the largest if None; and the file that they will come from.

    It is within the limits. `name` is what errors call it. Raises NotAnImage, UnsupportedImage, CorruptImage, ImageTooLarge;
    what goes wrong with the pixels is translated by `reading`, where they are read.
    """
    with reading(name):
        opened = WatchedFile(path)
    with opened:
        with reading(name):
            try:
                # TGA has no signature, nearly anything passes for it: so it is tried by name alone
                image = _open(opened, (*OPENED, "TGA") if name.lower().endswith(".tga") else OPENED)
            except UnidentifiedImageError as error:
                raise _refusal(path, name) from error
            page, pages = turn_to_page(image, name, page)
            overlooked.put_right(image)
        with image:
            header = Header(image.format or "", image.width, image.height, image.mode, page, pages)
            _check_size(header, name, max_pixels)
            yield image, header, opened


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what Pillow and the operating system say of a broken or vanished file into our own errors."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(f"{name} was removed while it was being read.") from error
    except PermissionError as error:
        raise AccessDenied(f"{name} can't be read: permission denied.") from error
    except BROKEN as error:
        # the drive's fault, not the image's: Pillow's own have no number, and EINVAL is a seek to where a damaged file points
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise StorageError(f"{name} could not be read ({error.strerror}). Retry later.") from error
        raise CorruptImage(_complaint(name, error)) from error


def is_truncation(error: Exception) -> bool:
    """Whether Pillow says by this that the file ends too early."""
    return "truncated" in str(error).lower() or isinstance(error, EOFError)


def _complaint(name: str, error: Exception) -> str:
    words = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    if is_truncation(error):
        return f"{name} is cut off. Replace it with a whole file."
    return f"{name} is damaged and can't be decoded ({words}). Replace it with a whole file."


def looks_like_an_image(path: Path) -> bool:
    """Whether the content begins like that of any image format that we know, opened by us or not."""
    head = signatures.head_of(path)
    if signatures.match(head, signatures.OTHER_IMAGES) or signatures.is_svg(head) or raw.is_raw(path):
        return True
    try:
        with path.open("rb") as opened, _open(opened, OPENED):
            return True
    except BROKEN:
        return False


def _open(opened: BinaryIO, kinds: tuple[str, ...]) -> ImageFile.ImageFile:
    Image.MAX_IMAGE_PIXELS = None  # our own limit stands in for Pillow's, which real images exceed daily
    from PIL import PngImagePlugin  # `Image.open` loads it whatever comes

    PngImagePlugin.MAX_TEXT_CHUNK = _MAX_TEXT  # Pillow's megabyte is less than what an editor's history takes in XMP
    head = opened.read(signatures.HEAD_BYTES)
    is_heif = signatures.match(head, (*signatures.HEIC, *signatures.HEIF))
    if raw.is_raw_file(opened):
        raise UnidentifiedImageError  # many are TIFFs, of which Pillow would show a thumbnail
    if not head.startswith(_OPENED_FIRST):
        import PIL.TiffImagePlugin  # noqa: F401 (else Pillow would load all the readers that it has)
    return Image.open(opened, formats=(*kinds, "HEIF") if is_heif and _knows_heif() else kinds)


@cache
def _knows_heif() -> bool:
    """Whether requirements-formats.txt is installed; Pillow then opens HEIC and HEIF.

    libheif turns the pixels and takes the EXIF orientation away; what else a file may hold for other uses is left alone.
    """
    try:
        import pillow_heif  # when the first such file comes
    except ImportError:
        return False
    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
    return True


def _refusal(path: Path, name: str) -> NotAnImage | UnsupportedImage | CorruptImage:
    head = signatures.head_of(path)
    other = "SVG" if signatures.is_svg(head) else signatures.match(head, signatures.OTHER_IMAGES)
    if raw.is_raw(path):
        return UnsupportedImage(f"{name} is a raw camera file, of which only a preview can be shown. Save it as JPEG or TIFF.")
    if other in ("HEIC", "HEIF") and not _knows_heif():
        return UnsupportedImage(f"{name} is an image of the kind {other}: `pip install -r {FORMATS}` opens it. Or save it as JPEG.")
    if other and other != "HEIC":
        return UnsupportedImage(f"{name} is an image of the kind {other}, which is not opened here. Save it as JPEG, PNG or TIFF.")
    if not head:
        return NotAnImage(f"{name} is empty. Replace or delete it in the source.")
    if head.startswith(signatures.TIFF):
        _refuse_tiff(path, name)
    if head.startswith(b"8BPS"):
        return UnsupportedImage(f"{name} is a PSD of a kind that is not opened here. Save it with 8 bits a sample in RGB, or as TIFF.")
    if head.startswith(_JPEG):
        _refuse_jpeg(path, name)
    if other or signatures.match(head, signatures.OPENED):
        return CorruptImage(f"{name} is damaged: its header can't be read. Replace it with a whole file.")
    return NotAnImage(f"{name} is not an image: its content is {signatures.describe(path)}. Replace or delete it in the source.")


def _refuse_jpeg(path: Path, name: str) -> None:
    """UnsupportedImage if a JPEG is sound, but Pillow can't read samples of so many bits."""
    with path.open("rb") as file, suppress(struct.error):  # the header ends too early
        if bits := jpeg.unopened_bits(file):
            raise UnsupportedImage(f"{name} is a JPEG of {bits} bits a sample, which is not opened here. Save it as PNG or TIFF.")


def _refuse_tiff(path: Path, name: str) -> None:
    """CorruptImage if a TIFF ends too early; UnsupportedImage if Pillow can't read its compression or has no mode for its samples."""
    with path.open("rb") as opened:
        if directory.is_cut_off(opened):
            raise CorruptImage(f"{name} is cut off. Replace it with a whole file.")
    from PIL.TiffImagePlugin import TiffImageFile  # it was tried already

    try:
        with TiffImageFile(path):
            return
    except SyntaxError as error:
        if isinstance(error.__cause__, KeyError):  # of Pillow's table of compressions
            refuse_compression(error.__cause__.args[0], name)
        if "unknown pixel mode" in str(error):  # floating-point RGB, 16-bit Lab or grey with alpha
            sentence = f"{name} is a TIFF with samples of a kind that is not opened here. Save it with 8 or 16 bits a sample."
            raise UnsupportedImage(sentence) from error
    except BROKEN:
        return


def _check_size(header: Header, name: str, max_pixels: int) -> None:
    if max(header.width, header.height) > MAX_SIDE:
        raise ImageTooLarge(f"{name} claims {header.width:,} × {header.height:,} pixels; a side may have {MAX_SIDE:,}. Cut it into parts.")
    if header.width * header.height > max_pixels:
        raise ImageTooLarge(
            f"{name} claims {header.width:,} × {header.height:,} pixels; {max_pixels:,} are allowed (LAMBDAZOOM_MAX_PIXELS)."
        )
