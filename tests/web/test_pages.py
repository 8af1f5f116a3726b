"""The pages, as a browser without scripts would get them: the list, the search, activity, settings; and what holds for all of them."""

import gzip
import re
from dataclasses import replace
from datetime import timedelta
from html import escape, unescape
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from PIL import Image

from lambdazoom.model.errors import CorruptImage
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import Caption, Outcome, Step
from lambdazoom.model.settings import SETTINGS
from lambdazoom.publishing import catalog
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.web.application import create_app
from tests.conftest import write_bad_files
from tests.zappa_function import PASSWORD

from .conftest import Publish
from .guarding import HASH, SECRET, guarded_by, token_in
from .records import FAILED, NOW, record, tiling

REFRESH = '<meta http-equiv="refresh" content="2">'
HOSTILE = "<script>alert('x')</script>"
ALL_PAGES = ("/", "/?show=failed", "/?q=cat", "/activity/", "/info/", "/image/cat.jpg", "/image/none.jpg")


def test_the_empty_list_names_the_source_folder_and_looks_again(client: FlaskClient, workspace: Workspace) -> None:
    page = client.get("/").text
    assert f'<code id="place">{workspace.settings.texts["LAMBDAZOOM_SOURCE"]}</code>' in page
    assert '<meta http-equiv="refresh" content="5">' in page


def test_the_list_shows_each_image_with_size_and_time(client: FlaskClient, publish: Publish) -> None:
    made = publish("trip/cat.jpg", 1200, 840)
    page = client.get("/").text
    assert 'href="/image/trip/cat.jpg"' in page
    assert f'src="/thumbnail/trip/cat.jpg.jpg?v={made.generation}"' in page
    assert "<span>1,200 × 840</span> <span>· <time datetime=" in page
    assert "just now</time>" in page
    assert "1 image</a>" in page
    assert "refresh" not in page


def test_the_line_above_the_list_counts_and_filters(client: FlaskClient, workspace: Workspace) -> None:
    record("busy.jpg", workspace, **tiling(64))
    record("scan.tif", workspace, tiles=FAILED, metadata=FAILED)
    record("notes.txt", workspace, tiles=Step(Outcome.IGNORED, "notes.txt is no image."))
    page = client.get("/").text
    for words in ("2 images</a>", "1 in progress</a>", "1 needs attention</a>", "1 ignored</a>"):
        assert words in page
    for show, name, others in [
        ("active", "busy.jpg", "scan.tif"),
        ("failed", "scan.tif", "busy.jpg"),
        ("ignored", "notes.txt", "scan.tif"),
    ]:
        part = client.get(f"/?show={show}").text
        assert f'href="/?show={show}"' in page
        assert f"/image/{name}" in part
        assert f"/image/{others}" not in part


def test_an_unknown_filter_is_not_found(client: FlaskClient) -> None:
    assert client.get("/?show=everything").status_code == 404


def test_a_filter_that_finds_nothing_says_so(client: FlaskClient, publish: Publish) -> None:
    publish("cat.jpg")
    page = client.get("/?show=failed").text
    assert "Nothing needs attention." in page
    assert "0 need attention" in page


def test_an_image_in_progress_has_a_bar_and_the_page_looks_again(client: FlaskClient, workspace: Workspace) -> None:
    record("busy.jpg", workspace, **tiling(64))
    for path in ("/", "/image/busy.jpg"):
        page = client.get(path).text
        assert 'max="100" value="64"' in page
        assert "Tiling 64 %" in page
        assert REFRESH in page


def test_a_failed_image_says_why_and_the_page_rests(client: FlaskClient, workspace: Workspace) -> None:
    record("scan.tif", workspace, tiles=FAILED, metadata=FAILED)
    for path in ("/", "/image/scan.tif"):
        page = client.get(path).text
        assert "scan.tif is cut off; 71 % could be read." in page
        assert "refresh" not in page
    assert '"/static/viewer.js"' not in client.get("/image/scan.tif").text


