"""Uploads to a folder, through us: hidden until the end, in order, never over what is there, and into the source alone."""

import os
import shutil
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lambdazoom.model.errors import NoRoom
from lambdazoom.model.uploads import Plan
from lambdazoom.publishing import indexing
from lambdazoom.publishing.chores import Chores
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.storage import folder_originals
from lambdazoom.storage.folder import FolderSource
from lambdazoom.storage.folder_originals import HIDDEN, IDLE_SECONDS, FolderOriginals, put_without_links
from lambdazoom.web.application import create_app
from tests.waiting import wait_until

from .uploading import MIB, Program, Refusal, left_behind
from .uploading import on_folder as on_folder  # a fixture


def test_until_the_end_there_is_only_a_hidden_file(on_folder: Program, source: Path) -> None:
    data = os.urandom(9 * MIB)
    plan = on_folder.begin("trip/cat.jpg", len(data))
    first, second = plan["parts"]
    on_folder.put(first, data[: first["length"]])
    assert [name.startswith(HIDDEN) for name in left_behind(source)] == [True]
    with pytest.raises(Refusal) as refused:
        on_folder.ask("POST", plan["links"]["complete"], {"etags": []})
    assert (refused.value.status, refused.value.code) == (422, "incomplete")
    on_folder.put(second, data[second["offset"] :])
    on_folder.ask("POST", plan["links"]["complete"], {"etags": []})
    assert left_behind(source) == ["cat.jpg"]
    assert (source / "trip/cat.jpg").read_bytes() == data
    assert (source / "trip/cat.jpg").stat().st_mode & 0o777 == 0o644


def test_a_part_may_be_sent_again(on_folder: Program, source: Path) -> None:
    data = os.urandom(9 * MIB)
    plan = on_folder.begin("cat.jpg", len(data))
    first, second = plan["parts"]
    on_folder.put(first, os.urandom(first["length"]))
    on_folder.put(first, data[: first["length"]])
    on_folder.put(second, data[second["offset"] :])
    on_folder.put(second, data[second["offset"] :])
    on_folder.ask("POST", plan["links"]["complete"], {"etags": []})
    assert (source / "cat.jpg").read_bytes() == data


@pytest.mark.parametrize("length", [0, 9, 11])
def test_a_part_of_another_length_is_refused(on_folder: Program, source: Path, length: int) -> None:
    plan = on_folder.begin("cat.jpg", 10)
    with pytest.raises(Refusal) as refused:
        on_folder.put(plan["parts"][0], b"x" * length)
    assert (refused.value.status, refused.value.code) == (422, "incomplete")
    assert [path.stat().st_size for path in source.iterdir()] == [0]


def test_parts_that_come_out_of_order_are_refused(on_folder: Program) -> None:
    plan = on_folder.begin("cat.jpg", 9 * MIB)
    with pytest.raises(Refusal) as refused:
        on_folder.put(plan["parts"][1], b"x" * plan["parts"][1]["length"])
    assert "in order" in refused.value.message


@pytest.mark.parametrize("upload", ["", "../../cat", "0" * 31, "0" * 32, "G" * 32])
def test_an_upload_that_nobody_began_is_not_found(on_folder: Program, source: Path, upload: str) -> None:
    plan = on_folder.begin("cat.jpg", 5)
    (known,) = [each.name.removeprefix(HIDDEN) for each in source.iterdir()]
    for method, link in (("POST", "complete"), ("PUT", "put")):
        url = (plan["parts"][0]["url"] if link == "put" else plan["links"][link]).replace(known, upload)
        answer = on_folder.client.open(url, method=method, headers=on_folder.headers, data=b"{}   ")
        assert (answer.status_code, answer.get_json()["error"]["code"]) == (404, "not-found")


@pytest.mark.parametrize("name", ["~2E~2E/cat.jpg", "..~2Fcat.jpg", "~-/cat.jpg", ".hidden/cat.jpg", "a//cat.jpg", "%2e%2e/cat.jpg"])
@pytest.mark.parametrize("link", ["complete", "parts/1", ""])
def test_addresses_of_uploads_lead_nowhere_but_into_the_source(on_folder: Program, source: Path, name: str, link: str) -> None:
    plan = on_folder.begin("cat.jpg", 5)
    query = urlsplit(plan["links"]["complete"]).query
    method = {"complete": "POST", "parts/1": "PUT", "": "DELETE"}[link]
    before = {path: path.stat().st_size for path in source.parent.rglob("*")}
    answer = on_folder.client.open(
        f"/api/uploads/{name}/{link}?{query}".replace("/?", "?"), method=method, headers=on_folder.headers, data=b"{}   "
    )
    assert answer.status_code in (308, 404, 405)
    assert {path: path.stat().st_size for path in source.parent.rglob("*")} == before


