"""A stand-in for API Gateway: HTTP in, its Lambda proxy events out, as its documentation and captures of live traffic show them.

REST APIs (payload 1.0) hand the path on as it was sent; HTTP APIs (payload 2.0) decode it first.
"""

import base64
import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from tests.quiet_server import QuietHandler, serving
from tests.zappa_function import PASSWORD, STAGE

REST_HOST = "abc123.execute-api.us-east-1.amazonaws.com"

Invoke = Callable[[dict[str, Any]], Any]


def rest_event(method: str, target: str, headers: dict[str, str], body: bytes | None = None) -> dict[str, Any]:
    """The event of a REST API (payload 1.0); `target` is what follows the stage."""
    parts = urlsplit(target)
    query = parse_qs(parts.query)
    return {
        "resource": "/{proxy+}",
        "path": parts.path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": {"proxy": parts.path.lstrip("/")},
        "requestContext": {"stage": STAGE, "path": f"/{STAGE}{parts.path}", "httpMethod": method, "identity": {"sourceIp": "127.0.0.1"}},
        "body": base64.b64encode(body).decode() if body else None,
        "isBase64Encoded": bool(body),
    }


def http_event(method: str, target: str, headers: dict[str, str], body: bytes | None = None) -> dict[str, Any]:
    """The event of an HTTP API (payload 2.0): the path is decoded, and cut where a `?` comes out of that; cookies stand apart."""
    parts = urlsplit(target)
    path = f"/{STAGE}{unquote(parts.path)}".split("?")[0]
    sent = {name.lower(): value for name, value in headers.items()}
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": parts.query,
        "cookies": [each for each in sent.pop("cookie", "").split("; ") if each],
        "headers": sent,
        "requestContext": {"stage": STAGE, "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1"}},
        "body": base64.b64encode(body).decode() if body else "",
        "isBase64Encoded": bool(body),
    }


def body_of(answer: dict[str, Any]) -> bytes:
    """The bytes that a browser would get."""
    body = answer.get("body") or ""
    return base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode()


def sign_in(invoke: Invoke) -> str:
    """What somebody who has typed the password into the form sends as Cookie."""
    headers = {"Host": REST_HOST, "X-Forwarded-Proto": "https"}
    form = invoke(rest_event("GET", "/sign-in", headers))
    token = re.search(r'name="token" value="([^"]+)"', form["body"])
    assert token, form
    body = urlencode({"token": token[1], "password": PASSWORD}).encode()
    headers |= {"Cookie": cookie_of(form), "Content-Type": "application/x-www-form-urlencoded"}
    answer = invoke(rest_event("POST", "/sign-in", headers, body))
    assert answer["statusCode"] == 303, answer
    return cookie_of(answer)


def cookie_of(answer: dict[str, Any]) -> str:
    """The cookie that an answer sets, as a browser sends it back."""
    return str(answer["headers"]["set-cookie"].partition(";")[0])


@contextlib.contextmanager
def gateway(invoke: Invoke) -> Iterator[str]:
    """A server on this machine that hands every request to the function, one at a time, as a REST API of the stage; its address."""
    one_at_a_time = threading.Lock()

    class Handler(QuietHandler):
        def respond(self) -> None:
            if not self.path.startswith(f"/{STAGE}/"):
                self.send_error(403)
                return
            headers = {**dict(self.headers), "Host": REST_HOST, "X-Forwarded-Proto": "https"}
            event = rest_event(self.command, self.path.removeprefix(f"/{STAGE}"), headers, self.body())
            with one_at_a_time:
                answer = invoke(event)
            kept = {name: value for name, value in answer["headers"].items() if name.lower() not in ("content-length", "connection")}
            self.answer(answer["statusCode"], body_of(answer), kept)

    with serving(Handler) as address:
        yield f"http://{address}/{STAGE}"
