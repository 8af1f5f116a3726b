"""`init` on moto's AWS: on nothing, again, on what others have set up, and on what it must refuse."""

import io
import json
import os
import re
import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from lambdazoom.cli import main
from lambdazoom.model.errors import SettingsError
from lambdazoom.model.passwords import is_right
from lambdazoom.model.settings import Settings
from lambdazoom.operations import buckets
from lambdazoom.operations.aws import open_aws
from lambdazoom.operations.json_text import with_values
from lambdazoom.operations.policy import PUBLIC_TILES, UNFINISHED_UPLOADS, allows
from lambdazoom.operations.stage import slug
from lambdazoom.operations.wishes import parse_bucket

ROOT = Path(__file__).parents[1]
ACCOUNT = "123456789012"  # moto's
PURPOSES = ("source", "zoom", "metadata", "deployment")


@dataclass
class Project:
    """A copy of the files that `init` changes, and four bucket names that nobody has used."""

    folder: Path
    capture: pytest.CaptureFixture[str]
    names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        some = uuid.uuid4().hex[:10]
        self.names = {purpose: f"{purpose}-{some}" for purpose in PURPOSES}
        for name in ("zappa_settings.json", "zappa_policy.json"):
            shutil.copy(ROOT / name, self.folder / name)
        text = self.settings_file.read_text("utf-8").replace('"lambdazoom"', f'"lz-{some}"', 1)
        self.settings_file.write_text(text, "utf-8")

    @property
    def settings_file(self) -> Path:
        return self.folder / "zappa_settings.json"

    @property
    def stage(self) -> dict[str, Any]:
        stage: dict[str, Any] = json.loads(self.settings_file.read_text("utf-8"))["live"]
        return stage

    @property
    def policy(self) -> dict[str, Any]:
        policy: dict[str, Any] = json.loads((self.folder / "zappa_policy.json").read_text("utf-8"))
        return policy

    @property
    def function_name(self) -> str:
        return slug(f"{self.stage['project_name']}-live")

    def run(self, command: str, *arguments: str, expect: int = 0) -> str:
        """Run a command; what it printed on both outputs."""
        code = main([command, "--settings", str(self.settings_file), *arguments])
        said = self.capture.readouterr()
        assert code == expect, said.out + said.err
        return said.out + said.err

    def init(self, *arguments: str, expect: int = 0) -> str:
        """Run init with all names, asking nothing."""
        named = [word for purpose in PURPOSES for word in (f"--{purpose}", self.names[purpose])]
        return self.run("init", *named, "--region", "us-east-1", "--yes", *arguments, expect=expect)

    def state(self) -> list[Any]:
        """All that init could change, on AWS and here."""
        aws, s3 = open_aws("us-east-1", None), boto3.client("s3")
        states: list[Any] = [buckets.look_at(aws, name) for name in self.names.values()]
        present = [state.name for state in states if state.exists]
        objects = [(each["Key"], each["ETag"]) for name in present for each in s3.list_objects_v2(Bucket=name).get("Contents", ())]
        return [*states, objects, self.settings_file.read_bytes(), (self.folder / "zappa_policy.json").read_bytes()]

    def secrets(self) -> dict[str, str]:
        answer = boto3.client("s3").get_object(Bucket=self.names["metadata"], Key="_lambdazoom/secrets/live.json")
        held: dict[str, str] = json.loads(answer["Body"].read())
        return held


@pytest.fixture
def project(aws: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Project:
    return Project(tmp_path, capsys)


def password_in(said: str) -> str:
    found = re.search(r"^Password: ([a-z2-9]{5}(?:-[a-z2-9]{5}){3})$", said, re.MULTILINE)
    assert found is not None, said
    return found[1]


def test_init_on_nothing_makes_four_private_buckets(project: Project) -> None:
    project.init()
    for state in project.state()[:4]:
        assert state.exists
        assert state.block == dict.fromkeys(buckets.BLOCKS, True)
        assert buckets.ends_unfinished_uploads(state.lifecycle_rules)
        assert not state.versioned
        assert state.policy is None
        assert state.cors == ()


def test_in_another_region_buckets_and_names_are_of_that_region(project: Project) -> None:
    said = project.init("--region", "eu-central-1", "--public-tiles")
    assert "Make the bucket" in said
    s3 = boto3.client("s3", region_name="eu-central-1")
    for name in project.names.values():
        assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] == "eu-central-1"
    assert project.stage["aws_region"] == "eu-central-1"
    tiles = f"https://{project.names['zoom']}.s3.eu-central-1.amazonaws.com"
    assert project.stage["aws_environment_variables"]["LAMBDAZOOM_TILES_URL"] == tiles
    log = f"arn:aws:logs:eu-central-1:{ACCOUNT}:log-group:/aws/lambda/{project.function_name}"
    assert allows(project.policy, "logs:CreateLogGroup", log)
    assert project.run("init", "--yes") == "Nothing to do: all is set up as wished.\n"


