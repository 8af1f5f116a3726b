"""What several commands ask for in the same words."""

from pathlib import Path

import click

from lambdazoom.operations.stage import SETTINGS_FILE

zappa_settings = click.option(
    "--settings",
    "settings_file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=SETTINGS_FILE,
    show_default=True,
    help="Zappa's settings.",
)
