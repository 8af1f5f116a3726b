"""All that goes below Pillow's public interface: pictures over memory of our own, decoding into them, and encoding parts of them.

Pillow's `load` decodes into memory that it takes from the system itself, all of it, until the picture is closed. Into ours,
rows can be used while later ones are still being decoded, and be given back: that is what streaming rests on. Some things of
Pillow are needed that it does not document: `Image.core.map_buffer`, which `Image.frombuffer` calls for other modes than RGB;
that `ImageFile.load` decodes into `image.im` if there is one; that the fourth byte of an RGB pixel is 255 once it is drawn; and,
for a tenth of the time that decoding takes, that its JPEG decoder writes four bytes a pixel at once. `can_map` and `can_decode`
try all that once; where it fails we do without. Besides, `load` reads by `image.load_read` if there is one, as Pillow's own PNG and
JPEG do.

Pillow's `save` encodes a whole picture, so that a tile must be copied first, and spends as long on its options as on that: a
fifth of the time in all. Its JPEG encoder itself takes a box; `can_encode` tries once whether that makes the same bytes.
"""

import io
import mmap
import os
from collections.abc import Callable
from functools import cache

from PIL import Image, ImageFile

from lambdazoom.imaging.memory import anonymous_file
from lambdazoom.model.geometry import Box

BYTES_A_PIXEL = {"RGB": 4, "L": 1}  # Pillow's own layout: the fourth byte of RGB is padding
_SUBSAMPLINGS = {"4:4:4": 0, "4:2:0": 2}  # as Pillow's JPEG encoder counts them
_ANOTHER_PILLOW = (AttributeError, TypeError, ValueError, KeyError, OSError, SystemError)  # what one gives that is not as ours
_NARROW = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}


def bytes_a_pixel(mode: str) -> int:
    """In Pillow's own layout, of any of its modes."""
    return _NARROW.get(mode, 4)


def stride(mode: str, width: int) -> int:
    """The bytes from one row to the next where `over` puts them; of mode 1 it uses a quarter."""
    return width * (4 if mode == "1" else bytes_a_pixel(mode))


def over(buffer: mmap.mmap | bytearray, offset: int, mode: str, size: tuple[int, int]) -> Image.Image:
    """A picture whose pixels are the bytes of `buffer` from `offset` on: what is drawn into one is in the other."""
    core = Image.core.map_buffer(buffer, size, "raw", offset, (mode, stride(mode, size[0]), 1))  # type: ignore[attr-defined]
    return Image.Image()._new(core)  # noqa: SLF001


def decode_into(image: ImageFile.ImageFile, target: Image.Image, read: Callable[[int], bytes] | None = None) -> None:
    """Decode a picture that is opened, but not loaded, into `target`, of the same mode and size. Raises what Pillow's `load` raises.

    `read` takes the place of its file's own.
    """
    if (image.mode, image.size) != (target.mode, target.size):
        raise ValueError(f"{image.mode} of {image.size} is not {target.mode} of {target.size}")
    if not image.tile:  # with an `im`, `load` would take it for loaded
        raise OSError("cannot load this image")
    image.im = target.im
    if (image.format, image.mode) == ("JPEG", "RGB"):
        image.tile = [part._replace(args=("RGBX", "")) for part in image.tile]
    if read:
        image.load_read = read  # type: ignore[attr-defined]
    try:
        image.load()
    finally:
        image.im = Image.new(target.mode, (1, 1)).im  # it may live longer than our memory
        if read:
            del image.load_read  # type: ignore[attr-defined]


def encode_jpeg(image: Image.Image, box: Box, quality: int, subsampling: str, descriptor: int) -> None:
    """Write a box of the picture, RGB or L, to an open file, as Pillow's `save` writes a crop. Raises OSError."""
    options = (quality, False, 0, False, False, 0, [0, 0], _SUBSAMPLINGS[subsampling], 0, 0, None, None, b"", b"")
    encoder = Image._getencoder(image.mode, "jpeg", image.mode, options)  # noqa: SLF001
    try:
        encoder.setimage(image.im, box)
        status = encoder.encode_to_file(descriptor, ImageFile.MAXBLOCK)
    finally:
        encoder.cleanup()
    if status < 0:
        raise OSError(f"encoder error {status}")


