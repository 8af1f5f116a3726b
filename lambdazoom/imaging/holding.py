"""What an image that is decoded as a whole holds beside its pixels: its decoder, and conversions to 8-bit sRGB; no pixels here.

Measured with the Pillow of requirements.txt, as the peak of a process of its own; tests/test_memory.py measures again.
"""

from dataclasses import dataclass

from PIL import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from lambdazoom.imaging import tiff
from lambdazoom.imaging.colour import is_srgb, space_of
from lambdazoom.imaging.upright import orientation

# bytes a pixel, while decoding and until the image is closed; libwebp keeps two frames, openjpeg 32 bits a sample
_DECODING = {"WEBP": 13.0, "JPEG2000": 16.5, "AVIF": 8.0, "HEIF": 8.0}
_KEPT = {"WEBP": 8.5}
_COEFFICIENT = 2  # bytes: what libjpeg keeps of each sample, where it can't decode row by row (libjpeg.txt, "Memory management")

# bytes a pixel, at the height of a conversion
_CONVERTED = {"RGB": 0, "L": 0, "1": 1, "P": 4, "I;16": 5, "I;16N": 5, "CMYK": 4, "YCbCr": 4, "LAB": 4, "HSV": 4, "F": 5}
_WITH_A_PROFILE = ("CMYK", "YCbCr", "LAB", "HSV")
_DEEP = 9  # all other modes that begin with I
_ALPHA, _GREY_ALPHA, _PROFILE = 13, 7, 4
NARROW = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}  # Pillow's own, of the image; all other modes have 4


@dataclass(frozen=True)
class Held:
    """Bytes a pixel beside the image: by its decoder while it decodes, and until the image is closed; by conversions, at their height.

    `piece` in bytes, while it decodes.
    """

    decoding: float = 0.0
    kept: float = 0.0
    converting: float = 0.0
    piece: int = 0


def held_beside(image: ImageFile.ImageFile, has_scans: bool = False) -> Held:
    """What an opened image will hold beside its pixels; `has_scans` tells of a JPEG that it does not come row by row."""
    kind = image.format or ""
    decoding = _COEFFICIENT * _samples(image) if has_scans else _DECODING.get(kind, 0.0)
    piece = tiff.bytes_of_piece(image) if isinstance(image, TiffImageFile) else 0
    return Held(decoding, _KEPT.get(kind, 0.0), _converting(image), piece)


def _converting(image: ImageFile.ImageFile) -> float:
    turning = NARROW.get(image.mode, 4) if orientation(image) != 1 else 0
    profile = _PROFILE if not is_srgb(space_of(image).profile) else 0
    converted = _CONVERTED.get(image.mode, _DEEP if image.mode.startswith("I") else 4)
    if image.mode in _WITH_A_PROFILE:
        profile = 0  # it is the conversion
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        return max(_GREY_ALPHA if image.mode in ("1", "L", "LA", "La") else _ALPHA, turning + profile + converted)
    return turning + profile + converted


def _samples(image: ImageFile.ImageFile) -> float:
    """Samples a pixel that a JPEG stores, for all its components; 4:2:0 has 1.5."""
    layers = getattr(image, "layer", [])
    if not layers:
        return 3.0
    widest, highest = (max(layer[index] for layer in layers) for index in (1, 2))
    return float(sum(layer[1] * layer[2] / (widest * highest) for layer in layers))
