"""What has to be converted or turned: our `tile` against libvips on the same work, in turns. `python -m benchmarks.kinds`"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks import machine
from benchmarks.cutting import tiles_in
from benchmarks.drawing_kinds import KINDS
from benchmarks.ledger import Ledger
from benchmarks.measuring import Measured, in_turns, measure
from benchmarks.pictures import FOLDER, JPEG_100, draw
from benchmarks.tables import cells, table
from lambdazoom.model.geometry import Pyramid, Recipe

HEADER = ("100 MP", "our s", "CPU s", "MiB", "libvips s", "CPU s", "MiB", "ratio", "MiB ratio")
RECIPE = Recipe()


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the files if need be, run both in turns and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kinds", description="What is converted or turned: ours against libvips.")
    parser.add_argument("names", nargs="*", help=f"some of: {', '.join(KINDS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each runs; the medians are shown (default: 3)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the files lie (default: %(default)s)")
    options = parser.parse_args(arguments)
    names = options.names or list(KINDS)
    files = {name: options.folder / f"kind-{name}" for name in names}
    _draw([path for path in files.values() if not path.exists()])
    ledger = Ledger(options.folder / "kinds.jsonl", machine.identity("kinds"))
    for name, path in files.items():
        runs = {program: partial(_cut, command, path) for program, command in (("lambdazoom", _ours), ("libvips", dzsave_command))}
        in_turns(name, runs, options.rounds, ledger)
    print(f"medians of {options.rounds} runs in turns · {machine.machine()}\n{machine.versions()}\n")
    print(table(HEADER, list(_rows(names, ledger))))


def _rows(names: Sequence[str], ledger: Ledger) -> Iterator[list[str]]:
    for name in names:
        ours, theirs = ledger.summary(name, "lambdazoom"), ledger.summary(name, "libvips")
        ratios = (ours.wall / theirs.wall, ours.peak_memory / theirs.peak_memory)
        yield [name, *cells(ours), *cells(theirs), *(f"{ratio:.2f}" for ratio in ratios)]


def _draw(missing: list[Path]) -> None:
    """In a process of its own: it takes more memory than what is measured."""
    if missing:
        draw([JPEG_100])
        subprocess.run([sys.executable, "-m", "benchmarks.drawing_kinds", JPEG_100.path, *missing], check=True)


def _ours(source: Path, target: Path) -> list[str | Path]:
    return [sys.executable, "-m", "lambdazoom", "tile", source, target.parent, "--json"]


def dzsave_command(source: Path, target: Path) -> list[str | Path]:
    """libvips, doing the same."""
    quality, tile_size, overlap = (str(number) for number in (RECIPE.quality, RECIPE.tile_size, RECIPE.overlap))
    return [sys.executable, "-m", "benchmarks.programs.finished_dzsave", source, target, quality, tile_size, overlap]


def _cut(command: Callable[[Path, Path], list[str | Path]], source: Path) -> Measured:
    """One run into a folder that is gone afterwards; SystemExit if the tiles are not all there."""
    with tempfile.TemporaryDirectory(prefix=".out-", dir=source.parent) as folder:
        measured = measure(command(source, Path(folder) / source.stem))
        wanted, made = Pyramid(JPEG_100.width, JPEG_100.height, RECIPE).tile_count, tiles_in(Path(folder))
    turned = Pyramid(JPEG_100.height, JPEG_100.width, RECIPE).tile_count
    if made not in (wanted, turned):
        raise SystemExit(f"{made:,} tiles of {source.name} were made where there should be {wanted:,}.")
    return measured


if __name__ == "__main__":
    main()
