"""The whole way, in Chromium, against a real `serve` on three empty folders: upload, watch, zoom, fail, mend, retry, delete."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from tests.conftest import environment_for, free_port, picture

from .axe import complaints
from .browsing import DEVICES, TILE, Witness, drop

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT = 9400, 6400  # 60 megapixels
DEVICES_AND_DARK = {**DEVICES, "dark": {**DEVICES["desk"], "color_scheme": "dark", "reduced_motion": "reduce"}}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What somebody has on their disk: a large picture, a small one, one that is cut off, and no picture at all."""
    folder = tmp_path_factory.mktemp("disk")
    picture(WIDTH // 10, HEIGHT // 10).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR).save(folder / "large.jpg", quality=75)
    picture(900, 700).save(folder / "small.jpg", quality=90)
    whole = (folder / "small.jpg").read_bytes()
    (folder / "broken.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.txt").write_text("Just a few words.")
    return folder


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """`python -m lambdazoom serve` on three empty folders; its address."""
    (folder / "source").mkdir()
    port = free_port()
    environment = {"HOME": str(folder), "PATH": os.environ["PATH"], **environment_for(folder)}
    command = [sys.executable, "-m", "lambdazoom", "serve", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        until_it_answers(address)
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def until_it_answers(address: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
            return
        except urllib.error.URLError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize("device", DEVICES_AND_DARK)
def test_the_whole_way(device: str, browser: Browser, tmp_path: Path, files: Path) -> None:
    with served(tmp_path) as address, browser.new_context(**DEVICES_AND_DARK[device]) as context:
        page = context.new_page()
        page.set_default_timeout(15_000)
        witness = Witness(page)
        found: list[str] = []
        page.goto(address)
        expect(page.get_by_text("Drop an image here, or copy one to")).to_be_visible()
        found += complaints(page)

        drop(page, files)
        expect(row(page, "notes.txt")).to_contain_text("Its name does not end as an image's does.")
        expect(row(page, "large.jpg").locator("progress")).to_be_visible()
        found += complaints(page)
        expect(row(page, "large.jpg").get_by_role("link")).to_have_text("Open", timeout=60_000)
        expect(row(page, "broken.jpg")).to_contain_text("broken.jpg is cut off")
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        expect(page.get_by_text("3 images")).to_be_visible()
        expect(page.get_by_text("1 needs attention")).to_be_visible()
        found += complaints(page)

        zoom_to_the_bottom(page, witness)
        found += complaints(page)

        read_mend_and_retry(page, address, tmp_path, files, found)

        page.goto(f"{address}/image/small.jpg")
        page.locator(".drawer > summary").click()
        page.get_by_text("Delete …").click()
        expect(page.locator(".confirm")).to_contain_text("This deletes the original small.jpg from the source")
        found += complaints(page)
        page.get_by_role("button", name="Delete the original").click()
        expect(page.get_by_text("2 images")).to_be_visible()
        expect(page.locator('[data-live="small.jpg"]')).to_have_count(0)
        assert not (tmp_path / "source" / "small.jpg").exists()
        assert sorted(path.name for path in (tmp_path / "source").iterdir()) == ["broken.jpg", "large.jpg"]
        assert page.request.get(f"{address}/image/small.jpg").status == 404  # not by the page: it would complain
        assert found == []
        # a request that a navigation cuts off is nobody's failure
        assert [each for each in witness.complaints if not each.endswith(" failed")] == []


def row(page: Page, name: str) -> Locator:
    return page.locator(".upload").filter(has=page.get_by_text(name, exact=True))


def zoom_to_the_bottom(page: Page, witness: Witness) -> None:
    page.get_by_role("link", name="large.jpg").click()
    for _ in range(12):
        page.get_by_role("button", name="Zoom in").click()
        page.wait_for_timeout(100)
    page.wait_for_load_state("networkidle")
    assert max(witness.levels()) == 14
    assert {answer.status for answer in witness.answers if TILE.search(answer.url)} == {200}


def read_mend_and_retry(page: Page, address: str, folder: Path, files: Path, found: list[str]) -> None:
    """The failure's sentence is on the page of activity; once the file is mended, Retry publishes it."""
    page.goto(f"{address}/activity/")
    entry = page.locator('[data-live="broken.jpg"]')
    expect(entry).to_contain_text("broken.jpg is cut off; ")
    found += complaints(page)
    mended = folder / "mended.part"
    mended.write_bytes((files / "small.jpg").read_bytes())
    mended.rename(folder / "source" / "broken.jpg")
    entry.get_by_role("button", name="Retry").click()
    expect(page.get_by_text("Needs attention")).to_have_count(0)
    expect(page.locator('section[aria-labelledby="recent"] [data-live="broken.jpg"]')).to_be_visible()
    found += complaints(page)
