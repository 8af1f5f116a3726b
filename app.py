"""The WSGI application: Zappa serves `app`; `python app.py` serves it on this machine. Settings are read by the first request."""

import os

from lambdazoom.model.settings import Settings
from lambdazoom.publishing.workspace import Workspace, open_workspace
from lambdazoom.web.application import create_app


def _open() -> Workspace:
    return open_workspace(Settings.from_env(os.environ))


app = create_app(_open)

if __name__ == "__main__":
    from waitress import serve  # not on Lambda

    serve(app, listen="127.0.0.1:8000", threads=8)
