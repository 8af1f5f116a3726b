"""A plain pyramid in a local folder, as dzsave writes it: no stores, no settings, no records."""

import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lambdazoom.imaging.decode import decode
from lambdazoom.imaging.tiler import Tile, tile
from lambdazoom.model.errors import StorageError
from lambdazoom.model.geometry import Pyramid, Recipe
from lambdazoom.model.keys import display_name


@dataclass(frozen=True)
class Report:
    """What was made: sizes in pixels, `bytes` of all tiles, `peak_memory` of this process in bytes."""

    width: int
    height: int
    levels: int
    tiles: int
    bytes: int
    seconds: float
    peak_memory: int


def export(source: Path, folder: Path, recipe: Recipe, max_pixels: int, progress: Callable[[int, int], None]) -> Report:
    """Write `folder/NAME.dzi` and `folder/NAME_files/` for an image NAME.jpg; the descriptor goes last.

    `progress` hears the tiles done, and of how many, from several threads. What is there already is never written over.
    Raises ImageError, StorageError.
    """
    started = time.perf_counter()
    descriptor, tiles = folder / f"{source.stem}.dzi", folder / f"{source.stem}_files"
    for path in (descriptor, tiles):
        if path.exists():
            raise StorageError(f"{display_name(str(path))} exists already. Remove it, or choose another folder.")
    decoded = decode(source, display_name(source.name), max_pixels)
    pyramid = Pyramid(decoded.pixels.width, decoded.pixels.height, recipe)
    done, total = 0, pyramid.tile_count
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{source.stem[:100]}_files-", dir=folder))
        try:
            unfinished.chmod(0o755)
            for level in pyramid.levels:
                (unfinished / str(level.index)).mkdir()

            def write(each: Tile) -> None:
                nonlocal done
                (unfinished / str(each.level) / f"{each.column}_{each.row}.{recipe.format}").write_bytes(each.data)
                done += 1
                progress(done, total)

            tiling = tile(decoded.pixels, pyramid, write)
            unfinished.rename(tiles)
            descriptor.write_text(pyramid.descriptor(), encoding="utf-8")
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise StorageError(f"{display_name(str(error.filename or folder))}: {error.strerror or error}.") from error
    seconds = time.perf_counter() - started
    return Report(pyramid.width, pyramid.height, len(pyramid.levels), tiling.tile_count, tiling.tile_bytes, seconds, peak_memory())


def peak_memory() -> int:
    """The most memory that this process has held at once, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
