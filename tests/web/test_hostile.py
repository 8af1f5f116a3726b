"""Hostile names, tags and errors, in the browser: nothing runs, nothing leads elsewhere, all stays readable."""

import http.client
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from lambdazoom.model.errors import CorruptImage
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import Caption, Step
from lambdazoom.publishing import catalog
from lambdazoom.publishing.workspace import Workspace

from .conftest import Publish, Serve
from .records import record

SCRIPT = "<script>window.hit = 1</script>"
IMAGE = '"><img src=x onerror="window.hit = 1">'
RIGHT_TO_LEFT = "\u202egpj.tac \u05d0\u05d1"
LONG = "x" * 230 + "/" + "y" * 230 + "/" + "z" * 230 + "/" + "w" * 190
LINK = "javascript:window.hit=1"
TEMPLATE = "{{ 7 * 7 }}{% raw %}${7*7}"
HOSTILE = [
    SCRIPT,
    IMAGE,
    RIGHT_TO_LEFT,
    LINK,
    TEMPLATE,
    "' onmouseover='window.hit=1",
    "../../etc/passwd",
    "</title><script>window.hit=1</script>",
]
KEYS = [f"{text}.jpg" for text in (*HOSTILE, LONG)]
PAGES = ["/", "/?show=failed", "/activity/", "/info/"]

# where the words of our own stand, on their first line
LEFTS = """question => {
  question.style.whiteSpace = "nowrap";
  return [question.firstChild, question.lastChild].flatMap(text => [...text.data.matchAll(/\\S+/g)].map(found => {
    const word = document.createRange();
    word.setStart(text, found.index);
    word.setEnd(text, found.index + 1);
    return word.getBoundingClientRect().x;
  }));
}"""


