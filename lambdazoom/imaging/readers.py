"""Which of Pillow's readers an opened image comes from, without loading one that none has needed yet."""

import sys
from typing import TYPE_CHECKING, TypeGuard

from PIL import Image

if TYPE_CHECKING:
    from PIL.TiffImagePlugin import TiffImageFile


def is_tiff(image: Image.Image) -> "TypeGuard[TiffImageFile]":
    """Whether Pillow's reader of TIFF opened it, which takes as long to load as a small image to be cut."""
    # another thread may just be loading it: then there is no such class yet, and none of its images
    opened_by = getattr(sys.modules.get("PIL.TiffImagePlugin"), "TiffImageFile", None)
    return opened_by is not None and isinstance(image, opened_by)
