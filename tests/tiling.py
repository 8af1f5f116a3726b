"""Tiles made by the way that the product takes, and by the plain one: Pillow's own decode, all pixels there before the first tile."""

import io
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageCms, ImageOps

from lambdazoom.imaging.decode import open_source
from lambdazoom.imaging.formats import Wishes
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


def cut(
    path: Path,
    recipe: Recipe | None = None,
    workers: int | None = None,
    watch: Callable[[Tile], None] | None = None,
    accepts_truncated: bool = False,
) -> Cut:
    """The tiles of a file, as `tile` makes them; `watch` sees each one first."""
    recipe = recipe or Recipe()
    wishes = Wishes(accepts_truncated=accepts_truncated, background=None if recipe.keeps_alpha else recipe.background)
    with open_source(path, path.name, MAX_PIXELS, wishes) as source:
        source.load()
        pyramid, done = Pyramid(source.width, source.height, recipe), Cut(source.way, (source.width, source.height))

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
    return cut_picture(pixels, recipe)


def cut_picture(pixels: Image.Image, recipe: Recipe | None = None) -> Cut:
    """The tiles of pixels that are all there."""
    pixels.info = {}
    done = Cut(WHOLE, pixels.size)
    done.thumbnail = tile(Picture(pixels), Pyramid(*pixels.size, recipe or Recipe()), done).thumbnail
    return done


def in_one_piece(path: Path) -> Image.Image:
    """What a file shows, by Pillow's public functions, each on the whole picture: upright, in 8-bit sRGB or grey, on white."""
    with path.open("rb") as file, Image.open(file) as image:  # by name, Pillow maps some files, and forgets to turn those
        image.load()
        profile, picture = image.info.get("icc_profile"), ImageOps.exif_transpose(image)
    if picture.mode.startswith("I"):
        picture = picture.point(lambda value: value * (1 / 257) + 0.5).convert("L")
    if picture.mode == "P":
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    alpha = picture.convert("RGBA").getchannel("A") if picture.has_transparency_data else None
    shown = picture if picture.mode in ("L", "RGB", "CMYK") else picture.convert("L" if picture.mode in ("1", "LA") else "RGB")
    if profile:
        flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        source, target = io.BytesIO(profile), ImageCms.createProfile("sRGB")
        shown = ImageCms.profileToProfile(shown, source, target, intent, outputMode="RGB", flags=flags) or shown
    if shown.mode == "CMYK":
        shown = shown.convert("RGB")
    return Image.composite(shown, Image.new(shown.mode, shown.size, "white"), alpha) if alpha else shown


def assert_same(found: Cut, expected: Cut) -> None:
    """Byte for byte; tells the places that differ, not the bytes."""
    assert found.size == expected.size
    assert [place for place, data in sorted(expected.tiles.items()) if found.tiles.get(place) != data] == []
    assert found.thumbnail == expected.thumbnail


def peak_of_tiling(path: Path) -> tuple[int, subprocess.CompletedProcess[str]]:
    """The most memory that `tile` holds at once with this file, in bytes, and how it ended: in a process that has held nothing before."""
    program = (
        "import sys; from lambdazoom.cli import main; from lambdazoom.imaging.memory import peak_memory\n"
        "code = main(sys.argv[1:]); print(peak_memory()); sys.exit(code)"
    )
    command = [sys.executable, "-c", program, "tile", str(path), str(path.parent / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return int(done.stdout.splitlines()[-1]), done


def threads_of_ours() -> list[str]:
    """The names of the threads that cut and read."""
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith(("tile", "inflate", "sha256")))
