"""What tests of init and doctor share: a copy of the project's files, and the commands run on it."""

import json
import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from lambdazoom.cli import main
from lambdazoom.operations import buckets
from lambdazoom.operations.aws import open_aws
from lambdazoom.operations.stage import slug

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
