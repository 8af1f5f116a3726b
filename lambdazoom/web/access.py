"""Who may see what: sign-in with one password, the signed session, and tokens that tell our forms from forged ones.

Everything is refused that is not named here. Without a password only this machine is served, and on Lambda nobody.
"""

import hashlib
import hmac
import logging
import os
import re
import secrets
from datetime import timedelta
from ipaddress import ip_address
from typing import cast
from urllib.parse import quote, unquote

from flask import Blueprint, Flask, Request, Response, current_app, g, make_response, redirect, render_template, request, url_for
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from werkzeug.wrappers import Response as AnyResponse

from lambdazoom.model import passwords
from lambdazoom.web.failures import CHALLENGE, Refused, is_for_data
from lambdazoom.web.opening import workspace

LIFETIME = timedelta(days=14)

PUBLIC = ("health", "static")  # endpoints that need neither settings nor a session
ENTRANCE = ("access.sign_in", "access.try_password")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

ON_LAMBDA = "No password is set, so nothing is shown. Run `python -m lambdazoom init`, then `zappa update live`."
NOT_HERE = "No password is set, so only this machine is served, as localhost. Run `python -m lambdazoom password`."
WRONG = "That password is not right."
NOT_SIGNED_IN = "You are not signed in. Sign in, then try again."
FORGED = "This was not sent by a page of ours, or that page is too old. Load the page again, then try once more."

_HERE = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.ASCII | re.IGNORECASE)
_PASSED_ON = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")
_PATH_AND_QUERY = re.compile(r"/(?!/)[!\"$-\[\]-~]*")  # visible ASCII without # and the backslash, which browsers take for a slash
_TOKEN = "lambdazoom.token"  # noqa: S105 (a name)

_log = logging.getLogger(__name__)

blueprint = Blueprint("access", __name__)


