"""docs/performance.md and its plot, from what was measured; what stands outside the markers is written by hand and stays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import buckets, figures, machine
from benchmarks.cutting import DZSAVE, OURS, case, cores_here
from benchmarks.ledger import Ledger
from benchmarks.limits import Limit
from benchmarks.measuring import cores_named
from benchmarks.pictures import Picture
from benchmarks.plot import Line, Panel, svg
from benchmarks.tables import MEBIBYTE, cells, seconds, spread, table

PAGE, PLOT = Path("docs/performance.md"), Path("docs/performance.svg")
BEGIN, END = "<!-- measured: what follows is written by `make bench` -->", "<!-- measured: end -->"
HEADER = ("", "wall s", "fastest–slowest", "CPU s", "peak MiB", "ours / theirs")


@dataclass(frozen=True)
class Results:
    """Everything that a finished benchmark knows. `load` is the machine's before it began, `limits` belong to names of pictures."""

    pictures: Sequence[Picture]
    sweep: Sequence[Picture]
    limits: Mapping[str, Limit]
    ledger: Ledger
    load: float

    @property
    def large(self) -> Picture:
        """The JPEG of 100 megapixels."""
        return next(picture for picture in self.pictures if (picture.kind, picture.megapixels) == ("JPEG", 100))

    @property
    def huge(self) -> Picture:
        """The JPEG of a gigapixel."""
        return next(picture for picture in self.pictures if picture.megapixels == 1000)


def measured(results: Results) -> str:
    """All that goes between the markers."""
    promises = figures.of_everything(results.large, results.huge, list(results.pictures), results.ledger)
    quiet = "" if results.load <= machine.QUIET else " **The machine was busy: the ratios will do, but the times won't.**"
    parts = [
        f"Measured on {machine.today()}: {machine.machine()}; load before it began {results.load:.1f}.{quiet}\n{machine.versions()}.",
        f"![Time and peak memory against pixels]({PLOT.name})",
        f"## What is promised\n\n{figures.as_table(promises)}",
        *(_of_cores(cores, results) for cores in sorted({cores_here(), 1}, reverse=True)),
        f"## How near to the limit, {cores_named(cores_here())}\n\n{_limits(results)}",
        f"## From bucket to bucket\n\n{_buckets(results)}",
    ]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def write(results: Results, page: Path = PAGE, plot: Path = PLOT) -> None:
    """Put it into the page, and draw the plot."""
    page.write_text(replaced(page.read_text("utf-8"), measured(results)), encoding="utf-8")
    plot.write_text(plotted(results), encoding="utf-8")


def replaced(page: str, text: str) -> str:
    """The page with this text between its markers; SystemExit if it has lost them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE} has no place to write to: it needs the lines {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"


def plotted(results: Results) -> str:
    """Time and memory against pixels, for us and for dzsave."""
    names, ledger = (OURS.name, DZSAVE.name), results.ledger
    runs = {name: [(each.pixels / 1e6, ledger.summary(case(each, cores_here()), name)) for each in results.sweep] for name in names}
    times = tuple(Line(name, tuple((x, run.wall) for x, run in runs[name])) for name in names)
    memory = tuple(Line(name, tuple((x, run.peak_memory / MEBIBYTE) for x, run in runs[name])) for name in names)
    panels = [Panel("Seconds", "megapixels, JPEG", times), Panel("Peak memory, MiB", "megapixels, JPEG", memory)]
    return svg(panels, f"Time and peak memory against pixels, {OURS.name} and {DZSAVE.name}, {cores_named(cores_here())}")


def _of_cores(cores: int, results: Results) -> str:
    tables = [_comparison(picture.name, case(picture, cores), results.ledger) for picture in results.pictures]
    return f"## To a folder, {cores_named(cores)}\n\n" + "\n".join(tables)


def _comparison(title: str, here: str, ledger: Ledger) -> str:
    """One table: we come first, and the last column says how many times the others' our time is."""
    ours = ledger.summary(here, OURS.name)
    rows = []
    for name in ledger.programs(here):
        each = ledger.summary(here, name)
        wall, cpu, memory = cells(each)
        ratio = "" if name == OURS.name else f"{ours.wall / each.wall:.2f}"
        rows.append([name, wall, spread(each), cpu, memory, ratio])
    return table([f"{title}, {ours.rounds} rounds" if ours.rounds > 1 else title, *HEADER[1:]], rows)


def _limits(results: Results) -> str:
    rows = []
    for name, limit in results.limits.items():
        picture = next(each for each in results.pictures if each.name == name)
        ours = results.ledger.summary(case(picture, cores_here()), OURS.name).wall
        least = limit.seconds(cores_here())
        rows.append([name, seconds(limit.decode), seconds(limit.encode), seconds(least), seconds(ours), f"{ours / least:.2f}"])
    return table(["", "decode s", "encode s", "limit s", "ours s", "ours / limit"], rows)


def _buckets(results: Results) -> str:
    here = buckets.case(results.large)
    through = _comparison(here, here, results.ledger)
    title = f"{buckets.STORING}, {buckets.TILES:,} tiles of {buckets.TILE_BYTES:,} bytes"
    return f"{through}\n{_of_the_server(here, results.ledger)}\n\n{_comparison(title, buckets.STORING, results.ledger)}"


def _of_the_server(here: str, ledger: Ledger) -> str:
    """What is left for anybody to save: of the cores' time, how much the server took, and how much was idle."""
    runs, cores = {name: ledger.summary(here, name) for name in ledger.programs(here)}, cores_here()
    told = ", ".join(f"{seconds(run.beside)} s beside {name}" for name, run in runs.items())
    ours = runs[buckets.OURS]
    used = (ours.cpu + ours.beside) / (ours.wall * cores)
    return f"The server itself took processor time: {told}. With that, {used:.0%} of {cores_named(cores)} were in use while ours ran."
