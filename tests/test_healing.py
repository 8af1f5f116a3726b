"""What went wrong heals: failures that repeat, damaged objects of our own, stores that fail at the worst moment."""

import itertools
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from lambdazoom.metadata.exiftool import ExifTool
from lambdazoom.model.errors import StorageError
from lambdazoom.model.keys import ImageKey, SourceObject
from lambdazoom.model.records import Outcome, State
from lambdazoom.publishing import catalog, cutting, documents, generations, housekeeping, workers
from lambdazoom.publishing.housekeeping import Housekeeping
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.sweeping import sweep
from lambdazoom.publishing.workers import Workers
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.storage.base import Headers
from lambdazoom.storage.folder import FolderSource, FolderStore
from tests.conftest import Draw, picture
from tests.crews import Silent
from tests.settling import CAT, failing, later, notes, patient, settled, shown, tiles, tiles_of
from tests.waiting import wait_until

# failures


def test_a_try_that_fails_takes_its_own_tiles_away(workspace: Workspace, draw: Draw) -> None:
    path = draw(CAT.key, 3000, 2000)
    path.write_bytes(path.read_bytes()[:-20_000])
    assert settled(CAT, workspace).state(workspace.now()) == State.FAILED
    assert (tiles(workspace), notes(workspace)) == ([], [])


def test_a_store_that_fails_again_and_again_is_asked_ever_less_often_and_fills_up_with_nothing(
    workspace: Workspace, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "RETRY_SECONDS", 0.4)
    draw(CAT.key)
    tried: dict[str, float] = {}  # when each generation was begun

    def fails(verb: str, name: str) -> bool:
        if verb == "bulk":
            tried.setdefault(name.split("/")[2], time.monotonic())
        return verb == "bulk"

    broken = patient(replace(workspace, zoom=failing(workspace.zoom, fails)))
    with Workers(broken, Silent()) as crew:
        crew.put(CAT.key)
        wait_until(lambda: len(tried) >= 4)
    moments = list(tried.values())
    pauses = [after - before for before, after in itertools.pairwise(moments)]
    assert all(pause > 0.3 * 2**number for number, pause in enumerate(pauses))
    assert tiles(workspace) == []


def test_a_failed_replacement_leaves_the_old_pyramid_up_and_says_so(workspace: Workspace, draw: Draw, source: Path) -> None:
    draw(CAT.key)
    settled(CAT, workspace)
    before = shown(CAT, workspace)
    draw(CAT.key, 800, 600)
    path = source / CAT.key
    path.write_bytes(path.read_bytes()[:3000])
    record = settled(CAT, workspace)
    assert record.state(workspace.now()) == State.FAILED
    assert record.complaints[0].endswith(" The version before stays on show.")
    assert shown(CAT, workspace) == before
    described = documents.find(CAT, workspace.metadata)
    assert described is not None
    assert described.version.etag == before.version.etag
    assert settled(CAT, workspace).attempts == record.attempts, "settled until the source changes or somebody asks"
    assert settled(CAT, workspace, asked=True).attempts == record.attempts + 1


# damaged objects and stores


@pytest.mark.parametrize("has_record", [True, False])
def test_a_damaged_pointer_is_replaced_and_what_it_named_goes(workspace: Workspace, draw: Draw, has_record: bool) -> None:
    draw(CAT.key)
    settled(CAT, workspace)
    assert isinstance(workspace.zoom, FolderStore)
    (workspace.zoom.root / CAT.pointer).write_bytes(b"<Image")
    if not has_record:
        workspace.metadata.discard(CAT.record)
    record = settled(CAT, workspace)
    assert record.generation == shown(CAT, workspace).generation.id
    if has_record:
        sweep(later(workspace, hours=2))
        assert all(record.generation in name for name in tiles(workspace))


def test_a_damaged_pointer_without_a_source_goes(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key).unlink()
    workspace.zoom.write(CAT.pointer, b"", Headers(""), None)
    assert settle(CAT, workspace) is None
    assert list(workspace.zoom.list("")) == []


def test_a_record_that_can_not_be_written_at_the_end_does_not_look_alive(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key)
    states: list[bool] = []

    def fails(verb: str, name: str) -> bool:
        if name != CAT.record:
            return False
        states.append(generations.published(CAT, workspace.zoom) is not None)
        return states.count(True) in range(1, 6)  # all tries of this call to complete the record, but not the last word

    record = settled(CAT, patient(replace(workspace, metadata=failing(workspace.metadata, fails))))
    assert states.count(True) == 6
    assert (record.heartbeat_at, record.state(workspace.now())) == (None, State.PUBLISHED)


def test_what_was_made_is_published_when_the_store_answers_again_and_not_made_twice(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key)
    failures = iter([True, True, False])
    pointer = failing(workspace.zoom, lambda verb, name: name == CAT.pointer and next(failures, False))
    assert settled(CAT, patient(replace(workspace, zoom=pointer))).state(workspace.now()) == State.PUBLISHED
    published = shown(CAT, workspace)
    assert {name.split("/")[2] for name in tiles(workspace)} == {published.generation.id}
    assert notes(workspace) == []


