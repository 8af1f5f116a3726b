"""The API as docs/api.md describes it: lists, one image, retry, delete, originals, errors; the same under a prefix and on Lambda."""

import contextlib
import hashlib
import http.server
import json
import re
import statistics
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from flask.testing import FlaskClient

from lambdazoom.calling import Calling
from lambdazoom.model.errors import StorageError
from lambdazoom.model.keys import ImageKey, SourceVersion
from lambdazoom.model.records import Caption, ImageRecord, Outcome, Step
from lambdazoom.model.settings import Settings
from lambdazoom.model.wishes import Wish
from lambdazoom.publishing import catalog, indexing
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace, open_workspace
from lambdazoom.storage.base import EMPTY, JSON
from lambdazoom.web.application import create_app
from tests.conftest import Draw, write_bad_files
from tests.gateway import REST_HOST, body_of, rest_event, sign_in
from tests.zappa_function import ACCESS, PASSWORD, ZappaFunction, write_python_settings

from .conftest import Publish, Serve
from .uploading import Program, Refusal

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


@pytest.fixture
def program(client: FlaskClient) -> Program:
    return Program(client)


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def names(answer: Any) -> list[str]:
    return [image["name"] for image in answer["images"]]


def test_what_is_possible_is_told(program: Program, workspace: Workspace) -> None:
    possible = program.possible
    assert (possible["can_upload"], possible["can_delete"]) == (True, True)
    assert possible["max_upload_bytes"] == workspace.settings.max_upload_bytes
    assert {".jpg", ".tif", ".png"} <= set(possible["extensions"])
    assert set(possible["links"]) == {"images", "uploads", "retry", "activity"}


def test_the_list_tells_of_each_image_and_its_links_work(program: Program, client: FlaskClient, publish: Publish) -> None:
    record = publish("trip/ä #1.jpg", 60, 40)
    (image,) = program.ask("GET", "/api/images")["images"]
    wanted = {"key": "trip/ä #1.jpg", "name": "trip/ä ~231.jpg", "title": "trip/ä #1.jpg", "state": "published", "width": 60, "height": 40}
    assert {name: image[name] for name in wanted} == wanted
    assert (image["words"], image["sentence"], image["tone"], image["icon"], image["progress"]) == ("", "", "", "", None)
    assert image["generation"] == record.generation
    for link in image["links"].values():
        assert client.get(link).status_code == 200, link
    assert client.get(image["links"]["thumbnail"]).headers["Cache-Control"] == "private, max-age=31536000, immutable"


def test_an_empty_place_has_an_empty_list(program: Program) -> None:
    answer = program.ask("GET", "/api/images")
    zero = {"count": 0, "exact": True}
    assert answer == {
        "images": [],
        "next": None,
        "next_url": None,
        "total": None,
        "as_of": None,
        "counts": dict.fromkeys(("all", "active", "failed", "ignored"), zero),
    }


def test_states_filter_and_count(program: Program, workspace: Workspace, source: Path, draw: Draw) -> None:
    sentences = write_bad_files(source)
    (source / "notes.txt").write_text("words")
    draw("fine.jpg")
    for key in (*sentences, "notes.txt", "fine.jpg"):
        settle(ImageKey(key), workspace)
    answer = program.ask("GET", "/api/images?state=failed")
    assert {image["name"]: image["sentence"] for image in answer["images"]} == sentences
    assert {image["state"] for image in answer["images"]} == {"failed"}
    assert {image["tone"] for image in answer["images"]} == {"failure"}
    assert {name: each["count"] for name, each in answer["counts"].items()} == {"all": 6, "active": 0, "failed": 5, "ignored": 1}
    assert names(program.ask("GET", "/api/images?state=ignored")) == ["notes.txt"]
    assert names(program.ask("GET", "/api/images?state=failed&q=MAP")) == ["map.png"]
    by_name = names(program.ask("GET", "/api/images?state=failed&sort=name&limit=3"))
    assert by_name == sorted(sentences)[:3]


