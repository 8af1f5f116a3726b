"""What a look at the pages found wrong: nothing cut, crooked or in the way, on a desk and on a phone."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, FloatRect, Locator, Page, expect

from lambdazoom.model.records import Caption, Outcome, Receipt, Step
from lambdazoom.publishing import catalog
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.web import opening
from tests.zappa_function import PASSWORD

from .browsing import DEVICES, drop, each_device, sign_out, wait_for_view
from .conftest import Publish, Serve
from .guarding import guarded_by
from .records import FAILED, NOW, record, tiling

IGNORED = Step(Outcome.IGNORED, "a-name-that-is-somewhat-longer.txt is no image, by name or by content, and is passed over.")
SLOW = 1500  # milliseconds until a movement is over


def box(place: Locator) -> FloatRect:
    found = place.bounding_box()
    assert found
    return found


def middle(place: Locator) -> float:
    return box(place)["y"] + box(place)["height"] / 2


@each_device
def test_the_words_below_a_tile_are_not_cut_in_a_letter(browser: Browser, serve: Serve, workspace: Workspace, device: str) -> None:
    record("notes.txt", workspace, tiles=IGNORED)
    with serve() as address, browser.new_context(**DEVICES[device]) as context:
        page = context.new_page()
        page.goto(f"{address}/?show=ignored")
        line = page.locator(".card-line")
        is_cut = line.evaluate("e => e.scrollWidth > e.clientWidth && getComputedStyle(e).textOverflow !== 'ellipsis'")
        assert not is_cut
        assert box(line)["height"] <= 40


@each_device
def test_a_name_is_read_out_whole_though_its_halves_may_be_cut(browser: Browser, serve: Serve, publish: Publish, device: str) -> None:
    publish("a-photo-of-the-harbour-0815.jpg")
    with serve() as address, browser.new_context(**DEVICES[device]) as context:
        page = context.new_page()
        page.goto(address)
        expect(page.locator(".card-link")).to_have_accessible_name("a-photo-of-the-harbour-0815.jpg")


@pytest.mark.parametrize("letter", ["a", "\u05d0", "\u0633"])
def test_a_long_name_keeps_its_beginning_whichever_way_it_runs(browser: Browser, serve: Serve, workspace: Workspace, letter: str) -> None:
    record(f"{letter * 90} 0001.jpg", workspace, tiles=FAILED)
    with serve() as address, browser.new_context(**DEVICES["phone"]) as context:
        page = context.new_page()
        page.goto(address)
        beginning = page.locator(".card-title .first").evaluate(
            """first => {
              const letter = document.createRange();
              letter.setStart(first.firstChild, 0);
              letter.setEnd(first.firstChild, 1);
              const [here, all] = [letter.getBoundingClientRect(), first.getBoundingClientRect()];
              return here.left >= all.left - 1 && here.right <= all.right + 1;
            }"""
        )
        assert beginning


@pytest.mark.parametrize(("width", "height"), [(3, 2), (4, 3), (16, 9), (2, 3)])
def test_pictures_of_one_form_fill_their_lines(browser: Browser, serve: Serve, workspace: Workspace, width: int, height: int) -> None:
    for number in range(24):
        record(f"{number:02}.jpg", workspace, tiles=FAILED, width=width * 100, height=height * 100)
    with serve() as address, browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        for window in range(640, 1400, 20):
            page.set_viewport_size({"width": window, "height": 800})
            grid = box(page.locator(".grid"))
            ends: dict[float, float] = {}
            for card in page.locator(".card").evaluate_all("all => all.map(each => each.getBoundingClientRect().toJSON())"):
                ends[card["top"]] = max(card["right"], ends.get(card["top"], 0))
            full = [ends[top] for top in sorted(ends)][:-1]
            assert full == pytest.approx([grid["x"] + grid["width"]] * len(full), abs=1), window


@each_device
def test_the_footers_words_stand_on_one_line(browser: Browser, serve: Serve, workspace: Workspace, device: str) -> None:
    with serve() as address, browser.new_context(**DEVICES[device]) as context:
        page = context.new_page()
        page.goto(f"{address}/activity/")
        lines = page.locator(".foot > *").evaluate_all(
            """elements => elements.map(each => {
              const words = document.createRange();
              words.selectNodeContents(each);
              return words.getBoundingClientRect().bottom;
            })"""
        )
        assert lines[0] == pytest.approx(lines[1], abs=1)


@each_device
def test_the_bar_of_trouble_keeps_icon_and_words_together(browser: Browser, serve: Serve, publish: Publish, device: str) -> None:
    publish("cat.jpg", 600, 400)
    with serve() as address, browser.new_context(**DEVICES[device]) as context:
        page = context.new_page()
        page.route(re.compile("_files/10/"), lambda route: route.fulfill(status=502, body=f"S3 refused to read it{', alas' * 20}.\n"))
        page.goto(f"{address}/image/cat.jpg")
        expect(page.locator("#trouble")).to_be_visible()
        words = box(page.locator("#trouble-words"))
        assert words["x"] > box(page.locator("#trouble .icon"))["x"] + 16
        assert middle(page.locator("#trouble .icon")) < words["y"] + words["height"]
        assert middle(page.locator("#trouble .icon")) > words["y"]
        again = box(page.get_by_role("button", name="Try again"))
        assert again["x"] + again["width"] <= DEVICES[device]["viewport"]["width"]


def test_the_navigator_shows_the_way_only_when_there_is_one(browser: Browser, serve: Serve, publish: Publish) -> None:
    publish("cat.jpg", 2400, 1600)
    with serve() as address, browser.new_context(viewport={"width": 1000, "height": 700}) as context:
        page = context.new_page()
        page.goto(f"{address}/image/cat.jpg")
        wait_for_view(page)
        expect(page.locator(".navigator")).to_be_hidden()
        page.get_by_role("button", name="Zoom in").click()
        page.wait_for_timeout(SLOW)
        expect(page.locator(".navigator")).to_be_visible()
        page.get_by_role("button", name="Show the whole image").click()
        page.wait_for_timeout(SLOW)
        expect(page.locator(".navigator")).to_be_hidden()


def test_short_defaults_are_not_broken(browser: Browser, serve: Serve, workspace: Workspace) -> None:
    with serve() as address, browser.new_context(**DEVICES["desk"]) as context:
        page = context.new_page()
        page.goto(f"{address}/info/")
        cell = page.locator("tr", has=page.get_by_text("LAMBDAZOOM_METADATA", exact=True)).locator('[data-name="Default"] code')
        assert box(cell)["height"] < 24


def test_the_empty_pages_button_opens_the_picker_at_once(browser: Browser, serve: Serve, workspace: Workspace) -> None:
    with serve() as address, browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        with page.expect_file_chooser():
            page.get_by_role("button", name="Choose files").click()


@each_device
def test_only_who_can_drop_is_told_of_dropping(browser: Browser, serve: Serve, workspace: Workspace, device: str) -> None:
    with serve() as address, browser.new_context(**DEVICES[device]) as context:
        page = context.new_page()
        page.goto(f"{address}/activity/")
        page.get_by_role("button", name="Upload", exact=True).click()
        expect(page.get_by_text("Drop images here, or paste one")).to_be_visible(visible=device == "desk")


def test_what_failed_was_tried_and_not_made(client: FlaskClient, workspace: Workspace, publish: Publish) -> None:
    record("scan.tif", workspace, tiles=FAILED, metadata=FAILED, finished_at=datetime.now(UTC), seconds=1.5)
    publish("cat.jpg")
    page = client.get("/image/scan.tif").text
    assert "<dt>Tried at</dt>" in page
    assert "<dt>Tried for</dt>" in page
    assert "<dt>Made at</dt>" in client.get("/image/cat.jpg").text


def test_what_is_in_progress_says_for_how_long_the_run_has_been_at_it(client: FlaskClient, workspace: Workspace) -> None:
    now = datetime.now(UTC)
    for key, seconds in (("new.jpg", 0), ("busy.jpg", 75)):
        record(key, workspace, **tiling(64), seen_at=now - timedelta(days=9), started_at=now - timedelta(seconds=seconds))
    page = client.get("/activity/").text
    assert "just now</time>" not in page.partition("In progress")[2]
    assert re.search(r">[0-3] s</time>", page)
    assert ">1 min</time>" in page


@pytest.mark.parametrize("path", ["/image/cat.jpg", "/info/"])
def test_files_may_be_dropped_anywhere(browser: Browser, serve: Serve, publish: Publish, tmp_path_factory: Any, path: str) -> None:
    publish("cat.jpg")
    files = tmp_path_factory.mktemp("disk")
    (files / "notes.txt").write_text("words")
    with serve() as address:
        page: Page = browser.new_page()
        page.goto(address + path)
        drop(page, files)
        expect(page.get_by_role("dialog")).to_be_visible()
        expect(page.locator(".upload")).to_contain_text("Its name does not end as an image's does.")
        page.close()


def covers(place: Locator) -> bool:
    """Whether the place itself is what one sees at its middle."""
    return bool(
        place.evaluate(
            """each => {
              const { x, y, width, height } = each.getBoundingClientRect();
              return each.contains(document.elementFromPoint(x + width / 2, y + height / 2));
            }"""
        )
    )


@each_device
def test_the_notice_of_an_older_version_stands_above_the_picture(
    browser: Browser, serve: Serve, publish: Publish, workspace: Workspace, device: str
) -> None:
    publish("cat.jpg", 600, 400)
    record("cat.jpg", workspace, tiles=FAILED, metadata=FAILED)
    with serve() as address, browser.new_context(**DEVICES[device]) as context:
        page = context.new_page()
        page.goto(f"{address}/image/cat.jpg")
        wait_for_view(page)
        notice = page.get_by_text("The newer version can't be shown.")
        expect(notice).to_be_visible()
        assert covers(notice)


@each_device
def test_in_full_screen_the_details_begin_below_their_button(browser: Browser, serve: Serve, publish: Publish, device: str) -> None:
    publish("cat.jpg", 600, 400)
    with serve() as address, browser.new_context(**DEVICES[device]) as context:
        page = context.new_page()
        page.goto(f"{address}/image/cat.jpg")
        wait_for_view(page)
        page.locator(".drawer > summary").click()
        page.get_by_role("button", name="Full screen").click()
        page.wait_for_function("document.fullscreenElement")
        button = box(page.locator(".drawer > summary"))
        assert box(page.locator(".drawer .facts").first)["y"] >= button["y"] + button["height"]


@each_device
def test_the_pill_covers_none_of_the_viewers_buttons(browser: Browser, serve: Serve, publish: Publish, device: str) -> None:
    publish("cat.jpg", 600, 400)
    with serve() as address, browser.new_context(**DEVICES[device]) as context:
        page = context.new_page()
        page.goto(f"{address}/image/cat.jpg")
        wait_for_view(page)
        page.locator("#pill").evaluate("pill => { pill.hidden = false; pill.lastChild.textContent = '3 of 12'; }")
        for name in ("Zoom in", "Full screen", "Rotate"):
            assert covers(page.get_by_role("button", name=name)), name
        for name in ("Previous image", "Next image", "Back to the images"):
            assert covers(page.get_by_role("link", name=name)), name
        assert covers(page.locator("#pill"))


def test_a_line_that_breaks_begins_with_a_word(browser: Browser, serve: Serve, publish: Publish, workspace: Workspace) -> None:
    publish("cat.jpg")
    for number in range(7):
        record(f"busy{number}.jpg", workspace, **tiling(64))
        record(f"scan{number}.tif", workspace, tiles=FAILED, metadata=FAILED)
        record(f"notes{number}.txt", workspace, tiles=IGNORED)
    with serve() as address, browser.new_context(**DEVICES["phone"]) as context:
        page = context.new_page()
        page.goto(address)
        tallies, dots = page.locator(".tally"), page.locator(".dot")
        for width in range(300, 391, 4):
            page.set_viewport_size({"width": width, "height": 800})
            for tally, dot in zip(tallies.all(), dots.all(), strict=False):
                assert middle(dot) == pytest.approx(middle(tally), abs=2), width


@each_device
def test_who_is_signed_in_sees_an_upright_bar_and_can_sign_out(
    browser: Browser, serve: Serve, workspace: Workspace, application: Flask, device: str
) -> None:
    opening.install(application, lambda: guarded_by(workspace))
    with serve() as address, browser.new_context(**DEVICES[device]) as context:
        page = context.new_page()
        page.goto(address)
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        upload = page.get_by_role("button", name="Upload", exact=True)
        assert upload.evaluate("button => button.scrollWidth <= button.clientWidth")
        icon = box(upload.locator(".icon"))
        assert icon["x"] >= box(upload)["x"] + 8
        sign_out(page).click()
        expect(page.get_by_label("Password")).to_be_visible()


def test_no_window_is_too_narrow_for_who_is_signed_in(
    browser: Browser, serve: Serve, publish: Publish, workspace: Workspace, application: Flask
) -> None:
    made = publish("cat.jpg")
    receipt, finished_at = Receipt(dollars=0.012), NOW - timedelta(days=9)
    large = replace(made, width=12_000, height=8_400, seconds=75.2, receipt=receipt, finished_at=finished_at)
    catalog.save(large, catalog.find_kept(made.image, workspace.metadata), workspace.metadata)
    opening.install(application, lambda: guarded_by(workspace))
    with serve() as address, browser.new_context(viewport=DEVICES["desk"]["viewport"]) as context:
        page = context.new_page()
        page.goto(address)
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        upload = page.get_by_role("button", name="Upload", exact=True)
        expect(upload).to_be_visible()
        for path in ("/", "/?q=cat", "/activity/", "/info/"):
            page.goto(address + path)
            for width in (320, 360, 390, 639, 640, 700, 759, 760, 872, 899, 900):
                page.set_viewport_size({"width": width, "height": 800})
                assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)
                assert upload.evaluate("button => button.scrollWidth <= button.clientWidth"), (path, width)
                assert box(upload)["x"] + box(upload)["width"] <= width
                assert box(sign_out(page))["x"] + box(sign_out(page))["width"] <= width
                assert not 48 < box(page.locator(".search .field"))["width"] < 96, width
        for path, width in (("/image/cat.jpg", 640), ("/image/none.jpg", 320)):
            page.set_viewport_size({"width": width, "height": 800})
            page.goto(address + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            assert covers(sign_out(page)), path


def test_a_captions_lines_stay_lines(browser: Browser, serve: Serve, publish: Publish, workspace: Workspace) -> None:
    made = publish("cat.jpg")
    said = replace(made, caption=Caption("A cat", description="It sleeps.\nIt wakes."))
    catalog.save(said, catalog.find_kept(made.image, workspace.metadata), workspace.metadata)
    with serve() as address, browser.new_context(**DEVICES["desk"]) as context:
        page = context.new_page()
        page.goto(f"{address}/image/cat.jpg")
        page.locator(".drawer > summary").click()
        assert box(page.get_by_text("It sleeps."))["height"] == 2 * 24


def test_what_stalls_needs_attention_and_offers_a_retry(client: FlaskClient, workspace: Workspace) -> None:
    record("dead.jpg", workspace, **{**tiling(64), "heartbeat_at": datetime.now(UTC) - timedelta(minutes=5)})
    page = client.get("/activity/").text
    assert re.findall(r"<h2 id=\"[a-z]+\">([^<]+)", page) == ["Needs attention"]
    assert "probably out of memory. Retry; if it stalls again, raise memory_size." in page
    assert 'aria-label="Retry dead.jpg"' in page
