"""Uploads, as a program of somebody else's would send them: to a folder through us, to a bucket by itself; and what is refused."""

import contextlib
import hashlib
import http.client
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from flask.testing import FlaskClient

from lambdazoom.model import uploads as model
from lambdazoom.model.errors import NoRoom
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.places import Bucket
from lambdazoom.model.records import State
from lambdazoom.model.settings import Settings
from lambdazoom.model.uploads import Plan, upload_key
from lambdazoom.publishing import catalog
from lambdazoom.publishing.workspace import Workspace, open_workspace
from lambdazoom.storage import folder_originals
from lambdazoom.storage.bucket_originals import BucketOriginals
from lambdazoom.storage.folder import FolderSource
from lambdazoom.storage.folder_originals import HIDDEN, IDLE_SECONDS, FolderOriginals, put_without_links
from lambdazoom.web.application import create_app
from tests.conftest import Draw, free_port, picture

from .uploading import Program, Refusal

MIB = 2**20


@pytest.fixture(params=["folder", "bucket", "prefix"])
def opened(request: pytest.FixtureRequest) -> Iterator[Workspace]:
    """A workspace whose source may be managed: on folders, or on moto's buckets."""
    if request.param == "folder":
        yield request.getfixturevalue("workspace")
        return
    make_bucket: Callable[[str], str] = request.getfixturevalue("make_bucket")
    below = "/in here" if request.param == "prefix" else ""
    places = {name: f"s3://{make_bucket(name.lower())}{below}" for name in ("SOURCE", "ZOOM", "METADATA")}
    environment = {f"LAMBDAZOOM_{name}": place for name, place in places.items()} | {"LAMBDAZOOM_MANAGE_SOURCE": "yes"}
    with open_workspace(Settings.from_env(environment)).closing() as workspace:
        yield workspace


@pytest.fixture
def program(opened: Workspace) -> Program:
    return Program(create_app(lambda: opened).test_client())


@pytest.fixture
def on_folder(workspace: Workspace) -> Program:
    return Program(create_app(lambda: workspace).test_client())


def jpeg(width: int = 300, height: int = 200) -> bytes:
    target = io.BytesIO()
    picture(width, height).save(target, "JPEG")
    return target.getvalue()


def held(workspace: Workspace, key: str) -> bytes:
    with workspace.source.fetch(workspace.source.head(key)) as path:
        return path.read_bytes()


def left_behind(source: Path) -> list[str]:
    return [path.name for path in source.rglob("*") if path.is_file()]


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("name", ["cat.jpg", "trip/new folder/cät+%41 #1?.JPG", "~/100%.png", "_tiles/x.tif"])
def test_what_is_uploaded_is_the_original_and_is_processed(program: Program, opened: Workspace, name: str) -> None:
    data = jpeg()
    image = program.upload(name, data)
    assert image["state"] == "waiting"
    assert held(opened, name) == data
    wait_for(lambda: program.ask("GET", image["links"]["self"])["state"] == "published")
    record = catalog.find(ImageKey(name), opened.metadata)
    assert record is not None
    assert record.sha256 == hashlib.sha256(data).hexdigest()


def test_an_upload_in_parts_joins_them(program: Program, opened: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "SINGLE_BYTES", 6 * MIB)
    monkeypatch.setattr(model, "BUCKET_PART_BYTES", 5 * MIB)
    data = os.urandom(17 * MIB + 5)
    plan = program.begin("big.tif", len(data))
    assert plan["part_count"] > 2
    program.upload("big.tif", data)
    assert held(opened, "big.tif") == data


def test_nothing_is_ever_overwritten(program: Program, opened: Workspace) -> None:
    program.upload("cat.jpg", jpeg())
    with pytest.raises(Refusal) as refused:
        program.begin("cat.jpg", 5)
    assert (refused.value.status, refused.value.code) == (409, "exists")
    assert held(opened, "cat.jpg") == jpeg()


