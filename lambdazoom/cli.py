"""The command-line door: arguments in, the work called, one line on stderr when something went wrong.

Exit codes: 0 done, 1 failed, 2 misuse. What a command needs is imported when it runs: `tile` needs neither boto3 nor Flask.
"""

import dataclasses
import json
import os
import re
import secrets
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lambdazoom import __version__
from lambdazoom.maintenance import sweep
from lambdazoom.model import passwords
from lambdazoom.model.errors import LambdaZoomError
from lambdazoom.model.geometry import CONTENT_TYPES, SUBSAMPLINGS, Recipe
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import State
from lambdazoom.model.settings import MAX_PIXELS, SETTINGS, Settings
from lambdazoom.operations.commands import doctor, init
from lambdazoom.upkeep import backfill, reconcile

if TYPE_CHECKING:
    from lambdazoom.publishing.workspace import Workspace

_DEFAULTS = Recipe()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="LambdaZoom %(version)s")
def commands() -> None:
    """Puts huge images on the web: Deep Zoom pyramids, and all metadata as JSON."""


@commands.command()
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("outdir", type=click.Path(file_okay=False, path_type=Path))
@click.option("--tile-size", type=click.IntRange(1, 8192), default=_DEFAULTS.tile_size, show_default=True, help="Side of a tile in pixels.")
@click.option("--overlap", type=click.IntRange(0, 64), default=_DEFAULTS.overlap, show_default=True, help="Pixels shared with neighbours.")
@click.option("--format", type=click.Choice(tuple(CONTENT_TYPES)), default=_DEFAULTS.format, show_default=True)
@click.option("--quality", type=click.IntRange(1, 100), default=_DEFAULTS.quality, show_default=True, help="Of JPEG and WebP tiles.")
@click.option("--subsampling", type=click.Choice(SUBSAMPLINGS), default=_DEFAULTS.subsampling, show_default=True, help="Of JPEG tiles.")
@click.option("--background", default=_DEFAULTS.background, show_default=True, help="Shows through transparent parts: #rrggbb.")
@click.option("--page", type=click.IntRange(1), help="Of a TIFF of several pages; else the largest.")
@click.option(
    "--truncated", type=click.Choice(("refuse", "accept")), default="refuse", show_default=True, help="A file that ends too early."
)
@click.option("--memory-limit", type=click.IntRange(0), default=0, help="Refuse what needs more, in megabytes; 0 is no limit.")
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
def tile(source: Path, outdir: Path, page: int | None, truncated: str, memory_limit: int, as_json: bool, **cut: Any) -> None:
    """Cut one image: SOURCE cat.jpg becomes OUTDIR/cat.dzi and OUTDIR/cat_files/, as dzsave writes them."""
    from lambdazoom.imaging.formats import Wishes
    from lambdazoom.publishing.export import export

    recipe = Recipe(**cut)
    if recipe.overlap >= recipe.tile_size:
        raise click.BadParameter("must be smaller than the tile size", param_hint="--overlap")
    if not re.fullmatch(r"#[0-9a-f]{6}", recipe.background):
        raise click.BadParameter("must be #rrggbb", param_hint="--background")
    wishes = Wishes(None if page is None else page - 1, accepts_truncated=truncated == "accept")
    with _progress_bar(source.name) as progress:
        report = export(source, outdir, recipe, MAX_PIXELS, progress, memory_limit * 10**6, wishes)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report)))
        return
    size = f"{report.width:,} × {report.height:,} pixels, {report.levels} levels"
    click.echo(f"{outdir / source.stem}.dzi: {size}, {report.tiles:,} tiles, {report.bytes:,} bytes, {report.seconds:.2f} s")
    for remark in report.remarks:
        click.echo(remark)


def _progress_bar(name: str) -> AbstractContextManager[Callable[[int, int], None]]:
    if not sys.stderr.isatty():
        return nullcontext(lambda *_: None)  # loading what draws it would take as long as a small image
    from lambdazoom.terminal import single_bar

    return single_bar(name)


