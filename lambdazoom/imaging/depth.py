"""Samples of more than 8 bits, or of no fixed range, brought to 8; which values become black and white is said; no files here."""

import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, cast

from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngImageFile

from lambdazoom.imaging.boxes import bits_of_avif
from lambdazoom.imaging.readers import is_tiff
from lambdazoom.model.errors import UnsupportedImage

_BITS, _PHOTOMETRIC, _LARGEST, _FORMAT, _LEAST, _MOST = 258, 262, 281, 339, 340, 341  # TIFF 6.0, sections 8 and 19
_BETWEEN = range(9, 16)  # bits: more than a byte has, and fewer than two
_ALL_OF_THEM = frozenset(2**bits - 1 for bits in _BETWEEN)
_NO_DATA = 42113  # GDAL's own, as text (GDAL, GTiff driver)
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N")
_PNG_BITS = {"I;16B": 16, "RGB;16B": 16, "LA;16B": 16, "RGBA;16B": 16, "L;2": 2, "L;4": 4}  # of what Pillow's reader calls so
# mode, bits and SampleFormat of what Pillow reads as if it had a sign, or none; and what it calls that where it reads it right
_MISREAD = {("I", 32, 1): "F;32N", ("L", 8, 2): "F;8S"}
_REDUCED = ("HEIF", "AVIF")  # of 10 or 12 bits a sample; what opens them makes that 8
_ALL_OF_16_BITS = (0.0, 65535.0)
_SAMPLE_SIDE = 1024  # of the regular sample of pixels that percentiles are taken from
_BEYOND = 0.001  # of the pixels are left darker than black, and as many brighter than white


@dataclass(frozen=True)
class Samples:
    """What a file says of its samples: how many bits they have, whether 0 is white, and the range that it declares, if any.

    `no_data` is the value that stands for none, as NaN does anyway. `misread` is Pillow's name for them where its mode has the sign wrong.
    """

    bits: int = 8
    is_white_at_0: bool = False
    least: float | None = None
    most: float | None = None
    no_data: float = math.nan
    misread: str = ""

    @property
    def declared(self) -> tuple[float, float] | None:
        """The range of values from black to white, if the file declares one that can be."""
        least = 0.0 if self.least is None else self.least
        most = float(2**self.bits - 1) if self.most is None and self.bits in _BETWEEN else self.most
        return (least, most) if most is not None and math.isfinite(most - least) and most > least else None

    @property
    def is_part_of_16_bits(self) -> bool:
        """Whether fewer values are declared than 16 bits have."""
        return self.bits == 16 and self.declared not in (None, _ALL_OF_16_BITS)


def samples_of(image: Image.Image) -> Samples:
    """What the file says; the pixels need not have been read."""
    if is_tiff(image):
        tags = image.tag_v2
        bits = max(tags.get(_BITS, (1,)))
        least, most = _number(tags.get(_LEAST), min), _number(tags.get(_MOST), max)
        if most is None and image.mode in _DEEP and bits == 16:
            most = _all_of_fewer_bits(tags.get(_LARGEST))
        misread = _MISREAD.get((image.mode, bits, max(tags.get(_FORMAT, (1,)))), "")
        return Samples(bits, tags.get(_PHOTOMETRIC) == 0, least, most, _told_in_text(tags.get(_NO_DATA)), misread)
    if isinstance(image, PngImageFile) and image.tile:
        return Samples(_PNG_BITS.get(str(image.tile[0].args), 8))
    if image.format in _REDUCED:
        return Samples(_bits_of_heif(image))
    return Samples(16 if is_deep_grey(image) else 8)


def _all_of_fewer_bits(largest: object) -> float | None:
    """The largest value, by itself "only for statistical purposes", if it is the last that fewer than 16 bits have: it tells of those."""
    value = _number(largest, max)
    return value if value in _ALL_OF_THEM else None


def _bits_of_heif(image: Image.Image) -> int:
    """As pillow-heif tells it, or the file itself."""
    told = image.info.get("bit_depth", 8) if image.format == "HEIF" else 8
    if isinstance(image, ImageFile.ImageFile) and image.format == "AVIF" and image.fp is not None:
        told = bits_of_avif(cast(BinaryIO, image.fp))
    return told if isinstance(told, int) else 8


def is_deep_grey(image: Image.Image) -> bool:
    """Whether it is grey in 16 bits; a PPM's are in a mode of 32."""
    return image.mode in _DEEP or (image.mode == "I" and image.format == "PPM")


