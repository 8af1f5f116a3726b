"""The main promise, on a fresh clone: `make demo`, nothing else typed, and Chromium zooms to the bottom of 63 megapixels."""

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import free_port

PROJECT = Path(__file__).parents[2]
TILE = re.compile(r"_files/(\d+)/\d+_\d+\.jpg\?v=")

pytestmark = pytest.mark.long


class Demo:
    """`make demo` at work, in an environment that holds nothing but HOME and PATH."""

    def __init__(self, clone: Path, home: Path, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
        command = ["make", "demo", f"PORT={port}"]
        self._process = subprocess.Popen(
            command, cwd=clone, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        self.lines: list[str] = []
        self._serving = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line)
            if line.startswith("LambdaZoom: http"):
                self._serving.set()

    def wait_until_serving(self) -> float:
        """Wait for the set-up to end; the moment when it did."""
        assert self._serving.wait(600), "".join(self.lines)
        return time.monotonic()

    def page(self) -> str:
        """The first page's text."""
        with urllib.request.urlopen(f"{self.address}/", timeout=5) as answer:
            text: str = answer.read().decode()
        return text

    def wait_for(self, pattern: str, until: float) -> str:
        """Ask for the first page until it matches; all that it showed meanwhile."""
        shown = self.page()
        while not re.search(pattern, shown):
            assert time.monotonic() < until, shown + "".join(self.lines)
            time.sleep(0.05)
            shown += self.page()
        return shown

    def stop(self) -> None:
        """Ctrl-C, as a terminal sends it: to everybody in the foreground."""
        os.killpg(self._process.pid, signal.SIGINT)
        self._process.wait(timeout=30)
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def demo(clone: Path, home: Path) -> Iterator[Demo]:
    running = Demo(clone, home, free_port())
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What somebody gets who clones the project: nothing but what is committed."""
    folder = tmp_path_factory.mktemp("fresh") / "LambdaZoom"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", f"file://{PROJECT}", folder], check=True)
    return folder


def zoom_to_the_bottom(page: Page) -> None:
    for _ in range(12):
        page.get_by_role("button", name="Zoom in").click()
        page.wait_for_timeout(150)
    page.wait_for_load_state("networkidle")


def test_a_fresh_clone_shows_its_largest_sample_to_the_last_pixel(clone: Path, tmp_path: Path, browser: Browser) -> None:
    with demo(clone, tmp_path) as running:
        ready = running.wait_until_serving()
        running.page()
        assert time.monotonic() - ready < 5, "the first page"
        shown = running.wait_for(r"/thumbnail/glass\.png", ready + 10)
        shown += running.wait_for(r"/thumbnail/fractal\.jpg", ready + 60)
        assert re.search(r'title="fractal\.jpg".*?<progress|<progress.*?title="fractal\.jpg"', shown, re.DOTALL), "in progress"
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        answers: list[tuple[int, str]] = []
        page.on("response", lambda answer: answers.append((answer.status, answer.url)))
        page.goto(running.address)
        page.get_by_role("link", name="Seahorse valley").click()
        expect(page.get_by_role("button", name="Zoom in")).to_be_visible()
        zoom_to_the_bottom(page)
        page.close()
        tiles = [(status, TILE.search(url)) for status, url in answers]
        levels = {int(found[1]) for _, found in tiles if found}
        assert max(levels) == 14
        assert {status for status, found in tiles if found} == {200}
    said = "".join(running.lines)
    assert "Stopped. What was not finished goes on with the next start." in said
    assert "Traceback" not in said


def test_a_second_start_does_no_work_twice(clone: Path, tmp_path: Path) -> None:
    pointers = {path: path.read_bytes() for path in (clone / "data" / "zoom").glob("*.dzi")}
    assert len(pointers) == 3
    shutil.copy(clone / "data" / "source" / "glass.png", clone / "data" / "source" / "another.png")
    with demo(clone, tmp_path) as running:
        ready = running.wait_until_serving()
        running.wait_for(r"/thumbnail/another\.png", ready + 15)
    assert {path: path.read_bytes() for path in pointers} == pointers
    assert not any("fractal.jpg" in line for line in running.lines)


def test_a_taken_port_is_named_with_the_way_out(clone: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
        done = subprocess.run(
            ["make", "demo", f"PORT={port}"], cwd=clone, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
    assert done.returncode != 0
    assert f"Port {port} is in use. `make demo PORT={port + 1}`." in done.stderr
