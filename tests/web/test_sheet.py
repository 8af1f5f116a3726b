"""The sheet of uploads, in Chromium: what is refused, cancelled, in the way, pasted, and left behind."""

import re
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from flask import Flask
from playwright.sync_api import Browser, Dialog, Locator, Page, Route, expect

from lambdazoom.model import uploads
from lambdazoom.model.settings import Settings
from lambdazoom.operations.policy import source_cors
from lambdazoom.publishing.workspace import Workspace, open_workspace
from lambdazoom.web import opening
from lambdazoom.web.application import create_app
from tests.conftest import picture

from .conftest import Publish, Serve

# the sheet looks two hundred times as often, and the list has none of the images that are asked for by name
HURRIED_AND_UNKNOWN = """
const { fetch, setTimeout } = window; // as they were
window.asked = 0;
window.setTimeout = (work, time, ...rest) => setTimeout(work, work.name === "look" ? time / 200 : time, ...rest);
window.fetch = async (address, ...rest) => {
  if (!String(address).includes("/api/images?name=")) return fetch(address, ...rest);
  window.asked += 1;
  return Response.json({ images: [] });
};"""

PART = re.compile(r"/api/uploads/.*")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    folder = tmp_path / "disk"
    folder.mkdir()
    for name in ("one.jpg", "two.jpg", "three.jpg", "four.jpg"):
        picture(400, 300).save(folder / name)
    return folder


def choose(page: Page, *files: Path) -> None:
    page.locator("#files").set_input_files(list(files))


def row(page: Page, name: str) -> Locator:
    return page.locator(".upload").filter(has=page.get_by_text(name, exact=True))


@pytest.mark.parametrize("prefix", ["", "/live"])
def test_from_the_picker_to_the_image(browser: Browser, serve: Serve, workspace: Workspace, disk: Path, prefix: str) -> None:
    with serve(prefix) as address, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{address}/")
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Upload").click()
            page.get_by_role("dialog").get_by_role("button", name="Choose files").click()
        chooser.value.set_files([disk / "one.jpg", disk / "two.jpg"])
        row(page, "two.jpg").get_by_role("link", name="Open two.jpg").click()
        expect(page.get_by_role("button", name="Zoom in")).to_be_visible()
        assert page.url.startswith(f"{address}/image/two.jpg")


def test_the_keyboard_alone_uploads_opens_and_deletes(browser: Browser, serve: Serve, workspace: Workspace, disk: Path) -> None:
    def press_until(page: Page, wanted: str) -> None:
        """Press Tab until the control of that name has the focus."""
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("(document.activeElement.ariaLabel || document.activeElement.innerText).trim()") == wanted:
                return
        pytest.fail(f"no way to {wanted}")

    with serve() as address, browser.new_context() as context:
        page = context.new_page()
        page.on("filechooser", lambda _: None)  # else the first one would open before anybody listens
        page.goto(address)
        press_until(page, "Upload")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        press_until(page, "Choose files")
        with page.expect_file_chooser() as chooser:
            page.keyboard.press("Enter")
        chooser.value.set_files(disk / "one.jpg")
        expect(row(page, "one.jpg").get_by_role("link")).to_be_visible()
        press_until(page, "Open one.jpg")
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Zoom in")).to_be_visible()
        press_until(page, "Zoom in")
        page.keyboard.press("Enter")
        press_until(page, "Details")
        page.keyboard.press("Enter")
        press_until(page, "Delete …")
        page.keyboard.press("Enter")
        press_until(page, "Delete the original")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Drop an image here, or copy one to")).to_be_visible()


def test_what_can_be_no_image_is_refused_at_the_top_and_costs_nothing(
    browser: Browser, serve: Serve, workspace: Workspace, disk: Path
) -> None:
    (disk / "notes.txt").write_text("w")
    (disk / "empty.png").write_bytes(b"")
    with serve() as address, browser.new_context() as context:
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(f"{request.method} {request.url} {request.post_data or ''}"))
        page.goto(address)
        page.get_by_role("button", name="Upload").click()
        choose(page, disk / "one.jpg", disk / "notes.txt", disk / "empty.png")
        expect(row(page, "one.jpg").get_by_role("link")).to_be_visible()
        names = page.locator(".upload-name > :first-child").all_text_contents()
        assert sorted(names[:2]) == ["empty.png", "notes.txt"]
        expect(row(page, "empty.png")).to_contain_text("It is empty.")
        expect(row(page, "notes.txt").locator(".quiet")).to_have_text("1 byte")
        assert not [each for each in asked if "notes.txt" in each or "empty.png" in each]
        row(page, "notes.txt").get_by_role("button", name="Dismiss notes.txt").click()
        expect(row(page, "notes.txt")).to_have_count(0)


