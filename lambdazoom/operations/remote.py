"""Handing images to the deployed function: ordinary S3 event documents by Lambda's Invoke, so that there is one door for everything.

An invocation is asynchronous: Lambda queues it, repeats what fails, and puts what fails for good where failed events go.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any
from urllib.parse import quote_plus

from lambdazoom.model.errors import SettingsError
from lambdazoom.model.places import Bucket, Folder
from lambdazoom.operations.aws import Aws, asking
from lambdazoom.operations.policy import bucket_arn
from lambdazoom.operations.stage import Stage
from lambdazoom.publishing.reconciling import Found

BATCH = 20  # images in one event
BATCH_BYTES = 20 * 2**20  # of their sources: one invocation must make them all, so large ones go alone
EVENT_NAME = "ObjectCreated:Put"


def require_same_source(stage: Stage, source: Folder | Bucket) -> Bucket:
    """The bucket, if it is the one that the stage's function looks at; SettingsError if it isn't."""
    theirs = stage.buckets.get("source")
    if not isinstance(source, Bucket) or source != theirs:
        raise SettingsError(
            f"The function {stage.function_name} looks at another source. Set LAMBDAZOOM_SOURCE as the stage {stage.name} does."
        )
    return source


def batches(found: Iterable[Found]) -> Iterator[list[Found]]:
    """Images for one event each."""
    batch: list[Found] = []
    size = 0
    for one in found:
        if batch and (len(batch) >= BATCH or size + one.size > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += one.size
    if batch:
        yield batch


def event_document(batch: Iterable[Found], bucket: Bucket, region: str, now: datetime) -> dict[str, Any]:
    """S3's event document about these objects (AWS's "Event message structure" 2.1)."""
    return {"Records": [_record(one, bucket, region, now) for one in batch]}


def _record(one: Found, bucket: Bucket, region: str, now: datetime) -> dict[str, Any]:
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": region,
        "eventTime": f"{now:%Y-%m-%dT%H:%M:%S}.000Z",
        "eventName": EVENT_NAME,
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "lambdazoom-backfill",
            "bucket": {"name": bucket.name, "arn": bucket_arn(Bucket(bucket.name), region)},
            "object": {"key": quote_plus(bucket.path + one.key, safe="/", errors="surrogateescape"), "size": one.size},
        },
    }


def send(
    found: Iterable[Found],
    bucket: Bucket,
    stage: Stage,
    aws: Aws,
    now: Callable[[], datetime],
    a_second: float,
    told: Callable[[int], None] = lambda _: None,
) -> int:
    """Invoke the stage's function for all of them, at most so many times a second; how many were sent. Raises as `asking` does."""
    client = aws.client("lambda")
    sent = 0
    for batch in batches(found):
        began = time.monotonic()
        payload = json.dumps(event_document(batch, bucket, aws.region, now())).encode()
        with asking():
            client.invoke(FunctionName=stage.function_name, InvocationType="Event", Payload=payload)
        sent += len(batch)
        told(sent)
        time.sleep(max(0.0, 1 / a_second - (time.monotonic() - began)))
    return sent
