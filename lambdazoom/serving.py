"""`serve`: the application, the watch over the source folder and the workers, in one process; on folders each image is made in another."""

import errno
import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click
from waitress.server import create_server

from lambdazoom.metadata.process import hide_environment
from lambdazoom.model.places import Folder
from lambdazoom.model.settings import Settings
from lambdazoom.publishing.children import InChild
from lambdazoom.publishing.chores import Chores
from lambdazoom.publishing.housekeeping import Housekeeping
from lambdazoom.publishing.workers import Here, Settling, Workers
from lambdazoom.publishing.workspace import Workspace, open_workspace
from lambdazoom.stopping import stopped_by_sigterm
from lambdazoom.storage.folder import FolderSource
from lambdazoom.storage.watch import Watch
from lambdazoom.terminal import Terminal
from lambdazoom.web import access
from lambdazoom.web.application import MAX_REQUEST_BYTES, create_app

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

WEB_THREADS = 8
PROXY_HEADERS = {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"}
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class PortInUse(Exception):
    """Somebody else listens there already."""


def run(settings: Settings, host: str, port: int, trusted_proxy: str | None = None) -> None:
    """Serve until Ctrl-C or SIGTERM; PortInUse, SettingsError. Whom the proxy at that address speaks for is believed it."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    hide_environment()  # from all that will work on strangers' files for us; refused, exiftool is not started, and says so
    workspace = open_workspace(settings)
    terminal = Terminal()
    workers = Workers(workspace, terminal, _settling(workspace))
    with ExitStack() as stack:
        stack.callback(workspace.close)
        server = _server(create_app(lambda: workspace, lambda image, wish, _: workers.put(image.key, wish)), host, port, trusted_proxy)
        stack.callback(server.close)
        _announce(settings, host, port)
        stack.callback(terminal.close)
        stack.enter_context(workers)
        if isinstance(workspace.source, FolderSource):
            workspace.source.root.mkdir(parents=True, exist_ok=True)
            stack.enter_context(Watch(workspace.source, workers.put))
            stack.enter_context(Housekeeping(workspace, workers.put))
        stack.enter_context(Chores(workspace))
        stack.callback(workspace.stopping.set)  # first of all: what ends now was not ended by its image
        stack.enter_context(stopped_by_sigterm())
        server.run()  # returns on KeyboardInterrupt
    click.echo("\nStopped. What was not finished goes on with the next start.")


def _settling(workspace: Workspace) -> Settling:
    """In a process of its own; but whoever writes to a bucket needs our keys, and so could not be kept from them."""
    settings = workspace.settings
    are_folders = all(isinstance(place, Folder) for place in (settings.source, settings.zoom, settings.metadata))
    return InChild(workspace) if are_folders else Here(workspace)


def _server(application: "WSGIApplication", host: str, port: int, trusted_proxy: str | None) -> Any:
    believed = {"trusted_proxy": trusted_proxy, "trusted_proxy_headers": PROXY_HEADERS} if trusted_proxy else {}
    try:
        return create_server(
            application,
            host=host,
            port=port,
            threads=WEB_THREADS,
            ident=None,
            # the server keeps a body until it is whole, in a temporary file if it is large: so nobody shall send a huge one
            max_request_body_size=MAX_REQUEST_BYTES,
            # else it would hide from us that a request was passed on, and without a password none is answered that was
            clear_untrusted_proxy_headers=False,
            **believed,
        )
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse from error
        raise click.ClickException(f"{host}, port {port}: {error.strerror}. Choose others by --host and --port.") from error


def _announce(settings: Settings, host: str, port: int) -> None:
    click.echo(f"LambdaZoom: http://{host}:{port}")
    source = settings.texts["LAMBDAZOOM_SOURCE"]
    if isinstance(settings.source, Folder):
        click.echo(f"Put images into {source}; Ctrl-C stops.")
    else:
        click.echo(f"Nobody watches {source} from here: `backfill` makes what is new there, and Lambda by events. Ctrl-C stops.")
    if host not in LOOPBACK and not settings.password_hash:
        click.echo(f"{access.NOT_HERE} Then start again with the two settings that it prints.", err=True)
