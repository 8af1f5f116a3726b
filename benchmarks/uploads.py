"""Storing 2,200 tiles: our store's `bulk` against boto3, on rclone's S3 server. `python -m benchmarks.uploads`

In turns, in this process; wall and processor time of this process alone. rclone's server is fast but ignores conditions, so
nothing is said here of correctness.
"""

import argparse
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from lambdazoom.model.places import Bucket
from lambdazoom.storage.base import IMMUTABLE, Headers
from lambdazoom.storage.s3 import BucketStore, connect

TILES, TILE_BYTES = 2200, 24_000  # of 100 megapixels
BOTO3_THREADS = 32
HEADERS = Headers("image/jpeg", IMMUTABLE)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run both in turns and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.uploads", description="Our uploads against boto3's.")
    parser.add_argument("--rounds", type=int, default=3, help="how often each runs; the medians are shown (default: 3)")
    rounds: int = parser.parse_args(arguments).rounds
    data = os.urandom(TILE_BYTES)
    with rclone() as bucket:
        store = BucketStore(connect(), Bucket(bucket))
        runs: dict[str, Callable[[str], None]] = {
            "lambdazoom (obstore)": lambda prefix: by_bulk(store, prefix, data),
            f"boto3, {BOTO3_THREADS} threads": lambda prefix: by_boto3(store, prefix, data),
        }
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
        for number in range(rounds):
            for name, run in runs.items():
                measured[name].append(measure(partial(run, f"_tiles/{number}/{name[:4]}")))
    print(f"{TILES:,} tiles of {TILE_BYTES:,} bytes to rclone's S3 server, medians of {rounds} runs in turns\n")
    print(f"{'':24}{'wall s':>10}{'CPU ms a tile':>16}{'tiles a second':>16}")
    for name, each in measured.items():
        wall, cpu = median(wall for wall, _ in each), median(cpu for _, cpu in each)
        print(f"{name:24}{wall:>10.2f}{cpu / TILES * 1000:>16.2f}{TILES / wall:>16,.0f}")


def by_bulk(store: BucketStore, prefix: str, data: bytes) -> None:
    """As a generation's tiles are stored."""
    with store.bulk() as write:
        for number in range(TILES):
            write(f"{prefix}/{number}.jpg", data, HEADERS)


def by_boto3(store: BucketStore, prefix: str, data: bytes) -> None:
    """As most would do it."""
    with ThreadPoolExecutor(BOTO3_THREADS) as pool:
        list(pool.map(lambda number: store.put(f"{prefix}/{number}.jpg", data, HEADERS), range(TILES)))


def measure(run: Callable[[], None]) -> tuple[float, float]:
    """Wall and processor seconds."""
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    run()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter() - started, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@contextmanager
def rclone() -> Iterator[str]:
    """rclone's S3 server over an empty folder, as the endpoint of this process; the name of its one bucket."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    program = shutil.which("rclone", path=str(Path(sys.executable).parent))
    if program is None:
        raise SystemExit("rclone is not installed; `make bench` does that.")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "zoom").mkdir()
        server = subprocess.Popen(
            [program, "serve", "s3", "--auth-key", "benchmark,benchmark", "--addr", address, folder], stderr=subprocess.DEVNULL
        )
        os.environ.update(AWS_ENDPOINT_URL=f"http://{address}", AWS_ACCESS_KEY_ID="benchmark", AWS_SECRET_ACCESS_KEY="benchmark")
        _wait_for(address)
        try:
            yield "zoom"
        finally:
            server.terminate()
            server.wait()


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


if __name__ == "__main__":
    main()
