"""Chromium opens the pages: whatever it asks for answers, and it has nothing to complain about."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageChops
from playwright.sync_api import Browser, FilePayload, Page, Route, expect

from lambdazoom.model.keys import ImageKey
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace
from tests.conftest import picture

from .browsing import Witness, wait_for_view
from .conftest import Publish, Serve


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


@pytest.fixture
def viewer(browser: Browser, serve: Serve, publish: Publish) -> Iterator[Page]:
    """The page of an image of 3,000 × 2,000 pixels, opened, a second image beside it."""
    publish("dog.jpg")
    publish("trip/cat.jpg", 3000, 2000)
    with serve() as address, browser.new_context(viewport={"width": 1000, "height": 700}) as context:
        page = context.new_page()
        page.goto(f"{address}/image/trip/cat.jpg")
        wait_for_view(page)
        yield page


def address_of_view(page: Page) -> list[float]:
    return [float(number) for number in page.url.partition("#")[2].split(",")]


def test_a_tile_that_does_not_load_is_told_with_its_reason_and_tried_again(browser: Browser, serve: Serve, publish: Publish) -> None:
    publish("cat.jpg", 600, 400)
    with serve() as address:
        page = browser.new_page()
        page.route(re.compile("_files/10/"), lambda route: route.fulfill(status=502, body="S3 refused to read it. Reference: 12ab\n"))
        page.goto(f"{address}/image/cat.jpg")
        expect(page.get_by_text("Some parts did not load (502: S3 refused to read it. Reference: 12ab).")).to_be_visible()
        expect(page.get_by_role("link", name="Details")).to_have_attribute("href", re.compile(r"/cat\.jpg_files/10/\d_\d\.jpg\?v="))
        page.unroute(re.compile("_files/10/"))
        with page.expect_response(re.compile("_files/10/")) as answer:
            page.get_by_role("button", name="Try again").click()
        assert answer.value.status == 200
        page.wait_for_load_state("networkidle")
        expect(page.get_by_text("Some parts did not load")).to_be_hidden()
        page.close()


def test_who_is_signed_out_meanwhile_is_told(browser: Browser, serve: Serve, publish: Publish) -> None:
    publish("cat.jpg", 600, 400)
    with serve() as address:
        page = browser.new_page()
        page.route(re.compile("_files/10/"), lambda route: route.fulfill(status=401))
        page.goto(f"{address}/image/cat.jpg")
        expect(page.get_by_text("you are signed out; load the page again to sign in")).to_be_visible()
        page.close()


def test_the_address_follows_the_view_and_leads_back_to_it(viewer: Page) -> None:
    assert "#" not in viewer.url
    for _ in range(3):
        viewer.get_by_role("button", name="Zoom in").click()
    viewer.wait_for_timeout(1500)
    expected = [pytest.approx(1500, abs=3), pytest.approx(1000, abs=3), pytest.approx(2, rel=0.02)]  # as deep as it goes
    assert address_of_view(viewer) == expected
    viewer.goto(viewer.url.partition("#")[0] + "#2000,700,1")
    viewer.reload()
    wait_for_view(viewer)
    viewer.get_by_role("button", name="Rotate").click()
    viewer.wait_for_timeout(1500)
    assert address_of_view(viewer) == [pytest.approx(2000, abs=2), pytest.approx(700, abs=2), pytest.approx(1, rel=0.01)]


def test_the_whole_image_has_no_view_in_its_address_and_stays_whole(viewer: Page) -> None:
    address = viewer.url
    viewer.emulate_media(reduced_motion="reduce")  # saves time
    viewer.reload()
    expect(viewer.locator(".viewer.whole")).to_be_visible()
    viewer.keyboard.press("+")
    expect(viewer).to_have_url(re.compile("#1500,1000,"))
    viewer.keyboard.press("0")
    expect(viewer).to_have_url(address)
    viewer.mouse.move(400, 400)
    viewer.mouse.down()
    viewer.mouse.move(500, 400, steps=4)
    viewer.mouse.up()
    expect(viewer).to_have_url(re.compile(r"#1\d\d\d,1000,"))
    viewer.get_by_role("button", name="Show the whole image").click()
    expect(viewer).to_have_url(address)
    viewer.set_viewport_size({"width": 500, "height": 800})  # a phone is turned
    expect(viewer.locator(".openseadragon-canvas canvas").first).to_have_attribute("width", "500")
    for name, expected in (("Zoom in", re.compile("#1500,1000,")), ("Zoom out", address)):
        viewer.get_by_role("button", name=name).click()
        expect(viewer).to_have_url(expected)


def test_a_senseless_address_shows_the_image(viewer: Page) -> None:
    address = viewer.url
    for end in ("#javascript:alert(1)", "#1,2", "#1e9,1e9,1e9", "#,,", "#-99999,5,0", "#5,5,9999"):
        viewer.goto("about:blank")
        witness = Witness(viewer)
        viewer.goto(address + end)
        wait_for_view(viewer)
        assert witness.levels(), end
        assert witness.complaints == [], end


def test_arrow_keys_turn_to_the_other_images_and_move_a_view_that_is_zoomed(viewer: Page) -> None:
    for _ in range(2):
        viewer.keyboard.press("+")
    viewer.wait_for_timeout(1500)
    before = address_of_view(viewer)
    viewer.keyboard.press("ArrowRight")
    viewer.wait_for_timeout(1500)
    assert address_of_view(viewer)[0] > before[0] + 50
    viewer.keyboard.press("0")
    viewer.wait_for_timeout(1500)
    viewer.keyboard.press("ArrowRight")
    expect(viewer).to_have_url(re.compile("/image/dog.jpg$"))
    wait_for_view(viewer)
    viewer.keyboard.press("ArrowRight")  # round the end
    expect(viewer).to_have_url(re.compile("/image/trip/cat.jpg$"))
    wait_for_view(viewer)
    viewer.keyboard.press("ArrowLeft")
    expect(viewer).to_have_url(re.compile("/image/dog.jpg$"))


def test_the_ring_of_the_focus_is_the_keyboards_alone(browser: Browser, serve: Serve, publish: Publish) -> None:
    publish("cat.jpg", 600, 400)
    with serve() as address, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{address}/image/cat.jpg")
        canvas = page.get_by_role("application")
        page.mouse.move(400, 400)
        page.mouse.down()
        page.mouse.move(500, 400, steps=4)
        page.mouse.up()
        expect(canvas).to_be_focused()
        expect(canvas).to_have_css("outline-style", "none")
        page.keyboard.press("Tab")
        page.keyboard.press("Shift+Tab")
        expect(canvas).to_be_focused()
        expect(canvas).to_have_css("outline-style", "solid")


def test_the_address_holds_the_view_of_a_very_large_image(browser: Browser, serve: Serve, publish: Publish) -> None:
    publish("cat.jpg", 600, 400)
    size = b'<Size Width="9000000" Height="6000000"/>'
    with serve() as address, browser.new_context(reduced_motion="reduce") as context:
        page = context.new_page()
        page.route("**/cat.jpg.dzi?*", lambda route: route.fulfill(body=re.sub(rb"<Size.*?/>", size, route.fetch().body())))
        page.route("**/cat.jpg_files/**", lambda route: route.fulfill(status=404, body=""))
        page.goto(f"{address}/image/cat.jpg")
        expect(page.locator(".viewer.whole")).to_be_visible()
        page.get_by_role("button", name="Zoom in").click()
        expect(page).to_have_url(re.compile(r"#4500000,3000000,0\.000\d{4}$"))
        with page.expect_request("**/cat.jpg_files/**"):
            page.reload()
        page.get_by_role("button", name="Zoom out").click()
        expect(page).to_have_url(re.compile("/cat.jpg$"))


PREVENTED = """(place) => ["r", "f", "0", "+", "ArrowRight"].filter((key) =>
  !place.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true })))"""


def test_the_viewers_keys_rest_below_the_sheet_of_uploads(browser: Browser, serve: Serve, publish: Publish) -> None:
    publish("cat.jpg", 600, 400)
    with serve() as address, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{address}/image/cat.jpg")
        page.locator(".drawer > summary").click()
        page.locator("#files").set_input_files([FilePayload(name="notes.txt", mimeType="", buffer=b"words")])
        expect(page.get_by_role("dialog")).to_be_visible()
        assert page.get_by_role("dialog").evaluate(PREVENTED) == []
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        expect(page.locator(".drawer")).to_have_attribute("open", "")
        page.keyboard.press("Escape")
        expect(page.locator(".drawer")).not_to_have_attribute("open", "")


def test_what_is_in_view_is_saved_at_full_resolution(viewer: Page, tmp_path: Path) -> None:
    viewer.goto(viewer.url + "#2000,1200,1")
    viewer.reload()
    wait_for_view(viewer)
    viewer.locator(".menu > summary").click()
    with viewer.expect_download() as download:
        viewer.get_by_role("button", name="What is in view").click()
    found = re.fullmatch(r"cat (\d+),(\d+),(\d+),(\d+)\.jpg", download.value.suggested_filename)
    assert found
    left, top, width, height = map(int, found.groups())
    download.value.save_as(tmp_path / "crop.jpg")
    with Image.open(tmp_path / "crop.jpg") as crop:
        assert max(abs(crop.width - width), abs(crop.height - height)) <= 1
        truth = picture(3000, 2000).crop((left, top, left + crop.width, top + crop.height))
        difference = ImageChops.difference(crop, truth).convert("L").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    assert isinstance(difference, int)
    assert difference < 6
    assert [width, height] == [pytest.approx(1000, abs=2), pytest.approx(644, abs=2)]


def test_the_scale_is_shown_where_the_file_knows_it(browser: Browser, serve: Serve, workspace: Workspace) -> None:
    source = Path(workspace.settings.texts["LAMBDAZOOM_SOURCE"])
    picture(1200, 800).save(source / "scan.jpg", dpi=(600, 600))
    picture(1200, 800).save(source / "photo.jpg")
    for key in ("scan.jpg", "photo.jpg"):
        settle(ImageKey(key), workspace)
    with serve() as address:
        page = browser.new_page(viewport={"width": 1200, "height": 856})
        page.goto(f"{address}/image/scan.jpg#600,400,1")
        wait_for_view(page)
        expect(page.locator("#scale")).to_have_text("5 mm")
        line = page.locator(".scale-line").bounding_box()
        assert line
        assert line["width"] == pytest.approx(5 / 25.4 * 600, rel=0.02)  # 600 pixels are an inch
        page.goto(f"{address}/image/photo.jpg")
        wait_for_view(page)
        expect(page.locator("#scale")).to_be_hidden()
        page.close()


def test_tags_are_filtered_and_copied(viewer: Page) -> None:
    viewer.context.grant_permissions(["clipboard-read", "clipboard-write"])
    viewer.locator(".drawer > summary").click()
    counts = viewer.locator(".group > summary > span").all_inner_texts()
    viewer.get_by_label("Filter tags").fill("mimetype nothing")
    expect(viewer.locator("#filtered")).to_have_text("0 tags")
    viewer.get_by_label("Filter tags").fill("mimetype")
    expect(viewer.locator("#filtered")).to_have_text("1 tag")
    expect(viewer.locator(".group:visible")).to_have_count(1)
    expect(viewer.locator(".group:visible > summary > span")).to_have_text("1")
    viewer.get_by_role("button", name="Copy MIMEType").click()
    assert viewer.evaluate("navigator.clipboard.readText()") == "image/jpeg"
    viewer.get_by_label("Filter tags").fill("")
    assert viewer.locator(".group:visible").count() > 1
    assert viewer.locator(".group > summary > span").all_inner_texts() == counts
    viewer.keyboard.press("Escape")
    expect(viewer.locator(".drawer")).not_to_have_attribute("open", "")


def test_the_thumbnail_stands_where_the_picture_will_until_it_comes(browser: Browser, serve: Serve, publish: Publish) -> None:
    publish("cat.jpg", 600, 400)
    with serve() as address, browser.new_context() as context:
        page = context.new_page()
        held: list[Route] = []
        go_on = threading.Event()
        page.route("**/cat.jpg_files/**", lambda route: route.continue_() if go_on.is_set() else held.append(route))
        page.goto(f"{address}/image/cat.jpg", wait_until="domcontentloaded")  # a tile that is held holds up the rest of the loading
        still = page.get_by_role("img", name="cat.jpg")
        expect(page.locator(".viewer.whole")).to_be_visible()
        expect(still).to_be_visible()
        boxes = [place.bounding_box() for place in (still, page.locator(".openseadragon-canvas canvas").first, page.locator("#viewer"))]
        assert boxes == [boxes[0]] * 3
        go_on.set()
        for route in held:
            route.continue_()
        expect(still).to_have_count(0)


def test_without_scripts_there_are_thumbnail_facts_and_metadata(browser: Browser, serve: Serve, publish: Publish) -> None:
    publish("cat.jpg", 600, 400)
    with serve() as address:
        page = browser.new_page(java_script_enabled=False)
        page.goto(f"{address}/image/cat.jpg")
        expect(page.get_by_role("img", name="cat.jpg")).to_be_visible()
        expect(page.get_by_role("button", name="Zoom in")).to_be_hidden()
        page.locator(".drawer > summary").click()
        expect(page.get_by_text("600 × 400")).to_be_visible()
        expect(page.get_by_role("link", name="All metadata as JSON")).to_be_visible()
        page.close()
