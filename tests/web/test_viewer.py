"""Chromium opens the pages: whatever it asks for answers, and it has nothing to complain about."""

import re

import pytest
from playwright.sync_api import Browser, Page, Response, expect

from .conftest import Publish, Serve

TILE = re.compile(r"_files/(\d+)/\d+_\d+\.jpg\?v=")


class Witness:
    """What a page asked for and complained about."""

    def __init__(self, page: Page) -> None:
        self.answers: list[Response] = []
        self.complaints: list[str] = []
        page.on("response", lambda answer: self.answers.append(answer))
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", lambda request: self.complaints.append(f"{request.url} failed"))

    def levels(self) -> set[int]:
        """The levels of the tiles that came."""
        found = (TILE.search(answer.url) for answer in self.answers)
        return {int(match[1]) for match in found if match}


@pytest.mark.parametrize("prefix", ["", "/live"])
def test_from_the_list_to_the_deepest_level(browser: Browser, serve: Serve, publish: Publish, prefix: str) -> None:
    publish("trip/ä ö+&?#.jpg", 3000, 2000)
    with serve(prefix) as address:
        page = browser.new_page(viewport={"width": 1000, "height": 700})
        witness = Witness(page)
        page.goto(f"{address}/")
        page.get_by_role("link", name="trip/ä ö+&?#.jpg").click()
        expect(page.get_by_role("button", name="Zoom in")).to_be_visible()
        for _ in range(6):
            page.get_by_role("button", name="Zoom in").click()
            page.wait_for_timeout(200)
        page.wait_for_load_state("networkidle")
        expect(page.locator("#trouble")).to_be_hidden()
        page.close()
    assert max(witness.levels()) == 12
    assert {answer.status for answer in witness.answers if "/static/" not in answer.url} == {200}
    assert {answer.status for answer in witness.answers} <= {200, 304}  # our own files are asked for again on each page
    assert witness.complaints == []


def test_a_tile_that_does_not_load_is_told_in_a_slim_bar(browser: Browser, serve: Serve, publish: Publish) -> None:
    publish("cat.jpg", 600, 400)
    with serve() as address:
        page = browser.new_page()
        page.route(re.compile("_files/10/"), lambda route: route.fulfill(status=502))
        page.goto(f"{address}/image/cat.jpg")
        expect(page.get_by_text("Some parts did not load.")).to_be_visible()
        page.close()


def test_without_scripts_there_are_thumbnail_facts_and_metadata(browser: Browser, serve: Serve, publish: Publish) -> None:
    publish("cat.jpg", 600, 400)
    with serve() as address:
        page = browser.new_page(java_script_enabled=False)
        page.goto(f"{address}/image/cat.jpg")
        expect(page.get_by_role("img", name="cat.jpg")).to_be_visible()
        expect(page.get_by_role("button", name="Zoom in")).to_be_hidden()
        page.get_by_text("Details").click()
        expect(page.get_by_text("600 × 400")).to_be_visible()
        expect(page.get_by_role("link", name="All metadata as JSON")).to_be_visible()
        page.close()
