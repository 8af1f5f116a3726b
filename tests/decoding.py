"""All pixels of an image, brought in by the way that the product takes, but not cut into tiles."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from lambdazoom.imaging.canvas import Rows
from lambdazoom.imaging.decode import open_source
from lambdazoom.imaging.formats import Header, Wishes
from lambdazoom.imaging.tiler import Tiler
from lambdazoom.model.geometry import Pyramid, Recipe


@dataclass(frozen=True)
class Decoded:
    pixels: Image.Image
    header: Header
    remarks: tuple[str, ...]
    way: str


class Filled(Tiler):
    """Cuts nothing: it only takes down what has come."""

    def __init__(self, pyramid: Pyramid, mode: str, pixels: Image.Image | None) -> None:
        super().__init__(pyramid, mode, lambda _: None, workers=1, pixels=pixels)
        self.come: list[Rows] = []

    def add(self, rows: Rows) -> None:
        self.come.append(rows)

    def wait_for_room(self, bottom: int, ahead: int = 0) -> None:
        assert bottom >= 0

    def decode(self, rows: Rows, work: Callable[[], None]) -> None:
        work()
        self.add(rows)


def decode(path: Path, name: str, max_pixels: int, wishes: Wishes = Wishes()) -> Decoded:  # noqa: B008 (it is frozen)
    """The pixels as `tile` gets them; raises what `open_source` and decoding raise."""
    with open_source(path, name, max_pixels, wishes) as source:
        source.load()
        with Filled(Pyramid(source.width, source.height, Recipe()), source.mode, source.pixels) as filled:
            source.pour(filled)
            assert [rows.top for rows in filled.come] == [0, *(rows.bottom for rows in filled.come[:-1])]
            assert filled.come[-1].bottom == source.height
            pixels = filled.canvas.pixels.copy()
        pixels.info = source.pixels.info if source.pixels else {}
        return Decoded(pixels, source.header, source.remarks, source.way)