@pytest.mark.parametrize("query", ["", "sort=name", "sort=taken", "sort=largest", "q=jpg", "q=jpg&sort=name"])
def test_pages_follow_each_other_by_their_links(program: Program, publish: Publish, query: str) -> None:
    for number in range(7):
        publish(f"{number}.jpg", 20 + number, 20)
    seen: list[str] = []
    url: str | None = f"/api/images?limit=3&{query}"
    pages = 0
    while url:
        answer = program.ask("GET", url)
        seen += names(answer)
        url, pages = answer["next_url"], pages + 1
    assert sorted(seen) == [f"{number}.jpg" for number in range(7)]
    assert pages == 3


def test_words_find_images_that_came_this_moment_and_say_of_when_that_is(program: Program, workspace: Workspace, publish: Publish) -> None:
    publish("a.jpg")
    assert names(program.ask("GET", "/api/images?q=a.jpg")) == ["a.jpg"]
    answer = program.ask("GET", "/api/images?q=nothing")
    assert (answer["images"], answer["total"]) == ([], 0)
    assert datetime.fromisoformat(answer["as_of"]) <= datetime.now(UTC)


def test_what_has_gone_since_the_index_was_made_is_not_shown(
    program: Program, workspace: Workspace, source: Path, publish: Publish
) -> None:
    publish("a.jpg")
    publish("b.jpg")
    assert len(names(program.ask("GET", "/api/images?q=jpg"))) == 2
    (source / "a.jpg").unlink()
    settle(ImageKey("a.jpg"), workspace)
    assert names(program.ask("GET", "/api/images?q=jpg")) == ["b.jpg"]


def test_images_can_be_asked_for_by_name(program: Program, publish: Publish) -> None:
    publish("a.jpg")
    publish("b.jpg")
    assert names(program.ask("GET", "/api/images?name=b.jpg&name=none.jpg&name=a.jpg")) == ["b.jpg", "a.jpg"]


def test_asking_again_costs_nothing_while_nothing_has_changed(client: FlaskClient, publish: Publish) -> None:
    publish("a.jpg")
    for url in ("/api/images", "/api/images/a.jpg", "/api/activity"):
        first = client.get(url)
        assert client.get(url, headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
        publish(f"{len(url)}.jpg")
        if url != "/api/images/a.jpg":
            assert client.get(url, headers={"If-None-Match": first.headers["ETag"]}).status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "state=wrong",
        "sort=wrong",
        "limit=0",
        "limit=101",
        "limit=x",
        "limit=-1",
        "limit=1e2",
        "cursor=x",
        "cursor=_lambdazoom/records/",
        "cursor=../../etc&q=a",
        "&".join(["name=a"] * 51),
    ],
)
def test_parameters_that_can_not_be_are_refused(client: FlaskClient, query: str) -> None:
    answer = client.get(f"/api/images?{query}")
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (400, "bad-request")


def test_one_image_is_told_in_full(program: Program, client: FlaskClient, source: Path, publish: Publish) -> None:
    publish("trip/cat.jpg", 60, 40)
    image = program.ask("GET", "/api/images/trip/cat.jpg")
    assert image["file_size"] == (source / "trip/cat.jpg").stat().st_size
    assert image["sha256"] == hashlib.sha256((source / "trip/cat.jpg").read_bytes()).hexdigest()
    assert image["steps"]["tiles"] == {"outcome": "done", "sentence": "", "code": "", "final": True}
    assert (image["shown"]["width"], image["shown"]["tile_size"], image["shown"]["is_current"]) == (60, 254, True)
    assert (image["can_retry"], image["can_delete"]) == (False, True)
    assert client.get(image["links"]["metadata"]).get_json()["key"] == "trip/cat.jpg"


def test_an_original_that_nothing_has_looked_at_yet_is_waiting(program: Program, client: FlaskClient, draw: Draw) -> None:
    draw("new.jpg")
    image = program.ask("GET", "/api/images/new.jpg")
    assert (image["state"], image["words"], image["shown"], image["steps"]["tiles"]) == ("waiting", "Waiting", None, None)
    assert client.get("/api/images/none.jpg").status_code == 404


