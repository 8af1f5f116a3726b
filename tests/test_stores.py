"""The contract of storage/base.py, kept by every store: a folder, a bucket, a bucket below a prefix."""

import threading
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from lambdazoom.model.errors import Conflict, NotFound, StorageError, Unstorable
from lambdazoom.model.keys import SourceObject
from lambdazoom.model.places import Bucket, parse_place
from lambdazoom.storage.base import EMPTY, JSON, Headers, Source, Store
from lambdazoom.storage.connection import Connection
from lambdazoom.storage.folder import FolderSource, FolderStore
from lambdazoom.storage.s3 import BucketSource, BucketStore
from tests.quiet_server import QuietHandler, serving

KINDS = ["folder", "bucket", "prefix"]
KEYS = ["cat.jpg", "trip/ä ö+&?#.jpg", "100%.jpg", "a b/c~d.jpg", "-if.jpg"]  # moto takes no line breaks

PutOriginal = Callable[[str, bytes], None]


def place(kind: str, bucket: str) -> Bucket:
    parsed = parse_place(f"s3://{bucket}/some where/deep" if kind == "prefix" else f"s3://{bucket}")
    assert isinstance(parsed, Bucket)
    return parsed


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return FolderStore(tmp_path / "store")
    return BucketStore(connect_for(request), place(request.param, request.getfixturevalue("make_bucket")("store")))


