"""Makes docs/screens anew: four pages, each on a desk, on a phone and in the dark. No test; run it after the pages have changed:

    .venv-dev/bin/python -m tests.web.screens

Where the Inter font is installed it stands for the system's, so that the pages look as they do on most people's machines.
"""

import os
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, Route, sync_playwright

from lambdazoom.model.keys import ImageKey, SourceVersion
from lambdazoom.model.prices import Requests
from lambdazoom.model.records import ImageRecord, Progress
from lambdazoom.model.settings import Settings
from lambdazoom.publishing import catalog
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace, open_workspace
from lambdazoom.web.application import create_app
from samples.draw import described
from tests.conftest import CHROMIUM_ARGUMENTS, environment_for

from .browsing import served
from .drawings import PICTURES

SCREENS = Path(__file__).parents[2] / "docs" / "screens"
MOST_BYTES = 150_000
DEVICES: dict[str, dict[str, Any]] = {
    "desk": {"viewport": {"width": 1280, "height": 800}},
    "phone": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True},
    "dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
}
FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><include>/etc/fonts/fonts.conf</include>
<match target="pattern"><test name="family" compare="contains"><string>sans</string></test>
<edit name="family" mode="prepend" binding="strong"><string>Inter</string></edit></match></fontconfig>
"""
TILING = "sky/the-long-exposure-of-march.tif"
PAID = 0.0000212  # dollars for a tile on S3, and the seconds that go with it


def make_screens() -> None:
    """Draw the pictures, publish them, and take the twelve screens."""
    with tempfile.TemporaryDirectory() as folder, open_workspace(Settings.from_env(environment_for(Path(folder)))).closing() as workspace:
        publish_pictures(Path(folder) / "source", workspace)
        fonts = Path(folder) / "fonts.conf"
        fonts.write_text(FONTS)
        program = shutil.which(os.environ.get("CHROMIUM", "chromium"))
        environment: dict[str, str | float | bool] = {**os.environ, "FONTCONFIG_FILE": str(fonts)}
        with served(create_app(lambda: workspace)) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=list(CHROMIUM_ARGUMENTS), env=environment)
            for device in DEVICES:
                take(browser, address, device)
            browser.close()


def publish_pictures(source: Path, workspace: Workspace) -> None:
    """A dozen pictures, two that failed, two that are being made."""
    with ProcessPoolExecutor() as pool:
        list(pool.map(draw, PICTURES, [source] * len(PICTURES)))
    whole = (source / "survey/sheet-1205.jpg").read_bytes()
    (source / "survey/sheet-1206.jpg").write_bytes(whole[: len(whole) // 3])
    (source / "notes.jpg").write_text("Just a few words.")
    ordered = [*PICTURES]
    ordered[4:4] = ["survey/sheet-1206.jpg"]
    for age, key in enumerate([*ordered[:9], "notes.jpg", *ordered[9:]]):
        settle(ImageKey(key), workspace)
        make_older(ImageKey(key), timedelta(minutes=7 * age * (age + 1)), workspace)
    now = workspace.now()
    for key, progress in ((TILING, Progress("tiling", 1184, 1850)), ("slides/section-015.tif", Progress("reading"))):
        record = ImageRecord(key, SourceVersion("e", now, 214_000_000), seen_at=now - timedelta(seconds=9), run="r", progress=progress)
        sized = replace(record, width=12_400, height=9_300) if progress.total else record
        catalog.save(replace(sized, heartbeat_at=now + timedelta(hours=1)), None, workspace.metadata)  # alive for as long as this takes


def draw(key: str, source: Path) -> None:
    """One picture into the source, with its title if it has one, else with the resolution of a scan."""
    title, picture = PICTURES[key]
    (source / key).parent.mkdir(parents=True, exist_ok=True)
    if title:
        said = described(title, "Ada Example", "Drawn, not taken: a picture with detail at every depth.", "CC BY 4.0 Ada Example")
        picture().save(source / key, "JPEG", quality=88, xmp=said)
    else:
        picture().save(source / key, "JPEG", quality=88, dpi=(600, 600))


def make_older(image: ImageKey, age: timedelta, workspace: Workspace) -> None:
    """Let the record be of some time ago, and say what it would have cost on AWS."""
    kept = catalog.find_kept(image, workspace.metadata)
    assert kept is not None
    assert kept.record.finished_at is not None
    receipt = kept.record.receipt
    if receipt:
        dollars = PAID * kept.record.tile_count
        receipt = replace(receipt, dollars=dollars, requests=Requests(get=6, head=4, put=kept.record.tile_count + 9))
    older = replace(kept.record, seen_at=kept.record.seen_at - age, finished_at=kept.record.finished_at - age, receipt=receipt)
    catalog.save(older, kept, workspace.metadata)


def take(browser: Browser, address: str, device: str) -> None:
    """The four pages on one device."""
    with browser.new_context(**DEVICES[device]) as context:
        page = context.new_page()
        page.goto(f"{address}/")
        keep(page, f"images-{device}")
        page.goto(f"{address}/activity/")
        keep(page, f"activity-{device}")
        view = {"desk": "#2130,1440,0.62", "phone": "", "dark": ""}[device]
        key = {"desk": "fractals/seahorse-valley.jpg", "phone": "harbour/dusk.jpg", "dark": "survey/sheet-1204.jpg"}[device]
        page.goto(f"{address}/image/{key}{view}")
        if device != "desk":
            page.locator(".drawer > summary").click()
        keep(page, f"image-{device}")
        page.goto(f"{address}/")
        page.get_by_role("button", name="Upload").click()
        upload(page)
        keep(page, f"upload-{device}")


def upload(page: Page) -> None:
    """A few files in the sheet: one that is no image, one that is tiled by now, and two on their way, which is slow."""
    page.route("**/api/uploads", hand_over)
    page.route("**/complete", lambda route: route.fulfill(status=201, json={"name": TILING, "links": {"self": "/complete"}}))
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 300_000}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", slow)
    names = ["scan-0412.tif", "scan-0413.tif", "scan-0414.tif", "notes.txt"]
    page.locator("#files").set_input_files([FilePayload(name=name, mimeType="", buffer=bytes(3_211_040)) for name in names])
    page.wait_for_timeout(2500)


def hand_over(route: Route) -> None:
    """The first file is there at once, the others go their way."""
    if "scan-0412" not in (route.request.post_data or ""):
        route.continue_()
        return
    part = {"number": 1, "offset": 0, "length": 1, "method": "PUT", "url": "/complete", "headers": {}}
    links = {"parts": None, "complete": "/complete", "abort": "/complete"}
    route.fulfill(status=201, json={"part_count": 1, "at_once": 1, "parts": [part], "links": links})


def keep(page: Page, name: str) -> None:
    """Save what is on the screen, no larger than it must be."""
    page.wait_for_timeout(2500)
    with Image.open(BytesIO(page.screenshot())) as shot:
        for quality in (88, 80, 70, 60, 50):
            shot.convert("RGB").save(SCREENS / f"{name}.webp", "WEBP", quality=quality, method=6)
            if (SCREENS / f"{name}.webp").stat().st_size <= MOST_BYTES:
                return


if __name__ == "__main__":
    make_screens()