def test_init_writes_the_names_and_nothing_else(project: Project) -> None:
    before = project.settings_file.read_text("utf-8")
    said = project.init()
    after = project.settings_file.read_text("utf-8")
    expected = before.replace("your-deployment-bucket", project.names["deployment"]).replace("your-source-bucket", project.names["source"])
    expected = expected.replace("your-zoom-bucket", project.names["zoom"]).replace("your-metadata-bucket", project.names["metadata"])
    assert after == expected
    assert '-    "s3_bucket": "your-deployment-bucket",' in said
    assert f'+    "s3_bucket": "{project.names["deployment"]}",' in said


def test_the_policy_file_is_made_for_these_buckets(project: Project) -> None:
    project.init()
    source, zoom = project.names["source"], project.names["zoom"]
    assert allows(project.policy, "s3:GetObject", f"arn:aws:s3:::{source}/cat.jpg")
    assert not allows(project.policy, "s3:PutObject", f"arn:aws:s3:::{source}/cat.jpg")
    assert allows(project.policy, "s3:PutObject", f"arn:aws:s3:::{zoom}/cat.jpg.dzi")
    log = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/aws/lambda/{project.function_name}"
    assert allows(project.policy, "logs:PutLogEvents", f"{log}:log-stream:x")
    assert "your-" not in json.dumps(project.policy)


def test_a_password_is_shown_once_and_its_hash_lies_in_the_private_object_alone(project: Project) -> None:
    said = project.init()
    password, held = password_in(said), project.secrets()
    assert is_right(password, held["LAMBDAZOOM_PASSWORD_HASH"])
    assert Settings.from_env({**project.stage["aws_environment_variables"], **held})
    for text in (said, *(path.read_text("utf-8") for path in project.folder.iterdir())):
        assert held["LAMBDAZOOM_PASSWORD_HASH"] not in text
        assert held["LAMBDAZOOM_SESSION_SECRET"] not in text
    assert password not in "".join(path.read_text("utf-8") for path in project.folder.iterdir())
    assert project.stage["remote_env"] == f"s3://{project.names['metadata']}/_lambdazoom/secrets/live.json"