def test_a_replaced_image_that_failed_shows_the_version_before(
    program: Program, workspace: Workspace, source: Path, publish: Publish
) -> None:
    publish("cat.jpg")
    (source / "cat.jpg").write_bytes((source / "cat.jpg").read_bytes()[:400])
    settle(ImageKey("cat.jpg"), workspace)
    image = program.ask("GET", "/api/images/cat.jpg")
    assert (image["state"], image["can_retry"], image["shown"]["is_current"]) == ("failed", True, False)
    assert image["shown"]["generation"] in image["links"]["descriptor"]


def test_a_mended_file_is_tried_again_when_somebody_asks(program: Program, workspace: Workspace, source: Path, draw: Draw) -> None:
    good = draw("cat.jpg").read_bytes()
    (source / "cat.jpg").write_bytes(good[:500])
    settle(ImageKey("cat.jpg"), workspace)
    status = (source / "cat.jpg").stat()
    failed = program.ask("GET", "/api/images/cat.jpg")
    assert (failed["state"], failed["attempts"]) == ("failed", 1)
    assert program.ask("POST", failed["links"]["retry"]) == {"name": "cat.jpg", "state": "waiting"}
    wait_for(lambda: program.ask("GET", "/api/images/cat.jpg")["attempts"] == 2)
    assert (source / "cat.jpg").stat().st_mtime_ns == status.st_mtime_ns
    (source / "cat.jpg").write_bytes(good)
    program.ask("POST", failed["links"]["retry"])
    wait_for(lambda: program.ask("GET", "/api/images/cat.jpg")["state"] == "published")


def test_all_that_failed_is_tried_again_at_once(program: Program, workspace: Workspace, source: Path) -> None:
    broken = sorted(write_bad_files(source))
    for key in broken:
        settle(ImageKey(key), workspace)
    assert program.ask("POST", "/api/retry", {"names": broken}) == {"names": broken}
    wait_for(lambda: all(program.ask("GET", f"/api/images/{name}")["attempts"] == 2 for name in broken))


@pytest.mark.parametrize("body", [{}, {"names": []}, {"names": "a"}, {"names": [1]}, {"names": ["a"] * 101}, [], "x"])
def test_what_is_no_list_of_names_is_refused(program: Program, body: Any) -> None:
    with pytest.raises(Refusal) as refused:
        program.ask("POST", "/api/retry", body)
    assert (refused.value.status, refused.value.code) == (400, "bad-request")


def test_tiles_of_other_settings_are_made_anew_if_that_is_asked_for(program: Program, workspace: Workspace, publish: Publish) -> None:
    publish("cat.jpg", 600, 400)
    other = Program(create_app(lambda: replace(workspace, settings=replace(workspace.settings, tile_size=510))).test_client())
    other.ask("POST", "/api/images/cat.jpg/retry", {"recipe": True})
    wait_for(lambda: other.ask("GET", "/api/images/cat.jpg")["shown"]["tile_size"] == 510)


def test_all_is_made_anew_if_that_is_asked_for(program: Program, publish: Publish) -> None:
    before = publish("cat.jpg", 600, 400)
    program.ask("POST", "/api/images/cat.jpg/retry", {"anew": True})
    wait_for(lambda: program.ask("GET", "/api/images/cat.jpg")["shown"]["generation"] != before.generation)
    wait_for(lambda: program.ask("GET", "/api/images/cat.jpg")["state"] == "published")


def test_deleting_takes_the_original_and_what_was_made_of_it(
    program: Program, workspace: Workspace, source: Path, publish: Publish
) -> None:
    publish("trip/cat.jpg")
    publish("trip/cat.jpg.jpg")
    image = program.ask("GET", "/api/images/trip/cat.jpg")
    assert program.ask("DELETE", image["links"]["delete"], {"confirm": image["name"]}) == {"name": "trip/cat.jpg", "kept_by_bucket": False}
    assert [path.name for path in source.rglob("*.jpg")] == ["cat.jpg.jpg"]
    wait_for(lambda: names(program.ask("GET", "/api/images")) == ["trip/cat.jpg.jpg"])
    assert not list(workspace.zoom.list("trip/cat.jpg.dzi"))
    with pytest.raises(Refusal) as refused:
        program.ask("DELETE", image["links"]["delete"], {"confirm": image["name"]})
    assert (refused.value.status, refused.value.code) == (404, "not-found")


