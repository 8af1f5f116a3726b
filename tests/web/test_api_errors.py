"""What the API refuses, and to whom: JSON with a code and a sentence."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from lambdazoom.model.settings import Settings
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.web.application import create_app
from tests.zappa_function import ACCESS

from .asking import program as program  # a fixture
from .conftest import Publish
from .uploading import Program, Refusal


@pytest.mark.parametrize(
    "query",
    [
        "state=wrong",
        "sort=wrong",
        "limit=0",
        "limit=101",
        "limit=x",
        "limit=-1",
        "limit=1e2",
        "cursor=x",
        "cursor=_lambdazoom/records/",
        "cursor=../../etc&q=a",
        "&".join(["name=a"] * 51),
    ],
)
def test_parameters_that_can_not_be_are_refused(client: FlaskClient, query: str) -> None:
    answer = client.get(f"/api/images?{query}")
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (400, "bad-request")


@pytest.mark.parametrize("body", [{}, {"names": []}, {"names": "a"}, {"names": [1]}, {"names": ["a"] * 101}, [], "x"])
def test_what_is_no_list_of_names_is_refused(program: Program, body: Any) -> None:
    with pytest.raises(Refusal) as refused:
        program.ask("POST", "/api/retry", body)
    assert (refused.value.status, refused.value.code) == (400, "bad-request")


@pytest.mark.parametrize(
    ("method", "url", "status", "code"),
    [
        ("GET", "/api/nothing", 404, "not-found"),
        ("GET", "/api/images/none.jpg", 404, "not-found"),
        ("GET", "/api/images/~zz", 404, "not-found"),
        ("POST", "/api/images", 405, "method-not-allowed"),
        ("POST", "/api/images/none.jpg/retry", 404, "not-found"),
        ("DELETE", "/api/images/none.jpg", 400, "bad-request"),
        ("POST", "/api/retry", 400, "bad-request"),
        ("POST", "/api/uploads", 400, "bad-request"),
        ("PATCH", "/api/uploads/x", 405, "method-not-allowed"),
    ],
)
def test_errors_are_json_with_a_code_and_a_sentence(
    program: Program, client: FlaskClient, method: str, url: str, status: int, code: str
) -> None:
    answer = client.open(url, method=method, headers=program.headers)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (status, code)
    assert answer.get_json()["error"]["message"].endswith(".")
    assert answer.headers["Cache-Control"] == "no-store"


def test_changes_without_our_token_are_refused(client: FlaskClient, source: Path, publish: Publish) -> None:
    publish("cat.jpg")
    for method, url in (("POST", "/api/images/cat.jpg/retry"), ("DELETE", "/api/images/cat.jpg"), ("POST", "/api/retry")):
        for headers in ({}, {"X-Form-Token": "guessed"}):
            answer = client.open(url, method=method, headers=headers, json={"confirm": "cat.jpg"})
            assert (answer.status_code, answer.get_json()["error"]["code"]) == (403, "forbidden")
    assert (source / "cat.jpg").exists()


def test_strangers_get_json_and_nothing_else(workspace: Workspace, publish: Publish) -> None:
    publish("cat.jpg")
    settings = Settings.from_env(
        {**{name: workspace.settings.texts[name] for name in ("LAMBDAZOOM_SOURCE", "LAMBDAZOOM_METADATA")}, **ACCESS}
    )
    client = create_app(lambda: replace(workspace, settings=settings)).test_client()
    for url in ("/api/", "/api/images", "/list/", "/api/info", "/api/images/cat.jpg", "/api/activity"):
        answer = client.get(url)
        assert (answer.status_code, answer.get_json()["error"]["code"]) == (401, "not-signed-in")
        assert "cat.jpg" not in answer.text
    assert client.get("/original/cat.jpg").status_code == 303


def test_what_went_wrong_inside_is_told_by_a_reference_alone(workspace: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> datetime:
        raise RuntimeError("AKIAIOSFODNN7EXAMPLE")

    answer = create_app(lambda: replace(workspace, now=fail)).test_client().get("/api/images")
    error = answer.get_json()["error"]
    assert (answer.status_code, error["code"]) == (500, "unexpected")
    assert "AKIA" not in answer.text
    assert error["reference"] in caplog.text
