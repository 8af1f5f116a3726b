"""The API as docs/api.md describes it: lists, one image, activity, settings; the same under a prefix, and in a moment among many."""

import hashlib
import json
import re
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from lambdazoom.model.keys import ImageKey, SourceVersion
from lambdazoom.model.records import Caption, ImageRecord, Outcome, Step
from lambdazoom.model.settings import Settings
from lambdazoom.publishing import catalog, indexing
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace, open_workspace
from lambdazoom.storage.base import EMPTY, JSON
from lambdazoom.web.application import create_app
from tests.conftest import Draw, write_bad_files
from tests.pace import milliseconds
from tests.zappa_function import ACCESS, PASSWORD

from .asking import names
from .asking import program as program  # a fixture
from .conftest import Publish, Serve
from .guarding import token_in
from .uploading import Program

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


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
    client.post("/sign-in", data={"token": token_in(client.get("/sign-in").text), "password": PASSWORD})
    for url, headers in (("/api/info", {}), ("/info/", {"Accept": "application/json"})):
        answer = client.get(url, headers=headers)
        told = {each["name"]: each["value"] for each in answer.get_json()["settings"]}
        assert told["LAMBDAZOOM_PASSWORD_HASH"] == told["LAMBDAZOOM_SESSION_SECRET"] == "set"
        assert not [secret for secret in ACCESS.values() if secret in answer.text]


def test_the_former_addresses_lead_to_what_they_named(client: FlaskClient, publish: Publish) -> None:
    publish("other.jpg")
    publish("trip/ä #1.jpg")
    assert client.get("/browse/").headers["Location"] == "/"
    moved = client.get("/browse/" + quote("trip/ä #1.jpg"), follow_redirects=True)
    assert (moved.status_code, moved.request.path) == (200, "/image/trip/ä ~231.jpg")
    assert names(client.get("/list/").get_json()) == ["trip/ä ~231.jpg", "other.jpg"]
    assert names(client.get("/list/?limit=1").get_json()) == ["trip/ä ~231.jpg"]


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "https:/evil.example", "%2f%2fevil.example"])
def test_the_former_addresses_lead_nowhere_else(client: FlaskClient, path: str) -> None:
    answer = client.get(f"/browse/{path}")
    location = answer.headers.get("Location", "/")
    assert re.match(r"(http://localhost)?/(?![/\\])", location), location


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
    answer = client.get(f"/api/images?{query}")
    assert answer.get_json()["counts"]["all"]["count"] == RECORDS
    assert answer.get_json()["images"]
    assert milliseconds(lambda: client.get(f"/api/images?{query}")) <= 50