def test_a_long_list_goes_on_by_plain_links(client: FlaskClient, workspace: Workspace) -> None:
    for number in range(65):
        record(f"{number:02}.jpg", workspace, tiles=FAILED, seen_at=NOW - timedelta(minutes=number))
    seen, path, pages = [], "/?show=failed", 0
    while path:
        page = client.get(path).text
        seen += [name for name in (f"{number:02}.jpg" for number in range(65)) if f'href="/image/{name}?show=failed"' in page]
        path = unescape(page.partition('">Load more')[0].rpartition('href="')[2]) if "Load more" in page else ""
        pages += 1
    assert pages == 2
    assert sorted(seen) == [f"{number:02}.jpg" for number in range(65)]


def test_hostile_text_stays_text(client: FlaskClient, publish: Publish, workspace: Workspace) -> None:
    key = f"{HOSTILE}.jpg"
    exif = Image.Exif()
    exif[0x010F] = f'"{HOSTILE}'
    made = publish(key, exif=exif)
    kept = catalog.find_kept(ImageKey(key), workspace.metadata)
    complaint = Step.failed(CorruptImage(HOSTILE), final=True)
    hostile = replace(made, caption=Caption(*[f'"{HOSTILE}'] * 4), remarks=(HOSTILE,), metadata=complaint)
    catalog.save(hostile, kept, workspace.metadata)
    for path in ("/", f"/image/{key}", "/image/none"):
        assert "<script>alert" not in client.get(path).text
    page = client.get(f"/image/{key}").text
    assert escape(HOSTILE).replace("&#x27;", "&#39;") in page
    missing = client.get(f"/image/{HOSTILE}")
    assert missing.status_code == 404
    assert "<script>" not in missing.text


@pytest.mark.parametrize("path", ALL_PAGES)
def test_no_page_has_inline_script_or_style(client: FlaskClient, publish: Publish, path: str) -> None:
    publish("cat.jpg")
    page = client.get(path).text
    assert "<style" not in page
    assert " style=" not in page
    assert " onclick=" not in page
    assert "<script>" not in page


def test_every_link_stays_below_the_stage(client: FlaskClient, publish: Publish) -> None:
    publish("cat.jpg")
    attributes = ('href="', 'src="', 'action="', 'data-descriptor="', 'data-api="', 'data-icons="')
    for path in ALL_PAGES:
        page = client.get(path, base_url="http://localhost/live").text
        local = [part.partition('"')[0] for attribute in attributes for part in page.split(f" {attribute}")[1:]]
        assert len(local) > 3
        assert all(address.startswith("/live/") or address == "" for address in local), path


def test_behind_another_host_name_all_links_hold(workspace: Workspace, publish: Publish) -> None:
    publish("cat.jpg")
    client = create_app(lambda: guarded_by(workspace)).test_client()
    address = "https://pictures.example/live"
    token = token_in(client.get("/sign-in", base_url=address).text)
    signed_in = client.post("/sign-in?next=/live/activity/", base_url=address, data={"token": token, "password": PASSWORD})
    assert signed_in.headers["Location"] == "/live/activity/"
    for path in ALL_PAGES:
        page = client.get(path, base_url=address).text
        assert "localhost" not in page
        assert "127.0.0.1" not in page
        assert all(found.startswith(address) for found in re.findall(r'content="(https?://[^"]*)"', page))
    assert client.get("/next/cat.jpg", base_url=address).headers["Location"] == "/live/image/cat.jpg"


def test_our_own_scripts_and_styles_are_small() -> None:
    static = Path(__file__).parents[2] / "static"
    own = [path.read_bytes() for pattern in ("*.js", "*.css", "*.svg") for path in static.glob(pattern)]
    assert len(own) > 10
    assert sum(len(gzip.compress(each)) for each in own) <= 60_000


