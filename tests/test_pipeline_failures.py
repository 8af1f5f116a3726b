"""What can't be published ends as a record with a sentence, and harms nothing else."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from lambdazoom.metadata.exiftool import ExifTool
from lambdazoom.model.errors import AccessDenied, NotFound, StorageError
from lambdazoom.model.keys import ImageKey, SourceObject
from lambdazoom.model.records import State
from lambdazoom.publishing import catalog, documents, generations
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.storage.folder import FolderSource, FolderStore
from tests.conftest import Draw, write_bad_files
from tests.settling import CAT, FullStore, all_files, settled, shown, tiles_of


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
