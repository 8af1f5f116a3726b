"""What an image that is decoded as a whole holds beside its pixels; no pixels here.

Measured with the Pillow of requirements.txt, as the peak of a process of its own; tests/test_memory.py measures again.
"""

from dataclasses import dataclass

from PIL import ImageFile

from lambdazoom.imaging.colour import is_srgb, space_of
from lambdazoom.imaging.depth import needs_all_pixels, samples_of
from lambdazoom.imaging.mapped import BYTES_A_PIXEL, bytes_a_pixel
from lambdazoom.imaging.readers import is_tiff
from lambdazoom.imaging.upright import orientation

# bytes a pixel, while decoding and until the image is closed; libwebp keeps two frames, openjpeg 32 bits a sample
_DECODING = {"WEBP": 13.0, "JPEG2000": 16.5, "AVIF": 8.0, "HEIF": 8.0}
_KEPT = {"WEBP": 8.5}
_COEFFICIENT = 2  # bytes: what libjpeg keeps of each sample, where it can't decode row by row (libjpeg.txt, "Memory management")

# what Pillow decodes in Python it holds twice beside the pixels, as bytes of samples; of one bit, while it adds to them, three times
_PYTHON = ("ppm", "ppm_plain")
_HELD_IN_PYTHON = {"1": 3.0, "L": 2.0, "I": 8.0, "RGB": 6.0}
_TOKENS, _TOKEN_BYTES = 1 << 19, 100  # of numbers in plain text: the most that it splits at once, and what each takes

_WITH_ALPHA = ("RGBA", "LA", "La", "RGBa", "PA")
_SAMPLE_BYTES = 48 << 20  # of the sorted sample of pixels that percentiles are taken from


@dataclass(frozen=True)
class Held:
    """Bytes a pixel beside the image: by its decoder while it decodes, and until the image is closed.

    `piece` in bytes, while it decodes. `orientation` is what is left to be done of it on the way to the tiles; `is_converted` tells
    whether colours come by a profile, `is_plain` that the pixels stay as they are.
    """

    decoding: float = 0.0
    kept: float = 0.0
    piece: int = 0
    orientation: int = 1
    is_converted: bool = False
    has_alpha: bool = False
    is_plain: bool = True

    @property
    def is_finished(self) -> bool:
        """Whether the pixels are converted or turned on their way to the tiles."""
        return self.orientation != 1 or not self.is_plain


def held_beside(image: ImageFile.ImageFile, has_scans: bool = False) -> Held:
    """What an opened image will hold beside its pixels; `has_scans` tells of a JPEG that it does not come row by row."""
    kind = image.format or ""
    decoding = _COEFFICIENT * _samples(image) if has_scans else _DECODING.get(kind, 0.0)
    piece = 0
    if kind == "PPM":
        decoding, piece = _held_of_ppm(image)
    if is_tiff(image):
        from lambdazoom.imaging import tiff  # for these alone

        piece = tiff.bytes_of_piece(image)
    left = orientation(image)
    if left != 1 and kind == "TIFF":  # by Pillow
        decoding, left = decoding + bytes_a_pixel(image.mode), 1
    samples = samples_of(image)
    if needs_all_pixels(image, samples):
        piece += _SAMPLE_BYTES
    is_converted = not is_srgb(space_of(image).profile)
    has_alpha = "transparency" in image.info or image.mode in _WITH_ALPHA
    is_plain = image.mode in BYTES_A_PIXEL and not has_alpha and not is_converted and not samples.misread
    return Held(decoding, _KEPT.get(kind, 0.0), piece, left, is_converted, has_alpha, is_plain)


def _held_of_ppm(image: ImageFile.ImageFile) -> tuple[float, int]:
    """Bytes a pixel and in all."""
    decoder = image.tile[0].codec_name if image.tile else ""
    if decoder not in _PYTHON:
        return 0.0, 0
    tokens = min(_TOKENS, image.width * image.height * len(image.getbands()))
    return _HELD_IN_PYTHON.get(image.mode, 8.0), tokens * _TOKEN_BYTES if decoder == "ppm_plain" else 0


def _samples(image: ImageFile.ImageFile) -> float:
    """Samples a pixel that a JPEG stores, for all its components; 4:2:0 has 1.5."""
    layers = getattr(image, "layer", [])
    if not layers:
        return 3.0
    widest, highest = (max(layer[index] for layer in layers) for index in (1, 2))
    return float(sum(layer[1] * layer[2] / (widest * highest) for layer in layers))
