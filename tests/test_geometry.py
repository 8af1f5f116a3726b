"""Which levels and tiles there are, and how large they are: libvips decides, and what must hold for any size does hold."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from itertools import pairwise, product
from pathlib import Path
from typing import NamedTuple

import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lambdazoom.model.geometry import NAMESPACE, Level, Pyramid, Recipe
from lambdazoom.publishing.export import export

Size = tuple[int, int]
Place = tuple[int, int, int]  # level, column, row

EDGES = (1, 2, 3, 253, 254, 255, 256, 257, 508, 509, 510, 511, 512, 513, 763, 1021)  # about the multiples of the tile sizes
SQUARES = [(side, side) for side in EDGES]
STRIPS = [(side, 1) for side in EDGES[1:]] + [(2, side) for side in EDGES[3:]]
OBLONGS = [
    (1, 9),
    (9, 7),
    (255, 509),
    (509, 254),
    (510, 509),
    (640, 480),
    (700, 1300),
    (764, 765),
    (1016, 257),
    (1017, 1),
    (1274, 770),
    (2049, 5),
]
SIZES = SQUARES + STRIPS + OBLONGS + [(4097, 3), (3, 4097), (16257, 1), (65500, 2), (1, 65025)]
RECIPES = [Recipe(tile_size, overlap, "png") for tile_size, overlap in product((254, 256, 510), (0, 1, 2))]


at_leisure = settings(deadline=None)  # other tests may run on the same cores


class Dzi(NamedTuple):
    """What a pyramid in a folder says of itself, and the size in pixels of every tile as its own header tells it."""

    root: dict[str, str]
    size: dict[str, str]
    tiles: dict[Place, Size]


def read(descriptor: Path) -> Dzi:
    root = ET.parse(descriptor).getroot()
    size = root.find(f"{{{NAMESPACE}}}Size")
    assert root.tag == f"{{{NAMESPACE}}}Image"
    assert size is not None
    tiles = {}
    for path in descriptor.with_name(f"{descriptor.stem}_files").glob(f"*/*.{root.attrib['Format']}"):
        column, row = path.stem.split("_")
        with Image.open(path) as tile:
            tiles[int(path.parent.name), int(column), int(row)] = tile.size
    return Dzi(root.attrib, size.attrib, tiles)


def black(size: Size) -> pyvips.Image:
    return pyvips.Image.black(*size, bands=3).copy(interpretation="srgb")


def dzsave(size: Size, recipe: Recipe, folder: Path) -> Dzi:
    """The same pyramid by libvips; its `tile_size` is without overlap, as DZI's."""
    folder.mkdir(parents=True)
    options = {"layout": "dz", "depth": "onepixel", "tile_size": recipe.tile_size, "overlap": recipe.overlap}
    black(size).dzsave(str(folder / "image"), suffix=f".{recipe.format}", **options)
    return read(folder / "image.dzi")


def columns_and_rows(tiles: Iterable[Place]) -> dict[int, Size]:
    counts: dict[int, Size] = {}
    for level, column, row in tiles:
        columns, rows = counts.get(level, (0, 0))
        counts[level] = max(columns, column + 1), max(rows, row + 1)
    return counts


@pytest.mark.parametrize("size", SIZES, ids="{0[0]}×{0[1]}".format)
def test_every_level_and_every_tile_is_as_large_as_libvips_makes_it(size: Size, tmp_path: Path) -> None:
    for recipe in RECIPES:
        theirs = dzsave(size, recipe, tmp_path / recipe.fingerprint)
        pyramid = Pyramid(*size, recipe)
        assert {level.index: (level.columns, level.rows) for level in pyramid.levels} == columns_and_rows(theirs.tiles)
        assert {place: pyramid.levels[place[0]].box(*place[1:]).size for place in pyramid.tiles()} == theirs.tiles
        ours = ET.fromstring(pyramid.descriptor())
        assert (ours.attrib, ours[0].attrib) == (theirs.root, theirs.size)


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 9), (254, 254), (255, 255), (256, 509), (511, 1), (513, 763), (4097, 3)], ids="{0[0]}×{0[1]}".format
)
@pytest.mark.parametrize("tile_format", ["jpg", "png"])
def test_export_writes_the_files_that_libvips_writes(size: Size, tile_format: str, tmp_path: Path) -> None:
    source = tmp_path / "image.png"
    black(size).pngsave(str(source))
    for tile_size, overlap in ((254, 1), (256, 0), (510, 2)):
        recipe = Recipe(tile_size, overlap, tile_format)
        folder = tmp_path / f"{tile_size}+{overlap}"
        theirs = dzsave(size, recipe, folder / "theirs")
        report = export(source, folder / "ours", recipe, 10**9, lambda *_: None)
        assert read(folder / "ours" / "image.dzi") == theirs
        assert (report.width, report.height, report.tiles) == (*size, len(theirs.tiles))
        assert sorted(path.name for path in (folder / "ours").iterdir()) == ["image.dzi", "image_files"]