def decoded_so_far(image: ImageFile.ImageFile) -> Image.Image | None:
    """What `load` had decoded when it raised, as a picture with the same information and format; None if nothing."""
    core = image._im  # noqa: SLF001 (`im` raises while there is none)
    if core is None or image.im.size != image.size:
        return None
    part = image._new(image.im)  # noqa: SLF001
    part.format = image.format
    return part


def rows_of(image: Image.Image) -> tuple[int, int]:
    """The first row that holds anything but zeros, and the one behind the last."""
    box = image.getbbox(alpha_only=False)
    return (box[1], box[3]) if box else (0, 0)


@cache
def can_map() -> bool:
    """Whether the Pillow at hand draws and reads in our memory as it should."""
    try:
        return all(_is_one_memory(mode) for mode in BYTES_A_PIXEL)
    except _ANOTHER_PILLOW:
        return False


@cache
def can_decode(kind: str) -> bool:
    """Whether the Pillow at hand decodes files of this kind into our memory as it should."""
    try:
        return can_map() and all(_comes_through(mode, kind) for mode in BYTES_A_PIXEL)
    except _ANOTHER_PILLOW:
        return False


@cache
def can_encode(quality: int, subsampling: str) -> bool:
    """Whether the Pillow at hand makes the same JPEG of a box as of a crop."""
    try:
        return all(_is_encoded_alike(mode, quality, subsampling) for mode in BYTES_A_PIXEL)
    except _ANOTHER_PILLOW:
        return False


def _is_encoded_alike(mode: str, quality: int, subsampling: str) -> bool:
    drawn, box = Image.radial_gradient("L").convert(mode), Box(150, 130, 203, 201)
    expected = io.BytesIO()
    drawn.crop(box).save(expected, "JPEG", quality=quality, subsampling=subsampling)
    with anonymous_file() as written:
        encode_jpeg(drawn, box, quality, subsampling, written.fileno())
        return os.pread(written.fileno(), 1 << 20, 0) == expected.getvalue()


def _is_one_memory(mode: str) -> bool:
    drawn = _drawn(mode)
    buffer = bytearray(drawn.width * drawn.height * BYTES_A_PIXEL[mode])
    whole = over(buffer, 0, mode, drawn.size)
    whole.paste(drawn)
    bottom = over(buffer, drawn.width * BYTES_A_PIXEL[mode] * 9, mode, (drawn.width, 10))
    same = whole.tobytes() == drawn.tobytes() and bottom.tobytes() == drawn.crop((0, 9, *drawn.size)).tobytes()
    bottom.paste(0, (0, 0, drawn.width, 10))
    return same and whole.getpixel((3, 9)) == drawn.point(lambda _: 0).getpixel((0, 0)) and any(buffer)


def _comes_through(mode: str, kind: str) -> bool:
    drawn, encoded = _drawn(mode), io.BytesIO()
    drawn.save(encoded, kind)
    buffer = bytearray(drawn.width * drawn.height * BYTES_A_PIXEL[mode])
    target = over(buffer, 0, mode, drawn.size)
    with Image.open(io.BytesIO(encoded.getvalue())) as image, Image.open(io.BytesIO(encoded.getvalue())) as reference:
        if not isinstance(image, ImageFile.ImageFile):
            return False
        decode_into(image, target)
        return target.tobytes() == reference.tobytes() and (mode != "RGB" or set(buffer[3::4]) == {255})


def _drawn(mode: str) -> Image.Image:
    return Image.linear_gradient("L").crop((60, 60, 97, 79)).convert(mode)
