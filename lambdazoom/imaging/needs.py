"""How much memory an image will need, told from its header; no pixels here.

The figures are those of Pillow's own layouts and of what `canvas` and `tiler` keep; benchmarks/ compares them with what was measured.
"""

from dataclasses import dataclass

from lambdazoom.imaging import mapped
from lambdazoom.imaging.canvas import LEAST_BYTES
from lambdazoom.imaging.memory import REGION
from lambdazoom.imaging.tiler import rows_ahead
from lambdazoom.model.errors import NeedsMoreMemory
from lambdazoom.model.geometry import Level, Pyramid

_WORKING = 24 << 20  # what Pillow's codecs, the threads and the tiles on their way take, whatever the image
_COEFFICIENT = 2  # bytes: what libjpeg keeps of each sample, where it can't decode row by row (libjpeg.txt, "Memory management")
_NARROW = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}  # bytes a pixel; all other modes have 4


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
    coefficients: float = 0.0  # samples a pixel that libjpeg keeps
    copies: int = 0  # bytes a pixel beside the decoded one, while it is converted or turned


def streamed(pyramid: Pyramid, mode: str, on_the_way: int = 0) -> int:
    """Bytes for rows that stream; `on_the_way` is what the decoder holds besides."""
    return _WORKING + on_the_way + sum(_window(level, pyramid, mode) for level in pyramid.levels)


def decoded_whole(pyramid: Pyramid, mode: str, whole: Whole) -> int:
    """Bytes for an image of this mode that is there as a whole before its first tile."""
    pixels = pyramid.width * pyramid.height
    image = int(pixels * (_NARROW.get(mode, 4) + whole.copies + _COEFFICIENT * whole.coefficients))
    return _WORKING + image + sum(_window(level, pyramid, "RGB") for level in pyramid.levels[:-1])


def check(name: str, kind: str, advice: str, needed: int, limit: MemoryLimit) -> None:
    """Raise NeedsMoreMemory if `needed` bytes are more than there are."""
    if not limit.size or needed <= limit.size:
        return
    there = f"the function has {_gigabytes(limit.size)}" if limit.is_function else f"{_gigabytes(limit.size)} are allowed"
    way_out = "Raise memory_size" if limit.is_function else "Raise LAMBDAZOOM_MEMORY_LIMIT"
    raise NeedsMoreMemory(f"{name} is {kind} and needs about {_gigabytes(needed)}; {there}. {way_out}, or {advice}.")


def _window(level: Level, pyramid: Pyramid, mode: str) -> int:
    """The most that a level holds at once."""
    stride = level.width * mapped.BYTES_A_PIXEL[mode]
    if stride * level.height < LEAST_BYTES:
        return stride * level.height
    halvings = len(pyramid.levels) - 1 - level.index
    tile_size = pyramid.recipe.tile_size
    rows = min(level.height, 2 * tile_size + (rows_ahead(tile_size) >> halvings))
    return stride * rows + 2 * REGION


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"
