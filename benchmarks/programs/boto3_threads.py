"""Objects into a bucket by boto3 on many threads, as most would do it."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

from lambdazoom.storage.base import IMMUTABLE

THREADS = 32


def store(bucket: str, objects: Iterable[tuple[str, bytes]]) -> None:
    """Store tiles under these keys."""
    client = boto3.client("s3", config=Config(max_pool_connections=THREADS))

    def put(each: tuple[str, bytes]) -> None:
        key, data = each
        client.put_object(Bucket=bucket, Key=key, Body=data, ContentType="image/jpeg", CacheControl=IMMUTABLE)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(put, objects))
