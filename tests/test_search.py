"""The search: what is found, in what order and how fast, and an index that follows the records without reading them all again."""

import dataclasses
import json
import statistics
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from lambdazoom.model.entries import key_of_record, listed_record
from lambdazoom.model.keys import ImageKey, SourceVersion
from lambdazoom.model.records import Caption, ImageRecord, Outcome, Step
from lambdazoom.publishing import catalog, indexing
from lambdazoom.publishing.indexing import Search, rebuild, tally
from lambdazoom.publishing.search import NEWEST, Entry, Index, words_of
from lambdazoom.storage.base import EMPTY, Store, Stored
from lambdazoom.storage.folder import FolderStore
from tests.pace import milliseconds

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
DONE = Step(Outcome.DONE)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "metadata")


def record(key: str, minutes_ago: float = 60.0, **values: object) -> ImageRecord:
    seen_at = NOW - timedelta(minutes=minutes_ago)
    made = ImageRecord(key, SourceVersion("etag", seen_at, 5), seen_at, tiles=DONE, metadata=DONE, width=300, height=200, tile_count=9)
    return dataclasses.replace(made, **values)  # type: ignore[arg-type]


def add(store: Store, *records: ImageRecord) -> None:
    for each in records:
        catalog.save(each, catalog.find_kept(each.image, store), store)


def key_at(index: Index, place: int) -> str:
    """The key of an entry, out of its listing."""
    return key_of_record(listed_record(NEWEST + index.listings[place], "newest")) or ""


def found(index: Index, query: str = "", sort: str = "newest") -> list[str]:
    """The keys of what is found."""
    return [key_at(index, place) for place in index.find(words_of(query), sort)]


def search(store: Store, now: datetime = NOW) -> Search:
    return Search(store, lambda: now)


HAFEN = Caption("Café am Hafen", camera="FUJIFILM X-T5", taken="2024-05-17")
HARBOUR = record("trip/IMG_1.jpg", 90, caption=HAFEN, width=4000, height=3000)
MAP = record("Maps/Zürich.tif", 60, caption=Caption("Stadtplan", taken="1987-03-01"), width=20_000, height=9_000)
CAT = record("cat.png", 30, width=50, height=50)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["cat.png", "Maps/Zürich.tif", "trip/IMG_1.jpg"]),
        ("img_1", ["trip/IMG_1.jpg"]),
        ("CAFE hafen", ["trip/IMG_1.jpg"]),
        ("zurich", ["Maps/Zürich.tif"]),
        ("ZÜRICH", ["Maps/Zürich.tif"]),
        ("x-t5", ["trip/IMG_1.jpg"]),
        ("2024-05", ["trip/IMG_1.jpg"]),
        ("trip 2024 fuji", ["trip/IMG_1.jpg"]),
        ("trip 1987", []),
        ("jpg tif", []),
        (".*", []),
    ],
)
def test_every_word_is_looked_for_in_name_title_camera_and_date(store: FolderStore, query: str, names: list[str]) -> None:
    add(store, HARBOUR, MAP, CAT)
    assert found(search(store).index(), query) == names


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("newest", ["cat.png", "Maps/Zürich.tif", "trip/IMG_1.jpg"]),
        ("name", ["cat.png", "Maps/Zürich.tif", "trip/IMG_1.jpg"]),
        ("taken", ["trip/IMG_1.jpg", "Maps/Zürich.tif", "cat.png"]),
        ("largest", ["Maps/Zürich.tif", "trip/IMG_1.jpg", "cat.png"]),
    ],
)
def test_what_is_found_can_be_sorted(store: FolderStore, sort: str, names: list[str]) -> None:
    add(store, HARBOUR, MAP, CAT)
    assert found(search(store).index(), sort=sort) == names


