"""Everything that docs/performance.md says, measured anew. `python -m benchmarks.full`, about half an hour on two cores.

What is interrupted goes on where it was when it is run again, unless our code, a version or an option has changed since.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import buckets, figures, machine, page
from benchmarks.cutting import DZSAVE, OPENZOOM, OURS, Program, compare, cores_here, peers_here
from benchmarks.ledger import Ledger
from benchmarks.limits import LARGEST, limit
from benchmarks.pictures import FOLDER, JPEG_12, JPEG_100, PICTURES, SWEEP, Picture, draw

LEDGER = FOLDER / "full.jsonl"


@dataclass(frozen=True)
class Options:
    """How often each runs, the gigapixel by itself, and how many times smaller the sides are made."""

    rounds: int
    gigapixel_rounds: int
    divide: int

    def rounds_of(self, picture: Picture) -> int:
        """How often each runs on this one."""
        return self.gigapixel_rounds if picture.megapixels >= 1000 else self.rounds


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw, measure, print; and write the page, unless this was only a trial with smaller images."""
    options = _parse(arguments)
    results = measure_all(options)
    print(page.measured(results))
    pixel_ratio = figures.pixel_ratio(results.large, results.huge, results.ledger)
    print(f"Time a pixel at 1 GP over that at 100 MP: {pixel_ratio:.2f}")
    if options.divide == 1:
        page.write(results)
        print(f"{page.PAGE} and {page.PLOT} are written.")
    results.ledger.close()


def measure_all(options: Options) -> page.Results:
    """Every run that the ledger doesn't have yet."""
    pictures = [picture.divided(options.divide) for picture in PICTURES]
    sweep = [picture.divided(options.divide) for picture in SWEEP]
    load = machine.load()  # drawing would raise it
    machine.prepare()
    draw([*pictures, *sweep])
    ledger = Ledger(LEDGER, machine.identity(str(options)))
    for cores in sorted({cores_here(), 1}, reverse=True):
        for picture in pictures:
            compare(picture, _programs(picture, cores), cores, options.rounds_of(picture), ledger)
    for picture in sweep:
        compare(picture, [OURS, DZSAVE], cores_here(), options.rounds_of(picture), ledger)
    large = JPEG_100.divided(options.divide)
    buckets.compare(large, options.rounds, ledger)
    buckets.compare_storing(options.rounds, ledger)
    limits = {picture.name: limit(picture, options.rounds) for picture in pictures if picture.megapixels <= LARGEST}
    return page.Results(pictures, sweep, limits, ledger, load)


def _programs(picture: Picture, cores: int) -> list[Program]:
    # the openzoom-style tiler has one thread, and a gigapixel would take it minutes and many GiB
    with_openzoom = picture.name in (JPEG_12.name, JPEG_100.name) and cores == cores_here()
    return [OURS, *peers_here(), *([OPENZOOM] if with_openzoom else [])]


def _parse(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.full", description="Us against our peers; writes docs/performance.md.")
    parser.add_argument("--rounds", type=int, default=5, help="how often each runs; the medians are shown (default: 5)")
    parser.add_argument("--gigapixel-rounds", type=int, default=3, help="the same for the gigapixel (default: 3)")
    parser.add_argument("--divide", type=int, default=1, help="make the sides so many times smaller, to try this out; the page stays")
    given = parser.parse_args(arguments)
    return Options(given.rounds, given.gigapixel_rounds, given.divide)


if __name__ == "__main__":
    main()
