"""What is in the tiles: the source's own pixels, honest halves of them, as near as libvips's, and nothing but pixels."""

import io
import os
import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngInfo

from benchmarks.drawing import photo_like
from lambdazoom.imaging.canvas import Rows
from lambdazoom.imaging.decode import open_source
from lambdazoom.imaging.tiler import Picture, Tile, Tiler, Tiling, tile
from lambdazoom.model.geometry import Pyramid, Recipe
from lambdazoom.publishing.export import export
from tests.conftest import picture

Place = tuple[int, int, int]  # level, column, row
Pixels = NDArray[np.float64]
Read = Callable[[Place], bytes]

SIZES = [(1037, 771), (511, 509), (255, 1021), (257, 1), (1, 9), (2, 2), (1, 1)]


class Kept:
    """A sink that keeps the tiles."""

    def __init__(self) -> None:
        self.tiles: dict[Place, bytes] = {}

    def __call__(self, tile: Tile) -> None:
        assert tile[:3] not in self.tiles
        self.tiles[tile[:3]] = tile.data


def cut(image: Image.Image, recipe: Recipe) -> tuple[Pyramid, dict[Place, bytes], Tiling]:
    kept, pyramid = Kept(), Pyramid(*image.size, recipe)
    tiling = tile(Picture(image), pyramid, kept)
    assert (tiling.tile_count, tiling.tile_bytes) == (len(kept.tiles), sum(map(len, kept.tiles.values())))
    return pyramid, kept.tiles, tiling


def decoded(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "RGB"
        return np.array(image)


def level_of(places: Sequence[Place], level: int, recipe: Recipe, read: Read) -> Pixels:
    """A level put together as a viewer does: each tile without the overlap on its left and above it."""
    columns, rows = (max(place[axis] for place in places if place[0] == level) + 1 for axis in (1, 2))
    overlap = recipe.overlap
    strips = []
    for row in range(rows):
        tiles = [decoded(read((level, column, row)))[overlap if row else 0 :, overlap if column else 0 :] for column in range(columns)]
        inner = [each[: recipe.tile_size, : recipe.tile_size] for each in tiles]
        strips.append(np.concatenate(inner, axis=1))
    return np.concatenate(strips, axis=0).astype(float)


def halved(pixels: Pixels) -> Pixels:
    """Each pixel the mean of the four that it stands for, or of as many as there are of them."""
    height, width, channels = pixels.shape
    padded = np.full((height + height % 2, width + width % 2, channels), np.nan)
    padded[:height, :width] = pixels
    return np.asarray(np.nanmean(padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2, channels), axis=(1, 3)))


@pytest.mark.parametrize("overlap", [0, 1, 2])
@pytest.mark.parametrize("size", SIZES, ids="{0[0]}×{0[1]}".format)
def test_png_tiles_hold_the_source_exactly_and_each_level_is_half_of_the_one_above(size: tuple[int, int], overlap: int) -> None:
    source = photo_like(*size, seed=overlap)
    recipe = Recipe(254, overlap, "png")
    pyramid, tiles, _ = cut(source, recipe)
    assert set(tiles) == set(pyramid.tiles())
    levels = [level_of(list(tiles), level.index, recipe, tiles.__getitem__) for level in pyramid.levels]
    assert np.array_equal(levels[-1], np.asarray(source))
    for index in range(len(levels) - 1):
        assert np.abs(levels[index] - halved(levels[index + 1])).max(initial=0) <= 1


@pytest.mark.parametrize("overlap", [0, 1, 2])
def test_neighbouring_tiles_hold_the_same_pixels_where_they_overlap(overlap: int) -> None:
    source = np.asarray(picture(700, 600))
    _, tiles, _ = cut(picture(700, 600), Recipe(128, overlap, "png"))
    for (level, column, row), data in tiles.items():
        if level == 10:
            top, left = (max(0, 128 * index - overlap) for index in (row, column))
            found = decoded(data)
            assert np.array_equal(found, source[top : top + found.shape[0], left : left + found.shape[1]])


