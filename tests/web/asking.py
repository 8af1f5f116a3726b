"""What tests of the API share: a program that asks, and the names that it is told."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from .uploading import Program


@pytest.fixture
def program(client: FlaskClient) -> Program:
    return Program(client)


def names(answer: Any) -> list[str]:
    return [image["name"] for image in answer["images"]]
