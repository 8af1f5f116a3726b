"""`doctor` on moto's AWS: on nothing, on a good set-up, and on each broken one, named with its way out.

The deployment is made by boto3 as Zappa makes it (zappa/core.py, zappa/utilities.py), down to its random statement ids.
"""

import io
import json
import random
import string
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest

from lambdazoom.operations.checks_function import PARTS, at_once
from lambdazoom.operations.findings import Mark
from tests import moto_gaps
from tests.quiet_server import QuietHandler, serving
from tests.test_init import ACCOUNT, Project

pytestmark = pytest.mark.long  # each sets all up on moto's AWS, and looks at all of it: some minutes together

ASSUME = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


class Deployed(Project):
    """A project that `init` has set up and that is deployed."""

    @property
    def role(self) -> str:
        return f"{self.function_name}-ZappaLambdaExecutionRole"

    @property
    def arn(self) -> str:
        return f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:{self.function_name}"

    def deploy(self) -> None:
        iam = boto3.client("iam")
        role = iam.create_role(RoleName=self.role, AssumeRolePolicyDocument=json.dumps(ASSUME))["Role"]["Arn"]
        self.put_policy(self.policy)
        settings: Any = self.stage
        boto3.client("lambda").create_function(
            FunctionName=self.function_name,
            Runtime=settings["runtime"],
            Role=role,
            Handler="handler.lambda_handler",
            Code={"ZipFile": packed(*PARTS.values())},
            MemorySize=settings["memory_size"],
            Timeout=settings["timeout_seconds"],
            EphemeralStorage=settings["ephemeral_storage"],
            Environment={"Variables": settings["aws_environment_variables"]},
        )
        self.schedule(role)

    def schedule(self, role: str = "") -> None:
        """What `zappa schedule` does."""
        events, rule = boto3.client("events"), f"{self.function_name}-lambdazoom.handler.on_schedule"
        made = events.put_rule(Name=rule, ScheduleExpression="rate(1 hour)", State="ENABLED", RoleArn=role)["RuleArn"]
        events.put_targets(Rule=rule, Targets=[{"Id": "Id1", "Arn": self.arn}])
        self.permit("events", made)
        source = f"arn:aws:s3:::{self.names['source']}"
        self.permit("s3", source)
        self.permit("s3", source, sid=f"s3-{self.names['source']}", account=False)
        self.notify(self.ours())

    def permit(self, service: str, arn: str, sid: str = "", account: bool = True) -> None:
        sid = sid or "".join(random.choice(string.ascii_uppercase + string.digits) for _ in range(8))
        more = {"SourceAccount": ACCOUNT} if account else {}
        boto3.client("lambda").add_permission(
            FunctionName=self.function_name,
            StatementId=sid,
            Action="lambda:InvokeFunction",
            Principal=f"{service}.amazonaws.com",
            SourceArn=arn,
            **more,
        )

    def ours(self, *events: str, arn: str = "") -> dict[str, Any]:
        known = self.stage["events"][0]["event_source"]["events"]
        return {"Id": self.function_name, "LambdaFunctionArn": arn or self.arn, "Events": list(events) or known}

    def notify(self, *listeners: dict[str, Any]) -> None:
        configuration: Any = {"LambdaFunctionConfigurations": list(listeners)}
        s3 = boto3.client("s3")
        s3.put_bucket_notification_configuration(Bucket=self.names["source"], NotificationConfiguration=configuration)

    def put_policy(self, document: dict[str, Any]) -> None:
        iam = boto3.client("iam")
        iam.put_role_policy(RoleName=self.role, PolicyName="zappa-permissions", PolicyDocument=json.dumps(document))

    def change(self, **values: Any) -> None:
        """Change values of the stage in zappa_settings.json."""
        self.settings_file.write_text(json.dumps({"live": {**self.stage, **values}}, indent=2), "utf-8")

    def doctor(self, *arguments: str, problems: bool = False) -> list[str]:
        return self.run("doctor", *arguments, expect=1 if problems else 0).splitlines()