def connect_for(request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    request.getfixturevalue("aws")
    return Connection()


@pytest.fixture(params=KINDS)
def source_and_put(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Source, PutOriginal]:
    if request.param == "folder":
        return FolderSource(tmp_path), lambda key, data: write_file(tmp_path / key, data)
    bucket = place(request.param, request.getfixturevalue("make_bucket")("source"))
    connection = connect_for(request)

    def put(key: str, data: bytes) -> None:
        connection.client.put_object(Bucket=bucket.name, Key=bucket.path + key, Body=data)

    return BucketSource(connection, bucket), put


def write_file(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def test_what_was_written_is_read_with_its_etag(store: Store) -> None:
    etag = store.write("a/ä ö+&?#~7E.json", b"{}", JSON, None)
    stored = store.read("a/ä ö+&?#~7E.json")
    assert (stored.data, stored.etag) == (b"{}", etag)


def test_a_write_that_names_another_etag_loses_and_changes_nothing(store: Store) -> None:
    first = store.write("a", b"1", JSON, None)
    second = store.write("a", b"2", JSON, first)
    for stale in (first, None, '"no such etag"'):
        with pytest.raises(Conflict):
            store.write("a", b"3", JSON, stale)
    assert store.read("a").etag == second
    with pytest.raises(Conflict):
        store.write("b", b"1", JSON, second)


def test_of_many_writers_at_once_one_wins(store: Store) -> None:
    start = threading.Barrier(8)
    won: list[int] = []

    def write(number: int) -> None:
        start.wait()
        try:
            store.write("pointer", str(number).encode(), JSON, None)
        except Conflict:
            return
        won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.read("pointer").data == str(won[0]).encode()


def test_deleting_needs_the_etag(store: Store) -> None:
    etag = store.write("a/b/c", b"1", JSON, None)
    with pytest.raises(Conflict):
        store.delete("a/b/c", '"another"')
    store.delete("a/b/c", etag)
    with pytest.raises(NotFound):
        store.read("a/b/c")
    assert list(store.list("")) == []


def test_discarding_what_is_not_there_is_fine(store: Store) -> None:
    store.discard("nothing/here")
    store.put("x/y", b"", EMPTY)
    store.discard("x/y")
    assert list(store.list("")) == []


def test_a_listing_is_sorted_by_whole_names(store: Store) -> None:
    names = ["a-b", "a/b", "a/c/d", "a0", "b", "é/x", "a/b-c", "~5Ftiles/x", "a b/c+d"]
    for name in names:
        store.put(name, b"", EMPTY)
    assert list(store.list("")) == sorted(names)
    assert list(store.list("a/")) == ["a/b", "a/b-c", "a/c/d"]
    for after in [*sorted(names), "a/", "a/b0", "zz", ""]:
        assert list(store.list("", after)) == [name for name in sorted(names) if name > after]


def test_a_mass_of_objects_is_there_when_the_context_ends(store: Store) -> None:
    with store.bulk() as write:
        for number in range(200):
            write(f"_tiles/3f/g/{number}.jpg", str(number).encode(), Headers("image/jpeg", "public"))
    assert len(list(store.list("_tiles/"))) == 200
    assert store.read("_tiles/3f/g/117.jpg").data == b"117"


def test_an_error_in_the_middle_of_a_mass_comes_out_and_leaves_no_thread(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.bulk() as write:
        write("_tiles/3f/g/1.jpg", b"1", EMPTY)
        raise ZeroDivisionError
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("upload")]


def test_a_source_tells_versions_apart(source_and_put: tuple[Source, PutOriginal]) -> None:
    source, put = source_and_put
    put("cat.jpg", b"one")
    first = source.head("cat.jpg")
    assert first.version.size == 3
    put("cat.jpg", b"another")
    assert source.head("cat.jpg").version != first.version
    with pytest.raises(NotFound):
        source.head("dog.jpg")


def test_a_source_lists_what_it_holds_as_head_shows_it(source_and_put: tuple[Source, PutOriginal]) -> None:
    source, put = source_and_put
    for key in KEYS:
        put(key, key.encode())
    listed = {found.key: found.version.fingerprint for found in source.list()}
    assert listed == {key: source.head(key).version.fingerprint for key in KEYS}
    for key in KEYS:
        assert {found.key for found in source.list(key)} == {other for other in KEYS if other.encode() > key.encode()}


@pytest.mark.parametrize("key", KEYS)
def test_fetching_gives_the_bytes_at_a_path_of_our_own_making(source_and_put: tuple[Source, PutOriginal], key: str) -> None:
    source, put = source_and_put
    put(key, b"bytes")
    with source.fetch(source.head(key)) as path:
        assert path.name == "source.jpg"
        assert path.read_bytes() == b"bytes"
        private = path.parent
        assert private.stat().st_mode & 0o077 == 0
    assert not private.exists()


def test_a_large_original_arrives_whole(source_and_put: tuple[Source, PutOriginal]) -> None:
    source, put = source_and_put
    data = bytes(range(256)) * 85_000  # not a whole number of ranges
    put("large.tif", data)
    with source.fetch(source.head("large.tif")) as path:
        assert path.read_bytes() == data


def test_an_empty_original_is_fetched_too(source_and_put: tuple[Source, PutOriginal]) -> None:
    source, put = source_and_put
    put("empty.jpg", b"")
    with source.fetch(source.head("empty.jpg")) as path:
        assert path.read_bytes() == b""


@pytest.mark.parametrize("key", ["a//b.jpg", "/a.jpg", "trip//cat.jpg/", "a/./b.jpg", "../b.jpg", "tab\t.jpg", "a\x7f.jpg"])
def test_a_key_that_no_folder_could_hold_is_an_original_too(make_bucket: Callable[[str], str], key: str) -> None:
    bucket = make_bucket("source")
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=b"bytes")
    source = BucketSource(Connection(), Bucket(bucket))
    assert [found.key for found in source.list()] == [key]
    with source.fetch(source.head(key)) as path:
        assert path.read_bytes() == b"bytes"
    with pytest.raises(NotFound):
        source.head(f"{key}/not")


def test_a_server_that_gives_originals_as_a_whole_only_gives_them_all_the_same(
    make_bucket: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, data = make_bucket("source"), bytes(range(256)) * 85_000
    boto3.client("s3").put_object(Bucket=bucket, Key="large.tif", Body=data)
    version = boto3.client("s3").head_object(Bucket=bucket, Key="large.tif")

    class Whole(QuietHandler):
        def respond(self) -> None:
            kept = {name: version["ResponseMetadata"]["HTTPHeaders"][name] for name in ("etag", "last-modified")}
            self.answer(200, data if self.command == "GET" else b"", kept)

    source = BucketSource(Connection(), Bucket(bucket))
    found = source.head("large.tif")
    with serving(Whole) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        with BucketSource(Connection(), Bucket(bucket)).fetch(found) as path:
            assert path.read_bytes() == data


def test_a_key_with_line_breaks_is_fetched_under_a_name_without(tmp_path: Path) -> None:
    key = "x\n-if\nsystem('touch PWNED').jpg"
    write_file(tmp_path / key, b"bytes")
    source = FolderSource(tmp_path)
    with source.fetch(source.head(key)) as path:
        assert path.name == "source.jpg"
        assert "\n" not in str(path)


def test_fetching_another_version_than_the_wanted_one_is_refused(source_and_put: tuple[Source, PutOriginal]) -> None:
    source, put = source_and_put
    put("cat.jpg", b"one")
    wanted = source.head("cat.jpg")
    put("cat.jpg", b"another")
    with pytest.raises(Conflict), source.fetch(wanted):
        pass
    with pytest.raises((NotFound, Conflict)), source.fetch(SourceObject("gone.jpg", wanted.version)):
        pass


def test_a_bucket_that_is_not_there_is_not_an_empty_one(aws: str) -> None:
    source = BucketSource(Connection(), Bucket("no-such-bucket-at-all"))
    for act in (lambda: source.head("cat.jpg"), lambda: list(source.list())):
        with pytest.raises(StorageError, match="There is no bucket no-such-bucket-at-all") as caught:
            act()
        assert not isinstance(caught.value, NotFound)


def test_objects_carry_their_headers(make_bucket: Callable[[str], str]) -> None:
    store = BucketStore(Connection(), Bucket(make_bucket("zoom")))
    store.write("a.json", b"{}", JSON, None)
    with store.bulk() as write:
        write("_tiles/1.jpg", b"1", Headers("image/jpeg", "public, max-age=31536000, immutable"))
    for name, content_type, cache in (
        ("a.json", "application/json", "no-cache"),
        ("_tiles/1.jpg", "image/jpeg", "public, max-age=31536000, immutable"),
    ):
        head = boto3.client("s3").head_object(Bucket=store.bucket, Key=name)
        assert (head["ContentType"], head["CacheControl"]) == (content_type, cache)


def test_a_name_over_what_s3_takes_is_unstorable(make_bucket: Callable[[str], str]) -> None:
    store = BucketStore(Connection(), Bucket(make_bucket("zoom")))
    with pytest.raises(Unstorable, match="too long"):
        store.put("ä" * 600, b"", EMPTY)