@pytest.mark.parametrize("overlap", [0, 1, 2])
@pytest.mark.parametrize("size", [(1037, 771), (767, 1291)], ids="{0[0]}×{0[1]}".format)
def test_jpeg_tiles_are_as_near_to_the_source_as_those_of_libvips(size: tuple[int, int], overlap: int, tmp_path: Path) -> None:
    source = photo_like(*size, seed=7 + overlap)
    recipe = Recipe(254, overlap, "jpg", 80)
    pyramid, tiles, _ = cut(source, recipe)
    theirs = pyvips.Image.new_from_memory(source.tobytes(), *size, 3, "uchar").copy(interpretation="srgb")
    theirs.dzsave(str(tmp_path / "image"), suffix=".jpg[Q=80,subsample_mode=on]", tile_size=254, overlap=overlap, depth="onepixel")
    exact: Pixels = np.asarray(source, float)
    for level in reversed(pyramid.levels):
        ours = level_of(list(tiles), level.index, recipe, tiles.__getitem__)
        libvips = level_of(list(tiles), level.index, recipe, lambda place: from_folder(tmp_path / "image_files", place))
        assert signal_to_noise(ours, exact) == pytest.approx(signal_to_noise(libvips, exact), abs=0.5)
        exact = halved(exact)


def from_folder(folder: Path, place: Place) -> bytes:
    level, column, row = place
    return (folder / str(level) / f"{column}_{row}.jpg").read_bytes()


def signal_to_noise(pixels: Pixels, exact: Pixels) -> float:
    """PSNR in decibels; half a grey level of noise is the least that 8 bits can be told apart by."""
    noise = max(float(np.mean((pixels - exact) ** 2)), 0.25)
    return float(10 * np.log10(255**2 / noise))


@pytest.mark.parametrize("quality", [1, 30, 95, 100])
def test_the_quality_and_the_subsampling_are_as_asked_for(quality: int) -> None:
    _, tiles, _ = cut(picture(300, 300), Recipe(quality=quality))
    theirs = io.BytesIO()
    picture(8, 8).save(theirs, "JPEG", quality=quality)
    for data in tiles.values():
        with JpegImageFile(io.BytesIO(data)) as ours, JpegImageFile(io.BytesIO(theirs.getvalue())) as reference:
            assert ours.quantization == reference.quantization
            assert [component[1:3] for component in ours.layer] == [(2, 2), (1, 1), (1, 1)]


def jpeg_segments(data: bytes) -> set[str]:
    """The names of a JPEG's segments up to its scan (ISO 10918-1, B.1)."""
    names, position = set(), 2
    while data[position + 1] != 0xDA:
        marker, length = data[position + 1], struct.unpack_from(">H", data, position + 2)[0]
        names.add(f"{marker:02X} {data[position + 4 : position + 8].decode('latin-1')}" if 0xE0 <= marker < 0xF0 else f"{marker:02X}")
        position += 2 + length
    return names


def png_chunks(data: bytes) -> set[bytes]:
    """The names of a PNG's chunks."""
    names, position = set(), 8
    while position < len(data):
        names.add(data[position + 4 : position + 8])
        position += 12 + struct.unpack_from(">I", data, position)[0]
    return names


def draw_with_all_that_cameras_write(folder: Path, suffix: str) -> Path:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x013B] = 6, "Camera", "Somebody"
    exif.get_ifd(0x8825).update({1: "N", 2: (54.0, 19.0, 12.5)})
    text = PngInfo()
    text.add_text("Comment", "private")
    options: dict[str, object] = {
        "exif": exif,
        "dpi": (300, 300),
        "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    }
    if suffix == "png":
        options |= {"pnginfo": text}
    else:
        options |= {"comment": b"private", "xmp": b"<x:xmpmeta>private</x:xmpmeta>"}
    path = folder / f"camera.{suffix}"
    picture(300, 200).save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_the_tiles_carry_no_metadata(suffix: str, tmp_path: Path) -> None:
    source = draw_with_all_that_cameras_write(tmp_path, suffix)
    for tile_format in ("jpg", "png"):
        export(source, tmp_path / tile_format, Recipe(format=tile_format), 10**6, lambda *_: None)
        tiles = [path.read_bytes() for path in (tmp_path / tile_format / "camera_files").rglob(f"*.{tile_format}")]
        assert len(tiles) == 11
        for data in tiles:
            if tile_format == "png":
                assert png_chunks(data) == {b"IHDR", b"IDAT", b"IEND"}
            else:
                assert jpeg_segments(data) == {"E0 JFIF", "DB", "C0", "C4"}


def test_the_thumbnail_carries_no_metadata(tmp_path: Path) -> None:
    with open_source(draw_with_all_that_cameras_write(tmp_path, "jpg"), "camera.jpg", 10**6) as camera:
        camera.load()
        tiling = tile(camera, Pyramid(camera.width, camera.height, Recipe()), lambda _: None)
    assert jpeg_segments(tiling.thumbnail) == {"E0 JFIF", "DB", "C0", "C4"}


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1037, 771), (512, 381)), ((512, 513), (511, 512)), ((300, 200), (300, 200)), ((150, 1500), (51, 512)), ((1, 1), (1, 1))],
)
def test_the_thumbnail_is_the_whole_image_small(size: tuple[int, int], expected: tuple[int, int]) -> None:
    source = photo_like(*size, seed=5)
    _, _, tiling = cut(source, Recipe())
    theirs = pyvips.Image.new_from_memory(source.tobytes(), *size, 3, "uchar").resize(expected[0] / size[0], vscale=expected[1] / size[1])
    with Image.open(io.BytesIO(tiling.thumbnail)) as thumbnail:
        assert thumbnail.size == expected
        assert np.abs(np.asarray(thumbnail, float) - theirs.numpy()).mean() < 6


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    tile_size=st.integers(1, 40),
    overlap=st.integers(0, 3),
    stops=st.lists(st.integers(1, 89), max_size=12),
)
def test_rows_that_arrive_in_pieces_give_the_same_tiles(size: tuple[int, int], tile_size: int, overlap: int, stops: list[int]) -> None:
    source = picture(*size)
    recipe = Recipe(tile_size, min(overlap, tile_size - 1), "png")
    pyramid, at_once, _ = cut(source, recipe)
    assert in_pieces(source, pyramid, [*sorted(set(stops)), size[1]]) == at_once


