"""A workspace on three folders, images drawn in place, and a browser: real parts throughout."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, sync_playwright
from waitress.server import create_server

from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord
from lambdazoom.model.settings import Settings
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace, open_workspace
from lambdazoom.web.application import create_app

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

Publish = Callable[..., ImageRecord]
Serve = Callable[..., AbstractContextManager[str]]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "source").mkdir()
    names = ("source", "zoom", "metadata")
    return Settings.from_env({f"LAMBDAZOOM_{name.upper()}": str(tmp_path / name) for name in names})


@pytest.fixture
def workspace(settings: Settings) -> Iterator[Workspace]:
    opened = open_workspace(settings)
    yield opened
    opened.close()


@pytest.fixture
def application(workspace: Workspace) -> Flask:
    return create_app(lambda: workspace)


@pytest.fixture
def client(application: Flask) -> FlaskClient:
    return application.test_client()


@pytest.fixture
def publish(workspace: Workspace) -> Publish:
    """Draws an image into the source folder under a key and lets the pipeline settle it."""

    def draw(key: str, width: int = 60, height: int = 40, exif: Image.Exif | None = None) -> ImageRecord:
        path = Path(workspace.settings.source) / key
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(width, height).save(path, "JPEG", quality=90, exif=exif or Image.Exif())
        record = settle(ImageKey(key), workspace)
        assert record is not None
        return record

    return draw


def picture(width: int, height: int) -> Image.Image:
    """A drawing whose every region looks different."""
    drawn = Image.linear_gradient("L").resize((width, height))
    drawn = Image.merge("RGB", (drawn, drawn.transpose(Image.Transpose.FLIP_LEFT_RIGHT), Image.new("L", (width, height), 120)))
    pencil = ImageDraw.Draw(drawn)
    for step in range(0, max(width, height), 50):
        pencil.line((step, 0, 0, step), fill=(step % 256, 90, 200), width=3)
        pencil.ellipse((step, step // 2, step + 30, step // 2 + 30), fill=(250, step % 200, 60))
    return drawn


@pytest.fixture
def serve(application: Flask) -> Serve:
    """Serves the application on this machine, below `prefix`, as long as its context lasts; the context is its address."""

    @contextmanager
    def run(prefix: str = "") -> Iterator[str]:
        server = create_server(application, listen="127.0.0.1:0", url_prefix=prefix)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.effective_port}{prefix}"
        finally:
            server.close()
            thread.join(timeout=10)

    return run


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.fail(f"The browser tests need Chromium at {CHROMIUM}: `apt-get install chromium` puts it there.")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_ARGUMENTS)
        yield opened
        opened.close()
