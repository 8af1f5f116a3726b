"""TIFFs by hand, laid out in any way, with tags that may lie."""

import struct
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lambdazoom.model.geometry import Recipe
from tests.conftest import picture
from tests.tiling import BAND_BY_BAND, assert_same, cut, cut_whole

Samples = NDArray[np.generic]
Value = int | Sequence[int] | bytes
ASCII, SHORT, LONG, SIGNED_LONG, UNDEFINED = 2, 3, 4, 9, 7
SIZES = {ASCII: "B", SHORT: "H", LONG: "I", SIGNED_LONG: "i", UNDEFINED: "B"}


def tiff_of(pieces: Sequence[bytes], tags: dict[int, tuple[int, Value]], order: str = "<", offsets_tag: int = 273) -> bytes:
    """A TIFF by hand (TIFF 6.0, section 2): its strips or tiles first, then one directory; `tags` may overrule what is told of them."""
    offsets = list(accumulate(map(len, pieces[:-1]), initial=8))
    counts_tag = 279 if offsets_tag == 273 else 325
    tags = {offsets_tag: (LONG, offsets), counts_tag: (LONG, [len(piece) for piece in pieces]), **tags}
    body = b"".join(pieces)
    body += bytes(len(body) % 2)
    directory, beside, start = b"", b"", 8 + len(body) + 2 + 12 * len(tags) + 4
    for tag, (kind, value) in sorted(tags.items()):
        values = [value] if isinstance(value, int) else list(value)
        data = struct.pack(f"{order}{len(values)}{SIZES[kind]}", *values)
        directory += struct.pack(f"{order}HHI", tag, kind, len(values))
        if len(data) > 4:
            directory += struct.pack(f"{order}I", start + len(beside))
            beside += data + bytes(len(data) % 2)
        else:
            directory += data.ljust(4, b"\0")
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8 + len(body))
    return head + body + struct.pack(f"{order}H", len(tags)) + directory + bytes(4) + beside


def strips(samples: Samples, rows: int, order: str = "<") -> list[bytes]:
    depth = samples.dtype.itemsize
    return [samples[top : top + rows].astype(f"{order}u{depth}").tobytes() for top in range(0, samples.shape[0], rows)]


def tags_of(samples: Samples, rows: int, compression: int = 1, photometric: int | None = None) -> dict[int, tuple[int, Value]]:
    height, width = samples.shape[:2]
    count = samples.shape[2] if samples.ndim == 3 else 1
    told = (2 if count >= 3 else 1) if photometric is None else photometric
    return {
        256: (LONG, width),
        257: (LONG, height),
        258: (SHORT, [8 * samples.dtype.itemsize] * count),
        259: (SHORT, compression),
        262: (SHORT, told),
        277: (SHORT, count),
        278: (LONG, rows),
    }


@cache
def colour(width: int = 301, height: int = 700) -> Samples:
    return np.asarray(picture(width, height))


@cache
def grey(width: int = 301, height: int = 700) -> Samples:
    return np.asarray(picture(width, height).convert("L"))


def assert_bands_make_the_same(path: Path, page: int = 0, recipe: Recipe | None = None) -> None:
    found = cut(path, recipe)
    assert found.way == BAND_BY_BAND
    assert_same(found, cut_whole(path, recipe, page))


def directory_first(samples: Samples, rows: int) -> bytes:
    """An uncompressed TIFF as programs write it that know its size beforehand."""
    pieces = strips(samples, rows)

    def head(start: int) -> bytes:
        offsets = list(accumulate(map(len, pieces[:-1]), initial=start))
        placed = {273: (LONG, offsets), 279: (LONG, [len(piece) for piece in pieces])}
        return tiff_of([b""], {**tags_of(samples, rows), **placed})

    return b"".join([head(len(head(0))), *pieces])