@pytest.mark.parametrize("sort", ["newest", "name", "taken", "largest"])
def test_pages_join_without_a_gap_even_if_the_index_is_exchanged_between_them(store: FolderStore, sort: str) -> None:
    add(store, *[record(f"{number % 7}/{number}.jpg", 60 + number, width=1 + number % 5) for number in range(40)])
    first = search(store).index()
    all_names, seen, cursor = found(first, sort=sort), [], ""
    while places := first.after(first.find([], sort), sort, cursor)[:6]:
        seen += [key_at(first, place) for place in places]
        cursor = first.cursor(places[-1], sort)
        rebuild(store, lambda: NOW)
        first = search(store).index()
    assert seen == all_names
    assert len(set(seen)) == 40


@pytest.mark.parametrize("cursor", ["x", "[]", '["a"]', '{"a": 1}', "[1, 2]"])
def test_what_is_no_cursor_is_refused(store: FolderStore, cursor: str) -> None:
    index = search(store).index()
    with pytest.raises(ValueError, match=r"."):
        index.after(index.find([], "name"), "name", cursor)


def test_an_image_that_came_after_the_index_is_found_too(store: FolderStore) -> None:
    add(store, HARBOUR)
    rebuild(store, lambda: NOW)
    add(store, record("later.jpg", -10, caption=Caption("Lighthouse")))
    index = search(store, NOW + timedelta(minutes=20)).index()
    assert found(index, "lighthouse") == ["later.jpg"]
    assert index.as_of == NOW + timedelta(minutes=20)


def test_an_image_that_was_still_being_made_is_found_by_its_title_once_it_is_done(store: FolderStore) -> None:
    waiting = record("new.jpg", 5, tiles=None, metadata=None, heartbeat_at=NOW)
    add(store, waiting)
    rebuild(store, lambda: NOW)
    add(store, record("new.jpg", 5, caption=Caption("Lighthouse")))
    assert found(search(store).index(), "lighthouse") == ["new.jpg"]


