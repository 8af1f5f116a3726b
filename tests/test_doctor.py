"""`doctor` on moto's AWS: on nothing, on a good set-up, on what others have changed, and where it may not look."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from lambdazoom.operations.checks_function import PARTS, at_once
from lambdazoom.operations.findings import Mark
from tests import moto_gaps
from tests.deployed import Deployed, packed, s3_statements, the_line
from tests.deployed import deployed as deployed  # a fixture
from tests.deployed import project as project  # a fixture
from tests.project import ACCOUNT
from tests.quiet_server import QuietHandler, serving

pytestmark = pytest.mark.long  # each sets all up on moto's AWS, and looks at all of it: some minutes together


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


def test_code_that_cannot_be_read_is_said_without_its_signature(deployed: Deployed) -> None:
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