def test_the_first_of_two_uploads_of_one_name_stays(program: Program, opened: Workspace) -> None:
    data, other = jpeg(), jpeg(301)
    late = program.begin("cat.jpg", len(other))
    program.upload("cat.jpg", data)
    with pytest.raises(Refusal) as refused:
        program.put(late["parts"][0], other)
        program.ask("POST", late["links"]["complete"], {"etags": ["x"]})
    assert refused.value.status in (409, 412)
    with pytest.raises(Refusal) as refused:
        program.ask("POST", late["links"]["complete"], {"etags": ["x"]})
    assert (refused.value.status, refused.value.code) == (409, "exists")
    assert held(opened, "cat.jpg") == data


def test_a_multipart_upload_that_comes_second_shows_nothing_and_is_given_up(
    make_bucket: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "SINGLE_BYTES", MIB)
    monkeypatch.setattr(model, "BUCKET_PART_BYTES", 5 * MIB)
    bucket, s3 = make_bucket("source"), boto3.client("s3")
    originals = BucketOriginals(Bucket(bucket))
    program = Program(client_on(bucket))
    plan, data = program.begin("big.tif", 6 * MIB), os.urandom(6 * MIB)
    etags = [program.put(part, data[part["offset"] :][: part["length"]]) for part in program.parts(plan)]
    s3.put_object(Bucket=bucket, Key="big.tif", Body=b"somebody else's")
    with pytest.raises(Refusal) as refused:
        program.ask("POST", plan["links"]["complete"], {"etags": etags})
    assert (refused.value.status, refused.value.code) == (409, "exists")
    assert s3.get_object(Bucket=bucket, Key="big.tif")["Body"].read() == b"somebody else's"
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    assert originals.origin == os.environ["AWS_ENDPOINT_URL"]


def client_on(bucket: str) -> FlaskClient:
    names = {"SOURCE": f"s3://{bucket}", "ZOOM": f"s3://{bucket}-zoom", "METADATA": f"s3://{bucket}-metadata", "MANAGE_SOURCE": "yes"}
    settings = Settings.from_env({f"LAMBDAZOOM_{name}": value for name, value in names.items()})
    for name in ("zoom", "metadata"):
        boto3.client("s3").create_bucket(Bucket=f"{bucket}-{name}")
    workspace = open_workspace(settings)
    return create_app(lambda: workspace).test_client()


def test_an_address_of_the_bucket_is_signed_with_length_type_and_condition(make_bucket: Callable[[str], str]) -> None:
    program = Program(client_on(make_bucket("source")))
    (part,) = program.begin("trip/cat.jpg", 1234)["parts"]
    address = urlsplit(part["url"])
    signed = parse_qs(address.query)["X-Amz-SignedHeaders"][0].split(";")
    assert signed == ["content-length", "content-type", "host", "if-none-match"]
    assert part["headers"] == {"Content-Type": "image/jpeg", "If-None-Match": "*"}
    assert f"{address.scheme}://{address.netloc}" == os.environ["AWS_ENDPOINT_URL"]
    program.put(part, b"x" * 1234)
    with pytest.raises(Refusal) as refused:
        program.put(part, b"y" * 1234)
    assert refused.value.status == 412


