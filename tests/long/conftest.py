"""What the deployment tests share: a fresh clone with its virtual environment, and an AWS that runs what is deployed."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zipfile import ZipFile

import boto3
import pytest

from tests.conftest import free_port
from tests.gateway import REST_HOST, rest_event
from tests.project import ROOT

PROJECT = Path(__file__).parents[2]
NAMES = {"source": "acme-originals", "zoom": "acme-zoom", "metadata": "acme-metadata", "deployment": "acme-deployments"}
FUNCTION = "lambdazoom-live"


def python_3_13() -> str:
    """The Python that is deployed."""
    candidates = ["python3.13", *map(str, Path("~/.pyenv/versions").expanduser().glob("3.13*/bin/python3.13"))]
    for candidate in candidates:
        if shutil.which(candidate) and subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return candidate
    pytest.fail("The deployment is tested on Python 3.13, which is not here: install it, or put it on PATH.")


@dataclass
class Project:
    """A fresh clone with its virtual environment, and the AWS that it is deployed to."""

    folder: Path
    environment: dict[str, str]
    calls: Path
    boto3_folder: Path
    python: str
    password: str = ""
    cookies: dict[str, str] = field(default_factory=dict)

    def run(self, *command: str, expect: int = 0) -> str:
        """Run a command of the virtual environment in the project's folder; what it printed."""
        program = [str(self.folder / ".venv" / "bin" / command[0]), *command[1:]]
        done = subprocess.run(program, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr

    def zappa(self, *arguments: str) -> str:
        return self.run("zappa", *arguments)

    def client(self, service: str) -> Any:
        return boto3.client(service)  # type: ignore[call-overload]

    def get(self, path: str) -> dict[str, Any]:
        """A page of the deployed function, asked for as somebody who has signed in."""
        return self.request("GET", path)

    def request(self, method: str, path: str, form: str = "", **more: str) -> dict[str, Any]:
        headers = {"Host": REST_HOST, "X-Forwarded-Proto": "https"}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if form:
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"https://{REST_HOST}"}
        event = {**rest_event(method, path, headers | more), "body": form or None}
        answer: dict[str, Any] = self.invoke(event)
        for name, value in answer["headers"].items():
            if name.lower() == "set-cookie":
                cookie, _, content = value.split(";")[0].partition("=")
                self.cookies[cookie] = content
        return answer

    def ask(self, method: str, address: str, **document: object) -> tuple[int, dict[str, Any]]:
        """What the API answers to a change, as a script of our pages asks for it."""
        token = json.loads(self.get("/api/")["body"])["token"]
        more = {"Content-Type": "application/json", "X-Form-Token": token}
        answer = self.request(method, address.removeprefix("/live"), json.dumps(document), **more)
        return answer["statusCode"], json.loads(answer.get("body") or "{}")  # a 204 has none

    def invoke(self, event: dict[str, Any]) -> Any:
        answer = self.client("lambda").invoke(FunctionName=FUNCTION, Payload=json.dumps(event))
        payload = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, payload
        return payload

    def sign_in(self) -> None:
        """Sign in with the password that `init` printed."""
        page = self.get("/sign-in")["body"]
        token = re.search(r'name="([^"]*token[^"]*)"[^>]*value="([^"]*)"', page)
        assert token is not None, page
        answer = self.request("POST", "/sign-in", f"password={quote(self.password)}&{token[1]}={quote(token[2])}")
        assert answer["statusCode"] in (302, 303), answer

    def keys(self, purpose: str) -> list[str]:
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=NAMES[purpose])
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The README's steps, as far as the names."""
    base, python = tmp_path_factory.mktemp("deploy"), python_3_13()
    folder = base / "LambdaZoom"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", f"file://{PROJECT}", folder], check=True)
    subprocess.run([python, "-m", "venv", folder / ".venv"], check=True)
    pip = [str(folder / ".venv" / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", "requirements.txt"], cwd=folder, check=True)
    pinned = next(line for line in (folder / "requirements.txt").read_text().splitlines() if line.startswith("boto3=="))
    subprocess.run([*pip, "--target", base / "boto3", pinned], check=True)
    (folder / "data" / "source").mkdir(parents=True)
    with (folder / "data" / "source" / "huge.tif").open("wb") as huge:
        huge.truncate(200 * 2**20)

    port = free_port()
    names = {"ACCESS_KEY_ID": "operator", "SECRET_ACCESS_KEY": "operator-secret", "DEFAULT_REGION": "us-east-1"}
    aws = {f"AWS_{name}": value for name, value in names.items()} | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    environment = {
        "HOME": str(base),
        "PATH": f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}",
        "VIRTUAL_ENV": str(folder / ".venv"),
        **aws,
    }
    command = [sys.executable, str(Path(__file__).with_name("aws_server.py")), str(port), python, str(base / "boto3"), str(base / "calls")]
    with (base / "aws.log").open("wb") as log, pytest.MonkeyPatch.context() as patch:
        for name, value in aws.items():
            patch.setenv(name, value)
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(PROJECT)})
        wait_for_server(aws["AWS_ENDPOINT_URL"])
        yield Project(folder, environment, base / "calls", base / "boto3", python)
        server.terminate()
        server.wait(timeout=10)


def wait_for_server(address: str) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("the server does not answer")


def set_names(project: Project) -> None:
    """The README's next step: `init`, unless a test before has done it."""
    if project.password:
        return
    options = [word for purpose, name in NAMES.items() for word in (f"--{purpose}", name)]
    said = project.run("python", "-m", "lambdazoom", "init", *options, "--region", "us-east-1", "--yes")
    found = re.search(r"[Pp]assword[^:]*: (\S+)", said)
    assert found is not None, said
    project.password = found[1]
    settings = project.folder / "zappa_settings.json"
    changed = json.loads(settings.read_text())
    changed["live"]["touch"] = False  # there is no HTTP here that Zappa could touch
    settings.write_text(json.dumps(changed, indent=2))


@pytest.fixture(scope="session")
def package(project: Project) -> Path:
    """What `zappa package` makes, after its own checks."""
    set_names(project)
    project.zappa("package", "live", "--output", "package.zip")
    return project.folder / "package.zip"


@pytest.fixture(scope="session")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As Lambda unpacks it: read-only, and every file as its mode in the zip says."""
    folder = tmp_path_factory.mktemp("task")
    with ZipFile(package) as archive:
        archive.extractall(folder)
        for entry in archive.infolist():
            if mode := entry.external_attr >> 16 & 0o777:
                (folder / entry.filename).chmod(mode)
    return folder


@pytest.fixture
def moto_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """moto's server in a process of its own, for the load."""
    port = free_port()
    with (tmp_path / "moto.log").open("wb") as log:
        command = [sys.executable, "-m", "tests.moto_gaps", "-p", str(port), "-H", "127.0.0.1"]
        server = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    endpoint = f"http://127.0.0.1:{port}"
    names = {"ENDPOINT_URL": endpoint, "ACCESS_KEY_ID": "testing", "SECRET_ACCESS_KEY": "testing", "DEFAULT_REGION": "us-east-1"}
    for name, value in names.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    for _ in range(100):
        try:
            urllib.request.urlopen(endpoint, timeout=5).close()
            break
        except OSError:
            time.sleep(0.1)
    yield endpoint
    server.terminate()
    server.wait(timeout=10)
