"""From pixels to the tiles of all levels, handed to a sink; where they go is not known here."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image

from lambdazoom.imaging.canvas import Canvas
from lambdazoom.imaging.encode import THUMBNAIL_SIDE, TileEncoder, thumbnail
from lambdazoom.model.geometry import Pyramid


class Tile(NamedTuple):
    """One encoded tile: its place in the pyramid and its bytes."""

    level: int
    column: int
    row: int
    data: bytes


Sink = Callable[[Tile], None]  # called from several threads at once; what it raises ends the work


@dataclass(frozen=True)
class Tiling:
    """What a finished run made: the number of tiles, their bytes, and a JPEG of THUMBNAIL_SIDE pixels at most."""

    tile_count: int
    tile_bytes: int
    thumbnail: bytes


def available_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Tiler:
    """Cuts one pyramid while its rows arrive: call `add_rows` as often as there are more, then `finish`.

    `pixels` is the image itself, mode RGB, of the pyramid's size. Tiles are encoded on `workers` threads; `sink` gets each
    exactly once, in no order. Used as a context manager, it leaves no thread behind, whatever happens.
    """

    def __init__(self, pixels: Image.Image, pyramid: Pyramid, sink: Sink, workers: int | None = None) -> None:
        self._canvases = [Canvas(level) for level in pyramid.levels[:-1]]
        self._canvases.append(Canvas(pyramid.levels[-1], pixels))
        self._encoder = TileEncoder(pyramid.recipe)
        self._sink = sink
        self._pool = ThreadPoolExecutor(workers or available_cores(), thread_name_prefix="tile")
        self._rows: list[Future[tuple[int, int]]] = []  # one for each tile row: bounded by the image's height
        self._failed = threading.Event()

    def __enter__(self) -> "Tiler":
        return self

    def __exit__(self, *_: object) -> None:
        self._failed.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._encoder.close()

    def add_rows(self, rows: int) -> None:
        """Say that the image's rows up to `rows` (from the top, not counted from the last call) are there."""
        for index in range(len(self._canvases) - 1, -1, -1):
            canvas = self._canvases[index]
            for tile_row in canvas.add_rows(rows):
                self._rows.append(self._pool.submit(self._encode_row, canvas, tile_row))
            if index:
                rows = canvas.halve_into(self._canvases[index - 1])

    def finish(self) -> Tiling:
        """Wait for all tiles; what a worker or the sink raised is raised here."""
        counted = [row.result() for row in self._rows]
        return Tiling(sum(tiles for tiles, _ in counted), sum(size for _, size in counted), thumbnail(self._thumbnail_level().pixels))

    def _encode_row(self, canvas: Canvas, row: int) -> tuple[int, int]:
        level, total = canvas.level, 0
        for column in range(level.columns):
            if self._failed.is_set():
                return 0, 0
            try:
                data = self._encoder.encode(canvas.pixels, level.box(column, row))
                self._sink(Tile(level.index, column, row, data))
            except BaseException:
                self._failed.set()
                raise
            total += len(data)
        return level.columns, total

    def _thumbnail_level(self) -> Canvas:
        """The smallest level that is at least as large as the thumbnail, else the image itself."""
        large_enough = (canvas for canvas in self._canvases if max(canvas.pixels.size) >= THUMBNAIL_SIDE)
        return next(large_enough, self._canvases[-1])


def tile(pixels: Image.Image, pyramid: Pyramid, sink: Sink, workers: int | None = None) -> Tiling:
    """Cut the whole pyramid of an image that is there already: mode RGB, of the pyramid's size."""
    with Tiler(pixels, pyramid, sink, workers) as tiler:
        tiler.add_rows(pyramid.height)
        return tiler.finish()
