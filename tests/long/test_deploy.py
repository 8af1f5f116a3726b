"""The third way people use us: `zappa deploy live`, `zappa update live`, in a fresh environment, against an AWS that runs the zip.

The function is the very zip that was uploaded, in an isolated Python 3.13 with only boto3 beside it and no exiftool or perl on
its PATH. Not reproduced by this AWS: the enforcement of IAM (the calls are recorded and held against the policy instead), and
HTTP through API Gateway (the function is invoked with its events).
"""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from PIL import Image

from lambdazoom.operations.policy import allows
from tests.conftest import free_port, picture
from tests.gateway import REST_HOST, body_of, rest_event

PROJECT = Path(__file__).parents[2]
NAMES = {"source": "acme-originals", "zoom": "acme-zoom", "metadata": "acme-metadata", "deployment": "acme-deployments"}
FUNCTION = "lambdazoom-live"
ODD_KEY = "trip/a b+c ä?.jpg"

pytestmark = pytest.mark.long


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

    def request(self, method: str, path: str, form: str = "") -> dict[str, Any]:
        headers = {"Host": REST_HOST, "X-Forwarded-Proto": "https"}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if form:
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"https://{REST_HOST}"}
        event = {**rest_event(method, path, headers), "body": form or None}
        answer: dict[str, Any] = self.invoke(event)
        for name, value in answer["headers"].items():
            if name.lower() == "set-cookie":
                cookie, _, content = value.split(";")[0].partition("=")
                self.cookies[cookie] = content
        return answer

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


@pytest.fixture(scope="module")
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
    options = [word for purpose, name in NAMES.items() for word in (f"--{purpose}", name)]
    said = project.run("python", "-m", "lambdazoom", "init", *options, "--region", "us-east-1", "--yes")
    found = re.search(r"[Pp]assword[^:]*: (\S+)", said)
    assert found is not None, said
    project.password = found[1]
    settings = project.folder / "zappa_settings.json"
    changed = json.loads(settings.read_text())
    changed["live"]["touch"] = False  # there is no HTTP here that Zappa could touch
    settings.write_text(json.dumps(changed, indent=2))


def encoded(kind: str, width: int, height: int, exif: Image.Exif | None = None) -> bytes:
    target = io.BytesIO()
    picture(width, height).save(target, kind, exif=exif or Image.Exif())
    return target.getvalue()


def with_gps() -> Image.Exif:
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (54.0, 19.0, 12.5), 3: "E", 4: (10.0, 8.0, 6.0)})
    return exif


def put_multipart(s3: Any, key: str, data: bytes) -> None:
    """An upload in parts, of which all but the last have 5 MiB at least."""
    upload = s3.create_multipart_upload(Bucket=NAMES["source"], Key=key)["UploadId"]
    where = {"Bucket": NAMES["source"], "Key": key, "UploadId": upload}
    parts = [data[start : start + 5 * 2**20] for start in range(0, len(data), 5 * 2**20)]
    etags = [s3.upload_part(**where, PartNumber=number, Body=part)["ETag"] for number, part in enumerate(parts, 1)]
    finished = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
    s3.complete_multipart_upload(**where, MultipartUpload={"Parts": finished})


def notifications(s3: Any) -> list[str]:
    found = s3.get_bucket_notification_configuration(Bucket=NAMES["source"])
    return [each["LambdaFunctionArn"] for each in found.get("LambdaFunctionConfigurations", ())]


def test_the_whole_life_of_a_deployment(project: Project) -> None:
    s3 = project.client("s3")
    set_names(project)
    foreign = foreign_notification(project)
    assert "Deployment complete" in project.zappa("deploy", "live")
    assert len(notifications(s3)) == 2

    originals = {
        "gps.jpg": encoded("JPEG", 3000, 2000, with_gps()),
        "plate.png": encoded("PNG", 640, 480),
        "map.tif": encoded("TIFF", 320, 200),
        ODD_KEY: encoded("JPEG", 330, 200),
    }
    for key, data in originals.items():
        s3.put_object(Bucket=NAMES["source"], Key=key, Body=data)
    put_multipart(s3, "scans/large.tif", encoded("TIFF", 2600, 2400))
    pointers = {key for key in project.keys("zoom") if not key.startswith("_tiles/")}
    assert pointers == {"gps.jpg.dzi", "plate.png.dzi", "map.tif.dzi", "trip/a b+c ä~3F.jpg.dzi", "scans/large.tif.dzi"}
    document = json.loads(s3.get_object(Bucket=NAMES["metadata"], Key="gps.jpg.json")["Body"].read())
    assert [tag["text"] for name, tag in document["tags"].items() if name.endswith("GPSPosition")] == [
        "54 deg 19' 12.50\" N, 10 deg 8' 6.00\" E"
    ]

    look_at_the_pages(project)
    update_and_lose_nothing(project)
    for _ in range(2):
        project.zappa("schedule", "live")
    assert sorted(notifications(s3)) == sorted({*notifications(s3)})
    assert len(notifications(s3)) == 2
    rules = project.client("events").list_rules()["Rules"]
    assert [rule["ScheduleExpression"] for rule in rules] == ["rate(1 hour)"]

    s3.delete_object(Bucket=NAMES["source"], Key="gps.jpg")
    assert "gps.jpg.dzi" not in project.keys("zoom")
    assert "gps.jpg.json" not in project.keys("metadata")

    everything = {purpose: project.keys(purpose) for purpose in ("source", "zoom", "metadata")}
    project.zappa("undeploy", "live", "--yes")
    assert {purpose: project.keys(purpose) for purpose in everything} == everything
    assert notifications(s3) == [foreign]
    hold_the_calls_against_the_policy(project)


