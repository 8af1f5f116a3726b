"""Uploads (docs/api.md): begin, send parts, finish, give up. Nothing is remembered here: the addresses carry what a later request needs."""

import mimetypes
from typing import BinaryIO, cast

from flask import Blueprint, Response, request, url_for

from lambdazoom.imaging.signatures import is_image_name
from lambdazoom.model.errors import Incomplete, NotFound
from lambdazoom.model.keys import ImageKey, key_of
from lambdazoom.model.uploads import Part, Upload, upload_key
from lambdazoom.model.wishes import HINT
from lambdazoom.storage.folder_originals import FolderOriginals
from lambdazoom.web import changes
from lambdazoom.web.api import body
from lambdazoom.web.failures import Refused
from lambdazoom.web.opening import opening, workspace
from lambdazoom.web.representations import Document, summary, waiting

BATCH = 100  # parts whose addresses one answer holds
AT_ONCE = 4  # parts under way to a bucket
OCTETS = "application/octet-stream"
NO_UPLOAD = "There is no such upload. Begin it again."

blueprint = Blueprint("uploads", __name__, url_prefix="/api/uploads")


@blueprint.before_request
def _require_managing() -> None:
    changes.require_managing()


@blueprint.post("")
def begin() -> tuple[Document, int]:
    """A new upload, and how its parts are to be sent."""
    key, size = _key(body().get("name")), _size(body().get("size"))
    originals = opening().originals()
    upload = originals.begin(key, originals.plan(size), _content_type(key))
    plan = upload.plan
    return {
        "key": ImageKey(key).display,
        "name": ImageKey(key).name,
        "size": size,
        "part_size": plan.part_size,
        "part_count": plan.part_count,
        "at_once": AT_ONCE if originals.origin else 1,
        "parts": _requests(upload, 1),
        "links": {
            "parts": _address("parts", upload) if plan.part_count > BATCH else None,
            "complete": _address("complete", upload),
            "abort": _address("abort", upload),
        },
    }, 201


@blueprint.get("/<path:name>/parts")
def parts(name: str) -> Document:
    """How the next parts are to be sent, from number `from` on."""
    upload, first = _upload(name), request.args.get("from", default=1, type=int)
    if not 1 <= first <= upload.plan.part_count:
        raise Refused(f"There are parts from 1 to {upload.plan.part_count:,}.", 400)
    return {"parts": _requests(upload, first)}


@blueprint.put("/<path:name>/parts/<number:number>")
def receive(name: str, number: int) -> Response:
    """Take one part in, chunk by chunk; for folders alone."""
    originals, upload = opening().originals(), _upload(name)
    found = list(upload.plan.parts(number, 1)) if number else []
    if not found or not isinstance(originals, FolderOriginals):
        raise NotFound(NO_UPLOAD)
    if request.content_length != found[0].length:
        raise Incomplete(f"Part {number:,} has {found[0].length:,} bytes. Send it with exactly these.")
    originals.receive(upload, found[0], cast(BinaryIO, request.stream))
    response = Response(status=204)
    response.set_etag(str(number))
    return response


@blueprint.post("/<path:name>/complete")
def complete(name: str) -> tuple[Document, int]:
    """Let the original appear, and have it looked at."""
    etags = body().get("etags", [])
    if not isinstance(etags, list) or not all(isinstance(etag, str) for etag in etags):
        raise Refused("`etags` must be the list of the parts' ETags.", 400)
    upload = _upload(name)
    opening().originals().complete(upload, etags)
    opening().ask(ImageKey(upload.key), HINT, workspace())
    now = workspace().now()
    return summary(waiting(workspace().source.head(upload.key), now), now), 201


@blueprint.delete("/<path:name>")
def abort(name: str) -> Response:
    """Forget what was sent."""
    opening().originals().abort(_upload(name))
    return Response(status=204)


def _key(name: object) -> str:
    if not isinstance(name, str):
        raise Refused("`name` must be the file's name.", 400)
    try:
        key = upload_key(name)
    except ValueError as error:
        raise Refused(str(error), 422, "bad-name") from error
    if not is_image_name(key):
        raise Refused(f"{ImageKey(key).display} is no image, by its name.", 422, "not-an-image")
    return key


def _size(size: object) -> int:
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise Refused("`size` must be the file's number of bytes.", 400)
    if size == 0:
        raise Refused("The file is empty.", 422, "empty")
    most = workspace().settings.max_upload_bytes
    if size > most:
        raise Refused(f"The file has {size:,} bytes; {most:,} can be uploaded (LAMBDAZOOM_MAX_UPLOAD_BYTES).", 413)
    return size


def _upload(name: str) -> Upload:
    """The upload of an address, every part of it checked again."""
    try:
        key = key_of(name)
        if upload_key(key) != key:
            raise ValueError(name)
    except ValueError as error:
        raise NotFound(NO_UPLOAD) from error
    size = _size(request.args.get("size", type=int))
    return Upload(request.args.get("upload", ""), _key(key), opening().originals().plan(size))


def _requests(upload: Upload, first: int) -> list[Document]:
    return [_request(upload, part) for part in upload.plan.parts(first, BATCH)]


def _request(upload: Upload, part: Part) -> Document:
    signed = opening().originals().signed(upload, part, _content_type(upload.key))
    return {
        "number": part.number,
        "offset": part.offset,
        "length": part.length,
        "method": "PUT",
        "url": signed.url if signed else _address("receive", upload, part.number),
        "headers": signed.headers if signed else {"Content-Type": OCTETS},
    }


def _address(endpoint: str, upload: Upload, number: int | None = None) -> str:
    return url_for(f".{endpoint}", name=ImageKey(upload.key).name, number=number, upload=upload.id or None, size=upload.plan.size)


def _content_type(key: str) -> str:
    """An image's type by its name; never one that a browser would run (SVG, HTML)."""
    guessed = mimetypes.guess_type(f"x.{key.rpartition('.')[2].lower()}")[0] or ""
    return guessed if guessed.startswith("image/") and "svg" not in guessed and "xml" not in guessed else OCTETS
