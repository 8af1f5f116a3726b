"""settle: whatever was heard, what is published matches the source in the end."""

import hashlib
import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image

from lambdazoom.model.errors import Interrupted
from lambdazoom.model.keys import ImageKey, SourceObject
from lambdazoom.model.records import ImageRecord, Progress, State
from lambdazoom.publishing import catalog, documents, generations
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.storage.base import JSON
from lambdazoom.storage.folder import FolderSource
from tests.conftest import Draw, picture
from tests.settling import CAT, all_files, settled, shown, tiles_of


def test_an_image_becomes_a_pyramid_a_document_and_a_record(workspace: Workspace, draw: Draw) -> None:
    path = draw(CAT.key, 700, 500)
    record = settled(CAT, workspace)
    published = shown(CAT, workspace)
    assert record.state(workspace.now()) == State.PUBLISHED
    assert (record.width, record.height, record.tile_count) == (700, 500, published.pyramid.tile_count)
    assert record.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert tiles_of(published, workspace) == {f"{level}/{column}_{row}.jpg" for level, column, row in published.pyramid.tiles()}
    assert record.tile_bytes == sum(
        len(workspace.zoom.read(published.generation.tiles + tile).data) for tile in tiles_of(published, workspace)
    )
    document = json.loads(workspace.metadata.read(CAT.metadata).data)
    assert document["tags"]["File:MIMEType"]["text"] == "image/jpeg"
    assert document["source"]["sha256"] == record.sha256
    assert str(path) not in json.dumps(document)


def test_the_pointer_names_the_generation_and_each_generation_is_a_plain_dzi(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key)
    settled(CAT, workspace)
    published = shown(CAT, workspace)
    pointer = workspace.zoom.read("trip/cat.jpg.dzi").data.decode()
    assert f'Url="../{published.generation.tiles}"' in pointer
    plain = workspace.zoom.read(published.generation.descriptor).data.decode()
    assert plain == published.pyramid.descriptor()
    assert "Url" not in plain
    assert published.generation.folder.startswith("_tiles/")


def test_a_public_address_of_the_tiles_stands_in_the_pointer(workspace: Workspace, draw: Draw) -> None:
    public = replace(workspace, settings=replace(workspace.settings, tiles_url="https://tiles.example"))
    draw(CAT.key)
    settled(CAT, public)
    assert f'Url="https://tiles.example/{shown(CAT, public).generation.tiles}"' in public.zoom.read(CAT.pointer).data.decode()


def test_a_thumbnail_of_512_pixels_lies_in_each_generation(workspace: Workspace, draw: Draw, tmp_path: Path) -> None:
    for key, width, height, expected in (("wide.jpg", 1500, 600, (512, 205)), ("small.jpg", 90, 40, (90, 40))):
        draw(key, width, height)
        settled(ImageKey(key), workspace)
        (tmp_path / "thumbnail.jpg").write_bytes(workspace.zoom.read(shown(ImageKey(key), workspace).generation.thumbnail).data)
        with Image.open(tmp_path / "thumbnail.jpg") as thumbnail:
            assert thumbnail.size == expected


def test_settling_again_writes_nothing(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key)
    record = settled(CAT, workspace)
    before = all_files(workspace)
    assert settled(CAT, workspace) == record
    assert all_files(workspace) == before


def test_a_replaced_image_gets_a_generation_of_its_own_and_a_note_tells_of_the_old_one(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key, 300, 200, seed=1)
    first_record, first = settled(CAT, workspace), shown(CAT, workspace)
    draw(CAT.key, 640, 200, seed=2)
    second_record, second = settled(CAT, workspace), shown(CAT, workspace)
    assert second.generation != first.generation
    assert (second.pyramid.width, second_record.width, first_record.width) == (640, 640, 300)
    assert len(tiles_of(first, workspace)) == first.pyramid.tile_count, "viewers that still show it find their tiles"
    note = generations.read_note(first.generation, workspace.metadata)
    assert note is not None
    assert note.pyramid == replace(first.pyramid, recipe=note.pyramid.recipe)
    assert not note.condemned
    assert generations.read_note(second.generation, workspace.metadata) is None


def test_a_removed_image_takes_its_pointer_metadata_and_record_along_and_nobody_elses(workspace: Workspace, draw: Draw) -> None:
    path = draw("img_1.jpg")
    draw("img_10.jpg")
    one, ten = ImageKey("img_1.jpg"), ImageKey("img_10.jpg")
    settled(one, workspace)
    settled(ten, workspace)
    generation = shown(one, workspace).generation
    path.unlink()
    assert settle(one, workspace) is None
    assert generations.published(one, workspace.zoom) is None
    assert documents.find(one, workspace.metadata) is None
    assert [record.key for record in catalog.newest(workspace.metadata).records] == ["img_10.jpg"]
    assert generations.read_note(generation, workspace.metadata) is not None, "the sweep will find its tiles"
    assert len(tiles_of(shown(ten, workspace), workspace)) > 0
    assert settle(one, workspace) is None


