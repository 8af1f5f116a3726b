"""The checks that need no AWS: this machine, zappa_settings.json and the policy file. Each is a function of the stage."""

import os
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

from lambdazoom.metadata.exiftool import ExifTool, find_exiftool
from lambdazoom.model.errors import LambdaZoomError, SettingsError
from lambdazoom.model.settings import Settings
from lambdazoom.operations import policy
from lambdazoom.operations.access import PASSWORD_HASH, secrets_url
from lambdazoom.operations.buckets import Notification
from lambdazoom.operations.findings import RUN_INIT, Finding, ok, problem, warning
from lambdazoom.operations.init import EVENTS
from lambdazoom.operations.stage import MANAGE_SOURCE, PLACES, POLICY_FILE, Stage, read_policy

PROJECT = Path(__file__).resolve().parents[2]
VIEWER = PROJECT / "static" / "vendor" / "openseadragon" / "openseadragon.min.js"
LEAST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 14)
NO_ACCOUNT = "000000000000"  # where the policy is only compared by its buckets

Findings = Iterator[Finding]


def python() -> Findings:
    """The Python that runs this."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < LEAST_PYTHON:
        yield problem(f"Python {version} is too old.", "Install Python 3.13.")
    elif sys.version_info[:2] > NEWEST_PYTHON:
        yield warning(f"Python {version} is newer than Zappa knows.", "Deploy from Python 3.13.")
    else:
        yield ok(f"Python {version}.")


def environment() -> Findings:
    """The settings of this machine can be read."""
    try:
        Settings.from_env(os.environ)
    except SettingsError as error:
        yield problem(f"Here: {error}", "Correct the environment of this shell.")


def exiftool() -> Findings:
    """exiftool starts, with the perl that it finds, and reads a file."""
    configured = os.environ.get("LAMBDAZOOM_EXIFTOOL")
    try:
        program = find_exiftool(Path(configured) if configured else None)
        with ExifTool(program) as started:
            version = started.read(Path(__file__)).exiftool_version
    except LambdaZoomError as error:
        yield problem(f"exiftool does not work: {error}", "Run `make exiftool`.")
        return
    yield ok(f"exiftool {version} starts, with its perl ({program}).")


def assets() -> Findings:
    """The viewer's files are where the pages look for them."""
    if VIEWER.is_file():
        yield ok("The viewer's files are there.")
    else:
        yield problem("The viewer's files are missing, so images would not open.", "Run `make assets`.")


def names(stage: Stage) -> Findings:
    """Nobody's placeholder is left."""
    left = stage.placeholders
    if left:
        yield problem(f"{stage.path.name} still has placeholders: {', '.join(left)}.", RUN_INIT)
    else:
        yield ok(f"{stage.path.name} names buckets of your own.")


def settings(stage: Stage) -> Findings:
    """What the function is configured with can be read by it."""
    try:
        read = Settings.from_env(stage.environment)
    except SettingsError as error:
        yield problem(f"The function would not start: {error}", f"Correct aws_environment_variables in {stage.path.name}.")
        return
    folders = [name for purpose, name in PLACES.items() if purpose not in stage.buckets]
    if folders:
        yield problem(f"{', '.join(folders)} name no bucket, and Lambda has no folders that last.", RUN_INIT)
    else:
        yield ok(f"The settings can be read; tiles are {read.format}, {read.tile_size} pixels wide.")


def places(stage: Stage) -> Findings:
    """The source is nobody's destination, and pyramids and metadata are apart."""
    for (one, place), (other, above) in combinations(stage.buckets.items(), 2):
        if place.overlaps(above) or (one == "source" and place.name == above.name):
            what = f"{PLACES[one]} and {PLACES[other]} are both in the bucket {place.name}"
            why = ": each tile that is written would call the function again." if one == "source" else "."
            yield problem(what + why, f"Choose another bucket for {PLACES[other]}.")
            return
    yield ok("Source, zoom and metadata are apart from each other.")


def event(stage: Stage) -> Findings:
    """Zappa is told to register the events of the bucket that the function reads."""
    found = stage.object_event
    if found is None:
        yield problem(f"{stage.path.name} registers no event of S3: nothing would be processed.", "Add the `events` it came with.")
        return
    source = stage.buckets.get("source")
    arn = found[1]["event_source"]["arn"]
    if source and arn.split(":::")[-1] != source.name:
        yield problem(f"The event's arn is {arn}, but LAMBDAZOOM_SOURCE is s3://{source.name}.", f"Make them the same. {RUN_INIT}")
    registered = Notification("", tuple(found[1]["event_source"].get("events", ())), "", "")
    missing = [each for each in EVENTS if not registered.covers(each)]
    if missing:
        yield problem(f"The event leaves out {', '.join(missing)}.", f"Add them to `events` in {stage.path.name}, then `zappa update`.")
    if not stage.schedules:
        way_out = f'Add an event with "expression": "rate(1 hour)" for lambdazoom.handler.on_schedule to {stage.path.name}.'
        yield warning("No function runs by the clock: lost events are not caught up with, and replaced tiles stay.", way_out)
    if source and arn.split(":::")[-1] == source.name and not missing:
        yield ok(f"{stage.path.name} registers created, removed and expired objects of {source.name}.")


def zappa(stage: Stage) -> Findings:
    """Zappa's own defaults that would do harm are not in force."""
    values = stage.values
    if not values.get("attach_policy") and values.get("manage_roles", True):
        yield problem("Without attach_policy Zappa gives the function rights to all buckets.", f'Set "attach_policy": "{POLICY_FILE}".')
    metadata = stage.buckets.get("metadata")
    wanted = secrets_url(metadata, stage.name) if metadata else ""
    if PASSWORD_HASH not in stage.environment and values.get("remote_env") != wanted:
        yield problem("No password would reach the function: remote_env does not name the secrets in the metadata bucket.", RUN_INIT)
    if values.get("debug", True):
        yield problem("Debug is on: errors would show the code to everybody.", 'Set "debug": false.')
    if values.get("timeout_seconds", 30) < 300:
        yield warning(f"The function has {values.get('timeout_seconds', 30)} s for an image.", 'Set "timeout_seconds": 900.')


def policy_file(stage: Stage) -> Findings:
    """The file that becomes the role's policy is made for these buckets."""
    try:
        held = read_policy(stage)
    except SettingsError as error:
        yield problem(str(error), RUN_INIT)
        return
    if held is None:
        yield problem(f"There is no {stage.policy_path.name}, the function's policy.", RUN_INIT)
        return
    missing = missing_permissions(stage, held, NO_ACCOUNT, services=("s3",))
    if missing:
        yield problem(f"{stage.policy_path.name} does not fit the buckets: it lacks {', '.join(missing)}.", RUN_INIT)
    else:
        yield ok(f"{stage.policy_path.name} allows what these buckets need.")


def missing_permissions(
    stage: Stage, held: policy.Document, account: str, services: tuple[str, ...] = ("s3", "logs", "lambda")
) -> list[str]:
    """What the function needs and a policy does not allow, as `action on resource`."""
    buckets = stage.buckets
    if len(buckets) < len(PLACES):
        return []
    places = (buckets["source"], buckets["zoom"], buckets["metadata"])
    manages = stage.environment.get(MANAGE_SOURCE) == "yes"
    wanted = policy.function_policy(*places, stage.function_name, stage.region, account, manages)
    needed = [(action, resource) for action, resource in policy.needs(wanted) if action.split(":")[0] in services]
    return [f"{action} on {resource}" for action, resource in needed if not policy.allows(held, action, resource)]
