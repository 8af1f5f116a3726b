"""The folder as a source and as a store: the promises of storage/base.py."""

import os
import threading
from pathlib import Path

import pytest

from lambdazoom.model.errors import Conflict, NotFound, StorageError, Unstorable
from lambdazoom.model.keys import SourceObject
from lambdazoom.storage.base import EMPTY, JSON
from lambdazoom.storage.folder import FolderSource, FolderStore


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def test_what_was_written_is_read_with_its_etag(store: FolderStore) -> None:
    etag = store.write("a/b.json", b"{}", JSON, None)
    stored = store.read("a/b.json")
    assert (stored.data, stored.etag) == (b"{}", etag)


def test_a_write_that_names_another_etag_loses_and_changes_nothing(store: FolderStore) -> None:
    first = store.write("a", b"1", JSON, None)
    second = store.write("a", b"2", JSON, first)
    for stale in (first, None, "no such etag"):
        with pytest.raises(Conflict):
            store.write("a", b"3", JSON, stale)
    assert store.read("a").etag == second
    with pytest.raises(Conflict):
        store.write("b", b"1", JSON, second)


def test_of_many_writers_at_once_one_wins(store: FolderStore) -> None:
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


def test_deleting_needs_the_etag_and_takes_empty_folders_along(store: FolderStore) -> None:
    etag = store.write("a/b/c", b"1", JSON, None)
    with pytest.raises(Conflict):
        store.delete("a/b/c", "another")
    store.delete("a/b/c", etag)
    assert not (store.root / "a").exists()
    with pytest.raises(NotFound):
        store.read("a/b/c")
    with pytest.raises(Conflict):
        store.delete("a/b/c", etag)


def test_discarding_what_is_not_there_is_fine(store: FolderStore) -> None:
    store.discard("nothing/here")
    store.put("x/y", b"", EMPTY)
    store.discard("x/y")
    assert list(store.list("")) == []


def test_a_listing_is_sorted_by_whole_names_like_s3s(store: FolderStore) -> None:
    names = ["a-b", "a/b", "a/c/d", "a0", "b", "é/x", "a/b-c"]
    for name in names:
        store.put(name, b"", EMPTY)
    assert list(store.list("")) == sorted(names)
    assert list(store.list("a/")) == ["a/b", "a/b-c", "a/c/d"]
    for after in [*sorted(names), "a/", "a/b0", "zz", ""]:
        assert list(store.list("", after)) == [name for name in sorted(names) if name > after]


@pytest.mark.parametrize("name", ["../escape", "a/../../b", "/etc/passwd", "a//b", "", "a\0b", "./a"])
def test_no_name_leads_out_of_the_folder(store: FolderStore, name: str) -> None:
    for act in (lambda: store.read(name), lambda: store.put(name, b"", EMPTY), lambda: store.write(name, b"", EMPTY, None)):
        with pytest.raises(Unstorable):
            act()


def test_names_that_the_file_system_refuses_are_unstorable(store: FolderStore) -> None:
    with pytest.raises(Unstorable, match="too long"):
        store.put("x" * 300, b"", EMPTY)
    store.put("file", b"", EMPTY)
    with pytest.raises(Unstorable, match="meet"):
        store.put("file/below", b"", EMPTY)
    with pytest.raises(Unstorable, match="meet"):
        store.write("file/below", b"", EMPTY, None)


def test_a_full_disk_is_a_sentence(store: FolderStore) -> None:
    store.root.mkdir()
    (store.root / "full").symlink_to("/dev/full")
    with pytest.raises(StorageError, match="The disk is full"):
        store.put("full", b"x" * 100_000, EMPTY)


def test_unfinished_writes_and_the_lock_are_not_listed(store: FolderStore) -> None:
    store.write("a", b"1", JSON, None)
    (store.root / ".lambdazoom-unfinished").write_bytes(b"")
    assert list(store.list("")) == ["a"]


def test_flush_returns(store: FolderStore) -> None:
    store.put("a", b"1", EMPTY)
    store.flush()


def test_a_source_tells_versions_apart(tmp_path: Path) -> None:
    source = FolderSource(tmp_path)
    (tmp_path / "cat.jpg").write_bytes(b"one")
    first = source.head("cat.jpg")
    assert first.version.size == 3
    os.utime(tmp_path / "cat.jpg", ns=(1, 1))
    assert source.head("cat.jpg").version != first.version


def test_fetching_gives_a_path_of_our_own_making(tmp_path: Path) -> None:
    source = FolderSource(tmp_path)
    key = "x\n-if\nsystem('touch PWNED').jpg"
    (tmp_path / key).write_bytes(b"bytes")
    with source.fetch(source.head(key)) as path:
        assert path.name == "source.jpg"
        assert "\n" not in str(path)
        assert path.read_bytes() == b"bytes"
        private = path.parent
        assert private.stat().st_mode & 0o077 == 0
    assert not private.exists()
    assert (tmp_path / key).read_bytes() == b"bytes"


def test_fetching_another_version_than_the_wanted_one_is_refused(tmp_path: Path) -> None:
    source = FolderSource(tmp_path)
    (tmp_path / "cat.jpg").write_bytes(b"one")
    wanted = source.head("cat.jpg")
    (tmp_path / "cat.jpg").write_bytes(b"another")
    with pytest.raises(Conflict), source.fetch(wanted):
        pass
    with pytest.raises(NotFound), source.fetch(SourceObject("gone.jpg", wanted.version)):
        pass


def test_a_source_folder_that_is_not_there_is_not_an_empty_one(tmp_path: Path) -> None:
    source = FolderSource(tmp_path / "unmounted")
    with pytest.raises(StorageError) as caught:
        source.head("cat.jpg")
    assert not isinstance(caught.value, NotFound)
    with pytest.raises(StorageError):
        list(source.list())


def test_a_source_lists_files_only(tmp_path: Path) -> None:
    (tmp_path / "trip").mkdir()
    (tmp_path / "trip" / "cat.jpg").write_bytes(b"1")
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert [found.key for found in FolderSource(tmp_path).list()] == ["trip/cat.jpg"]
