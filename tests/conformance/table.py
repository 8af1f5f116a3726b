"""The conformance table: what becomes of each kind of file, and whether libvips sees the same; printed as docs/formats.md.

libvips is the oracle of pixels and of how different they look (its CIEDE2000); where it does not open a file, what was drawn is.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyvips
from PIL import Image

from lambdazoom.imaging.decode import open_source
from lambdazoom.metadata.exiftool import ExifTool
from lambdazoom.model.errors import ImageError
from lambdazoom.model.geometry import Pyramid, Recipe
from lambdazoom.publishing.raws import picture_of
from tests.conformance.deep import deep_files
from tests.conformance.raws import raw_files
from tests.conformance.refusals import refusals
from tests.conformance.seeds import Seed, jpegs, others, pngs, webps
from tests.conformance.tiffs import tiffs
from tests.decoding import decode

MAX_PIXELS = 10**8
DIFFERENT = "different"
_HEADS = ("file", "opened by", "depth", "colour", "alpha", "frames", "orientation", "way", "memory", "against libvips", "the record says")


@dataclass(frozen=True)
class Row:
    """What became of a seed: `agreement` in words, `explained` if it needs to be and is; `sentences` as people read them."""

    seed: Seed
    opened_by: str
    way: str
    memory: str
    agreement: str
    sentences: tuple[str, ...]

    @property
    def is_explained(self) -> bool:
        """Whether the pixels are right, or it is said why libvips has others."""
        return not self.agreement.endswith(DIFFERENT)

    def __str__(self) -> str:
        seed = self.seed
        agreement = self.agreement + (f" ({seed.why})" if seed.why else "")
        facts = (seed.kind, self.opened_by, seed.depth, seed.colour, seed.alpha, seed.frames, seed.orientation, self.way, self.memory)
        return f"| {' | '.join((*facts, agreement, ' '.join(self.sentences) or '–'))} |"


@cache
def rows() -> tuple[Row, ...]:
    """All rows, in the order of the page."""
    with tempfile.TemporaryDirectory() as folder:
        return tuple(_row(seed, Path(folder)) for seed in seeds())


def seeds() -> Iterator[Seed]:
    """All seeds, in the order of the page."""
    for family in (jpegs, pngs, tiffs, webps, others, deep_files, raw_files, refusals):
        yield from family()


def _row(seed: Seed, folder: Path) -> Row:
    found = [_one(seed, name, data, folder) for name, data in seed.files]
    worst = max((row.agreement for row in found), key=_SCALE.index)
    against = f"libvips doesn't open it; as drawn: {worst}" if seed.drawn and not seed.why else worst
    first = found[-1]  # of those that are turned, one that is
    return Row(seed, first.opened_by, first.way, first.memory, against, first.sentences)


def _one(seed: Seed, name: str, data: bytes, folder: Path) -> Row:
    path = folder / name
    path.write_bytes(data)
    try:
        with picture_of(path, name, ExifTool) as picture:
            found = decode(picture.path, name, MAX_PIXELS)
            with open_source(picture.path, name, MAX_PIXELS) as source:
                tall = [source.need(Pyramid(10_000, height, Recipe())) for height in (20_000, 40_000)]
    except ImageError as error:
        return Row(seed, "refused", "–", "–", "–", (str(error),))
    grown = (tall[1] - tall[0]) / (10_000 * 20_000)
    memory = f"{grown:.0f} byte{'s' * (grown >= 1.5)} a pixel" if grown > 0.1 else "by the width"
    expected = as_rgb(seed.drawn) if seed.drawn else theirs(data)
    opened_by = f"exiftool, {found.header.kind}" if picture.remarks else found.header.kind
    remarks = (*picture.remarks, *found.remarks)
    return Row(seed, opened_by, found.way, memory, agreement(as_rgb(found.pixels), expected), remarks)


def theirs(data: bytes) -> pyvips.Image:
    """The pixels by libvips: upright, in sRGB, on white."""
    image = pyvips.Image.new_from_buffer(data, "", fail=True).autorot()
    if image.get_typeof("icc-profile-data"):
        alpha = image[-1] if image.hasalpha() else None
        image = image.icc_transform("srgb", embedded=True, intent="relative", black_point_compensation=True)
        image = image.bandjoin(alpha) if alpha and not image.hasalpha() else image
    if image.hasalpha():
        image = image.flatten(background=[65535 if image.format == "ushort" else 255])
    return image.colourspace("srgb").cast("uchar")


def as_rgb(image: Image.Image) -> pyvips.Image:
    """A picture in RGB, as libvips holds it."""
    plain = image.convert("RGB")
    return pyvips.Image.new_from_memory(plain.tobytes(), *plain.size, 3, "uchar").copy(interpretation="srgb")


_SCALE = ("–", "the same", "± 1", "± 2", "mean ΔE2000 ≤ 1, worst ≤ 3", "mean ΔE2000 ≤ 1", DIFFERENT)


def agreement(ours: pyvips.Image, expected: pyvips.Image) -> str:
    """How near two pictures in sRGB are, one of the words of the scale."""
    if (ours.width, ours.height) != (expected.width, expected.height):
        return DIFFERENT
    most = (ours.cast("short") - expected.cast("short")).abs().max()
    if most <= 2:
        return _SCALE[1 + int(most)]
    distance = ours.dE00(expected)
    if distance.avg() > 1:
        return DIFFERENT
    return _SCALE[4] if distance.max() <= 3 else _SCALE[5]


def page() -> str:
    """docs/formats.md."""
    lines = "\n".join(map(str, rows()))
    heads = "|".join(_HEADS)
    return _PAGE.format(table=f"|{heads}|\n|{'---|' * len(_HEADS)}\n{lines}")


_PAGE = """\
# What becomes of each kind of file

`make conformance` makes a small file of each kind, reads it as the service does, compares the pixels with those of libvips, and prints this
page. A test fails when a row changes, and when one differs from libvips without saying why.

- **depth** to **orientation** are what the file holds. Tiles are 8-bit sRGB, or grey, upright; what is transparent is shown on a background
  in JPEG tiles, as here, and stays transparent in PNG and WebP.
- **way**: *row by row* and *band by band* stream, so that memory goes by the width of the image; *whole* is decoded before the first tile
  ([how](architecture.md)). **memory**: what each further pixel takes, beside a fixed share.
- **against libvips**: the largest difference of a sample in 8 bits, or CIEDE2000 where decoders may differ. Its pixels are turned by
  `autorot`, converted by `icc_transform` (relative colorimetric, black point compensation), and put on the background by `flatten`.
- **raw** camera files are shown by the largest JPEG that they embed, which exiftool takes out; the mosaic itself is not developed. With
  less than a quarter of the mosaic's pixels the record calls it small, with less than a hundredth the file is refused.

{table}
"""


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
