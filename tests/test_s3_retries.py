"""What happens when S3 answers late, wrongly or not at all: what may be asked again is, in time, and nobody is told a wrong thing."""

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import boto3
import pytest

from lambdazoom.model.errors import Conflict, NotFound, StorageError
from lambdazoom.model.places import Bucket
from lambdazoom.model.prices import Requests
from lambdazoom.storage import effort
from lambdazoom.storage.base import EMPTY, JSON
from lambdazoom.storage.connection import Connection
from lambdazoom.storage.effort import spending
from lambdazoom.storage.s3 import BucketSource, BucketStore
from tests.faulty_s3 import CUT, FAILURE, LOST, RESET, SLOW_DOWN, Faults, faulty_s3


@pytest.fixture
def faults(aws: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """What decides about the faults of the S3 that everybody in this test uses."""
    with faulty_s3(aws) as (endpoint, source):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        yield source


@pytest.fixture
def store(faults: Faults, make_bucket: Callable[[str], str]) -> BucketStore:
    return BucketStore(Connection(), Bucket(make_bucket("store")))


@pytest.mark.parametrize("fault", [SLOW_DOWN, FAILURE, RESET, LOST, CUT])
def test_what_fails_once_is_asked_again(faults: Faults, store: BucketStore, fault: str) -> None:
    etag = store.write("a", b"12345678", JSON, None)
    faults.planned = [fault]
    stored = store.read("a")
    assert (stored.data, stored.etag) == (b"12345678", etag)
    faults.planned = [fault]
    assert list(store.list("")) == ["a"]
    faults.planned = [fault]
    with store.bulk() as write:
        write("_tiles/1.jpg", b"1", EMPTY)
    assert store.read("_tiles/1.jpg").data == b"1"
    assert sum(faults.faults.values()) == 3


@pytest.mark.parametrize("fault", [SLOW_DOWN, RESET, LOST])
def test_a_conditional_write_is_done_once_whichever_answer_got_lost(faults: Faults, store: BucketStore, fault: str) -> None:
    faults.planned = [fault]
    first = store.write("pointer", b"first", JSON, None)
    faults.planned = [fault]
    second = store.write("pointer", b"second", JSON, first)
    assert store.read("pointer").etag == second
    faults.planned = [fault]
    store.delete("pointer", second)
    with pytest.raises(NotFound):
        store.read("pointer")


@pytest.mark.parametrize("fault", [LOST, CUT])
def test_a_lost_answer_does_not_make_a_loser_win(faults: Faults, store: BucketStore, fault: str) -> None:
    theirs = store.write("pointer", b"theirs", JSON, None)
    faults.planned = [fault]
    with pytest.raises(Conflict):
        store.write("pointer", b"ours", JSON, None)
    faults.planned = [fault]
    with pytest.raises(Conflict):
        store.delete("pointer", '"another"')
    assert store.read("pointer").etag == theirs


def test_an_original_comes_down_whole_over_cut_answers(faults: Faults, make_bucket: Callable[[str], str]) -> None:
    bucket = make_bucket("source")
    data = bytes(range(256)) * 80_000
    boto3.client("s3").put_object(Bucket=bucket, Key="large.tif", Body=data)
    source = BucketSource(Connection(), Bucket(bucket))
    found = source.head("large.tif")
    faults.planned = [CUT, CUT, "", CUT]
    with source.fetch(found) as path:
        assert path.read_bytes() == data
    assert faults.faults[CUT] == 3


def test_requests_and_retries_are_counted_for_whom_they_are_made(faults: Faults, store: BucketStore) -> None:
    with spending() as outer:
        with spending() as inner:
            faults.planned = [SLOW_DOWN]
            store.write("a", b"1", JSON, None)
            with store.bulk() as write:
                write("_tiles/1.jpg", b"1", EMPTY)
        store.read("a")
        assert list(store.list("")) == ["_tiles/1.jpg", "a"]
        store.discard("a")
    assert inner.requests == Requests(put=3, retries=1)
    assert outer.requests == Requests(put=3, get=1, list=1, delete=1, retries=1)


def test_a_download_counts_for_whom_it_is_made_too(faults: Faults, make_bucket: Callable[[str], str]) -> None:
    bucket = make_bucket("source")
    boto3.client("s3").put_object(Bucket=bucket, Key="cat.jpg", Body=bytes(20 * 2**20))
    source = BucketSource(Connection(), Bucket(bucket))
    with spending() as spent, source.fetch(source.head("cat.jpg")):
        pass
    assert spent.requests == Requests(head=1, get=3)


def test_nothing_is_asked_again_when_time_is_short(faults: Faults, store: BucketStore, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        time.sleep(seconds)

    monkeypatch.setattr(effort, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
    faults.share = 1.0
    faults.planned = [SLOW_DOWN] * 50
    started = time.monotonic()
    with spending(seconds=1.5), pytest.raises(StorageError, match="slow down") as caught:
        store.read("a")
    assert caught.value.retryable
    assert time.monotonic() - started < 3, "all attempts would take half a minute"
    assert 0 < sum(pauses) < 1.5
    assert faults.requests < effort.LONG.attempts
