"""Draws images that compress like photographs, the same for the same seed; no photograph and no download is needed.

Texture in octaves, as in nature, on slow gradients; hard edges, text, and the noise of a sensor.

    python -m benchmarks.drawing photo-like-12000x8400.jpg photo-like-12000x8400.png
"""

import re
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_CANVAS = (4000, 2800)  # 100 megapixels are nine of these, of four kinds, turned: noise costs more time than all the rest
_OCTAVES = ((2, 3.5), (4, 4.5), (16, 5.0), (64, 9.0), (256, 16.0), (1024, 28.0))  # pixels to a grain, and how strong it is
_LUMINANCE_NOISE, _CHANNEL_NOISE = 2.4, 1.6
_PIXELS_A_MARK = 280_000
_TURNS: tuple[Callable[[pyvips.Image], pyvips.Image], ...] = (
    lambda image: image,
    lambda image: image.fliphor(),
    lambda image: image.flipver(),
    lambda image: image.rot180(),
)
_SAVING: dict[str, dict[str, Any]] = {
    ".jpg": {"Q": 90, "subsample_mode": "on"},
    ".png": {"compression": 6, "filter": "all"},
    ".tif": {"compression": "lzw", "tile": True, "tile_width": 256, "tile_height": 256},
}

Pixels = NDArray[np.float32]


def photo_like(width: int, height: int, seed: int) -> Image.Image:
    """A picture in mode RGB with detail at every scale."""
    random = np.random.default_rng(seed)
    picture = _gradients(width, height, random)
    _draw_edges(picture, random)
    pixels = np.asarray(picture, np.float32) + _texture(width, height, random)[:, :, None]
    pixels += random.standard_normal(pixels.shape[:2], np.float32)[:, :, None] * _LUMINANCE_NOISE
    pixels += random.standard_normal(pixels.shape, np.float32) * _CHANNEL_NOISE
    return Image.fromarray(np.clip(pixels + 0.5, 0, 255).astype(np.uint8))


def mosaic(canvases: Sequence[Image.Image], width: int, height: int) -> pyvips.Image:
    """The same for any size, in bounded memory: a few pictures of one size, each turned in several ways, side by side."""
    turned = [turn(_shared(canvas)) for turn in _TURNS for canvas in canvases]
    columns, rows = -(-width // canvases[0].width), -(-height // canvases[0].height)
    places = [turned[index % len(turned)] for index in range(columns * rows)]
    return pyvips.Image.arrayjoin(places, across=columns).crop(0, 0, width, height)


def draw(path: Path, canvases: Callable[[], Sequence[Image.Image]]) -> None:
    """The image that the path's name tells, as in photo-like-12000x8400.jpg, if it isn't there; PNG and TIFF hold the JPEG's pixels."""
    if path.exists():
        return
    named = re.search(r"-(\d+)x(\d+)\.\w+\Z", path.name)
    if named is None:
        raise SystemExit(f"{path} does not tell a size, as photo-like-12000x8400.jpg does.")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}")
    if path.suffix == ".jpg":
        image = mosaic(canvases(), int(named[1]), int(named[2]))
    else:
        draw(path.with_suffix(".jpg"), canvases)
        image = pyvips.Image.new_from_file(str(path.with_suffix(".jpg")), access="sequential")
    image.write_to_file(str(unfinished), keep="none", **_SAVING[path.suffix])
    unfinished.rename(path)


@cache
def large_canvases() -> tuple[Image.Image, ...]:
    """What mosaics of many megapixels are made of."""
    return tuple(photo_like(*_CANVAS, seed) for seed in range(1, 5))


def _shared(canvas: Image.Image) -> pyvips.Image:
    return pyvips.Image.new_from_memory(canvas.tobytes(), *canvas.size, 3, "uchar").copy(interpretation="srgb")


def _gradients(width: int, height: int, random: np.random.Generator) -> Image.Image:
    """Three slow gradients, one for each channel, of any direction."""
    channels = []
    for _ in range(3):
        corners = random.integers(40, 216, (2, 2)).astype(np.uint8)
        channels.append(Image.fromarray(corners).resize((width, height), Image.Resampling.BICUBIC))
    return Image.merge("RGB", channels)


def _texture(width: int, height: int, random: np.random.Generator) -> Pixels:
    texture = np.zeros((height, width), np.float32)
    for grain, strength in _OCTAVES:
        noise = random.standard_normal((height // grain + 2, width // grain + 2), np.float32) * strength
        texture += np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))
    return texture


def _draw_edges(picture: Image.Image, random: np.random.Generator) -> None:
    """Discs, lines and words, all over the picture."""
    draw = ImageDraw.Draw(picture)
    width, height = picture.size
    for index in range(max(4, width * height // _PIXELS_A_MARK)):
        x, y, size = int(random.integers(width)), int(random.integers(height)), int(random.integers(8, 90))
        red, green, blue = (int(part) for part in random.integers(0, 256, 3))
        draw.ellipse((x, y, x + 3 * size, y + 2 * size), fill=(red, green, blue))
        draw.line((x, y, int(random.integers(width)), int(random.integers(height))), fill=(blue, red, green), width=1 + size // 20)
        draw.text((x, y), f"Deep Zoom {index}", fill=(green, blue, red), font=ImageFont.load_default(size))


if __name__ == "__main__":
    for wanted in sys.argv[1:]:
        draw(Path(wanted), large_canvases)