def test_a_removed_image_that_is_put_back_is_published_again(workspace: Workspace, draw: Draw, tmp_path: Path) -> None:
    path = draw(CAT.key)
    settled(CAT, workspace)
    path.rename(tmp_path / "aside.jpg")
    settle(CAT, workspace)
    (tmp_path / "aside.jpg").rename(path)
    assert settled(CAT, workspace).state(workspace.now()) == State.PUBLISHED
    assert len(tiles_of(shown(CAT, workspace), workspace)) > 0


def test_other_names_are_other_images(workspace: Workspace, draw: Draw) -> None:
    for key in ("a.jpg", "a.png", "A.JPG", "a.jpg.jpg", "sub/a.jpg", "ä ö+&?#%~.jpg", "_tiles/a.jpg", "line\nbreak.jpg"):
        draw(key, format="PNG" if key == "a.png" else "JPEG")
        settled(ImageKey(key), workspace)
    assert len(catalog.newest(workspace.metadata).records) == 8


class ChangingSource(FolderSource):
    """The file is replaced by another picture while it is being processed, once."""

    changed = False

    @contextmanager
    def fetch(self, wanted: SourceObject) -> Iterator[Path]:
        with super().fetch(wanted) as path:
            yield path
            if not self.changed:
                self.changed = True
                picture(555, 200, seed=9).save(self.root / wanted.key)


def test_an_image_replaced_while_it_is_processed_ends_as_its_last_version(workspace: Workspace, source: Path, draw: Draw) -> None:
    draw(CAT.key, 300, 200)
    record = settled(CAT, replace(workspace, source=ChangingSource(source)))
    assert record.width == 555
    assert shown(CAT, workspace).pyramid.width == 555
    described = documents.find(CAT, workspace.metadata)
    assert described is not None
    assert described.version == record.version


def test_a_name_that_runs_code_in_exiftool_runs_nothing(
    workspace: Workspace, draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image = ImageKey("x\n-if\nsystem('touch PWNED')")
    draw(image.key, format="JPEG")
    assert settled(image, workspace).state(workspace.now()) == State.PUBLISHED
    touched = [*tmp_path.rglob("PWNED"), Path("PWNED"), Path("/PWNED"), Path(tempfile.gettempdir(), "PWNED")]
    assert not any(path.exists() for path in touched)


def test_an_interrupted_run_publishes_nothing_and_a_later_one_finishes(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key, 2000, 2000)

    def stop_soon(progress: Progress) -> None:
        if progress.done > 3:
            workspace.stopping.set()

    with pytest.raises(Interrupted):
        settle(CAT, workspace, stop_soon)
    record = catalog.find(CAT, workspace.metadata)
    assert record is not None
    assert record.state(workspace.now()) == State.WAITING
    assert generations.published(CAT, workspace.zoom) is None
    workspace.stopping.clear()
    assert settled(CAT, workspace).state(workspace.now()) == State.PUBLISHED


def test_a_run_that_shows_signs_of_life_is_left_alone_and_a_dead_one_is_taken_over(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key)
    assert isinstance(workspace.source, FolderSource)
    theirs = ImageRecord(CAT.key, workspace.source.head(CAT.key).version, workspace.now(), run="another", heartbeat_at=workspace.now())
    kept = catalog.save(theirs, None, workspace.metadata)
    assert settled(CAT, workspace) == theirs
    catalog.save(replace(theirs, heartbeat_at=workspace.now() - timedelta(minutes=5)), kept, workspace.metadata)
    assert settled(CAT, workspace).state(workspace.now()) == State.PUBLISHED


def test_two_runs_at_once_end_with_one_whole_pyramid(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key, 1200, 900)
    never_alive = replace(workspace, now=lambda: datetime.now(UTC) - timedelta(hours=1))
    threads = [threading.Thread(target=settle, args=(CAT, each)) for each in (workspace, never_alive, never_alive)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    record, published = settled(CAT, workspace), shown(CAT, workspace)
    assert record.generation == published.generation.id
    assert len(tiles_of(published, workspace)) == published.pyramid.tile_count


def test_a_record_lost_between_publication_and_its_writing_is_completed(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key)
    record = settled(CAT, workspace)
    kept = catalog.find_kept(CAT, workspace.metadata)
    assert kept is not None
    catalog.forget(kept, workspace.metadata)
    completed = settled(CAT, workspace)
    assert (completed.generation, completed.width, completed.sha256) == (record.generation, record.width, record.sha256)
    assert completed.state(workspace.now()) == State.PUBLISHED


def test_a_generation_that_the_sweep_has_condemned_is_made_anew(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key)
    settled(CAT, workspace)
    first = shown(CAT, workspace)
    generations.retire(CAT, first, workspace.metadata, workspace.now, workspace.grace)
    note = workspace.metadata.read(first.generation.note)
    condemned = {**json.loads(note.data), "condemned": True}
    workspace.metadata.write(first.generation.note, json.dumps(condemned).encode(), JSON, note.etag)
    settled(CAT, workspace)
    assert shown(CAT, workspace).generation != first.generation
