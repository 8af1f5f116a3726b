"""TIFFs taken apart give the tiles that Pillow's own decode gives, however they are laid out."""

import zlib
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from lambdazoom.model.geometry import Recipe
from tests.conftest import picture
from tests.files import vips_image
from tests.tiff_by_hand import LONG, SHORT, Samples, Value, assert_bands_make_the_same, colour, grey, strips, tags_of, tiff_of
from tests.tiling import WHOLE, assert_same, cut, cut_whole

# Strips, by hand


@pytest.mark.parametrize("order", ["<", ">"], ids=["Intel", "Motorola"])
@pytest.mark.parametrize("rows", [700, 2**32 - 1, 300, 256, 100, 7, 1], ids="{} rows".format)
@pytest.mark.parametrize("kind", ["RGB", "grey", "16-bit RGB"])
def test_uncompressed_strips(kind: str, rows: int, order: str, tmp_path: Path) -> None:
    samples = {"RGB": colour(), "grey": grey(), "16-bit RGB": colour().astype("u2") * 257 - 3}[kind]
    path = tmp_path / "scan.tif"
    path.write_bytes(tiff_of(strips(samples, min(rows, 700), order), tags_of(samples, rows), order))
    assert_bands_make_the_same(path)


def reversed_bits(data: bytes) -> bytes:
    return data.translate(bytes(int(f"{value:08b}"[::-1], 2) for value in range(256)))


@pytest.mark.parametrize("compression", [1, 8], ids=["none", "deflate"])
@pytest.mark.parametrize("rows", [700, 50])
@pytest.mark.parametrize("samples", [colour(), grey()], ids=["RGB", "grey"])
def test_bits_in_the_other_order(samples: Samples, rows: int, compression: int, tmp_path: Path) -> None:
    if compression == 8 and rows == 700:
        rows = 350  # a single compressed strip can't be cut
    pieces = [reversed_bits(zlib.compress(strip) if compression == 8 else strip) for strip in strips(samples, rows)]
    path = tmp_path / "fax.tif"
    path.write_bytes(tiff_of(pieces, {**tags_of(samples, rows, compression), 266: (SHORT, 2)}))
    assert_bands_make_the_same(path)


@pytest.mark.parametrize("compression", [1, 8, 32946], ids=["none", "deflate", "old deflate"])
def test_grey_whose_0_is_white(compression: int, tmp_path: Path) -> None:
    pieces = [strip if compression == 1 else zlib.compress(strip) for strip in strips(grey(), 100)]
    path = tmp_path / "negative.tif"
    path.write_bytes(tiff_of(pieces, tags_of(grey(), 100, compression, photometric=0)))
    assert_bands_make_the_same(path)
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image), 255 - grey())


@pytest.mark.parametrize("beyond", [1, 2, 3])
def test_samples_that_are_passed_over(beyond: int, tmp_path: Path) -> None:
    samples = np.concatenate([colour(), np.full((700, 301, beyond), 99, "u1")], axis=2)
    path = tmp_path / "more.tif"
    path.write_bytes(tiff_of(strips(samples, 700), {**tags_of(samples, 700), 338: (SHORT, [0] * beyond)}))
    assert_bands_make_the_same(path)


