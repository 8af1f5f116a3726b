"""From pixels to the tiles of all levels, handed to a sink; where they go is not known here.

Rows arrive from a decoder. As soon as a tile row is there it is halved into the next smaller level and its tiles are encoded,
on all cores, while the decoder goes on; then its memory goes back to the system. A slow sink slows the decoder.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from threading import Condition, Lock, Thread
from typing import NamedTuple, Protocol, Self, TypeVar

from PIL import Image

from lambdazoom.imaging.canvas import Canvas, Rows, mode_of_halves
from lambdazoom.imaging.encode import THUMBNAIL_SIDE, TileEncoder, thumbnail
from lambdazoom.model.geometry import Pyramid

T = TypeVar("T")

_LEAST_ROWS_AHEAD = 512
_LEAST_COLUMNS = 8  # of a tile row, that one thread encodes at a time


class Tile(NamedTuple):
    """One encoded tile: its place in the pyramid and its bytes."""

    level: int
    column: int
    row: int
    data: bytes


Sink = Callable[[Tile], None]  # called from several threads at once; what it raises ends the work


class Stopped(Exception):
    """Something has gone wrong, here or in the sink: bring no more rows; `Tiler.finish` raises what it was."""


@dataclass(frozen=True)
class Tiling:
    """What a finished run made: the number of tiles, their bytes, and a JPEG of THUMBNAIL_SIDE pixels at most."""

    tile_count: int
    tile_bytes: int
    thumbnail: bytes


class Rowed(Protocol):
    """Where rows come from: mode RGB, L or RGBA, of the pyramid's size."""

    @property
    def mode(self) -> str:
        """RGB, L or RGBA."""

    @property
    def pixels(self) -> Image.Image | None:
        """The whole image, if it is there already."""

    def pour(self, tiler: "Tiler") -> None:
        """Bring all rows to the tiler."""


def available_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def rows_ahead(tile_size: int) -> int:
    """How many rows of the image may be there that are not yet in tiles, beside those of the tile row that is just coming."""
    return max(2 * tile_size, _LEAST_ROWS_AHEAD)


