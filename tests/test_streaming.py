"""Rows that stream give the tiles that a whole image gives, byte for byte, and those of libvips; what they rest on may be missing."""

import ctypes
import io
import mmap
import os
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import pyvips
from numpy.typing import NDArray
from PIL import Image

from benchmarks.drawing import photo_like
from lambdazoom.imaging import canvas, inflate, mapped, memory
from lambdazoom.imaging.decode import open_source
from lambdazoom.imaging.encode import TileEncoder
from lambdazoom.imaging.memory import resident_memory
from lambdazoom.imaging.tiler import Tile, Tiler, rows_ahead
from lambdazoom.model.errors import CorruptImage
from lambdazoom.model.geometry import SUBSAMPLINGS, Box, Pyramid, Recipe
from tests.tiling import BAND_BY_BAND, MAX_PIXELS, ROW_BY_ROW, WHOLE, Cut, Place, assert_same, cut, cut_whole

Save = Callable[[Image.Image, Path], Path]

LARGE = (3001, 2901)  # of this the next level is more than 8 MiB too, in RGB, and the image in grey
MEDIUM = (2100, 1501)


def mosaic(width: int, height: int) -> Image.Image:
    """A busy picture of any size, drawn quickly: one small picture again and again, turned, and shaded from side to side."""
    drawn, stone = Image.new("RGB", (width, height)), photo_like(350, 250, seed=11)
    for index, top in enumerate(range(0, height, 250)):
        for left in range(0, width, 350):
            drawn.paste(stone.transpose(Image.Transpose((index + left) % 4 if (index + left) % 4 != 2 else 0)), (left, top))
    shade = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    return Image.blend(drawn, shade, 0.3)


@pytest.fixture(scope="module")
def large() -> Image.Image:
    return mosaic(*LARGE)


@pytest.fixture(scope="module")
def medium() -> Image.Image:
    return mosaic(*MEDIUM)


def as_jpeg(image: Image.Image, path: Path) -> Path:
    image.save(path, "JPEG", quality=92)
    return path


def as_png(image: Image.Image, path: Path) -> Path:
    image.save(path, "PNG", compress_level=1)
    return path


def as_tiff(image: Image.Image, path: Path) -> Path:
    image.save(path, "TIFF", compression="tiff_lzw", tiffinfo={278: 16})
    return path


WAYS: dict[str, tuple[Save, str]] = {"jpg": (as_jpeg, ROW_BY_ROW), "png": (as_png, ROW_BY_ROW), "tif": (as_tiff, BAND_BY_BAND)}


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


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


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


# What the rows rest on may be missing


def without(name: str, *homes: object) -> Callable[[pytest.MonkeyPatch], None]:
    def take_away(monkeypatch: pytest.MonkeyPatch) -> None:
        for home in homes:
            monkeypatch.delattr(home, name)

    return take_away


class Library:
    """A C library whose mincore says one thing of all pages, or fails."""

    def __init__(self, answer: int, page: bytes = b"\1") -> None:
        def mincore(address: int, size: int, pages: "ctypes.Array[ctypes.c_char]") -> int:
            pages.raw = page * len(pages)
            return answer

        self.mincore = mincore


def no_library(_: object) -> None:
    raise OSError("no such library")


def no_address_space(*_: object, **__: object) -> None:
    raise OSError(12, "Cannot allocate memory")


def replaced(home: object, name: str, value: object) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda monkeypatch: monkeypatch.setattr(home, name, value)