def test_zappas_own_handler_loads_the_secrets(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from zappa.handler import LambdaHandler
    from zappa.utilities import parse_s3_url

    project.init()
    held = project.secrets()
    for name in held:
        monkeypatch.setenv(name, "")
    handler = SimpleNamespace(settings=SimpleNamespace(LOG_LEVEL="INFO"), _get_boto_session=boto3.Session)
    LambdaHandler.load_remote_settings(handler, *parse_s3_url(project.stage["remote_env"]))
    assert {name: os.environ[name] for name in held} == held


@pytest.mark.parametrize("options", [(), ("--versioning", "--public-tiles", "--manage-source")])
def test_a_second_run_changes_nothing_and_says_so(project: Project, options: tuple[str, ...]) -> None:
    project.init(*options)
    before = project.state()
    assert project.init(*options) == "Nothing to do: all is set up as wished.\n"
    assert project.run("init", "--yes") == "Nothing to do: all is set up as wished.\n"  # names and all as the files have them
    assert project.state() == before


def test_a_dry_run_prints_the_same_plan_and_does_nothing(project: Project) -> None:
    before = project.state()
    options = ("--versioning", "--public-tiles", "--manage-source")
    dry = project.init("--dry-run", *options)
    assert project.state() == before
    assert "This was a dry run: nothing has been changed." in dry
    assert "Password:" not in dry
    plan = dry.splitlines()[:-1]
    wet = project.init(*options).splitlines()
    assert wet[: len(plan)] == plan
    sentences = [line[2:] for line in wet if line.startswith("✓ ")]
    assert len(sentences) == 19
    assert [line[2:] for line in plan if line[2:] in sentences] == sentences


def test_what_others_have_set_up_stays(project: Project) -> None:
    s3 = boto3.client("s3")
    source, zoom = project.names["source"], project.names["zoom"]
    for name in (source, zoom):
        s3.create_bucket(Bucket=name)
    rule = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "old/"}, "Expiration": {"Days": 30}}
    s3.put_bucket_lifecycle_configuration(Bucket=source, LifecycleConfiguration={"Rules": [rule]})  # type: ignore[list-item]
    cors = {"AllowedMethods": ["PUT"], "AllowedOrigins": ["https://example.org"]}
    s3.put_bucket_cors(Bucket=source, CORSConfiguration={"CORSRules": [cors]})  # type: ignore[list-item]
    role = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    theirs = {"Sid": "Theirs", "Effect": "Allow", "Principal": role, "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{zoom}/*"}
    s3.put_bucket_policy(Bucket=zoom, Policy=json.dumps({"Version": "2012-10-17", "Statement": [theirs]}))
    s3.put_bucket_versioning(Bucket=source, VersioningConfiguration={"Status": "Enabled"})
    queue = {"Id": "q", "QueueArn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:theirs", "Events": ["s3:ObjectRestore:*"]}
    boto3.client("sqs").create_queue(QueueName="theirs")
    s3.put_bucket_notification_configuration(Bucket=source, NotificationConfiguration={"QueueConfigurations": [queue]})  # type: ignore[list-item]

    said = project.init("--no-versioning", "--public-tiles", "--manage-source")

    state = {each.name: each for each in project.state()[:4]}
    assert [each["ID"] for each in state[source].lifecycle_rules] == ["theirs", UNFINISHED_UPLOADS]
    assert state[source].lifecycle_rules[0]["Expiration"] == {"Days": 30}
    assert state[source].cors[0]["AllowedOrigins"] == ["https://example.org"]
    assert len(state[source].cors) == 2
    assert [each["Sid"] for each in state[zoom].policy["Statement"]] == ["Theirs", PUBLIC_TILES]
    assert state[source].versioned
    assert [each.destination for each in state[source].notifications] == [queue["QueueArn"]]
    assert "already tells" not in said


def test_a_notification_that_would_keep_ours_out_is_named(project: Project) -> None:
    s3, source = boto3.client("s3"), project.names["source"]
    s3.create_bucket(Bucket=source)
    boto3.client("sqs").create_queue(QueueName="rival")
    queue = {"QueueArn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:rival", "Events": ["s3:ObjectCreated:Put"]}
    s3.put_bucket_notification_configuration(Bucket=source, NotificationConfiguration={"QueueConfigurations": [queue]})  # type: ignore[list-item]
    said = project.init()
    assert f"! {source} already tells {queue['QueueArn']} of s3:ObjectCreated:Put, and S3 takes one listener for an event." in said


def test_public_tiles_open_the_zoom_bucket_as_far_as_needed_and_no_other(project: Project) -> None:
    project.init("--public-tiles")
    state = {each.name: each for each in project.state()[:4]}
    zoom = state[project.names["zoom"]]
    assert zoom.block == dict(zip(buckets.BLOCKS, (True, True, False, False), strict=True))
    assert allows(zoom.policy, "s3:GetObject", f"arn:aws:s3:::{zoom.name}/_tiles/3f/x/image_files/0/0_0.jpg")
    assert not allows(zoom.policy, "s3:ListBucket", f"arn:aws:s3:::{zoom.name}")
    assert zoom.cors[0]["AllowedOrigins"] == ["*"]
    for name, other in state.items():
        if name != zoom.name:
            assert other.block == dict.fromkeys(buckets.BLOCKS, True)
            assert other.policy is None
    environment = project.stage["aws_environment_variables"]
    assert environment["LAMBDAZOOM_TILES_URL"] == f"https://{zoom.name}.s3.us-east-1.amazonaws.com"
    assert Settings.from_env(environment)


