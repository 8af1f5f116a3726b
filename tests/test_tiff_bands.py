"""TIFFs taken apart give the tiles that Pillow's own decode gives, however they are laid out; damaged ones are refused in our own words."""

import struct
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
import pyvips
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from lambdazoom.imaging.decode import open_source
from lambdazoom.imaging.memory import peak_memory
from lambdazoom.model.errors import CorruptImage, ImageError
from lambdazoom.model.geometry import Recipe
from tests.conftest import picture
from tests.tiling import BAND_BY_BAND, MAX_PIXELS, WHOLE, assert_same, cut, cut_whole

Samples = NDArray[np.generic]
Value = int | Sequence[int] | bytes

SHORT, LONG, SIGNED_LONG, UNDEFINED = 3, 4, 9, 7
SIZES = {SHORT: "H", LONG: "I", SIGNED_LONG: "i", UNDEFINED: "B"}


def tiff_of(pieces: Sequence[bytes], tags: dict[int, tuple[int, Value]], order: str = "<", offsets_tag: int = 273) -> bytes:
    """A TIFF by hand (TIFF 6.0, section 2): its strips or tiles first, then one directory; `tags` may overrule what is told of them."""
    offsets = list(accumulate(map(len, pieces[:-1]), initial=8))
    counts_tag = 279 if offsets_tag == 273 else 325
    tags = {offsets_tag: (LONG, offsets), counts_tag: (LONG, [len(piece) for piece in pieces]), **tags}
    body = b"".join(pieces)
    body += bytes(len(body) % 2)
    directory, beside, start = b"", b"", 8 + len(body) + 2 + 12 * len(tags) + 4
    for tag, (kind, value) in sorted(tags.items()):
        values = [value] if isinstance(value, int) else list(value)
        data = struct.pack(f"{order}{len(values)}{SIZES[kind]}", *values)
        directory += struct.pack(f"{order}HHI", tag, kind, len(values))
        if len(data) > 4:
            directory += struct.pack(f"{order}I", start + len(beside))
            beside += data + bytes(len(data) % 2)
        else:
            directory += data.ljust(4, b"\0")
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8 + len(body))
    return head + body + struct.pack(f"{order}H", len(tags)) + directory + bytes(4) + beside


def strips(samples: Samples, rows: int, order: str = "<") -> list[bytes]:
    depth = samples.dtype.itemsize
    return [samples[top : top + rows].astype(f"{order}u{depth}").tobytes() for top in range(0, samples.shape[0], rows)]


def tags_of(samples: Samples, rows: int, compression: int = 1, photometric: int | None = None) -> dict[int, tuple[int, Value]]:
    height, width = samples.shape[:2]
    count = samples.shape[2] if samples.ndim == 3 else 1
    told = (2 if count >= 3 else 1) if photometric is None else photometric
    return {
        256: (LONG, width),
        257: (LONG, height),
        258: (SHORT, [8 * samples.dtype.itemsize] * count),
        259: (SHORT, compression),
        262: (SHORT, told),
        277: (SHORT, count),
        278: (LONG, rows),
    }


@cache
def colour(width: int = 301, height: int = 700) -> Samples:
    return np.asarray(picture(width, height))


@cache
def grey(width: int = 301, height: int = 700) -> Samples:
    return np.asarray(picture(width, height).convert("L"))


def assert_bands_make_the_same(path: Path, page: int = 0, recipe: Recipe | None = None) -> None:
    found = cut(path, recipe)
    assert found.way == BAND_BY_BAND
    assert_same(found, cut_whole(path, recipe, page))


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
@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "jpeg", "zstd", "webp"])
def test_strips_by_pillow(compression: str, mode: str, tmp_path: Path) -> None:
    path = tmp_path / "strips.tif"
    image = picture(301, 700).convert("RGB" if compression == "webp" else mode)
    try:
        image.save(path, compression=compression, tiffinfo={278: 48})
    except OSError:  # libtiff in this Pillow does not have it
        assert compression in ("zstd", "webp")
        return
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


def vips_image(image: Image.Image) -> pyvips.Image:
    bands = len(image.getbands())
    loaded = pyvips.Image.new_from_memory(image.tobytes(), *image.size, bands, "uchar")
    return loaded.copy(interpretation="srgb" if bands == 3 else "b-w")


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


# Hostile ones


