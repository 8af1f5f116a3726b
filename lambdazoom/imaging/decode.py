"""From a file to rows of upright 8-bit sRGB pixels, by the way that needs the least memory; what a file is, `formats` knows."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import ImageFile

from lambdazoom.imaging.formats import Header, WatchedFile, Wishes, open_image, reading
from lambdazoom.imaging.holding import held_beside
from lambdazoom.imaging.needs import Whole
from lambdazoom.imaging.readers import is_tiff
from lambdazoom.imaging.source import Source, WholeSource
from lambdazoom.imaging.streams import BandedSource, PngSource, PulledSource
from lambdazoom.imaging.ways import whole_because

_AS_IT_COMES = Wishes()


@contextmanager
def open_source(path: Path, name: str, max_pixels: int, wishes: Wishes = _AS_IT_COMES) -> Iterator[Source]:
    """The image's largest page, or the one that is wished for, not yet decoded; `name` is what errors call it.

    Raises NotAnImage, UnsupportedImage, CorruptImage, ImageTooLarge.
    """
    with open_image(path, name, max_pixels, wishes.page) as (image, header, file):
        with reading(name):
            source = _source(image, header, name, file, wishes)
        yield source


def _source(image: ImageFile.ImageFile, header: Header, name: str, file: WatchedFile, wishes: Wishes) -> Source:
    because = whole_because(image, header, file)
    if because:
        return WholeSource(image, header, name, wishes, because)
    if not is_tiff(image):
        kind = PngSource if header.kind == "PNG" else PulledSource
        return kind(image, header, name, wishes, file)
    from lambdazoom.imaging import tiff  # for these alone

    bands = tiff.bands(image)
    if bands is None:
        return WholeSource(image, header, name, wishes, Whole("a TIFF in one piece", "save it with tiles", held_beside(image)))
    return BandedSource(image, header, name, wishes, bands, file.fileno())