MISSING: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "memfd": without("memfd_create", os),
    "huge pages": without("MADV_HUGEPAGE", mmap),
    "giving back": without("MADV_DONTNEED", mmap),
    "advices that the kernel knows": replaced(mmap, "MADV_HUGEPAGE", 9999),
    "a C library": replaced(ctypes, "PyDLL", no_library),
    "mincore": replaced(ctypes, "PyDLL", lambda _: object()),
    "an answer of mincore": replaced(ctypes, "PyDLL", lambda _: Library(-1)),
    "a true answer of mincore": replaced(ctypes, "PyDLL", lambda _: Library(0)),
    "any page, as mincore says": replaced(ctypes, "PyDLL", lambda _: Library(0, b"\0")),
    "huge pages that fit": replaced(memory, "_has_larger_pages", lambda: True),
    "address space": replaced(mmap, "mmap", no_address_space),
    "a way to move memory": replaced(memory, "_mremap", lambda: None),
    "isal": replaced(inflate, "inflating", zlib),
    "a second core": replaced(os, "sched_getaffinity", lambda _: {0}),
    "a way to ask for cores": without("sched_getaffinity", os),
}


@pytest.fixture(scope="module")
def expected(medium: Image.Image, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Cut]]:
    """A file of each kind that streams, and its tiles."""
    folder = tmp_path_factory.mktemp("expected")
    paths = {suffix: save(medium, folder / f"image.{suffix}") for suffix, (save, _) in WAYS.items()}
    return {suffix: (path, cut_whole(path)) for suffix, path in paths.items()}


