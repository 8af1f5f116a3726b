"""The Flask application: it puts the pages, the tiles and the rules for all answers together; it serves nothing by itself."""

from collections.abc import Callable
from pathlib import Path

from flask import Flask, Response, request
from werkzeug.routing import BaseConverter

from lambdazoom.publishing.workspace import Workspace
from lambdazoom.web import access, failures, opening, pages, presentation, tiles

ROOT = Path(__file__).resolve().parents[2]  # where templates/ and static/ are

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


def create_app(open_workspace: Callable[[], Workspace]) -> Flask:
    """The application over the workspace that `open_workspace` opens, which happens when the first request needs it.

    A SettingsError of `open_workspace` becomes a page with its sentence.
    """
    application = Flask("lambdazoom", root_path=str(ROOT), template_folder="templates", static_folder="static")
    application.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    application.url_map.converters["number"] = TileNumber
    opening.install(application, open_workspace)
    failures.install(application)
    presentation.install(application.jinja_env.filters)
    access.install(application)
    application.register_blueprint(pages.blueprint)
    application.register_blueprint(tiles.blueprint)
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
    response.headers["Content-Security-Policy"] = content_security_policy(opening.opening().tiles_origin)
    return response


def content_security_policy(tiles_origin: str = "") -> str:
    """What a page of ours may load and do (CSP level 3): nothing but our own files, and tiles from `tiles_origin`.

    All other styles OpenSeadragon sets through the CSS object model, which no policy forbids.
    """
    readable = f"'self' {tiles_origin}".strip()
    rules = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": f"'self' {OPENSEADRAGON_STYLE}",
        "img-src": readable,
        "connect-src": readable,
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())
