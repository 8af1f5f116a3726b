"""`doctor`: all checks in their order; one that may not look says so, and the others go on."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from lambdazoom.model.errors import SettingsError, StorageError
from lambdazoom.operations import checks_buckets, checks_function, checks_here
from lambdazoom.operations.aws import open_aws
from lambdazoom.operations.checks_buckets import Site
from lambdazoom.operations.findings import RUN_INIT, Finding, Mark, problem, warning
from lambdazoom.operations.stage import PLACES, Stage, read_stage

Check = Callable[[], Iterator[Finding]]

HERE = (checks_here.python, checks_here.environment, checks_here.exiftool, checks_here.assets)
OF_STAGE = (
    checks_here.names,
    checks_here.settings,
    checks_here.places,
    checks_here.event,
    checks_here.zappa,
    checks_here.policy_file,
)

OF_PURPOSE: dict[str, Callable[[Site], Iterator[Finding]]] = {
    "source": checks_buckets.largest_source,
    "zoom": checks_buckets.versioning,
    "metadata": checks_buckets.secrets,
}


def examine(settings_file: Path, stage_name: str, fix: bool) -> Iterator[Finding]:
    """Every finding, as it is found. `fix` removes Zappa's leftover permission statements, and nothing else changes anything."""
    for check in HERE:
        yield from check()
    try:
        stage = read_stage(settings_file, stage_name)
    except SettingsError as error:
        yield problem(str(error), "")
        return
    for check_stage in OF_STAGE:
        yield from check_stage(stage)
    if stage.is_named:
        yield from _on_aws(stage, fix)
    else:
        yield warning("Nothing was looked at on AWS.", RUN_INIT)


def _on_aws(stage: Stage, fix: bool) -> Iterator[Finding]:
    try:
        site = Site(stage, open_aws(stage.region or "us-east-1", stage.profile))
    except StorageError as error:
        yield warning(f"Nothing was looked at on AWS: {error}", "")
        return
    for purpose in PLACES:
        yield from _of_bucket(site, purpose)
    try:
        function = checks_function.deployed(site)
    except StorageError as error:
        yield _unseen(error)
        return
    if function is None:
        name = stage.function_name
        yield problem(f"The function {name} is not deployed in {site.aws.region}.", f"Run `zappa deploy {stage.name}`.")
        return
    yield from _of_function(replace(site, function=function), fix)


def _of_bucket(site: Site, purpose: str) -> Iterator[Finding]:
    found = list(_looking(partial(checks_buckets.existence, site, purpose)))
    yield from found
    if any(each.mark is not Mark.OK for each in found):
        return
    checks: tuple[Check, ...] = (
        partial(checks_buckets.privacy, site, purpose),
        partial(checks_buckets.unfinished_uploads, site, purpose),
        partial(OF_PURPOSE[purpose], site),
    )
    for check in checks:
        yield from _looking(check)


def _of_function(site: Site, fix: bool) -> Iterator[Finding]:
    checks: tuple[Check, ...] = (
        partial(checks_function.configuration, site),
        partial(checks_function.code, site),
        partial(checks_function.notification, site),
        partial(checks_function.callers, site, fix),
        partial(checks_function.schedule, site),
        partial(checks_function.role, site),
        partial(checks_function.concurrency, site),
    )
    for check in checks:
        yield from _looking(check)


def _looking(check: Check) -> Iterator[Finding]:
    try:
        yield from check()
    except StorageError as error:
        yield _unseen(error)


def _unseen(error: StorageError) -> Finding:
    return warning(f"Not looked at: {error}", "")
