"""settle: whatever was heard, what is published matches the source in the end."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image

from lambdazoom.metadata.exiftool import ExifTool
from lambdazoom.model.errors import AccessDenied, Interrupted, NotFound, StorageError
from lambdazoom.model.keys import ImageKey, SourceObject
from lambdazoom.model.records import ImageRecord, Progress, State
from lambdazoom.model.wishes import Wish
from lambdazoom.publishing import catalog, documents, generations
from lambdazoom.publishing.generations import Published
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.storage.base import JSON, Headers
from lambdazoom.storage.folder import FolderSource, FolderStore
from tests.conftest import Draw, picture, write_bad_files

CAT = ImageKey("trip/cat.jpg")


def settled(image: ImageKey, workspace: Workspace, asked: bool = False) -> ImageRecord:
    record = settle(image, workspace, wish=Wish(asked=asked))
    assert record is not None
    return record


def shown(image: ImageKey, workspace: Workspace) -> Published:
    found = generations.published(image, workspace.zoom)
    assert found is not None
    return found


def tiles_of(published: Published, workspace: Workspace) -> set[str]:
    names = workspace.zoom.list(published.generation.tiles)
    return {name.removeprefix(published.generation.tiles) for name in names}


def all_files(workspace: Workspace) -> dict[str, int]:
    assert isinstance(workspace.zoom, FolderStore)
    assert isinstance(workspace.metadata, FolderStore)
    roots = (workspace.zoom.root, workspace.metadata.root)
    return {str(path): path.stat().st_mtime_ns for root in roots for path in root.rglob("*") if path.is_file()}


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


def test_each_bad_file_ends_as_a_record_with_a_sentence_and_the_others_go_on(workspace: Workspace, draw: Draw, source: Path) -> None:
    sentences = write_bad_files(source)
    draw("good.jpg")
    for key, sentence in sentences.items():
        record = settled(ImageKey(key), workspace)
        assert record.state(workspace.now()) == State.FAILED, key
        assert record.complaints[0].startswith(sentence), key
        assert "\n" not in record.complaints[0]
        assert generations.published(ImageKey(key), workspace.zoom) is None
    assert settled(ImageKey("good.jpg"), workspace).state(workspace.now()) == State.PUBLISHED
    assert catalog.count("failed", workspace.metadata) == len(sentences)


def test_a_settled_failure_is_not_tried_again_until_somebody_asks_or_the_source_changes(
    workspace: Workspace, source: Path, draw: Draw
) -> None:
    write_bad_files(source)
    cut = ImageKey("cut.jpg")
    assert settled(cut, workspace).attempts == 1
    assert settled(cut, workspace).attempts == 1
    assert settled(cut, workspace, asked=True).attempts == 2
    draw("cut.jpg", 321, 200)
    mended = settled(cut, workspace)
    assert (mended.state(workspace.now()), mended.width, mended.attempts) == (State.PUBLISHED, 321, 1)


def test_what_is_no_image_by_name_and_content_is_ignored_not_failed(workspace: Workspace, source: Path, draw: Draw) -> None:
    for name, content in (("cat.xmp", b"<x:xmpmeta/>"), ("letter.pdf", b"%PDF-1.7"), ("README", b"words")):
        (source / name).write_bytes(content)
        record = settled(ImageKey(name), workspace)
        assert record.state(workspace.now()) == State.IGNORED
        assert record.complaints == ()
        assert record.sha256 == hashlib.sha256(content).hexdigest()
    assert catalog.count("ignored", workspace.metadata) == 3
    assert catalog.newest(workspace.metadata).records == ()
    draw("no-suffix-at-all", format="JPEG")
    assert settled(ImageKey("no-suffix-at-all"), workspace).state(workspace.now()) == State.PUBLISHED


def test_hidden_files_are_not_even_looked_at(workspace: Workspace, source: Path) -> None:
    (source / ".DS_Store").write_bytes(b"x")
    assert settle(ImageKey(".DS_Store"), workspace) is None
    assert list(workspace.metadata.list("")) == []


def test_a_failed_replacement_leaves_the_old_pyramid_and_its_metadata_up(workspace: Workspace, source: Path, draw: Draw) -> None:
    draw(CAT.key)
    settled(CAT, workspace)
    before, described = shown(CAT, workspace), documents.find(CAT, workspace.metadata)
    (source / CAT.key).write_text("no longer an image")
    record = settled(CAT, workspace)
    assert record.state(workspace.now()) == State.FAILED
    assert shown(CAT, workspace) == before
    assert documents.find(CAT, workspace.metadata) == described
    files = all_files(workspace)
    assert settled(CAT, workspace) == record
    assert all_files(workspace) == files


def test_tiles_are_made_although_exiftool_is_missing(workspace: Workspace, draw: Draw, tmp_path: Path) -> None:
    draw(CAT.key)
    without = replace(workspace, exiftool=ExifTool(tmp_path / "no-such-program"))
    record = settled(CAT, without)
    assert record.state(workspace.now()) == State.PUBLISHED
    assert record.complaints[0].startswith("The image is ready. Its metadata could not be read: ")
    assert settled(CAT, without).attempts == 1
    mended = settled(CAT, workspace, asked=True)
    assert mended.complaints == ()
    assert documents.find(CAT, workspace.metadata) is not None
    assert mended.generation == record.generation, "the tiles were there already"


class VanishingSource(FolderSource):
    """The file goes as soon as the decoder asks for it."""

    @contextmanager
    def fetch(self, wanted: SourceObject) -> Iterator[Path]:
        with super().fetch(wanted) as path:
            (self.root / wanted.key).unlink()
            yield path


def test_a_file_that_vanishes_while_it_is_read_leaves_a_record_that_says_so(workspace: Workspace, source: Path, draw: Draw) -> None:
    draw(CAT.key)
    record = settled(CAT, replace(workspace, source=VanishingSource(source)))
    assert record.state(workspace.now()) == State.REMOVED
    assert record.remarks == ("trip/cat.jpg was removed from the source before it could be published.",)
    assert generations.published(CAT, workspace.zoom) is None
    assert settled(CAT, workspace) == record


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


def test_without_read_permission_the_record_says_so_and_a_later_try_succeeds(
    environment: dict[str, str], draw: Draw, workspace: Workspace
) -> None:
    path = draw("secret.jpg")
    path.chmod(0o000)
    # root may read everything, so its right to do so is taken from the child
    unprivileged = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"] if os.geteuid() == 0 else []
    command = [*unprivileged, sys.executable, "-m", "lambdazoom", "process", "secret.jpg"]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("secret.jpg: failed. secret.jpg can't be opened: permission denied.")
    record = catalog.find(ImageKey("secret.jpg"), workspace.metadata)
    assert record is not None
    assert record.state(workspace.now()) == State.FAILED
    path.chmod(0o600)
    assert settled(ImageKey("secret.jpg"), workspace).state(workspace.now()) == State.PUBLISHED


class ClosedSource(FolderSource):
    """A source that lets nobody look, as S3 does without s3:GetObject."""

    def head(self, key: str) -> SourceObject:
        raise AccessDenied(f"S3 refused access to {key}.")


def test_an_image_that_may_not_even_be_looked_at_is_recorded(workspace: Workspace, source: Path, draw: Draw) -> None:
    draw(CAT.key)
    closed = replace(workspace, source=ClosedSource(source))
    for _ in range(2):
        with pytest.raises(AccessDenied):
            settle(CAT, closed)
    record = catalog.find(CAT, workspace.metadata)
    assert record is not None
    assert (record.state(workspace.now()), record.complaints) == (State.FAILED, ("S3 refused access to trip/cat.jpg.",))
    published = settled(CAT, workspace)
    with pytest.raises(AccessDenied):
        settle(CAT, closed)
    assert settled(CAT, workspace) == published, "what is on show is not touched"


def test_a_name_too_long_to_be_stored_gets_a_clear_record(workspace: Workspace, draw: Draw) -> None:
    image = ImageKey("x" * 245 + ".jpg")
    draw(image.key)
    record = settled(image, workspace)
    assert record.complaints == ("Its name is too long: 900 bytes can be stored, 240 for each folder. Rename it.",)
    assert settled(image, workspace).attempts == 1


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


class FullStore(FolderStore):
    """A store whose disk is full from the tenth tile on."""

    writes = 0

    def _write(self, name: str, data: bytes, headers: Headers) -> None:
        self.writes += 1
        if self.writes > 10:
            raise StorageError("The disk is full.")
        super()._write(name, data, headers)


def test_a_store_that_fails_is_recorded_and_tried_again_at_the_next_occasion(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key, 2000, 1500)
    assert isinstance(workspace.zoom, FolderStore)
    record = settled(CAT, replace(workspace, zoom=FullStore(workspace.zoom.root)))
    assert record.complaints == ("The disk is full.",)
    assert generations.published(CAT, workspace.zoom) is None
    assert settled(CAT, workspace).state(workspace.now()) == State.PUBLISHED


def test_a_source_folder_that_is_not_there_withdraws_nothing(workspace: Workspace, source: Path, draw: Draw) -> None:
    draw(CAT.key)
    settled(CAT, workspace)
    source.rename(source.parent / "unmounted")
    with pytest.raises(StorageError) as caught:
        settle(CAT, workspace)
    assert not isinstance(caught.value, NotFound)
    assert len(tiles_of(shown(CAT, workspace), workspace)) > 0
