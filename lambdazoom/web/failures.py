"""What a request that fails is answered: one table, and a page or a line of text that never holds a traceback."""

import logging
import secrets

from flask import Flask, Response, jsonify, make_response, render_template, request
from werkzeug.exceptions import HTTPException

from lambdazoom.model.errors import (
    AccessDenied,
    AlreadyThere,
    Conflict,
    ImageError,
    Incomplete,
    Interrupted,
    LambdaZoomError,
    MetadataError,
    NoRoom,
    NotFound,
    SettingsError,
    StorageError,
    Unstorable,
)

# looked up along the exception's ancestors, the nearest first
STATUS: dict[type, int] = {
    NotFound: 404,
    Unstorable: 404,  # a name that no store can hold is a name of nothing
    ImageError: 422,
    Conflict: 409,
    AlreadyThere: 409,
    Incomplete: 422,
    NoRoom: 507,
    Interrupted: 503,
    MetadataError: 502,
    AccessDenied: 502,  # the store refused us; it says nothing about whoever asks
    StorageError: 502,
    SettingsError: 500,
    LambdaZoomError: 500,
}
SENTENCES = {
    404: "There is nothing at this address. It may have been deleted or renamed.",
    405: "This address can't be used that way.",
    413: "That is more than one request may hold.",
}
WORDS = {  # what the API calls a refusal that has no better word
    400: "bad-request",
    401: "not-signed-in",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    503: "no-password",
}
CHALLENGE = "Session"  # a 401 must name a scheme (RFC 9110, section 15.5.2); a name that no browser knows opens no dialog
REFUSED = "This request could not be understood."
UNEXPECTED = "Something went wrong here. It was written to the log under the reference below."

_log = logging.getLogger(__name__)


class Refused(HTTPException):
    """A request that is turned away with a sentence of ours, and a word for programs; nothing failed, so nothing is logged."""

    def __init__(self, sentence: str, status: int, word: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = status
        self.word = word or WORDS.get(status, "refused")


def install(application: Flask) -> None:
    """Answer every failed request of the application."""
    application.register_error_handler(LambdaZoomError, _named)
    application.register_error_handler(HTTPException, _refused)
    application.register_error_handler(Exception, _unexpected)


def status_of(error: LambdaZoomError) -> int:
    """The HTTP status of one of our errors."""
    return next(STATUS[ancestor] for ancestor in type(error).__mro__ if ancestor in STATUS)


def _named(error: LambdaZoomError) -> Response:
    status = status_of(error)
    reference = _logged(error) if status >= 500 else ""
    return _answer(str(error), status, reference, error.code)


def _refused(error: HTTPException) -> Response:
    if error.response is not None:
        return make_response(error.response)
    if isinstance(error, Refused):
        return _answer(error.sentence, error.code or 403, word=error.word)
    status = error.code or 500
    return _answer(SENTENCES.get(status, REFUSED), status, word=WORDS.get(status, "refused"))


def _unexpected(error: Exception) -> Response:
    return _answer(UNEXPECTED, 500, _logged(error, traceback=True), "unexpected")


def _logged(error: Exception, traceback: bool = False) -> str:
    reference = secrets.token_hex(4)
    details = {"reference": reference, "method": request.method, "path": request.path}
    _log.error("%s %s failed: %s (reference %s)", request.method, request.path, error, reference, extra=details, exc_info=traceback)
    return reference


def is_for_data() -> bool:
    """Whether the request asks for bytes to work with, which no page can stand in for."""
    return request.blueprint == "tiles" or request.endpoint == "pages.metadata" or is_for_the_api()


def is_for_the_api() -> bool:
    """Whether the request is a program's: then its errors are JSON (docs/api.md)."""
    wants_json = request.endpoint == "pages.info" and request.accept_mimetypes.best == "application/json"
    return request.blueprint in ("api", "uploads") or request.path.startswith("/api/") or wants_json


def _answer(sentence: str, status: int, reference: str = "", word: str = "") -> Response:
    if is_for_the_api():
        response = jsonify(error={"code": word, "message": sentence, "reference": reference})
        response.status_code = status
    elif is_for_data():
        text = f"{sentence} Reference: {reference}\n" if reference else f"{sentence}\n"
        response = make_response(text, status, {"Content-Type": "text/plain; charset=utf-8"})
    else:
        response = make_response(render_template("error.html", sentence=sentence, status=status, reference=reference), status)
    response.headers["Cache-Control"] = "no-store"
    if status == 401:
        response.headers["WWW-Authenticate"] = CHALLENGE
    return response
