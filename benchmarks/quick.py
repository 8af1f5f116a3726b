"""The short answer, in less than two minutes: our `tile` against libvips's dzsave. `python -m benchmarks.quick`"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import figures, machine
from benchmarks.cutting import DZSAVE, OURS, case, compare, cores_here
from benchmarks.figures import Figure
from benchmarks.ledger import Ledger
from benchmarks.pictures import FOLDER, JPEG_12, JPEG_100, PNG_100, TIFF_100, Picture, draw
from benchmarks.tables import cells, table

PICTURES = (JPEG_12, JPEG_100, PNG_100, TIFF_100)
HEADER = ("image", "our s", "CPU s", "MiB", "dzsave s", "CPU s", "MiB", "ratio", "required", "", "MiB allowed", "")


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the images if need be, run both in turns and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quick", description="Our tiler against libvips's dzsave.")
    parser.add_argument("--rounds", type=int, default=3, help="how often each runs; the medians are shown (default: 3)")
    parser.add_argument("--divide", type=int, default=1, help="make the sides so many times smaller, to try this out (default: 1)")
    options = parser.parse_args(arguments)
    pictures = [picture.divided(options.divide) for picture in PICTURES]
    machine.prepare()
    draw(pictures)
    ledger = _fresh(FOLDER / "quick.jsonl")
    for picture in pictures:
        compare(picture, [OURS, DZSAVE], cores_here(), options.rounds, ledger)
    print(report(pictures, options.rounds, ledger))


def report(pictures: Sequence[Picture], rounds: int, ledger: Ledger) -> str:
    """The table: both programs, our time over theirs and our memory, what is required of these and whether it holds."""
    head = f"medians of {rounds} runs in turns · {machine.machine()}\n{machine.versions()}\n\n"
    return head + table(HEADER, [_row(picture, ledger) for picture in pictures])


def _row(picture: Picture, ledger: Ledger) -> list[str]:
    here = case(picture, cores_here())
    ours, theirs = ledger.summary(here, OURS.name), ledger.summary(here, DZSAVE.name)
    verdicts = [cell for figure in figures.of_picture(picture, ledger) for cell in _verdict(figure)] or ["–", "", "–", ""]
    return [picture.name, *cells(ours), *cells(theirs), f"{ours.wall / theirs.wall:.3f}", *verdicts]


def _verdict(figure: Figure) -> tuple[str, str]:
    return f"≤ {figure.required:g}", figure.verdict


def _fresh(path: Path) -> Ledger:
    path.unlink(missing_ok=True)
    return Ledger(path, "quick")


if __name__ == "__main__":
    main()