@pytest.mark.parametrize("suffix", WAYS)
@pytest.mark.parametrize("missing", MISSING)
def test_without_it_the_tiles_are_the_same(
    missing: str, suffix: str, expected: dict[str, tuple[Path, Cut]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, whole = expected[suffix]
    assert mapped.can_map()  # tried before, as in any process that has cut an image
    MISSING[missing](monkeypatch)
    found = cut(path)
    assert found.way == WAYS[suffix][1]
    assert_same(found, whole)


@pytest.fixture
def another_pillow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Pillow that can't be told to draw into our memory."""
    monkeypatch.delattr("PIL.Image.core.map_buffer")
    mapped.can_map.cache_clear()
    yield
    monkeypatch.undo()
    mapped.can_map.cache_clear()


@pytest.mark.parametrize("suffix", WAYS)
def test_another_pillow_makes_the_same_tiles_and_the_way_tells(
    suffix: str, expected: dict[str, tuple[Path, Cut]], another_pillow: None
) -> None:
    path, whole = expected[suffix]
    found = cut(path)
    assert found.way == (BAND_BY_BAND if suffix == "tif" else WHOLE)
    assert_same(found, whole)


def test_a_pillow_whose_encoder_is_another_makes_the_same_tiles(
    expected: dict[str, tuple[Path, Cut]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, whole = expected["jpg"]
    mapped.can_encode.cache_clear()
    assert mapped.can_encode(80, "4:2:0")
    mapped.can_encode.cache_clear()
    ours = mapped.encode_jpeg
    monkeypatch.setattr(mapped, "encode_jpeg", lambda image, box, quality, *rest: ours(image, box, quality - 1, *rest))
    assert not mapped.can_encode(80, "4:2:0")
    assert_same(cut(path), whole)
    mapped.can_encode.cache_clear()


@pytest.mark.parametrize("quality", [1, 80, 100])
@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_box_is_encoded_as_pillow_saves_a_crop(mode: str, subsampling: str, quality: int, medium: Image.Image) -> None:
    image = medium.convert(mode)
    for size in (256, 700):  # some of them larger than the encoder's buffer
        box = Box(20, 30, 20 + size, 30 + size)
        expected = io.BytesIO()
        image.crop(box).save(expected, "JPEG", quality=quality, subsampling=subsampling)
        assert mapped.can_encode(quality, subsampling)
        encoder = TileEncoder(Recipe(quality=quality, subsampling=subsampling))
        assert encoder.encode(image, box) == expected.getvalue()
        encoder.close()


def test_a_pillow_that_decodes_past_our_memory_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.Image.core.map_buffer", lambda buffer, size, *_: Image.new("RGB", size).im)
    mapped.can_map.cache_clear()
    assert not mapped.can_map()
    monkeypatch.undo()
    mapped.can_map.cache_clear()
    assert mapped.can_map()


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
            most = max(rows_ahead(254), 4 * 256 if suffix == "tif" else 0) + max(256, memory.REGION // tiler.canvas.stride + 1)
            assert 254 < rows <= most, "the decoder waits"
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


# What must not stream


def progressive(image: Image.Image, path: Path) -> None:
    image.save(path, "JPEG", progressive=True)


def in_three_scans(image: Image.Image, path: Path) -> None:
    """Baseline, one component after the other, as some cameras wrote: drawn in grey, for three grey scans make a colour image."""
    image.convert("L").save(path, "JPEG", quality=90)
    data = path.read_bytes()
    frame = data.index(b"\xff\xc0")
    scan = data.index(b"\xff\xda")
    height, width = struct.unpack_from(">HH", data, frame + 5)
    components = b"".join(bytes((number, 0x11, 0)) for number in (1, 2, 3))
    start = data[:frame] + b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + components
    end = frame + 2 + struct.unpack_from(">H", data, frame + 2)[0]
    scans = b"".join(b"\xff\xda\0\x08\1" + bytes((number, 0, 0, 63, 0)) + data[scan + 10 : -2] for number in (1, 2, 3))
    path.write_bytes(start + data[end:scan] + scans + b"\xff\xd9")


def with_something_behind_the_pixels(name: bytes, data: bytes) -> Callable[[Image.Image, Path], None]:
    def write(image: Image.Image, path: Path) -> None:
        image.save(path, "PNG")
        whole = path.read_bytes()
        path.write_bytes(whole[:-12] + chunk(name, data) + whole[-12:])

    return write


def orientation(turn: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = turn
    return exif.tobytes()


XMP = b'XML:com.adobe.xmp\0\0\0\0\0<rdf:Description tiff:Orientation="3"/>'
TEXT = b"Raw profile type exif\0\0" + zlib.compress(f"\nexif\n{len(orientation(8)):8}\n{orientation(8).hex()}".encode())
WIDE: bytes = pyvips.Image.black(8, 8, bands=3).copy(interpretation="srgb").icc_transform("p3").get("icc-profile-data")


@pytest.mark.parametrize(
    "write",
    [
        progressive,
        in_three_scans,
        lambda image, path: image.save(path, "JPEG", exif=orientation(6)),
        lambda image, path: image.save(path, "PNG", save_all=True, append_images=[image.transpose(Image.Transpose.ROTATE_180)]),
        with_something_behind_the_pixels(b"eXIf", orientation(6).removeprefix(b"Exif\0\0")),
        with_something_behind_the_pixels(b"iTXt", XMP),
        with_something_behind_the_pixels(b"zTXt", TEXT),
        with_something_behind_the_pixels(b"iCCP", b"wide\0\0" + zlib.compress(WIDE)),
        with_something_behind_the_pixels(b"tRNS", bytes(6)),
        lambda image, path: image.save(path, "TIFF", compression="tiff_lzw", tiffinfo={274: 6}),
        lambda image, path: image.convert("F").save(path, "TIFF", tiffinfo={278: 16}),
        lambda image, path: image.save(path, "WEBP"),
    ],
    ids=(
        "progressive|several scans|turned|animated|turned at the end|turned by XMP|turned by a text|a profile at the end|"
        "transparency at the end|turned TIFF|floats of no declared range|WebP"
    ).split("|"),
)
def test_what_must_be_put_together_or_turned_first_does_not_stream(
    write: Callable[[Image.Image, Path], None], medium: Image.Image, tmp_path: Path
) -> None:
    path = tmp_path / "image"
    write(medium.crop((0, 0, 400, 300)), path)
    found = cut(path)
    assert found.way == WHOLE
    with Image.open(path) as image:
        image.load()
        turned = image.getexif().get(0x0112, 1) if image.format != "TIFF" else 1
        assert found.size == (image.size[::-1] if turned > 4 else image.size)


@pytest.mark.parametrize("name", [b"gAMA", b"tEXt", b"tIME"])
def test_what_changes_no_pixel_does_not_keep_a_png_from_streaming(name: bytes, medium: Image.Image, tmp_path: Path) -> None:
    data = {b"gAMA": struct.pack(">I", 100_000), b"tEXt": b"Comment\0words", b"tIME": bytes((7, 234, 11, 23, 12, 0, 0))}[name]
    path = tmp_path / "image.png"
    with_something_behind_the_pixels(name, data)(medium.crop((0, 0, 400, 300)), path)
    found = cut(path)
    assert found.way == ROW_BY_ROW
    assert_same(found, cut_whole(path))


def test_a_chunk_that_claims_four_gigabytes_ends_the_search(medium: Image.Image, tmp_path: Path) -> None:
    path = as_png(medium.crop((0, 0, 400, 300)), tmp_path / "image.png")
    expected = cut_whole(path)
    path.write_bytes(path.read_bytes()[:-12] + b"\xff\xff\xff\xfftEXt")
    assert_same(cut(path), expected)


# PNGs that are not quite right


def uncommon_pngs(pixels: NDArray[np.generic]) -> dict[str, bytes]:
    """What other programs write, and what is left of a PNG that was damaged."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    data = zlib.compress(rows)

    def of(*pieces: bytes) -> bytes:
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        return b"".join([b"\x89PNG\r\n\x1a\n", header, *(chunk(b"IDAT", piece) for piece in pieces), chunk(b"IEND", b"")])

    narrow = zlib.compressobj(6, zlib.DEFLATED, 9)
    return {
        "empty chunks": of(b"", data[:99], b"", b"", data[99:], b""),
        "chunks of a byte": of(*(data[index : index + 1] for index in range(len(data)))),
        "a narrow window": of(narrow.compress(rows) + narrow.flush()),
        "stored": of(zlib.compress(rows, 0)),
        "rubbish behind the data": of(data + b"rubbish" * 99),
        "too many rows": of(zlib.compress(rows + rows[:9999])),
        "no checksum": of(data[:-4]),
        "no end": of(data)[:-12],
        "a wrong checksum": of(data[:-1] + bytes([data[-1] ^ 1])),
        "a wrong header": of(b"\0\0" + data[2:]),
        "a dictionary that nobody has": of(b"\x78\xbb" + data[2:]),
        "damage in the middle": of(data[:5000] + b"\xff" * 50 + data[5050:]),
        "too few rows": of(zlib.compress(rows[:-5000])),
        "no data": of(b""),
        "no chunk": of(),
        "a filter that there is not": of(zlib.compress(b"\x09" + rows[1:])),
        "text amid the data": of(data[:70_000], data[70_000:]).replace(
            chunk(b"IDAT", data[70_000:]), chunk(b"tEXt", b"a\0b") + chunk(b"IDAT", data[70_000:])
        ),
    }


UNCOMMON = list(uncommon_pngs(np.zeros((9, 9, 3), "u1")))


@pytest.mark.parametrize("name", UNCOMMON)
def test_what_pillow_makes_of_a_png_we_make_of_it_too(name: str, medium: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(uncommon_pngs(np.asarray(medium.crop((0, 0, 300, 400))))[name])
    try:
        expected = cut_whole(path)
    except OSError:
        with pytest.raises(CorruptImage):
            cut(path)
        return
    found = cut(path)
    assert found.way == ROW_BY_ROW
    assert_same(found, expected)


def test_a_thread_that_dies_while_it_decompresses_keeps_nobody_waiting(
    medium: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = as_png(medium, tmp_path / "image.png")

    def no_room(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("lambdazoom.imaging.inflate.inflating.decompressobj", no_room)
    with pytest.raises(MemoryError):
        cut(path)