@pytest.mark.parametrize("step", [1, 8, 100, 254, 255, 256, 770])
def test_large_rows_that_arrive_in_pieces_give_the_same_tiles(step: int) -> None:
    source = photo_like(1037, 771, seed=step)
    pyramid, at_once, _ = cut(source, Recipe())
    assert in_pieces(source, pyramid, [*range(step, 771, step), 771]) == at_once


def in_pieces(source: Image.Image, pyramid: Pyramid, stops: list[int]) -> dict[Place, bytes]:
    """The tiles of a canvas that is filled from the top, stop by stop; what is not there yet is magenta."""
    canvas, kept, before = Image.new("RGB", source.size, "magenta"), Kept(), 0
    with Tiler(pyramid, "RGB", kept, pixels=canvas) as tiler:
        for stop in stops:
            if before < stop <= source.height:
                canvas.paste(source.crop((0, before, source.width, stop)), (0, before))
                tiler.add(Rows(before, stop))
                before = stop
        tiler.finish()
    return kept.tiles


def open_descriptors() -> set[str]:
    return {name for name in os.listdir("/dev/fd") if Path("/dev/fd", name).exists()}  # noqa: PTH208 (the listing's own is gone)


@pytest.mark.parametrize("error", [OSError("The disk is full."), ValueError("A mistake."), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("good_tiles", [0, 1, 40])
def test_a_sink_that_raises_ends_the_work_and_leaves_nothing_behind(error: BaseException, good_tiles: int) -> None:
    threads, descriptors = set(threading.enumerate()), open_descriptors()
    calls = threading.Semaphore(good_tiles)
    refused: list[Tile] = []

    def sink(tile: Tile) -> None:
        if not calls.acquire(blocking=False):
            refused.append(tile)
            raise error

    source = picture(900, 900)
    with pytest.raises(type(error)) as raised:
        tile(Picture(source), Pyramid(900, 900, Recipe(64)), sink, workers=3)
    assert raised.value is error
    assert 1 <= len(refused) <= 3  # no thread goes on after its own error, and none starts after another's
    assert set(threading.enumerate()) == threads
    assert open_descriptors() == descriptors


def test_work_that_is_given_up_half_way_leaves_nothing_behind() -> None:
    threads, descriptors = set(threading.enumerate()), open_descriptors()
    source = picture(900, 900)
    with pytest.raises(EOFError), Tiler(Pyramid(900, 900, Recipe(64)), "RGB", Kept(), pixels=source) as tiler:
        tiler.add(Rows(0, 500))
        raise EOFError
    assert set(threading.enumerate()) == threads
    assert open_descriptors() == descriptors


def test_finished_work_leaves_nothing_behind() -> None:
    threads, descriptors = set(threading.enumerate()), open_descriptors()
    cut(picture(900, 900), Recipe(64))
    assert set(threading.enumerate()) == threads
    assert open_descriptors() == descriptors
