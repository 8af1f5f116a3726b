"""The commands that compare what is published with the source, and make it right: `reconcile` and `backfill`."""

import dataclasses
import json
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lambdazoom.model.settings import Settings
from lambdazoom.operations.options import zappa_settings
from lambdazoom.operations.stage import Stage, read_stage

if TYPE_CHECKING:
    from lambdazoom.publishing.estimating import Estimate
    from lambdazoom.publishing.reconciling import Finding, Survey
    from lambdazoom.publishing.repairing import Repaired
    from lambdazoom.publishing.workspace import Workspace

INVOCATIONS_A_SECOND = 5.0

_stage = click.option("--stage", "stage_name", help="Work on the buckets of this stage of zappa_settings.json.")
_dry_run = click.option("--dry-run", is_flag=True, help="Change nothing, and estimate what it would take and cost.")


@dataclasses.dataclass(frozen=True)
class _Wishes:
    """What shall be done with what is found."""

    fix: bool = False
    retry_failed: bool = False
    recipe: bool = False
    delete_orphans: bool = False
    thorough: bool = False
    at_most: int = 10
    dry_run: bool = False
    yes: bool = False

    @property
    def to_make(self) -> "set[Finding]":
        """What is to be made, anew or for the first time."""
        from lambdazoom.publishing.reconciling import Finding
        from lambdazoom.publishing.repairing import ADDS

        wanted = set(ADDS) if self.fix else set()
        wanted |= {Finding.FAILED} if self.retry_failed else set()
        return wanted | ({Finding.RECIPE} if self.recipe else set())


