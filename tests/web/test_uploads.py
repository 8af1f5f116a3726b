"""Uploads, as a program of somebody else's would send them: to a folder through us, to a bucket by itself; and what is refused."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from flask.testing import FlaskClient

from lambdazoom.model import uploads as model
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.places import Bucket
from lambdazoom.model.settings import Settings
from lambdazoom.model.uploads import Plan, upload_key
from lambdazoom.publishing import catalog
from lambdazoom.publishing.workspace import Workspace, open_workspace
from lambdazoom.storage.bucket_originals import BucketOriginals
from lambdazoom.web.application import create_app
from tests.waiting import wait_until

from .uploading import MIB, Program, Refusal, jpeg, left_behind
from .uploading import on_folder as on_folder  # a fixture


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


def held(workspace: Workspace, key: str) -> bytes:
    with workspace.source.fetch(workspace.source.head(key)) as path:
        return path.read_bytes()


@pytest.mark.parametrize("name", ["cat.jpg", "trip/new folder/cät+%41 #1?.JPG", "~/100%.png", "_tiles/x.tif"])
def test_what_is_uploaded_is_the_original_and_is_processed(program: Program, opened: Workspace, name: str) -> None:
    data = jpeg()
    image = program.upload(name, data)
    assert image["state"] == "waiting"
    assert held(opened, name) == data
    wait_until(lambda: program.ask("GET", image["links"]["self"])["state"] == "published")
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


def test_where_a_setting_turns_uploads_off_it_is_named(workspace: Workspace, source: Path) -> None:
    off = replace(workspace, settings=replace(workspace.settings, manage_source="no"))
    program = Program(create_app(lambda: off).test_client())
    with pytest.raises(Refusal) as refused:
        program.begin("cat.jpg", 5)
    assert (refused.value.status, refused.value.code) == (403, "not-allowed")
    assert list(source.iterdir()) == []
    assert refused.value.message == "Uploading and deleting are off here. Set LAMBDAZOOM_MANAGE_SOURCE=yes to turn them on."
