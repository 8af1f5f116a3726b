"""What Pillow's readers overlook in a file's header, put right in the opened image before its pixels are read; none are read here."""

import os
import struct
from typing import Any, BinaryIO, cast

from PIL import ImageFile

from lambdazoom.imaging.boxes import profile_of_jp2

_DESCRIPTOR = 17  # the byte of a TGA that tells how many bits of a pixel are attributes
_WITHOUT_ALPHA = {"BGRA": "BGRX", "BGRA;15Z": "BGR;15"}  # Pillow's names of how pixels are stored
_PSD_HEADER = 26  # bytes


def put_right(image: ImageFile.ImageFile) -> None:
    """Do that, as far as the kind of file needs it."""
    if image.format in _BY_KIND and image.fp is not None:
        _BY_KIND[image.format](image, cast(BinaryIO, image.fp))


def _take_profile(image: ImageFile.ImageFile, file: BinaryIO) -> None:
    profile = profile_of_jp2(file)
    if profile:
        image.info["icc_profile"] = profile


def _drop_what_is_unused(image: ImageFile.ImageFile, file: BinaryIO) -> None:
    """Of a TGA, the colour map that no pixel refers to, which Pillow would make theirs all the same; and bits of the pixels.

    Pillow takes those that are said to be no attribute for alpha (Truevision TGA 2.0, field 5.6).
    """
    if image.mode != "P":
        image.palette = None
    before = file.tell()
    file.seek(_DESCRIPTOR)
    attribute_bits = file.read(1)[0] & 0x0F
    file.seek(before)
    if image.mode == "RGBA" and not attribute_bits:
        image._mode = "RGB"  # noqa: SLF001
        image.tile = [part._replace(args=_without_alpha(*cast(tuple[Any, ...], part.args))) for part in image.tile]


def _without_alpha(stored: str, *further: int) -> tuple[str | int, ...]:
    return _WITHOUT_ALPHA[stored], *further


def _drop_saved_selection(image: ImageFile.ImageFile, file: BinaryIO) -> None:
    """Of a PSD, the fourth channel that is not said to be transparency: Pillow takes any for it."""
    if image.mode == "RGBA" and not _has_transparency(file):
        image._mode = "RGB"  # noqa: SLF001
        image.tile = image.tile[:3]  # each is a channel


def _has_transparency(file: BinaryIO) -> bool:
    """Whether a PSD counts its layers with a minus sign (Adobe Photoshop File Formats Specification, "Layer info")."""
    before = file.tell()
    file.seek(_PSD_HEADER)
    for _ in ("colour mode data", "image resources"):
        file.seek(int.from_bytes(file.read(4)), os.SEEK_CUR)
    section_bytes, layers_bytes, count = struct.unpack(">IIh", file.read(10).ljust(10, b"\0"))
    file.seek(before)
    return bool(section_bytes and layers_bytes and count < 0)


_BY_KIND = {"JPEG2000": _take_profile, "TGA": _drop_what_is_unused, "PSD": _drop_saved_selection}