@pytest.mark.parametrize(
    ("bucket", "region", "host"),
    [
        ("originals", "eu-central-1", "originals.s3.eu-central-1.amazonaws.com"),
        ("originals", "us-east-1", "originals.s3.us-east-1.amazonaws.com"),
        ("my.originals", "eu-central-1", "s3.eu-central-1.amazonaws.com"),
        ("originals", "cn-north-1", "originals.s3.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_addresses_name_the_regions_own_host_for_preflights_follow_no_redirect(
    aws: str, monkeypatch: pytest.MonkeyPatch, bucket: str, region: str, host: str
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    originals = BucketOriginals(Bucket(bucket))
    assert originals.origin == f"https://{host}"
    plan = Plan.for_bucket(5)
    signed = originals.signed(model.Upload("", "a b.jpg", plan), next(plan.parts(1, 1)), "image/jpeg")
    assert signed.url.startswith(f"https://{host}/")
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in signed.url


def test_pages_may_send_to_the_bucket_only_where_uploads_are_on(make_bucket: Callable[[str], str], workspace: Workspace) -> None:
    client = client_on(make_bucket("source"))
    origin = os.environ["AWS_ENDPOINT_URL"]
    assert f"connect-src 'self' {origin};" in client.get("/api/").headers["Content-Security-Policy"]
    assert "img-src 'self';" in client.get("/api/").headers["Content-Security-Policy"]
    on_folder = create_app(lambda: workspace).test_client()
    assert "connect-src 'self';" in on_folder.get("/api/").headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "bad-name"),
        ("/etc/cat.jpg", "bad-name"),
        ("../cat.jpg", "bad-name"),
        ("trip/../../cat.jpg", "bad-name"),
        ("trip//cat.jpg", "bad-name"),
        ("trip/./cat.jpg", "bad-name"),
        ("trip/. /cat.jpg", "bad-name"),
        ("trip\\cat.jpg", "bad-name"),
        ("cat\n.jpg", "bad-name"),
        ("cat\0.jpg", "bad-name"),
        ("cat\udc80.jpg", "bad-name"),
        (".hidden/cat.jpg", "bad-name"),
        (".lambdazoom-upload-00112233445566778899aabbccddeeff", "bad-name"),
        ("x" * 250 + ".jpg", "bad-name"),
        ("deep/" * 200 + "cat.jpg", "bad-name"),
        ("notes.txt", "not-an-image"),
        ("index.html", "not-an-image"),
        ("jpg", "not-an-image"),
    ],
)
def test_names_that_would_do_harm_or_nothing_are_refused_before_the_first_byte(
    on_folder: Program, source: Path, name: str, code: str
) -> None:
    with pytest.raises(Refusal) as refused:
        on_folder.begin(name, 5)
    assert (refused.value.status, refused.value.code) == (422, code)
    assert left_behind(source.parent) == []


@pytest.mark.parametrize(
    ("size", "status", "code"),
    [(0, 422, "empty"), (10**13, 413, "too-large"), (-1, 400, "bad-request"), ("5", 400, "bad-request"), (True, 400, "bad-request")],
)
def test_sizes_that_can_not_be_are_refused_before_the_first_byte(
    on_folder: Program, source: Path, size: Any, status: int, code: str
) -> None:
    with pytest.raises(Refusal) as refused:
        on_folder.begin("cat.jpg", size)
    assert (refused.value.status, refused.value.code) == (status, code)
    assert left_behind(source.parent) == []


def test_the_limit_is_a_setting(environment: dict[str, str]) -> None:
    with open_workspace(Settings.from_env({**environment, "LAMBDAZOOM_MAX_UPLOAD_BYTES": "1000"})).closing() as workspace:
        program = Program(create_app(lambda: workspace).test_client())
        assert program.possible["max_upload_bytes"] == 1000
        program.upload("cat.jpg", b"x" * 1000)
        with pytest.raises(Refusal) as refused:
            program.begin("dog.jpg", 1001)
    assert refused.value.message == "The file has 1,001 bytes; 1,000 can be uploaded (LAMBDAZOOM_MAX_UPLOAD_BYTES)."


def test_names_come_in_one_form_of_unicode(on_folder: Program, source: Path) -> None:
    image = on_folder.upload("Cafe\u0301.jpg", jpeg())
    assert image["key"] == "Caf\u00e9.jpg"
    assert (source / "Caf\u00e9.jpg").exists()


