"""Tiles made by the way that the product takes, and by the plain one: Pillow's own decode, all pixels there before the first tile."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from lambdazoom.imaging.decode import open_source
from lambdazoom.imaging.tiler import Picture, Tile, tile
from lambdazoom.model.geometry import Pyramid, Recipe

Place = tuple[int, int, int]  # level, column, row

ROW_BY_ROW, BAND_BY_BAND, WHOLE = "row by row", "band by band", "whole"
MAX_PIXELS = 10**9


@dataclass
class Cut:
    """What was cut; `way` how the pixels were read."""

    way: str
    size: tuple[int, int]
    tiles: dict[Place, bytes] = field(default_factory=dict)
    thumbnail: bytes = b""

    def __call__(self, each: Tile) -> None:
        assert each[:3] not in self.tiles
        self.tiles[each[:3]] = each.data


def cut(path: Path, recipe: Recipe | None = None, workers: int | None = None, watch: Callable[[Tile], None] | None = None) -> Cut:
    """The tiles of a file, as `tile` makes them; `watch` sees each one first."""
    with open_source(path, path.name, MAX_PIXELS) as source:
        source.load()
        pyramid, done = Pyramid(source.width, source.height, recipe or Recipe()), Cut(source.way, (source.width, source.height))

        def sink(each: Tile) -> None:
            if watch:
                watch(each)
            done(each)

        tiling = tile(source, pyramid, sink, workers)
    assert set(done.tiles) == set(pyramid.tiles())
    assert tiling.tile_count == len(done.tiles)
    done.thumbnail = tiling.thumbnail
    return done


def cut_whole(path: Path, recipe: Recipe | None = None, page: int = 0) -> Cut:
    """The tiles of what Pillow by itself reads in a file of plain grey or RGB."""
    with Image.open(path) as image:
        image.seek(page)
        pixels = image.copy()
    pixels.info = {}
    done = Cut(WHOLE, pixels.size)
    done.thumbnail = tile(Picture(pixels), Pyramid(*pixels.size, recipe or Recipe()), done).thumbnail
    return done


def assert_same(found: Cut, expected: Cut) -> None:
    """Byte for byte; tells the places that differ, not the bytes."""
    assert found.size == expected.size
    assert [place for place, data in sorted(expected.tiles.items()) if found.tiles.get(place) != data] == []
    assert found.thumbnail == expected.thumbnail


def threads_of_ours() -> list[str]:
    """The names of the threads that cut and read."""
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith(("tile", "inflate", "sha256")))
