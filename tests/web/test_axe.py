"""axe-core finds nothing to complain about, on any page, in light and dark, on a desk and on a phone."""

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, expect

from lambdazoom.model.records import Caption
from lambdazoom.publishing import catalog
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.web import opening
from tests.zappa_function import PASSWORD

from .axe import complaints
from .browsing import DEVICES, each_device, sign_out
from .conftest import Publish, Serve
from .guarding import guarded_by
from .records import FAILED, record, tiling

PAGES = ["/", "/?show=failed", "/?q=cat", "/?q=nothing", "/activity/", "/info/", "/image/busy.jpg", "/image/scan.tif", "/image/none.jpg"]

each_theme = pytest.mark.parametrize("theme", ["light", "dark"])


@pytest.fixture
def images(publish: Publish, workspace: Workspace) -> None:
    """One of each sort."""
    made = publish("cat.jpg", 300, 200)
    kept = catalog.find_kept(made.image, workspace.metadata)
    catalog.save(replace(made, caption=Caption("A cat", "Ann", "CC0", "It sleeps.")), kept, workspace.metadata)
    record("busy.jpg", workspace, **tiling(64))
    record("scan.tif", workspace, tiles=FAILED, metadata=FAILED)


@each_device
@each_theme
def test_every_page(images: None, browser: Browser, serve: Serve, device: str, theme: Any) -> None:
    found: list[str] = []
    with serve() as address, browser.new_context(**DEVICES[device], color_scheme=theme) as context:
        page = context.new_page()
        for path in PAGES:
            page.goto(address + path)
            found += [f"{path}: {each}" for each in complaints(page)]
    assert found == []


@each_device
def test_the_viewer_with_all_that_opens(images: None, browser: Browser, serve: Serve, device: str) -> None:
    with serve() as address, browser.new_context(**DEVICES[device]) as context:
        page = context.new_page()
        page.goto(f"{address}/image/cat.jpg")
        expect(page.get_by_role("button", name="Zoom in")).to_be_visible()
        found = complaints(page)
        page.locator(".menu > summary").click()
        found += complaints(page)
        page.keyboard.press("Escape")
        page.locator(".drawer > summary").click()
        page.locator(".group > summary").first.click()
        page.get_by_text("Delete …").click()
        found += complaints(page)
    assert found == []


@each_theme
def test_the_sheet_of_uploads(images: None, browser: Browser, serve: Serve, theme: Any) -> None:
    with serve() as address, browser.new_context(color_scheme=theme) as context:
        page = context.new_page()
        page.goto(address)
        page.get_by_role("button", name="Upload").click()
        page.locator("#files").set_input_files({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"words"})
        expect(page.locator(".upload .failure")).to_be_visible()
        assert complaints(page) == []


@each_theme
def test_an_empty_start(browser: Browser, serve: Serve, theme: Any) -> None:
    with serve() as address, browser.new_context(color_scheme=theme) as context:
        page = context.new_page()
        found = []
        for path in ("/", "/activity/"):
            page.goto(address + path)
            found += complaints(page)
    assert found == []


@each_theme
def test_signing_in(workspace: Workspace, browser: Browser, serve: Serve, theme: Any, application: Flask) -> None:
    opening.install(application, lambda: guarded_by(workspace))
    with serve() as address, browser.new_context(color_scheme=theme) as context:
        page = context.new_page()
        page.goto(address)
        found = complaints(page)
        page.get_by_label("Password").fill("a wrong one")
        page.keyboard.press("Enter")
        expect(page.get_by_text("That password is not right.")).to_be_visible()
        found += complaints(page)
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(sign_out(page)).to_be_visible()
        found += complaints(page)
    assert found == []


def test_what_is_wrong_is_found(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content("<title>x</title><main><h1>x</h1><img src='x'><p style='color: #aaa; background: #fff'>pale</p></main>")
    found = complaints(page)
    page.close()
    assert {each.partition(":")[0] for each in found} >= {"image-alt", "color-contrast", "html-has-lang"}
