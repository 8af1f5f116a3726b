"""The stable addresses of descriptors, tiles and thumbnails; bytes only, no pages.

With `?v=<generation>` an answer never changes, and a tile costs one read of the store. Without it the pointer says what is on
show. Descriptors carry no `Url`, so that OpenSeadragon derives the tiles' addresses, and repeats the query, by itself; where
LAMBDAZOOM_TILES_URL is set they name the tiles there, and none is asked for here.
"""

from flask import Blueprint, Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from lambdazoom.model.errors import NotFound
from lambdazoom.model.geometry import CONTENT_TYPES
from lambdazoom.model.keys import Generation, ImageKey
from lambdazoom.publishing.generations import Published, published
from lambdazoom.web.addresses import generation_named, image_named, missing
from lambdazoom.web.opening import workspace

FOREVER = "private, max-age=31536000, immutable"
BRIEFLY = "private, max-age=60"

blueprint = Blueprint("tiles", __name__)


@blueprint.get("/dzi/<path:name>.dzi")
def descriptor(name: str) -> AnyResponse:
    """The plain Deep Zoom descriptor of what is on show; an outdated `v` is sent on to the present one."""
    wanted, tiles_url = _wanted(), workspace().settings.tiles_url
    shown = _shown(image_named(name))
    if wanted and wanted != shown.generation:
        response = redirect(url_for(".descriptor", name=name, v=shown.generation.id))
        response.headers["Cache-Control"] = "no-store"
        return response
    place = {"Url": f"{tiles_url}/{shown.generation.tiles}"} if tiles_url else None
    # a setting may change, so whoever names it is asked again
    return _answer(shown.pyramid.descriptor(place).encode(), "application/xml", None if place else wanted)


@blueprint.get("/dzi/<path:name>_files/<number:level>/<number:column>_<number:row>.<any(" + ", ".join(CONTENT_TYPES) + "):extension>")
def tile(name: str, level: int, column: int, row: int, extension: str) -> Response:
    """One tile."""
    image, wanted = image_named(name), _wanted()
    generation = wanted or _shown_with_tile(image, level, column, row, extension).generation
    return _answer(_read(generation.tile(level, column, row, extension), image), CONTENT_TYPES[extension], wanted)


@blueprint.get("/thumbnail/<path:name>.jpg")
def thumbnail(name: str) -> Response:
    """A JPEG whose longer side is 512 pixels at most."""
    image, wanted = image_named(name), _wanted()
    generation = wanted or _shown(image).generation
    return _answer(_read(generation.thumbnail, image), "image/jpeg", wanted)


def _wanted() -> Generation | None:
    text = request.args.get("v")
    return None if text is None else generation_named(text)


def _shown(image: ImageKey) -> Published:
    shown = published(image, workspace().zoom)
    if shown is None:
        raise missing(image.display)
    return shown


def _shown_with_tile(image: ImageKey, level: int, column: int, row: int, extension: str) -> Published:
    shown = _shown(image)
    if extension != shown.pyramid.recipe.format or not shown.pyramid.has_tile(level, column, row):
        raise NotFound(f"{image.display} has no such tile.")
    return shown


def _read(name: str, image: ImageKey) -> bytes:
    try:
        return workspace().zoom.read(name).data
    except NotFound as error:
        raise NotFound(f"{image.display} has no such tile or thumbnail.") from error


def _answer(data: bytes, content_type: str, wanted: Generation | None) -> Response:
    return Response(data, content_type=content_type, headers={"Cache-Control": FOREVER if wanted else BRIEFLY})
