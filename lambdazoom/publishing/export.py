"""A plain pyramid in a local folder, as dzsave writes it: no stores, no settings, no records."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lambdazoom.imaging.decode import open_source
from lambdazoom.imaging.formats import Wishes
from lambdazoom.imaging.memory import peak_memory, resident_memory
from lambdazoom.imaging.needs import MemoryLimit
from lambdazoom.imaging.tiler import Tile, tile
from lambdazoom.model.errors import StorageError
from lambdazoom.model.geometry import Pyramid, Recipe
from lambdazoom.model.keys import display_name
from lambdazoom.publishing import raws

if TYPE_CHECKING:
    from lambdazoom.metadata.exiftool import ExifTool

_RESERVE_BYTES = 4 << 20  # of address space, never written to: taking away what is unfinished needs some when all is used up
_UNFINISHED_BYTES = 100  # of the image's name, in that of the unfinished folder


@dataclass(frozen=True)
class Report:
    """What was made: sizes in pixels, `bytes` of all tiles, `way` how the pixels were read, `remarks` what was changed on the way.

    `predicted_memory` and `peak_memory` of this process in bytes: the first told from the image's header, the second measured.
    """

    width: int
    height: int
    levels: int
    tiles: int
    bytes: int
    seconds: float
    way: str
    predicted_memory: int
    peak_memory: int
    remarks: tuple[str, ...]


def export(
    image: Path,
    folder: Path,
    recipe: Recipe,
    max_pixels: int,
    progress: Callable[[int, int], None],
    memory_limit: int = 0,
    wishes: Wishes | None = None,
    exiftool: Path | None = None,
) -> Report:
    """Write `folder/NAME.dzi` and `folder/NAME_files/` for an image NAME.jpg; the descriptor goes last.

    `progress` hears the tiles done, and of how many, one call at a time. `memory_limit` is in bytes; 0 is none. `exiftool` is
    the program that raw camera files are shown with, if not the usual one. What is there already is never written over.
    Raises ImageError, StorageError.
    """
    started = time.perf_counter()
    descriptor, tiles = folder / f"{image.stem}.dzi", folder / f"{image.stem}_files"
    for path in (descriptor, tiles):
        if path.exists():
            raise StorageError(f"{display_name(str(path))} exists already. Remove it, or choose another folder.")
    wishes = replace(wishes or Wishes(), background=None if recipe.keeps_alpha else recipe.background)
    name = display_name(image.name)
    with (
        raws.picture_of(image, name, lambda: _exiftool(exiftool)) as picture,
        open_source(picture.path, name, max_pixels, wishes) as source,
    ):
        pyramid, held = Pyramid(source.width, source.height, recipe), resident_memory()
        source.check(pyramid, held, MemoryLimit(memory_limit))
        predicted = held + source.need(pyramid)
        source.load()
        pyramid = Pyramid(source.width, source.height, recipe)
        with _unfinished(folder, image.stem, pyramid) as unfinished:
            tiling = tile(source, pyramid, _writer(unfinished, pyramid, progress))
            unfinished.rename(tiles)
            descriptor.write_text(pyramid.descriptor(), encoding="utf-8")
        way, remarks = source.way, (*picture.remarks, *source.remarks)
    seconds = time.perf_counter() - started
    levels = len(pyramid.levels)
    return Report(*pyramid.size, levels, tiling.tile_count, tiling.tile_bytes, seconds, way, predicted, peak_memory(), remarks)


def _exiftool(configured: Path | None) -> "ExifTool":
    from lambdazoom.metadata.exiftool import ExifTool  # when a raw camera file comes

    return ExifTool(configured)


@contextmanager
def _unfinished(folder: Path, stem: str, pyramid: Pyramid) -> Iterator[Path]:
    """A folder beside the finished one, with one for each level in it; it goes, unless it was renamed."""
    start = stem.encode(errors="surrogateescape")[:_UNFINISHED_BYTES].decode(errors="ignore")
    reserve = bytearray(_RESERVE_BYTES)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f".{start}_files-{os.urandom(8).hex()}"
        unfinished.mkdir()
        try:
            unfinished.chmod(0o755)
            for level in pyramid.levels:
                (unfinished / str(level.index)).mkdir()
            yield unfinished
        finally:
            del reserve
            _take_away(unfinished)
    except OSError as error:
        raise StorageError(f"{display_name(str(error.filename or folder))}: {error.strerror or error}.") from error


def _take_away(unfinished: Path) -> None:
    if unfinished.exists():
        import shutil  # most end well, and a small image is cut in little more time than this takes to load

        shutil.rmtree(unfinished, ignore_errors=True)


def _writer(folder: Path, pyramid: Pyramid, progress: Callable[[int, int], None]) -> Callable[[Tile], None]:
    """The sink that writes each tile to a file of its own."""
    done, total, counting = 0, pyramid.tile_count, threading.Lock()

    def write(each: Tile) -> None:
        nonlocal done
        _write(f"{folder}/{each.level}/{each.column}_{each.row}.{pyramid.recipe.format}", each.data)
        with counting:
            done += 1
            progress(done, total)

    return write


def _write(name: str, data: bytes) -> None:
    """A new file, past Python's own: a file object takes as long as half of the writing, and a Path as the other half."""
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    finally:
        os.close(descriptor)
