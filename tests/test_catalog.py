"""Records in a store: saved if unchanged, found by key, by time and by what became of them."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lambdazoom.model.entries import list_entry
from lambdazoom.model.errors import Conflict, CorruptImage, StorageError
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import Caption, Outcome, Progress, State, Step
from lambdazoom.publishing import catalog
from lambdazoom.storage.base import EMPTY, JSON
from lambdazoom.storage.folder import FolderStore
from tests.records import DONE, NOW, record


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "metadata")


def test_a_record_comes_back_as_it_was_written(store: FolderStore) -> None:
    written = record(
        "sträße/\udcff~.jpg",
        tiles=Step.failed(CorruptImage("It is cut off."), final=True),
        metadata=DONE,
        caption=Caption("Title", "Creator"),
        remarks=("One.", "Two."),
        progress=Progress("tiling", 3, 7),
        heartbeat_at=NOW,
        seconds=1.5,
    )
    catalog.save(written, None, store)
    assert catalog.find(ImageKey(written.key), store) == written


def test_a_record_of_a_later_version_is_not_misread(store: FolderStore) -> None:
    later = replace(record(), schema=99)
    catalog.save(later, None, store)
    with pytest.raises(StorageError, match="later version"):
        catalog.find(ImageKey(later.key), store)


def test_saving_over_a_record_that_somebody_else_wrote_is_a_conflict(store: FolderStore) -> None:
    kept = catalog.save(record(), None, store)
    theirs = catalog.save(record(tiles=DONE), kept, store)
    with pytest.raises(Conflict):
        catalog.save(record(heartbeat_at=NOW), kept, store)
    assert catalog.find(ImageKey("trip/cat.jpg"), store) == theirs.record
    assert catalog.count("active", store) == 0, "the loser's entries are gone"


def test_the_newest_come_first_and_pages_continue_at_the_cursor(store: FolderStore) -> None:
    for number in range(7):
        catalog.save(record(f"{number}.jpg", minutes=number), None, store)
    first = catalog.newest(store, limit=3)
    second = catalog.newest(store, after=first.cursor, limit=3)
    third = catalog.newest(store, after=second.cursor, limit=3)
    assert [each.key for page in (first, second, third) for each in page.records] == [f"{number}.jpg" for number in range(6, -1, -1)]
    assert third.cursor == ""


def test_lists_follow_what_becomes_of_an_image(store: FolderStore) -> None:
    kept = catalog.save(record(heartbeat_at=NOW), None, store)
    assert [each.key for each in catalog.listed("active", store).records] == ["trip/cat.jpg"]
    kept = catalog.save(replace(kept.record.at_rest(), tiles=Step.failed(CorruptImage("Cut off."), final=True)), kept, store)
    assert catalog.listed("active", store).records == ()
    assert catalog.count("failed", store) == 1
    kept = catalog.save(replace(kept.record, tiles=Step(Outcome.IGNORED, "No image.", "ignored")), kept, store)
    assert (catalog.count("failed", store), catalog.count("ignored", store), catalog.count("newest", store)) == (0, 1, 0)
    catalog.forget(kept, store)
    assert catalog.count("ignored", store) == 0
    assert list(store.list("")) == []


def test_an_entry_that_its_record_does_not_bear_out_is_not_shown(store: FolderStore) -> None:
    kept = catalog.save(record(tiles=DONE), None, store)
    store.put(list_entry(kept.record.image, "failed", NOW), b"", EMPTY)
    store.put(list_entry(ImageKey("never/there.jpg"), "newest", NOW), b"", EMPTY)
    assert catalog.listed("failed", store).records == ()
    assert [each.key for each in catalog.newest(store).records] == ["trip/cat.jpg"]


def test_a_name_too_long_to_be_stored_is_listed_all_the_same(store: FolderStore) -> None:
    catalog.save(record("x" * 400 + ".jpg"), None, store)
    assert [each.key for each in catalog.newest(store).records] == ["x" * 400 + ".jpg"]


def test_counting_stops_at_the_limit(store: FolderStore) -> None:
    for number in range(5):
        catalog.save(record(f"{number}.jpg"), None, store)
    assert catalog.count("newest", store, limit=3) == 3


def test_a_damaged_record_hides_no_other_and_is_made_anew(store: FolderStore) -> None:
    kept = catalog.save(record("damaged.jpg"), None, store)
    catalog.save(record("sound.jpg"), None, store)
    store.write(kept.record.image.record, b"", JSON, kept.etag)
    assert [each.key for each in catalog.newest(store).records] == ["sound.jpg"]
    assert catalog.find_kept(ImageKey("damaged.jpg"), store) is None
    catalog.save(record("damaged.jpg"), None, store)


def test_a_file_and_a_folder_of_one_name_are_listed_side_by_side(store: FolderStore) -> None:
    no_image = Step(Outcome.IGNORED, "No image.", "ignored")
    for key in ("README", "README/x.txt"):
        catalog.save(record(key, tiles=no_image), None, store)
    assert catalog.count("ignored", store) == 2


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ({}, State.WAITING),
        ({"heartbeat_at": NOW}, State.PROCESSING),
        ({"heartbeat_at": NOW - timedelta(minutes=5)}, State.STALLED),
        ({"tiles": DONE, "metadata": DONE}, State.PUBLISHED),
        ({"tiles": DONE, "metadata": Step(Outcome.FAILED, "Too slow.")}, State.PUBLISHED),
        ({"tiles": Step(Outcome.FAILED, "Cut off.")}, State.FAILED),
        ({"tiles": Step(Outcome.IGNORED)}, State.IGNORED),
        ({"tiles": DONE, "removed_at": NOW}, State.REMOVED),
    ],
)
def test_the_state_follows_from_the_steps(values: dict[str, Any], state: State) -> None:
    assert record(**values).state(NOW) == state


def test_metadata_alone_failing_is_said_after_what_succeeded() -> None:
    slow = record(tiles=DONE, metadata=Step(Outcome.FAILED, "exiftool took longer than 30 s."))
    assert slow.complaints == ("The image is ready. Its metadata could not be read: exiftool took longer than 30 s.",)
