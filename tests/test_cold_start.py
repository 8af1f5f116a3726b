"""What a cold start loads: the guests that the event in hand needs, and no others. (`benchmarks/cold_start.py` measures it.)"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Draw

PROJECT = Path(__file__).parents[1]
GUESTS = {"PIL", "boto3", "exiftool", "flask", "jinja2", "obstore", "pillow_heif", "tqdm", "waitress", "watchdog", "werkzeug", "zappa"}
PAGES = {"flask", "jinja2", "werkzeug"}

IN_BUCKETS = {
    **{f"LAMBDAZOOM_{name}": f"s3://{name.lower()}" for name in ("SOURCE", "ZOOM", "METADATA")},
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
ASK_FOR = """
from werkzeug.test import create_environ
import app
status = []
asked = create_environ({path!r}, "http://localhost/", environ_overrides={{"REMOTE_ADDR": "127.0.0.1"}})
list(app.app(asked, lambda line, headers: status.append(line)))
assert status == [{status!r}], status
"""


def guests_after(program: str, environment: dict[str, str] | None = None) -> set[str]:
    """The guest libraries that are loaded after a program in a fresh process."""
    command = [sys.executable, "-c", f"{program}\nimport sys\nprint(*sys.modules)"]
    done = subprocess.run(command, cwd=PROJECT, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in done.stdout.split()} & GUESTS


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("import app", set()),
        ("import lambdazoom.handler", {"exiftool"}),
        ("import app, lambdazoom.handler", {"exiftool"}),  # what Zappa imports when an event of S3 comes
        ("import lambdazoom.web.application", {"exiftool", *PAGES}),
    ],
    ids=["application", "event handler", "both", "pages"],
)
def test_importing_a_door_loads_only_what_it_needs(program: str, expected: set[str]) -> None:
    assert guests_after(program) == expected


def test_the_first_page_loads_neither_pillow_nor_the_watch_nor_a_server(environment: dict[str, str]) -> None:
    assert guests_after(ASK_FOR.format(path="/", status="200 OK"), environment) == {"exiftool", *PAGES}
    sent_home = ASK_FOR.format(path="/sign-in", status="303 SEE OTHER")  # the least that opens the buckets; they aren't there
    assert guests_after(sent_home, IN_BUCKETS) == {"exiftool", "obstore", *PAGES}


def test_pillow_comes_when_an_image_is_to_be_made(environment: dict[str, str], draw: Draw) -> None:
    draw("cat.jpg")
    record = {"s3": {"bucket": {"name": "b", "arn": "arn:aws:s3:::b"}, "object": {"key": "cat.jpg"}}}
    tell = f"import lambdazoom.handler\nlambdazoom.handler.on_object_event({{'Records': [{record}]}}, None)"
    assert guests_after(tell, environment) == {"PIL", "exiftool"}
    assert guests_after(tell, environment) == {"exiftool"}  # all is as it should be


def test_the_first_event_of_a_bucket_loads_neither_flask_nor_the_watch() -> None:
    opened = "import app, lambdazoom.handler\nlambdazoom.handler.door.workspace()"
    assert guests_after(opened, IN_BUCKETS) == {"exiftool", "obstore"}
