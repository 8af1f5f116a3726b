"""Originals as files to keep, never as something to show from our address; and the former program's addresses of images."""

from flask import Blueprint, redirect, send_file, url_for
from werkzeug.wrappers import Response

from lambdazoom.model.keys import ImageKey
from lambdazoom.web.addresses import image_named
from lambdazoom.web.opening import opening, workspace

blueprint = Blueprint("originals", __name__)


@blueprint.get("/original/<path:name>")
def original(name: str) -> Response:
    """The file itself, with ranges, or the way to it."""
    wanted = image_named(name)
    found = workspace().source.head(wanted.key)
    file_name = wanted.name.rpartition("/")[2]  # the stored name: no header can hold what a key can
    held = opening().originals().download(found, file_name)
    if isinstance(held, str):
        response = redirect(held, 303)
        response.headers["Cache-Control"] = "no-store"
        return response
    response = send_file(held, mimetype="application/octet-stream", as_attachment=True, download_name=file_name)
    response.headers["Cache-Control"] = "private, no-cache"
    return response


@blueprint.get("/browse/")
def browse() -> Response:
    """The former address of the list."""
    return redirect(url_for("pages.images"))


@blueprint.get("/browse/<path:name>")
def browse_image(name: str) -> Response:
    """The former address of an image, which was its key as it stands."""
    return redirect(url_for("pages.image", name=ImageKey(name).name))
