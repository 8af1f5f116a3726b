"""Receipts: what an image took, and what that costs by the price table; records of other versions of the program stay readable."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lambdazoom.model.errors import StorageError
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.prices import Prices, Requests, parse_prices
from lambdazoom.model.records import ImageRecord, Receipt, Step
from lambdazoom.model.settings import Settings
from lambdazoom.publishing import catalog
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace, open_workspace
from lambdazoom.storage.base import JSON
from lambdazoom.storage.folder import FolderStore
from tests.conftest import Draw, encoded
from tests.faulty_s3 import SLOW_DOWN, faulty_s3
from tests.places import Buckets
from tests.records import record
from tests.settling import failing, patient

CAT = ImageKey("trip/cat.jpg")


def made(workspace: Workspace, key: str = CAT.key) -> Receipt:
    settled = settle(ImageKey(key), workspace)
    assert settled is not None
    assert settled.receipt is not None
    return settled.receipt


def test_a_receipt_says_what_an_image_took(workspace: Workspace, draw: Draw) -> None:
    path = draw(CAT.key, 900, 700)
    receipt = made(workspace)
    settled = catalog.find(CAT, workspace.metadata)
    assert settled is not None
    assert settled.receipt == receipt, "it is on the record"
    assert receipt.source_bytes == path.stat().st_size
    assert (receipt.pixels, receipt.tiles) == (900 * 700, settled.tile_count)
    assert receipt.tile_bytes == settled.tile_bytes > 0
    assert receipt.peak_memory > 10 * 2**20
    stages = dict(receipt.stages)
    assert {"fetching", "reading metadata", "tiling"} <= set(stages)
    assert 0 < sum(stages.values()) <= settled.seconds + 1
    assert receipt.requests == Requests()
    assert receipt.dollars == receipt.dollars_a_month == 0, "folders cost nothing"


def test_on_s3_requests_are_counted_as_the_server_sees_them_and_priced(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    places = Buckets(aws)
    places.put(CAT.key, encoded(900, 700))
    with faulty_s3(aws) as (endpoint, faults):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        faults.planned = ["", "", "", SLOW_DOWN]
        environment = {**places.environment, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "2048", "LAMBDAZOOM_PRICES": "put_1000=5 gb_month=100"}
        with open_workspace(Settings.from_env(environment)).closing() as workspace:
            receipt = made(workspace)
            seen = faults.requests
    requests = receipt.requests
    assert requests.retries == 1
    assert requests.put > receipt.tiles
    assert 0 < seen - requests.total < 20, "what comes after the receipt was written is not on it"
    prices = Prices(put_1000=5, gb_month=100)
    seconds = sum(dict(receipt.stages).values())
    assert receipt.dollars == pytest.approx(prices.of_requests(requests) + prices.of_function(seconds, 2048), abs=1e-4)
    assert receipt.dollars_a_month == pytest.approx(receipt.tile_bytes / 10**9 * 100)


def test_a_failure_has_a_receipt_too(workspace: Workspace, source: Path) -> None:
    (source / "cat.jpg").write_text("no image")
    receipt = made(workspace, "cat.jpg")
    assert (receipt.tiles, receipt.dollars_a_month) == (0, 0)
    assert receipt.source_bytes == 8


def test_what_could_not_be_published_has_a_receipt_too(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key, 900, 700)
    refusing = failing(workspace.zoom, lambda verb, name: name == CAT.pointer)
    assert made(patient(replace(workspace, zoom=refusing))).pixels == 900 * 700


def test_prices_are_the_documented_ones_but_for_those_that_are_given() -> None:
    assert parse_prices("") == Prices()
    assert parse_prices("put_1000=0.0054 gb_second=0.00002") == replace(Prices(), put_1000=0.0054, gb_second=0.00002)
    for text in ("put=1", "put_1000", "put_1000=x", "put_1000=-1", "put_1000=1,get_1000=2"):
        with pytest.raises(ValueError, match="put_1000, get_1000, gb_second, invocation, gb_month"):
            parse_prices(text)


def test_aws_s_own_examples_come_out_as_aws_reckons_them() -> None:
    # S3's price page: 10,000 PUTs and 20,000 GETs; Lambda's: 3 million requests of 120 ms with 1,536 MB, without the free tier
    assert Prices().of_requests(Requests(put=10_000, get=20_000)) == pytest.approx(0.058)
    assert 3_000_000 * Prices().of_function(0.120, 1536) == pytest.approx(9.00 + 0.60, abs=0.01)
    assert Prices().of_requests(Requests(delete=1000)) == 0
    assert Prices().of_function(100, 0) == 0, "outside Lambda"


def test_a_receipt_comes_back_as_it_was_written() -> None:
    receipt = Receipt(1, 2, 3, 4, Requests(get=1, retries=2), (("fetching", 0.25), ("tiling", 1.5)), 5, 0.001, 0.0001)
    written = record(receipt=receipt)
    assert ImageRecord.from_json(written.to_json()) == written


@pytest.mark.parametrize("part", ["tiles", "caption", "progress", "receipt", "version", ""])
def test_what_a_later_version_has_added_to_a_record_is_passed_over(tmp_path: Path, part: str) -> None:
    store = FolderStore(tmp_path)
    written = record(
        tiles=Step.failed(StorageError("Later."), final=False),
        receipt=Receipt(requests=Requests(get=3)),
    )
    document = json.loads(written.to_json())
    document["progress"] = {"stage": "tiling", "done": 1, "total": 2}
    (document[part] if part else document)["news"] = {"of": "tomorrow"}
    document["receipt"]["requests"]["select"] = 5
    store.write(written.image.record, json.dumps(document).encode(), JSON, None)
    kept = catalog.find_kept(written.image, store)
    assert kept is not None, "not taken for damaged, and deleted"
    assert kept.record.receipt == written.receipt


def test_a_record_from_before_receipts_is_read(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    document = json.loads(record().to_json())
    del document["receipt"]
    store.write(CAT.record, json.dumps(document).encode(), JSON, None)
    assert catalog.find(CAT, store) == record()


def test_a_receipt_is_plain_numbers_for_programs() -> None:
    document = json.loads(json.dumps(asdict(Receipt(requests=Requests(put=2), stages=(("tiling", 1.0),)))))
    assert document["requests"]["put"] == 2
    assert document["stages"] == [["tiling", 1.0]]
