"""The `sweep` command: takes away the tiles that nobody is shown any more; what `serve` and the schedule do by themselves."""

import os

import click

from lambdazoom.model.settings import Settings


@click.command(short_help="Take away tiles that nobody needs any more.")
def sweep() -> None:
    """Take away the tiles of replaced and removed images whose grace period is over, and what crashed runs left."""
    from lambdazoom.publishing import sweeping
    from lambdazoom.publishing.workspace import open_workspace

    with open_workspace(Settings.from_env(os.environ)).closing() as workspace:
        swept = sweeping.sweep(workspace)
    click.echo(f"{swept.generations:,} pyramids taken away; {swept.waiting:,} wait for their time.")
    if swept.failed:
        raise click.ClickException(f"{swept.failed:,} could not be taken away: see above. Sweep again later.")
