"""Storing so many tiles in a bucket, and nothing else: by our store's `bulk`, or by boto3.

python -m benchmarks.programs.storing PROGRAM BUCKET TILES TILE_BYTES      PROGRAM is lambdazoom or boto3
"""

import os
import sys
from collections.abc import Iterable


def by_bulk(bucket: str, objects: Iterable[tuple[str, bytes]]) -> None:
    """As a generation's tiles are stored."""
    from lambdazoom.model.places import Bucket
    from lambdazoom.storage.base import IMMUTABLE, Headers
    from lambdazoom.storage.connection import Connection
    from lambdazoom.storage.s3 import BucketStore

    headers = Headers("image/jpeg", IMMUTABLE)
    with BucketStore(Connection(), Bucket(bucket)).bulk() as write:
        for key, data in objects:
            write(key, data, headers)


def by_boto3(bucket: str, objects: Iterable[tuple[str, bytes]]) -> None:
    """As most would do it."""
    from benchmarks.programs.boto3_threads import store

    store(bucket, objects)


if __name__ == "__main__":
    noise = os.urandom(int(sys.argv[4]))
    tiles = [(f"tiles/0/0_{number}.jpg", noise) for number in range(int(sys.argv[3]))]
    {"lambdazoom": by_bulk, "boto3": by_boto3}[sys.argv[1]](sys.argv[2], tiles)
