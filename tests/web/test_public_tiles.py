"""What `init --public-tiles` sets up is enough, and not too much: a page of another site shows an image, straight from the bucket.

moto holds an unsigned request against the bucket's policy, as S3 does; Block Public Access and CORS are heeded here, as S3's documentation
has them, for moto lets every origin read everything.
"""

import io
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from playwright.sync_api import Browser

from lambdazoom.model.keys import ImageKey
from lambdazoom.model.settings import Settings
from lambdazoom.operations.aws import open_aws
from lambdazoom.operations.buckets import POLICY_BLOCKS, BucketState, look_at
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace, open_workspace
from tests.conftest import picture
from tests.project import Project
from tests.quiet_server import QuietHandler, serving

from .browsing import Witness, snippet, zoomed_into
from .browsing import plain_server as plain_server  # a fixture
from .conftest import Serve

KEY = "trip/a b+ä?.jpg"


@pytest.fixture
def project(aws: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Project:
    (tmp_path / "project").mkdir()
    project = Project(tmp_path / "project", capsys)
    project.init("--public-tiles")
    return project


@pytest.fixture
def amazon(aws: str) -> Iterator[str]:
    """S3 as somebody without an account meets it: moto without a signature, and the headers that the bucket's own CORS rules give."""

    @cache
    def state_of(bucket: str) -> BucketState:
        return look_at(open_aws("us-east-1", None), bucket)

    class Handler(QuietHandler):
        def respond(self) -> None:
            state = state_of(self.path.split("/")[1])
            if any((state.block or {}).get(each) for each in POLICY_BLOCKS):
                self.answer(403)
                return
            try:
                found = urllib.request.urlopen(f"{aws}{self.path}", timeout=30)
            except urllib.error.HTTPError as error:
                found = error
            with found:
                kept = {"Content-Type": found.headers["Content-Type"]}
                self.answer(found.status, found.read(), {**kept, **granted(state.cors, self.command, self.headers.get("Origin", ""))})

    with serving(Handler) as address:
        yield f"http://{address}"


@pytest.fixture
def workspace(project: Project, amazon: str) -> Iterator[Workspace]:
    """The function's own workspace, as zappa_settings.json has it, but for the address of S3; with one image published."""
    data = io.BytesIO()
    picture(2000, 1500).save(data, "JPEG")
    boto3.client("s3").put_object(Bucket=project.names["source"], Key=KEY, Body=data.getvalue())
    environment = dict(project.stage["aws_environment_variables"])
    assert environment["LAMBDAZOOM_TILES_URL"] == f"https://{project.names['zoom']}.s3.us-east-1.amazonaws.com"
    environment["LAMBDAZOOM_TILES_URL"] = f"{amazon}/{project.names['zoom']}"
    with open_workspace(Settings.from_env(environment)).closing() as opened:
        settle(ImageKey(KEY), opened)
        yield opened


def granted(rules: tuple[Mapping[str, Any], ...], method: str, origin: str) -> dict[str, str]:
    """What S3 adds for an origin, by the first rule that fits ("How does Amazon S3 evaluate the CORS configuration on a bucket?")."""
    fitting = [rule for rule in rules if method in rule["AllowedMethods"] and {"*", origin} & set(rule["AllowedOrigins"])]
    if not origin or not fitting:
        return {}
    star = "*" in fitting[0]["AllowedOrigins"]
    return {"Access-Control-Allow-Origin": "*" if star else origin, "Access-Control-Expose-Headers": ",".join(fitting[0]["ExposeHeaders"])}


@pytest.fixture
def visit(workspace: Workspace, serve: Serve, plain_server: str, browser: Browser, tmp_path: Path) -> Iterator[Callable[[], Witness]]:
    """Puts the snippet of our page into a bare page of another site, and zooms into it as far as it goes."""
    with serve() as address:
        page = browser.new_page()

        def go() -> Witness:
            (tmp_path / "site.html").write_text(snippet(page, f"{address}/image/{ImageKey(KEY).name}"), "utf-8")
            return zoomed_into(page, f"{plain_server}/site.html")

        yield go
        page.close()


def levels(witness: Witness) -> set[int]:
    found = (re.search(r"/image_files/(\d+)/", answer.url) for answer in witness.answers if answer.status == 200)
    return {int(match[1]) for match in found if match}


def complaints(witness: Witness) -> list[str]:
    return [complaint for complaint in witness.complaints if "favicon" not in complaint and "404" not in complaint]


def test_a_page_of_another_site_zooms_to_the_bottom(visit: Callable[[], Witness], project: Project, amazon: str) -> None:
    witness = visit()
    assert max(levels(witness)) == 11
    tiles = [answer for answer in witness.answers if "/image_files/" in answer.url]
    assert all(answer.url.startswith(f"{amazon}/{project.names['zoom']}/") for answer in tiles)
    assert complaints(witness) == []


def test_without_the_cors_rule_it_shows_nothing(visit: Callable[[], Witness], project: Project) -> None:
    boto3.client("s3").delete_bucket_cors(Bucket=project.names["zoom"])
    witness = visit()
    assert witness.hears("blocked by CORS policy")
    assert levels(witness) == set()


def test_nobody_reads_metadata_or_originals(project: Project, workspace: Workspace, amazon: str) -> None:
    pointer, document = ImageKey(KEY).pointer, f"{ImageKey(KEY).name}.json"
    statuses = {}
    for bucket, key in (("zoom", pointer), ("metadata", document), ("metadata", "_lambdazoom/secrets/live.json"), ("source", KEY)):
        address = f"{amazon}/{project.names[bucket]}/{urllib.request.pathname2url(key)}"
        try:
            with urllib.request.urlopen(address, timeout=30) as found:
                statuses[bucket, key] = found.status
        except urllib.error.HTTPError as error:
            statuses[bucket, key] = error.code
    assert statuses.pop(("zoom", pointer)) == 200
    assert set(statuses.values()) == {403}, statuses