@pytest.mark.parametrize("body", [{}, {"confirm": "Cat.jpg"}, {"confirm": True}, {"confirm": None}])
def test_nothing_is_deleted_unless_its_name_is_repeated(program: Program, source: Path, publish: Publish, body: Any) -> None:
    publish("cat.jpg")
    with pytest.raises(Refusal) as refused:
        program.ask("DELETE", "/api/images/cat.jpg", body)
    assert (refused.value.status, refused.value.code) == (422, "unconfirmed")
    assert (source / "cat.jpg").exists()


@pytest.mark.parametrize("name", ["~2E~2E/secret", "~-/etc/passwd", "%2e%2e/secret", "a/~2E~2E/~2E~2E/secret"])
def test_nothing_outside_the_source_is_deleted_or_handed_out(program: Program, client: FlaskClient, source: Path, name: str) -> None:
    secret = source.parent / "secret"
    secret.write_text("secret text")
    answer = client.delete(f"/api/images/{name}", json={"confirm": name}, headers=program.headers)
    assert answer.status_code in (308, 404)
    assert b"secret text" not in client.get(f"/original/{name}").data
    assert client.get(f"/original/{name}").status_code in (308, 404)
    assert secret.exists()


def test_a_link_to_a_folder_leads_nobody_out_of_the_source(program: Program, client: FlaskClient, source: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/cat.jpg").write_bytes(b"x")
    (source / "link").symlink_to(tmp_path / "elsewhere")
    assert client.get("/original/link/cat.jpg").status_code == 404
    assert client.get("/api/images/link/cat.jpg").status_code == 404
    assert client.delete("/api/images/link/cat.jpg", json={"confirm": "link/cat.jpg"}, headers=program.headers).status_code == 404
    assert (tmp_path / "elsewhere/cat.jpg").exists()


@pytest.fixture
def buckets(make_bucket: Callable[[str], str]) -> Iterator[Workspace]:
    places = {f"LAMBDAZOOM_{name}": f"s3://{make_bucket(name.lower())}" for name in ("SOURCE", "ZOOM", "METADATA")}
    with open_workspace(Settings.from_env({**places, "LAMBDAZOOM_MANAGE_SOURCE": "yes"})).closing() as workspace:
        yield workspace


def test_a_bucket_with_versions_keeps_what_was_deleted(buckets: Workspace) -> None:
    bucket, s3 = buckets.source.bucket or "", boto3.client("s3")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=bucket, Key="cat.jpg", Body=b"x")
    program = Program(create_app(lambda: buckets).test_client())
    assert program.ask("DELETE", "/api/images/cat.jpg", {"confirm": "cat.jpg"})["kept_by_bucket"]
    versions = s3.list_object_versions(Bucket=bucket)
    assert (len(versions["Versions"]), len(versions["DeleteMarkers"])) == (1, 1)


def test_an_original_comes_from_the_bucket_itself_as_a_file_to_keep(buckets: Workspace) -> None:
    data = b"<script>alert(1)</script>"
    boto3.client("s3").put_object(Bucket=buckets.source.bucket or "", Key="trip/ä.svg", Body=data, ContentType="image/svg+xml")
    answer = create_app(lambda: buckets).test_client().get(f"/original/{quote('trip/ä.svg')}")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (303, "no-store")
    with urllib.request.urlopen(answer.headers["Location"]) as got:
        assert got.read() == data
        assert got.headers["Content-Disposition"] == "attachment; filename*=UTF-8''%C3%A4.svg"
        assert got.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize("name", ["cat.jpg", "evil.svg", "evil.html", 'a"b\n.jpg'])
def test_an_original_is_never_shown_from_our_address(client: FlaskClient, source: Path, name: str) -> None:
    (source / name).write_bytes(b"<script>alert(1)</script>")
    answer = client.get(f"/original/{quote(ImageKey(name).name)}")
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"].startswith("attachment; filename")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    answer.close()