def test_nothing_is_overwritten(browser: Browser, serve: Serve, publish: Publish, workspace: Workspace, disk: Path) -> None:
    publish("one.jpg")
    there = (Path(workspace.settings.texts["LAMBDAZOOM_SOURCE"]) / "one.jpg").read_bytes()
    with serve() as address, browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        page.get_by_role("button", name="Upload").click()
        choose(page, disk / "one.jpg")
        expect(row(page, "one.jpg")).to_contain_text("Rename yours, or delete that one first.")
    assert (Path(workspace.settings.texts["LAMBDAZOOM_SOURCE"]) / "one.jpg").read_bytes() == there


def test_a_cancelled_upload_leaves_nothing(browser: Browser, serve: Serve, workspace: Workspace, disk: Path) -> None:
    with serve() as address, browser.new_context() as context:
        page = context.new_page()
        held: list[Route] = []
        page.route(PART, lambda route: held.append(route) if route.request.method == "PUT" else route.continue_())
        page.goto(address)
        page.get_by_role("button", name="Upload").click()
        choose(page, disk / "one.jpg")
        expect(row(page, "one.jpg")).to_contain_text("Uploading")
        with page.expect_request(lambda request: request.method == "DELETE"):
            row(page, "one.jpg").get_by_role("button", name="Cancel one.jpg").click()
        expect(row(page, "one.jpg")).to_have_count(0)
    assert list(Path(workspace.settings.texts["LAMBDAZOOM_SOURCE"]).glob("*.jpg")) == []


def test_a_closed_sheet_stays_as_a_pill_and_leaving_asks_first(browser: Browser, serve: Serve, workspace: Workspace, disk: Path) -> None:
    with serve() as address, browser.new_context() as context:
        page = context.new_page()
        held: list[Route] = []
        go_on = threading.Event()
        page.route(PART, lambda route: held.append(route) if route.request.method == "PUT" and not go_on.is_set() else route.continue_())
        page.goto(address)
        page.get_by_role("button", name="Upload").click()
        choose(page, *sorted(disk.iterdir()))
        expect(row(page, "four.jpg")).to_contain_text("Uploading")
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="Uploads: 0 of 4")).to_have_text("0 of 4")
        asked: list[str] = []

        def stay(dialog: Dialog) -> None:
            asked.append(dialog.type)
            dialog.dismiss()

        page.on("dialog", stay)
        page.close(run_before_unload=True)
        page.wait_for_timeout(300)
        assert asked == ["beforeunload"]
        page.get_by_role("button", name="Uploads: 0 of 4").click()
        go_on.set()
        for route in held:
            route.continue_()
        for name in ("one", "two", "three", "four"):
            expect(row(page, f"{name}.jpg").get_by_role("link")).to_be_visible()
        page.get_by_role("button", name="Close").click()
        expect(page.locator("#pill")).to_be_hidden()
        expect(page.get_by_text("4 images")).to_be_visible()


def test_what_failed_behind_a_closed_sheet_keeps_its_pill(browser: Browser, serve: Serve, workspace: Workspace, disk: Path) -> None:
    with serve() as address, browser.new_context() as context:
        page = context.new_page()
        held: list[Route] = []
        page.route("**/api/uploads", lambda route: held.append(route))
        page.goto(address)
        page.get_by_role("button", name="Upload").click()
        choose(page, disk / "one.jpg", disk / "two.jpg")
        expect(row(page, "two.jpg")).to_contain_text("Uploading")
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="Uploads: 0 of 2")).to_be_visible()
        for route in held:
            route.fulfill(status=507, json={"error": {"code": "no-room", "message": "No room is left in the source."}})
        pill = page.get_by_role("button", name="Uploads: 2 failed")
        expect(pill).to_have_text("2 failed")
        expect(pill.locator("use")).to_have_attribute("href", re.compile("#attention$"))
        pill.click()
        for name in ("one.jpg", "two.jpg"):
            expect(row(page, name)).to_contain_text("No room is left in the source.")
            page.get_by_role("button", name=f"Dismiss {name}").click()
        page.get_by_role("button", name="Close").click()
        expect(page.locator("#pill")).to_be_hidden()


def test_a_pasted_picture_gets_a_name_of_its_own(browser: Browser, serve: Serve, workspace: Workspace) -> None:
    with serve() as address, browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        page.evaluate(
            """async () => {
              const canvas = new OffscreenCanvas(60, 40);
              canvas.getContext("2d").fillRect(0, 0, 30, 20);
              const carried = new DataTransfer();
              carried.items.add(new File([await canvas.convertToBlob()], "image.png", { type: "image/png" }));
              document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: carried, bubbles: true }));
            }"""
        )
        expect(page.get_by_role("link", name=re.compile(r"^Open pasted-\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d\.png$"))).to_be_visible()


