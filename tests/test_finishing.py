"""What is converted and turned on its way to the tiles, strip by strip, is what is converted and turned in one piece, byte for byte."""

import mmap
import os
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image

from lambdazoom.imaging import canvas, finishing, memory
from lambdazoom.imaging.formats import Wishes
from lambdazoom.model.geometry import Recipe
from tests.converted import CONVERTED, LZW, write
from tests.decoding import decode
from tests.streams import MEDIUM, WAYS, orientation
from tests.streams import medium as medium  # a fixture
from tests.tiling import BAND_BY_BAND, MAX_PIXELS, ROW_BY_ROW, WHOLE, assert_same, cut, cut_picture, in_one_piece


@pytest.mark.parametrize("kind", CONVERTED)
def test_what_is_converted_strip_by_strip_is_what_is_converted_in_one_piece(kind: str, medium: Image.Image, tmp_path: Path) -> None:
    path, way = write(kind, medium, tmp_path / "image")
    found = cut(path)
    assert found.way == way
    assert_same(found, cut_picture(in_one_piece(path)))


@pytest.mark.parametrize("kind", ["JPEG, wide gamut", "PNG, RGBA", "PNG, palette with alpha", "TIFF, CMYK", "TIFF, 16-bit grey"])
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (257, 255), (1037, 771)], ids="{0[0]}×{0[1]}".format)
def test_images_of_any_size_are_converted_on_the_way(kind: str, size: tuple[int, int], medium: Image.Image, tmp_path: Path) -> None:
    path, way = write(kind, medium.crop((0, 0, *size)), tmp_path / "image")
    found = cut(path)
    assert found.way == (way if size[1] > 256 or way == ROW_BY_ROW else found.way)
    assert_same(found, cut_picture(in_one_piece(path)))


@pytest.mark.parametrize("seed", range(12))
def test_strips_and_regions_of_any_height_make_the_same(
    seed: int, medium: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(seed)
    monkeypatch.setattr(memory, "REGION", mmap.PAGESIZE)
    monkeypatch.setattr(memory, "_HUGE_PAGE", tmp_path / "none")
    monkeypatch.delattr(mmap, "MADV_HUGEPAGE", raising=False)
    monkeypatch.setattr(canvas, "LEAST_BYTES", 1)
    monkeypatch.setattr(finishing, "STRIP_PIXELS", int(random.integers(1, 40_000)))
    kinds = [kind for kind in CONVERTED if not kind.startswith("JPEG")]
    width, height, tile_size = (int(random.integers(*span)) for span in ((300, 900), (300, 1200), (20, 300)))
    path, way = write(kinds[seed * 5 % len(kinds)], medium.crop((0, 0, width, height)), tmp_path / "image")
    recipe = Recipe(tile_size, int(random.integers(0, 4)))
    found = cut(path, recipe)
    assert found.way == way
    expected = cut_picture(in_one_piece(path), recipe)
    found.thumbnail = expected.thumbnail  # what it is made of is not given back, but for this test
    assert_same(found, expected)


@pytest.mark.parametrize("kind", ["JPEG, wide gamut", "JPEG, CMYK", "PNG, RGBA"])
def test_wide_images_whose_last_rows_are_converted_before_the_end_is_read(kind: str, medium: Image.Image, tmp_path: Path) -> None:
    """Of these, 64 rows are more than a region: the memory that tells how far a JPEG has come may have been given back."""
    wide = Image.new("RGB", (14 * MEDIUM[0], 200))
    for left in range(0, wide.width, MEDIUM[0]):
        wide.paste(medium.crop((0, 0, MEDIUM[0], 200)), (left, 0))
    path, way = write(kind, wide, tmp_path / "image")
    found = decode(path, "image", MAX_PIXELS)  # which converts rows as soon as they are there
    assert found.way == way
    assert found.pixels.tobytes() == in_one_piece(path).tobytes()


STREAMED_TURNS = {"JPEG": (1, 2), "PNG": (1, 2), "TIFF": (1, 2, 3, 4)}


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize(
    "kind", ["JPEG, wide gamut", "JPEG, CMYK", "PNG, RGBA", "PNG, palette", "TIFF, RGBA", "TIFF, 16-bit grey, uncompressed"]
)
def test_what_is_turned_too_is_what_is_turned_in_one_piece(kind: str, turn: int, medium: Image.Image, tmp_path: Path) -> None:
    turning = {"tiffinfo": {**CONVERTED[kind][1]["tiffinfo"], 274: turn}} if kind.startswith("TIFF") else {"exif": orientation(turn)}
    path, way = write(kind, medium.crop((0, 0, 1301, 1105)), tmp_path / "image", **turning)
    found = cut(path)
    assert found.way == (way if turn in STREAMED_TURNS[kind[:4].rstrip(",")] else WHOLE)
    assert found.size == ((1301, 1105) if turn < 5 else (1105, 1301))
    assert_same(found, cut_picture(in_one_piece(path)))


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("suffix", WAYS)
def test_what_is_only_turned_is_what_is_turned_in_one_piece(suffix: str, turn: int, medium: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / f"image.{suffix}"
    options = {**LZW, "tiffinfo": {278: 48, 274: turn}} if suffix == "tif" else {"exif": orientation(turn)}
    medium.crop((0, 0, 1301, 1105)).save(path, **options)
    assert_same(cut(path), cut_picture(in_one_piece(path)))


@pytest.mark.parametrize("turn", [2, 3, 4])
def test_tiles_of_a_tiff_that_hang_over_are_turned_too(turn: int, medium: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    stored = pyvips.Image.new_from_memory(medium.tobytes(), *MEDIUM, 3, "uchar").copy(interpretation="srgb")
    told = stored.copy()
    told.set_type(pyvips.GValue.gint_type, "orientation", turn)
    told.tiffsave(str(path), compression="deflate", tile=True, tile_width=128, tile_height=128)
    found = cut(path)
    assert found.way == BAND_BY_BAND
    assert_same(
        found,
        cut_picture(
            medium.transpose({2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM}[turn])
        ),
    )


@pytest.mark.parametrize(("kind", "share"), [("JPEG, wide gamut", 0.5), ("JPEG, CMYK", 0.5), ("PNG, RGBA", 0.5), ("PNG, palette", 0.4)])
def test_what_a_cut_off_file_lacks_is_as_empty_as_its_kind_has_it(kind: str, share: float, medium: Image.Image, tmp_path: Path) -> None:
    path, way = write(kind, medium, tmp_path / "image")
    whole = in_one_piece(path)
    os.truncate(path, int(path.stat().st_size * share))
    found = decode(path, "image", MAX_PIXELS, Wishes(accepts_truncated=True))
    assert found.way == way
    assert "% could be read" in found.remarks[-1]
    read = int(MEDIUM[1] * 0.1)
    assert found.pixels.crop((0, 0, MEDIUM[0], read)).tobytes() == whole.crop((0, 0, MEDIUM[0], read)).tobytes()
    empty = {"JPEG, wide gamut": 0, "JPEG, CMYK": 255, "PNG, RGBA": 255}.get(kind)
    bottom = found.pixels.crop((0, MEDIUM[1] - 100, *MEDIUM)).getextrema()
    assert empty is None or bottom == ((empty, empty),) * 3
