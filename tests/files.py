"""What tests of image files share: files written on the spot, what we make of one, and what libvips does."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import pyvips
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lambdazoom.model.errors import ImageError
from lambdazoom.model.geometry import MAX_PIXELS
from tests.conftest import picture
from tests.decoding import Decoded, decode

Pixels = NDArray[np.int64]
pillow_warns = pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")  # it says the same of a TIFF's own tags


def opened(path: Path) -> Decoded:
    found = decode(path, path.name, MAX_PIXELS)
    assert found.pixels.mode in ("RGB", "L")
    assert found.pixels.info == {}
    return found


def pixels_of(path: Path) -> Pixels:
    return np.asarray(opened(path).pixels.convert("RGB")).astype(int)


def by_libvips(path: Path) -> pyvips.Image:
    return pyvips.Image.new_from_buffer(path.read_bytes(), "")  # by name, libvips would remember the file that was there before


def numbers(image: pyvips.Image | Image.Image) -> Pixels:
    return np.asarray(image.numpy() if isinstance(image, pyvips.Image) else image.convert("RGB")).astype(int)


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def vips_image(image: Image.Image) -> pyvips.Image:
    interpretation = "srgb" if len(image.getbands()) >= 3 else "b-w"
    loaded = pyvips.Image.new_from_memory(image.tobytes(), *image.size, len(image.getbands()), "uchar")
    return loaded.copy(interpretation=interpretation)


def refused(path: Path, error: type[ImageError]) -> str:
    """The sentence with which it is refused."""
    with pytest.raises(error) as raised:
        decode(path, path.name, MAX_PIXELS)
    assert type(raised.value) is error
    return str(raised.value)


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG (ISO 15948, 5.3)."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, depth: int, colour_type: int, rows: bytes, *further: bytes) -> bytes:
    """A PNG by hand (ISO 15948, 11): what Pillow's writer would not write."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(further) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def coloured(jp2: bytes, *told: bytes) -> bytes:
    """The JPEG 2000 file with colour boxes of these contents instead of its own one (ISO 15444-1, I.5.3.3)."""
    header = jp2.index(b"jp2h") - 4
    own = jp2.index(b"colr", header) - 4
    end = own + int.from_bytes(jp2[own : own + 4])
    boxes = b"".join(struct.pack(">I4s", 8 + len(content), b"colr") + content for content in told)
    size = int.from_bytes(jp2[header : header + 4]) + len(boxes) - (end - own)
    return jp2[:header] + struct.pack(">I", size) + jp2[header + 4 : own] + boxes + jp2[end:]


def in_plain_text(image: Image.Image) -> bytes:
    """A PBM (of mode 1) or PPM whose samples are written out."""
    if image.mode == "1":
        return b"P1 %d %d\n" % image.size + b" ".join(b"%d" % (not value) for value in image.convert("L").tobytes())
    return b"P3 %d %d 255\n" % image.size + b" ".join(b"%d" % value for value in image.tobytes())


def deep_ppm(image: Image.Image) -> bytes:
    """A PPM of 16 bits a sample."""
    return b"P6 %d %d 65535\n" % image.size + np.frombuffer(image.tobytes(), np.uint8).repeat(2).tobytes()


def signpost() -> Image.Image:
    """A picture that no turning and no mirroring leaves as it is."""
    image = Image.new("RGB", (97, 61), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 48, 20), fill=(220, 30, 30))
    draw.rectangle((70, 30, 96, 60), fill=(30, 60, 200))
    draw.polygon(((10, 60), (10, 30), (40, 60)), fill=(20, 160, 60))
    return image


def wide_gamut_profile() -> bytes:
    """Display P3, as libvips carries it."""
    profile: bytes = vips_image(picture(8, 8)).icc_transform("p3").get("icc-profile-data")
    return profile
