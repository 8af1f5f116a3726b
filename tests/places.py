"""Three places to work on, each kind behind the same few calls: folders, buckets, buckets below prefixes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote_plus

import boto3
import pytest

from lambdazoom.model.settings import Settings
from lambdazoom.publishing.workspace import Workspace, open_workspace
from tests.zappa_function import stage_settings

SETTINGS = stage_settings()["aws_environment_variables"]
NAMES = ("LAMBDAZOOM_SOURCE", "LAMBDAZOOM_ZOOM", "LAMBDAZOOM_METADATA")
BUCKETS = {name: SETTINGS[name].removeprefix("s3://") for name in NAMES}


class Places(Protocol):
    """What a test needs of the three places. Keys and names are relative to each."""

    environment: dict[str, str]

    def put(self, key: str, data: bytes) -> None:
        """Put an original."""

    def remove(self, key: str) -> None:
        """Delete an original."""

    def event_key(self, key: str) -> str:
        """The key as an event names it, form-encoded as S3 does."""

    def published(self) -> dict[str, object]:
        """Everything that we wrote to the zoom and metadata stores, each with what changes when it is written again."""


@dataclass
class Folders:
    """Three folders below one."""

    root: Path

    def __post_init__(self) -> None:
        self.environment = {name: str(self.root / name.lower()) for name in NAMES}
        self._source = Path(self.environment["LAMBDAZOOM_SOURCE"])
        self._source.mkdir()

    def put(self, key: str, data: bytes) -> None:
        path = self._source / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(data)

    def remove(self, key: str) -> None:
        (self._source / key).unlink()

    def event_key(self, key: str) -> str:
        return quote_plus(key, safe="/")

    def published(self) -> dict[str, object]:
        roots = [Path(self.environment[name]) for name in NAMES[1:]]
        return {str(path): path.stat().st_mtime_ns for root in roots for path in root.rglob("*") if path.is_file()}


@dataclass
class Buckets:
    """The three buckets of zappa_settings.json, emptied, or the part of each below a prefix."""

    endpoint: str
    prefix: str = ""

    def __post_init__(self) -> None:
        self._s3 = boto3.client("s3")
        self.environment = {name: f"s3://{bucket}/{self.prefix}".rstrip("/") for name, bucket in BUCKETS.items()}
        for bucket in BUCKETS.values():
            self._s3.create_bucket(Bucket=bucket)
            for entry in self._entries(bucket):
                self._s3.delete_object(Bucket=bucket, Key=entry["Key"])

    def put(self, key: str, data: bytes) -> None:
        self._s3.put_object(Bucket=BUCKETS["LAMBDAZOOM_SOURCE"], Key=self.prefix + key, Body=data)

    def remove(self, key: str) -> None:
        self._s3.delete_object(Bucket=BUCKETS["LAMBDAZOOM_SOURCE"], Key=self.prefix + key)

    def event_key(self, key: str) -> str:
        return quote_plus(self.prefix + key, safe="/")

    def published(self) -> dict[str, object]:
        buckets = [BUCKETS[name] for name in NAMES[1:]]
        return {f"{bucket}/{entry['Key']}": entry["LastModified"] for bucket in buckets for entry in self._entries(bucket)}

    def _entries(self, bucket: str):  # type: ignore[no-untyped-def]
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            yield from page.get("Contents", ())


@pytest.fixture(params=["folders", "buckets"])
def places(request: pytest.FixtureRequest) -> Places:
    if request.param == "folders":
        return Folders(request.getfixturevalue("tmp_path"))
    return Buckets(request.getfixturevalue("aws"))


@pytest.fixture
def working(places: Places) -> Iterator[Workspace]:
    with open_workspace(Settings.from_env(places.environment)).closing() as workspace:
        yield workspace


def object_event(places: Places, key: str, name: str = "ObjectCreated:Put", bucket: str | None = None) -> dict[str, object]:
    """S3's event document about one object (AWS's "Event message structure" 2.1)."""
    bucket = bucket or BUCKETS["LAMBDAZOOM_SOURCE"]
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2026-11-23T09:30:00.000Z",
        "eventName": name,
        "userIdentity": {"principalId": "AWS:AIDAEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "198.51.100.7"},
        "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURIY8"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "lambdazoom",
            "bucket": {"name": bucket, "ownerIdentity": {"principalId": "A3NL1KOZZKExample"}, "arn": f"arn:aws:s3:::{bucket}"},
            "object": {"key": places.event_key(key), "size": 1024, "eTag": "0123456789abcdef", "sequencer": "0055AED6DCD90281E5"},
        },
    }
