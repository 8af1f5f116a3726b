"""Transparency is kept in PNG and WebP tiles, and what can't be seen gives no colour to what can; the oracle is libvips."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pyvips
from numpy.typing import NDArray
from PIL import Image

from lambdazoom.model.geometry import Pyramid, Recipe
from tests.converted import CONVERTED, glass, write
from tests.files import by_libvips, vips_image
from tests.streams import mosaic
from tests.tiff_by_hand import SHORT, strips, tags_of, tiff_of
from tests.tiling import BAND_BY_BAND, ROW_BY_ROW, WHOLE, Cut, assert_same, cut, cut_picture

PNG, WEBP = Recipe(format="png"), Recipe(format="webp")
SIZE = (1037, 771)


@pytest.fixture(scope="module")
def drawn() -> Image.Image:
    return mosaic(*SIZE)


def opened(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        return image.copy()


def put_together(found: Cut, level: int, recipe: Recipe) -> Image.Image:
    """All tiles of a level side by side."""
    geometry = Pyramid(*found.size, recipe).levels[level]
    whole = Image.new("RGBA", (geometry.width, geometry.height))
    for (_, column, row), data in ((place, data) for place, data in found.tiles.items() if place[0] == level):
        whole.paste(opened(data), geometry.box(column, row)[:2])
    return whole


def seen(image: Image.Image, wall: int) -> NDArray[np.float64]:
    """What is seen of it before a wall in this grey, exactly."""
    pixels = np.asarray(image).astype(float)
    alpha = pixels[:, :, 3:] / 255
    return np.asarray(pixels[:, :, :3] * alpha + wall * (1 - alpha))


KEPT = [kind for kind in CONVERTED if "alpha" in kind or "RGBA" in kind or "transparent" in kind or "clear" in kind]


@pytest.mark.parametrize("kind", KEPT)
def test_transparency_of_every_kind_is_kept(kind: str, drawn: Image.Image, tmp_path: Path) -> None:
    path, way = write(kind, drawn, tmp_path / "image")
    found = cut(path, PNG)
    assert found.way == way
    shown = put_together(found, max(place[0] for place in found.tiles), PNG)
    with Image.open(path) as image:
        expected = image.convert("RGBA")
    assert shown.getchannel("A").tobytes() == expected.getchannel("A").tobytes()
    if "wide gamut" not in kind:
        assert shown.tobytes() == expected.tobytes()


@pytest.mark.parametrize("recipe", [PNG, WEBP], ids=["PNG", "WebP"])
@pytest.mark.parametrize("save", ["png", "tif", "webp"])
def test_both_ways_make_the_same_tiles(save: str, recipe: Recipe, drawn: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / f"image.{save}"
    options = {"png": {}, "tif": {"compression": "tiff_lzw", "tiffinfo": {278: 16}}, "webp": {"lossless": True, "exact": True}}
    glass(drawn).save(path, **options[save])  # type: ignore[arg-type]
    found = cut(path, recipe)
    assert found.way == {"png": ROW_BY_ROW, "tif": BAND_BY_BAND, "webp": WHOLE}[save]
    assert_same(found, cut_picture(glass(drawn), recipe))


def test_on_all_levels_is_seen_what_libvips_makes_of_them_in_floating_point(drawn: Image.Image, tmp_path: Path) -> None:
    """Its dzsave rounds down from level to level: after four, it is 1.7 too dark on the mean, and ours 0.3 too bright."""
    path = tmp_path / "image.png"
    glass(drawn.crop((0, 0, 1024, 768))).save(path)
    found, exact = cut(path, PNG), pyvips.Image.new_from_file(str(path)).premultiply()
    for level in range(10, 3, -1):
        for wall in (0, 255):
            alpha = exact[3].numpy()[:, :, None] / 255
            apart = seen(put_together(found, level, PNG), wall) - (exact[:3].numpy() + wall * (1 - alpha))
            assert np.abs(apart).max() <= 3, level
            assert abs(apart.mean()) <= 0.5, level
        exact = exact.shrink(2, 2)


@pytest.mark.parametrize("rows", [771, 100], ids=["in one piece", "in strips"])
def test_grey_that_a_tiff_holds_multiplied_by_alpha_is_kept_as_it_was(rows: int, drawn: Image.Image, tmp_path: Path) -> None:
    samples = vips_image(glass(drawn, "LA")).premultiply().rint().cast("uchar").numpy()
    path = tmp_path / "image.tif"
    path.write_bytes(tiff_of(strips(samples, rows), tags_of(samples, rows) | {338: (SHORT, 1)}))
    found = cut(path, PNG)
    shown = np.asarray(put_together(found, max(place[0] for place in found.tiles), PNG)).astype(int)
    theirs = by_libvips(path).numpy()[:, :, [0, 0, 0, 1]]
    there = theirs[:, :, 3] > 0
    assert np.abs(shown - theirs)[there].max() <= 1
    assert not shown[~there][:, 3].any()


def test_colours_that_are_not_seen_do_not_bleed(tmp_path: Path) -> None:
    image = Image.new("RGBA", (600, 600), (0, 255, 0, 0))
    image.paste((255, 0, 0, 255), (101, 101, 499, 499))
    path = tmp_path / "image.png"
    image.save(path)
    found = cut(path, PNG)
    for level in range(11):
        pixels = np.asarray(put_together(found, level, PNG))
        visible = pixels[pixels[:, :, 3] > 0]
        assert (visible[:, 1] == 0).all(), level
        assert (visible[:, 0] >= 254).all(), level


def test_the_thumbnail_is_on_the_background(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.new("RGBA", (900, 600), (0, 255, 0, 0)).save(path)
    thumbnail = opened(cut(path, Recipe(format="png", background="#2040ff")).thumbnail)
    assert (thumbnail.mode, thumbnail.size) == ("RGB", (512, 341))
    assert np.abs(np.asarray(thumbnail).astype(int) - (0x20, 0x40, 0xFF)).max() <= 3


def test_opaque_images_have_opaque_tiles(drawn: Image.Image, tmp_path: Path) -> None:
    drawn.save(tmp_path / "image.png")
    assert {opened(data).mode for data in cut(tmp_path / "image.png", PNG).tiles.values()} == {"RGB"}


@pytest.mark.parametrize(("suffix", "mode"), [("png", "RGBA"), ("webp", "RGBA"), ("jpg", "RGB")])
def test_the_command_keeps_what_the_format_can_keep(suffix: str, mode: str, drawn: Image.Image, tmp_path: Path) -> None:
    glass(drawn).save(tmp_path / "image.png")
    command = [sys.executable, "-m", "lambdazoom", "tile", str(tmp_path / "image.png"), str(tmp_path / "out"), "--format", suffix, "--json"]
    report = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert report["remarks"] == ([] if mode == "RGBA" else ["Transparent parts are shown on white."])
    assert report["peak_memory"] <= report["predicted_memory"]
    with Image.open(tmp_path / "out" / "image_files" / "11" / f"1_1.{suffix}") as tile:
        assert tile.mode == mode


def test_pyramids_that_lost_their_transparency_are_to_be_made_anew() -> None:
    assert [Recipe(format=name).fingerprint.split()[-1] for name in ("jpg", "png", "webp")] == ["e2", "e3", "e3"]