def test_managing_the_source_stays_until_it_is_taken_back(project: Project) -> None:
    put = ("s3:PutObject", f"arn:aws:s3:::{project.names['source']}/cat.jpg")
    setting = "LAMBDAZOOM_MANAGE_SOURCE"
    project.init("--manage-source")
    assert allows(project.policy, *put)
    assert project.stage["aws_environment_variables"][setting] == "yes"
    assert "ETag" in project.state()[0].cors[0]["ExposeHeaders"]
    project.init()
    assert allows(project.policy, *put)
    assert project.stage["aws_environment_variables"][setting] == "yes"
    project.init("--no-manage-source")
    assert not allows(project.policy, *put)
    assert project.stage["aws_environment_variables"][setting] == "no"


def test_versions_are_kept_where_wished(project: Project) -> None:
    project.init("--versioning")
    versioned = {each.name: each.versioned for each in project.state()[:4]}
    assert versioned == {name: name == project.names["source"] for name in project.names.values()}


def test_another_password_keeps_the_rest(project: Project) -> None:
    first, before = password_in(project.init()), project.secrets()
    second, after = password_in(project.init("--new-password")), project.secrets()
    assert second != first
    assert is_right(second, after["LAMBDAZOOM_PASSWORD_HASH"])
    assert after["LAMBDAZOOM_SESSION_SECRET"] == before["LAMBDAZOOM_SESSION_SECRET"]


def test_statements_that_somebody_added_to_the_policy_file_stay(project: Project) -> None:
    project.init()
    theirs = {"Sid": "Kms", "Effect": "Allow", "Action": "kms:Decrypt", "Resource": "arn:aws:kms:us-east-1:1:key/x"}
    (project.folder / "zappa_policy.json").write_text(json.dumps({**project.policy, "Statement": [theirs]}), "utf-8")
    project.init()
    assert theirs in project.policy["Statement"]
    assert allows(project.policy, "s3:GetObject", f"arn:aws:s3:::{project.names['source']}/x")


def test_prefixes_reach_settings_policy_secrets_and_tiles_address(project: Project) -> None:
    for purpose in ("source", "zoom", "metadata"):
        project.names[purpose] += f"/in/{purpose}"
    project.init("--public-tiles")
    environment = project.stage["aws_environment_variables"]
    assert environment["LAMBDAZOOM_ZOOM"] == f"s3://{project.names['zoom']}"
    assert environment["LAMBDAZOOM_TILES_URL"].endswith(".s3.us-east-1.amazonaws.com/in/zoom")
    assert project.stage["remote_env"] == f"s3://{project.names['metadata']}/_lambdazoom/secrets/live.json"
    source = project.names["source"]
    assert project.stage["events"][0]["event_source"]["arn"] == f"arn:aws:s3:::{source.split('/')[0]}"
    assert allows(project.policy, "s3:GetObject", f"arn:aws:s3:::{source}/cat.jpg")
    assert not allows(project.policy, "s3:GetObject", f"arn:aws:s3:::{source.split('/')[0]}/cat.jpg")
    assert project.run("init", "--yes") == "Nothing to do: all is set up as wished.\n"


def test_init_asks_for_what_is_not_given(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [*project.names.values(), "us-east-1", "y", "y"]  # versions, and all of it
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(answers) + "\n"))
    said = project.run("init")
    assert "Bucket for images" in said
    assert project.state()[0].versioned
    assert project.stage["s3_bucket"] == project.names["deployment"]


def test_a_no_changes_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = project.state()
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join([*project.names.values(), "us-east-1", "n", "n"]) + "\n"))
    assert "lambdazoom: stopped." in project.run("init", expect=1)
    assert project.state() == before


def test_without_an_answer_the_option_is_named(project: Project) -> None:
    assert "name it with --source" in project.run("init", "--yes", expect=2)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ({"zoom": "source"}, "Source and zoom are both in the bucket"),
        ({"metadata": "source"}, "Source and metadata are both in the bucket"),
        ({"metadata": "zoom"}, "Zoom and metadata are both in the bucket"),
        ({"deployment": "source"}, "Source and deployment are both in the bucket"),
    ],
)
def test_buckets_that_must_be_apart_are_refused(project: Project, names: dict[str, str], sentence: str) -> None:
    project.names.update({purpose: project.names[other] for purpose, other in names.items()})
    before = project.settings_file.read_bytes()
    said = project.init(expect=1)
    assert sentence in said
    assert "Choose another bucket for" in said
    assert project.settings_file.read_bytes() == before


