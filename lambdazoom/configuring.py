"""The commands `settings`, which prints what is in force, and `password`, which makes the settings of sign-in."""

import os
import secrets
import sys

import click

from lambdazoom.model import passwords
from lambdazoom.model.settings import SETTINGS, Settings


@click.command(short_help="Make the password that the pages ask for.")
@click.option("--stdin", "is_piped", is_flag=True, help="Take the first line of standard input, and ask for nothing.")
def password(is_piped: bool) -> None:
    """Print the two settings that turn on sign-in; the password is asked for twice, and never shown."""
    if is_piped or not sys.stdin.isatty():
        chosen = _first_line()
    else:
        chosen = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    if len(chosen) < passwords.LEAST_CHARACTERS:
        raise click.ClickException(f"A password needs at least {passwords.LEAST_CHARACTERS} characters. Choose a longer one.")
    click.echo(f"LAMBDAZOOM_PASSWORD_HASH={passwords.hash_password(chosen, secrets.token_bytes(16))}")
    click.echo(f"LAMBDAZOOM_SESSION_SECRET={secrets.token_urlsafe(32)}")
    click.echo(
        "Put both lines into the environment that LambdaZoom runs in, and into no repository. They sign out whoever is in.", err=True
    )


def _first_line() -> str:
    try:
        return sys.stdin.buffer.readline().decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise click.ClickException("The password is not UTF-8 text, which is what browsers send. Choose another.") from error


@click.command(short_help="Print each setting, and where its value comes from.")
@click.option("--markdown", is_flag=True, help="Print docs/settings.md.")
def settings(markdown: bool) -> None:
    """Print each setting with its value, its default, where the value comes from and what it does."""
    if markdown:
        click.echo(_settings_page(), nl=False)
        return
    values = Settings.from_env(os.environ)
    for setting in SETTINGS:
        click.echo(f"{setting.name} = {values.texts[setting.name] or '(not set)'}")
        origin = values.origins[setting.name]
        click.echo(f"    {origin}" if origin == "default" else f"    {origin}; default: {setting.default or '(not set)'}")
        click.echo(f"    {setting.help}")


def _settings_page() -> str:
    rows = "".join(
        f"| `{setting.name}` | {f'`{setting.default}`' if setting.default else '–'} | {setting.help} |\n" for setting in SETTINGS
    )
    return (
        "# Settings\n\n"
        "LambdaZoom is set up through its environment. `python -m lambdazoom settings` prints what is in force and where it comes from; "
        "`python -m lambdazoom settings --markdown` prints this page. A name that begins with `LAMBDAZOOM_` and is not in this list is "
        "an error, so that a mistyped one is noticed.\n\n"
        f"| setting | default | what it does |\n|---|---|---|\n{rows}"
    )
