"""What holds for every answer: headers, errors, and a workspace that is opened once and late."""

import logging
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from lambdazoom.model import errors
from lambdazoom.model.errors import LambdaZoomError, SettingsError
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.web import failures
from lambdazoom.web.application import content_security_policy, create_app

from .conftest import Publish

ROOT = Path(__file__).parents[2]


def refuse() -> Workspace:
    raise SettingsError("LAMBDAZOOM_QUALITY is '101'; it must be a whole number from 1 to 100.")


@pytest.mark.parametrize(
    "path", ["/", "/image/cat.jpg", "/image/none", "/nowhere", "/dzi/cat.jpg.dzi", "/dzi/none.dzi", "/health", "/static/style.css"]
)
def test_every_answer_has_the_protecting_headers(client: FlaskClient, publish: Publish, path: str) -> None:
    publish("cat.jpg")
    response = client.get(path)
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert response.headers["Content-Security-Policy"] == content_security_policy()
    assert "Cache-Control" in response.headers
    assert "Access-Control-Allow-Origin" not in response.headers
    response.close()


def test_the_policy_allows_nothing_inline_and_nobody_elses_files() -> None:
    policy = content_security_policy()
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "http" not in policy


def test_the_policy_lets_tiles_come_from_where_the_settings_say(workspace: Workspace) -> None:
    elsewhere = replace(workspace, settings=replace(workspace.settings, tiles_url="https://tiles.example:8443/zoom"))
    client = create_app(lambda: elsewhere).test_client()
    policy = client.get("/").headers["Content-Security-Policy"]
    assert "img-src 'self' https://tiles.example:8443;" in policy
    assert "connect-src 'self' https://tiles.example:8443;" in policy
    assert "script-src 'self';" in policy


def test_health_answers_whatever_the_settings_say() -> None:
    response = create_app(refuse).test_client().get("/health")
    assert (response.status_code, response.text) == (200, "ok")


@pytest.mark.parametrize("path", ["/", "/image/cat.jpg", "/dzi/cat.jpg.dzi"])
def test_wrong_settings_are_a_page_with_their_sentence(path: str) -> None:
    response = create_app(refuse).test_client().get(path)
    assert response.status_code == 500
    assert response.headers["Cache-Control"] == "no-store"
    assert "LAMBDAZOOM_QUALITY is " in response.text
    assert "whole number from 1 to 100" in response.text


def test_the_workspace_is_opened_by_the_first_request_and_kept(workspace: Workspace) -> None:
    opened: list[int] = []

    def open_workspace() -> Workspace:
        opened.append(1)
        return workspace

    client = create_app(open_workspace).test_client()
    client.get("/health")
    assert opened == []
    client.get("/")
    client.get("/")
    assert opened == [1]


def all_errors(kind: type[LambdaZoomError] = LambdaZoomError) -> list[type[LambdaZoomError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in all_errors(child))]


@pytest.mark.parametrize("kind", all_errors())
def test_each_of_our_errors_has_a_status(client: FlaskClient, application: Flask, kind: type[LambdaZoomError]) -> None:
    def fail() -> str:
        raise kind("Something is wrong with cat.jpg.")

    application.add_url_rule("/fail", "fail", fail)
    response = client.get("/fail")
    assert response.status_code == failures.status_of(kind("")) >= 400
    assert response.headers["Cache-Control"] == "no-store"
    assert "Something is wrong with cat.jpg." in response.text


def test_the_statuses_are_those_of_the_nearest_ancestor() -> None:
    expected = {
        errors.NotFound: 404,
        errors.StorageError: 502,
        errors.AccessDenied: 502,
        errors.CorruptImage: 422,
        errors.SettingsError: 500,
        errors.ExifToolTimeout: 502,
        errors.Interrupted: 503,
    }
    assert {kind: failures.status_of(kind("")) for kind in expected} == expected


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("POST", "/", 405), ("GET", "/image/", 404), ("GET", "/dzi/", 404)]
)
def test_a_refused_request_is_a_page_of_ours(client: FlaskClient, method: str, path: str, status: int) -> None:
    response = client.open(path, method=method)
    assert response.status_code == status
    assert response.headers["Cache-Control"] == "no-store"
    assert 'class="wordmark"' in response.text


def test_the_unexpected_is_a_reference_on_the_page_and_a_traceback_in_the_log(
    application: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> str:
        raise RuntimeError("the secret is 1234")

    application.add_url_rule("/fail", "fail", fail)
    with caplog.at_level(logging.ERROR):
        response = client.get("/fail")
    assert response.status_code == 500
    assert response.headers["Cache-Control"] == "no-store"
    assert "1234" not in response.text
    assert "Traceback" not in response.text
    reference = re.search(r"Reference: <code>([0-9a-f]{8})</code>", response.text)
    assert reference
    assert len(caplog.records) == 1
    assert reference[1] in caplog.text
    assert "RuntimeError: the secret is 1234" in caplog.text


def test_importing_the_application_reads_no_settings_and_wrong_ones_are_a_page() -> None:
    program = "import app; response = app.application().test_client().get('/'); print(response.status_code, response.text)"
    environment = {"PATH": "/usr/bin:/bin", "LAMBDAZOOM_QUALITY": "101"}
    finished = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert finished.stdout.startswith("500 ")
    assert "LAMBDAZOOM_QUALITY" in finished.stdout
