"""From a local image to a local pyramid: we and our peers, as commands that make the same tiles."""

import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.ledger import Ledger
from benchmarks.measuring import Measured, available_cores, cores_named, in_turns, measure, only
from benchmarks.pictures import FOLDER, Picture, warm
from lambdazoom.model.geometry import Pyramid, Recipe

RECIPE = Recipe()
_GEOMETRY = [str(RECIPE.quality), str(RECIPE.tile_size), str(RECIPE.overlap)]
_TILE = re.compile(r"\d+/\d+_\d+\.jpg\Z")


@dataclass(frozen=True)
class Program:
    """One of those that are compared: `command` makes its command from a source and what the pyramid shall be called."""

    name: str
    command: Callable[[Path, Path], Sequence[str | Path]]


def _ours(source: Path, target: Path) -> list[str | Path]:
    quality, tile_size, overlap = _GEOMETRY
    options = ["--tile-size", tile_size, "--overlap", overlap, "--format", RECIPE.format, "--quality", quality, "--json"]
    return [sys.executable, "-m", "lambdazoom", "tile", source, target.parent, *options]


def _dzsave(container: str, source: Path, target: Path) -> list[str | Path]:
    named = target.with_suffix(".zip") if container == "zip" else target
    return [sys.executable, "-m", "benchmarks.programs.dzsave", source, named, container, *_GEOMETRY]


def _vips(source: Path, target: Path) -> list[str | Path]:
    quality, tile_size, overlap = _GEOMETRY
    suffix = f".{RECIPE.format}[Q={quality},subsample_mode=on]"
    return ["vips", "dzsave", source, target, "--suffix", suffix, "--tile-size", tile_size, "--overlap", overlap, "--depth", "onepixel"]


def _openzoom(source: Path, target: Path) -> list[str | Path]:
    return [sys.executable, "-m", "benchmarks.programs.openzoom", source, target, *_GEOMETRY]


OURS = Program("lambdazoom", _ours)
DZSAVE = Program("dzsave", partial(_dzsave, "fs"))
DZSAVE_ZIP = Program("dzsave to zip", partial(_dzsave, "zip"))
VIPS = Program("vips dzsave", _vips)
OPENZOOM = Program("openzoom-style", _openzoom)


def peers_here() -> list[Program]:
    """libvips in all its forms that this machine has."""
    return [DZSAVE, DZSAVE_ZIP, *([VIPS] if shutil.which("vips") else [])]


def case(picture: Picture, cores: int) -> str:
    """What the ledger calls it."""
    return f"{picture.name}, {cores_named(cores)}"


def cut(program: Program, picture: Picture) -> Measured:
    """One run into a folder that is gone afterwards; SystemExit if not exactly the tiles of the pyramid are there."""
    # on the disk that the image is on: /tmp may be memory
    with tempfile.TemporaryDirectory(prefix=".out-", dir=FOLDER) as folder:
        target = Path(folder) / picture.path.stem
        measured = measure(program.command(picture.path, target))
        wanted, made = Pyramid(picture.width, picture.height, RECIPE).tile_count, tiles_in(Path(folder))
    if made != wanted:
        raise SystemExit(f"{program.name} made {made:,} tiles of {picture.name} where there should be {wanted:,}.")
    return measured


def tiles_in(folder: Path) -> int:
    """All tiles below a folder, and in zips there."""
    names = [str(path) for path in folder.rglob("*")]
    for path in folder.rglob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            names += archive.namelist()
    return sum(1 for name in names if _TILE.search(name))


def compare(picture: Picture, programs: Sequence[Program], cores: int, rounds: int, ledger: Ledger) -> None:
    """All of them on one image, in turns."""
    runs = {program.name: partial(cut, program, picture) for program in programs}
    warm(picture)
    with only(cores):
        in_turns(case(picture, cores), runs, rounds, ledger)


def cores_here() -> int:
    """Two, as the figures are meant, or what there is."""
    return min(2, available_cores())
