"""Somebody else's Deep Zoom reader, large_image, opens what we write: an exported folder, and a generation in the zoom store."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from large_image_source_deepzoom import DeepzoomFileTileSource
from numpy.typing import NDArray
from PIL import Image

from lambdazoom.model.geometry import Pyramid, Recipe
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.settings import Settings
from lambdazoom.publishing.export import export
from lambdazoom.publishing.generations import published
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace, open_workspace
from tests.conftest import Draw

# large_image leaves the files open that it reads
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

WIDTH, HEIGHT = 1337, 771


@pytest.fixture(params=["jpg", "png"])
def tile_format(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def workspace_of_format(environment: dict[str, str], tile_format: str) -> Iterator[Workspace]:
    opened = open_workspace(Settings.from_env({**environment, "LAMBDAZOOM_FORMAT": tile_format}))
    yield opened
    opened.close()


def pixels(image: Path | bytes) -> NDArray[np.int64]:
    with Image.open(image if isinstance(image, Path) else io.BytesIO(image)) as opened:
        return np.asarray(opened.convert("RGB")).astype(int)


def assert_it_reads(descriptor: Path, pyramid: Pyramid, source: Path) -> None:
    """The reader finds the sizes, the levels and the tiles that we meant, and in them the source."""
    reader: Any = DeepzoomFileTileSource(str(descriptor))
    found = reader.getMetadata()
    tile_size = pyramid.recipe.tile_size
    assert (found["sizeX"], found["sizeY"]) == (pyramid.width, pyramid.height)
    assert (found["tileWidth"], found["tileHeight"]) == (tile_size, tile_size)
    smallest = reader.getInternalMetadata()["baselevel"]  # the largest level that is a single tile: it offers none below
    assert smallest + found["levels"] == len(pyramid.levels)
    files = descriptor.with_name(f"{descriptor.stem}_files")
    for level, column, row in pyramid.tiles():
        if level >= smallest:
            ours = pixels(files / str(level) / f"{column}_{row}.{pyramid.recipe.format}")
            assert_it_reads_the_tile(reader, (column, row, level - smallest), ours, pyramid.recipe)
    whole, _ = reader.getRegion(encoding="PNG")
    difference = np.abs(pixels(whole) - pixels(source))
    assert difference.max() == 0 if pyramid.recipe.format == "png" else difference.mean() < 6


def assert_it_reads_the_tile(reader: Any, place: tuple[int, int, int], ours: NDArray[np.int64], recipe: Recipe) -> None:
    """It shows the tile without the overlap on its left and above it, in a square that is black where there is no image."""
    column, row, _ = place
    inner = ours[recipe.overlap if row else 0 :, recipe.overlap if column else 0 :][: recipe.tile_size, : recipe.tile_size]
    square = np.zeros((recipe.tile_size, recipe.tile_size, 3))
    square[: inner.shape[0], : inner.shape[1]] = inner
    assert np.array_equal(reader.getTile(*place, numpyAllowed="always"), square)


def test_large_image_reads_an_exported_pyramid(draw: Draw, tile_format: str, tmp_path: Path) -> None:
    source = draw("cat.jpg", WIDTH, HEIGHT)
    for recipe in (Recipe(254, 1, tile_format), Recipe(256, 0, tile_format), Recipe(510, 2, tile_format)):
        folder = tmp_path / f"{recipe.tile_size}"
        export(source, folder, recipe, 10**7, lambda *_: None)
        assert_it_reads(folder / "cat.dzi", Pyramid(WIDTH, HEIGHT, recipe), source)


def test_large_image_reads_a_generation(draw: Draw, tile_format: str, workspace_of_format: Workspace, tmp_path: Path) -> None:
    source = draw("cat.jpg", WIDTH, HEIGHT)
    record = settle(ImageKey("cat.jpg"), workspace_of_format)
    shown = published(ImageKey("cat.jpg"), workspace_of_format.zoom)
    assert record is not None
    assert shown is not None
    assert shown.pyramid.recipe.format == tile_format
    assert_it_reads(tmp_path / "zoom" / shown.generation.descriptor, Pyramid(record.width, record.height, shown.pyramid.recipe), source)