@click.command(short_help="Compare the source with what is published; make it right.")
@click.option("--fix", is_flag=True, help="Make or complete what is missing, stale, stalled, unfinished or untidy. Nothing is withdrawn.")
@click.option("--retry-failed", is_flag=True, help="Try once more what failed for good.")
@click.option("--recipe", is_flag=True, help="Make anew what another recipe made; its price is told first.")
@click.option("--delete-orphans", is_flag=True, help="Withdraw what is gone from the source.")
@click.option("--thorough", is_flag=True, help="Read each descriptor and metadata document too: two requests an image.")
@click.option("--at-most", type=click.IntRange(1, 100), default=10, show_default=True, help="Percent of all images that may be withdrawn.")
@_dry_run
@click.option("--yes", is_flag=True, help="Ask nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@_stage
@zappa_settings
def reconcile(stage_name: str | None, settings_file: Path, as_json: bool, **options: bool | int) -> None:
    """Compare the source with what is published, and say what differs; with the options below, make it right.

    It lists the source and the index, and looks only at what differs. It may be stopped at any time: the next one goes on.
    """
    from lambdazoom.publishing.repairing import ADDS

    wishes = _Wishes(**options)  # type: ignore[arg-type] # click has seen to the kinds
    with _opened(stage_name, settings_file) as workspace, _looked(workspace, wishes.thorough) as found:
        estimate = _estimate(found, wishes.to_make or ADDS, workspace) if wishes.dry_run or wishes.recipe else None
        click.echo(_as_json(found, estimate) if as_json else "\n".join(_lines(found)))
        if estimate and estimate.images and not as_json:
            click.echo(f"To do: {estimate}.")
        if wishes.dry_run:
            return
        _reconcile(found, wishes, workspace, as_json)


def _reconcile(found: "Survey", wishes: _Wishes, workspace: "Workspace", as_json: bool) -> None:
    from lambdazoom.publishing.estimating import counted
    from lambdazoom.publishing.reconciling import Finding
    from lambdazoom.publishing.repairing import check_removal

    orphans = found.counts[Finding.ORPHANED] if wishes.delete_orphans else 0
    if orphans:
        check_removal(found, wishes.at_most, workspace.settings.texts["LAMBDAZOOM_SOURCE"])
        if not wishes.yes:
            click.confirm(f"Withdraw {counted(orphans)} gone from the source?", abort=True, err=True)
    if wishes.recipe and found.counts[Finding.RECIPE] and not wishes.yes:
        click.confirm(f"Make {counted(found.counts[Finding.RECIPE])} anew?", abort=True, err=True)
    _repair(found, wishes.to_make | ({Finding.ORPHANED} if orphans else set()), workspace, as_json)


@click.command(short_help="Make the images that were there before.")
@click.option("--remote", is_flag=True, help="Have the deployed function make them, by ordinary S3 events.")
@click.option("--rate", type=click.FloatRange(0.1, 100), default=INVOCATIONS_A_SECOND, show_default=True, help="Remote calls a second.")
@_dry_run
@_stage
@zappa_settings
def backfill(remote: bool, rate: float, dry_run: bool, stage_name: str | None, settings_file: Path) -> None:
    """Make the images that were in the source before, or that no event told of: `reconcile --fix` for the missing ones alone."""
    from lambdazoom.publishing.reconciling import Finding

    name = stage_name or ("live" if remote else None)
    with _opened(name, settings_file) as workspace, _looked(workspace) as found:
        missing = found.counts[Finding.MISSING]
        click.echo(f"{found.images:,} in the source, {missing:,} of them missing.")
        if not missing:
            return
        click.echo(f"To do: {_estimate(found, {Finding.MISSING}, workspace)}.")
        if dry_run:
            return
        if not remote:
            _repair(found, {Finding.MISSING}, workspace)
            return
        _send(found, read_stage(settings_file, name or ""), workspace, rate)


def _send(found: "Survey", stage: Stage, workspace: "Workspace", rate: float) -> None:
    from lambdazoom.operations.aws import open_aws
    from lambdazoom.operations.remote import require_same_source, send
    from lambdazoom.publishing.estimating import counted
    from lambdazoom.publishing.reconciling import Finding
    from lambdazoom.terminal import counting_bar

    bucket = require_same_source(stage, workspace.settings.source)
    aws = open_aws(stage.region, stage.profile)
    with counting_bar("sending", found.counts[Finding.MISSING]) as told:
        sent = send(found.of({Finding.MISSING}), bucket, stage, aws, workspace.now, rate, told)
    told_by = f"`python -m lambdazoom reconcile --stage {stage.name}`"
    click.echo(f"{counted(sent)} sent to {stage.function_name}. It works through them by itself; {told_by} tells how far it is.")


@contextmanager
def _opened(stage_name: str | None, settings_file: Path) -> "Iterator[Workspace]":
    """The workspace of the environment, or of a stage, whose settings count where the environment says nothing."""
    from lambdazoom.publishing.workspace import open_workspace

    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    stage = read_stage(settings_file, stage_name).environment if stage_name else {}
    with open_workspace(Settings.from_env({**stage, **os.environ})).closing() as workspace:
        yield workspace


@contextmanager
def _looked(workspace: "Workspace", thorough: bool = False) -> "Iterator[Survey]":
    from lambdazoom.publishing.reconciling import survey
    from lambdazoom.terminal import counting_bar

    with counting_bar("comparing") as told:
        found = survey(workspace, told, thorough)
    with found:
        yield found


def _repair(found: "Survey", findings: "set[Finding]", workspace: "Workspace", as_json: bool = False) -> None:
    from lambdazoom.publishing.repairing import repair
    from lambdazoom.terminal import counting_bar

    total = sum(found.counts[finding] for finding in findings)
    if not total:
        return
    with counting_bar("repairing", total) as told:
        repaired = repair(found.of(findings), workspace, told)
    click.echo(_summary(repaired), err=as_json)
    if repaired.errors:
        raise SystemExit(1)


def _summary(repaired: "Repaired") -> str:
    parts = [f"{count:,} {state}" for state, count in sorted(repaired.states.items())]
    if repaired.errors:
        parts.append(f"{repaired.errors:,} not settled (see above; start again to try them once more)")
    return f"Done: {', '.join(parts)}."


def _lines(found: "Survey") -> Iterator[str]:
    from lambdazoom.publishing.reconciling import MEANINGS

    yield f"{found.images:,} in the source, {found.known:,} known, {found.processing:,} in progress."
    for finding, meaning in MEANINGS.items():
        if found.counts[finding]:
            yield f"{found.counts[finding]:>9,} {finding}: {meaning}"
    if not found.counts.total():
        yield "Nothing differs."


def _as_json(found: "Survey", estimate: "Estimate | None") -> str:
    counts = {str(finding): count for finding, count in found.counts.items()}
    document = {"images": found.images, "known": found.known, "processing": found.processing, "found": counts}
    return json.dumps({**document, "estimate": dataclasses.asdict(estimate) if estimate else None})


def _estimate(found: "Survey", findings: "Iterable[Finding]", workspace: "Workspace") -> "Estimate":
    from lambdazoom.publishing.estimating import FUNCTION_MEMORY, estimate, experience

    settings = workspace.settings
    sizes = [found.sizes.get(finding, {}) for finding in findings]
    return estimate(sizes, experience(workspace.metadata), settings.recipe, settings.prices, settings.function_memory or FUNCTION_MEMORY)
