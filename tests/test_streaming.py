"""Rows that stream give the tiles that a whole image gives, byte for byte, and those of libvips; a store may hold them up."""

import io
import mmap
import os
import struct
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import pyvips
from numpy.typing import NDArray
from PIL import Image

from lambdazoom.imaging import canvas, memory
from lambdazoom.imaging.decode import open_source
from lambdazoom.imaging.memory import resident_memory
from lambdazoom.imaging.tiler import Tile, Tiler, rows_ahead
from lambdazoom.model.geometry import Pyramid, Recipe
from tests.files import chunk
from tests.streams import LARGE, MEDIUM, WAYS, as_png, as_tiff, mosaic
from tests.streams import medium as medium  # a fixture
from tests.tiling import BAND_BY_BAND, MAX_PIXELS, ROW_BY_ROW, Place, assert_same, cut, cut_whole


@pytest.fixture(scope="module")
def large() -> Image.Image:
    return mosaic(*LARGE)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("suffix", WAYS)
def test_of_a_large_image_both_ways_make_the_same_tiles(suffix: str, mode: str, large: Image.Image, tmp_path: Path) -> None:
    save, way = WAYS[suffix]
    path = save(large.convert(mode), tmp_path / f"large.{suffix}")
    found = cut(path)
    assert found.way == way
    assert_same(found, cut_whole(path))


@pytest.mark.parametrize("size", [MEDIUM, (1037, 771), (257, 255), (17, 9), (1, 300), (300, 1), (1, 1)], ids="{0[0]}×{0[1]}".format)
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "grey"])
@pytest.mark.parametrize("restart", [0, 3], ids=["plain", "with restart markers"])
def test_jpegs_of_every_subsampling_stream(
    size: tuple[int, int], subsampling: str, restart: int, medium: Image.Image, tmp_path: Path
) -> None:
    image, path = medium.crop((0, 0, *size)), tmp_path / "image.jpg"
    if subsampling == "grey":
        image.convert("L").save(path, quality=90, restart_marker_rows=restart)
    else:
        image.save(path, quality=90, subsampling=subsampling, restart_marker_blocks=restart)
    found = cut(path)
    assert found.way == ROW_BY_ROW
    assert_same(found, cut_whole(path))


def second_frame(image: Image.Image, path: Path) -> None:
    image.save(path, "MPO", save_all=True, append_images=[image.transpose(Image.Transpose.ROTATE_180)], quality=90)


def stored_as_rgb(image: Image.Image, path: Path) -> None:
    image.save(path, "JPEG", quality=90, keep_rgb=True)
    assert b"Adobe" in path.read_bytes()[:64]


