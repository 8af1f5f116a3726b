"""Raw camera files: the file whose pixels are shown for one is its largest embedded preview, which exiftool takes out.

Here alone exiftool and what knows pixels meet: neither knows the other. What a raw file's own data would look like developed is nobody's
business here.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lambdazoom.imaging import formats, raw
from lambdazoom.model.errors import ExifToolMissing, MetadataError, UnsupportedImage

if TYPE_CHECKING:
    from lambdazoom.imaging.previews import Preview
    from lambdazoom.metadata.exiftool import ExifTool
    from lambdazoom.metadata.previews import Carried

MOST_TRIED = 4  # previews of one file, the largest in bytes first: which has the most pixels, only their headers tell
FULL_SIZE = 4  # the whole picture is this many times the preview's pixels, at most; else it is called small
THUMBNAIL = 100  # and this many times a thumbnail's, which is no picture to zoom into

_SIDEWAYS = (5, 6, 7, 8)  # orientations that swap width and height
_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}\Z", re.ASCII | re.IGNORECASE)
_WAY_OUT = "Save it as JPEG or TIFF."


@dataclass(frozen=True)
class Picture:
    """The file whose pixels are shown, and remarks if it is not the source itself."""

    path: Path
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Taken:
    data: bytes | bytearray
    preview: "Preview"

    @property
    def pixels(self) -> int:
        return self.preview.width * self.preview.height


@contextmanager
def picture_of(path: Path, name: str, exiftool: Callable[[], "AbstractContextManager[ExifTool]"]) -> Iterator[Picture]:
    """The file itself, or of a raw camera file its preview, upright by its EXIF orientation, in a temporary file.

    `name` is what errors call it; exiftool is asked of raw camera files alone. Raises UnsupportedImage.
    """
    with formats.reading(name):
        is_raw = raw.is_raw(path)
    if not is_raw:
        yield Picture(path)
        return
    import tempfile  # for these alone

    with tempfile.TemporaryDirectory(prefix="lambdazoom-") as private:
        suffix = _SUFFIX.search(path.name)  # by which exiftool tells makers apart
        link, preview = Path(private) / f"raw{suffix[0] if suffix else ''}", Path(private) / "preview.jpg"
        link.symlink_to(path.absolute())  # exiftool gets no name that a stranger chose
        remark = _take_out(link, name, exiftool, preview)
        yield Picture(preview, (remark,))


def _take_out(path: Path, name: str, exiftool: Callable[[], "AbstractContextManager[ExifTool]"], into: Path) -> str:
    """Write the preview; a remark on it."""
    from lambdazoom.imaging.previews import with_orientation  # only raw camera files need these
    from lambdazoom.metadata.previews import carried

    try:
        with exiftool() as running:
            found = carried(running.read(path))
            taken = _largest(path, found, running)
    except ExifToolMissing as error:
        raise UnsupportedImage(f"{name} is a raw camera file, of which exiftool is to find the preview. {error} Or: {_WAY_OUT}") from error
    except MetadataError as error:
        raise UnsupportedImage(f"{name} is a raw camera file whose preview could not be taken out: {error} {_WAY_OUT}") from error
    if taken is None:
        raise UnsupportedImage(f"{name} is a raw camera file without a preview that could be shown. {_WAY_OUT}")
    preview, orientation = taken.preview, taken.preview.orientation or found.orientation
    told = _words(*((preview.height, preview.width) if orientation in _SIDEWAYS else (preview.width, preview.height)))
    if taken.pixels * THUMBNAIL < found.width * found.height:
        sizes = f"{_words(found.width, found.height)} whose largest preview has {told}"
        raise UnsupportedImage(f"{name} is a raw camera file of {sizes}: too small to zoom into. {_WAY_OUT}")
    data = taken.data if preview.orientation else with_orientation(taken.data, orientation)
    with formats.reading(name):
        into.write_bytes(data)
    if taken.pixels * FULL_SIZE < found.width * found.height:
        small = f"It is a raw camera file of {_words(found.width, found.height)}: only its small embedded preview of {told} is shown."
        return f"{small} Develop it and upload a JPEG or TIFF to see all of it."
    return f"It is a raw camera file: its embedded preview of {told} is shown."


def _largest(path: Path, found: "Carried", exiftool: "ExifTool") -> _Taken | None:
    """The picture of the most pixels, if one can be shown; the first of several."""
    from lambdazoom.imaging.previews import preview_of
    from lambdazoom.metadata.process import MAX_REPLY_BYTES

    best: _Taken | None = None
    for listed in [each for each in found.pictures if each.size <= MAX_REPLY_BYTES][:MOST_TRIED]:
        data = exiftool.extract(path, listed.key)
        preview = preview_of(data) if len(data) == listed.size else None
        if preview and (best is None or preview.width * preview.height > best.pixels):
            best = _Taken(data, preview)
    return best


def _words(width: int, height: int) -> str:
    return f"{width:,} × {height:,} pixels"
