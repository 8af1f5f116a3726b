"""What tests of access share: the application with a password and without one, and somebody who signs in."""

import re
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from lambdazoom.model import passwords
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.web import access
from lambdazoom.web.application import create_app
from tests.zappa_function import PASSWORD

SECRET = "0123456789abcdef0123456789abcdef"
HASH = passwords.hash_password(PASSWORD, bytes(16))
COOKIE = "lambdazoom"


def guarded_by(workspace: Workspace, hashed: str = HASH, secret: str = SECRET) -> Workspace:
    return replace(workspace, settings=replace(workspace.settings, password_hash=hashed, session_secret=secret))


@pytest.fixture
def application(workspace: Workspace) -> Flask:
    """The application with a password, for all fixtures of the module that imports it."""
    return create_app(lambda: guarded_by(workspace))


@pytest.fixture
def local(workspace: Workspace) -> Flask:
    """The application without a password, and with a change that a page of ours could ask for."""
    application = create_app(lambda: workspace)
    application.add_url_rule("/change", "change", lambda: "changed", methods=["POST"])
    application.add_url_rule("/token", "token", access.form_token)
    return application


def token_in(page: str) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page)
    assert found, page
    return found[1]


def try_password(client: FlaskClient, password: str = PASSWORD, query: str = "", **options: Any) -> TestResponse:
    form = client.get(f"/sign-in{query}", **options)
    return client.post(f"/sign-in{query}", data={"token": token_in(form.text), "password": password}, **options)


@pytest.fixture
def visitor(client: FlaskClient) -> FlaskClient:
    """Somebody who has signed in."""
    assert try_password(client).status_code == 303
    return client