class SignedCookie(SecureCookieSessionInterface):
    """Flask's signed session cookie, for our own path only."""

    salt = "lambdazoom.session"
    digest_method = staticmethod(hashlib.sha256)

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:  # noqa: ARG002 (Flask's signature)
        """None: Flask asks before it knows the endpoint, and /health must answer without a workspace. The gate opens it."""
        return None

    def open(self, app: Flask, key: bytes) -> SecureCookieSession:
        """The session of the current request, an empty one if its cookie isn't signed with this key."""
        app.secret_key = key
        return super().open_session(app, request) or self.session_class()

    def get_cookie_path(self, app: Flask) -> str:  # noqa: ARG002 (Flask's signature)
        """The stage of an API Gateway, say."""
        return request.script_root or "/"

    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002 (Flask's signature)
        """True wherever the cookie can come back over https."""
        return request.is_secure or _is_on_lambda()


_COOKIE = SignedCookie()


def install(application: Flask) -> None:
    """Guard every address of the application, and add those of signing in and out."""
    application.session_interface = _COOKIE
    application.config.update(
        SESSION_COOKIE_NAME="lambdazoom",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,  # or every tile would set the cookie
        PERMANENT_SESSION_LIFETIME=LIFETIME,
    )
    application.extensions[_TOKEN] = secrets.token_urlsafe(16)
    application.add_template_global(is_signed_in)
    application.add_template_global(form_token)
    application.before_request(_gate)
    application.after_request(_keep_session)
    application.register_blueprint(blueprint)


def is_signed_in() -> bool:
    """Whether the request comes from somebody who knew the password, and still is the password."""
    return _session().get("signed_in") is True


def form_token() -> str:
    """What every form of ours sends back as `token`, or a script as `X-Form-Token`: nobody else's page can read it."""
    if not workspace().settings.password_hash:
        return str(current_app.extensions[_TOKEN])  # there are no sessions; only this machine can read our pages
    if "token" not in _session():
        _session()["token"] = secrets.token_urlsafe(16)
    return str(_session()["token"])


def _session() -> SecureCookieSession:
    """The session that the gate opened; an empty one where it did not get so far."""
    return cast(SecureCookieSession, g.session if "session" in g else SecureCookieSession())


def _keep_session(response: Response) -> Response:
    if "session" in g:
        _COOKIE.save_session(current_app, g.session, response)
        response.vary.add("Cookie")  # so that a browser's cache answers nobody who has signed out
    return response


def _gate() -> AnyResponse | None:
    """What to answer instead of what was asked for; None lets the request in."""
    if request.endpoint in PUBLIC:
        return None
    settings = workspace().settings
    if settings.password_hash:
        g.session = _COOKIE.open(current_app, passwords.session_key(settings.session_secret, settings.password_hash))
    else:
        _refuse_strangers()
    is_change = request.method not in SAFE_METHODS
    if is_change and _is_foreign():
        raise Refused(FORGED, 403)
    if settings.password_hash and not is_signed_in() and request.endpoint not in ENTRANCE:
        return _to_the_entrance(is_change)
    if is_change and request.url_rule and not _has_token():
        raise Refused(FORGED, 403)
    return None


def _refuse_strangers() -> None:
    if _is_on_lambda():
        # 503: whoever asks, and however, nothing can be shown until the operator has done something
        raise Refused(ON_LAMBDA, 503)
    if not _is_from_here():
        raise Refused(NOT_HERE, 403)


def _is_on_lambda() -> bool:
    return "AWS_LAMBDA_FUNCTION_NAME" in os.environ or "lambda.event" in request.environ or "lambda.context" in request.environ


def _is_from_here() -> bool:
    """Whether somebody on this machine asks for this machine by its own name, with no proxy between.

    The name counts because another site's can be made to point here (DNS rebinding); its pages could then read ours.
    """
    if any(name in request.headers for name in _PASSED_ON) or not _HERE.fullmatch(request.headers.get("Host", "")):
        return False
    try:
        return ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False


def _is_foreign() -> bool:
    """Whether the browser says that another site's page sent this; decided as Go's http.CrossOriginProtection does.

    Behind a CDN, Host is not what the browser's address bar shows, so Origin is compared only where Sec-Fetch-Site is missing.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is not None and origin.partition("://")[2] != request.host


def _has_token() -> bool:
    if workspace().settings.password_hash and "token" not in _session():
        return False
    sent = request.headers.get("X-Form-Token") or request.form.get("token", "")
    return hmac.compare_digest(sent.encode(), form_token().encode())


def _to_the_entrance(is_change: bool) -> AnyResponse:
    if is_for_data() or is_change:
        raise Refused(NOT_SIGNED_IN, 401)
    query = request.query_string.decode("latin-1")
    asked = quote(request.script_root + request.path) + (f"?{query}" if query else "")
    return _sent_to(url_for("access.sign_in", next=asked if asked != url_for("pages.images") else None))


@blueprint.get("/sign-in")
def sign_in() -> AnyResponse:
    """The form that asks for the password."""
    if is_signed_in() or not workspace().settings.password_hash:
        return _sent_to(_next() or url_for("pages.images"))
    return _form()


@blueprint.post("/sign-in")
def try_password() -> AnyResponse:
    """Open a session if the password is right. Each try costs the same 0.1 s of work; nothing counts them."""
    hashed = workspace().settings.password_hash
    if hashed and not passwords.is_right(request.form.get("password", ""), hashed):
        _log.warning("wrong password from %s", request.remote_addr)
        return _form(WRONG)
    if hashed:
        g.session = SecureCookieSession({"signed_in": True})
        g.session.permanent = True
        form_token()  # a new one: whoever knows the form's knows nothing of the session's
    return _sent_to(_next() or url_for("pages.images"))


@blueprint.post("/sign-out")
def sign_out() -> AnyResponse:
    """Take the cookie away."""
    _session().clear()
    return _sent_to(url_for("access.sign_in"))


def _form(wrong: str = "") -> Response:
    response = make_response(render_template("sign-in.html", wrong=wrong, next=_next() or None), 401 if wrong else 200)
    response.headers["Cache-Control"] = "no-store"
    if wrong:
        response.headers["WWW-Authenticate"] = CHALLENGE
    return response


def _sent_to(address: str) -> AnyResponse:
    response = redirect(address, 303)
    response.headers["Cache-Control"] = "no-store"
    return response


def _next() -> str:
    """Where to go after signing in, if that is an address of ours; else nothing."""
    asked = request.args.get("next", "")
    return asked if is_ours(asked, quote(request.script_root)) else ""


def is_ours(address: str, root: str) -> bool:
    """Whether an address, as a browser and even a proxy that decodes it again would read it, stays below `root` on this host."""
    path = unquote(unquote(address.partition("?")[0]))
    strays = "//" in path or "\\" in path or not {".", ".."}.isdisjoint(path.split("/"))
    return bool(_PATH_AND_QUERY.fullmatch(address)) and address.startswith(f"{root}/") and not strays