class Tiler:
    """Cuts one pyramid while its rows arrive: call `add` as often as there are more, then `finish`.

    Tiles are encoded on `workers` threads; `sink` gets each exactly once, in no order. Used as a context manager, it leaves no
    thread and no memory behind, whatever happens.
    """

    def __init__(self, pyramid: Pyramid, mode: str, sink: Sink, workers: int | None = None, pixels: Image.Image | None = None) -> None:
        self._canvases = [Canvas(level, mode_of_halves(mode)) for level in pyramid.levels[:-1]]
        self._canvases.append(Canvas(pyramid.levels[-1], mode, pixels, is_decoded_into=True))
        self._encoder = TileEncoder(pyramid.recipe)
        self._background = pyramid.recipe.background
        self._sink = sink
        self.workers = workers or available_cores()
        self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="tile")
        self._ahead = rows_ahead(pyramid.recipe.tile_size)
        self._changed = Condition()  # guards all below
        self._error: BaseException | None = None
        self._open_parts: dict[tuple[int, int], int] = {}  # (level, tile row) → parts of it not yet done
        self._pieces = 0  # of other work on the threads: pieces of the image being decoded, and the thumbnail
        self._thumbnail = b""
        self._tiles = self._bytes = 0

    @property
    def canvas(self) -> Canvas:
        """The image itself: decoders write into its pixels."""
        return self._canvases[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._encoder.close()
        for canvas in self._canvases:
            canvas.close()
        self._error = None  # its traceback leads back here: a circle would keep the pixels until the next collection

    def stop(self) -> None:
        """Bring the work to an end, from any thread: whoever brings rows is told so, and no tile is begun any more."""
        with self._changed:
            self._error = self._error or RuntimeError("the tiler is closed")
            self._changed.notify_all()

    def add(self, rows: Rows) -> None:
        """Say that these rows of the image are there. Raises Stopped."""
        self._arrive(len(self._canvases) - 1, rows)
        self._check()

    def decode(self, rows: Rows, work: Callable[[], None]) -> None:
        """Have `work`, which decodes these rows into the canvas, done on one of the threads, and then the rows added."""

        def piece() -> None:
            work()
            self._arrive(len(self._canvases) - 1, rows)

        self._submit_piece(piece)

    def wait_for_room(self, bottom: int, ahead: int = 0) -> None:
        """Wait until enough of the rows above `bottom` are cut, that rows up to there may come. Raises Stopped.

        `ahead` is how many rows may be there uncut, if that is more than `rows_ahead`.
        """
        with self._changed:
            # with nothing on its way, only more rows can complete the next tile row
            self._changed.wait_for(
                lambda: (
                    self._error
                    or not (self._open_parts or self._pieces)
                    or bottom - self.canvas.finished * self.canvas.level.tile_size <= max(ahead, self._ahead)
                )
            )
        self._check()

    def finish(self) -> Tiling:
        """Wait for all tiles; what a thread or the sink raised is raised here."""
        with self._changed:
            self._changed.wait_for(lambda: self._error or not (self._open_parts or self._pieces))
        if self._error:
            raise self._error
        if self.canvas.finished != self.canvas.level.rows:
            raise ValueError(f"only {self.canvas.rows} rows of {self.canvas.level.height} have come")
        return Tiling(self._tiles, self._bytes, self._thumbnail)

    def _check(self) -> None:
        if self._error:
            raise Stopped

    def _arrive(self, index: int, rows: Rows) -> None:
        """Rows of a level are there: start on the tile rows that became complete."""
        canvas = self._canvases[index]
        with self._changed:
            if self._error:
                return
            for tile_row in canvas.add(rows):
                parts = list(self._parts(index, tile_row))
                self._open_parts[index, tile_row] = len(parts)
                for part in parts:
                    self._submit(partial(self._part, index, tile_row, part))
            if canvas.rows == canvas.level.height and canvas is self._thumbnail_level():
                self._submit_piece(self._make_thumbnail)

    def _submit_piece(self, work: Callable[[], None]) -> None:
        def piece() -> None:
            self._guarded(work)  # what goes wrong is known before it is over: else `finish` would wonder where the rows are
            with self._changed:
                self._pieces -= 1
                self._changed.notify_all()

        with self._changed:
            self._pieces += 1
        self._submit(piece)

    def _submit(self, work: Callable[[], None]) -> None:
        try:
            self._pool.submit(self._guarded, work)
        except RuntimeError as error:  # there is no room for one thread more
            raise MemoryError(str(error)) from error

    def _parts(self, index: int, tile_row: int) -> Iterator[Callable[[], None]]:
        """What is to be done with a tile row: halve it first, for that feeds the next level, and encode it piece by piece."""
        if index:
            yield partial(self._halve, index, tile_row)
        columns = self._canvases[index].level.columns
        step = max(_LEAST_COLUMNS, -(-columns // (2 * self.workers)))
        for column in range(0, columns, step):
            yield partial(self._encode, index, tile_row, range(column, min(columns, column + step)))

    def _part(self, index: int, tile_row: int, work: Callable[[], None]) -> None:
        work()
        with self._changed:
            self._open_parts[index, tile_row] -= 1
            if not self._open_parts[index, tile_row]:
                del self._open_parts[index, tile_row]
                self._canvases[index].finish(tile_row)
                self._changed.notify_all()

    def _halve(self, index: int, tile_row: int) -> None:
        rows = self._canvases[index].halve_into(self._canvases[index - 1], tile_row)
        self._arrive(index - 1, rows)

    def _encode(self, index: int, tile_row: int, columns: range) -> None:
        canvas, size = self._canvases[index], 0
        for column in columns:
            if self._error:
                return
            data = self._encoder.encode(canvas.pixels, canvas.level.box(column, tile_row))
            self._sink(Tile(canvas.level.index, column, tile_row, data))
            size += len(data)
        with self._changed:
            self._tiles += len(columns)
            self._bytes += size

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do the work unless something has gone wrong; what goes wrong in it ends all."""
        if self._error:
            return
        try:
            work()
        except BaseException as error:  # noqa: BLE001 (whatever it is, `finish` raises it)
            with self._changed:
                self._error = self._error or error
                self._changed.notify_all()

    def _make_thumbnail(self) -> None:
        self._thumbnail = thumbnail(self._thumbnail_level().pixels, self._background)

    def _thumbnail_level(self) -> Canvas:
        """The smallest level that is at least as large as the thumbnail, else the image itself."""
        large_enough = (canvas for canvas in self._canvases if max(canvas.pixels.size) >= THUMBNAIL_SIDE)
        return next(large_enough, self._canvases[-1])


@dataclass(frozen=True)
class Picture:
    """Pixels that are all there already, mode RGB, L or RGBA."""

    pixels: Image.Image

    @property
    def mode(self) -> str:
        """RGB, L or RGBA."""
        return self.pixels.mode

    def pour(self, tiler: Tiler) -> None:
        """Bring them tile row by tile row, so that no more of the smaller levels is there than need be."""
        step = tiler.canvas.level.tile_size
        for top in range(0, self.pixels.height, step):
            tiler.wait_for_room(top)
            tiler.add(Rows(top, min(self.pixels.height, top + step)))


def tile(source: Rowed, pyramid: Pyramid, sink: Sink, workers: int | None = None) -> Tiling:
    """Cut the whole pyramid of what the source brings; raises what decoding, encoding or the sink raise."""

    def cut() -> Tiling:
        with suppress(Stopped):
            source.pour(tiler)
        return tiler.finish()

    with Tiler(pyramid, source.mode, sink, workers, source.pixels) as tiler:
        return _out_of_reach(cut, tiler.stop)


def _out_of_reach(work: Callable[[], T], stop: Callable[[], None]) -> T:
    """What `work` gives or raises, done on a thread of its own; `stop` is called, from this one, if this one is interrupted.

    Ctrl-C strikes the main thread anywhere: just behind the taking of a lock, too, which then nobody would give back.
    """
    done, failures, over = list[T](), list[BaseException](), Lock()

    def run() -> None:
        try:
            done.append(work())
        except BaseException as error:  # noqa: BLE001 (whatever it is, it is raised below)
            failures.append(error)
        finally:
            over.release()

    over.acquire()
    thread = Thread(target=run, name="tile_rows")
    try:
        _start(thread)
        over.acquire()  # not a condition: taking and giving back its own lock could be struck as well
    except BaseException:
        stop()
        raise
    finally:
        if thread.ident is not None:
            thread.join()
    if failures:
        raise failures.pop()
    return done.pop()


def _start(thread: Thread) -> None:
    try:
        thread.start()
    except RuntimeError as error:  # there is no room for one thread more
        raise MemoryError(str(error)) from error
