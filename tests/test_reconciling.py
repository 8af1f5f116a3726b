"""Reconcile: two listings merged whatever the names; what differs is found, counted, and made right; nothing goes by mistake."""

import tracemalloc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdazoom.model import entries
from lambdazoom.model.entries import Entry, Mark
from lambdazoom.model.errors import StorageError
from lambdazoom.model.geometry import Recipe
from lambdazoom.model.keys import ImageKey, SourceObject, SourceVersion
from lambdazoom.model.records import ImageRecord, State
from lambdazoom.model.settings import Settings
from lambdazoom.publishing import catalog, generations
from lambdazoom.publishing.generations import LONGEST_RUN
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.reconciling import Finding, Survey, merged, survey
from lambdazoom.publishing.repairing import ADDS, GONE, RemovalRefused, check_removal, repair
from lambdazoom.publishing.workspace import Workspace, open_workspace
from lambdazoom.storage.base import EMPTY, JSON
from lambdazoom.storage.folder import FolderSource, FolderStore
from tests.any_keys import keys, near
from tests.conftest import encoded
from tests.places import Places
from tests.places import places as places  # a fixture
from tests.places import working as working  # a fixture

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
VERSION = SourceVersion("e", NOW, 3)
MARK = Mark.of(VERSION, entries.PUBLISHED, entries.DESCRIBED, Recipe().fingerprint)
IMAGE = encoded(300, 200)


def differences(workspace: Workspace) -> dict[str, str]:
    """What a survey finds, by key."""
    with survey(workspace) as found:
        each = {one.key: str(one.finding) for one in found.of(Finding)}
        assert len(each) == found.counts.total()
        return each


def fix(workspace: Workspace, *findings: Finding) -> dict[str, int]:
    with survey(workspace) as found:
        repaired = repair(found.of(findings or ADDS), workspace)
    assert repaired.errors == 0
    return dict(repaired.states)


def index_listing(names: Iterable[str]) -> list[Entry]:
    """The index of these keys as a store lists it: by the bytes of its names."""
    written = [entries.index_entry(ImageKey(key), MARK) for key in names if entries.indexed(ImageKey(key))]
    return [entries.parse_index(name) for name in sorted(written, key=lambda name: name.encode())]


@given(st.lists(st.one_of(near, keys), max_size=12), st.lists(st.one_of(near, keys), max_size=12), st.data())
def test_two_listings_are_merged_whatever_the_names(one: list[str], other: list[str], data: st.DataObject) -> None:
    shared = data.draw(st.lists(st.sampled_from(one), max_size=5)) if one else []
    held, known = set(one), {key for key in {*other, *shared} if entries.indexed(ImageKey(key))}
    pairs = list(merged((SourceObject(key, VERSION) for key in sorted(held)), index_listing(known)))
    assert [pair.key for pair in pairs] == sorted(held | known)
    assert {pair.key for pair in pairs if pair.source} == held
    assert {pair.key for pair in pairs if pair.entries} == known


@settings(deadline=None)  # it writes files, and somebody else may, too
@given(st.sets(keys.filter(lambda key: "\0" not in key and all(s not in ("", ".", "..") for s in key.split("/"))), max_size=8))
def test_a_folder_s_own_order_is_the_order_of_the_index(tmp_path_factory: pytest.TempPathFactory, names: set[str]) -> None:
    root = tmp_path_factory.mktemp("order")
    store = FolderStore(root / "metadata")
    written = set()
    for key in names:
        path = root / "source" / key
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        except OSError:
            continue  # a file and a folder of one name
        written.add(key)
        store.put(entries.index_entry(ImageKey(key), MARK), b"", EMPTY)
    (root / "source").mkdir(exist_ok=True)
    pairs = list(merged(FolderSource(root / "source").list(), catalog.index(store)))
    assert {pair.key for pair in pairs if pair.source and pair.entries} == {key for key in written if entries.indexed(ImageKey(key))}
    assert {pair.key for pair in pairs} == written


def test_a_listing_in_no_order_is_refused_instead_of_taken_for_a_thousand_orphans() -> None:
    with pytest.raises(StorageError, match="listing of the source is not sorted"):
        list(merged([SourceObject("b", VERSION), SourceObject("a", VERSION)], index_listing(["a", "b"])))


class GeneratedSource:
    """A source of so many originals that need not be there; `requests` counts pages of a thousand."""

    bucket = None

    def __init__(self, count: int) -> None:
        self.count = count
        self.requests = 0

    def list(self, after: str = "") -> Iterator[SourceObject]:
        for number in range(self.count):
            self.requests += number % 1000 == 0
            yield SourceObject(f"trip/{number:09d} ä#.jpg", VERSION)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} costs a request")


@dataclass
class GeneratedStore:
    """A metadata store with an index of so many images; anything but a listing fails."""

    count: int
    requests: int = 0
    prefixes: list[str] = field(default_factory=list)

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        self.prefixes.append(prefix)
        self.requests += 1
        if prefix == entries.INDEX:
            for number in range(self.count):
                self.requests += number % 1000 == 999
                yield f"{prefix}trip/{number:09d}!20ä#.jpg {MARK}"

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} costs a request")


