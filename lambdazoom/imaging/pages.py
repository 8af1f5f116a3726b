"""The pages of a TIFF: which of its directories are pictures of their own, which one is shown, and whether we can; no pixels here."""

from typing import TYPE_CHECKING

from PIL import Image

from lambdazoom.imaging.readers import is_tiff
from lambdazoom.model.errors import UnsupportedImage

if TYPE_CHECKING:
    from PIL.TiffImagePlugin import TiffImageFile

# what seeking among the directories of a broken TIFF raises; EOFError behind the last one
_ENDS = (OSError, SyntaxError, ValueError, OverflowError, EOFError, LookupError, TypeError)

_MOST = 1000  # directories that are looked at
_NEW_SUBFILE_TYPE, _SUBFILE_TYPE, _COMPRESSION = 254, 255, 259  # TIFF 6.0, section 8
_PROFILE = 34675  # ICC.1:2010, B.4
_REDUCED, _MASK, _OLD_REDUCED = 1, 4, 2
_NO_DECODER = {
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34712: "JPEG 2000",
    34713: "Nikon's own",
    34887: "LERC",
    34892: "lossy JPEG of DNG",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}


def turn_to_page(image: Image.Image, name: str, wanted: int | None = None) -> tuple[int, int]:
    """Turn a TIFF to its largest page, or to the one that is wanted; its place, from 0, and how many there are.

    Neither the levels of a pyramid nor masks are pages. Of other files the first frame is shown, of HEIF the primary image.
    UnsupportedImage if there is no such page, nothing but previews, or no decoder for it.
    """
    if not is_tiff(image):
        if wanted:
            raise UnsupportedImage(f"{name} is no TIFF: only of those a page can be chosen. Leave the page out.")
        return 0, 1
    areas = _areas(image)
    if not areas:
        raise UnsupportedImage(f"{name} holds nothing but previews, as raw camera files do; none is opened here. Save it as TIFF or JPEG.")
    chosen = list(areas.values()).index(max(areas.values())) if wanted is None else wanted
    if chosen >= len(areas):
        pages = "one page" if len(areas) == 1 else f"{len(areas):,} pages"
        raise UnsupportedImage(f"{name} has {pages}; there is no page {chosen + 1:,}. Choose another.")
    image.seek(list(areas)[chosen])
    if _PROFILE not in image.tag_v2:
        image.info.pop("icc_profile", None)  # Pillow keeps that of another page
    refuse_compression(image.tag_v2.get(_COMPRESSION), name)
    return chosen, len(areas)


def refuse_compression(compression: object, name: str) -> None:
    """UnsupportedImage if it is one of those, by the number in a TIFF, of which we know that we have no decoder."""
    method = _NO_DECODER.get(compression) if isinstance(compression, int) else None
    if method:
        raise UnsupportedImage(f"{name} is a TIFF whose compression ({method}) is not opened here. Save it with LZW or deflate.")


def _areas(image: "TiffImageFile") -> dict[int, int]:
    """The pixels of each page, by its directory; as many as could be read."""
    areas = {}
    for directory in range(_MOST):
        try:
            image.seek(directory)
        except _ENDS:
            break
        if not _is_beside(image):
            areas[directory] = image.width * image.height
    return areas


def _is_beside(image: "TiffImageFile") -> bool:
    """Whether this directory holds a smaller version or a mask of another."""
    kind = image.tag_v2.get(_NEW_SUBFILE_TYPE, 0)
    is_beside = isinstance(kind, int) and bool(kind & (_REDUCED | _MASK))
    return is_beside or image.tag_v2.get(_SUBFILE_TYPE) == _OLD_REDUCED
