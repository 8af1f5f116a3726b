"""What Pillow's readers overlook in a file's header, put right in the opened image before its pixels are read; none are read here."""

from typing import BinaryIO, cast

from PIL import ImageFile

from lambdazoom.imaging.boxes import profile_of_jp2


def put_right(image: ImageFile.ImageFile) -> None:
    """Do that, as far as the kind of file needs it."""
    if image.format in _BY_KIND and image.fp is not None:
        _BY_KIND[image.format](image, cast(BinaryIO, image.fp))


def _take_profile(image: ImageFile.ImageFile, file: BinaryIO) -> None:
    profile = profile_of_jp2(file)
    if profile:
        image.info["icc_profile"] = profile


_BY_KIND = {"JPEG2000": _take_profile}