class CountingStore(FolderStore):
    """A folder that says what was read from it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.names: list[str] = []

    def read(self, name: str) -> Stored:
        self.names.append(name)
        return super().read(name)


def test_a_new_index_reads_only_what_can_have_changed(tmp_path: Path) -> None:
    store = CountingStore(tmp_path)
    failed = record("broken.jpg", 300, tiles=Step(Outcome.FAILED, "It is cut off.", "corrupt-image"))
    add(store, failed, *[record(f"{number}.jpg", 200 + number) for number in range(50)])
    rebuild(store, lambda: NOW)
    add(store, record("new.jpg", 1))
    store.names.clear()
    assert rebuild(store, lambda: NOW) == 52
    assert {Path(name).name for name in store.names if "records" in name} == {"broken.jpg.json", "new.jpg.json"}


def test_what_was_removed_or_replaced_leaves_the_next_index(store: FolderStore) -> None:
    add(store, HARBOUR, CAT)
    rebuild(store, lambda: NOW)
    gone = catalog.find_kept(HARBOUR.image, store)
    assert gone
    catalog.forget(gone, store)
    add(store, dataclasses.replace(CAT, seen_at=NOW, caption=Caption("Another cat")))
    rebuild(store, lambda: NOW + timedelta(hours=1))
    assert found(search(store).index()) == ["cat.png"]
    assert found(search(store).index(), "another") == ["cat.png"]


def test_an_index_that_time_cut_short_has_the_newest_and_the_next_goes_on(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "BATCH", 10)
    add(store, *[record(f"{number:02}.jpg", 60 + number) for number in range(30)])
    looks = iter([False, False, True])
    assert rebuild(store, lambda: NOW, lambda: next(looks)) == 20
    stored = indexing.latest(store)
    assert stored is not None
    assert stored.count == 20
    assert rebuild(store, lambda: NOW + timedelta(minutes=1)) == 30
    add(store, record("new.jpg", 1))
    assert rebuild(store, lambda: NOW + timedelta(minutes=2), lambda: True) == 30
    looks = iter([False, True])
    assert rebuild(store, lambda: NOW + timedelta(minutes=3), lambda: next(looks)) == 31


def test_only_the_last_two_indexes_are_kept(store: FolderStore) -> None:
    for minute in range(5):
        rebuild(store, lambda minute=minute: NOW + timedelta(minutes=minute))  # type: ignore[misc]
    assert len(list(store.list(indexing.PLACE))) == 2


@pytest.mark.parametrize("data", [b"", b"no gzip", b'{"schema": 1}'])
def test_a_damaged_index_is_made_anew(store: FolderStore, data: bytes) -> None:
    add(store, CAT)
    rebuild(store, lambda: NOW)
    damaged = indexing.latest(store)
    assert damaged
    store.put(damaged.name, data, EMPTY)
    assert rebuild(store, lambda: NOW + timedelta(minutes=1)) == 1
    store.put(indexing.latest(store).name, data, EMPTY)  # type: ignore[union-attr]
    looking = search(store)
    assert found(looking.index()) == ["cat.png"]


def test_a_name_too_long_to_be_stored_is_found_all_the_same(store: FolderStore) -> None:
    long = "deep/" * 200 + "lighthouse.jpg"
    add(store, record(long, tiles=Step(Outcome.FAILED, "Its name is too long.", "unstorable")))
    index = search(store).index()
    assert len(index.find(words_of("LIGHTHOUSE deep"), "newest")) == 1


def test_the_number_of_images_is_counted_or_known(store: FolderStore) -> None:
    add(store, *[record(f"{number}.jpg", 60 + number) for number in range(12)])
    assert tally(store, 20) == (12, True)
    assert tally(store, 5) == (6, False)
    rebuild(store, lambda: NOW)
    add(store, record("new.jpg", -1))
    assert tally(store, 20) == (13, True)
    assert tally(store, 5) == (13, False)


def test_the_last_day_is_summed_up(store: FolderStore) -> None:
    day = NOW - timedelta(hours=24)
    add(store, HARBOUR, MAP, record("old.jpg", 25 * 60), record("broken.jpg", 3, tile_count=0))
    sums = search(store).index().since(day)
    assert (sums.images, sums.pixels, sums.tiles) == (2, 4000 * 3000 + 20_000 * 9_000, 18)


IMAGES = 100_000


def many() -> Iterator[str]:
    for number in range(IMAGES):
        key = f"archive/{number % 400:03}/scan-{number:06}.tif"
        caption = Caption(f"Plate {number} of the harbour", camera=f"Scanner {number % 9}", taken="2024-05-17")
        made = record(key, 60 + number, caption=caption)
        (listing,) = [name for name in catalog._entry_names(made) if "/newest/" in name]
        yield json.dumps(Entry.of(listing.removeprefix("_lambdazoom/newest/"), made, NOW))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> FolderStore:
    store = FolderStore(tmp_path_factory.mktemp("large"))
    indexing.keep(store, many(), NOW)
    return store


@pytest.mark.long
def test_a_hundred_thousand_images_are_searched_in_a_moment(large: FolderStore) -> None:
    looking = search(large)
    looking.index()
    taken = {}
    for query in ("harbour", "scanner 7 2024", "scan-0123", "no such thing", "plate 99999", ""):
        for sort in ("newest", "name", "largest"):
            looking.index().find(words_of(query), sort)  # a sort's order is made once
            taken[query, sort] = milliseconds(partial(first_page, looking, query, sort))
    assert statistics.median(taken.values()) <= 50, taken


def first_page(looking: Search, query: str, sort: str) -> None:
    index = looking.index()
    places = index.after(index.find(words_of(query), sort), sort, "")[:60]
    index.cursor(places[-1], sort) if places else None


@pytest.mark.long
def test_a_hundred_thousand_images_take_bounded_memory(large: FolderStore) -> None:
    tracemalloc.start()
    try:
        index = search(large).index()
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(index) == IMAGES
    assert held < 60_000_000, held
    assert peak < 90_000_000, peak


@pytest.mark.long
def test_the_stored_index_is_compact(large: FolderStore) -> None:
    (name,) = large.list(indexing.PLACE)
    assert len(large.read(name).data) < 60 * IMAGES
    assert ImageKey("x").name not in name