def test_without_the_right_nothing_is_uploaded_and_nothing_deleted(make_bucket: Callable[[str], str]) -> None:
    names = {name: f"s3://{make_bucket(name.lower())}" for name in ("SOURCE", "ZOOM", "METADATA")}
    workspace = open_workspace(Settings.from_env({f"LAMBDAZOOM_{name}": value for name, value in names.items()}))
    boto3.client("s3").put_object(Bucket=workspace.source.bucket or "", Key="cat.jpg", Body=b"x")
    program = Program(create_app(lambda: workspace).test_client())
    assert (program.possible["can_upload"], program.possible["can_delete"]) == (False, False)
    attempts = (("POST", "/api/uploads", {"name": "dog.jpg", "size": 5}), ("DELETE", "/api/images/cat.jpg", {"confirm": "cat.jpg"}))
    for method, url, body in attempts:
        with pytest.raises(Refusal) as refused:
            program.ask(method, url, body)
        assert (refused.value.status, refused.value.code) == (403, "not-allowed")
        assert "init --manage-source" in refused.value.message
    assert workspace.source.head("cat.jpg")


def test_an_upload_needs_our_token(on_folder: Program, source: Path) -> None:
    on_folder.headers = {}
    with pytest.raises(Refusal) as refused:
        on_folder.begin("cat.jpg", 5)
    assert (refused.value.status, refused.value.code) == (403, "forbidden")
    assert left_behind(source.parent) == []


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


def test_giving_up_leaves_nothing(program: Program, opened: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "SINGLE_BYTES", MIB)
    monkeypatch.setattr(model, "BUCKET_PART_BYTES", 5 * MIB)
    plan = program.begin("trip/cat.jpg", 9 * MIB)
    program.put(plan["parts"][0], b"x" * plan["parts"][0]["length"])
    program.ask("DELETE", plan["links"]["abort"])
    program.ask("DELETE", plan["links"]["abort"])  # twice does no harm
    assert list(opened.source.list()) == []
    if opened.source.bucket:
        assert "Uploads" not in boto3.client("s3").list_multipart_uploads(Bucket=opened.source.bucket)
    else:
        assert list(Path(opened.settings.texts["LAMBDAZOOM_SOURCE"]).iterdir()) == []


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


@pytest.mark.parametrize(
    ("size", "parts"), [(1, 1), (model.SINGLE_BYTES, 1), (model.SINGLE_BYTES + 1, 6), (10**12, 9935), (5 * 2**40, 9987)]
)
def test_plans_for_buckets_keep_to_the_limits_of_s3(size: int, parts: int) -> None:
    plan = Plan.for_bucket(size)
    assert plan.part_count == parts <= 10_000
    assert parts == 1 or 5 * MIB <= plan.part_size <= 5 * 2**30
    assert sum(part.length for part in plan.parts(1, parts)) == size
    assert [part.number for part in plan.parts(parts, 5)] == [parts]


def test_upload_keys_are_keys_that_come_back_from_their_stored_names() -> None:
    for name in ("cat.jpg", "~x/%41?.jpg", "_tiles/_lambdazoom.png", "a b/ü.tif"):
        assert upload_key(name) == name


SERVER = """
import os, sys, threading
from lambdazoom.model.settings import Settings
from lambdazoom.serving import run
run(Settings.from_env(os.environ), "127.0.0.1", int(sys.argv[1]))
"""


@contextlib.contextmanager
def serving(environment: dict[str, str], folder: Path) -> Iterator[tuple[int, int]]:
    """`serve` in a process of its own; its port and its process id."""
    port = free_port()
    command = [sys.executable, "-c", SERVER, str(port)]
    temporary = folder / "temporary"
    temporary.mkdir()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **environment, "TMPDIR": str(temporary)}, stdout=log, stderr=log)
        try:
            wait_for(lambda: answers(port))
            yield port, process.pid
        finally:
            process.terminate()
            process.wait(20)


def answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
    except OSError:
        return False
    return True


def peak_memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


