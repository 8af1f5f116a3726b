"""Our `tile` against libvips's dzsave on a JPEG of 100 megapixels: time, processor time and memory. `python -m benchmarks.dzsave`

Both run as a program of their own, both write a folder of the same tiles, in turns, so that whatever else the machine
does falls on both. What is measured is what the operating system says of the whole process, its start included.
This process stays small, without numpy or libvips: a child's peak memory is never less than its parent's at its start.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

from lambdazoom import __version__
from lambdazoom.model.geometry import Recipe

FOLDER = Path("build/bench")
WIDTH, HEIGHT = 12000, 8400
RECIPE = Recipe()
_KIBIBYTE = 1 if sys.platform == "darwin" else 1024  # the unit of ru_maxrss in bytes

_DZSAVE = """\
import sys, pyvips
source, target, suffix, tile_size, overlap = sys.argv[1:]
image = pyvips.Image.new_from_file(source, access="sequential")
image.dzsave(target, layout="dz", suffix=suffix, tile_size=int(tile_size), overlap=int(overlap), depth="onepixel")
"""


@dataclass(frozen=True)
class Measured:
    """One run, or the medians of several: `wall` and `cpu` in seconds, `peak_memory` in bytes."""

    wall: float
    cpu: float
    peak_memory: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the image if need be, run both in turns and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dzsave", description="Our tiler against libvips's dzsave.")
    parser.add_argument("--rounds", type=int, default=5, help="how often each runs; the medians are shown (default: 5)")
    rounds: int = parser.parse_args(arguments).rounds
    source = FOLDER / f"photo-like-{WIDTH}x{HEIGHT}.jpg"
    subprocess.run([sys.executable, "-m", "benchmarks.drawing", source, str(WIDTH), str(HEIGHT)], check=True)
    runs: dict[str, list[Measured]] = {"lambdazoom": [], "dzsave": []}
    counts = {}
    for _ in range(rounds):
        for name in runs:
            # on the disk that the image is on: /tmp may be memory
            with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=FOLDER) as folder:
                runs[name].append(measure(_command(name, source, Path(folder) / "out")))
                counts[name] = sum(1 for _ in Path(folder).rglob(f"*_*.{RECIPE.format}"))
    if len(set(counts.values())) != 1:
        raise SystemExit(f"They wrote different numbers of tiles: {counts}")
    _print(source, rounds, counts["dzsave"], {name: _medians(each) for name, each in runs.items()})


def measure(command: list[str]) -> Measured:
    """Run the command to its end; SystemExit if it fails."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[:4]} failed with {process.returncode}")
    return Measured(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _KIBIBYTE)


def _command(name: str, source: Path, target: Path) -> list[str]:
    size = [str(RECIPE.tile_size), str(RECIPE.overlap)]
    if name == "dzsave":
        target.mkdir()
        suffix = f".{RECIPE.format}[Q={RECIPE.quality},subsample_mode=on]"
        return [sys.executable, "-c", _DZSAVE, str(source), str(target / source.stem), suffix, *size]
    options = ["--tile-size", size[0], "--overlap", size[1], "--format", RECIPE.format, "--quality", str(RECIPE.quality), "--json"]
    return [sys.executable, "-m", "lambdazoom", "tile", str(source), str(target), *options]


def _medians(runs: list[Measured]) -> Measured:
    return Measured(median(run.wall for run in runs), median(run.cpu for run in runs), median(run.peak_memory for run in runs))


def _print(source: Path, rounds: int, tiles: int, medians: dict[str, Measured]) -> None:
    ours, theirs = medians["lambdazoom"], medians["dzsave"]
    bits = source.stat().st_size * 8 / WIDTH / HEIGHT
    names = {
        "lambdazoom": f"lambdazoom {__version__} (Pillow {version('pillow')})",
        "dzsave": f"libvips {version('pyvips-binary')} dzsave (pyvips {version('pyvips')})",
    }
    print(f"JPEG, {WIDTH:,} × {HEIGHT:,} pixels, {bits:.1f} bits a pixel → {tiles:,} tiles of {RECIPE.fingerprint.rsplit(' ', 1)[0]}")
    print(f"medians of {rounds} runs in turns, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print(f"{'':40}  wall s   CPU s  peak MiB")
    for name, each in medians.items():
        print(f"{names[name]:40} {each.wall:7.2f} {each.cpu:7.2f} {each.peak_memory / 2**20:9.0f}")
    ratios = ours.wall / theirs.wall, ours.cpu / theirs.cpu, ours.peak_memory / theirs.peak_memory
    print(f"{'ours / theirs':40} {ratios[0]:7.2f} {ratios[1]:7.2f} {ratios[2]:9.2f}")


if __name__ == "__main__":
    main()
