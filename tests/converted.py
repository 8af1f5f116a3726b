"""Files of each kind whose pixels are converted on their way to the tiles."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyvips
from PIL import Image

from tests import icc
from tests.streams import WIDE
from tests.tiling import BAND_BY_BAND, ROW_BY_ROW

Options = dict[str, Any]
PRINTED: bytes = pyvips.Image.black(8, 8, bands=3).copy(interpretation="srgb").icc_transform("cmyk").get("icc-profile-data")


def glass(image: Image.Image, mode: str = "RGBA") -> Image.Image:
    """The picture behind a veil, of which some parts are clear, and some hide all."""
    veiled = image.copy()
    veiled.putalpha(image.convert("L").transpose(Image.Transpose.ROTATE_180).point(lambda value: min(255, max(0, 3 * value - 200))))
    return veiled.convert(mode)


def deep(image: Image.Image) -> Image.Image:
    return image.convert("I").point(lambda value: value * 251 + 99).convert("I;16")


LZW: Options = {"format": "TIFF", "compression": "tiff_lzw", "tiffinfo": {278: 16}}
PLAIN: Options = {"format": "TIFF", "tiffinfo": {278: 2**31}}
JPEG: Options = {"format": "JPEG", "quality": 90}
PNG: Options = {"format": "PNG", "compress_level": 1}
Kind = tuple[Callable[[Image.Image], Image.Image], Options]
CONVERTED: dict[str, Kind] = {
    "JPEG, wide gamut": (lambda image: image, {**JPEG, "icc_profile": WIDE}),
    "JPEG, wide gamut by a table": (lambda image: image, {**JPEG, "icc_profile": icc.table(icc.WIDE, 1.8, 2)}),
    "JPEG, grey with a profile": (lambda image: image.convert("L"), {**JPEG, "icc_profile": icc.grey(1.0, 2)}),
    "JPEG, CMYK": (lambda image: image.convert("CMYK"), JPEG),
    "JPEG, CMYK with a profile": (lambda image: image.convert("CMYK"), {**JPEG, "icc_profile": PRINTED}),
    "PNG, RGBA": (glass, PNG),
    "PNG, RGBA, wide gamut": (glass, {**PNG, "icc_profile": WIDE}),
    "PNG, grey with alpha": (lambda image: glass(image, "LA"), PNG),
    "PNG, palette": (lambda image: image.quantize(200), PNG),
    "PNG, palette of 4 bits": (lambda image: image.quantize(16), PNG),
    "PNG, palette with alpha": (lambda image: image.quantize(64), {**PNG, "transparency": bytes(range(0, 256, 4))}),
    "PNG, palette, one entry clear": (lambda image: image.quantize(64), {**PNG, "transparency": 7}),
    "PNG, a transparent colour": (lambda image: image.quantize(32).convert("RGB"), {**PNG, "transparency": (0, 0, 0)}),
    "PNG, a transparent grey": (lambda image: image.convert("L"), {**PNG, "transparency": 99}),
    "PNG, black and white": (lambda image: image.convert("1"), PNG),
    "PNG, 16-bit grey": (deep, PNG),
    "TIFF, wide gamut": (lambda image: image, {**LZW, "icc_profile": WIDE}),
    "TIFF, CMYK": (lambda image: image.convert("CMYK"), LZW),
    "TIFF, CMYK with a profile": (lambda image: image.convert("CMYK"), {**LZW, "icc_profile": PRINTED}),
    "TIFF, CMYK, uncompressed": (lambda image: image.convert("CMYK"), PLAIN),
    "TIFF, RGBA": (glass, LZW),
    "TIFF, RGBA, uncompressed": (glass, PLAIN),
    "TIFF, grey with alpha": (lambda image: glass(image, "LA"), LZW),
    "TIFF, palette": (lambda image: image.quantize(200), LZW),
    "TIFF, palette, uncompressed": (lambda image: image.quantize(200), PLAIN),
    "TIFF, black and white": (lambda image: image.convert("1"), LZW),
    "TIFF, 16-bit grey": (deep, LZW),
    "TIFF, 16-bit grey, uncompressed": (deep, PLAIN),
}


def write(kind: str, image: Image.Image, path: Path, **options: Any) -> tuple[Path, str]:
    """The file, and the way that it is to be read."""
    change, told = CONVERTED[kind]
    change(image).save(path, **told | options)
    return path, BAND_BY_BAND if kind.startswith("TIFF") else ROW_BY_ROW
