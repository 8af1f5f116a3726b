"""An image's own page, and what it leads to, as a browser without scripts would get them."""

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

from flask.testing import FlaskClient
from PIL import Image

from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import Outcome
from lambdazoom.model.wishes import Wish
from lambdazoom.publishing import catalog
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.web.application import create_app

from .conftest import Publish
from .guarding import token_in
from .records import FAILED, record, tiling


def notice_in(page: str) -> tuple[str, str]:
    """The class and the icon of what is said above the picture."""
    found = re.search(r'<p class="(slim notice[^"]*)">\s*<svg[^>]*><use href="[^"#]*#(\w+)"', page)
    assert found, page
    return found[1], found[2]


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
    assert f'<img class="still" src="/thumbnail/trip/cat.jpg.jpg?v={made.generation}"' in page
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
    assert notice_in(page) == ("slim notice trouble", "attention")
    assert after.tiles.sentence in page


def test_while_a_newer_version_is_made_the_older_one_stays_and_the_view_is_left_alone(
    client: FlaskClient, publish: Publish, workspace: Workspace
) -> None:
    publish("cat.jpg")
    record("cat.jpg", workspace, **tiling(7))
    page = client.get("/image/cat.jpg").text
    assert "A newer version is being made: Tiling 7 %." in page
    assert notice_in(page) == ("slim notice", "clock")
    assert re.search(r'<p class="slim" id="newer" [^>]*>\s*<svg[^>]*><use href="[^"#]*#done"', page)
    assert "refresh" not in page


def test_a_deleted_image_is_gone(client: FlaskClient, publish: Publish, workspace: Workspace) -> None:
    publish("trip/cat.jpg")
    (Path(workspace.settings.texts["LAMBDAZOOM_SOURCE"]) / "trip/cat.jpg").unlink()
    settle(ImageKey("trip/cat.jpg"), workspace)
    response = client.get("/image/trip/cat.jpg")
    assert response.status_code == 404
    assert "There is no image trip/cat.jpg. It may have been deleted or renamed." in response.text


def test_a_retry_and_a_deletion_work_without_a_script(client: FlaskClient, publish: Publish, workspace: Workspace) -> None:
    source = Path(workspace.settings.texts["LAMBDAZOOM_SOURCE"])
    (source / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    settle(ImageKey("cut.jpg"), workspace)
    page = client.get("/activity/").text
    answer = client.post("/image/cut.jpg", data={"token": token_in(page), "wish": "retry"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/image/cut.jpg")
    refused = client.post("/image/cut.jpg", data={"token": token_in(page), "wish": "delete", "confirm": "other.jpg"})
    assert refused.status_code == 422
    assert (source / "cut.jpg").exists()
    client.post("/image/cut.jpg", data={"token": token_in(page), "wish": "delete", "confirm": "cut.jpg"})
    assert not (source / "cut.jpg").exists()
    assert client.post("/image/cut.jpg", data={"token": token_in(page), "wish": "paint"}).status_code == 400
    assert client.post("/image/cut.jpg", data={"wish": "retry"}).status_code == 403


def test_the_part_of_the_list_that_somebody_came_from_is_kept(client: FlaskClient, workspace: Workspace, publish: Publish) -> None:
    source = Path(workspace.settings.texts["LAMBDAZOOM_SOURCE"])
    for key in ("b.jpg", "a.jpg"):
        (source / key).write_bytes(b"\xff\xd8\xff")
        settle(ImageKey(key), workspace)
        publish(f"between {key}")
    page = client.get("/?show=failed").text
    assert 'href="/image/a.jpg?show=failed"' in page
    page = client.get("/image/a.jpg?show=failed").text
    assert 'href="/?show=failed" aria-label="Back to the images"' in page
    for way in ("previous", "next"):
        assert f'href="/{way}/a.jpg?show=failed"' in page
        assert client.get(f"/{way}/a.jpg?show=failed").headers["Location"] == "/image/b.jpg?show=failed"
        assert client.get(f"/{way}/a.jpg").headers["Location"] != "/image/b.jpg"
    assert client.get("/next/a.jpg?show=all").status_code == 400
    form = {"token": token_in(page), "wish": "delete", "confirm": "a.jpg"}
    assert 'action="/image/a.jpg?show=failed"' in page
    assert client.post("/image/a.jpg?show=failed", data=form).headers["Location"] == "/?show=failed"


def test_what_is_published_can_always_be_made_anew(client: FlaskClient, workspace: Workspace, publish: Publish) -> None:
    publish("cat.jpg")
    page = client.get("/image/cat.jpg").text
    assert "Reprocess" in page
    assert "other settings" not in page
    other = replace(workspace, settings=replace(workspace.settings, tile_size=512))
    page = create_app(lambda: other).test_client().get("/image/cat.jpg").text
    assert "Reprocess" in page
    assert "other settings" in page


def test_what_failed_is_retried_and_not_reprocessed(client: FlaskClient, workspace: Workspace, publish: Publish) -> None:
    made = publish("cat.jpg")
    record("scan.tif", workspace, tiles=FAILED, metadata=FAILED)
    change = {"tiles": replace(FAILED, sentence="It is damaged. What was made before stays on show.")}
    kept = catalog.find_kept(ImageKey("cat.jpg"), workspace.metadata)
    catalog.save(replace(made, **change), kept, workspace.metadata)  # type: ignore[arg-type]
    for name in ("scan.tif", "cat.jpg"):
        page = client.get(f"/image/{name}").text
        assert "Retry" in page
        assert "Reprocess" not in page
    assert "It is damaged. What was made before stays on show." in page


def test_a_page_says_that_a_wish_has_not_begun_that_it_goes_on_and_nothing_when_it_is_fulfilled(
    client: FlaskClient, workspace: Workspace, publish: Publish
) -> None:
    made = publish("cat.jpg")
    address = f"/image/cat.jpg?anew={made.generation}"
    page = client.get(address).text
    assert "It is to be made anew, which has not begun yet." in page
    assert notice_in(page) == ("slim notice", "clock")
    assert 'data-live-every="5"' in page
    assert "made anew" not in client.get("/image/cat.jpg?anew=another").text
    kept = catalog.find_kept(ImageKey("cat.jpg"), workspace.metadata)
    at_work = catalog.save(replace(made, **tiling(64)), kept, workspace.metadata)  # type: ignore[arg-type]
    page = client.get(address).text
    assert "It is being made anew: Tiling 64 %. This stays on show until that is done." in page
    assert notice_in(page) == ("slim notice", "clock")
    assert 'data-live-every="2"' in page
    catalog.save(made, at_work, workspace.metadata)
    settle(ImageKey("cat.jpg"), workspace, wish=Wish(asked=True, anew=True))
    assert "made anew" not in client.get(address).text


def test_an_original_that_nothing_has_looked_at_yet_is_waiting(client: FlaskClient, workspace: Workspace) -> None:
    (Path(workspace.settings.texts["LAMBDAZOOM_SOURCE"]) / "new.jpg").write_bytes(b"...")
    page = client.get("/image/new.jpg")
    assert page.status_code == 200
    assert "Waiting" in page.text
