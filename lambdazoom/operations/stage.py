"""A stage of zappa_settings.json: what it says, what Zappa makes of it, and its text with other names; no AWS."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lambdazoom.model.errors import SettingsError
from lambdazoom.model.places import Bucket, Folder, parse_place

SETTINGS_FILE = Path("zappa_settings.json")
POLICY_FILE = "zappa_policy.json"
MANAGE_SOURCE = "LAMBDAZOOM_MANAGE_SOURCE"
PLACES = {"source": "LAMBDAZOOM_SOURCE", "zoom": "LAMBDAZOOM_ZOOM", "metadata": "LAMBDAZOOM_METADATA"}

_PLACEHOLDER = re.compile(r"(?<![\w.-])your-[a-z]+(?:-[a-z]+)*")


@dataclass(frozen=True)
class Stage:
    """One stage: the file that it stands in, the file's text, and its own values."""

    path: Path
    name: str
    text: str
    values: Mapping[str, Any]

    @property
    def function_name(self) -> str:
        """The function's name, made as Zappa makes it."""
        project = self.values.get("project_name") or slug(self.path.resolve().parent.name)[:15]
        return slug(f"{project}-{self.name}")

    @property
    def region(self) -> str:
        """The region that the stage names, or nothing."""
        return str(self.values.get("aws_region") or "")

    @property
    def profile(self) -> str | None:
        """The AWS profile that Zappa is told to use."""
        return self.values.get("profile_name")

    @property
    def environment(self) -> dict[str, str]:
        """The environment that the function is configured with."""
        return dict(self.values.get("aws_environment_variables") or {})

    @cached_property
    def buckets(self) -> dict[str, Bucket]:
        """Its buckets by purpose (source, zoom, metadata), as far as they are named rightly."""
        read = {purpose: _place(self.environment.get(setting, "")) for purpose, setting in PLACES.items()}
        return {purpose: place for purpose, place in read.items() if isinstance(place, Bucket)}

    @property
    def object_event(self) -> tuple[int, Mapping[str, Any]] | None:
        """Where in `events` S3's registration stands, and what it says."""
        events = enumerate(self.values.get("events") or ())
        return next(((at, each) for at, each in events if ":s3:::" in each.get("event_source", {}).get("arn", "")), None)

    @property
    def schedules(self) -> list[str]:
        """The functions that are to run by the clock."""
        return [each["function"] for each in self.values.get("events") or () if each.get("expression") or each.get("expressions")]

    @property
    def policy_path(self) -> Path:
        """The file with the function's policy; Zappa reads it relative to the folder that it is run in, which is this file's."""
        return self.path.parent / str(self.values.get("attach_policy") or POLICY_FILE)

    @property
    def placeholders(self) -> list[str]:
        """The names that nobody has replaced yet."""
        return placeholders_in(self.values)

    @property
    def is_named(self) -> bool:
        """Whether the three buckets have names of somebody's own."""
        return len(self.buckets) == len(PLACES) and not any(_PLACEHOLDER.match(each.name) for each in self.buckets.values())


def read_stage(path: Path, name: str) -> Stage:
    """The stage as the file has it; SettingsError if the file or the stage is not there, or is no plain JSON."""
    try:
        with path.open(encoding="utf-8", newline="") as opened:
            text = opened.read()
        document = json.loads(text)
    except FileNotFoundError as error:
        raise SettingsError(f"There is no {path}. Run this in the folder of LambdaZoom, where zappa_settings.json lies.") from error
    except ValueError as error:
        raise SettingsError(f"{path} is not plain JSON ({error}). Correct it; comments are not understood.") from error
    if not isinstance(document, dict) or not isinstance(document.get(name), dict):
        raise SettingsError(f"{path} has no stage {name}. Name one of its stages with --stage.")
    return Stage(path, name, text, document[name])


def read_policy(stage: Stage) -> dict[str, Any] | None:
    """The policy in the stage's policy file; None if there is no such file, SettingsError if it is no policy."""
    try:
        policy = json.loads(stage.policy_path.read_text("utf-8"))
        if not isinstance(policy, dict) or "Statement" not in policy:
            raise ValueError("it has no Statement")
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise SettingsError(f"{stage.policy_path} is no IAM policy ({error}). Correct it, or delete it and run init again.") from error
    return policy


def placeholders_in(document: Mapping[str, Any]) -> list[str]:
    """The placeholders in a JSON document, each once."""
    return sorted(set(_PLACEHOLDER.findall(json.dumps(document))))


def is_placeholder(name: str) -> bool:
    """Whether a name is one of those that stand in the file before anybody has chosen others."""
    return bool(_PLACEHOLDER.match(name))


def slug(name: str) -> str:
    """A name as Zappa writes it: small letters and digits, all else single dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _place(text: str) -> Bucket | Folder | None:
    try:
        return parse_place(text)
    except ValueError:
        return None
