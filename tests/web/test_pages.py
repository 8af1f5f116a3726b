"""The pages, as a browser without scripts would get them."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import escape, unescape
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from PIL import Image

from lambdazoom.model.errors import CorruptImage
from lambdazoom.model.keys import ImageKey, SourceVersion
from lambdazoom.model.records import Caption, ImageRecord, Outcome, Progress, Step
from lambdazoom.publishing import catalog
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace
from tests.conftest import write_bad_files

from .conftest import Publish

NOW = datetime.now(UTC)
REFRESH = '<meta http-equiv="refresh" content="2">'
HOSTILE = "<script>alert('x')</script>"


def record(key: str, workspace: Workspace, **values: object) -> ImageRecord:
    """A record of an image without a pyramid, saved as a run would."""
    made = replace(ImageRecord(key, SourceVersion("e", NOW, 10), seen_at=NOW - timedelta(minutes=2)), **values)  # type: ignore[arg-type]
    catalog.save(made, catalog.find_kept(made.image, workspace.metadata), workspace.metadata)
    return made


def tiling(done: int) -> dict[str, object]:
    return {"run": "r", "heartbeat_at": datetime.now(UTC), "progress": Progress("tiling", done, 100)}


FAILED = Step.failed(CorruptImage("scan.tif is cut off; 71 % could be read."), final=True)


def test_the_empty_list_names_the_source_folder_and_looks_again(client: FlaskClient, workspace: Workspace) -> None:
    page = client.get("/").text
    assert f"<code>{workspace.settings.texts['LAMBDAZOOM_SOURCE']}</code>" in page
    assert '<meta http-equiv="refresh" content="5">' in page


def test_the_list_shows_each_image_with_size_and_time(client: FlaskClient, publish: Publish) -> None:
    made = publish("trip/cat.jpg", 1200, 840)
    page = client.get("/").text
    assert 'href="/image/trip/cat.jpg"' in page
    assert f'src="/thumbnail/trip/cat.jpg.jpg?v={made.generation}"' in page
    assert "1,200 × 840 ·</span> <time datetime=" in page
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
    assert "viewer.js" not in client.get("/image/scan.tif").text


def test_a_long_list_goes_on_by_plain_links(client: FlaskClient, workspace: Workspace) -> None:
    for number in range(65):
        record(f"{number:02}.jpg", workspace, tiles=FAILED, seen_at=NOW - timedelta(minutes=number))
    seen, path, pages = [], "/?show=failed", 0
    while path:
        page = client.get(path).text
        seen += [name for name in (f"{number:02}.jpg" for number in range(65)) if f'href="/image/{name}"' in page]
        path = unescape(page.partition('">Load more')[0].rpartition('href="')[2]) if "Load more" in page else ""
        pages += 1
    assert pages == 2
    assert sorted(seen) == [f"{number:02}.jpg" for number in range(65)]


def test_an_image_page_has_viewer_facts_and_metadata(client: FlaskClient, publish: Publish) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x013B], exif[0x8298] = "Acme Optics", "Ann Painter", "(c) Ann"
    made = publish("trip/cat.jpg", 1200, 840, exif)
    page = client.get("/image/trip/cat.jpg").text
    assert f'data-descriptor="/dzi/trip/cat.jpg.dzi?v={made.generation}"' in page
    for fact in (
        "1,200 × 840 · 1.0 megapixels",
        made.sha256,
        "Acme Optics",
        "Ann Painter",
        "(c) Ann",
        "Camera and image",
        f"{made.tile_count:,} ·",
    ):
        assert fact in page
    assert f'<noscript><img class="still" src="/thumbnail/trip/cat.jpg.jpg?v={made.generation}"' in page
    assert f'property="og:image" content="http://localhost/thumbnail/trip/cat.jpg.jpg?v={made.generation}"' in page
    assert "refresh" not in page


def test_the_metadata_is_a_file_named_after_the_image(client: FlaskClient, publish: Publish) -> None:
    publish("trip/kätzchen.jpg")
    response = client.get("/metadata/trip/kätzchen.jpg.json")
    assert response.content_type == "application/json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Disposition"].startswith("attachment;")
    assert "filename*=UTF-8''k%C3%A4tzchen.jpg.json" in response.headers["Content-Disposition"]
    assert json.loads(response.data)["key"] == "trip/kätzchen.jpg"


def test_there_is_no_metadata_of_what_is_not_there(client: FlaskClient, workspace: Workspace) -> None:
    response = client.get("/metadata/none.jpg.json")
    assert response.status_code == 404
    assert "There is no metadata of none.jpg." in response.text
    assert client.get("/metadata/_lambdazoom/records/none.jpg.json").status_code == 404


def test_our_own_objects_are_no_images(client: FlaskClient, publish: Publish) -> None:
    publish("cat.jpg")
    assert client.get("/metadata/_lambdazoom/records/cat.jpg.json").status_code == 404


def test_a_failed_replacement_leaves_the_older_pyramid_with_a_notice(client: FlaskClient, publish: Publish, workspace: Workspace) -> None:
    before = publish("cat.jpg", 300, 200)
    whole = (Path(workspace.settings.texts["LAMBDAZOOM_SOURCE"]) / "cat.jpg").read_bytes()
    (Path(workspace.settings.texts["LAMBDAZOOM_SOURCE"]) / "cat.jpg").write_bytes(whole[:700])
    after = settle(ImageKey("cat.jpg"), workspace)
    assert after is not None
    assert after.tiles is not None
    assert after.tiles.outcome == Outcome.FAILED
    page = unescape(client.get("/image/cat.jpg").text)
    assert f"?v={before.generation}" in page
    assert "The newer version can't be shown." in page
    assert after.tiles.sentence in page


def test_while_a_newer_version_is_made_the_older_one_stays_and_the_view_is_left_alone(
    client: FlaskClient, publish: Publish, workspace: Workspace
) -> None:
    publish("cat.jpg")
    record("cat.jpg", workspace, **tiling(7))
    page = client.get("/image/cat.jpg").text
    assert "A newer version is being made: Tiling 7 %." in page
    assert "refresh" not in page


def test_a_deleted_image_is_gone(client: FlaskClient, publish: Publish, workspace: Workspace) -> None:
    publish("trip/cat.jpg")
    (Path(workspace.settings.texts["LAMBDAZOOM_SOURCE"]) / "trip/cat.jpg").unlink()
    settle(ImageKey("trip/cat.jpg"), workspace)
    response = client.get("/image/trip/cat.jpg")
    assert response.status_code == 404
    assert "There is no image trip/cat.jpg. It may have been deleted or renamed." in response.text


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


@pytest.mark.parametrize("path", ["/", "/image/cat.jpg", "/image/none.jpg", "/?show=failed"])
def test_no_page_has_inline_script_or_style(client: FlaskClient, publish: Publish, path: str) -> None:
    publish("cat.jpg")
    page = client.get(path).text
    assert "<style" not in page
    assert " style=" not in page
    assert " onclick=" not in page
    assert "<script>" not in page


def test_every_link_stays_below_the_stage(client: FlaskClient, publish: Publish) -> None:
    publish("cat.jpg")
    for path in ("/", "/image/cat.jpg", "/image/none.jpg"):
        page = client.get(path, base_url="http://localhost/live").text
        local = [part.partition('"')[0] for attribute in ('href="', 'src="', 'data-descriptor="') for part in page.split(attribute)[1:]]
        assert local
        assert all(address.startswith("/live/") or address == "" for address in local)


def test_each_bad_file_is_seen_on_the_page_with_its_sentence(client: FlaskClient, publish: Publish, workspace: Workspace) -> None:
    sentences = write_bad_files(Path(workspace.settings.texts["LAMBDAZOOM_SOURCE"]))
    for key in sentences:
        settle(ImageKey(key), workspace)
    publish("good one.jpg")
    listed = unescape(client.get("/?show=failed").text)
    for key, sentence in sentences.items():
        assert f'href="/image/{key}"' in listed
        assert sentence in unescape(client.get(f"/image/{key}").text)
    assert f"{len(sentences)} need attention" in listed
    assert "good one.jpg" not in listed
