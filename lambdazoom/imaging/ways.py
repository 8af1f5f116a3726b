"""Whether an image's rows can stream, and if not, why, and what can be done about it; no pixels here."""

from PIL import ImageFile

from lambdazoom.imaging import jpeg, mapped, png
from lambdazoom.imaging.depth import needs_all_pixels, samples_of
from lambdazoom.imaging.formats import Header, WatchedFile
from lambdazoom.imaging.holding import held_beside
from lambdazoom.imaging.needs import Whole
from lambdazoom.imaging.upright import FROM_BELOW, orientation

JPEGS = ("JPEG", "MPO")  # MPO: JPEG with more than one picture, as many cameras write
_STREAMED = (*JPEGS, "PNG", "TIFF")
_TURNED_IN_ROWS = (1, 2)  # the orientations that leave a row a row, and the first one the first
_TURNED_IN_BANDS = (*_TURNED_IN_ROWS, *FROM_BELOW)


def whole_because(image: ImageFile.ImageFile, header: Header, file: WatchedFile) -> Whole | None:
    """Why the image has to be decoded as a whole; None if its rows can stream."""
    has_scans = header.kind in JPEGS and not jpeg.comes_row_by_row(file)
    because = _because_of_its_kind(image, header, has_scans) or _because_of_its_pixels(image, header, file)
    return Whole(*because, held_beside(image, has_scans)) if because else None


def _because_of_its_kind(image: ImageFile.ImageFile, header: Header, has_scans: bool) -> tuple[str, str] | None:
    if header.kind not in _STREAMED:
        return f"a {header.kind} image", "save it as JPEG or TIFF"
    if has_scans:
        return "a progressive JPEG" if "progressive" in image.info else "a JPEG of several scans", "save it as baseline"
    if header.kind == "PNG" and image.info.get("interlace"):
        return "an interlaced PNG", "save it without interlacing"
    if header.kind == "PNG" and getattr(image, "is_animated", False):
        return "an animated PNG", "save it as a single picture"
    decoder = "JPEG" if header.kind in JPEGS else header.kind
    if decoder != "TIFF" and not mapped.can_decode(decoder):  # bands do without
        return "read by another Pillow than ours", "install the one in requirements.txt"
    return None


def _because_of_its_pixels(image: ImageFile.ImageFile, header: Header, file: WatchedFile) -> tuple[str, str] | None:
    if needs_all_pixels(image, samples_of(image)):
        return "an image whose range of values is not declared", "save it with 16 bits a sample"
    if orientation(image) not in (_TURNED_IN_BANDS if header.kind == "TIFF" else _TURNED_IN_ROWS):
        return "turned by its EXIF orientation", "save it upright"
    if header.kind == "PNG" and png.says_more_at_the_end(file.fileno()):
        return "a PNG that may be turned or converted at its end", "save it anew"
    return None