def test_uploads_that_are_left_alone_are_swept(workspace: Workspace, on_folder: Program, source: Path) -> None:
    on_folder.begin("left.jpg", 5)
    (left,) = source.iterdir()
    on_folder.begin("going-on.jpg", 5)
    long_ago = time.time() - IDLE_SECONDS - 5
    os.utime(left, (long_ago, long_ago))
    mine = source / ".lambdazoom-notes.txt"
    mine.write_text("not an upload")
    FolderOriginals(FolderSource(source)).sweep()
    assert not left.exists()
    assert len(list(source.glob(f"{HIDDEN}*"))) == 1
    assert mine.exists()


def test_a_leftover_that_can_not_be_deleted_is_in_nobodys_way(
    workspace: Workspace, on_folder: Program, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    long_ago = time.time() - IDLE_SECONDS - 5
    stuck = source / f"{HIDDEN}{'0' * 32}"
    stuck.mkdir()  # not even root deletes that as a file
    left = [source / f"{HIDDEN}{digit * 32}" for digit in "123"]
    for path in left:
        path.touch()
    for path in (stuck, *left):
        os.utime(path, (long_ago, long_ago))
    with Chores(workspace):
        wait_until(lambda: indexing.latest(workspace.metadata) is not None)
    assert list(source.iterdir()) == [stuck]
    assert f"{stuck} is left of an upload and can't be deleted" in caplog.text
    on_folder.begin("cat.jpg", 5)
    assert len(left_behind(source)) == 1


def test_an_upload_that_the_disk_has_no_room_for_is_refused_at_once(
    on_folder: Program, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = shutil.disk_usage(source).free
    monkeypatch.setattr(folder_originals, "KEPT_FREE", free - 1000)
    with pytest.raises(Refusal) as refused:
        on_folder.begin("cat.jpg", 100 * MIB)
    assert (refused.value.status, refused.value.code) == (507, "no-room")
    assert left_behind(source) == []
    with pytest.raises(NoRoom):
        FolderOriginals(FolderSource(source)).begin("cat.jpg", Plan.for_folder(100 * MIB), "")


def test_a_link_does_not_lead_an_upload_out_of_the_source(on_folder: Program, source: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (source / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refusal) as refused:
        on_folder.begin("link/cat.jpg", 5)
    assert "leads out of the source folder" in refused.value.message
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("in_the_way", ["trip", "trip/cat.jpg"])
def test_what_stands_in_the_way_stays(on_folder: Program, source: Path, in_the_way: str) -> None:
    plan = on_folder.begin("trip/cat.jpg", 5)
    on_folder.put(plan["parts"][0], b"12345")
    (source / in_the_way).parent.mkdir(exist_ok=True)
    (source / in_the_way).write_bytes(b"mine")
    with pytest.raises(Refusal) as refused:
        on_folder.ask("POST", plan["links"]["complete"], {"etags": []})
    assert refused.value.code == "exists"
    assert (source / in_the_way).read_bytes() == b"mine"


def test_where_there_are_no_links_a_file_gets_its_name_without_overwriting(tmp_path: Path) -> None:
    hidden, target = tmp_path / "hidden", tmp_path / "cat.jpg"
    hidden.write_bytes(b"new")
    put_without_links(hidden, target)
    assert (target.read_bytes(), hidden.exists()) == (b"new", False)
    hidden.write_bytes(b"newer")
    with pytest.raises(FileExistsError):
        put_without_links(hidden, target)
    assert (target.read_bytes(), hidden.read_bytes()) == (b"new", b"newer")


def test_many_at_once_of_one_name_leave_one_whole_file(workspace: Workspace, source: Path) -> None:
    application = create_app(lambda: workspace)
    results: list[str] = []

    def upload(letter: bytes) -> None:
        try:
            Program(application.test_client()).upload("cat.jpg", letter * 300_000)
            results.append("stored")
        except Refusal as refused:
            results.append(refused.code)

    threads = [threading.Thread(target=upload, args=(bytes([65 + number]),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["exists"] * 7 + ["stored"]
    assert len(set((source / "cat.jpg").read_bytes())) == 1
    assert [name for name in left_behind(source) if name.startswith(HIDDEN)] == [name for name in left_behind(source) if name != "cat.jpg"]