@cache
def packed(*names: str) -> bytes:
    """A zip of files with these names, and of more than one range can hold."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as opened:
        for name in (*names, *(f"package/module_{number}.py" for number in range(5000))):
            opened.writestr(name, "")
    return target.getvalue()


@pytest.fixture
def project(aws: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Deployed:
    return Deployed(tmp_path, capsys)


@pytest.fixture
def deployed(project: Deployed) -> Deployed:
    project.init()
    project.deploy()
    return project


def the_line(lines: list[str], mark: Mark, *parts: str) -> str:
    """The one line with this mark that holds all parts."""
    found = [line for line in lines if f" {mark} " in line and all(part in line for part in parts)]
    assert len(found) == 1, "\n".join(lines)
    return found[0]


def test_on_nothing_doctor_leads_to_init(project: Deployed) -> None:
    lines = project.doctor(problems=True)
    the_line(lines, Mark.PROBLEM, "your-deployment-bucket, your-metadata-bucket", "Run `python -m lambdazoom init`.")
    the_line(lines, Mark.WARNING, "Nothing was looked at on AWS")
    the_line(lines, Mark.OK, "Python 3.")
    the_line(lines, Mark.OK, "exiftool 1", "starts")
    the_line(lines, Mark.OK, "viewer")


def test_before_the_deployment_only_that_is_missing(project: Deployed) -> None:
    project.init()
    lines = project.doctor(problems=True)
    assert [line for line in lines if " problem " in line] == [the_line(lines, Mark.PROBLEM, "is not deployed", "Run `zappa deploy live`.")]


def test_a_good_set_up_has_no_problem(deployed: Deployed) -> None:
    lines = deployed.doctor()
    assert [line for line in lines if not line.startswith("✓")] == ["All is well."]
    for part in (
        "is there, in us-east-1",
        "created, removed and expired",
        "S3 may call",
        "The clock calls",
        "The role",
        "A password is set",
        "The function's zip holds exiftool, its modules, perl",
        "1,000 images can be worked on at once.",
    ):
        assert any(part in line for line in lines), part


def test_without_credentials_the_local_checks_are_made(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(deployed.folder))
    lines = deployed.doctor()
    the_line(lines, Mark.WARNING, "Nothing was looked at on AWS: There are no AWS credentials.")


def test_without_a_settings_file_doctor_says_where_to_run(deployed: Deployed) -> None:
    deployed.settings_file.unlink()
    the_line(deployed.doctor(problems=True), Mark.PROBLEM, "Run this in the folder of LambdaZoom")


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


def s3_statements(project: Deployed) -> list[dict[str, Any]]:
    held = json.loads(boto3.client("lambda").get_policy(FunctionName=project.function_name)["Policy"])["Statement"]
    return [each for each in held if each["Principal"] == {"Service": "s3.amazonaws.com"}]


def test_what_a_few_updates_leave_is_told_and_is_no_warning(deployed: Deployed) -> None:
    for _ in range(3):
        deployed.permit("s3", f"arn:aws:s3:::{deployed.names['source']}")
    the_line(deployed.doctor(), Mark.OK, "S3 may call the function for", "5 statements say so")


def test_leftover_permission_statements_are_counted_and_removed_on_request(deployed: Deployed) -> None:
    arn = f"arn:aws:s3:::{deployed.names['source']}"
    for _ in range(5):
        deployed.permit("s3", arn)
    deployed.permit("s3", "arn:aws:s3:::another-bucket")
    lines = deployed.doctor()
    the_line(lines, Mark.WARNING, "7 permission statements let", "Run `python -m lambdazoom doctor --fix`.")
    assert len(s3_statements(deployed)) == 8
    the_line(deployed.doctor("--fix"), Mark.OK, "7 permission statements let", "6 removed.")
    left = s3_statements(deployed)
    assert len(left) == 2, "one for the source, and the one of the other bucket"
    ours = next(each for each in left if arn in json.dumps(each))
    assert ACCOUNT in json.dumps(ours["Condition"]), "the one that names the account is kept"
    the_line(deployed.doctor("--fix"), Mark.OK, "S3 may call the function for")


def test_other_peoples_notifications_are_left_alone_and_named(deployed: Deployed) -> None:
    boto3.client("sqs").create_queue(QueueName="archive")
    queue = {"QueueArn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:archive", "Events": ["s3:ObjectRestore:*"]}
    configuration: Any = {"LambdaFunctionConfigurations": [deployed.ours()], "QueueConfigurations": [queue]}
    boto3.client("s3").put_bucket_notification_configuration(Bucket=deployed.names["source"], NotificationConfiguration=configuration)
    the_line(deployed.doctor(), Mark.OK, f"also tells {queue['QueueArn']} of s3:ObjectRestore:*; that is left alone.")


def test_public_tiles_are_as_wished(project: Deployed) -> None:
    project.init("--public-tiles")
    project.deploy()
    the_line(project.doctor(), Mark.OK, "can be read by everybody, as LAMBDAZOOM_TILES_URL wants it.")


def test_a_role_with_a_managed_policy_is_read_too(deployed: Deployed) -> None:
    iam = boto3.client("iam")
    arn = iam.create_policy(PolicyName=f"p-{deployed.function_name}", PolicyDocument=json.dumps(deployed.policy))["Policy"]["Arn"]
    iam.delete_role_policy(RoleName=deployed.role, PolicyName="zappa-permissions")
    iam.attach_role_policy(RoleName=deployed.role, PolicyArn=arn)
    the_line(deployed.doctor(), Mark.OK, "allows what the function needs")


@pytest.fixture
def denying() -> Iterator[str]:
    """An endpoint that refuses every call, as AWS refuses those that IAM does not allow."""

    class Handler(QuietHandler):
        def respond(self) -> None:
            self.body()
            self.answer(403, b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>")

    with serving(Handler) as address:
        yield f"http://{address}"


def test_a_check_that_may_not_look_says_so_and_the_others_go_on(deployed: Deployed, denying: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_IAM", denying)
    lines = deployed.doctor()
    the_line(lines, Mark.WARNING, "Not looked at: AWS refused ListRolePolicies. Use credentials that may do it.")
    the_line(lines, Mark.OK, "The clock calls")


def test_no_key_and_no_secret_is_printed(deployed: Deployed) -> None:
    said = "\n".join(deployed.doctor())
    for secret in ("testing", *deployed.secrets().values()):
        assert secret not in said


@pytest.mark.parametrize(("missing", "what"), [("perl", "perl"), ("exiftool", "exiftool"), ("the viewer", "the viewer")])
def test_what_the_deployed_zip_lacks_is_named(deployed: Deployed, missing: str, what: str) -> None:
    code = packed(*(name for part, name in PARTS.items() if part != missing))
    boto3.client("lambda").update_function_code(FunctionName=deployed.function_name, ZipFile=code)
    the_line(deployed.doctor(problems=True), Mark.PROBLEM, f"lacks {what}.", "Run `zappa update live` in the folder of LambdaZoom")


def test_code_that_cannot_be_read_is_said_without_its_signature(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    boto3.client("lambda").update_function_code(FunctionName=deployed.function_name, ZipFile=b"this is no zip")
    line = the_line(deployed.doctor(), Mark.WARNING, "Not looked at: The function's code could not be read (BadZipFile")
    assert "Signature" not in line


def test_a_new_accounts_limit_is_a_warning(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(moto_gaps.ACCOUNT_LIMIT, "UnreservedConcurrentExecutions", 10)
    the_line(deployed.doctor(), Mark.WARNING, "of 200 uploads 190 wait their turn", "Ask AWS to raise the quota")
    boto3.client("lambda").put_function_concurrency(FunctionName=deployed.function_name, ReservedConcurrentExecutions=5)
    the_line(deployed.doctor(), Mark.WARNING, "of 200 uploads 195 wait their turn", "Raise lambda_concurrency.")


@pytest.mark.parametrize(
    ("unreserved", "reserved", "mark", "part"),
    [
        (1000, None, Mark.OK, "1,000 images can be worked on at once."),
        (10, None, Mark.WARNING, "of 200 uploads 190 wait their turn, and pages wait with them"),
        (900, 20, Mark.WARNING, "Raise lambda_concurrency."),
    ],
)
def test_what_the_accounts_limit_means_is_said(unreserved: int, reserved: int | None, mark: Mark, part: str) -> None:
    (finding,) = at_once(unreserved, reserved)
    assert finding.mark is mark
    assert part in str(finding)