def extended(image: Image.Image, path: Path) -> None:
    """Extended sequential: all that baseline may do, and more (ISO 10918-1, table B.1, SOF1)."""
    image.save(path, "JPEG", quality=90)
    path.write_bytes(path.read_bytes().replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x08"))


def with_a_long_comment(image: Image.Image, path: Path) -> None:
    image.save(path, "JPEG", quality=90, comment=bytes(65_000))


def with_odd_segments(image: Image.Image, path: Path) -> None:
    """Fill bytes, and segments that claim to be shorter than their own length: libjpeg lets both pass."""
    image.save(path, "JPEG", quality=90)
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xff\xff\xfe\0\0" + b"\xff\xfe\0\1" + data[2:])


@pytest.mark.parametrize("write", [second_frame, stored_as_rgb, extended, with_a_long_comment, with_odd_segments])
def test_unusual_jpegs_stream_too(write: Callable[[Image.Image, Path], None], medium: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "unusual.jpg"
    write(medium, path)
    found = cut(path)
    assert found.way == ROW_BY_ROW
    assert_same(found, cut_whole(path))


def png_of(pixels: NDArray[np.generic], depth: int, chunk_bytes: int, level: int = 1) -> bytes:
    """A PNG whose rows use each filter in turn (W3C PNG, section 9), in chunks of one size."""
    height, width = pixels.shape[:2]
    colour_type = 2 if pixels.ndim == 3 else 0
    rows = pixels.astype(">u2" if depth == 16 else "u1").reshape(height, -1).view("u1").astype(np.int16)
    step = depth // 8 * (3 if colour_type else 1)
    left, above = np.zeros_like(rows), np.zeros_like(rows)
    left[:, step:], above[1:] = rows[:, :-step], rows[:-1]
    predicted = (np.zeros_like(rows), left, above, (left + above) // 2)
    filtered = b"".join(bytes([y % 4]) + (rows[y] - predicted[y % 4][y]).astype("u1").tobytes() for y in range(height))
    data = zlib.compress(filtered, level)
    pieces = [chunk(b"IDAT", data[start : start + chunk_bytes]) for start in range(0, len(data), chunk_bytes)]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(pieces) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [MEDIUM, (257, 255), (1, 9), (9, 1)], ids="{0[0]}×{0[1]}".format)
@pytest.mark.parametrize("chunk_bytes", [8192, 1 << 30], ids=["small chunks", "one chunk"])
@pytest.mark.parametrize("kind", ["RGB", "grey", "16-bit RGB"])
def test_pngs_stream_whatever_their_chunks(kind: str, chunk_bytes: int, size: tuple[int, int], medium: Image.Image, tmp_path: Path) -> None:
    path, depth = tmp_path / "image.png", 16 if kind.startswith("16") else 8
    pixels = np.asarray(medium.crop((0, 0, *size)).convert("L" if kind == "grey" else "RGB"))
    path.write_bytes(png_of(pixels.astype("u2") * 257 if depth == 16 else pixels, depth, chunk_bytes))
    found = cut(path)
    assert found.way == ROW_BY_ROW
    assert_same(found, cut_whole(path))


RECIPES = [
    (Recipe(format="webp", quality=70), (700, 500)),
    (Recipe(format="png", tile_size=256, overlap=0), (700, 500)),
    (Recipe(subsampling="4:4:4"), MEDIUM),
    (Recipe(tile_size=510, overlap=1), MEDIUM),
    (Recipe(tile_size=255, overlap=3), MEDIUM),
    (Recipe(tile_size=253, overlap=2, quality=30), MEDIUM),
    (Recipe(tile_size=64, overlap=0), (1037, 771)),
    (Recipe(tile_size=4096, overlap=1), MEDIUM),
    (Recipe(tile_size=1, overlap=0), (29, 37)),
    (Recipe(tile_size=3, overlap=2), (61, 260)),
]


@pytest.mark.parametrize("suffix", WAYS)
@pytest.mark.parametrize(("recipe", "size"), RECIPES, ids=lambda value: value.fingerprint if isinstance(value, Recipe) else "")
def test_by_every_recipe_both_ways_make_the_same_tiles(
    recipe: Recipe, size: tuple[int, int], suffix: str, medium: Image.Image, tmp_path: Path
) -> None:
    save, way = WAYS[suffix]
    path = save(medium.crop((0, 0, *size)), tmp_path / f"image.{suffix}")
    found = cut(path, recipe)
    assert found.way == way
    assert_same(found, cut_whole(path, recipe))


@pytest.mark.parametrize("seed", range(12))
def test_rows_that_are_looked_at_page_by_page_are_there(
    seed: int, medium: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regions as small as a page show a decoder's progress row by row: each level is mapped, and given back at once."""
    monkeypatch.setattr(memory, "REGION", mmap.PAGESIZE)
    monkeypatch.setattr(memory, "_HUGE_PAGE", tmp_path / "none")
    monkeypatch.delattr(mmap, "MADV_HUGEPAGE", raising=False)
    monkeypatch.setattr(canvas, "LEAST_BYTES", 1)
    random = np.random.default_rng(seed)
    width, height, tile_size = (int(random.integers(*span)) for span in ((300, 900), (200, 1200), (20, 300)))
    save, way = (as_png, ROW_BY_ROW) if seed % 3 else (as_tiff, BAND_BY_BAND)
    path = save(medium.crop((0, 0, width, height)).convert("L" if seed % 2 else "RGB"), tmp_path / "image")
    recipe = Recipe(tile_size, int(random.integers(0, 4)))
    found = cut(path, recipe)
    assert found.way == way
    expected = cut_whole(path, recipe)
    found.thumbnail = expected.thumbnail  # what it is made of is not given back, but for this test
    assert_same(found, expected)


# As libvips


@dataclass(frozen=True)
class Difference:
    """Between two sets of samples: the largest, and the share of samples that differ at all."""

    largest: int
    share: float


def difference(ours: dict[Place, bytes], folder: Path, level: int) -> Difference:
    largest = differing = samples = 0
    for place in (place for place in ours if place[0] == level):
        theirs = (folder / str(level) / f"{place[1]}_{place[2]}.jpg").read_bytes()
        apart = np.abs(decoded(ours[place]) - decoded(theirs))
        largest, differing, samples = max(largest, int(apart.max())), differing + int((apart > 0).sum()), samples + apart.size
    return Difference(largest, differing / samples)


def decoded(data: bytes) -> NDArray[np.int16]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image).astype(np.int16)


@pytest.mark.parametrize(
    ("size", "suffix"),
    [((4000, 3000), "jpg"), *(((width, height), suffix) for suffix in WAYS for width, height in ((1037, 771), (499, 1051), (257, 255)))],
    ids=str,
)
def test_the_tiles_decode_to_those_of_libvips_on_all_levels(size: tuple[int, int], suffix: str, tmp_path: Path) -> None:
    path = WAYS[suffix][0](mosaic(*size), tmp_path / f"image.{suffix}")
    other_recipe = (Recipe(254, 1, "jpg", 90, "4:4:4"), "off")
    for recipe, mode in ((Recipe(), "on"), *([other_recipe] if size[0] < 4000 else [])):
        folder = tmp_path / f"{mode}_files"
        saving = f".jpg[Q={recipe.quality},subsample_mode={mode},keep=none]"
        theirs = pyvips.Image.new_from_file(str(path), access="sequential")
        theirs.dzsave(str(tmp_path / mode), suffix=saving, tile_size=254, overlap=1, depth="onepixel")
        ours = cut(path, recipe)
        for level in {place[0] for place in ours.tiles}:
            found = difference(ours.tiles, folder, level)
            assert found.largest <= 1, level
            assert found.share <= 0.001, level


# A store that does not keep up


@pytest.mark.parametrize("suffix", WAYS)
def test_a_store_that_blocks_makes_the_decoder_wait_and_it_goes_on(suffix: str, medium: Image.Image, tmp_path: Path) -> None:
    higher = Image.new("RGB", (medium.width, 3 * medium.height))
    for index in range(3):
        higher.paste(medium, (0, index * medium.height))
    path = WAYS[suffix][0](higher, tmp_path / f"higher.{suffix}")
    pixel_bytes = 4 * higher.width * higher.height
    del higher
    opened, done = threading.Event(), list[Tile]()

    def sink(each: Tile) -> None:
        opened.wait()
        done.append(each)

    with open_source(path, path.name, MAX_PIXELS) as source:
        pyramid, held = Pyramid(source.width, source.height, Recipe()), resident_memory()
        with Tiler(pyramid, source.mode, sink, workers=2) as tiler, ExitStack() as whatever_happens:
            whatever_happens.callback(opened.set)
            pouring = threading.Thread(target=source.pour, args=(tiler,))
            pouring.start()
            rows = settled(lambda: tiler.canvas.rows)
            # what is announced comes in regions and bands
            most = max(rows_ahead(254), {"tif": 4 * 256, "jpg": 1024}.get(suffix, 0)) + max(256, memory.REGION // tiler.canvas.stride + 1)
            assert (768 if suffix == "jpg" else 254) < rows <= most, "the decoder waits"
            assert resident_memory() - held < min(pixel_bytes / 2, source.need(pyramid))
            if suffix == "jpg":
                assert position_in(path) < path.stat().st_size / 2
            assert pouring.is_alive()
            opened.set()
            pouring.join(30)
            assert not pouring.is_alive()
            tiler.finish()
    assert len(done) == pyramid.tile_count


def position_in(path: Path) -> int:
    """How far this process has read in a file that it has open."""
    (descriptor,) = (int(name) for name in os.listdir("/proc/self/fd") if _leads_to(name, path))  # noqa: PTH208
    return os.lseek(descriptor, 0, os.SEEK_CUR)


def _leads_to(name: str, path: Path) -> bool:
    try:
        return Path("/proc/self/fd", name).readlink() == path
    except OSError:  # the listing's own, and already gone
        return False


def settled(measure: Callable[[], int], seconds: float = 0.5) -> int:
    """What it measures once that no longer changes."""
    deadline, since, last = time.monotonic() + 20, time.monotonic(), -1
    while time.monotonic() - since < seconds or last <= 0:
        assert time.monotonic() < deadline
        time.sleep(0.02)
        if (now := measure()) != last:
            since, last = time.monotonic(), now
    return last