def test_an_original_can_be_read_from_the_middle(client: FlaskClient, source: Path) -> None:
    (source / "cat.jpg").write_bytes(bytes(range(256)))
    answer = client.get("/original/cat.jpg", headers={"Range": "bytes=10-19"})
    assert (answer.status_code, answer.data) == (206, bytes(range(10, 20)))
    answer.close()
    assert client.get("/original/none.jpg").status_code == 404


def test_activity_is_told_with_the_last_day_in_figures(program: Program, workspace: Workspace, source: Path, publish: Publish) -> None:
    publish("a.jpg", 60, 40)
    publish("b.jpg", 100, 100)
    write_bad_files(source)
    settle(ImageKey("cut.jpg"), workspace)
    answer = program.ask("GET", "/api/activity")
    assert {part: names({"images": answer[part]}) for part in ("failed", "active")} == {"failed": ["cut.jpg"], "active": []}
    assert set(names({"images": answer["recent"]})) == {"a.jpg", "b.jpg", "cut.jpg"}
    assert (answer["day"]["images"], answer["day"]["pixels"], answer["day"]["dollars"]) == (2, 12_400, None)


def test_the_settings_are_told_without_secrets(workspace: Workspace) -> None:
    settings = Settings.from_env({**{name: workspace.settings.texts[name] for name in ("LAMBDAZOOM_SOURCE",)}, **ACCESS})
    guarded = replace(workspace, settings=settings)
    client = create_app(lambda: guarded).test_client()
    token = re.search(r'name="token" value="([^"]+)"', client.get("/sign-in").text)
    assert token
    client.post("/sign-in", data={"token": token[1], "password": PASSWORD})
    for url, headers in (("/api/info", {}), ("/info/", {"Accept": "application/json"})):
        answer = client.get(url, headers=headers)
        told = {each["name"]: each["value"] for each in answer.get_json()["settings"]}
        assert told["LAMBDAZOOM_PASSWORD_HASH"] == told["LAMBDAZOOM_SESSION_SECRET"] == "set"
        assert not [secret for secret in ACCESS.values() if secret in answer.text]


def test_the_former_addresses_lead_to_what_they_named(client: FlaskClient, publish: Publish) -> None:
    publish("trip/ä #1.jpg")
    assert client.get("/browse/").headers["Location"] == "/"
    moved = client.get("/browse/" + quote("trip/ä #1.jpg"))
    assert client.get(moved.headers["Location"]).status_code == 200
    assert names(client.get("/list/?limit=1").get_json()) == ["trip/ä ~231.jpg"]


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "https:/evil.example", "%2f%2fevil.example"])
def test_the_former_addresses_lead_nowhere_else(client: FlaskClient, path: str) -> None:
    answer = client.get(f"/browse/{path}")
    location = answer.headers.get("Location", "/")
    assert re.match(r"(http://localhost)?/(?![/\\])", location), location


@pytest.mark.parametrize(
    ("method", "url", "status", "code"),
    [
        ("GET", "/api/nothing", 404, "not-found"),
        ("GET", "/api/images/none.jpg", 404, "not-found"),
        ("GET", "/api/images/~zz", 404, "not-found"),
        ("POST", "/api/images", 405, "method-not-allowed"),
        ("POST", "/api/images/none.jpg/retry", 404, "not-found"),
        ("DELETE", "/api/images/none.jpg", 400, "bad-request"),
        ("POST", "/api/retry", 400, "bad-request"),
        ("POST", "/api/uploads", 400, "bad-request"),
        ("PATCH", "/api/uploads/x", 405, "method-not-allowed"),
    ],
)
def test_errors_are_json_with_a_code_and_a_sentence(
    program: Program, client: FlaskClient, method: str, url: str, status: int, code: str
) -> None:
    answer = client.open(url, method=method, headers=program.headers)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (status, code)
    assert answer.get_json()["error"]["message"].endswith(".")
    assert answer.headers["Cache-Control"] == "no-store"


