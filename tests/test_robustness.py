"""Named after what once went wrong: races, interruptions, damaged files of our own, drives that go away."""

import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image

from lambdazoom.metadata.exiftool import ExifTool
from lambdazoom.model.errors import StorageError
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord, State
from lambdazoom.publishing import catalog, documents, generations, pipeline, workers
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workers import Workers
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.storage import watch
from lambdazoom.storage.base import EMPTY, Headers
from lambdazoom.storage.folder import FolderSource, FolderStore
from lambdazoom.storage.watch import Watch
from samples import draw as samples
from tests.conftest import Draw, picture
from tests.crews import Silent
from tests.decoding import decode
from tests.settling import settled
from tests.waiting import wait_until

CAT = ImageKey("cat.jpg")


def test_a_writer_that_opens_a_file_while_it_is_looked_at_does_not_end_the_service(tmp_path: Path) -> None:
    """The kernel signals who holds a read lease; SIGIO, its default, would end the process."""
    path = tmp_path / "cat.jpg"
    path.write_bytes(b"x")
    writer = f"import os, time\nend = time.time() + 2\nwhile time.time() < end: os.close(os.open({str(path)!r}, os.O_WRONLY))"
    looker = (
        "import sys, time, pathlib\nfrom lambdazoom.storage import watch\nend = time.time() + 2\n"
        f"while time.time() < end: watch._is_open_for_writing(pathlib.Path({str(path)!r}))\nprint('alive')"
    )
    with subprocess.Popen([sys.executable, "-c", writer]) as writing:
        done = subprocess.run([sys.executable, "-c", looker], capture_output=True, text=True, check=False)
        writing.wait()
    assert (done.returncode, done.stdout) == (0, "alive\n")


