"""The API of the images (docs/api.md): lists, one image, activity, settings, retry and delete, as JSON; uploads are in uploads.py."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, jsonify, request, url_for

from lambdazoom import __version__
from lambdazoom.imaging.signatures import IMAGE_SUFFIXES
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord
from lambdazoom.model.settings import SETTINGS
from lambdazoom.publishing import catalog
from lambdazoom.publishing.generations import published
from lambdazoom.web import changes
from lambdazoom.web.access import form_token
from lambdazoom.web.addresses import image_named
from lambdazoom.web.failures import Refused
from lambdazoom.web.listing import PAGE_SIZE, Listing, Wanted, counts, listing
from lambdazoom.web.opening import opening, workspace
from lambdazoom.web.representations import Document, details, ledger_row, summary, waiting

MAX_NAMES = 50
MAX_RETRIES = 100
DAY = timedelta(hours=24)
NOT_JSON = "This needs a JSON object in the body."

blueprint = Blueprint("api", __name__)


@blueprint.get("/api/")
def root() -> Document:
    """What is possible here, and where."""
    return {
        "version": __version__,
        "token": form_token(),
        "can_upload": changes.can_upload(),
        "can_delete": changes.can_delete(),
        "max_upload_bytes": workspace().settings.max_upload_bytes,
        "extensions": list(IMAGE_SUFFIXES),
        "links": {
            "images": url_for(".images"),
            "uploads": url_for("uploads.begin"),
            "retry": url_for(".retry_several"),
            "activity": url_for(".activity"),
        },
    }


@blueprint.get("/api/info")
def info() -> Document:
    """The settings in force; of a secret only whether it is set."""
    known = workspace().settings
    rows = [
        {
            "name": each.name,
            "value": known.texts[each.name],
            "default": each.default,
            "origin": known.origins[each.name],
            "help": each.help,
            "secret": each.is_secret,
        }
        for each in SETTINGS
    ]
    return {"version": __version__, "settings": rows}


@blueprint.get("/api/images")
def images() -> Response:
    """A page of the list."""
    names = request.args.getlist("name")
    if names:
        return _cacheable(_listed(Listing(_named(names), ""), {}))
    asked = {name: request.args[name] for name in ("q", "state", "sort", "limit") if request.args.get(name)}
    wanted = Wanted(
        query=asked.get("q", ""),
        state=asked.get("state", ""),
        sort=asked.get("sort", "newest"),
        cursor=request.args.get("cursor", ""),
        limit=_whole_number(asked.get("limit", str(PAGE_SIZE))),
    )
    return _cacheable(_listed(listing(wanted), asked))


@blueprint.get("/list/")
def former_list() -> Response:
    """The original program's address of the list."""
    return images()


@blueprint.get("/api/images/<path:name>")
def image(name: str) -> Response:
    """One image in full."""
    wanted, now = image_named(name), workspace().now()
    record = catalog.find(wanted, workspace().metadata) or _just_uploaded(wanted)
    return _cacheable(details(record, published(wanted, workspace().zoom), now, changes.can_delete()))


@blueprint.post("/api/images/<path:name>/retry")
def retry(name: str) -> tuple[Document, int]:
    """Try what failed once more, or make it anew."""
    wanted = image_named(name)
    told = body() if request.is_json else {}
    changes.retry(wanted, recipe=told.get("recipe") is True, anew=told.get("anew") is True)
    return {"name": wanted.name, "state": "waiting"}, 202


@blueprint.post("/api/retry")
def retry_several() -> tuple[Document, int]:
    """The same for several."""
    names = body().get("names")
    if not isinstance(names, list) or not 1 <= len(names) <= MAX_RETRIES or not all(isinstance(name, str) for name in names):
        raise Refused(f"`names` must be a list of 1 to {MAX_RETRIES} names.", 400)
    wanted = [image_named(name) for name in names]
    for each in wanted:
        changes.retry(each)
    return {"names": [each.name for each in wanted]}, 202


@blueprint.delete("/api/images/<path:name>")
def delete(name: str) -> tuple[Document, int]:
    """Delete the original."""
    wanted = image_named(name)
    kept = changes.delete(wanted, str(body().get("confirm", "")))
    return {"name": wanted.name, "kept_by_bucket": kept}, 202


@blueprint.get("/api/activity")
def activity() -> Response:
    """What needs attention, what is at work, what was made lately, and the last day in figures."""
    store, now = workspace().metadata, workspace().now()
    parts = {name: catalog.listed(kind, store).records for name, kind in (("failed", "failed"), ("active", "active"), ("recent", "newest"))}
    index = opening().search().index()
    day = index.since(now - DAY)
    rows = {name: [ledger_row(record, now) for record in records] for name, records in parts.items()}
    figures = {"images": day.images, "pixels": day.pixels, "tiles": day.tiles, "seconds": round(day.seconds, 1)}
    return _cacheable({**rows, "day": {**figures, "dollars": round(day.dollars, 6) or None}})


def body() -> dict[str, Any]:
    """The JSON object that was sent; Refused (400) for anything else."""
    sent = request.get_json(force=True, silent=True)
    if not isinstance(sent, dict):
        raise Refused(NOT_JSON, 400)
    return sent


def _listed(page: Listing, asked: dict[str, str]) -> Document:
    now = workspace().now()
    return {
        "images": [summary(record, now) for record in page.records],
        "next": page.cursor or None,
        "next_url": f"{url_for('.images')}?{urlencode({**asked, 'cursor': page.cursor})}" if page.cursor else None,
        "total": page.total,
        "as_of": page.as_of.isoformat(timespec="seconds") if page.as_of else None,
        "counts": {name: {"count": each.count, "exact": each.exact} for name, each in counts().items()},
    }


def _named(names: list[str]) -> list[ImageRecord]:
    if len(names) > MAX_NAMES:
        raise Refused(f"At most {MAX_NAMES} images can be asked for by name.", 400)
    found = (catalog.find(image_named(name), workspace().metadata) for name in names)
    return [record for record in found if record]


def _just_uploaded(wanted: ImageKey) -> ImageRecord:
    changes.require_original(wanted)
    return waiting(workspace().source.head(wanted.key), workspace().now())


def _whole_number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 4:
        raise Refused("A limit is a whole number.", 400)
    return int(text)


def _cacheable(document: Document) -> Response:
    """The answer, or 304 if whoever asks has it already."""
    response = jsonify(document)
    response.add_etag()
    response.make_conditional(request)
    return response
