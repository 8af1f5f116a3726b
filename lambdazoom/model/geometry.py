"""Deep Zoom geometry: sizes, boxes and the descriptor's text; no pixels and no I/O.

The format is Microsoft's Deep Zoom (Seadragon): http://schemas.microsoft.com/deepzoom/2008. Level 0 is one pixel,
each level is half of the next, rounded up, and the last is the image itself.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

NAMESPACE = "http://schemas.microsoft.com/deepzoom/2008"
ENGINES = {"jpg": 2, "png": 3, "webp": 3}  # raised when the same recipe starts to give other tiles

CONTENT_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
SUBSAMPLINGS = ("4:2:0", "4:4:4")
WHITE = "#ffffff"
_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})  # in an attribute (XML 1.0, 2.3 and 2.4)
MAX_PIXELS = 4_000_000_000  # of an image, unless somebody says otherwise


class Box(NamedTuple):
    """A rectangle of pixels: `left` and `top` are inside, `right` and `bottom` are not."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.right - self.left, self.bottom - self.top


@dataclass(frozen=True)
class Recipe:
    """How a pyramid is cut and encoded: everything that its tiles depend on beside the pixels.

    `tile_size` is the side of a tile without overlap, `overlap` the pixels shared across each inner edge, `format` a key of
    CONTENT_TYPES and at the same time the tiles' file name extension, `quality` that of JPEG or WebP, 1 to 100, and
    `subsampling`, one of SUBSAMPLINGS, tells whether JPEG tiles keep the colour of each pixel or of each four. `background`,
    as #rrggbb in small letters, is what shows through transparent parts: in JPEG, and in thumbnails.
    """

    tile_size: int = 254
    overlap: int = 1
    format: str = "jpg"
    quality: int = 80
    subsampling: str = "4:2:0"
    background: str = WHITE

    @property
    def fingerprint(self) -> str:
        """A short text that differs whenever the tiles would: what a format doesn't depend on is not in it."""
        quality = "" if self.format == "png" else f" q{self.quality}"
        if self.format == "jpg" and self.subsampling != "4:2:0":
            quality += f" {self.subsampling}"
        if self.background != WHITE:
            quality += f" {self.background}"
        return f"{self.tile_size}+{self.overlap} {self.format}{quality} e{ENGINES[self.format]}"

    @property
    def keeps_alpha(self) -> bool:
        """Whether transparent parts stay transparent in tiles."""
        return self.format != "jpg"

    @property
    def content_type(self) -> str:
        """The media type of each tile."""
        return CONTENT_TYPES[self.format]


@dataclass(frozen=True)
class Level:
    """One level of a pyramid: `index` counts from 0 (one pixel); sizes in pixels."""

    index: int
    width: int
    height: int
    tile_size: int
    overlap: int

    @property
    def columns(self) -> int:
        """Tiles in a row."""
        return -(-self.width // self.tile_size)

    @property
    def rows(self) -> int:
        """Tiles in a column."""
        return -(-self.height // self.tile_size)

    @property
    def tile_count(self) -> int:
        """Tiles of this level."""
        return self.columns * self.rows

    def box(self, column: int, row: int) -> Box:
        """The pixels of one tile: its own square and, on inner sides only, the overlap."""
        return Box(
            max(0, column * self.tile_size - self.overlap),
            max(0, row * self.tile_size - self.overlap),
            min(self.width, (column + 1) * self.tile_size + self.overlap),
            min(self.height, (row + 1) * self.tile_size + self.overlap),
        )


@dataclass(frozen=True)
class Pyramid:
    """The whole geometry of one image: `width` and `height` in pixels, both at least 1, and its recipe."""

    width: int
    height: int
    recipe: Recipe

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """All levels, from one pixel up to the image itself."""
        count = (max(self.width, self.height) - 1).bit_length() + 1
        return tuple(self._level(index, count - 1 - index) for index in range(count))

    def _level(self, index: int, halvings: int) -> Level:
        # rounding up once by 2**n is the same as rounding up n times by 2
        width, height = (-(-side // 2**halvings) for side in (self.width, self.height))
        return Level(index, width, height, self.recipe.tile_size, self.recipe.overlap)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.width, self.height

    @property
    def tile_count(self) -> int:
        """Tiles of all levels."""
        return sum(level.tile_count for level in self.levels)

    def tiles(self) -> Iterator[tuple[int, int, int]]:
        """Level, column and row of every tile, from the smallest level up, row by row."""
        for level in self.levels:
            for row in range(level.rows):
                for column in range(level.columns):
                    yield level.index, column, row

    def has_tile(self, level: int, column: int, row: int) -> bool:
        """Whether such a tile exists; all three count from 0."""
        if not 0 <= level < len(self.levels):
            return False
        return 0 <= column < self.levels[level].columns and 0 <= row < self.levels[level].rows

    def descriptor(self, attributes: Mapping[str, str] | None = None) -> str:
        """The text of the `.dzi` file; `attributes` are further ones of its root element, names as they shall stand."""
        recipe = self.recipe
        standard = {"xmlns": NAMESPACE, "Format": recipe.format, "Overlap": str(recipe.overlap), "TileSize": str(recipe.tile_size)}
        written = " ".join(f'{name}="{value.translate(_ESCAPED)}"' for name, value in {**standard, **(attributes or {})}.items())
        size = f'<Size Width="{self.width}" Height="{self.height}"/>'
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<Image {written}>\n  {size}\n</Image>\n'
