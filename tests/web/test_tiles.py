"""The addresses of descriptors, tiles and thumbnails."""

import io
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Flask, url_for
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from lambdazoom.model.keys import ImageKey
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.storage.base import Stored
from lambdazoom.web.application import create_app

from .conftest import Publish

FOREVER = "private, max-age=31536000, immutable"
BRIEFLY = "private, max-age=60"
ELSEWHEN = "20200101T000000000Z-00000000000000ff"
NASTY = [
    "a.dzi",
    "x_files/1/2_3.jpg",
    "ä ö+&?#.jpg",
    "100%.jpg",
    "_tiles/~.jpg",
    "x.jpg?v=1",
    "<script>alert(1)</script>.jpg",
    "back\\slash.jpg",
]


def address(application: Flask, endpoint: str, key: str, **values: object) -> str:
    with application.test_request_context("/"):
        return url_for(endpoint, name=ImageKey(key).name, **values)  # type: ignore[arg-type]


def assert_refused(response: TestResponse, status: int) -> None:
    assert response.status_code == status
    assert response.headers["Cache-Control"] == "no-store"
    assert response.content_type.startswith("text/plain")


def test_a_descriptor_is_plain_deep_zoom_without_url(client: FlaskClient, publish: Publish) -> None:
    publish("cat.jpg", 300, 200)
    response = client.get("/dzi/cat.jpg.dzi")
    assert response.content_type.startswith("application/xml")
    root = ET.fromstring(response.text)
    assert root.attrib == {"Format": "jpg", "Overlap": "1", "TileSize": "254"}
    assert [child.attrib for child in root] == [{"Width": "300", "Height": "200"}]


def test_every_tile_of_the_descriptor_answers_with_its_size(client: FlaskClient, publish: Publish) -> None:
    publish("cat.jpg", 300, 200)
    sizes = {(9, 0, 0): (255, 200), (9, 1, 0): (47, 200), (8, 0, 0): (150, 100), (0, 0, 0): (1, 1)}
    for (level, column, row), size in sizes.items():
        response = client.get(f"/dzi/cat.jpg_files/{level}/{column}_{row}.jpg")
        assert response.content_type == "image/jpeg"
        assert Image.open(io.BytesIO(response.data)).size == size


def test_what_was_published_stays_when_the_format_in_the_settings_changes(workspace: Workspace, publish: Publish) -> None:
    publish("jpg.jpg")
    now_png = replace(workspace, settings=replace(workspace.settings, format="png"))
    (Path(workspace.settings.texts["LAMBDAZOOM_SOURCE"]) / "png.jpg").hardlink_to(
        Path(workspace.settings.texts["LAMBDAZOOM_SOURCE"]) / "jpg.jpg"
    )
    settle(ImageKey("png.jpg"), now_png)
    client = create_app(lambda: now_png).test_client()
    answers = {(name, kind): client.get(f"/dzi/{name}.jpg_files/5/0_0.{kind}") for name in ("jpg", "png") for kind in ("jpg", "png")}
    assert {which: answer.status_code for which, answer in answers.items()} == {
        ("jpg", "jpg"): 200,
        ("jpg", "png"): 404,
        ("png", "jpg"): 404,
        ("png", "png"): 200,
    }
    assert answers["png", "png"].content_type == "image/png"
    assert answers["png", "png"].data.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "tail", ["9/2_0.jpg", "9/0_1.jpg", "10/0_0.jpg", "9/0_0.png", "9/0_0.gif", "9/-1_0.jpg", f"{'9' * 5000}/0_0.jpg", "09/0_0.jpg"]
)
def test_a_tile_outside_the_geometry_is_not_found(client: FlaskClient, publish: Publish, tail: str) -> None:
    record = publish("cat.jpg", 300, 200)
    for query in ("", f"?v={record.generation}"):
        response = client.get(f"/dzi/cat.jpg_files/{tail}{query}")
        assert response.status_code == 404
        assert response.headers["Cache-Control"] == "no-store"


