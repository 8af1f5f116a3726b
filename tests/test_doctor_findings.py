"""`doctor` on set-ups that are broken or doubtful: each is named with its way out."""

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from lambdazoom.operations.findings import Mark
from tests.deployed import Deployed, s3_statements, the_line
from tests.deployed import deployed as deployed  # a fixture
from tests.deployed import project as project  # a fixture

pytestmark = pytest.mark.long  # each sets all up on moto's AWS, and looks at all of it: some minutes together


def set_arn(project: Deployed) -> None:
    events = project.stage["events"]
    events[0]["event_source"]["arn"] = "arn:aws:s3:::another"
    project.change(events=events)


def set_same_bucket(project: Deployed) -> None:
    environment = {**project.stage["aws_environment_variables"], "LAMBDAZOOM_ZOOM": f"s3://{project.names['source']}/zoom"}
    project.change(aws_environment_variables=environment)


def drop_expired_from_settings(project: Deployed) -> None:
    events = project.stage["events"]
    events[0]["event_source"]["events"].remove("s3:LifecycleExpiration:*")
    project.change(events=events)


def set_unknown_name(project: Deployed) -> None:
    project.change(aws_environment_variables={**project.stage["aws_environment_variables"], "LAMBDAZOOM_QUALTY": "80"})


def set_impossible_tile_size(project: Deployed) -> None:
    project.change(aws_environment_variables={**project.stage["aws_environment_variables"], "LAMBDAZOOM_TILE_SIZE": "3"})


def break_policy_file(project: Deployed) -> None:
    (project.folder / "zappa_policy.json").write_text("{}")


def fit_policy_file_to_others(project: Deployed) -> None:
    text = json.dumps(project.policy).replace(project.names["zoom"], "other-zoom")
    (project.folder / "zappa_policy.json").write_text(text)


def claim_to_manage_the_source(project: Deployed) -> None:
    project.change(aws_environment_variables={**project.stage["aws_environment_variables"], "LAMBDAZOOM_MANAGE_SOURCE": "yes"})


def drop_policy_file(project: Deployed) -> None:
    (project.folder / "zappa_policy.json").unlink()


def drop_attach_policy(project: Deployed) -> None:
    project.change(attach_policy=None)


def drop_remote_env(project: Deployed) -> None:
    project.change(remote_env=None)


def debug(project: Deployed) -> None:
    project.change(debug=True)


def delete_zoom(project: Deployed) -> None:
    boto3.client("s3").delete_bucket(Bucket=project.names["zoom"])


def delete_secrets(project: Deployed) -> None:
    boto3.client("s3").delete_object(Bucket=project.names["metadata"], Key="_lambdazoom/secrets/live.json")


