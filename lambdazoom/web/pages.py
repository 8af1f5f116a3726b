"""The pages for people: the list of images, one image, activity, settings, and the forms on them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, abort, redirect, render_template, request, send_file, url_for
from werkzeug.wrappers import Response as AnyResponse

from lambdazoom import __version__
from lambdazoom.model.errors import NotFound
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord, Outcome, State
from lambdazoom.publishing import catalog, notices
from lambdazoom.publishing.generations import Published, published, same_version
from lambdazoom.web import api, cards, changes, ledger, neighbours, presentation
from lambdazoom.web.addresses import image_named, missing
from lambdazoom.web.cards import Status
from lambdazoom.web.listing import KINDS, Listing, Wanted, counts, indexed_part, listing
from lambdazoom.web.opening import opening, workspace
from lambdazoom.web.presentation import Choice
from lambdazoom.web.representations import waiting
from lambdazoom.web.resolution import metres_per_pixel

REFRESH_SECONDS = 2  # while something on the page is being made
EMPTY_REFRESH_SECONDS = 5
NOT_BEGUN = "It is to be made anew, which has not begun yet. This stays on show until that is done."
REST_SECONDS = 10  # while nothing is; only for those with a script

blueprint = Blueprint("pages", __name__)


@dataclass(frozen=True)
class Part:
    """One part of the list, as the page calls it."""

    one: str
    many: str
    empty: str
    tone: str = ""


PARTS = {
    "": Part("image", "images", "There are no further images."),
    "active": Part("in progress", "in progress", "Nothing is in progress."),
    "failed": Part("needs attention", "need attention", "Nothing needs attention.", "attention"),
    "ignored": Part("ignored", "ignored", "Nothing was ignored."),
}
SORTS = {"newest": "Newest", "name": "Name", "taken": "Date taken", "largest": "Size"}


@blueprint.app_context_processor
def _of_every_page() -> dict[str, str]:
    return {"version": __version__}


@blueprint.get("/")
def images() -> str:
    """The list, or what `q` finds, or the part of it that `show` names; `after` continues it."""
    query, show, sort, after = (request.args.get(name, "") for name in ("q", "show", "sort", "after"))
    query = query.strip()
    if show not in KINDS or sort not in ("", *SORTS):
        abort(404)
    page = listing(Wanted(query, show, sort or "newest", after))
    now = workspace().now()
    shown = [cards.card(record, now) for record in page.records]
    is_empty = not (shown or query or show or after)
    here: dict[str, Any] = {"q": query or None, "show": show or None, "sort": sort or None}
    return render_template(
        "list.html",
        q=query,
        here=here,
        cards=shown,
        found=_found(page, query),
        as_of=page.as_of,
        as_of_ago=presentation.ago(page.as_of, now) if page.as_of else "",
        next_page=url_for(".images", **here, after=page.cursor) if page.cursor else "",
        first_page=url_for(".images", **here) if after else "",
        tallies=_tallies(show),
        sorts=_sorts(sort or "newest", query) if shown and not show else (),
        notices=notices.sentences(workspace().metadata, workspace().source.bucket),
        nothing=PARTS[show].empty,
        is_empty=is_empty,
        source_line=_source_line(),
        refresh=_refresh([each.status for each in shown], is_empty),
        rest=REST_SECONDS,
    )


@blueprint.get("/image/<path:name>")
def image(name: str) -> str:
    """One image: its pyramid if there is one, what became of it, all that is known of it."""
    wanted, now = image_named(name), workspace().now()
    record = catalog.find(wanted, workspace().metadata) or _just_put(wanted)
    if record.state(now) == State.REMOVED:
        raise NotFound(" ".join(record.remarks) or str(missing(wanted.display)))
    shown = published(wanted, workspace().zoom)
    status, tags = cards.status(record, now), _tags(wanted)
    is_awaited = shown is not None and status is None and request.args.get("anew") == shown.generation.id
    return render_template(
        "image.html",
        name=wanted.name,
        here=_here(),
        title=cards.title(record),
        record=record,
        generation=shown.generation.id if shown else "",
        crop_kind="JPEG" if shown and not shown.pyramid.recipe.keeps_alpha else "PNG",
        file_name=wanted.name.rpartition("/")[2],
        metres_per_pixel=metres_per_pixel(tags),
        status=status,
        notice=_notice(record, shown, status) or (NOT_BEGUN if is_awaited else ""),
        complaints=[sentence for sentence in record.complaints if shown or not status or sentence != status.sentence],
        facts=cards.facts(record),
        receipt=cards.receipt(record),
        groups=presentation.groups(tags),
        embed=_embed(wanted, shown) if shown else "",
        original=" · ".join(filter(None, (record.kind, presentation.bytesize(record.version.size)))),
        can_reprocess=bool(shown) and not (record.tiles and record.tiles.outcome == Outcome.FAILED),
        is_of_other_settings=bool(shown and shown.recipe != workspace().settings.recipe.fingerprint),
        can_retry=record.needs_attention or record.state(now) == State.STALLED,
        refresh=0 if shown else _refresh([status], False),
        live=_refresh([status], bool(status) or is_awaited),
    )


@blueprint.get("/previous/<path:name>")
def previous(name: str) -> AnyResponse:
    """To the image before this one in the list that somebody came from, round its ends."""
    return _to_neighbour(name, -1)


@blueprint.get("/next/<path:name>")
def following(name: str) -> AnyResponse:
    """To the image after this one, likewise."""
    return _to_neighbour(name, 1)


def _to_neighbour(name: str, step: int) -> AnyResponse:
    here, wanted = _here(), image_named(name)
    record = catalog.find(wanted, workspace().metadata)
    found = Wanted(here["q"] or "", here["show"] or "", here["sort"] or "newest")
    index = indexed_part(found.state)[0] if found.state else opening().search().index()
    other = neighbours.neighbour(record, found, step, index) if record else None
    response = redirect(url_for(".image", name=(other or wanted).name, **here))
    response.headers["Cache-Control"] = "no-store"
    return response


def _here() -> dict[str, Any]:
    """The list that somebody came from, as the addresses of its images carry it on."""
    return {each: request.args.get(each) or None for each in ("q", "show", "sort")}


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


@blueprint.get("/activity/")
def activity() -> str:
    """What needs attention, what is at work, what was made lately, and the last day in figures."""
    store, now = workspace().metadata, workspace().now()
    pages = {kind: catalog.listed(kind, store) for kind in ("failed", "active", "newest")}
    parts = {kind: [ledger.entry(record, now) for record in page.records] for kind, page in pages.items()}
    active = [each for each in parts["active"] if each.is_busy]
    stalled = [each for each in parts["active"] if not each.is_busy]
    return render_template(
        "activity.html",
        attention=[*stalled, *(each for each in parts["failed"] if not each.is_busy)],
        goes_on=bool(pages["failed"].cursor),
        active=active,
        recent=[each for each in parts["newest"] if each.finished_at and each.card.generation],
        figures=ledger.figures(opening().search().index().since(now - api.DAY)),
        now=now,
        refresh=REFRESH_SECONDS if active else 0,
        rest=REST_SECONDS,
    )


@blueprint.get("/info/")
def info() -> Any:
    """The settings in force, without secrets."""
    if request.accept_mimetypes.best == "application/json":
        return api.info()
    return render_template("settings.html", settings=api.info()["settings"])


@blueprint.post("/activity/")
def retry_several() -> AnyResponse:
    """Try the named images once more."""
    for each in [image_named(name) for name in request.form.getlist("name")[: api.MAX_RETRIES]]:
        changes.retry(each)
    return redirect(url_for(".activity"), 303)


@blueprint.post("/image/<path:name>")
def change(name: str) -> AnyResponse:
    """Try an image once more, make it anew, or delete its original."""
    wanted, wish = image_named(name), request.form.get("wish", "")
    if wish == "delete":
        changes.delete(wanted, request.form.get("confirm", ""))
        return redirect(url_for(".images", **_here()), 303)
    if wish not in ("retry", "reprocess"):
        abort(400)
    is_anew = wish == "reprocess"
    shown = published(wanted, workspace().zoom) if is_anew else None
    changes.retry(wanted, anew=is_anew)
    return redirect(url_for(".image", name=wanted.name, anew=shown.generation.id if shown else None, **_here()), 303)


def _just_put(wanted: ImageKey) -> ImageRecord:
    """What stands for the record of an original that nothing has looked at yet; NotFound if there is none."""
    try:
        return waiting(workspace().source.head(wanted.key), workspace().now())
    except NotFound as error:
        raise missing(wanted.display) from error


def _found(page: Listing, query: str) -> str:
    if not page.total:
        return f"No image matches “{query}”."
    return f"{page.total:,} {'image matches' if page.total == 1 else 'images match'} “{query}”."


def _tallies(show: str) -> list[Choice]:
    found = counts()
    tallies = []
    for name, part in PARTS.items():
        counted = found[name or "all"]
        if counted.count or name in ("", show):
            text = presentation.counted(counted.count, counted.exact, part.one, part.many)
            tallies.append(Choice(name, text, part.tone, name == show))
    return tallies


def _sorts(sort: str, query: str) -> list[Choice]:
    def address(name: str) -> str:
        return url_for(".images", q=query or None, sort=None if name == "newest" else name)

    return [Choice(address(name), text, "", name == sort) for name, text in SORTS.items()]


def _source_line() -> str:
    """What to do with an image where there is none: the folder's path, or the line that copies to the bucket."""
    source = workspace().settings.texts["LAMBDAZOOM_SOURCE"]
    return f"aws s3 cp image.tif {source.rstrip('/')}/" if workspace().source.bucket else source


def _embed(image: ImageKey, shown: Published) -> str:
    """The lines of HTML that show the image on any other site; "" unless the tiles are public."""
    tiles_url = workspace().settings.tiles_url
    if not tiles_url:
        return ""
    script = url_for("static", filename="vendor/openseadragon/openseadragon.min.js", _external=True)
    return presentation.embed(f"{tiles_url}/{quote(image.pointer)}", script, shown.pyramid.recipe.format == "webp")


def _refresh(statuses: list[Status | None], is_empty: bool) -> int:
    """Seconds until the page should look again; 0 for never."""
    if any(status and status.is_busy for status in statuses):
        return REFRESH_SECONDS
    return EMPTY_REFRESH_SECONDS if is_empty else 0


def _notice(record: ImageRecord, shown: Published | None, status: Status | None) -> str:
    """What to say above a pyramid that isn't the present version's, or that is being made anew."""
    if shown is None or status is None:
        return ""
    if same_version(shown.version, record.version):
        return f"It is being made anew: {status.words}. This stays on show until that is done." if status.is_busy else ""
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