@pytest.mark.parametrize("bits", [2, 4])
def test_few_bits_of_grey(bits: int, tmp_path: Path) -> None:
    few = grey(300, 700).astype("u1") >> (8 - bits)
    packed = np.zeros((700, 300 * bits // 8), "u1")
    for index in range(8 // bits):
        packed |= few[:, index :: 8 // bits] << (8 - bits * (index + 1))
    path = tmp_path / "few.tif"
    path.write_bytes(tiff_of(strips(packed, 700), {**tags_of(packed, 700), 256: (LONG, 300), 258: (SHORT, bits)}))
    assert_bands_make_the_same(path)


def test_strips_that_lie_in_another_order_than_they_are_shown(tmp_path: Path) -> None:
    pieces = strips(colour(), 100)
    offsets = list(accumulate(map(len, pieces[::-1][:-1]), initial=8))[::-1]
    counts = [len(piece) for piece in pieces]
    path = tmp_path / "bottom-up.tif"
    path.write_bytes(tiff_of(pieces[::-1], {**tags_of(colour(), 100), 273: (LONG, offsets), 279: (LONG, counts)}))
    assert_bands_make_the_same(path)


# Strips and tiles, by libtiff


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "jpeg", "zstd"])
def test_strips_by_pillow(compression: str, mode: str, tmp_path: Path) -> None:
    path = tmp_path / "strips.tif"
    picture(301, 700).convert(mode).save(path, compression=compression, tiffinfo={278: 48})
    assert_bands_make_the_same(path)


SAVING: dict[str, dict[str, object]] = {
    "none": {"compression": "none"},
    "LZW": {"compression": "lzw"},
    "LZW, differences": {"compression": "lzw", "predictor": "horizontal"},
    "deflate": {"compression": "deflate"},
    "deflate, differences": {"compression": "deflate", "predictor": "horizontal"},
    "PackBits": {"compression": "packbits"},
    "JPEG 4:2:0": {"compression": "jpeg", "Q": 75},
    "JPEG 4:4:4": {"compression": "jpeg", "Q": 95},
    "JPEG RGB": {"compression": "jpeg", "Q": 95, "rgbjpeg": True},
}


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("layout", [(16, 16), (48, 32), (256, 256), (128, 512), (0, 0)], ids="{0[0]}×{0[1]}".format)
@pytest.mark.parametrize("saving", SAVING)
def test_tiles_and_strips_by_libvips(saving: str, layout: tuple[int, int], mode: str, tmp_path: Path) -> None:
    path, (width, height) = tmp_path / "tiles.tif", layout
    tiles = {"tile": True, "tile_width": width, "tile_height": height} if width else {}
    image = vips_image(Image.fromarray(colour() if mode == "RGB" else grey()))
    image.tiffsave(str(path), **SAVING[saving], **tiles, bigtiff=layout == (48, 32))
    assert_bands_make_the_same(path)
    with TiffImageFile(path) as image:
        assert (347 in image.tag_v2) == saving.startswith("JPEG"), "JPEG tables are apart from the tiles"


@pytest.mark.parametrize("compression", ["lzw", "jpeg", "none"])
def test_a_large_one_of_which_lower_levels_are_mapped_too(compression: str, tmp_path: Path) -> None:
    path = tmp_path / "large.tif"
    stone = vips_image(picture(1200, 1000))
    stone.replicate(3, 3).crop(0, 0, 3001, 2901).tiffsave(
        str(path), compression=compression, tile=True, tile_width=512, tile_height=512, predictor="horizontal"
    )
    assert_bands_make_the_same(path)


@pytest.mark.parametrize("recipe", [Recipe(16, 3), Recipe(101, 0), Recipe(510, 1), Recipe(1000, 1)], ids=lambda recipe: recipe.fingerprint)
def test_bands_and_tile_rows_of_any_two_heights(recipe: Recipe, tmp_path: Path) -> None:
    for rows in (1, 90, 257, 699):
        path = tmp_path / f"{rows}.tif"
        path.write_bytes(tiff_of(strips(colour(), rows), tags_of(colour(), rows)))
        assert_bands_make_the_same(path, recipe=recipe)


@pytest.mark.parametrize("largest", [0, 1, 2])
def test_the_largest_page_is_taken_apart(largest: int, tmp_path: Path) -> None:
    pages = [picture(90, 60, seed) for seed in range(3)]
    pages[largest] = picture(301, 700, seed=9)
    path = tmp_path / "pages.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:], compression="tiff_lzw", tiffinfo={278: 16})
    assert_bands_make_the_same(path, page=largest)


# What is not taken apart


@pytest.mark.parametrize(
    "change",
    [
        {259: (SHORT, 5)},  # LZW, in one strip: nothing to be gained
        {284: (SHORT, 2)},  # planes
        {279: (LONG, 100)},  # too few bytes told, which Pillow does not look at
        {322: (SHORT, 304), 323: (SHORT, 304)},  # strips, and the size of tiles
    ],
    ids=["one strip of LZW", "planes", "a wrong count", "both layouts"],
)
def test_what_can_not_be_taken_apart_is_left_to_pillow(change: dict[int, tuple[int, Value]], tmp_path: Path) -> None:
    path, samples = tmp_path / "odd.tif", grey()
    if 259 in change:
        Image.fromarray(samples).save(path, compression="tiff_lzw", tiffinfo={278: 700})
    else:
        path.write_bytes(tiff_of(strips(samples, 700), {**tags_of(samples, 700), **change}))
    found = cut(path)
    assert found.way == WHOLE
    assert_same(found, cut_whole(path))
