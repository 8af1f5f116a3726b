"""Images that are put together or turned first do not stream, and PNGs that are not quite right are taken as Pillow takes them."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lambdazoom.model.errors import CorruptImage
from tests.files import chunk
from tests.streams import WIDE, as_png, orientation
from tests.streams import medium as medium  # a fixture
from tests.tiling import ROW_BY_ROW, WHOLE, assert_same, cut, cut_whole

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


XMP = b'XML:com.adobe.xmp\0\0\0\0\0<rdf:Description tiff:Orientation="3"/>'
TEXT = b"Raw profile type exif\0\0" + zlib.compress(f"\nexif\n{len(orientation(8)):8}\n{orientation(8).hex()}".encode())


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
