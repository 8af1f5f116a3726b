"""The very zip: its size and contents, its start, and its life under AWS's own runtime interface client."""

import json
import os
import queue
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pillow_heif
import pytest

from benchmarks import cold_start
from tests.conftest import picture
from tests.gateway import REST_HOST, rest_event
from tests.long.conftest import NAMES, Project
from tests.quiet_server import QuietHandler, serving

pytestmark = pytest.mark.long


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


def test_neither_hash_nor_secret_nor_password_is_in_it(project: Project, unpacked: Path) -> None:
    where = {"Bucket": NAMES["metadata"], "Key": "_lambdazoom/secrets/live.json"}
    held: dict[str, str] = json.loads(project.client("s3").get_object(**where)["Body"].read())
    secrets = [each.encode() for each in (*held.values(), project.password)]
    assert len(secrets) == 3
    assert [path for path in unpacked.rglob("*") if path.is_file() and any(secret in path.read_bytes() for secret in secrets)] == []


def test_exiftool_travels_with_its_own_perl(unpacked: Path) -> None:
    program = unpacked / "build" / "lambda" / "exiftool"
    done = subprocess.run([program, "-ver"], env={"PATH": "/no/programs/here"}, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("13.")


def test_a_cold_start_compiles_nothing(project: Project, unpacked: Path) -> None:
    """Lambda's disk is read-only: what is not there as bytecode, and taken for good, is compiled at every start."""
    program = (
        "import sys\nsys.path[:0], sys.path[len(sys.path):] = [sys.argv[1]], [sys.argv[2]]\n"
        "compiled = []\nimport importlib.machinery as machinery\nload = machinery.SourceFileLoader.source_to_code\n"
        "def note(self, data, path, **options):\n    compiled.append(path)\n    return load(self, data, path, **options)\n"
        "machinery.SourceFileLoader.source_to_code = note\n"
        "import handler, app, lambdazoom.handler, lambdazoom.storage.s3\napp.application()\n"
        "print(*[path for path in compiled if path.startswith(sys.argv[1])], sep='\\n')"
    )
    command = [project.python, "-B", "-I", "-S", "-c", program, str(unpacked), str(project.boto3_folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_importing_the_handler_costs_little_beside_the_libraries_that_it_needs(project: Project, unpacked: Path) -> None:
    route = "an S3 event"
    libraries, ours = cold_start.measure(route, [str(unpacked), str(project.boto3_folder)], project.python)
    assert libraries + ours <= 1.2 * libraries, cold_start.line(route, libraries, ours)


def test_further_formats_fit_in(project: Project, unpacked: Path, tmp_path: Path) -> None:
    """As docs/deploy.md has it: the extra packages in the environment, and they are in the package, the right ones, and work."""
    python = str(project.folder / ".venv" / "bin" / "python")
    pip = [python, "-m", "pip", "--quiet", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "-r", "requirements-formats.txt"], cwd=project.folder, check=True)
    try:
        project.zappa("package", "live", "--output", "formats.zip")
    finally:
        subprocess.run([*pip, "uninstall", "--yes", "pillow-heif"], check=True)
    assert (project.folder / "formats.zip").stat().st_size <= 50 * 10**6  # what Lambda takes
    with ZipFile(project.folder / "formats.zip") as archive:
        archive.extractall(tmp_path / "task")
    pillow_heif.from_pillow(picture(300, 200)).save(tmp_path / "cat.heic")
    program = "import sys\nsys.path[:0] = [sys.argv[1]]\nfrom lambdazoom.cli import main\nsys.exit(main(['tile', *sys.argv[2:]]))"
    command = [project.python, "-B", "-I", "-S", "-c", program]
    files = [str(tmp_path / "cat.heic"), str(tmp_path / "out")]
    without = subprocess.run([*command, unpacked, *files], capture_output=True, text=True, check=False)
    assert "`pip install -r requirements-formats.txt` opens it" in without.stderr
    with_it = subprocess.run([*command, tmp_path / "task", *files], capture_output=True, text=True, check=False)
    assert with_it.returncode == 0, with_it.stderr
    assert 'Width="300"' in (tmp_path / "out" / "cat.dzi").read_text("utf-8")


def test_a_package_that_is_made_on_a_mac_is_right_too(project: Project, package: Path, tmp_path: Path) -> None:
    """As far as Linux can tell: what has compiled parts is installed as pip installs it on macOS, and Zappa finds the Linux wheels."""
    python = str(project.folder / ".venv" / "bin" / "python")
    pip = [python, "-m", "pip", "--quiet", "--quiet", "--disable-pip-version-check"]
    [site] = (project.folder / ".venv" / "lib").glob("python3.*/site-packages")
    compiled = [info.parent.name.split("-")[0].replace("_", "-") for info in site.glob("*/WHEEL") if "none-any" not in info.read_text()]
    assert {"pillow", "obstore", "isal", "watchdog"} <= set(compiled)
    pinned = (project.folder / "requirements.txt").read_text().splitlines()
    wanted = [line for line in pinned if line.partition("==")[0] in compiled]
    options = ["--python-version", "3.13", "--only-binary=:all:", "--no-deps"]
    linux = [word for tag in ("manylinux_2_28", "manylinux_2_17") for word in ("--platform", f"{tag}_x86_64")]
    subprocess.run([*pip, "download", *options, *linux, "--dest", tmp_path / "cached_wheels", *wanted], check=True)  # Zappa's own cache
    mac = tmp_path / "mac"
    subprocess.run([*pip, "install", *options, "--platform", "macosx_11_0_arm64", "--target", mac, *wanted], check=True)
    assert len(list(mac.rglob("*-darwin.so"))) > 10
    subprocess.run([*pip, "uninstall", "--yes", *compiled], check=True)
    try:
        shutil.copytree(mac, site, dirs_exist_ok=True)
        on_the_mac = replace(project, environment={**project.environment, "TMPDIR": str(tmp_path)})
        on_the_mac.zappa("package", "live", "--output", "mac.zip")
    finally:
        subprocess.run([*pip, "install", "--force-reinstall", "--no-deps", *wanted], check=True)
    with ZipFile(package) as here, ZipFile(project.folder / "mac.zip") as there:
        lost = {name for name in set(here.namelist()) - set(there.namelist()) if "dist-info" not in name}
        there.extractall(tmp_path / "task")
    assert {name for name in lost if not name.startswith("watchdog")} == set()
    picture(300, 200).save(tmp_path / "cat.png")
    program = "import sys\nsys.path[:0] = [sys.argv[1]]\nfrom lambdazoom.cli import main\nsys.exit(main(['tile', *sys.argv[2:]]))"
    files = [str(tmp_path / name) for name in ("task", "cat.png", "out")]
    command = [project.python, "-B", "-I", "-S", "-c", program, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 'Width="300"' in (tmp_path / "out" / "cat.dzi").read_text("utf-8")


class RuntimeApi:
    """A stand-in for Lambda's Runtime API (AWS's "Using the Lambda runtime API", 2018-06-01): hands events out, takes answers in."""

    def __init__(self) -> None:
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        self.answers: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.deadline_ms = 0


@contextmanager
def runtime_api() -> Iterator[tuple[RuntimeApi, str]]:
    api = RuntimeApi()

    class Handler(QuietHandler):
        def respond(self) -> None:
            if self.command == "POST":
                api.answers.put((self.path.rpartition("/")[2], json.loads(self.body() or b"null")))
                self.answer(202)
                return
            headers = {
                "Lambda-Runtime-Aws-Request-Id": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:123456789012:function:lambdazoom-live",
                "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
                "Content-Type": "application/json",
            }
            event = json.dumps(api.events.get()).encode()
            self.answer(200, event, {**headers, "Lambda-Runtime-Deadline-Ms": api.deadline_ms})

    with serving(Handler) as address:
        yield api, address


def test_under_awss_own_runtime_client(project: Project, unpacked: Path, tmp_path: Path) -> None:
    """Warm reuse, an error reported as an error, and the remaining time heeded."""
    pip = [str(project.folder / ".venv" / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", tmp_path / "client", "awslambdaric==4.2.2"], check=True)
    (tmp_path / "source").mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
        "PATH": "/no/programs/here",
        "HOME": "/tmp",
        "TMPDIR": str(tmp_path),  # it clears its sandbox's temporary folder
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