@pytest.mark.parametrize(
    "name",
    ["Big-Letters", "ab", "x" * 64, "under_score", "two..dots", "192.168.0.1", "xn--x", "my-s3alias", "your-zoom-bucket", "a/../b", "-x-"],
)
def test_names_that_s3_does_not_take_are_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=r"can't be a bucket.*(Choose another name|must be)"):
        parse_bucket(name)


def test_a_bucket_in_another_region_is_refused(project: Project) -> None:
    where: Any = {"LocationConstraint": "eu-central-1"}
    s3 = boto3.client("s3", region_name="eu-central-1")
    s3.create_bucket(Bucket=project.names["zoom"], CreateBucketConfiguration=where)
    said = project.init(expect=1)
    assert f"The bucket {project.names['zoom']} lies in eu-central-1, not in us-east-1." in said


def test_a_bucket_of_another_account_is_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    role = boto3.client("sts").assume_role(RoleArn="arn:aws:iam::111111111111:role/other", RoleSessionName="other")["Credentials"]
    keys = {"aws_access_key_id": role["AccessKeyId"], "aws_secret_access_key": role["SecretAccessKey"]}
    stranger = boto3.Session(**keys, aws_session_token=role["SessionToken"])
    stranger.client("s3").create_bucket(Bucket=project.names["source"])
    monkeypatch.setenv("MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS", "false")
    said = project.init(expect=1)
    assert f"The bucket {project.names['source']} belongs to another account" in said
    assert "Choose another name." in said


def test_a_public_bucket_is_refused_for_metadata(project: Project) -> None:
    s3, name = boto3.client("s3"), project.names["metadata"]
    s3.create_bucket(Bucket=name)
    theirs = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{name}/*"}
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [theirs]}))
    assert f"The bucket {name} is open to the public" in project.init(expect=1)


def test_a_secrets_object_that_is_no_json_is_left_alone(project: Project) -> None:
    s3, name = boto3.client("s3"), project.names["metadata"]
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="_lambdazoom/secrets/live.json", Body=b"?")
    assert "is not the JSON object that Zappa reads" in project.init(expect=1)


def test_without_credentials_init_says_so(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(project.folder))
    assert "There are no AWS credentials." in project.init(expect=1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("{", "is not plain JSON"), ("{}", "has no stage live"), ('{"live": 1}', "has no stage live"), (None, "There is no")],
)
def test_settings_that_cannot_be_read_are_named(project: Project, text: str | None, sentence: str) -> None:
    project.settings_file.unlink() if text is None else project.settings_file.write_text(text)
    assert sentence in project.init(expect=1)


def test_changing_values_leaves_the_rest_of_a_text_as_it_is() -> None:
    text = '{\r\n\t"a" : {"b":[ 1, {"c": "x"} ] },\r\n\t"é": "ü"\r\n}\r\n\r\n'
    changed = with_values(text, {("a", "b", 1, "c"): "ö", ("n",): 1, ("a", "d"): {"e": 2}})
    assert changed == '{\r\n\t"a" : {"b":[ 1, {"c": "ö"} ],"d": {"e": 2} },\r\n\t"é": "ü",\r\n\t"n": 1\r\n}\r\n\r\n'
    assert with_values(changed, {("n",): 1, ("a", "d", "e"): 2}) == changed
    assert with_values("{}", {("a", "b"): 1}) == '{"a": {"b": 1}}'


@pytest.mark.parametrize("name", ["lambdazoom-live", "My Project_2-live", "a--b__c", "-x-", "Große-Sache"])
def test_the_functions_name_is_made_as_zappa_makes_it(name: str) -> None:
    from slugify import slugify

    ascii_name = name.replace("ß", "ss")  # Zappa takes ASCII names only
    assert slug(ascii_name) == slugify(ascii_name)
