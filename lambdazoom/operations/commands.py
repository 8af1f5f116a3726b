"""The commands of an operator: `init` asks, shows its plan and runs it; `doctor` prints what it finds."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lambdazoom.operations.options import zappa_settings
from lambdazoom.operations.stage import Stage, read_stage

if TYPE_CHECKING:
    from lambdazoom.operations.init import Found
    from lambdazoom.operations.plan import Plan
    from lambdazoom.operations.wishes import Wishes

_stage = click.option("--stage", "stage_name", default="live", show_default=True, help="The stage of zappa_settings.json.")


@click.command(short_help="Set up buckets, rights and a password on AWS.")
@click.option("--source", help="The bucket that images are put into: name or name/prefix.")
@click.option("--zoom", help="The bucket for pyramids.")
@click.option("--metadata", help="The bucket for metadata and records; it is never public.")
@click.option("--deployment", help="The bucket for Zappa's uploads of the code.")
@click.option("--region", help="The region of all of them.")
@click.option("--public-tiles", is_flag=True, help="Let everybody read tiles by their names, straight from S3.")
@click.option("--manage-source/--no-manage-source", default=None, help="Let the function upload to the source and delete from it.")
@click.option("--versioning/--no-versioning", default=None, help="Keep versions of originals. It is never turned off.")
@click.option("--new-password", is_flag=True, help="Make another password; the old one and every session end.")
@click.option("--dry-run", is_flag=True, help="Print the plan and change nothing.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@_stage
@zappa_settings
def init(stage_name: str, settings_file: Path, dry_run: bool, yes: bool, **options: str | bool | None) -> None:
    """Set up buckets, names, rights and a password on AWS. What is there stays; a second run changes nothing."""
    from lambdazoom.operations.aws import open_aws
    from lambdazoom.operations.init import look, make_plan

    stage = read_stage(settings_file, stage_name)
    wishes = _wishes(stage, options, asking=not yes)
    aws = open_aws(wishes.region, stage.profile)
    found = look(wishes, aws)
    wishes = _with_versioning(wishes, found, asking=not yes)
    plan = make_plan(stage, wishes, found, aws)
    _show(plan, dry_run)
    if plan.steps and not dry_run:
        if not yes:
            click.confirm("Do all this?", abort=True)
        _run(plan)
        examine = "`python -m lambdazoom doctor`" if stage.name == "live" else f"`python -m lambdazoom doctor --stage {stage.name}`"
        click.echo(f"Done. Next: `zappa deploy {stage.name}` (or `zappa update {stage.name}`), then {examine}.")


@click.command(short_help="Check the set-up here and on AWS.")
@click.option("--fix", is_flag=True, help="Remove the permission statements that Zappa has left behind.")
@_stage
@zappa_settings
def doctor(stage_name: str, settings_file: Path, fix: bool) -> None:
    """Check the set-up here and, with AWS credentials, the deployed one: a line each, with the way out."""
    from lambdazoom.operations.doctor import examine
    from lambdazoom.operations.findings import Mark, summary

    marks = []
    for finding in examine(settings_file, stage_name, fix):
        click.echo(str(finding))
        marks.append(finding.mark)
    click.echo(summary(marks))
    if Mark.PROBLEM in marks:
        raise SystemExit(1)


def _wishes(stage: Stage, options: dict[str, str | bool | None], asking: bool) -> "Wishes":
    from lambdazoom.operations.stage import PLACES, is_placeholder
    from lambdazoom.operations.wishes import Wishes, check, parse_bucket

    uploads = str(stage.values.get("s3_bucket", ""))
    held = {name: stage.environment.get(PLACES[name], "").removeprefix("s3://") for name in PLACES} | {"deployment": uploads}
    questions = {"source": "Bucket for images", "zoom": "Bucket for pyramids", "metadata": "Bucket for metadata"}
    questions["deployment"] = "Bucket for Zappa's uploads"
    buckets = {}
    for name, question in questions.items():
        known = options.pop(name) or ("" if is_placeholder(held[name]) else held[name])
        buckets[name] = parse_bucket(str(known) if known else _ask(question, f"--{name}", "", asking))
    region = options.pop("region") or _region(stage, asking)
    wishes = Wishes(**buckets, region=str(region), **options)  # type: ignore[arg-type] # click has seen to the switches
    check(wishes)
    return wishes


def _region(stage: Stage, asking: bool) -> str:
    from lambdazoom.operations.aws import default_region

    if stage.is_named and stage.region:
        return stage.region
    return _ask("Region", "--region", default_region(stage.profile) or stage.region, asking)


def _ask(question: str, option: str, default: str, asking: bool) -> str:
    if asking:
        return str(click.prompt(question, default=default or None))
    if not default:
        raise click.UsageError(f"{question}: name it with {option}, or leave out --yes to be asked.")
    return default


def _with_versioning(wishes: "Wishes", found: "Found", asking: bool) -> "Wishes":
    if wishes.versioning is not None or found.source.versioned or not asking:
        return wishes
    question = f"Keep versions in {wishes.source.name}, so that an original that was overwritten or deleted can be brought back?"
    return dataclasses.replace(wishes, versioning=click.confirm(question, default=False))


def _show(plan: "Plan", dry_run: bool) -> None:
    for line in plan.lines():
        click.echo(line)
    if not plan.steps:
        click.echo("Nothing to do: all is set up as wished.")
    elif dry_run:
        click.echo("This was a dry run: nothing has been changed.")


def _run(plan: "Plan") -> None:
    for step in plan.steps:
        told = step.apply()
        click.echo(f"✓ {step.sentence}")
        if told:
            click.echo(told)
