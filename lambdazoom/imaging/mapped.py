"""All that goes below Pillow's public interface: pictures over memory of our own, and decoding into them.

Pillow's `load` decodes into memory that it takes from the system itself, all of it, until the picture is closed. Into ours,
rows can be used while later ones are still being decoded, and be given back: that is what streaming rests on. Two things of
Pillow are needed that it does not document: `Image.core.map_buffer`, which `Image.frombuffer` calls for other modes than RGB,
and that `ImageFile.load` decodes into `image.im` if there is one. `can_map` tries both once; where it fails we do without.
Besides, `load` reads by `image.load_read` if there is one, as Pillow's own PNG and JPEG do.
"""

import io
import mmap
from collections.abc import Callable
from functools import cache

from PIL import Image, ImageFile

BYTES_A_PIXEL = {"RGB": 4, "L": 1}  # Pillow's own layout: the fourth byte of RGB is padding


def over(buffer: mmap.mmap | bytearray, offset: int, mode: str, size: tuple[int, int]) -> Image.Image:
    """A picture whose pixels, RGB or L, are the bytes of `buffer` from `offset` on: what is drawn into one is in the other."""
    stride = size[0] * BYTES_A_PIXEL[mode]
    core = Image.core.map_buffer(buffer, size, "raw", offset, (mode, stride, 1))  # type: ignore[attr-defined]
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
    if read:
        image.load_read = read  # type: ignore[attr-defined]
    try:
        image.load()
    finally:
        image.im = Image.new(target.mode, (1, 1)).im  # it may live longer than our memory
        if read:
            del image.load_read  # type: ignore[attr-defined]


def decoded_so_far(image: ImageFile.ImageFile) -> Image.Image | None:
    """What `load` had decoded when it raised, as a picture with the same information; None if nothing."""
    core = image._im  # noqa: SLF001 (`im` raises while there is none)
    return image._new(image.im) if core is not None and image.im.size == image.size else None  # noqa: SLF001


def rows_of(image: Image.Image) -> tuple[int, int]:
    """The first row that holds anything but zeros, and the one behind the last."""
    box = image.getbbox(alpha_only=False)
    return (box[1], box[3]) if box else (0, 0)


@cache
def can_map() -> bool:
    """Whether the Pillow at hand decodes into our memory, and draws and reads there, as it should."""
    try:
        return all(_comes_through(mode, kind) for mode in BYTES_A_PIXEL for kind in ("JPEG", "PNG", "TIFF"))
    except (AttributeError, TypeError, ValueError, OSError, SystemError):  # another Pillow: then we do without
        return False


def _comes_through(mode: str, kind: str) -> bool:
    drawn = Image.linear_gradient("L").crop((60, 60, 97, 79)).convert(mode)
    encoded = io.BytesIO()
    drawn.save(encoded, kind, compression="tiff_lzw")
    buffer = bytearray(drawn.width * drawn.height * BYTES_A_PIXEL[mode])
    target = over(buffer, 0, mode, drawn.size)
    with Image.open(io.BytesIO(encoded.getvalue())) as image, Image.open(io.BytesIO(encoded.getvalue())) as reference:
        if not isinstance(image, ImageFile.ImageFile):
            return False
        decode_into(image, target)
        expected = reference.copy()
    bottom = over(buffer, drawn.width * BYTES_A_PIXEL[mode] * 9, mode, (drawn.width, 10))
    same = target.tobytes() == expected.tobytes() and bottom.tobytes() == expected.crop((0, 9, *drawn.size)).tobytes()
    bottom.paste(0, (0, 0, drawn.width, 10))
    return same and target.getpixel((3, 9)) == expected.point(lambda _: 0).getpixel((0, 0)) and any(buffer)
