"""`init` on moto's AWS: on nothing, again, and on what others have set up."""

import json
import os
import re
from types import SimpleNamespace

import boto3
import pytest

from lambdazoom.model.passwords import is_right
from lambdazoom.model.settings import Settings
from lambdazoom.operations import buckets
from lambdazoom.operations.json_text import with_values
from lambdazoom.operations.policy import PUBLIC_TILES, UNFINISHED_UPLOADS, allows
from lambdazoom.operations.stage import slug
from tests.project import ACCOUNT, Project
from tests.project import project as project  # a fixture


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
