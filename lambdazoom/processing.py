"""The commands at work on the source: `serve`, `process`, and `metadata`, which reads any file."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lambdazoom.model.errors import LambdaZoomError
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import State
from lambdazoom.model.settings import Settings
from lambdazoom.model.wishes import Wish

if TYPE_CHECKING:
    from lambdazoom.publishing.workspace import Workspace


@click.command(short_help="Print every tag that exiftool reads, as JSON.")
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


@click.command(short_help="Process images of the source that need it.")
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@click.option("--if-changed", is_flag=True, help="Leave alone what failed for good.")
@click.option("--recipe", is_flag=True, help="Make tiles of other settings anew.")
@click.option("--anew", is_flag=True, help="Make tiles and metadata anew, whatever is there.")
@click.option("--child", "run", hidden=True, help="What `serve` calls this run, which it keeps apart.")
def process(keys: tuple[str, ...], if_changed: bool, recipe: bool, anew: bool, run: str | None) -> None:
    """Process images of the source again where that is needed: what failed is tried once more, what is done stays."""
    wish = Wish(asked=not if_changed, recipe=recipe, anew=anew)
    if run:
        from lambdazoom import confined

        confined.process(ImageKey(keys[0]), wish, run, Settings.from_env(os.environ))
        return
    workspace = _workspace(keys)
    try:
        results = [_process(ImageKey(key), workspace, wish) for key in keys]
    finally:
        workspace.close()
    if not all(results):
        raise SystemExit(1)


def _process(image: ImageKey, workspace: "Workspace", wish: Wish) -> bool:
    from lambdazoom.publishing.pipeline import settle
    from lambdazoom.summary import summary

    try:
        record = settle(image, workspace, wish=wish)
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


@click.command(short_help="Show the pages, and process what arrives.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option("--trusted-proxy", help="The address of the proxy in front, whose X-Forwarded-For, -Host and -Proto are believed.")
@click.option("--other-port-hint", default="python -m lambdazoom serve --port {port}", hidden=True)
def serve(host: str, port: int, trusted_proxy: str | None, other_port_hint: str) -> None:
    """Watch the source folder, process what is there and what arrives, and show it at http://HOST:PORT."""
    from lambdazoom.serving import PortInUse, run

    try:
        run(Settings.from_env(os.environ), host, port, trusted_proxy)
    except PortInUse as error:
        raise click.ClickException(f"Port {port} is in use. `{other_port_hint.format(port=port + 1)}`.") from error


def _workspace(keys: Iterable[str]) -> "Workspace":
    from lambdazoom.metadata.process import hide_environment
    from lambdazoom.publishing.workspace import open_workspace

    hide_environment()  # from what works on other strangers' files beside us
    return open_workspace(Settings.from_env(os.environ), keys)
