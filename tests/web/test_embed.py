"""The embed snippet: on a bare page of another origin it shows the image from public tiles, down to the last pixel."""

import html
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import boto3
import numpy as np
import pytest
from flask import Flask
from PIL import Image
from playwright.sync_api import Browser

from lambdazoom.model.keys import ImageKey
from lambdazoom.model.places import Bucket
from lambdazoom.model.settings import Settings
from lambdazoom.operations.policy import public_tiles_policy
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace, open_workspace
from lambdazoom.web.application import create_app
from tests.conftest import picture

from .browsing import Witness, snippet, wait_for_view, zoomed_into
from .browsing import plain_server as plain_server  # a fixture
from .conftest import Serve

KEY = "trip/a b+ä?.jpg"


@pytest.fixture
def workspace(make_bucket: Callable[[str], str], aws: str) -> Iterator[Workspace]:
    """Three buckets, the zoom bucket's objects public at its address, as `init --public-tiles` sets it up."""
    names = {name: make_bucket(name.lower()) for name in ("SOURCE", "ZOOM", "METADATA")}
    environment = {f"LAMBDAZOOM_{name}": f"s3://{bucket}" for name, bucket in names.items()}
    data = io.BytesIO()
    picture(2000, 1500).save(data, "JPEG")
    boto3.client("s3").put_object(Bucket=names["SOURCE"], Key=KEY, Body=data.getvalue())
    policy = public_tiles_policy(Bucket(names["ZOOM"]), "us-east-1")
    boto3.client("s3").put_bucket_policy(Bucket=names["ZOOM"], Policy=json.dumps(policy))
    public = {**environment, "LAMBDAZOOM_TILES_URL": f"{aws}/{names['ZOOM']}"}
    with open_workspace(Settings.from_env(public)).closing() as opened:
        settle(ImageKey(KEY), opened)
        yield opened


def test_the_snippet_works_on_a_bare_page_of_another_origin(
    application: Flask, workspace: Workspace, serve: Serve, plain_server: str, browser: Browser, tmp_path: Path
) -> None:
    with serve() as address:
        page = browser.new_page()
        page.goto(f"{address}/")
        page.locator("a.card-link").click()
        page.wait_for_url("**/image/**")
        (tmp_path / "site.html").write_text(snippet(page, page.url), "utf-8")
        witness = zoomed_into(page, f"{plain_server}/site.html")
        page.close()
    tiles = [answer for answer in witness.answers if "/image_files/" in answer.url]
    assert max(int(re.findall(r"/image_files/(\d+)/", answer.url)[0]) for answer in tiles) == 11
    assert {answer.status for answer in tiles} == {200}
    assert [complaint for complaint in witness.complaints if "favicon" not in complaint and "404" not in complaint] == []


def test_the_snippet_shows_what_is_transparent_in_webp_tiles(
    application: Flask, workspace: Workspace, serve: Serve, plain_server: str, browser: Browser, tmp_path: Path
) -> None:
    """On a white page half-transparent red is pink, and nowhere laid on twice."""
    glass, data = ImageKey("glass.tif"), io.BytesIO()
    Image.new("RGBA", (900, 600), (200, 40, 60, 128)).save(data, "TIFF")
    source = workspace.settings.texts["LAMBDAZOOM_SOURCE"].removeprefix("s3://")
    boto3.client("s3").put_object(Bucket=source, Key=glass.key, Body=data.getvalue())
    settle(glass, replace(workspace, settings=replace(workspace.settings, format="webp", quality=100)))
    with serve() as address, browser.new_context(viewport={"width": 720, "height": 500}) as context:
        page = context.new_page()
        (tmp_path / "site.html").write_text(snippet(page, f"{address}/image/glass.tif"), "utf-8")
        page.goto(f"{plain_server}/site.html")
        wait_for_view(page)
        with Image.open(io.BytesIO(page.screenshot())) as shot:
            seen = np.asarray(shot.convert("RGB").crop((60, 60, 660, 440))).astype(int)
    expected = [(colour * 128 + 255 * 127) / 255 for colour in (200, 40, 60)]
    assert np.abs(seen - expected).max() <= 4


def test_our_own_page_reads_public_tiles_where_they_lie(
    application: Flask, workspace: Workspace, serve: Serve, browser: Browser, tmp_path: Path
) -> None:
    """The function is not called for a tile, neither by the viewer nor for what is saved of the image."""
    with serve() as address:
        page = browser.new_page()
        witness = Witness(page)
        page.goto(f"{address}/image/{quote(ImageKey(KEY).name)}")
        wait_for_view(page)
        page.locator(".menu > summary").click()
        with page.expect_download() as download:
            page.get_by_role("button", name="What is in view").click()
        download.value.save_as(tmp_path / "crop.jpg")
        page.close()
    tiles = [answer for answer in witness.answers if re.search(r"_files/\d+/\d+_\d+\.jpg", answer.url)]
    assert tiles
    assert all(answer.url.startswith(f"{workspace.settings.tiles_url}/_tiles/") for answer in tiles)
    assert {answer.status for answer in tiles} == {200}
    assert witness.complaints == []
    with Image.open(tmp_path / "crop.jpg") as crop:
        assert crop.size == (2000, 1500)


def test_a_descriptor_that_names_public_tiles_is_not_kept_for_ever(application: Flask, workspace: Workspace) -> None:
    """For that address is a setting, which may change; the tiles themselves never do."""
    client = application.test_client()
    descriptor = client.get("/api/images").get_json()["images"][0]["links"]["descriptor"]
    answer = client.get(descriptor)
    assert f'Url="{workspace.settings.tiles_url}/_tiles/' in answer.text
    assert answer.headers["Cache-Control"] == "private, max-age=60"


def test_without_public_tiles_there_is_no_snippet(workspace: Workspace) -> None:
    private = replace(workspace, settings=replace(workspace.settings, tiles_url=""))
    assert "snippet" not in create_app(lambda: private).test_client().get(f"/image/{ImageKey(KEY).name}").text


def test_a_hostile_name_stays_text_in_the_snippet(workspace: Workspace) -> None:
    hostile = ImageKey('</script><script>alert(1)</script>".jpg')
    data = io.BytesIO()
    picture(30, 20).save(data, "JPEG")
    source = workspace.settings.texts["LAMBDAZOOM_SOURCE"].removeprefix("s3://")
    boto3.client("s3").put_object(Bucket=source, Key=hostile.key, Body=data.getvalue())
    settle(hostile, workspace)
    text = create_app(lambda: workspace).test_client().get(f"/image/{hostile.name}").text
    offered = html.unescape(re.findall(r'class="snippet".*?<code>(.*?)</code>', text, re.DOTALL)[0])
    assert offered.count("<script") == 2
    assert "alert(1)<" not in offered