def asked(port: int, method: str, url: str, headers: dict[str, str], body: bytes | None = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, url, body, headers)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    is_json = answer.headers.get_content_type() == "application/json"
    return answer.status, json.loads(data) if is_json else None


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells memory by /proc")
def test_three_hundred_megabytes_go_through_us_in_little_memory_and_are_processed(environment: dict[str, str], tmp_path: Path) -> None:
    size = 300 * MIB
    block = jpeg().ljust(MIB, b"\0")  # a JPEG with something after its end, which decoders pass over
    with serving(environment, tmp_path) as (port, pid):
        _, possible = asked(port, "GET", "/api/", {})
        headers = {"X-Form-Token": possible["token"], "Content-Type": "application/json"}
        before = peak_memory(pid)
        _, plan = asked(port, "POST", "/api/uploads", headers, json.dumps({"name": "big.jpg", "size": size}).encode())
        for part in plan["parts"]:
            data = b"".join(block if offset == 0 else b"\0" * MIB for offset in range(part["offset"], part["offset"] + part["length"], MIB))
            status, _ = asked(port, "PUT", part["url"], {**headers, **part["headers"]}, data)
            assert status == 204
        grown = peak_memory(pid) - before
        status, image = asked(port, "POST", plan["links"]["complete"], headers, b'{"etags": []}')
        assert (status, image["state"]) == (201, "waiting")
        wait_for(lambda: asked(port, "GET", image["links"]["self"], {})[1]["state"] == State.PUBLISHED)
    assert (tmp_path / "source/big.jpg").stat().st_size == size
    assert grown < 40 * MIB, grown


def test_a_body_larger_than_a_part_may_be_is_refused_without_being_kept(environment: dict[str, str], tmp_path: Path) -> None:
    with serving(environment, tmp_path) as (port, _):
        status, _ = asked(port, "POST", "/api/uploads", {"Content-Length": str(200 * MIB)})
        assert status == 413
        assert list((tmp_path / "temporary").iterdir()) == []


def test_serve_sweeps_what_an_earlier_one_left_and_makes_the_index(
    environment: dict[str, str], tmp_path: Path, source: Path, draw: Draw
) -> None:
    left = source / f"{HIDDEN}{'0' * 32}"
    left.write_bytes(b"half")
    long_ago = time.time() - IDLE_SECONDS - 5
    os.utime(left, (long_ago, long_ago))
    draw("harbour.jpg")
    with serving(environment, tmp_path) as (port, _):
        wait_for(lambda: not left.exists())
        wait_for(lambda: asked(port, "GET", "/api/images?q=HARBOUR", {})[1]["total"] == 1)
        wait_for(lambda: next((tmp_path / "metadata/_lambdazoom/search").glob("*.gz"), None) is not None)


def test_a_retry_reaches_the_workers_of_serve(environment: dict[str, str], tmp_path: Path, source: Path) -> None:
    (source / "notes.jpg").write_text("words")
    with serving(environment, tmp_path) as (port, _):
        wait_for(lambda: asked(port, "GET", "/api/images/notes.jpg", {})[1]["state"] == State.FAILED)
        headers = {"X-Form-Token": asked(port, "GET", "/api/", {})[1]["token"]}
        assert asked(port, "POST", "/api/images/notes.jpg/retry", headers)[0] == 202
        wait_for(lambda: asked(port, "GET", "/api/images/notes.jpg", {})[1]["attempts"] == 2)


def test_every_answer_is_one_of_the_applications_own(workspace: Workspace) -> None:
    off = replace(workspace, settings=replace(workspace.settings, manage_source="no"))
    program = Program(create_app(lambda: off).test_client())
    with pytest.raises(Refusal) as refused:
        program.begin("cat.jpg", 5)
    assert refused.value.message == "Uploading and deleting are off here. Set LAMBDAZOOM_MANAGE_SOURCE=yes to turn them on."
