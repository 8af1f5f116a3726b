"""How S3 is reached: by what the environment says alone, and else by boto3's whole chain; over TLS too."""

import os
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
import trustme

from lambdazoom.model.errors import Conflict, NotFound, SettingsError, StorageError
from lambdazoom.model.places import Bucket
from lambdazoom.storage.base import JSON
from lambdazoom.storage.connection import Connection
from lambdazoom.storage.s3 import BucketStore
from tests.conftest import encoded
from tests.quiet_server import QuietHandler, serving

PROJECT = Path(__file__).parents[1]
SAYS_ALL = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "topsecret"}
SPEAKERS = ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment that says who we are, and nothing more."""
    for name in SPEAKERS:
        monkeypatch.delenv(name, raising=False)
    for name, value in SAYS_ALL.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


def asked_for() -> dict[str, object]:
    """What obstore's store was opened with."""
    return dict(Connection().store(30).config)


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_either_name_of_the_region_is_heard(environment: pytest.MonkeyPatch, name: str) -> None:
    environment.setenv(name, "eu-central-1")
    assert asked_for()["region"] == "eu-central-1"
    assert Connection().client.meta.region_name == "eu-central-1"


def test_a_passing_role_has_a_token(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_SESSION_TOKEN", "passing")
    assert asked_for()["session_token"] == "passing"


@pytest.mark.parametrize("region", ["cn-north-1", "us-gov-west-1", "us-iso-east-1"])
def test_regions_with_hosts_of_another_kind_are_left_to_boto3(environment: pytest.MonkeyPatch, region: str) -> None:
    environment.setenv("AWS_DEFAULT_REGION", region)
    assert asked_for()["endpoint"] == boto3.client("s3").meta.endpoint_url


@pytest.mark.parametrize(
    ("endpoint", "is_signed"),
    [(None, False), ("https://s3.example.com", False), ("http://127.0.0.1:9", False), ("http://10.0.0.7:9", True)],
)
def test_what_others_could_change_on_its_way_is_signed(environment: pytest.MonkeyPatch, endpoint: str | None, is_signed: bool) -> None:
    if endpoint:
        environment.setenv("AWS_ENDPOINT_URL", endpoint)
    assert str(asked_for()["unsigned_payload"]).lower() == str(not is_signed).lower()


def test_all_buckets_share_one_store(environment: pytest.MonkeyPatch) -> None:
    sent: list[str] = []

    class Handler(QuietHandler):
        def respond(self) -> None:
            self.body()
            sent.append(f"{self.command} {self.path}")
            self.answer(200, headers={"ETag": '"1"'})

    with serving(Handler) as address:
        environment.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        connection = Connection()
        for bucket in ("zoom", "meta.data"):
            BucketStore(connection, Bucket(bucket, "some")).put("trip/cat & dog.json", b"{}", JSON)
        assert connection.store(30) is connection.store(30)
    assert sent == ["PUT /zoom/some/trip/cat%20%26%20dog.json", "PUT /meta.data/some/trip/cat%20%26%20dog.json"]


def test_what_a_profile_says_is_heard(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[profile other]\nregion = eu-north-1\nendpoint_url = http://127.0.0.1:9\n")
    environment.setenv("AWS_PROFILE", "other")
    asked = asked_for()
    assert (asked["region"], asked["endpoint"]) == ("eu-north-1", "http://127.0.0.1:9")


def test_the_files_of_the_aws_command_line_may_say_where(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.delenv("AWS_ACCESS_KEY_ID")
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = AKIDOTHER\naws_secret_access_key = s\nregion = eu-west-3\n")
    assert asked_for()["region"] == "eu-west-3"


def test_whoever_has_no_home_has_no_files_there(environment: pytest.MonkeyPatch) -> None:
    def unknown(_: int) -> None:
        raise KeyError

    for name in ("HOME", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        environment.delenv(name)
    environment.setattr("pwd.getpwuid", unknown)
    assert asked_for()["region"] == "us-east-1"


def test_an_image_goes_from_bucket_to_bucket_without_boto3(make_bucket: Callable[[str], str]) -> None:
    places = {f"LAMBDAZOOM_{name}": make_bucket(name.lower()) for name in ("SOURCE", "ZOOM", "METADATA")}
    boto3.client("s3").put_object(Bucket=places["LAMBDAZOOM_SOURCE"], Key="trip/cat.jpg", Body=encoded(900, 600))
    program = "import sys, lambdazoom.cli\ncode = lambdazoom.cli.main(['process', 'trip/cat.jpg'])\nprint(code, 'boto3' in sys.modules)"
    environment = {**os.environ, **{name: f"s3://{bucket}" for name, bucket in places.items()}}
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-2:] == ["0", "False"], done.stderr
    store = BucketStore(Connection(), Bucket(places["LAMBDAZOOM_ZOOM"]))
    assert b"<Image" in store.read("trip/cat.jpg.dzi").data
    assert not list(BucketStore(Connection(), Bucket(places["LAMBDAZOOM_METADATA"])).list("_lambdazoom/generations/"))


@pytest.fixture
def private_s3(environment: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An S3 over TLS that holds nothing, certified by an authority that no system knows; the path of that one's certificate."""

    class Handler(QuietHandler):
        def respond(self) -> None:
            self.body()
            if self.command == "GET" and "list-type=2" in self.path:
                self.answer(200, b"<ListBucketResult><Name>zoom</Name><KeyCount>0</KeyCount></ListBucketResult>")
            elif self.command == "DELETE":
                self.answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            else:
                self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    with serving(Handler, context) as address:
        environment.setenv("AWS_ENDPOINT_URL", f"https://{address}")
        yield tmp_path / "authority.pem"


def test_a_private_authority_is_trusted_by_all_ways_once_it_is_named(private_s3: Path, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_CA_BUNDLE", str(private_s3))
    store = BucketStore(Connection(), Bucket("zoom"))
    with pytest.raises(NotFound):
        store.read("a.json")
    with pytest.raises(Conflict):
        store.delete("a.json", '"1"')
    assert list(store.list("")) == []


@pytest.mark.usefixtures("private_s3")
def test_a_bundle_that_is_not_there_is_told_by_its_name(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_CA_BUNDLE", "/nowhere/authorities.pem")
    with pytest.raises(SettingsError, match=r"^AWS_CA_BUNDLE is /nowhere/authorities.pem, which can't be read"):
        BucketStore(Connection(), Bucket("zoom")).read("a.json")


@pytest.mark.usefixtures("private_s3")
def test_nobody_else_is_trusted(environment: pytest.MonkeyPatch) -> None:
    environment.setattr("lambdazoom.storage.effort.time.sleep", lambda _: None)
    store = BucketStore(Connection(), Bucket("zoom"))
    for act in (lambda: store.read("a.json"), lambda: store.delete("a.json", '"1"'), lambda: store.write("a.json", b"{}", JSON, None)):
        with pytest.raises(StorageError, match="S3 could not be reached"):
            act()
