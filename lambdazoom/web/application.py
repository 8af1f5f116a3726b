"""The Flask application: it puts the pages, the tiles and the rules for all answers together; it serves nothing by itself."""

from collections.abc import Callable
from pathlib import Path

from flask import Flask, Response, request
from werkzeug.routing import BaseConverter

from lambdazoom.publishing.asking import Ask
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.web import access, api, changes, failures, opening, originals, pages, presentation, tiles, uploads

ROOT = Path(__file__).resolve().parents[2]  # where templates/ and static/ are

MAX_REQUEST_BYTES = 64 * 2**20  # of one request: larger files come in parts (docs/api.md)

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",  # other sites embed public tiles, never ours
    "Cache-Control": "private, no-cache",  # unless the route knows better
}

# the one style element that OpenSeadragon 6.1.1 adds (no focus ring on touch screens), by its content; the browser test
# tells when another version needs another
OPENSEADRAGON_STYLE = "'sha256-9xTiqzfwFaL2SGb1rmr8gysEwVVjIvqWAgmZgqFqpEE='"


class TileNumber(BaseConverter):
    """A level, column or row in an address, written in the one usual way."""

    regex = "0|[1-9][0-9]{0,8}"

    def to_python(self, value: str) -> int:
        """The number."""
        return int(value)


def create_app(open_workspace: Callable[[], Workspace], ask: Ask | None = None) -> Flask:
    """The application over the workspace that `open_workspace` opens, which happens when the first request needs it.

    A SettingsError of `open_workspace` becomes a page with its sentence. `ask` has images settled that somebody wants to be;
    without it, threads of this process do that.
    """
    application = Flask("lambdazoom", root_path=str(ROOT), template_folder="templates", static_folder="static")
    application.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    application.url_map.converters["number"] = TileNumber
    application.config["MAX_CONTENT_LENGTH"] = MAX_REQUEST_BYTES
    opening.install(application, open_workspace, ask)
    failures.install(application)
    presentation.install(application.jinja_env.filters)
    access.install(application)
    application.register_blueprint(pages.blueprint)
    application.register_blueprint(tiles.blueprint)
    application.register_blueprint(api.blueprint)
    application.register_blueprint(uploads.blueprint)
    application.register_blueprint(originals.blueprint)
    changes.install(application)
    application.add_url_rule("/health", "health", _health)
    application.after_request(_protect)
    return application


def _health() -> Response:
    return Response("ok", content_type="text/plain; charset=utf-8")


def _protect(response: Response) -> Response:
    if request.endpoint == "static":
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"  # the viewer itself is no secret: embed snippets load it
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Content-Security-Policy"] = _policy()
    return response


def _policy() -> str:
    opened = opening.opening()
    return content_security_policy(opened.tiles_origin, opened.uploads_origin)


def content_security_policy(tiles_origin: str = "", uploads_origin: str = "") -> str:
    """What a page of ours may load and do (CSP level 3): nothing but our own files, tiles from `tiles_origin`, and uploads to the other.

    All other styles OpenSeadragon sets through the CSS object model, which no policy forbids.
    """
    readable = f"'self' {tiles_origin}".strip()
    rules = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": f"'self' {OPENSEADRAGON_STYLE}",
        "img-src": readable,
        "connect-src": f"{readable} {uploads_origin}".strip(),
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())
