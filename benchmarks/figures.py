"""What is promised, and whether it holds: the figures of the requirements, against what the ledger has."""

from dataclasses import dataclass

from benchmarks import buckets
from benchmarks.cutting import DZSAVE, OPENZOOM, OURS, case, cores_here
from benchmarks.ledger import Ledger
from benchmarks.pictures import JPEG_100, JPEG_1000, PNG_100, TIFF_100, Picture
from benchmarks.tables import MEBIBYTE, table


@dataclass(frozen=True)
class Promise:
    """For one image: our wall time over dzsave's, required and aimed at, and the most memory, in MiB."""

    ratio: float
    aim: float
    memory: int


@dataclass(frozen=True)
class Figure:
    """One promise and what became of it: `measured` may be `required` at most."""

    what: str
    measured: float
    required: float
    aim: float | None = None

    @property
    def holds(self) -> bool:
        """Whether it does, without rounding anything."""
        return self.measured <= self.required

    @property
    def verdict(self) -> str:
        """In a word."""
        return "holds" if self.holds else "MISSED"


PROMISES = {
    JPEG_100.name: Promise(0.45, 0.36, 130),
    JPEG_1000.name: Promise(0.40, 0.30, 260),
    TIFF_100.name: Promise(0.85, 0.70, 250),
    PNG_100.name: Promise(0.85, 0.70, 90),
}
OPENZOOM_RATIO, OPENZOOM_AIM = 0.07, 0.05
S3_RATIOS = {buckets.WITH_S5CMD: (0.5, 0.4), buckets.WITH_BOTO3: (0.2, 0.15)}
S3_MEMORY = 260
PIXEL_RATIO = 1.1  # the time for a pixel, at a gigapixel over that at 100 megapixels


def of_picture(picture: Picture, ledger: Ledger) -> list[Figure]:
    """Our time over dzsave's, and our memory; nothing for an image of which nothing is promised."""
    promise = PROMISES.get(picture.name)
    if promise is None:
        return []
    here = case(picture, cores_here())
    ours, theirs = ledger.summary(here, OURS.name), ledger.summary(here, DZSAVE.name)
    return [
        Figure(f"{picture.name}: time over dzsave's", ours.wall / theirs.wall, promise.ratio, promise.aim),
        Figure(f"{picture.name}: peak memory, MiB", ours.peak_memory / MEBIBYTE, promise.memory),
    ]


def of_everything(large: Picture, huge: Picture, pictures: list[Picture], ledger: Ledger) -> list[Figure]:
    """All promises; `large` and `huge` are the JPEGs of 100 megapixels and of a gigapixel."""
    figures = [figure for picture in pictures for figure in of_picture(picture, ledger)]
    ours, openzoom = (ledger.summary(case(large, cores_here()), name).wall for name in (OURS.name, OPENZOOM.name))
    figures.append(Figure(f"{large.name}: time over the openzoom-style tiler's", ours / openzoom, OPENZOOM_RATIO, OPENZOOM_AIM))
    figures.append(Figure("Time a pixel at 1 GP over that at 100 MP", pixel_ratio(large, huge, ledger), PIXEL_RATIO))
    here = buckets.case(large)
    through = ledger.summary(here, buckets.OURS)
    for name, (required, aim) in S3_RATIOS.items():
        figures.append(Figure(f"{here}: time over that of {name}", through.wall / ledger.summary(here, name).wall, required, aim))
    figures.append(Figure(f"{here}: peak memory, MiB", through.peak_memory / MEBIBYTE, S3_MEMORY))
    return figures


def pixel_ratio(large: Picture, huge: Picture, ledger: Ledger) -> float:
    """Our time a pixel at the huge image over that at the large one."""
    times = [ledger.summary(case(each, cores_here()), OURS.name).wall / each.pixels for each in (huge, large)]
    return times[0] / times[1]


def as_table(figures: list[Figure]) -> str:
    """One line a promise."""
    header = ("figure", "measured", "required", "aim", "")
    return table(header, [(each.what, _number(each.measured), f"≤ {each.required:g}", _aim(each), each.verdict) for each in figures])


def _number(value: float) -> str:
    return f"{value:,.1f}" if value >= 20 else f"{value:.3f}"


def _aim(figure: Figure) -> str:
    return "" if figure.aim is None else f"{figure.aim:g}"
