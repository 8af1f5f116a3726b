"""Addresses of images with any key: they arrive whole through both API Gateways, careless proxies, and a browser."""

import json
import posixpath
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from playwright.sync_api import Browser

from lambdazoom.model.keys import ImageKey
from lambdazoom.model.settings import Settings
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import open_workspace
from lambdazoom.storage.folder import FolderStore
from tests.conftest import picture
from tests.gateway import body_of, gateway, http_event, rest_event, sign_in
from tests.places import Folders
from tests.zappa_function import PASSWORD, ZappaFunction, write_python_settings

KEYS = [
    "plain.jpg",
    "sp ace/plus+and&.jpg",
    "100%.jpg",
    "100%25.jpg",
    "what?.jpg",
    "sharp#1.jpg",
    "back\\slash.jpg",
    "~tilde~41.jpg",
    "~-/x.jpg",
    "semi;colon,comma=equals:@!$'()*.jpg",
    "ä/é.jpg",
    "e\u0301.jpg",
    "日本/写真.jpg",
    "_tiles/3f/x.jpg",
    "_lambdazoom/records/x.jpg",
    "a.dzi",
    "x_files/1/2_3.jpg",
    "cat.jpg.json",
    "<script>alert(1)</script>.jpg",
    '"quoted".jpg',
    "line\nbreak.jpg",
    "no-utf8-\udcff.jpg",
]
S3_ONLY = ["../up.jpg", "a/../b.jpg", "a/./b.jpg", "a//b.jpg", "/absolute.jpg", "ends/", "."]  # no file can be called that


def as_sent(name: str) -> str:
    """As browsers send a path: UTF-8, percent-encoded."""
    return quote(name)


def normalised(path: str) -> str:
    """What a proxy makes of it that decodes, resolves dots, merges slashes and encodes again."""
    return quote(posixpath.normpath(unquote(path).replace("//", "/")))


def decoded_twice(path: str) -> str:
    """What two layers make of it that each decode, and encode but once."""
    return quote(unquote(unquote(path)))


@pytest.fixture(scope="module")
def function(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZappaFunction]:
    """The deployed function over folders in which an image of each key is published."""
    folder = tmp_path_factory.mktemp("urls")
    places = Folders(folder)
    picture(20, 10).save(folder / "small.jpg")
    with open_workspace(Settings.from_env(places.environment)).closing() as workspace:
        for key in KEYS:
            places.put(key, (folder / "small.jpg").read_bytes())
            assert settle(ImageKey(key), workspace) is not None
    with ZappaFunction(write_python_settings(folder), places.environment, folder / "function.log") as running:
        yield running


@pytest.fixture(scope="module")
def cookie(function: ZappaFunction) -> str:
    return sign_in(function.invoke)


@pytest.mark.parametrize("event", [rest_event, http_event], ids=["REST API", "HTTP API"])
@pytest.mark.parametrize("proxy", [str, normalised, decoded_twice], ids=["direct", "normalising proxy", "decoding proxy"])
@pytest.mark.parametrize("key", KEYS)
def test_each_address_of_an_image_arrives(
    function: ZappaFunction, cookie: str, key: str, proxy: Callable[[str], str], event: Callable[..., dict[str, object]]
) -> None:
    name = as_sent(ImageKey(key).name)
    for path in (f"/image/{name}", f"/dzi/{name}.dzi", f"/dzi/{name}_files/5/0_0.jpg", f"/thumbnail/{name}.jpg", f"/metadata/{name}.json"):
        answer = function.invoke(event("GET", proxy(path), {"Host": "example.org", "Cookie": cookie}))
        assert answer["statusCode"] == 200, path
        if path.startswith("/metadata"):
            assert json.loads(body_of(answer))["key"] == key


@pytest.mark.parametrize("key", [*KEYS, *S3_ONLY])
def test_names_are_the_same_after_any_proxy(key: str) -> None:
    path = as_sent(f"/dzi/{ImageKey(key).name}.dzi")
    for proxy in (normalised, decoded_twice):
        assert unquote(proxy(path)) == unquote(path)


def test_a_browser_asks_for_what_the_pages_name(function: ZappaFunction, browser: Browser) -> None:
    with gateway(function.invoke) as address:
        page = browser.new_page()
        statuses: dict[str, int] = {}
        page.on("response", lambda answer: statuses.update({answer.url: answer.status}))
        page.goto(f"{address}/")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{address}/")
        statuses.clear()
        links = page.locator("a.card-link").evaluate_all("links => links.map(link => link.href)")
        assert len(links) == len(KEYS)
        for link in links:
            page.goto(link)
            page.wait_for_function("document.querySelector('.openseadragon-canvas canvas') !== null")
            page.wait_for_load_state("networkidle")
        page.close()
    assert len([url for url in statuses if "_files/" in url]) >= len(KEYS)
    assert set(statuses.values()) <= {200, 304}
    assert not [url for url, status in statuses.items() if status != 200 and "/static/" not in url]


def test_nothing_of_ours_is_ever_overwritten_by_a_key_that_looks_like_it(tmp_path: Path) -> None:
    places = Folders(tmp_path)
    picture(20, 10).save(tmp_path / "small.jpg")
    key = "_lambdazoom/records/plain.jpg"
    with open_workspace(Settings.from_env(places.environment)).closing() as workspace:
        for each in ("plain.jpg", key):
            places.put(each, (tmp_path / "small.jpg").read_bytes())
            settle(ImageKey(each), workspace)
        assert isinstance(workspace.metadata, FolderStore)
        names = set(workspace.metadata.list(""))
    assert "_lambdazoom/records/plain.jpg.json" in names
    assert "~5Flambdazoom/records/plain.jpg.json" in names