def test_entries_that_come_and_go_in_the_same_folders_do_not_lose_each_other(tmp_path: Path) -> None:
    store, failures = FolderStore(tmp_path), list[Exception]()

    def come_and_go(number: int) -> None:
        for _ in range(300):
            try:
                store.put(f"_lambdazoom/active/trip/2024/{number % 2}.jpg~", b"", EMPTY)
                store.discard(f"_lambdazoom/active/trip/2024/{number % 2}.jpg~")
            except StorageError as error:
                failures.append(error)

    threads = [threading.Thread(target=come_and_go, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_run_that_was_killed_is_taken_up_by_the_next_start(workspace: Workspace, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its heartbeat looks fresh at first, and no event comes to tell that it no longer is."""
    monkeypatch.setattr(workers, "RETRY_SECONDS", 0.5)
    draw(CAT.key)
    version = workspace.source.head(CAT.key).version
    killed = ImageRecord(CAT.key, version, workspace.now(), run="killed", heartbeat_at=workspace.now() - timedelta(seconds=28))
    catalog.save(killed, None, workspace.metadata)
    with Workers(workspace, Silent()) as crew:
        crew.put(CAT.key)
        wait_until(lambda: generations.published(CAT, workspace.zoom) is not None)


def test_a_disk_that_has_room_again_is_noticed(workspace: Workspace, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "RETRY_SECONDS", 0.3)
    draw(CAT.key)
    full = [True]

    class Filling(FolderStore):
        def _write(self, name: str, data: bytes, headers: Headers) -> None:
            if full[0]:
                raise StorageError("The disk is full.")
            super()._write(name, data, headers)

    assert isinstance(workspace.zoom, FolderStore)
    with Workers(replace(workspace, zoom=Filling(workspace.zoom.root)), Silent()) as crew:
        crew.put(CAT.key)
        wait_until(lambda: catalog.count("failed", workspace.metadata) == 1)
        full[0] = False
        wait_until(lambda: generations.published(CAT, workspace.zoom) is not None)


def test_a_pointer_that_can_not_be_written_is_a_failure_on_the_record(workspace: Workspace, draw: Draw) -> None:
    draw("a.jpg")
    settled(ImageKey("a.jpg"), workspace)
    draw("a.jpg.dzi/b.jpg")  # its pointer would lie below the other's, which is a file
    record = settled(ImageKey("a.jpg.dzi/b.jpg"), workspace)
    assert record.state(workspace.now()) == State.FAILED
    assert "a file and a folder of the same name meet there" in record.complaints[0]
    assert settled(ImageKey("a.jpg.dzi/b.jpg"), workspace).attempts == 1


def test_a_file_that_becomes_a_folder_is_followed(workspace: Workspace, source: Path) -> None:
    (source / "README").write_text("words")
    settled(ImageKey("README"), workspace)
    (source / "README").unlink()
    (source / "README").mkdir()
    (source / "README" / "x.txt").write_text("words")
    assert settled(ImageKey("README/x.txt"), workspace).state(workspace.now()) == State.IGNORED
    assert settle(ImageKey("README"), workspace) is None


def test_a_damaged_document_is_written_anew(workspace: Workspace, draw: Draw) -> None:
    draw(CAT.key)
    settled(CAT, workspace)
    assert isinstance(workspace.metadata, FolderStore)
    (workspace.metadata.root / CAT.metadata).write_bytes(b"")
    settled(CAT, workspace)
    assert json.loads(workspace.metadata.read(CAT.metadata).data)["key"] == CAT.key


def test_without_exiftool_an_older_document_ends_nowhere_but_does_not_loop(workspace: Workspace, draw: Draw, tmp_path: Path) -> None:
    draw(CAT.key)
    settled(CAT, workspace)
    assert isinstance(workspace.metadata, FolderStore)
    path = workspace.metadata.root / CAT.metadata
    document = json.loads(path.read_text())
    document["source"]["etag"] = "an older one"
    path.write_text(json.dumps(document))
    record = settled(CAT, replace(workspace, exiftool=ExifTool(tmp_path / "none")))
    assert record.attempts == 2
    assert documents.find(CAT, workspace.metadata) is None, "what speaks of another version is not left standing"


def test_what_is_looked_at_while_it_is_replaced_keeps_its_note(
    workspace: Workspace, draw: Draw, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(CAT.key, 300, 200)
    settled(CAT, workspace)
    first = generations.published(CAT, workspace.zoom)
    assert first is not None
    (source / CAT.key).rename(tmp_path / "first.jpg")
    draw(CAT.key, 400, 200)
    publish = generations.publish

    def publish_while_another_looks(*arguments: object) -> None:
        monkeypatch.setattr(generations, "publish", publish)
        (source / CAT.key).rename(tmp_path / "second.jpg")
        (tmp_path / "first.jpg").rename(source / CAT.key)
        settle(CAT, workspace)  # finds the first version where it belongs
        (source / CAT.key).rename(tmp_path / "first.jpg")
        (tmp_path / "second.jpg").rename(source / CAT.key)
        publish(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(generations, "publish", publish_while_another_looks)
    settle(CAT, workspace)
    assert generations.read_note(first.generation, workspace.metadata) is not None


def test_after_a_failure_that_may_pass_one_looks_again(workspace: Workspace, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    path = draw(CAT.key)
    save = documents.save

    class Full(FolderStore):
        def _write(self, name: str, data: bytes, headers: Headers) -> None:
            raise StorageError("The disk is full.")

    def save_while_the_source_goes(*arguments: object) -> None:
        path.unlink()
        save(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(documents, "save", save_while_the_source_goes)
    assert isinstance(workspace.zoom, FolderStore)
    settle(CAT, replace(workspace, zoom=Full(workspace.zoom.root)))
    assert documents.find(CAT, workspace.metadata) is None


def test_an_image_replaced_by_something_else_fails_and_stays_in_sight(workspace: Workspace, draw: Draw, source: Path) -> None:
    draw("photo", format="JPEG")
    settled(ImageKey("photo"), workspace)
    (source / "photo").write_text("now a letter")
    record = settled(ImageKey("photo"), workspace)
    assert record.state(workspace.now()) == State.FAILED
    assert [each.key for each in catalog.newest(workspace.metadata).records] == ["photo"]


def test_ctrl_c_leaves_no_record_that_looks_alive(environment: dict[str, str], source: Path, workspace: Workspace) -> None:
    large_picture, stone = Image.new("L", (9000, 9000)), Image.effect_noise((1000, 1000), 90)
    for place in range(81):
        large_picture.paste(stone, (place % 9 * 1000, place // 9 * 1000))
    large_picture.save(source / "large.png", compress_level=0)
    command = [sys.executable, "-m", "lambdazoom", "process", "large.png"]
    process = subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    large = ImageKey("large.png")
    wait_until(lambda: catalog.find(large, workspace.metadata) is not None)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors.strip()) == (1, "", "lambdazoom: stopped.")
    record = catalog.find(large, workspace.metadata)
    assert record is not None
    assert record.state(workspace.now()) == State.WAITING


def test_an_unreadable_subfolder_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"1")
    (tmp_path / "lost+found").mkdir(mode=0o000)
    program = f"from lambdazoom.storage.folder import *\nprint([f.key for f in FolderSource(Path({str(tmp_path)!r})).list()])"
    # root may read everything, so its right to do so is taken from the child
    unprivileged = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"] if os.geteuid() == 0 else []
    done = subprocess.run([*unprivileged, sys.executable, "-c", program], capture_output=True, text=True, check=False)
    (tmp_path / "lost+found").chmod(0o700)
    assert done.stdout == "['cat.jpg']\n", done.stderr


def test_a_folder_that_vanishes_while_it_is_told_of_does_not_end_the_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trip").mkdir()
    (tmp_path / "trip" / "cat.jpg").write_bytes(b"1")

    def vanish(path: Path) -> bool:
        path.unlink(missing_ok=True)
        path.parent.rmdir()
        monkeypatch.undo()
        return False

    monkeypatch.setattr(watch, "_is_open_for_writing", vanish)
    heard: list[str] = []
    with Watch(FolderSource(tmp_path), heard.append):
        wait_until(lambda: bool(heard))
        (tmp_path / "later.jpg").write_bytes(b"1")
        wait_until(lambda: "later.jpg" in heard)


def test_an_unexpected_error_does_not_end_a_worker(workspace: Workspace, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    draw("b.jpg")

    def settle_all_but_one(image: ImageKey, *arguments: object) -> ImageRecord | None:
        if image.key == "a.jpg":
            raise ZeroDivisionError
        return settle(image, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline, "settle", settle_all_but_one)
    with Workers(replace(workspace, settings=replace(workspace.settings, jobs=1)), Silent()) as crew:
        crew.put("a.jpg")
        crew.put("b.jpg")
        wait_until(lambda: generations.published(ImageKey("b.jpg"), workspace.zoom) is not None)


def test_an_icon_is_not_taken_for_a_tga(tmp_path: Path) -> None:
    """The size of an icon's first picture can look like a TGA's header, which has no signature."""
    for side in (128, 160):
        picture(side, side).convert("RGBA").save(tmp_path / "x.ico", sizes=[(side, side)], bitmap_format="bmp")
        assert decode(tmp_path / "x.ico", "x.ico", 10**9).header.kind == "ICO"


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_a_damaged_second_page_does_not_take_the_first_along(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    picture(60, 40).save(path)
    data = bytearray(path.read_bytes())
    start = struct.unpack_from("<I", data, 4)[0]
    entries = struct.unpack_from("<H", data, start)[0]
    struct.pack_into("<I", data, start + 2 + 12 * entries, len(data) - 3)  # the next page lies beyond the end
    path.write_bytes(data)
    assert decode(path, "scan.tif", 10**9).pixels.size == (60, 40)


def test_a_flood_of_pages_is_not_counted_to_its_end(tmp_path: Path) -> None:
    entry = struct.Struct("<HHII")
    out = bytearray(b"II*\0" + struct.pack("<I", 8))
    tags = ((256, 4, 1, 1), (257, 4, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8), (278, 4, 1, 1), (279, 4, 1, 1))
    directory = struct.pack("<H", len(tags)) + b"".join(entry.pack(*tag) for tag in tags)
    for number in range(30_000):
        following = len(out) + len(directory) + 4 if number < 29_999 else 0
        out += directory + struct.pack("<I", following)
    (tmp_path / "flood.tif").write_bytes(out)
    started = time.monotonic()
    assert decode(tmp_path / "flood.tif", "flood.tif", 10**9).header.pages == 1000
    assert time.monotonic() - started < 10


def test_a_drive_that_fails_is_not_the_images_fault() -> None:
    with pytest.raises(StorageError, match="could not be read") as caught:
        decode(Path("/proc/self/mem"), "cat.jpg", 10**9)
    assert caught.value.retryable


def test_samples_that_were_interrupted_are_gone_on_with_and_deleted_ones_stay_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "draw_fractal", lambda path: path.write_bytes(b"fractal"))
    with monkeypatch.context() as interrupted:
        interrupted.setattr(samples, "draw_harbour", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            samples.draw_samples(tmp_path)
    samples.draw_samples(tmp_path)
    assert {"fractal.jpg", "harbour.jpg", "glass.png"} <= {path.name for path in tmp_path.iterdir()}
    (tmp_path / "glass.png").unlink()
    samples.draw_samples(tmp_path)
    assert not (tmp_path / "glass.png").exists()