def test_metadata_of_another_version_are_not_called_done(workspace: Workspace, draw: Draw, tmp_path: Path) -> None:
    draw(CAT.key)
    record = settled(CAT, workspace)
    assert isinstance(workspace.metadata, FolderStore)
    kept = catalog.find_kept(CAT, workspace.metadata)
    assert record.metadata is not None
    unfinished = replace(record.metadata, outcome=Outcome.FAILED, sentence="Later.", final=False)
    catalog.save(replace(record, metadata=unfinished), kept, workspace.metadata)
    document = json.loads((workspace.metadata.root / CAT.metadata).read_text())
    document["source"]["etag"] = "another"
    (workspace.metadata.root / CAT.metadata).write_text(json.dumps(document))
    after = settled(CAT, replace(workspace, exiftool=ExifTool(tmp_path / "none")))
    assert after.metadata is not None
    assert after.metadata.outcome == Outcome.FAILED


def test_a_drive_that_fails_under_the_checksum_is_not_the_images_fault() -> None:
    with pytest.raises(StorageError, match="could not be read") as caught:
        cutting.sha256(Path("/proc/self/mem"), "cat.jpg")
    assert caught.value.retryable


def test_a_name_too_long_that_is_no_image_is_passed_over(workspace: Workspace, source: Path) -> None:
    image = ImageKey("x" * 250)
    (source / image.key).write_text("words")
    assert settled(image, workspace).state(workspace.now()) == State.IGNORED


# the source


class SwappedSource(FolderSource):
    """A source whose file is moved aside for another while it is read, and back."""

    other: Path

    @contextmanager
    def fetch(self, wanted: SourceObject) -> Iterator[Path]:
        with super().fetch(wanted) as path:
            if not self.other.exists():
                yield path
                return
            mine, aside = self.root / wanted.key, self.root.parent / "aside"
            mine.rename(aside)
            self.other.rename(mine)
            yield path
            mine.unlink()
            aside.rename(mine)


def test_a_file_swapped_for_another_and_back_meanwhile_is_read_again(
    workspace: Workspace, source: Path, draw: Draw, tmp_path: Path
) -> None:
    draw(CAT.key, 300, 200)
    swapped = SwappedSource(source)
    swapped.other = tmp_path / "foreign.jpg"
    picture(640, 480, seed=5).save(swapped.other)
    assert settled(CAT, replace(workspace, source=swapped)).width == 300
    published = shown(CAT, workspace)
    assert published.pyramid.width == 300
    assert len(tiles_of(published, workspace)) == published.pyramid.tile_count
    assert {name.split("/")[2] for name in tiles(workspace)} == {published.generation.id}


def test_what_was_deleted_while_nobody_watched_is_told_at_the_start(workspace: Workspace, draw: Draw, source: Path) -> None:
    for number in range(3):
        draw(f"{number}.jpg")
        settled(ImageKey(f"{number}.jpg"), workspace)
    (source / "1.jpg").unlink()
    told: list[str] = []
    with Housekeeping(workspace, told.append):
        wait_until(lambda: bool(told))
    assert told == ["1.jpg"]


def test_a_source_that_is_empty_at_the_start_is_not_believed(workspace: Workspace, draw: Draw, caplog: pytest.LogCaptureFixture) -> None:
    draw(CAT.key)
    settled(CAT, workspace)
    (workspace.source.root / CAT.key).unlink()  # type: ignore[attr-defined]
    told: list[str] = []
    with Housekeeping(workspace, told.append):
        wait_until(lambda: "holds no images at all" in caplog.text)
    assert told == []


def delete_one_of_two(workspace: Workspace, draw: Draw, source: Path) -> None:
    """Publish both, and delete the original of gone.jpg while nobody watches."""
    for key in ("kept.jpg", "gone.jpg"):
        draw(key)
        settled(ImageKey(key), workspace)
    (source / "gone.jpg").unlink()


@pytest.mark.parametrize("is_there", [False, True], ids=["away", "empty"])
def test_what_was_deleted_is_told_once_the_drive_is_mounted(
    is_there: bool, workspace: Workspace, draw: Draw, source: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "SWEEP_SECONDS", 0.1)
    delete_one_of_two(workspace, draw, source)
    drive = source.rename(source.parent / "drive")
    if is_there:
        source.mkdir()
    told: list[str] = []
    with Housekeeping(workspace, told.append):
        wait_until(lambda: f"{source} holds no images" in caplog.text if is_there else f"{source} is not there" in caplog.text)
        drive.rename(source)
        wait_until(lambda: bool(told))
        time.sleep(0.5)
    assert told == ["gone.jpg"], "and only once"


def test_a_full_temporary_folder_does_not_end_the_housekeeping(
    workspace: Workspace, draw: Draw, source: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "SWEEP_SECONDS", 0.1)
    delete_one_of_two(workspace, draw, source)
    told: list[str] = []
    monkeypatch.setattr(tempfile, "tempdir", str(source.parent / "full"))
    with Housekeeping(workspace, told.append):
        wait_until(lambda: "Trying again later" in caplog.text)
        (source.parent / "full").mkdir()
        wait_until(lambda: bool(told))
    assert told == ["gone.jpg"]


def test_serving_sweeps(workspace: Workspace, draw: Draw) -> None:
    for width in (300, 400):
        draw(CAT.key, width, 200)
        settled(CAT, workspace)
    both = len(tiles(workspace))
    with Housekeeping(later(workspace, hours=2), lambda _: None):
        wait_until(lambda: len(tiles(workspace)) < both)
    assert notes(workspace) == []


# what outlasts a power cut


def test_control_objects_are_synced_and_the_mass_of_tiles_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderStore(tmp_path / "store")
    synced: list[str] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    store.write("a/pointer", b"1", Headers(""), None)
    assert synced == [".lambdazoom.unfinished", "a"], "the bytes before they get their name, then the name"
    with store.bulk() as write:
        for number in range(50):
            write(f"_tiles/{number}.jpg", b"1", Headers(""))
    assert len(synced) == 2