def test_a_part_that_fails_is_sent_again(browser: Browser, serve: Serve, workspace: Workspace, disk: Path) -> None:
    with serve() as address, browser.new_context() as context:
        page = context.new_page()
        failed: list[str] = []

        def fail_once(route: Route) -> None:
            if route.request.method == "PUT" and not failed:
                failed.append(route.request.url)
                route.fulfill(status=503, body="busy")
            else:
                route.continue_()

        page.route(PART, fail_once)
        page.goto(address)
        page.get_by_role("button", name="Upload").click()
        choose(page, disk / "one.jpg")
        expect(row(page, "one.jpg").get_by_role("link")).to_be_visible(timeout=15_000)
        assert failed


def test_a_page_that_is_older_than_the_server_uploads(
    browser: Browser, serve: Serve, application: Flask, workspace: Workspace, disk: Path
) -> None:
    with serve() as address, browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        page.get_by_role("button", name="Upload").click()
        expect(page.locator("#limits")).not_to_be_empty()
        application.extensions["lambdazoom.token"] = "another"
        choose(page, disk / "one.jpg")
        expect(row(page, "one.jpg").get_by_role("link", name="Open one.jpg")).to_be_visible()


def test_what_is_deleted_before_anything_has_looked_at_it_is_waited_for_no_longer(
    browser: Browser, serve: Serve, workspace: Workspace, disk: Path
) -> None:
    with serve() as address, browser.new_context() as context:
        page = context.new_page()
        page.add_init_script(HURRIED_AND_UNKNOWN)
        gone = {"error": {"code": "not-found", "message": "There is no image one.jpg. It may have been deleted or renamed."}}
        page.route("**/api/images/one.jpg", lambda route: route.fulfill(status=404, json=gone))
        page.goto(address)
        page.evaluate("() => Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
        choose(page, disk / "one.jpg")
        expect(row(page, "one.jpg")).to_contain_text("Uploaded, waiting")
        page.wait_for_timeout(100)
        assert page.evaluate("window.asked") == 0
        page.evaluate("() => { delete document.hidden; }")
        expect(row(page, "one.jpg")).to_contain_text("It is no longer in the source.")
        assert page.evaluate("window.asked") == 60
        row(page, "one.jpg").get_by_role("button", name="Dismiss one.jpg").click()


@pytest.mark.parametrize("single", [100 * 2**20, 2**20], ids=["one part", "several"])
def test_on_buckets_the_browser_sends_to_the_bucket_itself(
    browser: Browser,
    serve: Serve,
    application: Flask,
    make_bucket: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    single: int,
) -> None:
    monkeypatch.setattr(uploads, "SINGLE_BYTES", single)
    names = {name: make_bucket(name.lower()) for name in ("SOURCE", "ZOOM", "METADATA")}
    boto3.client("s3").put_bucket_cors(Bucket=names["SOURCE"], CORSConfiguration={"CORSRules": [source_cors()]})  # type: ignore[list-item]
    environment = {f"LAMBDAZOOM_{name}": f"s3://{bucket}" for name, bucket in names.items()} | {"LAMBDAZOOM_MANAGE_SOURCE": "yes"}
    picture(900, 600).save(tmp_path / "one.png")
    with (tmp_path / "one.png").open("ab") as opened:
        # for two parts; what follows a PNG's end is nobody's business, but exiftool takes zeros for chunks, and 7 s to read them
        opened.write(b"\xff" * (17 * 2**20))
    sent: list[str] = []
    with open_workspace(Settings.from_env(environment)).closing() as workspace:
        opening.install(application, lambda: workspace)
        with serve() as address, browser.new_context() as context:
            page = context.new_page()
            page.on("request", lambda request: sent.append(request.url) if request.method == "PUT" else None)
            page.goto(address)
            expect(page.get_by_text(f"aws s3 cp image.tif s3://{names['SOURCE']}/")).to_be_visible()
            page.get_by_role("button", name="Upload").click()
            choose(page, tmp_path / "one.png")
            expect(row(page, "one.png").get_by_role("link", name="Open one.png")).to_be_visible(timeout=20_000)
            page.reload()
            page.get_by_role("button", name="Upload").click()
            choose(page, tmp_path / "one.png")
            expect(row(page, "one.png")).to_contain_text("Rename yours, or delete that one first.")
    assert len(sent) == (1 if single > 17 * 2**20 else 2)
    assert all(names["SOURCE"] in address for address in sent)


def test_without_leave_to_manage_the_source_there_is_no_upload_and_no_deletion(workspace: Workspace, publish: Publish) -> None:
    publish("cat.jpg")
    settled = replace(workspace, settings=replace(workspace.settings, manage_source="no"))
    client = create_app(lambda: settled).test_client()
    for path in ("/", "/image/cat.jpg", "/activity/"):
        page = client.get(path).text
        assert "Upload" not in page
        assert "Delete" not in page
