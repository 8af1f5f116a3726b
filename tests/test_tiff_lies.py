"""TIFFs that lie or are damaged are refused in our own words, and take no memory that they only claim."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lambdazoom.imaging.decode import open_source
from lambdazoom.model.errors import CorruptImage, ImageError
from tests.conftest import picture
from tests.files import vips_image
from tests.tiff_by_hand import (
    LONG,
    SIGNED_LONG,
    UNDEFINED,
    Value,
    assert_bands_make_the_same,
    colour,
    directory_first,
    grey,
    strips,
    tags_of,
    tiff_of,
)
from tests.tiling import MAX_PIXELS, WHOLE, assert_same, cut, cut_whole, peak_of_tiling


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
        assert sentence.endswith(" Replace it with a whole file.")
        return
    assert_same(cut(path), expected)


def test_a_thousand_million_tiles_that_are_not_there_take_no_memory(tmp_path: Path) -> None:
    data = bytearray(tiff_of(strips(grey(), 100), tags_of(grey(), 100)))
    for tag in (273, 279):
        entry = data.index(struct.pack("<HHI", tag, LONG, 7))
        struct.pack_into("<I", data, entry + 4, 10**9)
    path = tmp_path / "many.tif"
    path.write_bytes(data)
    with pytest.warns(UserWarning, match="Tag data larger than file"):
        sentence = refused(path)
    assert sentence.startswith("many.tif is cut off")
    peak, done = peak_of_tiling(path)
    assert peak < 64 << 20, "Python with Pillow takes nearly half of that"
    assert done.stderr == f"lambdazoom: {sentence}\n"


def test_strips_that_all_claim_the_whole_file_are_not_read_at_once(tmp_path: Path) -> None:
    """Each of 256 strips says that it has all 8 MiB: as a band that would be two gigabytes."""
    height = 512
    piece = zlib.compress(bytes(64)) + bytes(8 << 20)
    tags = {**tags_of(np.zeros((height, 64), "u1"), 1, 8), 273: (LONG, [8] * height), 279: (LONG, [len(piece)] * height)}
    path = tmp_path / "bomb.tif"
    path.write_bytes(tiff_of([piece], tags))
    peak, done = peak_of_tiling(path)
    assert peak < 64 << 20, "Python with Pillow takes nearly half of that"
    assert done.returncode == 0, done.stderr
    found = cut(path)
    assert found.way == WHOLE
    assert_same(found, cut_whole(path))


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


@pytest.mark.parametrize("share", [1, 0.9, 0.3])
def test_a_file_that_ends_too_early_is_cut_off(share: float, tmp_path: Path) -> None:
    path, data = tmp_path / "scan.tif", directory_first(colour(), 50)
    path.write_bytes(data[: int(len(data) * share)])
    if share == 1:
        assert_bands_make_the_same(path)
    else:
        assert refused(path).startswith("scan.tif is cut off")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("bytes_lost", [1, 20, 139, 140, 200, 400])
@pytest.mark.parametrize("is_big", [False, True], ids=["TIFF", "BigTIFF"])
def test_a_file_that_ends_within_its_directory_is_cut_off(is_big: bool, bytes_lost: int, tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    picture(640, 480).save(path, compression="tiff_lzw", big_tiff=is_big)
    whole = path.read_bytes()
    (place,) = struct.unpack_from("<Q", whole, 8) if is_big else struct.unpack_from("<I", whole, 4)
    assert place > len(whole) / 2, "the directory is at the end"
    path.write_bytes(whole[:-bytes_lost])
    assert refused(path) == "scan.tif is cut off. Replace it with a whole file."


def test_a_whole_file_of_samples_that_are_not_opened_is_not_called_cut_off(tmp_path: Path) -> None:
    for is_big in (False, True):
        vips_image(picture(60, 40)).cast("float").tiffsave(str(tmp_path / "light.tif"), bigtiff=is_big)
        assert "samples of a kind that is not opened here" in refused(tmp_path / "light.tif")
