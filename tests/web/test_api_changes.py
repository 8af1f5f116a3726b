"""What a program can change by the API, and what it can fetch: retry, delete, originals; on Lambda a run of its own."""

import contextlib
import json
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from flask.testing import FlaskClient

from lambdazoom.calling import Calling
from lambdazoom.model.errors import StorageError
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.settings import Settings
from lambdazoom.model.wishes import Wish
from lambdazoom.publishing import catalog
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace, open_workspace
from lambdazoom.web.application import create_app
from tests.conftest import Draw, write_bad_files
from tests.gateway import REST_HOST, body_of, rest_event, sign_in
from tests.quiet_server import QuietHandler, serving
from tests.waiting import wait_until
from tests.zappa_function import ZappaFunction, write_python_settings

from .asking import names
from .asking import program as program  # a fixture
from .conftest import Publish
from .uploading import Program, Refusal


def test_a_mended_file_is_tried_again_when_somebody_asks(program: Program, workspace: Workspace, source: Path, draw: Draw) -> None:
    good = draw("cat.jpg").read_bytes()
    (source / "cat.jpg").write_bytes(good[:500])
    settle(ImageKey("cat.jpg"), workspace)
    status = (source / "cat.jpg").stat()
    failed = program.ask("GET", "/api/images/cat.jpg")
    assert (failed["state"], failed["attempts"]) == ("failed", 1)
    assert program.ask("POST", failed["links"]["retry"]) == {"name": "cat.jpg", "state": "waiting"}
    wait_until(lambda: program.ask("GET", "/api/images/cat.jpg")["attempts"] == 2)
    assert (source / "cat.jpg").stat().st_mtime_ns == status.st_mtime_ns
    (source / "cat.jpg").write_bytes(good)
    program.ask("POST", failed["links"]["retry"])
    wait_until(lambda: program.ask("GET", "/api/images/cat.jpg")["state"] == "published")


def test_all_that_failed_is_tried_again_at_once(program: Program, workspace: Workspace, source: Path) -> None:
    broken = sorted(write_bad_files(source))
    for key in broken:
        settle(ImageKey(key), workspace)
    assert program.ask("POST", "/api/retry", {"names": broken}) == {"names": broken}
    wait_until(lambda: all(program.ask("GET", f"/api/images/{name}")["attempts"] == 2 for name in broken))


def test_tiles_of_other_settings_are_made_anew_if_that_is_asked_for(workspace: Workspace, publish: Publish) -> None:
    publish("cat.jpg", 600, 400)
    other = Program(create_app(lambda: replace(workspace, settings=replace(workspace.settings, tile_size=510))).test_client())
    other.ask("POST", "/api/images/cat.jpg/retry", {"recipe": True})
    wait_until(lambda: other.ask("GET", "/api/images/cat.jpg")["shown"]["tile_size"] == 510)


def test_all_is_made_anew_if_that_is_asked_for(program: Program, publish: Publish) -> None:
    before = publish("cat.jpg", 600, 400)
    program.ask("POST", "/api/images/cat.jpg/retry", {"anew": True})
    wait_until(lambda: program.ask("GET", "/api/images/cat.jpg")["shown"]["generation"] != before.generation)
    wait_until(lambda: program.ask("GET", "/api/images/cat.jpg")["state"] == "published")


def test_deleting_takes_the_original_and_what_was_made_of_it(
    program: Program, workspace: Workspace, source: Path, publish: Publish
) -> None:
    publish("trip/cat.jpg")
    publish("trip/cat.jpg.jpg")
    image = program.ask("GET", "/api/images/trip/cat.jpg")
    assert program.ask("DELETE", image["links"]["delete"], {"confirm": image["name"]}) == {"name": "trip/cat.jpg", "kept_by_bucket": False}
    assert [path.name for path in source.rglob("*.jpg")] == ["cat.jpg.jpg"]
    wait_until(lambda: names(program.ask("GET", "/api/images")) == ["trip/cat.jpg.jpg"])
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


class Lambda(QuietHandler):
    """Lambda's Invoke, as far as it accepts an event."""

    events: list[tuple[str, str, Any]]
    refusal: str

    def respond(self) -> None:
        self.events.append((self.path, self.headers["X-Amz-Invocation-Type"], json.loads(self.body())))
        self.answer(403 if self.refusal else 202, headers={"X-Amzn-ErrorType": self.refusal} if self.refusal else {})


@contextlib.contextmanager
def lambda_server(refusal: str = "") -> Iterator[tuple[str, list[tuple[str, str, Any]]]]:
    """A server that takes invocations, or refuses them; its address and what it was told."""
    events: list[tuple[str, str, Any]] = []
    with serving(type("Recording", (Lambda,), {"events": events, "refusal": refusal})) as address:
        yield f"http://{address}", events


def test_on_lambda_the_function_starts_a_run_of_its_own(
    environment: dict[str, str], workspace: Workspace, source: Path, aws: str, tmp_path: Path
) -> None:
    write_bad_files(source)
    settle(ImageKey("notes.jpg"), workspace)
    settings = write_python_settings(tmp_path)
    with lambda_server() as (address, events):
        there = {**environment, "AWS_LAMBDA_FUNCTION_NAME": "lambdazoom-live", "AWS_ENDPOINT_URL_LAMBDA": address}
        there["TMPDIR"] = str(tmp_path)  # it clears its sandbox's temporary folder
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
