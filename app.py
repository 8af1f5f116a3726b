"""The WSGI application: Zappa serves `app`; `python app.py` serves it on this machine.

The first request makes it and reads the settings: Zappa imports this module for S3's events too, which do without Flask.
"""

import os
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from lambdazoom.model.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from flask import Flask

    from lambdazoom.publishing.workspace import Workspace


@cache
def application() -> "Flask":
    """The Flask application, made once."""
    from lambdazoom.calling import Calling
    from lambdazoom.web.application import create_app

    return create_app(_open, Calling())


def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """What a WSGI server calls."""
    return application()(environ, start_response)


def _open() -> "Workspace":
    from lambdazoom.publishing.workspace import open_workspace

    return open_workspace(Settings.from_env(os.environ))


if __name__ == "__main__":
    from waitress import serve  # not on Lambda

    serve(app, listen="127.0.0.1:8000", threads=8)