def refused(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        cut(path)
    return str(caught.value)


LIES: dict[str, dict[int, tuple[int, Value]]] = {
    "offsets beyond the end": {273: (LONG, [2**31] * 7)},
    "offsets below zero": {273: (SIGNED_LONG, [-5] * 7)},
    "counts beyond the end": {279: (LONG, [2**31 - 1] * 7)},
    "counts below zero": {279: (SIGNED_LONG, [-5] * 7)},
    "no counts": {279: (LONG, [0] * 7)},
    "too few offsets": {273: (LONG, [8] * 3)},
    "no rows": {278: (LONG, 0)},
    "rows that are text": {278: (UNDEFINED, b"rows")},
    "tiles of no size": {322: (LONG, 0), 323: (LONG, 0), 324: (LONG, [8] * 7), 325: (LONG, [90] * 7)},
    "tiles of all sizes": {322: (LONG, 2**32 - 1), 323: (LONG, 2**32 - 1), 324: (LONG, 8), 325: (LONG, 90)},
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("compression", [1, 8], ids=["none", "deflate"])
@pytest.mark.parametrize("lie", LIES)
def test_a_directory_that_lies_is_the_images_fault_or_none(lie: str, compression: int, tmp_path: Path) -> None:
    """Where Pillow makes something of it, we show the same; else one sentence."""
    path = tmp_path / "lie.tif"
    pieces = [zlib.compress(strip) if compression == 8 else strip for strip in strips(grey(), 100)]
    path.write_bytes(tiff_of(pieces, {**tags_of(grey(), 100, compression), **LIES[lie]}))
    try:
        expected = cut_whole(path)
    except (OSError, ValueError, SyntaxError, TypeError, OverflowError, ZeroDivisionError):
        sentence = refused(path)
        assert sentence.startswith("lie.tif is ")
        assert sentence.endswith(" Upload it again.")
        return
    assert_same(cut(path), expected)


def test_a_thousand_million_tiles_that_are_not_there_take_no_memory(tmp_path: Path) -> None:
    data = bytearray(tiff_of(strips(grey(), 100), tags_of(grey(), 100)))
    for tag in (273, 279):
        entry = data.index(struct.pack("<HHI", tag, LONG, 7))
        struct.pack_into("<I", data, entry + 4, 10**9)
    path, before = tmp_path / "many.tif", peak_memory()
    path.write_bytes(data)
    with pytest.warns(UserWarning, match="Tag data larger than file"):
        sentence = refused(path)
    assert sentence.startswith("many.tif is damaged")
    assert peak_memory() - before < 64 << 20


def test_strips_that_all_claim_the_whole_file_are_not_read_at_once(tmp_path: Path) -> None:
    """Each of 256 strips says that it has all 8 MiB: as a band that would be two gigabytes."""
    height = 512
    piece = zlib.compress(bytes(64)) + bytes(8 << 20)
    tags = {**tags_of(np.zeros((height, 64), "u1"), 1, 8), 273: (LONG, [8] * height), 279: (LONG, [len(piece)] * height)}
    path = tmp_path / "bomb.tif"
    path.write_bytes(tiff_of([piece], tags))
    before = peak_memory()
    found = cut(path)
    assert found.way == WHOLE
    assert_same(found, cut_whole(path))
    assert peak_memory() - before < 200 << 20


def damaged(path: Path, where: Callable[[list[int], list[int]], tuple[int, int]]) -> None:
    with open_source(path, path.name, MAX_PIXELS) as source:
        tags = source.image.tag_v2  # type: ignore[attr-defined]
        start, end = where(list(tags[324]), list(tags[325]))
    data = bytearray(path.read_bytes())
    data[start:end] = b"\xff" * (end - start)
    path.write_bytes(data)


def test_a_damaged_tile_in_the_middle_is_found(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    vips_image(picture(600, 900)).tiffsave(str(path), compression="lzw", tile=True, tile_width=128, tile_height=128)
    damaged(path, lambda offsets, counts: (offsets[17], offsets[17] + counts[17]))
    with pytest.raises(CorruptImage, match=r"scan\.tif is damaged and can't be decoded"):
        cut(path)


def directory_first(samples: Samples, rows: int) -> bytes:
    """An uncompressed TIFF as programs write it that know its size beforehand."""
    pieces = strips(samples, rows)

    def head(start: int) -> bytes:
        offsets = list(accumulate(map(len, pieces[:-1]), initial=start))
        placed = {273: (LONG, offsets), 279: (LONG, [len(piece) for piece in pieces])}
        return tiff_of([b""], {**tags_of(samples, rows), **placed})

    return b"".join([head(len(head(0))), *pieces])


@pytest.mark.parametrize("share", [1, 0.9, 0.3])
def test_a_file_that_ends_too_early_is_cut_off(share: float, tmp_path: Path) -> None:
    path, data = tmp_path / "scan.tif", directory_first(colour(), 50)
    path.write_bytes(data[: int(len(data) * share)])
    if share == 1:
        assert_bands_make_the_same(path)
    else:
        assert refused(path).startswith("scan.tif is cut off")
