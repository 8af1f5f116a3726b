"""A project on moto's AWS that `init` has set up and boto3 has deployed, as Zappa does it, and what `doctor` says of it.

As zappa/core.py and zappa/utilities.py have it, down to their random statement ids.
"""

import io
import json
import random
import string
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest

from lambdazoom.operations.checks_function import PARTS
from lambdazoom.operations.findings import Mark
from tests.project import ACCOUNT, Project

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


def s3_statements(project: Deployed) -> list[dict[str, Any]]:
    held = json.loads(boto3.client("lambda").get_policy(FunctionName=project.function_name)["Policy"])["Statement"]
    return [each for each in held if each["Principal"] == {"Service": "s3.amazonaws.com"}]