@st.composite
def pyramids(draw: st.DrawFn) -> Pyramid:
    """Any geometry of at most some thousand tiles: the sides go up to 40 tiles."""
    tile_size = draw(st.integers(1, 600))
    overlap = draw(st.integers(0, min(16, tile_size - 1)))
    sides = st.integers(1, 40 * tile_size)
    return Pyramid(draw(sides), draw(sides), Recipe(tile_size, overlap))


def spans(level: Level) -> tuple[list[Size], list[Size]]:
    """Where the columns and the rows begin and end, taken from the tiles of the first row and the first column."""
    columns = [level.box(column, 0) for column in range(level.columns)]
    rows = [level.box(0, row) for row in range(level.rows)]
    return [(box.left, box.right) for box in columns], [(box.top, box.bottom) for box in rows]


@at_leisure
@given(pyramids())
def test_the_tiles_cover_every_pixel_and_nothing_else(pyramid: Pyramid) -> None:
    for level in pyramid.levels:
        for side, found in zip((level.width, level.height), spans(level), strict=True):
            assert found[0][0] == 0
            assert found[-1][1] == side
            assert all(end > start for start, end in found)
            assert all(following[0] <= end for (_, end), following in pairwise(found))


@at_leisure
@given(pyramids())
def test_neighbours_share_the_overlap_of_both(pyramid: Pyramid) -> None:
    overlap = pyramid.recipe.overlap
    for level in pyramid.levels:
        for found in spans(level):
            shared = [end - following[0] for (_, end), following in pairwise(found)]
            assert all(pixels == 2 * overlap for pixels in shared[:-1])
            # the last tile may be thinner than the overlap: then all of it is shared
            assert all(pixels == 2 * overlap or pixels == found[-1][1] - found[-1][0] for pixels in shared[-1:])


@at_leisure
@given(pyramids(), st.data())
def test_a_tile_lies_where_its_column_and_its_row_say(pyramid: Pyramid, data: st.DataObject) -> None:
    level = data.draw(st.sampled_from(pyramid.levels))
    column, row = data.draw(st.integers(0, level.columns - 1)), data.draw(st.integers(0, level.rows - 1))
    columns, rows = spans(level)
    assert level.box(column, row) == (columns[column][0], rows[row][0], columns[column][1], rows[row][1])


@at_leisure
@given(st.integers(1, 2**40), st.integers(1, 2**40))
def test_each_level_is_half_of_the_next_rounded_up(width: int, height: int) -> None:
    levels = Pyramid(width, height, Recipe()).levels
    assert [level.index for level in levels] == list(range(len(levels)))
    assert (levels[0].width, levels[0].height) == (1, 1)
    assert (levels[-1].width, levels[-1].height) == (width, height)
    for level, larger in pairwise(levels):
        assert 2 * level.width - larger.width in (0, 1)
        assert 2 * level.height - larger.height in (0, 1)
        assert (larger.width, larger.height) != (1, 1)


@at_leisure
@given(pyramids())
def test_the_tiles_that_exist_are_those_that_are_listed(pyramid: Pyramid) -> None:
    tiles = set(pyramid.tiles())
    assert len(tiles) == len(list(pyramid.tiles())) == pyramid.tile_count
    nearby = {
        (level + up, column + right, row + down)
        for level, column, row in corners(tiles)
        for up, right, down in product((-1, 0, 1), repeat=3)
    }
    assert {place for place in nearby | tiles if pyramid.has_tile(*place)} == tiles


def corners(tiles: set[Place]) -> set[Place]:
    """The corners of each level."""
    counts = columns_and_rows(tiles)
    return {(level, column, row) for level, (columns, rows) in counts.items() for column in (0, columns - 1) for row in (0, rows - 1)}


@pytest.mark.parametrize(
    ("side", "levels", "second_largest"),
    [(2**29 - 1, 30, 2**28), (2**29, 30, 2**28), (2**29 + 1, 31, 2**28 + 1), (2**53 + 1, 55, 2**52 + 1)],
)
def test_the_largest_sizes_are_exact(side: int, levels: int, second_largest: int) -> None:
    for pyramid in (Pyramid(side, 1, Recipe()), Pyramid(1, side, Recipe())):
        assert len(pyramid.levels) == levels
        smaller = pyramid.levels[-2]
        assert {smaller.width, smaller.height} == {second_largest, 1}
        assert (pyramid.levels[0].width, pyramid.levels[0].height) == (1, 1)


def test_a_descriptor_keeps_any_text_in_its_further_attributes() -> None:
    address = """https://example.org/a&b<"'>?c=1"""
    root = ET.fromstring(Pyramid(300, 200, Recipe()).descriptor({"Url": address}))
    assert root.attrib == {"Format": "jpg", "Overlap": "1", "TileSize": "254", "Url": address}
