"""What is published, made anew because somebody asks for it: shown until the new is whole, and kept if that fails."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lambdazoom.metadata.exiftool import ExifTool
from lambdazoom.model.errors import Crashed
from lambdazoom.model.records import ImageRecord, Progress, State
from lambdazoom.model.wishes import HINT, Wish
from lambdazoom.publishing import catalog, deaths, documents
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.sweeping import sweep
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.storage.base import JSON
from lambdazoom.storage.folder import FolderStore
from tests.conftest import Draw
from tests.settling import CAT, FullStore, all_files, failing, later, notes, patient, shown, tiles_of

ANEW = Wish(asked=True, anew=True)
RETRY = Wish(asked=True)
KEPT = " What was made before stays on show."


def settled(workspace: Workspace, wish: Wish = HINT) -> ImageRecord:
    record = settle(CAT, workspace, wish=wish)
    assert record is not None
    return record


def refusing_large_images(workspace: Workspace) -> Workspace:
    return replace(workspace, settings=replace(workspace.settings, max_pixels=100))


def without_exiftool(workspace: Workspace, tmp_path: Path) -> Workspace:
    return replace(workspace, exiftool=ExifTool(tmp_path / "no-such-program"))


def document(workspace: Workspace) -> dict[str, Any]:
    return json.loads(workspace.metadata.read(CAT.metadata).data)  # type: ignore[no-any-return]


def change_document(workspace: Workspace) -> None:
    """As an older exiftool would have written it."""
    older = {**document(workspace), "exiftool": "1.00", "tags": {"Old:Tag": {"text": "old"}}}
    etag = workspace.metadata.read(CAT.metadata).etag
    workspace.metadata.write(CAT.metadata, json.dumps(older).encode(), JSON, etag)


def test_tiles_and_metadata_are_made_anew_and_what_they_replace_goes_after_a_while(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key, 700, 500)
    before, first = settled(workspace), shown(CAT, workspace)
    told = document(workspace)
    change_document(workspace)
    record, second = settled(workspace, ANEW), shown(CAT, workspace)
    assert second.generation != first.generation
    assert second.recipe == first.recipe
    assert document(workspace)["tags"].keys() == told["tags"].keys()
    assert document(workspace)["exiftool"] == told["exiftool"]
    assert record.state(workspace.now()) == State.PUBLISHED
    assert (record.generation, record.attempts, record.complaints) == (second.generation.id, before.attempts + 1, ())
    assert (record.seen_at, record.sha256, record.tile_count) == (before.seen_at, before.sha256, before.tile_count)
    assert len(tiles_of(first, workspace)) == first.pyramid.tile_count, "viewers that still show it find their tiles"
    files = all_files(workspace)
    assert settled(workspace) == record
    assert all_files(workspace) == files, "once is enough"
    sweep(later(workspace, seconds=workspace.settings.grace_seconds + 1))
    assert tiles_of(first, workspace) == set()
    assert len(tiles_of(second, workspace)) == second.pyramid.tile_count
    assert notes(workspace) == []


def test_what_was_never_made_is_made_and_what_is_gone_stays_gone(workspace: Workspace, draw: Draw) -> None:
    path = draw(CAT.key)
    assert settled(workspace, ANEW).attempts == 1
    path.unlink()
    assert settle(CAT, workspace, wish=ANEW) is None


def test_what_can_not_be_made_any_more_stays_as_it_was_and_the_record_says_why(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key)
    settled(workspace)
    before = shown(CAT, workspace)
    record = settled(refusing_large_images(workspace), ANEW)
    assert record.state(workspace.now()) == State.FAILED
    assert record.complaints[0].endswith(KEPT)
    assert record.generation == before.generation.id
    assert shown(CAT, workspace) == before
    assert documents.find(CAT, workspace.metadata) is not None
    assert notes(workspace) == []
    files = all_files(workspace)
    assert settled(workspace) == record
    assert all_files(workspace) == files, "settled until somebody asks"
    mended = settled(workspace, RETRY)
    assert (mended.state(workspace.now()), mended.complaints) == (State.PUBLISHED, ())
    assert mended.generation == shown(CAT, workspace).generation.id != before.generation.id


def test_a_record_that_was_lost_does_not_hide_why(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key)
    settled(workspace)
    kept = catalog.find_kept(CAT, workspace.metadata)
    assert kept is not None
    catalog.forget(kept, workspace.metadata)
    record = settled(refusing_large_images(workspace), ANEW)
    assert record.complaints[0].endswith(KEPT)
    assert settled(workspace) == record


def test_what_a_store_refuses_is_made_anew_at_the_next_occasion(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key, 2000, 1500)
    settled(workspace)
    before = shown(CAT, workspace)
    assert isinstance(workspace.zoom, FolderStore)
    record = settled(replace(workspace, zoom=FullStore(workspace.zoom.root)), ANEW)
    assert record.complaints == (f"The disk is full.{KEPT}",)
    assert shown(CAT, workspace) == before
    after = settled(workspace)
    assert after.complaints == ()
    assert after.generation == shown(CAT, workspace).generation.id != before.generation.id


def test_a_pointer_that_can_not_be_moved_leaves_the_old_one_and_the_next_occasion_moves_it(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key)
    settled(workspace)
    before = shown(CAT, workspace)
    broken = patient(replace(workspace, zoom=failing(workspace.zoom, lambda verb, name: verb == "write" and name == CAT.pointer)))
    record = settled(broken, ANEW)
    assert record.state(workspace.now()) == State.FAILED
    assert record.complaints[0].endswith(KEPT)
    assert shown(CAT, workspace) == before
    after = settled(workspace)
    assert after.complaints == ()
    assert after.generation == shown(CAT, workspace).generation.id != before.generation.id


def test_metadata_that_can_not_be_read_any_more_stay_and_are_read_when_somebody_asks(
    workspace: Workspace, draw: Draw, tmp_path: Path
) -> None:
    draw(CAT.key)
    settled(workspace)
    before = shown(CAT, workspace)
    change_document(workspace)
    record = settled(without_exiftool(workspace, tmp_path), ANEW)
    assert record.state(workspace.now()) == State.PUBLISHED
    assert record.complaints[0].startswith("The image is ready. Its metadata could not be read: ")
    assert record.generation == shown(CAT, workspace).generation.id != before.generation.id
    assert document(workspace)["exiftool"] == "1.00"
    assert settled(workspace) == record
    mended = settled(workspace, RETRY)
    assert (mended.complaints, mended.generation) == ((), record.generation)
    assert document(workspace)["exiftool"] != "1.00"


def test_tiles_that_fail_do_not_keep_metadata_from_being_read(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key)
    settled(workspace)
    change_document(workspace)
    settled(refusing_large_images(workspace), ANEW)
    assert document(workspace)["exiftool"] != "1.00"


@pytest.mark.parametrize("wish", [ANEW, RETRY])
def test_a_process_that_dies_at_it_is_told_and_the_second_time_that_is_all(workspace: Workspace, draw: Draw, wish: Wish) -> None:
    draw(CAT.key)
    settled(workspace)
    before = shown(CAT, workspace)
    for run, each in (("first", ANEW), ("second", HINT)):
        kept = catalog.find_kept(CAT, workspace.metadata)
        assert kept is not None
        at_work = replace(kept.record, run=run, heartbeat_at=workspace.now(), progress=Progress("tiling", 3, 7))
        catalog.save(at_work, kept, workspace.metadata)
        deaths.put_on_record(CAT, run, Crashed("It crashed."), each, workspace)
    record = settled(workspace)
    assert record.complaints == (f"It crashed.{KEPT}",)
    assert shown(CAT, workspace) == before
    assert settled(workspace, wish).generation == shown(CAT, workspace).generation.id != before.generation.id


def test_a_process_that_dies_after_it_has_published_is_not_blamed(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key)
    settled(workspace)
    before = catalog.find_kept(CAT, workspace.metadata)
    assert before is not None
    settled(workspace, ANEW)
    after = shown(CAT, workspace)
    kept = catalog.find_kept(CAT, workspace.metadata)
    catalog.save(replace(before.record, run="ours", heartbeat_at=workspace.now(), progress=Progress("storing")), kept, workspace.metadata)
    deaths.put_on_record(CAT, "ours", Crashed("It crashed."), ANEW, workspace)
    record = settled(workspace)
    assert (record.complaints, record.generation) == ((), after.generation.id)
    assert shown(CAT, workspace) == after


def test_tiles_of_another_recipe_that_can_not_be_made_are_told_likewise(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key)
    settled(workspace)
    before = shown(CAT, workspace)
    other = refusing_large_images(replace(workspace, settings=replace(workspace.settings, tile_size=128)))
    record = settled(other, Wish(recipe=True))
    assert record.complaints[0].endswith(KEPT)
    assert shown(CAT, workspace) == before
