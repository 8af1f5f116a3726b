"""Pages that keep themselves up to date, in Chromium: what changes, what stays, what is read out, and what happens without a connection."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import Progress
from lambdazoom.publishing import catalog
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace
from tests.conftest import picture

from .conftest import Publish, Serve
from .records import FAILED, NOW, record, tiling

SOON = 6_000  # milliseconds: a page with something in progress asks every two seconds


def change(key: str, workspace: Workspace, **values: object) -> None:
    kept = catalog.find_kept(ImageKey(key), workspace.metadata)
    assert kept is not None
    catalog.save(replace(kept.record, **values), kept, workspace.metadata)  # type: ignore[arg-type]


def titles(page: Page) -> list[str | None]:
    return [row.get_attribute("data-live") for row in page.locator(".card").all()]


def test_progress_is_shown_in_place_and_a_failure_is_read_out(browser: Browser, serve: Serve, workspace: Workspace) -> None:
    record("busy.jpg", workspace, **tiling(7))
    with serve() as address:
        page = browser.new_page()
        page.goto(address)
        page.locator(".card-link").focus()
        page.evaluate("window.card = document.querySelector('.card')")
        change("busy.jpg", workspace, progress=Progress("tiling", 64, 100), heartbeat_at=datetime.now(UTC))
        expect(page.get_by_text("Tiling 64 %")).to_be_visible(timeout=SOON)
        assert page.evaluate("window.card === document.querySelector('.card') && document.activeElement.className") == "card-link"
        change("busy.jpg", workspace, progress=None, heartbeat_at=None, tiles=FAILED, metadata=FAILED)
        told = page.get_by_role("status").filter(has_text="scan.tif is cut off; 71 % could be read.")
        expect(told).to_have_count(1, timeout=SOON)
        expect(page.locator(".card .failure")).to_be_visible()
        page.close()


def test_what_is_new_comes_to_the_top_and_what_is_gone_goes(browser: Browser, serve: Serve, publish: Publish, workspace: Workspace) -> None:
    publish("one.jpg")
    record("busy.jpg", workspace, **tiling(7), seen_at=NOW - timedelta(hours=1))  # so that the page asks often
    with serve() as address:
        page = browser.new_page()
        page.goto(address)
        assert titles(page) == ["one.jpg", "busy.jpg"]
        publish("two.jpg")
        expect(page.locator(".card")).to_have_count(3, timeout=SOON)
        assert titles(page) == ["two.jpg", "one.jpg", "busy.jpg"]
        (Path(workspace.settings.texts["LAMBDAZOOM_SOURCE"]) / "one.jpg").unlink()
        settle(ImageKey("one.jpg"), workspace)
        expect(page.locator(".card")).to_have_count(2, timeout=SOON)
        assert titles(page) == ["two.jpg", "busy.jpg"]
        page.close()


def test_further_pages_come_by_scrolling_and_stay(browser: Browser, serve: Serve, workspace: Workspace) -> None:
    for number in range(130):
        record(f"{number:03}.jpg", workspace, tiles=FAILED, seen_at=NOW - timedelta(minutes=number))
    record("busy.jpg", workspace, **tiling(7), seen_at=NOW - timedelta(minutes=200))
    with serve() as address:
        page = browser.new_page()
        page.goto(address)
        for _ in range(4):
            page.mouse.wheel(0, 100_000)
            page.wait_for_timeout(500)
        expect(page.locator(".card")).to_have_count(131)
        assert titles(page)[:130] == [f"{number:03}.jpg" for number in range(130)]
        expect(page.get_by_text("Load more")).to_have_count(0)
        change("busy.jpg", workspace, progress=Progress("tiling", 99, 100), heartbeat_at=datetime.now(UTC))
        expect(page.get_by_text("Tiling 99 %")).to_be_visible(timeout=SOON)  # of the third page, too
        expect(page.locator(".card")).to_have_count(131)
        page.close()


def test_a_lost_connection_is_told_and_found_again(browser: Browser, serve: Serve, workspace: Workspace) -> None:
    record("busy.jpg", workspace, **tiling(7))
    with serve() as address, browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        context.set_offline(True)
        expect(page.get_by_text(re.compile(r"^Connection lost\. Showing the state of \d?\d:\d\d.*; trying again\.$"))).to_be_visible(
            timeout=SOON
        )
        assert titles(page) == ["busy.jpg"]
        context.set_offline(False)
        expect(page.get_by_text("Connection lost.")).to_be_hidden(timeout=15_000)


@pytest.mark.parametrize("path", ["/activity/", "/image/cut.jpg"])
def test_a_retry_that_goes_wrong_or_changes_nothing_is_seen(browser: Browser, serve: Serve, workspace: Workspace, path: str) -> None:
    record("cut.jpg", workspace, tiles=FAILED, metadata=FAILED, finished_at=NOW)
    with serve() as address, browser.new_context() as context:
        page = context.new_page()
        page.goto(address + path)
        held: list[Route] = []
        page.route("**/image/cut.jpg", lambda route: held.append(route) if route.request.method == "POST" else route.continue_())
        button = page.get_by_role("button", name="Retry")
        with page.expect_request(lambda request: request.method == "POST"):
            button.click()
        expect(button).to_be_disabled()
        held.pop().abort()
        expect(page.get_by_text("That did not work. Try again.")).to_have_css("clip-path", "none")
        expect(button).to_be_enabled()
        with page.expect_request(lambda request: request.method == "POST"):
            button.click()
        expect(button).to_be_disabled()
        change("cut.jpg", workspace, finished_at=NOW + timedelta(minutes=1))
        held.pop().fulfill(status=204)
        expect(page.get_by_text("Tried again: scan.tif is cut off; 71 % could be read.")).to_have_css("clip-path", "none")


def test_who_retries_by_keyboard_keeps_a_place_on_the_page(browser: Browser, serve: Serve, workspace: Workspace) -> None:
    names = ("one.jpg", "two.jpg", "three.jpg")
    for name in names:
        record(name, workspace, tiles=FAILED, metadata=FAILED)

    def begin(route: Route) -> None:
        """What is asked for is begun at once."""
        if route.request.method == "POST":
            for name in names if route.request.url.endswith("/activity/") else ("two.jpg",):
                record(name, workspace, **tiling(7))
            route.fulfill(status=204)
        else:
            route.fallback()

    with serve() as address, browser.new_context() as context:
        page = context.new_page()
        page.route(re.compile(r"/(activity/|image/two\.jpg)$"), begin)
        page.goto(f"{address}/activity/")
        page.get_by_role("button", name="Retry two.jpg").press("Enter")
        expect(page.get_by_role("link", name="two.jpg")).to_be_focused()
        page.get_by_role("button", name="Retry all 2").press("Enter")
        heading = page.get_by_role("heading", name="In progress")
        expect(heading).to_be_focused()
        change("two.jpg", workspace, progress=Progress("tiling", 50, 100))
        page.evaluate("() => { document.dispatchEvent(new Event('visibilitychange')); }")
        expect(page.get_by_text("Tiling 50 %")).to_be_visible(timeout=SOON)
        expect(heading).to_be_focused()


def test_copying_that_is_not_allowed_is_told(browser: Browser, serve: Serve, publish: Publish) -> None:
    publish("cat.jpg")
    with serve() as address, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{address}/image/cat.jpg")
        page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
        page.locator(".drawer > summary").click()
        page.get_by_label("Filter tags").fill("mimetype")
        page.get_by_role("button", name="Copy MIMEType").click()
        expect(page.get_by_text("The browser did not allow copying.")).to_have_css("clip-path", "none")


def test_when_the_page_was_updated_is_told_to_the_second(browser: Browser, serve: Serve, workspace: Workspace) -> None:
    with serve() as address, browser.new_context() as context:
        page = context.new_page()
        page.route("**/activity/", lambda route: route.fulfill(body=re.sub(r'datetime="[^"]+" title="[^"]+"', "", route.fetch().text())))
        page.goto(f"{address}/activity/")
        updated = page.locator("[data-updated] time")
        expect(updated).to_have_attribute("title", re.compile(r"^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC$"))
        expect(updated).to_have_attribute("datetime", re.compile(r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$"))


def test_a_hidden_tab_rests(browser: Browser, serve: Serve, workspace: Workspace) -> None:
    record("busy.jpg", workspace, **tiling(7))
    with serve() as address, browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        asked: list[str] = []
        # the icon comes when the browser finds the time
        page.on("request", lambda request: None if "/static/" in request.url else asked.append(request.url))
        page.evaluate(
            """() => {
              Object.defineProperty(document, "hidden", { value: true, configurable: true });
              document.dispatchEvent(new Event("visibilitychange"));
            }"""
        )
        page.wait_for_timeout(4000)
        assert asked == []
        page.evaluate(
            """() => {
              Object.defineProperty(document, "hidden", { value: false, configurable: true });
              document.dispatchEvent(new Event("visibilitychange"));
            }"""
        )
        page.wait_for_timeout(500)
        assert asked


def test_an_image_opens_by_itself_when_it_is_ready(browser: Browser, serve: Serve, workspace: Workspace) -> None:
    path = Path(workspace.settings.texts["LAMBDAZOOM_SOURCE"]) / "cat.jpg"
    picture(300, 200).save(path)
    record("cat.jpg", workspace, **tiling(7))
    with serve() as address:
        page = browser.new_page()
        page.goto(f"{address}/image/cat.jpg")
        expect(page.get_by_text("Tiling 7 %")).to_be_visible()
        change("cat.jpg", workspace, progress=Progress("tiling", 50, 100), heartbeat_at=datetime.now(UTC))
        expect(page.get_by_text(re.compile(r"Ready in about \d+ s"))).to_be_visible(timeout=2 * SOON)
        change("cat.jpg", workspace, progress=None, heartbeat_at=None)
        settle(ImageKey("cat.jpg"), workspace)
        expect(page.get_by_role("button", name="Zoom in")).to_be_visible(timeout=SOON)
        page.close()


def test_an_image_without_a_picture_that_is_deleted_elsewhere_is_gone(browser: Browser, serve: Serve, workspace: Workspace) -> None:
    record("cut.jpg", workspace, tiles=FAILED, metadata=FAILED)
    with serve() as address:
        page = browser.new_page()
        page.goto(f"{address}/image/cut.jpg")
        expect(page.locator(".waiting-words")).to_have_text("scan.tif is cut off; 71 % could be read.")
        settle(ImageKey("cut.jpg"), workspace)  # there is no such original
        expect(page.get_by_text("There is no image cut.jpg.")).to_be_visible(timeout=3 * SOON)
        page.close()


def test_reprocess_makes_another_generation_and_offers_it(browser: Browser, serve: Serve, publish: Publish, workspace: Workspace) -> None:
    before = publish("cat.jpg", 300, 200)
    with serve() as address:
        page = browser.new_page()
        page.goto(f"{address}/image/cat.jpg")
        page.get_by_text("Details", exact=True).click()
        page.get_by_role("button", name="Reprocess").click()
        page.wait_for_url("**/image/cat.jpg*")
        expect(page.get_by_role("button", name="Zoom in")).to_be_visible()  # it stays on show, whichever it is by now
        newer = page.get_by_role("link", name="Show it")
        if page.locator("#stage").get_attribute("data-generation") == before.generation:
            newer.click(timeout=2 * SOON)
        record = catalog.find(ImageKey("cat.jpg"), workspace.metadata)
        assert record is not None
        assert (record.generation != before.generation, record.recipe, record.complaints) == (True, before.recipe, ())
        expect(page.locator("#stage")).to_have_attribute("data-generation", record.generation)
        expect(page.get_by_text("made anew")).to_have_count(0)
        page.close()


def test_a_newer_version_is_offered_and_not_forced(browser: Browser, serve: Serve, publish: Publish, workspace: Workspace) -> None:
    before = publish("cat.jpg", 300, 200)
    with serve() as address:
        page = browser.new_page()
        change("cat.jpg", workspace, **tiling(7))  # the page asks as long as something is done
        page.goto(f"{address}/image/cat.jpg")
        expect(page.locator("#stage")).to_have_attribute("data-generation", before.generation)
        change("cat.jpg", workspace, progress=None, heartbeat_at=None)
        after = publish("cat.jpg", 320, 200)
        page.get_by_role("link", name="Show it").click(timeout=SOON)
        expect(page.locator("#stage")).to_have_attribute("data-generation", after.generation)
        page.close()