def test_changes_without_our_token_are_refused(client: FlaskClient, source: Path, publish: Publish) -> None:
    publish("cat.jpg")
    for method, url in (("POST", "/api/images/cat.jpg/retry"), ("DELETE", "/api/images/cat.jpg"), ("POST", "/api/retry")):
        for headers in ({}, {"X-Form-Token": "guessed"}):
            answer = client.open(url, method=method, headers=headers, json={"confirm": "cat.jpg"})
            assert (answer.status_code, answer.get_json()["error"]["code"]) == (403, "forbidden")
    assert (source / "cat.jpg").exists()


def test_strangers_get_json_and_nothing_else(workspace: Workspace, publish: Publish) -> None:
    publish("cat.jpg")
    settings = Settings.from_env(
        {**{name: workspace.settings.texts[name] for name in ("LAMBDAZOOM_SOURCE", "LAMBDAZOOM_METADATA")}, **ACCESS}
    )
    client = create_app(lambda: replace(workspace, settings=settings)).test_client()
    for url in ("/api/", "/api/images", "/list/", "/api/info", "/api/images/cat.jpg", "/api/activity"):
        answer = client.get(url)
        assert (answer.status_code, answer.get_json()["error"]["code"]) == (401, "not-signed-in")
        assert "cat.jpg" not in answer.text
    assert client.get("/original/cat.jpg").status_code == 303


def test_what_went_wrong_inside_is_told_by_a_reference_alone(workspace: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> datetime:
        raise RuntimeError("AKIAIOSFODNN7EXAMPLE")

    answer = create_app(lambda: replace(workspace, now=fail)).test_client().get("/api/images")
    error = answer.get_json()["error"]
    assert (answer.status_code, error["code"]) == (500, "unexpected")
    assert "AKIA" not in answer.text
    assert error["reference"] in caplog.text


def test_links_hold_under_a_prefix_and_behind_another_host(serve: Serve, publish: Publish) -> None:
    publish("trip/cat.jpg")
    with serve("/live") as address:
        with urllib.request.urlopen(f"{address}/api/images") as answer:
            (image,) = json.load(answer)["images"]
        base = address.removesuffix("/live")
        for link in image["links"].values():
            assert link.startswith("/live/")
            with urllib.request.urlopen(base + link) as answer:
                assert answer.status == 200


class Lambda(http.server.BaseHTTPRequestHandler):
    """Lambda's Invoke, as far as it accepts an event."""

    events: list[tuple[str, str, Any]]
    refusal: str

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.events.append((self.path, self.headers["X-Amz-Invocation-Type"], json.loads(body)))
        self.send_response(403 if self.refusal else 202)
        self.send_header("Content-Length", "0")
        if self.refusal:
            self.send_header("X-Amzn-ErrorType", self.refusal)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the library's own name)
        pass


@contextlib.contextmanager
def lambda_server(refusal: str = "") -> Iterator[tuple[str, list[tuple[str, str, Any]]]]:
    """A server that takes invocations, or refuses them; its address and what it was told."""
    events: list[tuple[str, str, Any]] = []
    handler = type("Recording", (Lambda,), {"events": events, "refusal": refusal})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", events
        finally:
            server.shutdown()
            thread.join()


def test_on_lambda_the_function_starts_a_run_of_its_own(
    environment: dict[str, str], workspace: Workspace, source: Path, aws: str, tmp_path: Path
) -> None:
    write_bad_files(source)
    settle(ImageKey("notes.jpg"), workspace)
    settings = write_python_settings(tmp_path)
    with lambda_server() as (address, events):
        there = {**environment, "AWS_LAMBDA_FUNCTION_NAME": "lambdazoom-live", "AWS_ENDPOINT_URL_LAMBDA": address}
        with ZappaFunction(settings, there, tmp_path / "log") as function:
            cookie = sign_in(function.invoke)
            possible = function.invoke(rest_event("GET", "/api/", {"Host": REST_HOST, "Cookie": cookie}))
            token = json.loads(body_of(possible))["token"]
            headers = {"Host": REST_HOST, "Cookie": cookie, "X-Form-Token": token, "X-Forwarded-Proto": "https"}
            answer = function.invoke(rest_event("POST", "/api/images/notes.jpg/retry", headers))
            assert (answer["statusCode"], json.loads(body_of(answer))) == (202, {"name": "notes.jpg", "state": "waiting"})
            ((path, kind, event),) = events
            assert (path, kind) == ("/2015-03-31/functions/lambdazoom-live/invocations", "Event")
            record = catalog.find(ImageKey("notes.jpg"), workspace.metadata)
            assert record
            function.invoke(event)
            again = catalog.find(ImageKey("notes.jpg"), workspace.metadata)
            assert again
            assert again.attempts == record.attempts + 1


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (
            "AccessDeniedException",
            "The function may not start a run of its own, so nothing was tried again. Run `python -m lambdazoom doctor`.",
        ),
        ("ResourceNotFoundException", "AWS answered ResourceNotFoundException to Invoke."),
    ],
)
def test_what_lambda_refuses_is_a_sentence(
    workspace: Workspace, publish: Publish, aws: str, monkeypatch: pytest.MonkeyPatch, kind: str, sentence: str
) -> None:
    publish("cat.jpg")
    with lambda_server(kind) as (address, _):
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "lambdazoom-live")
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", address)
        with pytest.raises(StorageError) as refused:
            Calling()(ImageKey("cat.jpg"), Wish(asked=True), workspace)
    assert str(refused.value) == sentence


