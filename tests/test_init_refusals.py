"""What `init` asks, and what it refuses, with a sentence and nothing changed."""

import io
import json
from typing import Any

import boto3
import pytest

from lambdazoom.model.errors import SettingsError
from lambdazoom.operations.wishes import parse_bucket
from tests.project import Project
from tests.project import project as project  # a fixture


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