def test_the_settings_are_shown_with_their_origin_and_no_secret(workspace: Workspace) -> None:
    client = create_app(lambda: guarded_by(workspace)).test_client()
    token = token_in(client.get("/sign-in").text)
    client.post("/sign-in", data={"token": token, "password": PASSWORD})
    page = client.get("/info/").text
    for setting in SETTINGS:
        assert f"<code>{setting.name}</code>" in page
    assert '<td data-name="From">environment</td>' in page
    assert HASH not in page
    assert SECRET not in page
    assert client.get("/info/", headers={"Accept": "application/json"}).json["settings"][0]["name"] == SETTINGS[0].name  # type: ignore[index]


def test_the_search_finds_says_how_many_and_carries_on_to_the_neighbours(client: FlaskClient, publish: Publish) -> None:
    for key in ("cat one.jpg", "dog.jpg", "cat two.jpg"):
        publish(key)
    page = client.get("/?q=CAT").text
    assert "2 images match “CAT”." in unescape(page)
    assert 'href="/image/cat%20two.jpg?q=CAT"' in page
    assert "dog.jpg" not in page
    assert client.get("/next/cat two.jpg?q=CAT").headers["Location"] == "/image/cat%20one.jpg?q=CAT"
    assert client.get("/next/cat two.jpg").headers["Location"] == "/image/dog.jpg"
    assert "No image matches “bird”." in unescape(client.get("/?q=bird").text)


def test_the_list_is_sorted_by_plain_links(client: FlaskClient, publish: Publish) -> None:
    publish("b.jpg", 90, 60)
    publish("a.jpg", 30, 20)
    orders = {sort: re.findall(r'data-live="([^"]+)"', client.get(f"/?sort={sort}").text) for sort in ("name", "largest", "newest")}
    assert orders == {"name": ["a.jpg", "b.jpg"], "largest": ["b.jpg", "a.jpg"], "newest": ["a.jpg", "b.jpg"]}
    assert client.get("/?sort=beauty").status_code == 404


def test_activity_has_three_sections_that_vanish_when_empty(client: FlaskClient, workspace: Workspace, publish: Publish) -> None:
    assert "All quiet. New images appear here by themselves." in client.get("/activity/").text
    record("busy.jpg", workspace, **tiling(64))
    record("scan.tif", workspace, tiles=FAILED, metadata=FAILED)
    made = publish("cat.jpg", 300, 200)
    page = create_app(lambda: workspace).test_client().get("/activity/").text  # whose figures are not some seconds old
    headings = re.findall(r"<h2 id=\"[a-z]+\">([^<]+)", page)
    assert headings == ["Needs attention", "In progress", "Recent"]
    sentence = "scan.tif is cut off; 71 % could be read."
    figures = "Last 24 hours: 1 image, 0.060 megapixels"
    assert all(words in page for words in ("64 of 100 tiles", sentence, f"{made.seconds:.2f} s", figures))


def test_activity_says_where_the_rest_of_many_failures_is(client: FlaskClient, workspace: Workspace) -> None:
    for number in range(61):
        record(f"{number:02}.jpg", workspace, tiles=FAILED, seen_at=NOW - timedelta(minutes=number))
        if number == 59:
            page = client.get("/activity/").text
            assert "Retry all 60" in page
            assert "All that need attention" not in page
    page = client.get("/activity/").text
    assert "Retry these 60" in page
    assert '<a href="/?show=failed">All that need attention</a>' in page


def test_each_bad_file_is_seen_on_the_page_with_its_sentence(client: FlaskClient, publish: Publish, workspace: Workspace) -> None:
    sentences = write_bad_files(Path(workspace.settings.texts["LAMBDAZOOM_SOURCE"]))
    for key in sentences:
        settle(ImageKey(key), workspace)
    publish("good one.jpg")
    listed = unescape(client.get("/?show=failed").text)
    for key, sentence in sentences.items():
        assert f'href="/image/{key}?show=failed"' in listed
        assert sentence in unescape(client.get(f"/image/{key}").text)
    assert f"{len(sentences)} need attention" in listed
    assert "good one.jpg" not in listed
