"""What somebody may upload in the histories of the model, and what must come of it."""

import io
from dataclasses import dataclass, field
from functools import cache

from PIL import Image

from tests.in_memory import etag_of


@dataclass(frozen=True)
class Content:
    """What somebody may upload: its bytes, and what must come of them."""

    name: str
    data: bytes = field(repr=False)
    colour: tuple[int, int, int] | None = None  # of every pixel; None for what is no good image
    is_readable: bool = True  # by exiftool

    @property
    def is_bad(self) -> bool:
        """Whether something of it can't be made."""
        return self.colour is None or not self.is_readable


def plain(width: int, height: int, colour: tuple[int, int, int]) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(target, "PNG")
    return target.getvalue()


RED, GREEN, BLUE = (200, 20, 20), (20, 200, 20), (20, 20, 200)
CONTENTS = (
    Content("one pixel", plain(1, 1, RED), RED),
    Content("some tiles", plain(40, 30, GREEN), GREEN),
    Content("exiftool fails", plain(2, 1, BLUE) + b"unreadable", BLUE, is_readable=False),
    Content("cut off", plain(30, 20, RED)[:60]),
    Content("no image", b"Just a few words."),
)
CONTENT_OF = {etag_of(content.data): content for content in CONTENTS}


@cache
def colour_of(tile: bytes) -> tuple[int, int, int]:
    """What a tile shows, its noise taken away."""
    with Image.open(io.BytesIO(tile)) as image:
        pixel = image.convert("RGB").getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return next(colour for colour in (RED, GREEN, BLUE) if all(abs(a - b) < 12 for a, b in zip(pixel, colour, strict=True)))