def test_with_a_version_answers_are_for_ever_and_without_one_for_a_minute(client: FlaskClient, publish: Publish) -> None:
    record = publish("cat.jpg")
    for path in ("/dzi/cat.jpg.dzi", "/dzi/cat.jpg_files/6/0_0.jpg", "/thumbnail/cat.jpg.jpg"):
        plain, versioned = client.get(path), client.get(f"{path}?v={record.generation}")
        assert (plain.status_code, plain.headers["Cache-Control"]) == (200, BRIEFLY)
        assert (versioned.status_code, versioned.headers["Cache-Control"]) == (200, FOREVER)
        assert plain.data == versioned.data


def test_a_tile_with_a_version_costs_one_read(workspace: Workspace, publish: Publish) -> None:
    record = publish("cat.jpg")
    reads: list[str] = []

    class Counted:
        def read(self, name: str) -> Stored:
            reads.append(name)
            return workspace.zoom.read(name)

    counted = replace(workspace, zoom=Counted())  # type: ignore[arg-type] # only reading is needed here
    client = create_app(lambda: counted).test_client()
    assert client.get(f"/dzi/cat.jpg_files/6/0_0.jpg?v={record.generation}").status_code == 200
    assert len(reads) == 1


@pytest.mark.parametrize("version", ["", "x", "../../etc", ELSEWHEN[:-1], ELSEWHEN])
def test_a_wrong_version_of_a_tile_is_not_found(client: FlaskClient, publish: Publish, version: str) -> None:
    publish("cat.jpg")
    assert_refused(client.get("/dzi/cat.jpg_files/6/0_0.jpg", query_string={"v": version}), 404)
    assert_refused(client.get("/thumbnail/cat.jpg.jpg", query_string={"v": version}), 404)


def test_an_outdated_descriptor_leads_to_the_present_one(client: FlaskClient, publish: Publish) -> None:
    record = publish("trip/cat ä.jpg")
    response = client.get("/dzi/trip/cat ä.jpg.dzi", query_string={"v": ELSEWHEN}, base_url="http://localhost/live")
    assert response.status_code == 302
    assert response.headers["Cache-Control"] == "no-store"
    assert response.location == f"/live/dzi/trip/cat%20%C3%A4.jpg.dzi?v={record.generation}"


def test_a_descriptor_of_nothing_is_not_found(client: FlaskClient, workspace: Workspace) -> None:
    for query in ("", f"?v={ELSEWHEN}"):
        assert_refused(client.get(f"/dzi/none.jpg.dzi{query}"), 404)
    assert "There is no image none.jpg." in client.get("/dzi/none.jpg.dzi").text


@pytest.mark.parametrize(
    "path", ["/dzi/a%2525.jpg.dzi", "/dzi/~zz.jpg.dzi", "/dzi/a/../b.jpg.dzi", "/dzi/_tiles/x.dzi", "/thumbnail/%00.jpg"]
)
def test_what_is_no_stored_name_is_not_found(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("prefix", ["", "/live"])
@pytest.mark.parametrize("key", NASTY)
def test_a_nasty_name_works_at_all_its_addresses(application: Flask, client: FlaskClient, publish: Publish, key: str, prefix: str) -> None:
    record = publish(key).generation
    base_url = f"http://localhost{prefix}"
    for endpoint in ("tiles.descriptor", "tiles.thumbnail", "pages.image", "pages.metadata"):
        for version in (None, record):
            response = client.get(address(application, endpoint, key, v=version), base_url=base_url)
            assert response.status_code == 200, (endpoint, response.text)
    # what OpenSeadragon does with a descriptor's address: the path's end becomes _files/, the query is repeated
    descriptor = urlsplit(address(application, "tiles.descriptor", key, v=record))
    tile = f"{descriptor.path.removesuffix('.dzi')}_files/6/0_0.jpg?{descriptor.query}"
    assert client.get(tile, base_url=base_url).content_type == "image/jpeg"
    page = client.get(address(application, "pages.image", key), base_url=base_url).text
    assert f'data-descriptor="{prefix}{descriptor.path}?v={record}"'.replace("&", "&amp;") in page
    listed = client.get("/", base_url=base_url).text
    assert f'href="{prefix}{address(application, "pages.image", key)}"'.replace("&", "&amp;") in listed
