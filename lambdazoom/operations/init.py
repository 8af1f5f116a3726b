"""`init`: from names to buckets, settings, a policy and a password; the plan of it, without questions and without output."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from lambdazoom.model.errors import SettingsError
from lambdazoom.operations import bucket_steps, policy
from lambdazoom.operations.access import secrets_steps, secrets_url
from lambdazoom.operations.aws import Aws
from lambdazoom.operations.buckets import BucketState, look_at
from lambdazoom.operations.json_text import Path, with_values
from lambdazoom.operations.plan import Plan, Step, rewrite
from lambdazoom.operations.stage import MANAGE_SOURCE, PLACES, POLICY_FILE, Stage, placeholders_in, read_policy
from lambdazoom.operations.wishes import Wishes, check

EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:*")


@dataclass(frozen=True)
class Found:
    """The four buckets as they are."""

    source: BucketState
    zoom: BucketState
    metadata: BucketState
    deployment: BucketState


def look(wishes: Wishes, aws: Aws) -> Found:
    """What is there already; StorageError for a bucket that can't be used, SettingsError for wishes that contradict each other."""
    check(wishes)
    places = (wishes.source, wishes.zoom, wishes.metadata, wishes.deployment)
    found = Found(*(look_at(aws, place.name) for place in places))
    bucket_steps.refuse_open_metadata(found.metadata)
    return found


def make_plan(stage: Stage, wishes: Wishes, found: Found, aws: Aws) -> Plan:
    """All that has to be done, in an order in which a second run can take up what a first one left."""
    steps = (*_bucket_steps(wishes, found, aws), *_file_steps(stage, wishes, aws), *_secrets(stage, wishes, found, aws))
    notes = tuple(bucket_steps.foreign_notifications(found.source, stage.function_name, EVENTS))
    return Plan(steps, notes)


def manages_source(stage: Stage, wishes: Wishes) -> bool:
    """Whether the function may write to the source: as wished, else as the policy file has it."""
    if wishes.manage_source is not None:
        return wishes.manage_source
    return any(each.get("Sid") == policy.MANAGE_SOURCE for each in policy.statements_of(read_policy(stage) or {}))


def _bucket_steps(wishes: Wishes, found: Found, aws: Aws) -> Iterator[Step]:
    states = {state.name: state for state in (found.source, found.zoom, found.metadata, found.deployment)}
    for state in states.values():
        private = not (wishes.public_tiles and state.name == wishes.zoom.name)
        yield from bucket_steps.bucket(aws, state, private)
    if wishes.versioning:
        yield from bucket_steps.versions(aws, found.source)
    if wishes.public_tiles:
        yield from bucket_steps.public_tiles(aws, found.zoom, wishes.zoom)
    if wishes.manage_source:
        yield from bucket_steps.cors(aws, found.source, policy.source_cors(), "pages may upload with a signature")


def _file_steps(stage: Stage, wishes: Wishes, aws: Aws) -> Iterator[Step]:
    text = with_values(stage.text, _named(stage, wishes))
    if text != stage.text:
        yield rewrite(stage.path, stage.text, text)
    held = read_policy(stage)
    document = _policy(stage, wishes, aws, held)
    if document != held:
        before = stage.policy_path.read_text("utf-8") if held is not None else None
        yield rewrite(stage.policy_path, before, json.dumps(document, indent=2) + "\n")


def _named(stage: Stage, wishes: Wishes) -> dict[Path, object]:
    """What zappa_settings.json has to say, by path; each of it a name."""
    if stage.object_event is None:
        raise SettingsError(f"{stage.path} registers no event of S3 in the stage {stage.name}. Add the `events` that LambdaZoom came with.")
    at, _ = stage.object_event
    values: dict[Path, object] = {
        ("aws_region",): wishes.region,
        ("s3_bucket",): wishes.deployment.name,
        **{("aws_environment_variables", PLACES[purpose]): _url(wishes, purpose) for purpose in PLACES},
        ("events", at, "event_source", "arn"): policy.bucket_arn(wishes.source, wishes.region),
        ("remote_env",): secrets_url(wishes.metadata, stage.name),
        ("attach_policy",): stage.values.get("attach_policy", POLICY_FILE),
    }
    if wishes.public_tiles:
        values["aws_environment_variables", "LAMBDAZOOM_TILES_URL"] = wishes.tiles_url
    manages = manages_source(stage, wishes)
    if manages or MANAGE_SOURCE in stage.environment:  # the pages offer what the policy allows
        values["aws_environment_variables", MANAGE_SOURCE] = "yes" if manages else "no"
    return {(stage.name, *path): value for path, value in values.items()}


def _url(wishes: Wishes, purpose: str) -> str:
    place = {"source": wishes.source, "zoom": wishes.zoom, "metadata": wishes.metadata}[purpose]
    return f"s3://{place.name}/{place.prefix}".rstrip("/")


def _policy(stage: Stage, wishes: Wishes, aws: Aws, held: policy.Document | None) -> policy.Document:
    """The policy file: our statements anew, and those that somebody has added; what speaks of placeholders goes."""
    manage = manages_source(stage, wishes)
    places = (wishes.source, wishes.zoom, wishes.metadata)
    ours = policy.function_policy(*places, stage.function_name, wishes.region, aws.account, manage)
    gone = {each.get("Sid", "") for each in policy.statements_of(held or {}) if placeholders_in(each)}
    return policy.with_statements(held, ours["Statement"], gone if manage else {*gone, policy.MANAGE_SOURCE})


def _secrets(stage: Stage, wishes: Wishes, found: Found, aws: Aws) -> Iterator[Step]:
    exists, elsewhere = found.metadata.exists, stage.environment
    yield from secrets_steps(aws, wishes.metadata, stage.name, exists, elsewhere, wishes.new_password)