def open_metadata(project: Deployed) -> None:
    s3, name = boto3.client("s3"), project.names["metadata"]
    s3.delete_public_access_block(Bucket=name)
    opening = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{name}/*"}
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [opening]}))


def claim_public_tiles(project: Deployed) -> None:
    url = f"https://{project.names['zoom']}.s3.us-east-1.amazonaws.com"
    project.change(aws_environment_variables={**project.stage["aws_environment_variables"], "LAMBDAZOOM_TILES_URL": url})


def put_huge_original(project: Deployed) -> None:
    project.notify()  # moto would look for Docker to run the function
    boto3.client("s3").put_object(Bucket=project.names["source"], Key="small.jpg", Body=b"x")
    boto3.client("s3").put_object(Bucket=project.names["source"], Key="huge.tif", Body=b"x" * 3_000_000)
    project.change(ephemeral_storage={"Size": 2})


def shrink_memory(project: Deployed) -> None:
    boto3.client("lambda").update_function_configuration(FunctionName=project.function_name, MemorySize=512, Timeout=30)


def change_setting(project: Deployed) -> None:
    project.change(aws_environment_variables={**project.stage["aws_environment_variables"], "LAMBDAZOOM_QUALITY": "55"})


def drop_notification(project: Deployed) -> None:
    project.notify()


def shorten_notification(project: Deployed) -> None:
    project.notify(project.ours("s3:ObjectCreated:*"))


def filter_notification(project: Deployed) -> None:
    rules = [{"Name": "suffix", "Value": ".jpg"}]
    project.notify({**project.ours(), "Filter": {"Key": {"FilterRules": rules}}})


def give_notification_to_another(project: Deployed) -> None:
    project.notify(project.ours(arn=f"{project.arn}-2"))


def forbid_s3_to_call(project: Deployed) -> None:
    client = boto3.client("lambda")
    for each in s3_statements(project):
        client.remove_permission(FunctionName=project.function_name, StatementId=each["Sid"])


def lose_a_right(project: Deployed) -> None:
    statements = [each for each in project.policy["Statement"] if each["Sid"] != "LambdaZoomListZoom"]
    project.put_policy({**project.policy, "Statement": statements})


def disable_rule(project: Deployed) -> None:
    boto3.client("events").disable_rule(Name=f"{project.function_name}-lambdazoom.handler.on_schedule")


PROBLEMS: list[tuple[Callable[[Deployed], None], tuple[str, ...]]] = [
    (set_arn, ("The event's arn is arn:aws:s3:::another, but LAMBDAZOOM_SOURCE is s3://source-", "Make them the same.")),
    (set_same_bucket, ("LAMBDAZOOM_SOURCE and LAMBDAZOOM_ZOOM are both in the bucket", "Choose another bucket for LAMBDAZOOM_ZOOM.")),
    (drop_expired_from_settings, ("The event leaves out s3:LifecycleExpiration:*.", "Add them to `events`")),
    (set_unknown_name, ("There is no setting LAMBDAZOOM_QUALTY.", "Correct aws_environment_variables")),
    (set_impossible_tile_size, ("LAMBDAZOOM_TILE_SIZE", "Correct aws_environment_variables")),
    (break_policy_file, ("zappa_policy.json is no IAM policy", "delete it and run init again")),
    (
        fit_policy_file_to_others,
        ("does not fit the buckets: it lacks s3:GetObject on arn:aws:s3:::zoom-", "Run `python -m lambdazoom init`."),
    ),
    (
        claim_to_manage_the_source,
        ("zappa_policy.json does not fit the buckets: it lacks s3:PutObject on arn:aws:s3:::source-", "Run `python -m lambdazoom init`."),
    ),
    (drop_policy_file, ("There is no zappa_policy.json", "Run `python -m lambdazoom init`.")),
    (drop_attach_policy, ("Without attach_policy Zappa gives the function rights to all buckets.", '"attach_policy": "zappa_policy.json"')),
    (drop_remote_env, ("remote_env does not name the secrets", "Run `python -m lambdazoom init`.")),
    (debug, ("Debug is on", 'Set "debug": false.')),
    (delete_zoom, ("There is no bucket zoom-", "Run `python -m lambdazoom init`.")),
    (delete_secrets, ("No password is set", "Run `python -m lambdazoom init`.")),
    (open_metadata, ("The metadata bucket metadata-", "is open to the public.", "Turn on Block Public Access")),
    (claim_public_tiles, ("but it does not let them read", "Run `python -m lambdazoom init --public-tiles`.")),
    (put_huge_original, ("huge.tif, has 3 MB; the function has room for 2 MB.", "Raise ephemeral_storage")),
    (shrink_memory, ("memory_size is 512, not 3008; timeout_seconds is 30, not 900", "Run `zappa update live`.")),
    (change_setting, ("LAMBDAZOOM_QUALITY differs", "Run `zappa update live`.")),
    (drop_notification, ("does not tell", "s3:ObjectCreated:*, s3:ObjectRemoved:*, s3:LifecycleExpiration:*", "Run `zappa schedule live`")),
    (shorten_notification, ("of s3:ObjectRemoved:*, s3:LifecycleExpiration:*", "Run `zappa schedule live`")),
    (filter_notification, ("does not tell", "s3:ObjectCreated:*", "Run `zappa schedule live`")),
    (give_notification_to_another, ("-live-2 and so can't tell", "Move the other to an SNS topic or EventBridge")),
    (forbid_s3_to_call, ("S3 may not call", "Run `zappa schedule live`.")),
    (lose_a_right, ("lacks s3:ListBucket on arn:aws:s3:::zoom-", "Run `python -m lambdazoom init`, then `zappa update live`.")),
    (disable_rule, ("No enabled rule of EventBridge calls lambdazoom.handler.on_schedule.", "Run `zappa schedule live`.")),
]


@pytest.mark.parametrize(("damage", "parts"), PROBLEMS, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_broken_is_named_with_its_way_out(deployed: Deployed, damage: Callable[[Deployed], None], parts: tuple[str, ...]) -> None:
    damage(deployed)
    the_line(deployed.doctor(problems=True), Mark.PROBLEM, *parts)


def keep_versions_of_tiles(project: Deployed) -> None:
    boto3.client("s3").put_bucket_versioning(Bucket=project.names["zoom"], VersioningConfiguration={"Status": "Enabled"})


def keep_unfinished_uploads(project: Deployed) -> None:
    boto3.client("s3").delete_bucket_lifecycle(Bucket=project.names["source"])


def unblock_source(project: Deployed) -> None:
    boto3.client("s3").delete_public_access_block(Bucket=project.names["source"])


def widen_role(project: Deployed) -> None:
    wide = [{"Effect": "Allow", "Action": ["s3:*"], "Resource": "arn:aws:s3:::*"}, {"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}]
    project.put_policy({**project.policy, "Statement": [*project.policy["Statement"], *wide]})


def schedule_nothing(project: Deployed) -> None:
    project.change(events=project.stage["events"][:1])


def little_time(project: Deployed) -> None:
    project.change(timeout_seconds=60)
    boto3.client("lambda").update_function_configuration(FunctionName=project.function_name, Timeout=60)


WARNINGS: list[tuple[Callable[[Deployed], None], tuple[str, ...]]] = [
    (keep_versions_of_tiles, ("keeps versions: every tile that is swept stays, and is billed.", "Suspend versioning there")),
    (keep_unfinished_uploads, ("Unfinished uploads to source-", "Run `python -m lambdazoom init`.")),
    (unblock_source, ("Block Public Access is not fully on for source-", "Run `python -m lambdazoom init`.")),
    (
        widen_role,
        ("is too wide: it may read any bucket, write to any bucket, delete from any bucket, write to any queue.", "Set attach_policy."),
    ),
    (schedule_nothing, ("No function runs by the clock", '"expression": "rate(1 hour)"')),
    (little_time, ("The function has 60 s for an image.", 'Set "timeout_seconds": 900.')),
]


@pytest.mark.parametrize(("damage", "parts"), WARNINGS, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_doubtful_is_a_warning(deployed: Deployed, damage: Callable[[Deployed], None], parts: tuple[str, ...]) -> None:
    damage(deployed)
    the_line(deployed.doctor(), Mark.WARNING, *parts)


def test_versions_of_tiles_that_end_by_themselves_are_no_warning(deployed: Deployed) -> None:
    keep_versions_of_tiles(deployed)
    s3, name = boto3.client("s3"), deployed.names["zoom"]
    rules: Any = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    ending: Any = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": ""}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}}
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [*rules, ending]})
    the_line(deployed.doctor(), Mark.OK, "keeps versions of swept tiles, and a lifecycle rule ends them")
