"""What streaming rests on may be missing, down to Pillow's own ways: the tiles are the same."""

import ctypes
import io
import mmap
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from lambdazoom.imaging import inflate, mapped, memory
from lambdazoom.imaging.encode import TileEncoder
from lambdazoom.model.geometry import SUBSAMPLINGS, Box, Recipe
from tests.streams import WAYS
from tests.streams import medium as medium  # a fixture
from tests.tiling import BAND_BY_BAND, WHOLE, Cut, assert_same, cut, cut_whole


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


@pytest.fixture
def asked_anew() -> Iterator[None]:
    """Of the system; and once more afterwards, so that nobody goes on without what was missing here."""
    mremap = memory._mremap
    mremap.cache_clear()
    yield
    mremap.cache_clear()


@pytest.mark.usefixtures("asked_anew")
@pytest.mark.parametrize("suffix", WAYS)
@pytest.mark.parametrize("missing", MISSING)
def test_without_it_the_tiles_are_the_same(
    missing: str, suffix: str, expected: dict[str, tuple[Path, Cut]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, whole = expected[suffix]
    assert all(map(mapped.can_decode, ("JPEG", "PNG")))  # tried before, as in any process that has cut an image
    MISSING[missing](monkeypatch)
    found = cut(path)
    assert found.way == WAYS[suffix][1]
    assert_same(found, whole)


@pytest.fixture
def another_pillow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Pillow that can't be told to draw into our memory."""
    monkeypatch.delattr("PIL.Image.core.map_buffer")
    forget_what_was_tried()
    yield
    monkeypatch.undo()
    forget_what_was_tried()


def forget_what_was_tried() -> None:
    mapped.can_map.cache_clear()
    mapped.can_decode.cache_clear()


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
    forget_what_was_tried()
    assert not mapped.can_map()
    assert not mapped.can_decode("JPEG")
    monkeypatch.undo()
    forget_what_was_tried()
    assert mapped.can_map()
