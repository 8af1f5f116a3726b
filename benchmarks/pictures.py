"""Which images are measured, and where they lie once they are drawn; how they are drawn stands in benchmarks.drawing."""

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("build/bench")
SUFFIXES = {"JPEG": "jpg", "PNG": "png", "TIFF": "tif"}


@dataclass(frozen=True)
class Picture:
    """One image: its format, its megapixels as it is called by, its size in pixels."""

    kind: str
    megapixels: int
    width: int
    height: int

    @property
    def name(self) -> str:
        """As tables call it."""
        return f"{self.kind} {self.megapixels} MP" if self.megapixels < 1000 else f"{self.kind} {self.megapixels // 1000} GP"

    @property
    def pixels(self) -> int:
        """Exactly."""
        return self.width * self.height

    @property
    def path(self) -> Path:
        """Where it lies; its name says what shall be drawn."""
        return FOLDER / f"photo-like-{self.width}x{self.height}.{SUFFIXES[self.kind]}"

    def divided(self, by: int) -> "Picture":
        """The same with sides so many times smaller, to try the benchmarks out."""
        return Picture(self.kind, self.megapixels, -(-self.width // by), -(-self.height // by))


JPEG_12 = Picture("JPEG", 12, 4000, 3000)
JPEG_100 = Picture("JPEG", 100, 12000, 8400)
JPEG_1000 = Picture("JPEG", 1000, 32000, 32000)
PNG_100 = Picture("PNG", 100, 12000, 8400)
TIFF_100 = Picture("TIFF", 100, 12000, 8400)
PICTURES = (JPEG_12, JPEG_100, JPEG_1000, PNG_100, TIFF_100)
SWEEP = (
    Picture("JPEG", 1, 1200, 840),
    Picture("JPEG", 3, 2100, 1430),
    JPEG_12,
    Picture("JPEG", 25, 6000, 4200),
    Picture("JPEG", 50, 8500, 5900),
    JPEG_100,
    Picture("JPEG", 250, 19000, 13200),
    JPEG_1000,
)


def draw(pictures: Iterable[Picture]) -> None:
    """Draw those that are not there yet, in a process of its own: it takes more memory than what is measured."""
    missing = [picture.path for picture in pictures if not picture.path.exists()]
    if missing:
        print(f"Drawing {len(missing)} images, once ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "benchmarks.drawing", *missing], check=True)


def warm(picture: Picture) -> None:
    """Read the file once, so that nobody has to wait for the disk that it comes from."""
    with picture.path.open("rb") as opened:
        while opened.read(2**20):
            pass
