"""Draws images that compress like photographs, the same for the same seed; no photograph and no download is needed.

Texture in octaves, as in nature, on slow gradients; hard edges, text, and the noise of a sensor.

    python -m benchmarks.drawing photo-like.jpg 12000 8400
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_CANVAS = (4000, 2800)  # 100 megapixels are nine of these, of four kinds, turned: noise costs more time than all the rest
_OCTAVES = ((2, 3.5), (4, 4.5), (16, 5.0), (64, 9.0), (256, 16.0), (1024, 28.0))  # pixels to a grain, and how strong it is
_LUMINANCE_NOISE, _CHANNEL_NOISE = 2.4, 1.6
_PIXELS_A_MARK = 280_000
_TURNS = (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.ROTATE_180)

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


def photo_like_mosaic(width: int, height: int, seed: int) -> Image.Image:
    """The same for huge sizes: a few pictures, each turned in several ways."""
    pictures = [photo_like(*_CANVAS, seed + index) for index in range(4)]
    mosaic = Image.new("RGB", (width, height))
    places = [(left, top) for top in range(0, height, _CANVAS[1]) for left in range(0, width, _CANVAS[0])]
    for index, place in enumerate(places):
        picture = pictures[index % len(pictures)]
        turns = index // len(pictures) % (len(_TURNS) + 1)
        mosaic.paste(picture.transpose(_TURNS[turns - 1]) if turns else picture, place)
    return mosaic


def draw_once(path: Path, width: int, height: int, seed: int = 1) -> Path:
    """A JPEG of quality 90 at this path, drawn if it isn't there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}")
        photo_like_mosaic(width, height, seed).save(unfinished, "JPEG", quality=90, subsampling="4:2:0")
        unfinished.rename(path)
    return path


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
    draw_once(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
