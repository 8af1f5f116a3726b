"""The very zip: its size and contents, its start, and its life under AWS's own runtime interface client."""

import http.server
import json
import os
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from tests.gateway import REST_HOST, rest_event
from tests.long.conftest import Project, set_names

pytestmark = pytest.mark.long


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


def test_the_package_keeps_to_its_budget(package: Path, unpacked: Path) -> None:
    assert package.stat().st_size <= 45 * 10**6
    assert sum(path.stat().st_size for path in unpacked.rglob("*") if path.is_file()) <= 150 * 10**6
    top = {path.name for path in unpacked.iterdir()}
    assert not top & {
        "data",
        "tests",
        "benchmarks",
        "samples",
        "docs",
        "node_modules",
        ".git",
        "boto3",
        "botocore",
        "pytest",
        "mypy",
        "moto",
    }
    secrets = (b"scrypt.", b"SESSION_SECRET=")
    settings = (unpacked / "zappa_settings.py").read_bytes()
    assert not [secret for secret in secrets if secret in settings]


def test_exiftool_travels_with_its_own_perl(unpacked: Path) -> None:
    program = unpacked / "build" / "lambda" / "exiftool"
    done = subprocess.run([program, "-ver"], env={"PATH": "/no/programs/here"}, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("13.")


class RuntimeApi:
    """A stand-in for Lambda's Runtime API (AWS's "Using the Lambda runtime API", 2018-06-01): hands events out, takes answers in."""

    def __init__(self) -> None:
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        self.answers: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.deadline_ms = 0


@contextmanager
def runtime_api() -> Iterator[tuple[RuntimeApi, str]]:
    api = RuntimeApi()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = json.dumps(api.events.get()).encode()
            self.send_response(200)
            for name, value in (
                ("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
                ("Lambda-Runtime-Deadline-Ms", str(api.deadline_ms)),
                ("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:123456789012:function:lambdazoom-live"),
                ("Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1"),
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(body))),
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"null")
            api.answers.put((self.path.rpartition("/")[2], body))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the library's own name)
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield api, f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_under_awss_own_runtime_client(project: Project, unpacked: Path, tmp_path: Path) -> None:
    """Warm reuse, an error reported as an error, and the remaining time heeded."""
    pip = [str(project.folder / ".venv" / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", tmp_path / "client", "awslambdaric==4.2.2"], check=True)
    (tmp_path / "source").mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
        "PATH": "/no/programs/here",
        "HOME": "/tmp",
        "PYTHONPATH": f"{unpacked}:{tmp_path / 'client'}:{project.boto3_folder}",
        "LAMBDA_TASK_ROOT": str(unpacked),
        "AWS_LAMBDA_FUNCTION_NAME": "lambdazoom-live",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "3008",
        **{f"LAMBDAZOOM_{name.upper()}": str(tmp_path / name) for name in ("source", "zoom", "metadata")},
    }
    with runtime_api() as (api, address):
        command = [shutil.which(project.python) or project.python, "-m", "awslambdaric", "handler.lambda_handler"]
        client = subprocess.Popen(
            command, cwd=unpacked, env={**environment, "AWS_LAMBDA_RUNTIME_API": address}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            api.deadline_ms = 10**15
            for _ in range(2):  # the second finds the process warm
                api.events.put(rest_event("GET", "/health", {"Host": REST_HOST}))
                kind, answer = api.answers.get(timeout=60)
                assert (kind, answer["statusCode"], answer["body"]) == ("response", 200, "ok")
            (tmp_path / "source").rmdir()  # now every event is about a place that is not there
            record = {"s3": {"configurationId": "x", "bucket": {"name": "acme-originals", "arn": "arn:aws:s3:::acme-originals"}}}
            record["s3"]["object"] = {"key": "cat.jpg"}
            api.events.put({"Records": [record]})
            kind, answer = api.answers.get(timeout=60)
            assert (kind, answer["errorType"]) == ("error", "Unfinished")
            (tmp_path / "source").mkdir()
            (tmp_path / "source" / "cat.jpg").write_bytes(b"no image")
            api.deadline_ms = int(time.time() * 1000) + 60_000  # too little time is left to begin anything
            api.events.put(
                {"detail-type": "Scheduled Event", "resources": ["arn:aws:events:us-east-1:1:rule/x-lambdazoom.handler.on_schedule"]}
            )
            kind, answer = api.answers.get(timeout=60)
            assert kind == "response"
            assert not list((tmp_path / "metadata").rglob("cat.jpg*")), "nothing was begun"
        finally:
            client.kill()
            client.communicate()