def foreign_notification(project: Project) -> str:
    """Another function hears of the same bucket, under a prefix of its own."""
    role = project.client("iam").create_role(RoleName="other", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("other.py", "def handle(event, context):\n    return None\n")
    made = project.client("lambda").create_function(
        FunctionName="other", Runtime="python3.13", Role=role, Handler="other.handle", Code={"ZipFile": archive.getvalue()}
    )
    arn = str(made["FunctionArn"])
    rule = {"Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "somebody-elses/"}]}}}
    configuration = {"Id": "other", "LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"], **rule}
    project.client("s3").put_bucket_notification_configuration(
        Bucket=NAMES["source"], NotificationConfiguration={"LambdaFunctionConfigurations": [configuration]}
    )
    return arn


def look_at_the_pages(project: Project) -> None:
    assert project.get("/")["statusCode"] in (302, 303), "nobody gets in without a password"
    assert project.get("/dzi/gps.jpg.dzi")["statusCode"] == 401
    project.sign_in()
    page = project.get("/")["body"]
    assert "3,000 × 2,000" in page
    links = re.findall(r'(?:href|src)="(/[^"]*)"', page)
    assert links
    assert all(link.startswith("/live/") for link in links), links
    s3 = project.client("s3")
    tile = next(key for key in project.keys("zoom") if key.endswith("/image_files/12/3_4.jpg"))
    stored = s3.get_object(Bucket=NAMES["zoom"], Key=tile)["Body"].read()
    generation = tile.split("/")[2]
    assert body_of(project.get(f"/dzi/gps.jpg_files/12/3_4.jpg?v={generation}")) == stored
    assert project.get("/image/trip/a%20b%2Bc%20%C3%A4~3F.jpg")["statusCode"] == 200


def update_and_lose_nothing(project: Project) -> None:
    """`zappa update` takes the notification away for a while; what is put meanwhile is found by the scheduled function."""
    s3 = project.client("s3")
    settings = project.folder / "zappa_settings.json"
    changed = json.loads(settings.read_text())
    changed["live"]["aws_environment_variables"]["LAMBDAZOOM_QUALITY"] = "55"
    settings.write_text(json.dumps(changed, indent=2))
    ours = s3.get_bucket_notification_configuration(Bucket=NAMES["source"])["LambdaFunctionConfigurations"]
    kept = [each for each in ours if FUNCTION not in each["LambdaFunctionArn"]]
    # in the middle of the update: the notification is away
    s3.put_bucket_notification_configuration(Bucket=NAMES["source"], NotificationConfiguration={"LambdaFunctionConfigurations": kept})
    s3.put_object(Bucket=NAMES["source"], Key="missed.jpg", Body=encoded("JPEG", 340, 200))
    assert "updated" in project.zappa("update", "live").lower()
    assert len(notifications(s3)) == 2
    assert "missed.jpg.dzi" not in project.keys("zoom")
    rule = project.client("events").list_rules()["Rules"][0]
    project.invoke({"source": "aws.events", "detail-type": "Scheduled Event", "resources": [rule["Arn"]], "detail": {}})
    assert "missed.jpg.dzi" in project.keys("zoom")
    pointer = s3.get_object(Bucket=NAMES["zoom"], Key="missed.jpg.dzi")["Body"].read().decode()
    assert "q55" in pointer, "the changed setting is in force"


def hold_the_calls_against_the_policy(project: Project) -> None:
    """Each call that the function made is allowed by its policy, and each action that the policy allows occurred."""
    policy = json.loads((project.folder / "zappa_policy.json").read_text())
    needed = set()
    for line in project.calls.read_text().splitlines():
        who, method, path, query = json.loads(line)
        if who == "role" and path != "/":
            needed.add(action_of(method, path, query))
    refused = [each for each in needed if not allows(policy, *each)]
    assert refused == []
    used = {action for action, _ in needed}
    allowed = {action for statement in policy["Statement"] for action in listed(statement["Action"])}
    assert {action for action in allowed if not action.startswith("logs:")} == used


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def action_of(method: str, path: str, query: str) -> tuple[str, str]:
    """The IAM action and resource of a call to S3 (S3's "Actions, resources, and condition keys")."""
    bucket, _, key = path.lstrip("/").partition("/")
    if not key:
        deletes = method == "POST" and "delete" in query
        return ("s3:DeleteObject", f"arn:aws:s3:::{bucket}/anything") if deletes else ("s3:ListBucket", f"arn:aws:s3:::{bucket}")
    action = {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "PUT": "s3:PutObject", "DELETE": "s3:DeleteObject"}[method]
    return action, f"arn:aws:s3:::{bucket}/{key}"
