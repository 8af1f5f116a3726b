"""From bucket to bucket without us: the source comes down, dzsave cuts it into a temporary folder, an uploader stores that.

    python -m benchmarks.programs.through_buckets UPLOADER SOURCE_BUCKET KEY ZOOM_BUCKET QUALITY TILE_SIZE OVERLAP

UPLOADER is the path of s5cmd, which then fetches the source too, or the word boto3.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.programs.dzsave import dzsave


def with_s5cmd(s5cmd: str, source: str, key: str, zoom: str, geometry: tuple[int, int, int]) -> None:
    """s5cmd as it comes: it fetches in parallel ranges, and has 256 workers."""

    def copy(start: str, target: str) -> None:
        endpoint = os.environ["AWS_ENDPOINT_URL"]
        subprocess.run([s5cmd, "--endpoint-url", endpoint, "--log", "error", "cp", start, target], check=True)

    with tempfile.TemporaryDirectory() as private:
        copy(f"s3://{source}/{key}", f"{private}/{key}")
        dzsave(f"{private}/{key}", f"{private}/out/{Path(key).stem}", "fs", *geometry)
        copy(f"{private}/out/", f"s3://{zoom}/")


def with_boto3(source: str, key: str, zoom: str, geometry: tuple[int, int, int]) -> None:
    """boto3 for both ways; download_file takes parallel ranges by itself."""
    import boto3

    from benchmarks.programs.boto3_threads import store

    with tempfile.TemporaryDirectory() as private:
        boto3.client("s3").download_file(source, key, f"{private}/{key}")
        dzsave(f"{private}/{key}", f"{private}/out/{Path(key).stem}", "fs", *geometry)
        store(zoom, _objects(Path(private) / "out"))


def _objects(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield str(path.relative_to(folder)), path.read_bytes()


def main(uploader: str, source: str, key: str, zoom: str, *geometry: str) -> None:
    """Run one of the two."""
    quality, tile_size, overlap = (int(number) for number in geometry)
    if uploader == "boto3":
        with_boto3(source, key, zoom, (quality, tile_size, overlap))
    else:
        with_s5cmd(uploader, source, key, zoom, (quality, tile_size, overlap))


if __name__ == "__main__":
    main(*sys.argv[1:])
