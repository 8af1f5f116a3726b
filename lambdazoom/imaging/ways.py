"""Whether an image's rows can stream, and if not, why, and what can be done about it; no pixels here."""

from PIL import ImageFile

from lambdazoom.imaging import jpeg, mapped, png
from lambdazoom.imaging.colour import is_srgb
from lambdazoom.imaging.formats import Header, WatchedFile
from lambdazoom.imaging.needs import Whole
from lambdazoom.imaging.upright import orientation

_JPEGS = ("JPEG", "MPO")  # MPO: JPEG with more than one picture, as many cameras write
_STREAMED = (*_JPEGS, "PNG", "TIFF")
_ALPHA, _PROFILE, _PALETTE, _DEEP = 13, 8, 4, 8  # bytes a pixel that conversions hold at their height


def whole_because(image: ImageFile.ImageFile, header: Header, file: WatchedFile) -> Whole | None:
    """Why the image has to be decoded as a whole; None if its rows can stream."""
    copies = _copies(image)
    if header.kind not in _STREAMED:
        return Whole(f"a {header.kind} image", "save it as JPEG or TIFF", copies=copies)
    if header.kind in _JPEGS and not jpeg.comes_row_by_row(file):
        return Whole("a progressive JPEG", "save it as baseline", _samples(image), copies)
    if header.kind == "PNG" and image.info.get("interlace"):
        return Whole("an interlaced PNG", "save it without interlacing", copies=copies)
    if getattr(image, "is_animated", False) and header.kind == "PNG":
        return Whole("an animated PNG", "save it as a single picture", copies=copies)
    if header.mode not in mapped.BYTES_A_PIXEL or "transparency" in image.info:
        return Whole("neither plain grey nor plain RGB", "save it as RGB", copies=copies)
    if not is_srgb(image.info.get("icc_profile")):
        return Whole("in a colour space of its own", "save it as sRGB", copies=copies)
    if orientation(image) != 1 or (header.kind == "PNG" and png.may_turn_at_the_end(file.fileno())):
        return Whole("turned by its EXIF orientation", "save it upright", copies=copies)
    if header.kind != "TIFF" and not mapped.can_map():  # bands do without
        return Whole("read by another Pillow than ours", "install the one in requirements.txt", copies=copies)
    return None


def _copies(image: ImageFile.ImageFile) -> int:
    """Bytes a pixel that turning and converting hold at their height, beside the decoded image."""
    copies = 4 if orientation(image) != 1 else 0
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        copies += _ALPHA
    if not is_srgb(image.info.get("icc_profile")) or image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        copies += _PROFILE
    if image.mode in ("P", "PA"):
        copies += _PALETTE
    if image.mode.startswith("I"):
        copies += _DEEP
    return copies


def _samples(image: ImageFile.ImageFile) -> float:
    """Samples a pixel that a JPEG stores, for all its components; 4:2:0 has 1.5."""
    layers = getattr(image, "layer", [])
    if not layers:
        return 3.0
    widest, highest = (max(layer[index] for layer in layers) for index in (1, 2))
    return float(sum(layer[1] * layer[2] / (widest * highest) for layer in layers))