def test_the_schedule_makes_the_index_anew(workspace: Workspace, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    from lambdazoom import handler

    publish("cat.jpg")
    names = ("LAMBDAZOOM_SOURCE", "LAMBDAZOOM_ZOOM", "LAMBDAZOOM_METADATA")
    for name in names:
        monkeypatch.setenv(name, workspace.settings.texts[name])
    try:
        handler.on_schedule({}, None)
    finally:
        handler.door.close()
    stored = indexing.latest(workspace.metadata)
    assert stored is not None
    assert stored.count == 1


RECORDS = 10_000


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace with 10,000 records, and the index of them."""
    root = tmp_path_factory.mktemp("filled")
    (root / "source").mkdir()
    places = {f"LAMBDAZOOM_{name}": str(root / name.lower()) for name in ("SOURCE", "ZOOM", "METADATA")}
    done = Step(Outcome.DONE)
    with open_workspace(Settings.from_env(places)).closing() as opened:
        with opened.metadata.bulk() as write:
            for number in range(RECORDS):
                seen_at = NOW - timedelta(minutes=number)
                failed = Step(Outcome.FAILED, "It is cut off.", "corrupt-image")
                made = ImageRecord(
                    f"archive/{number % 97}/scan-{number:05}.tif",
                    SourceVersion(f"etag-{number}", seen_at, 5),
                    seen_at,
                    tiles=done if number % 1000 else failed,
                    metadata=done,
                    width=3000 + number,
                    height=2000,
                    generation=f"20261123T093000000Z-{number:016x}",
                    caption=Caption(f"Plate {number}", camera="Scanner 9", taken="2024-05-17"),
                )
                write(made.image.record, made.to_json(), JSON)
                for entry in catalog._entries(made):
                    write(entry, b"", EMPTY)
        indexing.rebuild(opened.metadata, lambda: NOW)
        yield opened


@pytest.mark.parametrize("query", ["", "state=failed", "sort=name", "q=plate+12", "q=scanner+2024&sort=largest"])
def test_a_page_of_ten_thousand_takes_a_moment(filled: Workspace, query: str) -> None:
    client = create_app(lambda: filled).test_client()
    client.get(f"/api/images?{query}")
    seconds = []
    for _ in range(9):
        started = time.process_time()  # the work of all threads: what else runs on the machine is no matter
        answer = client.get(f"/api/images?{query}")
        seconds.append(time.process_time() - started)
        assert answer.get_json()["images"]
    assert answer.get_json()["counts"]["all"]["count"] == RECORDS
    assert statistics.median(seconds) <= 0.05, seconds
