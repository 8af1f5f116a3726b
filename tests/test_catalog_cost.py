"""The catalog's pages cost the same at a hundred thousand records as at a thousand, on folders and on S3."""

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import boto3
import pytest
from flask.testing import FlaskClient
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from lambdazoom.model.entries import list_entry
from lambdazoom.model.errors import CorruptImage
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord, Step
from lambdazoom.model.settings import Settings
from lambdazoom.publishing.workspace import Workspace, open_workspace
from lambdazoom.storage.effort import spending
from lambdazoom.web.application import create_app
from tests.faulty_s3 import faulty_s3
from tests.records import NOW, record

pytestmark = pytest.mark.long

ROUNDS = 60  # at most
FEW, MANY = 1_000, 100_000
WITH_RECORDS = 130  # the newest: two pages
APART = timedelta(milliseconds=40)
PAGES = ("/", "/?show=failed")


def failed(number: int) -> ImageRecord:
    """The record of an image among many in one folder, the latest first."""
    made = record(f"album/{number:06d}.jpg", tiles=Step.failed(CorruptImage("Cut off."), final=True))
    return replace(made, seen_at=NOW - number * APART)


def names(count: int, failed_every: int = 1) -> Iterator[str]:
    """The lists' entries of so many records, of which some failed: the newest, and of the others each so and so many."""
    for number in range(count):
        image, seen_at = ImageKey(f"album/{number:06d}.jpg"), NOW - number * APART
        yield list_entry(image, "newest", seen_at)
        if number < WITH_RECORDS or number % failed_every == 0:
            yield list_entry(image, "failed", seen_at)


def client(workspace: Workspace) -> FlaskClient:
    return create_app(lambda: workspace).test_client()


def fill_folder(metadata: Path, count: int) -> None:
    made: set[str] = set()
    for name in names(count, failed_every=10):
        path = f"{metadata}/{name}"
        folder = path.rpartition("/")[0]
        if folder not in made:
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103 (a hundred thousand: pathlib takes twice as long)
            made.add(folder)
        os.close(os.open(path, os.O_CREAT))
    for number in range(WITH_RECORDS):
        kept = metadata / failed(number).image.record
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(failed(number).to_json())
    for number in range(count // 10):  # what lies beside: documents of images at the top of the source
        os.close(os.open(f"{metadata}/{number}.jpg.json", os.O_CREAT))


@pytest.fixture
def few_and_many(tmp_path: Path) -> Iterator[tuple[FlaskClient, FlaskClient]]:
    opened = []
    for count in (FEW, MANY):
        root = tmp_path / str(count)
        places = {name: str(root / name.lower()) for name in ("LAMBDAZOOM_SOURCE", "LAMBDAZOOM_ZOOM", "LAMBDAZOOM_METADATA")}
        fill_folder(Path(places["LAMBDAZOOM_METADATA"]), count)
        opened.append(open_workspace(Settings.from_env(places)))
    yield client(opened[0]), client(opened[1])
    for workspace in opened:
        workspace.close()


def seconds(read: Callable[[], None]) -> float:
    started = time.process_time()
    read()
    return time.process_time() - started


def test_on_folders_a_page_takes_as_long_at_a_hundred_thousand_as_at_a_thousand(few_and_many: tuple[FlaskClient, FlaskClient]) -> None:
    def read(browser: FlaskClient) -> None:
        for page in PAGES:
            assert "000000.jpg" in browser.get(page).get_data(as_text=True)

    few = many = math.inf
    for _ in range(ROUNDS):  # what else the machine does only ever makes one of them slower
        few, many = min(few, seconds(lambda: read(few_and_many[0]))), min(many, seconds(lambda: read(few_and_many[1])))
        if many <= 1.5 * few:
            break
    assert many <= 1.5 * few, f"a page at {FEW:,} records: {few * 500:.1f} ms, at {MANY:,}: {many * 500:.1f} ms"


def test_on_s3_a_page_is_as_many_requests_and_bytes(aws: str, make_bucket: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    costs = []
    with faulty_s3(aws) as (endpoint, counting):
        for count in (FEW + 1, 3 * FEW):  # S3's own pages are full from a thousand on: more can't change anything
            bucket = make_bucket("metadata")
            backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
            for name in names(count):
                backend.put_object(bucket, name, b"")
            for number in range(WITH_RECORDS):
                boto3.client("s3").put_object(Bucket=bucket, Key=failed(number).image.record, Body=failed(number).to_json())
            places = {"LAMBDAZOOM_SOURCE": "s3://source", "LAMBDAZOOM_ZOOM": "s3://zoom", "LAMBDAZOOM_METADATA": f"s3://{bucket}"}
            with monkeypatch.context() as patch:
                patch.setenv("AWS_ENDPOINT_URL", endpoint)
                workspace = open_workspace(Settings.from_env(places))
                before = counting.requests, counting.answered
                with spending() as effort:
                    assert "000000.jpg" in client(workspace).get("/").get_data(as_text=True)
                workspace.close()
            costs.append((counting.requests - before[0], effort.requests, counting.answered - before[1]))
    (few_requests, few, few_bytes), (many_requests, many, many_bytes) = costs
    assert (few_requests, few) == (many_requests, many)
    assert few_requests <= 80
    assert few.list <= 8
    assert few.get <= 61
    assert abs(few_bytes - many_bytes) < 0.01 * few_bytes