@pytest.mark.parametrize("count", [10_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_many_images_with_nothing_to_do_cost_two_listings(workspace: Workspace, count: int) -> None:
    source, metadata = GeneratedSource(count), GeneratedStore(count)
    with survey(replace(workspace, source=source, metadata=metadata)) as found:
        assert (found.images, found.known, found.counts.total()) == (count, count, 0)
    assert source.requests + metadata.requests <= 2 * count / 1000 + 5, "at a million 2,005"


def test_memory_does_not_grow_with_the_number_of_images(workspace: Workspace) -> None:
    def peak(count: int) -> int:
        missing = replace(workspace, source=GeneratedSource(count), metadata=GeneratedStore(0))
        tracemalloc.start()
        with survey(missing) as found:
            assert found.counts[Finding.MISSING] == count
            assert sum(1 for _ in found.of({Finding.MISSING})) == count
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(8_000) < 1.5 * peak(1_000)


def test_each_kind_of_difference_is_found_and_made_right(places: Places, working: Workspace) -> None:
    for key in ("fine.jpg", "replaced.jpg", "gone.jpg", "dir/né w +#.jpg", "older recipe.jpg"):
        places.put(key, IMAGE)
    places.put("bad.jpg", b"not an image")
    places.put("words.txt", b"just words")
    for key in ("fine.jpg", "replaced.jpg", "gone.jpg", "bad.jpg", "words.txt"):
        settle(ImageKey(key), working)
    other = replace(working, settings=replace(working.settings, tile_size=510))
    settle(ImageKey("older recipe.jpg"), other)
    places.put("replaced.jpg", encoded(310, 200))
    places.remove("gone.jpg")
    places.put("x" * 235 + ".jpg", IMAGE)  # a name that the index can't bear
    left = {"bad.jpg": Finding.FAILED, "gone.jpg": Finding.ORPHANED, "older recipe.jpg": Finding.RECIPE}
    assert differences(working) == {
        **left,
        "dir/né w +#.jpg": Finding.MISSING,
        "replaced.jpg": Finding.STALE,
        "x" * 235 + ".jpg": Finding.MISSING,
    }
    assert fix(working) == {State.PUBLISHED: 3}
    assert differences(working) == left
    shown = generations.published(ImageKey("replaced.jpg"), working.zoom)
    assert shown is not None
    assert shown.pyramid.width == 310

    assert fix(working, Finding.RECIPE) == {State.PUBLISHED: 1}
    assert fix(working, Finding.ORPHANED) == {GONE: 1}
    assert generations.published(ImageKey("gone.jpg"), working.zoom) is None
    places.put("bad.jpg", b"still no image")
    assert differences(working) == {"bad.jpg": Finding.STALE}
    assert fix(working) == {State.FAILED: 1}
    assert differences(working) == {"bad.jpg": Finding.FAILED}


def test_what_failed_for_good_is_tried_again_only_when_asked(working: Workspace, places: Places) -> None:
    places.put("large.jpg", IMAGE)
    settle(ImageKey("large.jpg"), replace(working, settings=replace(working.settings, max_pixels=1000)))
    assert fix(working) == {}
    assert differences(working) == {"large.jpg": Finding.FAILED}
    assert fix(working, Finding.FAILED) == {State.PUBLISHED: 1}
    assert differences(working) == {}


def test_metadata_that_is_owed_is_found_and_made_while_the_tiles_stay(working: Workspace, places: Places) -> None:
    places.put("cat.jpg", IMAGE)
    record = settle(ImageKey("cat.jpg"), working)
    assert record is not None
    kept = catalog.find_kept(record.image, working.metadata)
    catalog.save(replace(record, metadata=None), kept, working.metadata)
    working.metadata.discard(record.image.metadata)
    assert differences(working) == {"cat.jpg": Finding.METADATA}
    assert fix(working) == {State.PUBLISHED: 1}
    assert differences(working) == {}
    again = catalog.find(record.image, working.metadata)
    assert again is not None
    assert again.generation == record.generation
    assert working.metadata.read(record.image.metadata)


def test_a_run_that_died_is_found_and_one_that_works_is_left_alone(working: Workspace, places: Places) -> None:
    for key, heard_of in (("dead.jpg", NOW), ("alive.jpg", working.now())):
        places.put(key, IMAGE)
        found = working.source.head(key)
        opening = ImageRecord(key, found.version, seen_at=NOW, run="another", heartbeat_at=heard_of)
        catalog.save(opening, None, working.metadata)
    assert differences(working) == {"dead.jpg": Finding.STALLED}
    with survey(working) as found_now:
        assert found_now.processing == 1
    assert fix(working) == {State.PUBLISHED: 1}


def test_entries_that_a_crash_left_behind_go(working: Workspace, places: Places) -> None:
    image = ImageKey("cat.jpg")
    places.put("cat.jpg", IMAGE)
    record = settle(image, working)
    assert record is not None
    before = set(working.metadata.list("_lambdazoom/"))
    stale = Mark.of(replace(VERSION, etag="before"), entries.PUBLISHED, entries.DESCRIBED, "")
    leftovers = [entries.index_entry(image, stale), entries.list_entry(image, "active", record.seen_at)]
    leftovers.append(entries.list_entry(ImageKey("never there.jpg"), "active", NOW))
    for name in leftovers:
        working.metadata.put(name, b"", EMPTY)
    tomorrow = replace(working, now=lambda: datetime.now(UTC) + LONGEST_RUN)
    with survey(tomorrow) as found:
        assert found.counts == {Finding.UNTIDY: 3}
    fix(tomorrow)
    assert set(working.metadata.list("_lambdazoom/")) == before


def test_an_index_that_was_lost_comes_back_without_making_anything_anew(working: Workspace, places: Places) -> None:
    for key in ("a.jpg", "b/c.jpg"):
        places.put(key, IMAGE)
        settle(ImageKey(key), working)
    before = set(working.metadata.list("_lambdazoom/"))
    tiles = set(working.zoom.list("_tiles/"))
    for name in [*working.metadata.list(entries.INDEX), *working.metadata.list("_lambdazoom/newest/")]:
        working.metadata.discard(name)
    assert set(differences(working).values()) == {Finding.MISSING}
    assert fix(working) == {State.PUBLISHED: 2}
    assert set(working.metadata.list("_lambdazoom/")) == before
    assert set(working.zoom.list("_tiles/")) == tiles


def test_a_thorough_look_finds_what_somebody_took_away_behind_the_index(working: Workspace, places: Places) -> None:
    for key in ("a.jpg", "damaged.jpg", "no pointer.jpg", "no metadata.jpg", "other metadata.jpg"):
        places.put(key, IMAGE)
        settle(ImageKey(key), working)
    working.zoom.discard(ImageKey("no pointer.jpg").pointer)
    working.zoom.put(ImageKey("damaged.jpg").pointer, b"<Image", JSON)
    working.metadata.discard(ImageKey("no metadata.jpg").metadata)
    older = working.metadata.read(ImageKey("other metadata.jpg").metadata).data.replace(b'"etag": "', b'"etag": "0')
    working.metadata.put(ImageKey("other metadata.jpg").metadata, older, JSON)
    assert differences(working) == {}
    with survey(working, thorough=True) as found:
        lost = sorted(one.key for one in found.of({Finding.LOST}))
        assert lost == ["damaged.jpg", "no metadata.jpg", "no pointer.jpg", "other metadata.jpg"]
        assert found.counts.total() == 4
        assert repair(found.of(ADDS), working).states == {State.PUBLISHED: 4}
    with survey(working, thorough=True) as found:
        assert found.counts.total() == 0


def test_stopped_in_the_middle_it_goes_on_where_it_was(working: Workspace, places: Places) -> None:
    for number in range(6):
        places.put(f"{number}.jpg", IMAGE)

    def stop_after_two(done: int) -> None:
        if done >= 2:
            raise KeyboardInterrupt

    with survey(working) as found, pytest.raises(KeyboardInterrupt):
        repair(found.of(ADDS), working, stop_after_two)
    working.stopping.clear()
    left = differences(working)
    assert 0 < len(left) <= 4
    published = {record.key: record.generation for record in catalog.newest(working.metadata).records if record.generation}
    fix(working)
    assert differences(working) == {}
    now = {record.key: record.generation for record in catalog.newest(working.metadata).records}
    assert {key: now[key] for key in published} == published, "what was done is not done again"


@pytest.mark.parametrize(
    ("images", "known", "orphans", "at_most", "sentence"),
    [
        (0, 100, 1, 100, "holds no images at all"),
        (100, 100, 11, 10, r"11 of 100 known images \(11 %\) are not in s3://originals"),
        (1, 3, 2, 50, "At most 50 % may go"),
        (0, 0, 1, 100, "holds no images at all"),
    ],
)
def test_a_mistyped_source_does_not_delete_an_archive(images: int, known: int, orphans: int, at_most: int, sentence: str) -> None:
    with Survey(images, known) as found:
        found.counts[Finding.ORPHANED] = orphans
        with pytest.raises(RemovalRefused, match=sentence):
            check_removal(found, at_most, "s3://originals")


def test_few_orphans_may_go() -> None:
    with Survey(90, 100) as found:
        found.counts[Finding.ORPHANED] = 10
        check_removal(found, 10, "s3://originals")


def test_a_source_that_is_not_there_is_no_empty_one(environment: dict[str, str]) -> None:
    Path(environment["LAMBDAZOOM_SOURCE"]).rmdir()
    with open_workspace(Settings.from_env(environment)).closing() as workspace, pytest.raises(StorageError, match="is not there"):
        survey(workspace)


def test_an_image_that_comes_back_meanwhile_is_not_withdrawn(working: Workspace, places: Places) -> None:
    places.put("cat.jpg", IMAGE)
    settle(ImageKey("cat.jpg"), working)
    places.remove("cat.jpg")
    with survey(working) as found:
        places.put("cat.jpg", IMAGE)
        assert repair(found.of({Finding.ORPHANED}), working).states == {State.PUBLISHED: 1}
