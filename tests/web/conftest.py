"""What the tests of the pages share: the application over a workspace, and images that the pipeline has settled."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.web.application import create_app
from tests.conftest import picture

from .browsing import served

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
    return partial(served, application)
