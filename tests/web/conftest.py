"""What the tests of the pages share: the application over a workspace, and images that the pipeline has settled."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from waitress.server import create_server

from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.web.application import create_app
from tests.conftest import picture

Publish = Callable[..., ImageRecord]
Serve = Callable[..., AbstractContextManager[str]]


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
        path = Path(workspace.settings.texts["LAMBDAZOOM_SOURCE"]) / key
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(width, height).save(path, "JPEG", quality=90, exif=exif or Image.Exif())
        record = settle(ImageKey(key), workspace)
        assert record is not None
        return record

    return draw


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
            server.task_dispatcher.shutdown()  # first: an answer that is given to a closed connection would leave its file open
            # in the server's own thread, or it would wait for sockets that are closed under its feet; it may wake by itself before we ring
            with suppress(OSError):
                server.trigger.pull_trigger(lambda: server.asyncore.close_all(server._map))
            thread.join()

    return run