class Watch:
    """What a page does that it should not."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.host = urlsplit(address).netloc
        page.on("dialog", lambda dialog: self.complaints.append("a dialog"))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("request", self.hear)

    def hear(self, request: Request) -> None:
        if urlsplit(request.url).netloc not in ("", self.host):
            self.complaints.append(request.url)

    def look(self) -> None:
        if self.page.evaluate("window.hit"):
            self.complaints.append(f"a script ran on {self.page.url}")
        for address in self.page.evaluate(
            "[...document.querySelectorAll('[href], [src], [action]')].map(e => e.href || e.src || e.action)"
        ):
            if isinstance(address, str) and not address.startswith(("http://127.0.0.1:", "about:")):
                self.complaints.append(f"{address} on {self.page.url}")


@pytest.fixture
def hostile(publish: Publish, workspace: Workspace) -> None:
    """A published and a failed image of each name, and each text in every place that a file can fill."""
    for key, text in zip(KEYS, [*HOSTILE, LONG], strict=True):
        if ".." in key:
            record(key, workspace, tiles=Step.failed(CorruptImage(text), final=True))  # no folder holds it, but a bucket can
            continue
        made = publish(key)
        kept = catalog.find_kept(made.image, workspace.metadata)
        spoken = replace(made, caption=Caption(text, text, text, text), remarks=(text,), kind=text)
        catalog.save(replace(spoken, metadata=Step.failed(CorruptImage(text), final=True)), kept, workspace.metadata)
        record(f"failed {key}"[-230:], workspace, tiles=Step.failed(CorruptImage(text), final=True))


def test_nothing_runs_and_nothing_leads_elsewhere(hostile: None, browser: Browser, serve: Serve) -> None:
    with serve() as address, browser.new_context() as context:
        page = context.new_page()
        watch = Watch(page, address)
        for path in PAGES + [f"/?q={quote(text)}" for text in HOSTILE] + [f"/image/{quote(ImageKey(key).name)}" for key in KEYS]:
            page.goto(address + path)
            page.wait_for_load_state("networkidle")
            watch.look()
    assert watch.complaints == []


def test_names_stay_readable(hostile: None, browser: Browser, serve: Serve) -> None:
    with serve() as address, browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        for text in HOSTILE:
            expect(page.locator(".card-title", has_text=text).first).to_be_visible()
        for key, text in zip(KEYS, [*HOSTILE, LONG], strict=True):
            page.goto(f"{address}/image/{quote(ImageKey(key).name)}")
            assert text in (page.locator("h1").text_content() or "")


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)], ids=["desk", "phone"])
def test_no_name_makes_a_page_wider_than_the_window(hostile: None, browser: Browser, serve: Serve, size: tuple[int, int]) -> None:
    with serve() as address, browser.new_context(viewport={"width": size[0], "height": size[1]}) as context:
        page = context.new_page()
        for path in (*PAGES, f"/?q={LONG}"[:180], f"/image/{quote(ImageKey(KEYS[-1]).name)}", f"/image/{LONG}"):
            page.goto(address + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= size[0], path


def test_a_name_is_deleted_by_its_own_name_only(hostile: None, browser: Browser, serve: Serve) -> None:
    with serve() as address, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{address}/image/{quote(ImageKey(KEYS[1]).name)}")
        page.get_by_text("Details").click()
        page.get_by_text("Delete …").click()
        expect(page.get_by_text(KEYS[1], exact=True).last).to_be_visible()
        assert page.locator('button[name="confirm"]').get_attribute("value") == ImageKey(KEYS[1]).name


def test_a_name_that_runs_the_other_way_leaves_the_question_as_it_is(publish: Publish, browser: Browser, serve: Serve) -> None:
    names = [publish(key).image.name for key in (f"cat {RIGHT_TO_LEFT}.jpg", "\u05d0\u05d1 - 1")]
    with serve() as address, browser.new_context() as context:
        page = context.new_page()
        for name in names:
            page.goto(f"{address}/image/{quote(name)}")
            page.get_by_text("Details").click()
            page.get_by_text("Delete …").click()
            question = page.locator(".confirm p")
            assert question.evaluate(LEFTS) == sorted(question.evaluate(LEFTS))


@pytest.mark.parametrize(
    "path",
    [
        "/image/../../etc/passwd",
        "/static/../lambdazoom/cli.py",
        "/static/..%2flambdazoom/cli.py",
        "/original/../../etc/passwd",
        "/browse/..%2f..%2fetc/passwd",
    ],
)
def test_no_path_leads_out_of_its_place(serve: Serve, publish: Publish, path: str) -> None:
    publish("cat.jpg")
    with serve() as address:
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
    assert answer.status in (302, 303, 308, 404)
    assert b"root:" not in body
    assert b"import click" not in body


@pytest.mark.parametrize(
    "start", ["_lambdazoom", "%5flambdazoom", "~5Flambdazoom", "~5flambdazoom", "trip/../_lambdazoom", "trip/%2e%2e/_lambdazoom"]
)
def test_the_secrets_beside_the_metadata_have_no_address(serve: Serve, workspace: Workspace, start: str) -> None:
    held = Path(workspace.settings.texts["LAMBDAZOOM_METADATA"]) / "_lambdazoom" / "secrets" / "live.json"
    held.parent.mkdir(parents=True)
    held.write_text('{"LAMBDAZOOM_PASSWORD_HASH": "scrypt."}')
    with serve() as address:
        for kind in ("metadata", "api/images", "image", "thumbnail", "original"):
            connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
            connection.request("GET", f"/{kind}/{start}/secrets/live{'.json' if kind == 'metadata' else ''}")
            answer = connection.getresponse()
            assert b"scrypt" not in answer.read()
            assert answer.status in (302, 303, 308, 404), kind
            connection.close()


@pytest.mark.parametrize(
    "path", ["/browse//evil.example/", "/browse/https://evil.example/", "/browse/%5cevil.example", "/browse/%2f%2fevil.example"]
)
def test_no_redirect_leads_elsewhere(serve: Serve, publish: Publish, path: str) -> None:
    publish("cat.jpg")
    with serve() as address:
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
        connection.request("GET", path)
        answer = connection.getresponse()
        location = answer.getheader("Location") or "/"
        connection.close()
    assert urlsplit(location).netloc in ("", urlsplit(address).netloc)
    assert not location.startswith("/\\")


def test_a_foreign_host_sees_no_page(serve: Serve, publish: Publish) -> None:
    publish("cat.jpg")
    with serve() as address:
        for path in ("/", "/image/cat.jpg", "/activity/", "/info/", "/browse/cat.jpg"):
            connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
            connection.request("GET", path, headers={"Host": "evil.example"})
            answer = connection.getresponse()
            assert answer.status == 403
            assert b"cat.jpg" not in answer.read()
            connection.close()