@commands.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def metadata(file: Path) -> None:
    """Print all that exiftool reads in FILE, as JSON: for each tag its readable text, and its number where that differs."""
    from lambdazoom.metadata.exiftool import ExifTool
    from lambdazoom.storage.folder import FolderSource

    settings = Settings.from_env(os.environ)
    source = FolderSource(file.absolute().parent)
    configured = Path(settings.exiftool) if settings.exiftool else None
    with source.fetch(source.head(file.name)) as path, ExifTool(configured, seconds=settings.exiftool_seconds) as exiftool:
        click.echo(json.dumps(exiftool.read(path).tags, indent=1, ensure_ascii=False))


@commands.command()
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
def process(keys: tuple[str, ...]) -> None:
    """Process images of the source again where that is needed: what failed is tried once more, what is done stays."""
    workspace = _workspace()
    try:
        results = [_process(ImageKey(key), workspace) for key in keys]
    finally:
        workspace.close()
    if not all(results):
        raise SystemExit(1)


def _process(image: ImageKey, workspace: "Workspace") -> bool:
    from lambdazoom.publishing.pipeline import settle
    from lambdazoom.terminal import summary

    try:
        record = settle(image, workspace, asked=True)
    except LambdaZoomError as error:
        click.echo(f"lambdazoom: {image.display}: {error}", err=True)
        return False
    if record is None:
        click.echo(f"lambdazoom: There is no image {image.display} in {workspace.settings.texts['LAMBDAZOOM_SOURCE']}.", err=True)
        return False
    state = record.state(workspace.now())
    succeeded = state in (State.PUBLISHED, State.IGNORED, State.PROCESSING) and not record.complaints
    click.echo(summary(image, record, workspace.now()), err=not succeeded)
    return succeeded


@commands.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option("--other-port-hint", default="python -m lambdazoom serve --port {port}", hidden=True)
def serve(host: str, port: int, other_port_hint: str) -> None:
    """Watch the source folder, process what is there and what arrives, and show it at http://HOST:PORT."""
    from lambdazoom.serving import PortInUse, run

    try:
        run(Settings.from_env(os.environ), host, port)
    except PortInUse as error:
        raise click.ClickException(f"Port {port} is in use. `{other_port_hint.format(port=port + 1)}`.") from error


@commands.command()
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


@commands.command()
@click.option("--markdown", is_flag=True, help="Print docs/settings.md.")
def settings(markdown: bool) -> None:
    """Print each setting with its value, its default, where the value comes from and what it does."""
    if markdown:
        click.echo(_settings_page(), nl=False)
        return
    values = Settings.from_env(os.environ)
    for setting in SETTINGS:
        click.echo(f"{setting.name} = {values.texts[setting.name] or '(not set)'}")
        click.echo(f"    {values.origins[setting.name]}; default: {setting.default or '(not set)'}")
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


commands.add_command(init)
commands.add_command(doctor)
commands.add_command(sweep)
commands.add_command(reconcile)
commands.add_command(backfill)


def _workspace() -> "Workspace":
    from lambdazoom.publishing.workspace import open_workspace

    return open_workspace(Settings.from_env(os.environ))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL")  # what it says of odd files, our own errors and remarks say
    try:
        commands.main(args=arguments, prog_name="lambdazoom", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except click.ClickException as error:
        click.echo(f"lambdazoom: {error.format_message()}", err=True)
        return error.exit_code
    except (LambdaZoomError, OSError) as error:
        click.echo(f"lambdazoom: {error}", err=True)
        return 1
    except MemoryError:
        click.echo("lambdazoom: This needs more memory than there is. Give it more, or save the image smaller.", err=True)
        return 1
    except (click.Abort, KeyboardInterrupt):
        click.echo("lambdazoom: stopped.", err=True)
        return 1
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    return 0


def run() -> None:
    """The entry point of `python -m lambdazoom`."""
    sys.exit(main())
