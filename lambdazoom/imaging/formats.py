"""What a file is, told by its content, and whether we open it; its pixels are not touched here.

Signatures: the magic numbers of each format's specification, as Pillow's own readers check them too.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

from lambdazoom.model.errors import AccessDenied, CorruptImage, ImageTooLarge, NotAnImage, NotFound, StorageError, UnsupportedImage

# Pillow's readers that we trust with strangers' files: not EPS (it runs Ghostscript), nor the many that nobody asks for
OPENED = ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "JPEG2000", "AVIF", "ICO", "PSD")

IMAGE_SUFFIXES = (
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .tif .tiff .btf .tf8 .webp .gif .bmp .dib .ppm .pgm .pbm .pnm .pfm .jp2 .j2k .jpx .jpf "
    ".avif .tga .ico .psd .heic .heif .jxl .svg .svs .ndpi .dng .cr2 .cr3 .nef .arw .orf .raf .rw2 .exr .hdr .eps"
).split()

# what Pillow's readers raise on broken files; UnidentifiedImageError is an OSError, RuntimeError is AVIF's
BROKEN = (OSError, SyntaxError, ValueError, OverflowError, EOFError, LookupError, TypeError, RuntimeError, struct.error, zlib.error)

FORMATS = "requirements-formats.txt"  # the packages that open further formats

_HEAD_BYTES = 4096
_MAX_PAGES = 1000  # of a TIFF, looked at to find the largest

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HEIC = tuple((4, b"ftyp" + brand, "HEIC") for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
_HEIF = tuple((4, b"ftyp" + brand, "HEIF") for brand in (b"mif1", b"msf1"))  # of any codec: AVIF may begin like this too
_OTHER_IMAGES = (
    *_HEIC,
    *_HEIF,
    (4, b"ftypcrx ", "Canon raw"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"%!PS-Adobe", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"),
)
_OTHER_CONTENTS = (
    (0, b"%PDF-", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"PK\x05\x06", "a ZIP archive"),
    (0, b"\x1f\x8b", "gzip-compressed data"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (0, b"\x1a\x45\xdf\xa3", "a video"),
    (4, b"ftyp", "a video"),
    (0, b"RIFF", "audio or video"),
    (0, b"ID3", "audio"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
)


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
        return super().read(size)


@contextmanager
def open_image(path: Path, name: str, max_pixels: int) -> Iterator[tuple[ImageFile.ImageFile, Header, WatchedFile]]:
    """The image, its pixels not yet read, turned to its largest page, within the limits; and the file that they will come from.

    `name` is what errors call it. Raises NotAnImage, UnsupportedImage, CorruptImage, ImageTooLarge; what goes wrong with the
    pixels is translated by `reading`, where they are read.
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
            page, pages = _turn_to_largest_page(image)
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
        if isinstance(error, OSError) and error.errno is not None:  # the drive's fault, not the image's: Pillow's own have no number
            raise StorageError(f"{name} could not be read ({error.strerror}). Retry later.") from error
        raise CorruptImage(_complaint(name, error)) from error


def _complaint(name: str, error: Exception) -> str:
    words = str(error) or type(error).__name__
    if "truncated" in words.lower() or isinstance(error, EOFError):
        return f"{name} is cut off. Upload it again."
    return f"{name} is damaged and can't be decoded ({words}). Upload it again."


def is_image_name(name: str) -> bool:
    """Whether the name promises an image."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def looks_like_an_image(path: Path) -> bool:
    """Whether the content begins like that of any image format that we know, opened by us or not."""
    head = _head(path)
    if _match(head, _OTHER_IMAGES) or _is_svg(head):
        return True
    try:
        with path.open("rb") as opened, _open(opened, OPENED):
            return True
    except BROKEN:
        return False


def describe(path: Path) -> str:
    """What the content is, in words for people."""
    head = _head(path)
    if not head:
        return "empty"
    found = _match(head, _OTHER_CONTENTS)
    if found:
        return found
    if head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    return "plain text" if _is_text(head) else "of no kind that we know"


def _open(opened: BinaryIO, kinds: tuple[str, ...]) -> ImageFile.ImageFile:
    Image.MAX_IMAGE_PIXELS = None  # our own limit stands in for Pillow's, which real images exceed daily
    is_heif = _match(opened.read(_HEAD_BYTES), (*_HEIC, *_HEIF))
    opened.seek(0)
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
    head = _head(path)
    other = "SVG" if _is_svg(head) else _match(head, _OTHER_IMAGES)
    if other in ("HEIC", "HEIF") and not _knows_heif():
        return UnsupportedImage(f"{name} is an image of the kind {other}: `pip install -r {FORMATS}` opens it. Or save it as JPEG.")
    if other and other != "HEIC":
        return UnsupportedImage(f"{name} is an image of the kind {other}, which is not opened here. Save it as JPEG, PNG or TIFF.")
    if not head:
        return NotAnImage(f"{name} is empty. Upload it again, or delete it in the source.")
    if head.startswith(_TIFF) and _has_unknown_samples(path):
        return UnsupportedImage(f"{name} is a TIFF with samples of a kind that is not opened here. Save it with 8 or 16 bits a sample.")
    if other or head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", *_TIFF, b"GIF8", b"BM")):
        return CorruptImage(f"{name} is damaged: its header can't be read. Upload it again.")
    return NotAnImage(f"{name} is not an image: its content is {describe(path)}. Replace or delete it in the source.")


def _has_unknown_samples(path: Path) -> bool:
    """Whether a TIFF is sound, but Pillow has no mode for its samples (floating-point RGB, 16-bit Lab or grey with alpha)."""
    try:
        with TiffImagePlugin.TiffImageFile(path):
            return False
    except SyntaxError as error:
        return "unknown pixel mode" in str(error)
    except BROKEN:
        return False


def _turn_to_largest_page(image: Image.Image) -> tuple[int, int]:
    """The largest page of a TIFF and the number of pages that could be read; others stay at their first frame, HEIF at its primary one."""
    if image.format != "TIFF":
        return 0, 1
    areas = [image.width * image.height]
    for page in range(1, _MAX_PAGES):
        try:
            image.seek(page)
        except BROKEN:  # EOFError behind the last one; a damaged list of pages ends there too
            break
        areas.append(image.width * image.height)
    largest = areas.index(max(areas))
    image.seek(largest)
    return largest, len(areas)


def _check_size(header: Header, name: str, max_pixels: int) -> None:
    if header.width * header.height > max_pixels:
        raise ImageTooLarge(
            f"{name} claims {header.width:,} × {header.height:,} pixels; {max_pixels:,} are allowed (LAMBDAZOOM_MAX_PIXELS)."
        )


def _head(path: Path) -> bytes:
    with path.open("rb") as opened:
        return opened.read(_HEAD_BYTES)


def _match(head: bytes, signatures: tuple[tuple[int, bytes, str], ...]) -> str:
    return next((kind for start, magic, kind in signatures if head[start : start + len(magic)] == magic), "")


def _is_svg(head: bytes) -> bool:
    return head.lstrip().startswith((b"<?xml", b"<svg", b"<!--")) and b"<svg" in head


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    # a character may be cut in two at the end of what was read
    return any(_decodes(head[: len(head) - cut]) for cut in range(4))


def _decodes(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
