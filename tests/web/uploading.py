"""What tests of uploads share: a program that uploads as docs/api.md says, and what it sends and leaves."""

import io
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from lambdazoom.publishing.workspace import Workspace
from lambdazoom.web.application import create_app
from tests.conftest import picture

MIB = 2**20


class Refusal(Exception):
    """An answer of 400 or more: its status, and the API's code where it has one."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message


@dataclass
class Program:
    """Somebody's program, which knows no more of us than `GET /api/` tells: over Flask's client, and over HTTP where it is sent to."""

    client: FlaskClient

    def __post_init__(self) -> None:
        self.possible = self.ask("GET", "/api/")
        self.headers = {"X-Form-Token": self.possible["token"]}

    def ask(self, method: str, url: str, body: Any = None) -> Any:
        """The API's JSON answer."""
        headers = {} if method == "GET" else self.headers
        answer = self.client.open(url, method=method, headers=headers, json=body)
        if answer.status_code >= 400:
            error = answer.get_json()["error"]
            raise Refusal(answer.status_code, error["code"], error["message"])
        return answer.get_json() if answer.data else None

    def upload(self, name: str, data: bytes) -> Any:
        """The image that a whole upload gives."""
        plan = self.begin(name, len(data))
        etags = [self.put(part, data[part["offset"] : part["offset"] + part["length"]]) for part in self.parts(plan)]
        return self.ask("POST", plan["links"]["complete"], {"etags": etags})

    def begin(self, name: str, size: int) -> Any:
        """How to send a file."""
        return self.ask("POST", self.possible["links"]["uploads"], {"name": name, "size": size})

    def parts(self, plan: Any) -> Iterator[Any]:
        """All its parts."""
        known = plan["parts"]
        yield from known
        while known[-1]["number"] < plan["part_count"]:
            known = self.ask("GET", f"{plan['links']['parts']}&from={known[-1]['number'] + 1}")["parts"]
            yield from known

    def put(self, part: Any, data: bytes) -> str:
        """Send a part where it is to go; its ETag."""
        if part["url"].startswith("/"):
            answer = self.client.put(part["url"], data=data, headers={**part["headers"], **self.headers})
            if answer.status_code >= 400:
                error = answer.get_json()["error"]
                raise Refusal(answer.status_code, error["code"], error["message"])
            return answer.headers["ETag"]
        request = urllib.request.Request(part["url"], data=data, headers=part["headers"], method="PUT")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return str(answer.headers["ETag"])
        except urllib.error.HTTPError as error:
            with error:
                raise Refusal(error.code, "", error.read().decode()) from error


@pytest.fixture
def on_folder(workspace: Workspace) -> Program:
    return Program(create_app(lambda: workspace).test_client())


def jpeg(width: int = 300, height: int = 200) -> bytes:
    target = io.BytesIO()
    picture(width, height).save(target, "JPEG")
    return target.getvalue()


def left_behind(source: Path) -> list[str]:
    return [path.name for path in source.rglob("*") if path.is_file()]