def check_colour(image: Image.Image, samples: Samples, name: str) -> tuple[str, ...]:
    """A remark on colours of more than 8 bits, of which the upper 8 are left; UnsupportedImage if those don't hold the picture."""
    if samples.bits > 8 and image.format in _REDUCED:
        return (f"{samples.bits} bits a sample were reduced to 8.",)
    if samples.bits <= 8 or image.mode not in ("RGB", "RGBA", "RGBX", "LA", "CMYK"):
        return ()
    if samples.is_part_of_16_bits:
        least, most = samples.declared or (0, 0)
        told = f"uses only the values from {least:,.6g} to {most:,.6g} of 16 bits, which is not opened in colour"
        raise UnsupportedImage(f"{name} {told}. Save it with the whole range, or with 8 bits a sample.")
    return (f"Of {samples.bits} bits a sample the upper 8 are shown.",)


@dataclass(frozen=True)
class Reduction:
    """How the grey samples of one image become 8 bits: each times `factor`, plus `offset`, in Pillow's mode `through`; `remark` says so.

    `misread` as in Samples.
    """

    factor: float
    offset: float
    through: str
    remark: str
    misread: str = ""

    def __call__(self, picture: Image.Image) -> Image.Image:
        """Any part of the image, in mode L."""
        # beyond either end Pillow stops at black and white
        return _in_mode(self.through, picture, self.misread).point(lambda value: value * self.factor + self.offset).convert("L")


def needs_all_pixels(image: Image.Image, samples: Samples) -> bool:
    """Whether only all of the pixels tell which values become black and white."""
    return _is_reduced(image, samples) and not _is_divided(image, samples) and not samples.declared


def reduction(image: Image.Image, samples: Samples) -> Reduction | None:
    """For grey of more than 8 bits, or with a sign, how it is brought to 8; its pixels are read only if they have to be."""
    if not _is_reduced(image, samples):
        return None
    least, most = _ALL_OF_16_BITS if _is_divided(image, samples) else samples.declared or percentiles(image, samples)
    black, white = (most, least) if samples.is_white_at_0 else (least, most)
    factor = 255 / (white - black)
    offset = 0.5 - black * factor
    if _is_divided(image, samples):
        through = "I;16" if image.mode == "I;16" else "I"  # Pillow scales the other modes of 16 bits only from there
        return Reduction(factor, offset, through, f"{samples.bits} bits a sample were reduced to 8.")
    return Reduction(factor, offset, "F", _told(least, most, samples), samples.misread)


def _told(least: float, most: float, samples: Samples) -> str:
    rule = "the range that the file declares" if samples.declared else f"all but {_BEYOND:.1%} of the pixels at either end"
    shown = "from white to black" if samples.is_white_at_0 else "from black to white"
    remark = f"Values from {least:,.6g} to {most:,.6g}, {rule}, are shown {shown}."
    if not samples.declared and math.isfinite(samples.no_data):
        remark += f" Pixels of {samples.no_data:,.6g}, which hold no data, were not counted."
    return remark


def _is_reduced(image: Image.Image, samples: Samples) -> bool:
    return image.mode in ("F", "I", *_DEEP) or bool(samples.misread)


def _in_mode(mode: str, picture: Image.Image, misread: str) -> Image.Image:
    if misread:  # the same bytes once more, rightly
        return Image.frombytes("F", picture.size, picture.tobytes(), "raw", misread)
    return picture if picture.mode == mode else picture.convert(mode)


def _is_divided(image: Image.Image, samples: Samples) -> bool:
    """Whether all of its 16 bits are to be seen."""
    return is_deep_grey(image) and not (samples.is_part_of_16_bits or (samples.declared and samples.bits < 16))


def percentiles(image: Image.Image, samples: Samples) -> tuple[float, float]:
    """The values that 0.1 % of the pixels lie below and above, of a regular sample of about a million.

    Pixels that are no numbers, or hold no data, are left out.
    """
    steps = [-(-side // _SAMPLE_SIDE) for side in image.size]
    size = (-(-image.width // steps[0]), -(-image.height // steps[1]))
    taken = image if size == image.size else image.resize(size, Image.Resampling.NEAREST)
    (missing,) = array("f", (samples.no_data,))
    found = array("f", _in_mode("F", taken, samples.misread).tobytes())
    values = sorted(value for value in found if math.isfinite(value) and value != missing)
    if not values:
        return 0.0, 1.0
    beyond = int(len(values) * _BEYOND)
    least, most = values[beyond], values[-1 - beyond]
    return (least, most) if most > least else (least, least + 1)


def _number(value: object, pick: Callable[[list[float]], float]) -> float | None:
    """A tag's number, or of several the outermost."""
    values = value if isinstance(value, tuple) else (value,)
    numbers = [float(each) for each in values if isinstance(each, int | float)]
    return pick(numbers) if numbers else None


def _told_in_text(value: object) -> float:
    """The number that a text is, else NaN."""
    try:
        return float(value) if isinstance(value, str) else math.nan
    except ValueError:
        return math.nan
