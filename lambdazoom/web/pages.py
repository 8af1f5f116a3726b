"""The pages for people: the list of images, one image, and its metadata as a file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, abort, render_template, request, send_file, url_for

from lambdazoom.model.errors import NotFound
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord, State
from lambdazoom.publishing import catalog, notices
from lambdazoom.publishing.generations import Published, published, same_version
from lambdazoom.storage.base import Store
from lambdazoom.web import cards, presentation
from lambdazoom.web.addresses import image_named, missing
from lambdazoom.web.cards import Status
from lambdazoom.web.opening import workspace

PAGE_SIZE = 60
COUNT_LIMIT = 1000
REFRESH_SECONDS = 2  # while something on the page is being made
EMPTY_REFRESH_SECONDS = 5

blueprint = Blueprint("pages", __name__)


@dataclass(frozen=True)
class Filter:
    """One part of the list: `kind` is the catalog's word, the others are what the page says."""

    kind: str
    one: str
    many: str
    empty: str
    tone: str = ""


FILTERS = {
    "": Filter("newest", "image", "images", "There are no further images."),
    "active": Filter("active", "in progress", "in progress", "Nothing is in progress."),
    "failed": Filter("failed", "needs attention", "need attention", "Nothing needs attention.", "attention"),
    "ignored": Filter("ignored", "ignored", "ignored", "Nothing was ignored."),
}


@dataclass(frozen=True)
class Tally:
    """One part of the line above the list."""

    show: str
    text: str
    tone: str
    is_current: bool


@blueprint.get("/")
def images() -> str:
    """The list, newest first, or the part of it that `show` names; `after` continues it."""
    show, after = request.args.get("show", ""), request.args.get("after", "")
    if show not in FILTERS:
        abort(404)
    store, now = workspace().metadata, workspace().now()
    page = catalog.listed(FILTERS[show].kind, store, after, PAGE_SIZE)
    shown = [cards.card(record, now) for record in page.records]
    is_empty = not (shown or show or after)
    return render_template(
        "list.html",
        show=show,
        after=after,
        cards=shown,
        cursor=page.cursor,
        tallies=_tallies(show, store),
        notices=notices.sentences(store, workspace().source.bucket),
        nothing=FILTERS[show].empty,
        source=workspace().settings.texts["LAMBDAZOOM_SOURCE"] if is_empty else "",
        refresh=_refresh([each.status for each in shown], is_empty),
    )


@blueprint.get("/image/<path:name>")
def image(name: str) -> str:
    """One image: its pyramid if there is one, what became of it, all that is known of it."""
    wanted, now = image_named(name), workspace().now()
    record = catalog.find(wanted, workspace().metadata)
    if record is None:
        raise missing(wanted.display)
    if record.state(now) == State.REMOVED:
        raise NotFound(" ".join(record.remarks) or str(missing(wanted.display)))
    shown = published(wanted, workspace().zoom)
    status = cards.status(record, now)
    return render_template(
        "image.html",
        name=wanted.name,
        title=cards.title(record),
        record=record,
        generation=shown.generation.id if shown else "",
        status=status,
        notice=_notice(record, shown, status),
        complaints=[sentence for sentence in record.complaints if shown or not status or sentence != status.sentence],
        facts=cards.facts(record),
        groups=presentation.groups(_tags(wanted)),
        embed=_embed(wanted) if shown else "",
        refresh=0 if shown else _refresh([status], False),
    )


@blueprint.get("/metadata/<path:name>.json")
def metadata(name: str) -> Response:
    """The stored metadata document, as a file to keep."""
    wanted = image_named(name)
    try:
        data = workspace().metadata.read(wanted.metadata).data
    except NotFound as error:
        raise NotFound(f"There is no metadata of {wanted.display}.") from error
    file_name = wanted.metadata.rpartition("/")[2]  # the stored name: no header can hold what a key can
    return send_file(BytesIO(data), mimetype="application/json", as_attachment=True, download_name=file_name, max_age=0)


def _embed(image: ImageKey) -> str:
    """The lines of HTML that show the image on any other site; "" unless the tiles are public."""
    tiles_url = workspace().settings.tiles_url
    if not tiles_url:
        return ""
    script = url_for("static", filename="vendor/openseadragon/openseadragon.min.js", _external=True)
    return presentation.embed(f"{tiles_url}/{quote(image.pointer)}", script)


def _tallies(show: str, store: Store) -> list[Tally]:
    counts = {name: catalog.count(each.kind, store, COUNT_LIMIT) for name, each in FILTERS.items()}
    return [
        Tally(name, presentation.counted(counts[name], COUNT_LIMIT, each.one, each.many), each.tone, name == show)
        for name, each in FILTERS.items()
        if counts[name] or name in ("", show)
    ]


def _refresh(statuses: list[Status | None], is_empty: bool) -> int:
    """Seconds until the page should look again; 0 for never."""
    if any(status and status.is_busy for status in statuses):
        return REFRESH_SECONDS
    return EMPTY_REFRESH_SECONDS if is_empty else 0


def _notice(record: ImageRecord, shown: Published | None, status: Status | None) -> str:
    """What to say above a pyramid that isn't the present version's."""
    if shown is None or status is None or same_version(shown.version, record.version):
        return ""
    if status.is_busy:
        return f"A newer version is being made: {status.words}. This is the one before it."
    return f"The newer version can't be shown. {status.sentence} This is the one before it."


def _tags(wanted: ImageKey) -> Mapping[str, Mapping[str, Any]]:
    if not wanted.is_storable:
        return {}
    try:
        document: dict[str, Any] = json.loads(workspace().metadata.read(wanted.metadata).data)
    except NotFound:
        return {}
    tags: dict[str, dict[str, Any]] = document["tags"]
    return tags
