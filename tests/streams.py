"""What tests of tiling share: pictures of any size, drawn quickly, saved in each way that streams."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.drawing import photo_like
from tests.files import wide_gamut_profile
from tests.tiling import BAND_BY_BAND, ROW_BY_ROW

Save = Callable[[Image.Image, Path], Path]
LARGE = (3001, 2901)  # of this the next level is more than 8 MiB too, in RGB, and the image in grey
MEDIUM = (2100, 1501)


def mosaic(width: int, height: int) -> Image.Image:
    """A busy picture of any size, drawn quickly: one small picture again and again, turned, and shaded from side to side."""
    drawn, stone = Image.new("RGB", (width, height)), photo_like(350, 250, seed=11)
    for index, top in enumerate(range(0, height, 250)):
        for left in range(0, width, 350):
            drawn.paste(stone.transpose(Image.Transpose((index + left) % 4 if (index + left) % 4 != 2 else 0)), (left, top))
    shade = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    return Image.blend(drawn, shade, 0.3)


@pytest.fixture(scope="module")
def medium() -> Image.Image:
    return mosaic(*MEDIUM)


def as_jpeg(image: Image.Image, path: Path) -> Path:
    image.save(path, "JPEG", quality=92)
    return path


def as_png(image: Image.Image, path: Path) -> Path:
    image.save(path, "PNG", compress_level=1)
    return path


def as_tiff(image: Image.Image, path: Path) -> Path:
    image.save(path, "TIFF", compression="tiff_lzw", tiffinfo={278: 16})
    return path


WAYS: dict[str, tuple[Save, str]] = {"jpg": (as_jpeg, ROW_BY_ROW), "png": (as_png, ROW_BY_ROW), "tif": (as_tiff, BAND_BY_BAND)}


def orientation(turn: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = turn
    return exif.tobytes()


WIDE = wide_gamut_profile()
