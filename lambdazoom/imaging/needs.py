"""How much memory an image will need, told from its header; no pixels here.

The figures are those of Pillow's own layouts and of what `canvas` and `tiler` keep; benchmarks/ compares them with what was measured.
"""

from dataclasses import dataclass

from lambdazoom.imaging import mapped
from lambdazoom.imaging.canvas import LEAST_BYTES
from lambdazoom.imaging.finishing import strip_pixels
from lambdazoom.imaging.holding import Held
from lambdazoom.imaging.memory import REGION
from lambdazoom.imaging.tiler import available_cores, rows_ahead
from lambdazoom.model.errors import NeedsMoreMemory
from lambdazoom.model.geometry import Level, Pyramid

_WORKING = 14 << 20  # what Pillow's codecs and the threads take, whatever the image
# of the tile that a thread encodes: its pixels, what an encoder makes of them, its bytes; of WebP, whose code comes with the first, too
_TILE_COPIES = {"jpg": 3, "png": 3, "webp": 12}
_FINISHING = 21  # bytes a pixel: cut out, turned, and at the height of a conversion
_GREY = ("1", "L", "LA", "La")  # these, and all of 16 bits, become grey tiles


@dataclass(frozen=True)
class MemoryLimit:
    """How much memory there is, in bytes; 0 if nobody has said. `is_function` tells that it is a Lambda function's size."""

    size: int = 0
    is_function: bool = False


@dataclass(frozen=True)
class Whole:
    """Why an image is decoded as a whole: `kind` is what it is, in words; `advice` how to save it otherwise."""

    kind: str
    advice: str
    held: Held


def streamed(pyramid: Pyramid, mode: str, rows: int = 0, on_the_way: int = 0) -> int:
    """Bytes for rows that stream; so many `rows` come at once, and `on_the_way` is what the decoder holds besides."""
    return _working(pyramid) + on_the_way + sum(_window(level, pyramid, mode, rows) for level in pyramid.levels)


def finishing(pyramid: Pyramid, orientation: int = 1) -> int:
    """Bytes that strips take while they are converted and turned."""
    return available_cores() * strip_pixels(pyramid.width, orientation) * _FINISHING


def decoded_whole(pyramid: Pyramid, mode: str, whole: Whole) -> int:
    """Bytes for an image of this mode that is there as a whole before its first tile."""
    pixels, held, image = pyramid.width * pyramid.height, whole.held, mapped.bytes_a_pixel(mode)
    loading = int(pixels * (image + max(held.decoding, held.kept))) + held.piece
    is_grey = (mode in _GREY or mode.startswith("I")) and not held.is_converted and not (held.has_alpha and pyramid.recipe.keeps_alpha)
    tiled = "L" if is_grey else "RGB"
    cutting = int(pixels * (image + held.kept)) + sum(_window(level, pyramid, tiled) for level in pyramid.levels[:-1])
    if held.is_finished:
        cutting += _window(pyramid.levels[-1], pyramid, tiled) + finishing(pyramid, held.orientation)
    return _working(pyramid) + max(loading, cutting)


def check(name: str, kind: str, advice: str, needed: int, limit: MemoryLimit) -> None:
    """Raise NeedsMoreMemory if `needed` bytes are more than there are."""
    if not limit.size or needed <= limit.size:
        return
    there = f"the function has {_in_words(limit.size)}" if limit.is_function else f"{_in_words(limit.size)} are allowed"
    way_out = "Raise memory_size" if limit.is_function else "Raise LAMBDAZOOM_MEMORY_LIMIT"
    raise NeedsMoreMemory(f"{name} is {kind} and needs about {_in_words(needed)}; {there}. {way_out}, or {advice}.")


def _working(pyramid: Pyramid) -> int:
    side = pyramid.recipe.tile_size + 2 * pyramid.recipe.overlap
    tile = min(side, pyramid.width) * min(side, pyramid.height) * mapped.bytes_a_pixel("RGB")
    return _WORKING + available_cores() * _TILE_COPIES[pyramid.recipe.format] * tile


def _window(level: Level, pyramid: Pyramid, mode: str, rows_at_once: int = 0) -> int:
    """The most that a level holds at once."""
    stride = level.width * mapped.bytes_a_pixel(mode)
    if stride * level.height < LEAST_BYTES:
        return stride * level.height
    halvings = len(pyramid.levels) - 1 - level.index
    tile_size = pyramid.recipe.tile_size
    rows = min(level.height, 2 * tile_size + (max(rows_at_once, rows_ahead(tile_size)) >> halvings))
    return stride * rows + 2 * REGION


def _in_words(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 10**9 else f"{size / 1e6:,.0f} MB"
