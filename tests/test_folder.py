"""What is peculiar to folders; the contract that all stores share is tested in test_stores.py."""

import os
from pathlib import Path

import pytest

from lambdazoom.model.errors import Conflict, NotFound, StorageError, Unstorable
from lambdazoom.storage.base import EMPTY, JSON
from lambdazoom.storage.folder import FolderSource, FolderStore


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


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
    with pytest.raises(StorageError, match="The disk is full"), store.bulk() as write:
        write("full", b"x" * 100_000, EMPTY)


def test_unfinished_writes_and_the_lock_are_not_listed(store: FolderStore) -> None:
    store.write("a", b"1", JSON, None)
    (store.root / ".lambdazoom.unfinished").write_bytes(b"")
    assert list(store.list("")) == ["a"]


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


def test_what_lies_below_a_link_is_neither_listed_nor_found(tmp_path: Path) -> None:
    (tmp_path / "source/real").mkdir(parents=True)
    (tmp_path / "source/real/cat.jpg").write_bytes(b"x")
    (tmp_path / "source/link").symlink_to(tmp_path / "source/real")
    (tmp_path / "source/loop").symlink_to(tmp_path / "source/loop")
    source = FolderSource(tmp_path / "source")
    assert [found.key for found in source.list()] == ["real/cat.jpg"]
    for key in ("link/cat.jpg", "loop/cat.jpg"):
        with pytest.raises(NotFound):
            source.head(key)
    assert source.head("real/cat.jpg").version.size == 1
