"""What browser tests share: an application served on this machine, and what is done and seen on its pages."""

import functools
import http.server
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Request, Response
from waitress.server import create_server

DEVICES: dict[str, dict[str, Any]] = {
    "desk": {"viewport": {"width": 1280, "height": 800}},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}
each_device = pytest.mark.parametrize("device", DEVICES)

DROP = """async ([input, target]) => {
  const carried = new DataTransfer();
  for (const file of input.files) carried.items.add(file);
  for (const kind of ["dragenter", "dragover", "drop"]) {
    target.dispatchEvent(new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true }));
  }
}"""

TILE = re.compile(r"_files/(\d+)/\d+_\d+\.jpg\?v=")


@contextmanager
def served(application: Callable[..., Any], prefix: str = "") -> Iterator[str]:
    """A WSGI application below `prefix`, as long as the context lasts; its address, with the prefix."""
    server = create_server(application, listen="127.0.0.1:0", url_prefix=prefix)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}{prefix}"
    finally:
        server.task_dispatcher.shutdown()  # first: an answer that is given to a closed connection would leave its file open
        # in the server's own thread, or it would wait for sockets that are closed under its feet; it may wake by itself before we ring
        with suppress(OSError):
            server.trigger.pull_trigger(lambda: server.asyncore.close_all(server._map))
        thread.join()


class QuietFiles(http.server.SimpleHTTPRequestHandler):
    """`python -m http.server`, but that it keeps its log to itself."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the library's own name)
        pass


@pytest.fixture
def plain_server(tmp_path: Path) -> Iterator[str]:
    """Another site: a plain file server over the test's folder."""
    handler = functools.partial(QuietFiles, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Witness:
    """What a page asked for and complained about."""

    def __init__(self, page: Page) -> None:
        self.answers: list[Response] = []
        self.complaints: list[str] = []
        self._page = page
        page.on("response", lambda answer: self.answers.append(answer))
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", self._failed)

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # what a page asked for and no longer wants when it is left
            self.complaints.append(f"{request.url} failed: {request.failure}")

    def hears(self, words: str) -> bool:
        """Whether the page complains with these words, within ten seconds."""
        for _ in range(100):
            if any(words in complaint for complaint in self.complaints):
                return True
            self._page.wait_for_timeout(100)
        return False

    def levels(self) -> set[int]:
        """The levels of the tiles that came."""
        found = (TILE.search(answer.url) for answer in self.answers)
        return {int(match[1]) for match in found if match}


def wait_for_view(page: Page) -> None:
    """Wait until the picture stands still."""
    page.wait_for_selector(".openseadragon-canvas canvas")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(700)


def drop(page: Page, files: Path) -> None:
    """Drop all files of a folder onto the page, as a file manager would."""
    attributes = "{type: 'file', multiple: true, id: 'disk', hidden: true}"
    page.evaluate(f"document.body.append(Object.assign(document.createElement('input'), {attributes}))")
    page.locator("#disk").set_input_files(sorted(files.iterdir()))
    page.evaluate(DROP, [page.locator("#disk").element_handle(), page.locator("body").element_handle()])
    page.evaluate("document.getElementById('disk').remove()")


def sign_out(page: Page) -> Locator:
    """The button: the bar's, or the footer's where the bar has no room for it. Before the page's style is there, both can be seen."""
    return page.get_by_role("button", name="Sign out").filter(visible=True).first


def snippet(page: Page, address: str) -> str:
    """What the image's page offers for other sites, as one of them."""
    page.goto(address)
    page.get_by_text("Details").click()
    return f"<!doctype html><title>Somebody's page</title>\n{page.locator('.snippet code').inner_text()}\n"


def zoomed_into(page: Page, address: str) -> Witness:
    """What a page asks for that is opened and then zoomed into with the wheel, as far as it goes."""
    page.wait_for_load_state("networkidle")
    witness = Witness(page)
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.mouse.move(200, 150)
    for _ in range(8):
        page.mouse.wheel(0, -400)
        page.wait_for_timeout(150)
    page.wait_for_load_state("networkidle")
    return witness
