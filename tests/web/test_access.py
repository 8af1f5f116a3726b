"""Who gets in: nobody without the password, and without one set only this machine; no site can act or redirect for another."""

import os
import random
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, BrowserContext, expect
from werkzeug.test import TestResponse

from lambdazoom.model import passwords
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.web import access
from lambdazoom.web.application import create_app
from tests.conftest import environment_for, free_port
from tests.gateway import REST_HOST, cookie_of, http_event, rest_event, sign_in
from tests.zappa_function import ACCESS, PASSWORD, ZappaFunction, write_python_settings

from .browsing import served, sign_out
from .conftest import Publish, Serve

SECRET = "0123456789abcdef0123456789abcdef"
HASH = passwords.hash_password(PASSWORD, bytes(16))
COOKIE = "lambdazoom"


def guarded_by(workspace: Workspace, hashed: str = HASH, secret: str = SECRET) -> Workspace:
    return replace(workspace, settings=replace(workspace.settings, password_hash=hashed, session_secret=secret))


@pytest.fixture
def application(workspace: Workspace) -> Flask:
    """The application with a password, for all fixtures of this module."""
    return create_app(lambda: guarded_by(workspace))


@pytest.fixture
def local(workspace: Workspace) -> Flask:
    """The application without a password, and with a change that a page of ours could ask for."""
    application = create_app(lambda: workspace)
    application.add_url_rule("/change", "change", lambda: "changed", methods=["POST"])
    application.add_url_rule("/token", "token", access.form_token)
    return application


def token_in(page: str) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page)
    assert found, page
    return found[1]


def try_password(client: FlaskClient, password: str = PASSWORD, query: str = "", **options: Any) -> TestResponse:
    form = client.get(f"/sign-in{query}", **options)
    return client.post(f"/sign-in{query}", data={"token": token_in(form.text), "password": password}, **options)


@pytest.fixture
def visitor(client: FlaskClient) -> FlaskClient:
    """Somebody who has signed in."""
    assert try_password(client).status_code == 303
    return client


# without a session


def test_every_address_but_the_public_ones_is_refused_without_a_session(client: FlaskClient, application: Flask, publish: Publish) -> None:
    publish("cat.jpg")
    values = {"name": "cat.jpg", "filename": "style.css", "level": 0, "column": 0, "row": 0, "extension": "jpg", "number": 1}
    adapter = application.url_map.bind("localhost")
    refused = set()
    for rule in application.url_map.iter_rules():
        for method in (rule.methods or set()) - {"OPTIONS"}:
            path = adapter.build(rule.endpoint, {name: values[name] for name in rule.arguments}, method)
            with client.open(path, method=method) as response:
                if response.status_code != 200:
                    refused.add(rule.endpoint)
                    assert response.status_code in (303, 401, 403), path
                    assert b"cat.jpg" not in re.sub(rb"next=[^\"<]*", b"", response.data)  # but the way back
    allowed = {rule.endpoint for rule in application.url_map.iter_rules()} - refused
    assert allowed == {"static", "health", "access.sign_in"}


@pytest.mark.parametrize("path", ["/dzi/cat.jpg.dzi", "/dzi/cat.jpg_files/0/0_0.jpg", "/thumbnail/cat.jpg.jpg", "/metadata/cat.jpg.json"])
def test_what_is_no_page_is_refused_with_a_line_of_text(client: FlaskClient, publish: Publish, path: str) -> None:
    publish("cat.jpg")
    response = client.get(path)
    assert (response.status_code, response.text) == (401, "You are not signed in. Sign in, then try again.\n")
    assert response.content_type == "text/plain; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["WWW-Authenticate"] == "Session"


@pytest.mark.parametrize(
    ("path", "entrance"),
    [
        ("/", "/sign-in"),
        ("/?show=failed", "/sign-in?next=/?show%3Dfailed"),
        ("/image/trip/a%20%C3%A4.jpg", "/sign-in?next=/image/trip/a%2520%25C3%25A4.jpg"),
        ("/nowhere", "/sign-in?next=/nowhere"),
    ],
)
@pytest.mark.parametrize("root", ["", "/live"])
def test_a_page_leads_to_the_entrance_and_back(client: FlaskClient, path: str, entrance: str, root: str) -> None:
    response = client.get(path, environ_overrides={"SCRIPT_NAME": root})
    assert response.status_code == 303
    assert response.headers["Location"] == root + entrance.replace("next=", f"next={root}")
    assert response.headers["Cache-Control"] == "no-store"
    back = try_password(client, query=response.headers["Location"].partition("/sign-in")[2], environ_overrides={"SCRIPT_NAME": root})
    assert (back.status_code, back.headers["Location"]) == (303, root + path)


# the password and the session


def test_the_right_password_opens_everything(client: FlaskClient, publish: Publish) -> None:
    publish("cat.jpg")
    assert try_password(client).headers["Location"] == "/"
    for path in ("/", "/image/cat.jpg", "/dzi/cat.jpg.dzi", "/thumbnail/cat.jpg.jpg", "/metadata/cat.jpg.json"):
        response = client.get(path)
        assert response.status_code == 200
        assert "Cookie" in response.headers["Vary"]
        assert "Set-Cookie" not in response.headers
    assert client.get("/sign-in?next=/image/cat.jpg").headers["Location"] == "/image/cat.jpg"
    assert client.get("/nowhere").status_code == 404


@pytest.mark.parametrize("password", ["", "wrong", PASSWORD.upper(), "x" * 100_000, "<script>"])
def test_a_wrong_password_is_told_and_opens_nothing(client: FlaskClient, caplog: pytest.LogCaptureFixture, password: str) -> None:
    response = try_password(client, password, "?next=/nowhere")
    assert response.status_code == 401
    assert response.headers["Cache-Control"] == "no-store"
    assert "That password is not right." in response.text
    assert 'role="alert"' in response.text
    assert "next=/nowhere" in response.text
    assert caplog.messages == ["wrong password from 127.0.0.1"]
    assert client.get("/").status_code == 303


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("root", ["", "/live"])
def test_the_cookie_is_kept_from_scripts_and_other_sites(client: FlaskClient, scheme: str, root: str) -> None:
    response = try_password(client, base_url=f"{scheme}://localhost{root}")
    cookie = response.headers["Set-Cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert "; HttpOnly" in cookie
    assert "; SameSite=Lax" in cookie
    assert ("; Secure" in cookie) == (scheme == "https")
    assert f"Path={root or '/'}" in cookie.split("; ")
    assert "; Expires=" in cookie
    assert "Domain" not in cookie


@pytest.mark.parametrize(("days", "status"), [(13, 200), (15, 303)])
def test_a_session_ends_after_two_weeks(visitor: FlaskClient, monkeypatch: pytest.MonkeyPatch, days: int, status: int) -> None:
    cookie = visitor.get_cookie(COOKIE)
    assert cookie
    later = time.time() + timedelta(days=days).total_seconds()
    monkeypatch.setattr(time, "time", lambda: later)
    stranger = visitor.application.test_client(use_cookies=False)  # one that minds no Expires
    assert stranger.get("/", headers={"Cookie": f"{COOKIE}={cookie.value}"}).status_code == status


@pytest.mark.parametrize(
    "change",
    [{"hashed": passwords.hash_password(PASSWORD, bytes(15) + b"x")}, {"secret": SECRET[::-1]}],
    ids=["another password", "another secret"],
)
def test_a_new_password_or_secret_ends_every_session(visitor: FlaskClient, workspace: Workspace, change: dict[str, str]) -> None:
    cookie = visitor.get_cookie(COOKIE)
    assert cookie
    headers = {"Cookie": f"{COOKIE}={cookie.value}"}
    for guard, status in ((guarded_by(workspace), 200), (guarded_by(workspace, **change), 303)):
        assert create_app(lambda guard=guard: guard).test_client(use_cookies=False).get("/", headers=headers).status_code == status  # type: ignore[misc]


def test_a_cookie_that_was_tampered_with_opens_nothing(visitor: FlaskClient) -> None:
    cookie = visitor.get_cookie(COOKIE)
    assert cookie
    payload, _, rest = cookie.value.partition(".")
    stranger = visitor.application.test_client(use_cookies=False)
    for value in (f"{payload}x.{rest}", f"{payload}.{rest}x", payload, "", "x.y.z", "\xff"):
        assert stranger.get("/", headers={"Cookie": f"{COOKIE}={value}"}).status_code == 303


def test_neither_password_nor_hash_nor_secret_is_ever_sent(client: FlaskClient) -> None:
    pages = [client.get("/sign-in"), try_password(client, PASSWORD + "x"), try_password(client), client.get("/"), client.get("/x")]
    for page in pages:
        assert not [text for text in (PASSWORD, HASH, SECRET) if text in page.text + str(page.headers)]


@pytest.mark.parametrize("path", ["/", "/image/cat.jpg", "/activity/", "/settings/", "/nowhere"])
def test_every_form_that_changes_something_bears_the_token(visitor: FlaskClient, publish: Publish, path: str) -> None:
    publish("cat.jpg")
    page = visitor.get(path).text
    forms = re.findall(r'<form[^>]*method="post".*?</form>', page, re.DOTALL)
    assert forms, "at least the one for signing out"
    assert {token_in(form) for form in forms} == {token_in(page)}


@pytest.mark.parametrize("path", ["/", "/image/cat.jpg", "/nowhere"])
def test_signing_out_takes_the_cookie_away(visitor: FlaskClient, publish: Publish, path: str) -> None:
    publish("cat.jpg")
    page = visitor.get(path)
    assert "Sign out" in page.text
    assert "Sign out" not in visitor.application.test_client().get("/sign-in").text
    response = visitor.post("/sign-out", data={"token": token_in(page.text)})
    assert (response.status_code, response.headers["Location"]) == (303, "/sign-in")
    assert visitor.get_cookie(COOKIE) is None
    assert visitor.get("/").status_code == 303


def test_a_workspace_that_can_not_be_opened_is_still_a_page(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> Workspace:
        raise RuntimeError("no such profile")

    for path in ("/", "/sign-in"):
        response = create_app(fail).test_client().get(path)
        assert response.status_code == 500
        assert "Reference" in response.text


# where to go after signing in

STRAY = [
    "//evil.example/",
    "///evil.example/",
    "https://evil.example/",
    "https:evil.example",
    "http:/\\evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/%5Cevil.example",
    "/%255Cevil.example",
    "/%2Fevil.example",
    "/%252Fevil.example",
    "%2F%2Fevil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "\t//evil.example",
    " //evil.example",
    "/ /evil.example",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,x",
    "evil.example",
    "@evil.example",
    ".evil.example",
    "",
    "/image/\x00",
    "/bild/ä.jpg",
    "/live/../evil",
    "/live/%2e%2E/evil",
    "/live/%252e%252e/evil",
    "/live/..#/x",
    "/live/./x",
]


@pytest.mark.parametrize("root", ["", "/live"])
@pytest.mark.parametrize("stray", STRAY)
def test_nobody_is_sent_elsewhere_after_signing_in(client: FlaskClient, stray: str, root: str) -> None:
    options: dict[str, Any] = {"environ_overrides": {"SCRIPT_NAME": root}}
    query = f"?next={quote(stray, safe='')}"
    form = client.get(f"/sign-in{query}", **options)
    assert "evil" not in form.text
    assert try_password(client, query=query, **options).headers["Location"] == f"{root}/"
    assert client.get(f"/sign-in{query}", **options).headers["Location"] == f"{root}/"


@pytest.mark.parametrize("address", ["/", "/other/app", "/livestock", "/live", "/Live/x"])
def test_nobody_is_sent_to_another_application_of_the_same_host(address: str) -> None:
    assert not access.is_ours(address, "/live")


@pytest.mark.parametrize("address", ["/", "/?show=failed&after=a%2F%2Fb%5C..", "/image/a~2Fb/%C3%A4%20~25.jpg", "/image/what..jpg"])
def test_addresses_of_ours_are_followed(address: str) -> None:
    assert access.is_ours(address, "")
    assert access.is_ours(f"/live{address}", "/live")


PIECES = ["/", "//", "\\", "live", "/live/", "image", "..", ".", "%2e", "%2F", "%5c", "%25", "#", "?", ":", "@", "evil.example"]
PIECES += ["https:", "javascript:", "\t", "\n", "\r", " ", "\x00", "ä", ";", "&", "[", "]", "|", "%", "~2E"]


def test_a_browser_reads_every_address_that_we_follow_as_one_of_ours(browser: Browser, serve: Serve) -> None:
    chance = random.Random(20)  # always the same ones
    tried = {"/live/" * chance.randint(0, 1) + "".join(chance.choices(PIECES, k=chance.randint(1, 6))) for _ in range(30_000)}
    followed = [address for address in tried if access.is_ours(address, "/live")]
    assert len(followed) > 300
    with serve("/live") as site:
        page = browser.new_page()
        page.goto(f"{site}/sign-in")
        read = page.evaluate("list => list.map(each => new URL(each, location).href)", followed)
        page.close()
    assert [address for address in read if not address.startswith(f"{site}/")] == []


# forged changes


@pytest.mark.parametrize(
    ("token", "headers"),
    [
        (None, {}),
        ("", {}),
        ("wrong", {}),
        ("ä", {}),
        ("right", {"Origin": "https://evil.example"}),
        ("right", {"Origin": "null"}),
        ("right", {"Origin": "http://localhost:8001"}),
        ("right", {"Origin": "http://localhost.evil.example"}),
        ("right", {"Sec-Fetch-Site": "cross-site"}),
        ("right", {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"}),
    ],
)
@pytest.mark.parametrize("path", ["/sign-in", "/sign-out"])
def test_a_change_without_our_token_or_from_elsewhere_is_refused(
    visitor: FlaskClient, path: str, token: str | None, headers: dict[str, str]
) -> None:
    right = token_in(visitor.get("/").text)
    data = {} if token is None else {"token": right if token == "right" else token}
    response = visitor.post(path, data=data, headers=headers)
    assert response.status_code == 403
    assert access.FORGED in response.text
    assert response.headers["Cache-Control"] == "no-store"
    assert visitor.get("/").status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "http://localhost"}, {"Sec-Fetch-Site": "same-origin", "Origin": "https://cdn.example"}]
)
def test_a_change_by_a_page_of_ours_is_done(visitor: FlaskClient, headers: dict[str, str]) -> None:
    assert visitor.post("/sign-out", data={"token": token_in(visitor.get("/").text)}, headers=headers).status_code == 303


def test_a_script_of_ours_may_send_the_token_as_a_header(visitor: FlaskClient) -> None:
    assert visitor.post("/sign-out", headers={"X-Form-Token": token_in(visitor.get("/").text)}).status_code == 303


def test_the_token_of_another_session_is_refused(visitor: FlaskClient) -> None:
    stranger = visitor.application.test_client()
    before = token_in(stranger.get("/sign-in").text)
    assert visitor.post("/sign-out", data={"token": before}).status_code == 403
    assert try_password(stranger).status_code == 303
    after = token_in(stranger.get("/").text)
    assert before != after
    assert visitor.post("/sign-out", data={"token": after}).status_code == 403


def test_a_change_without_a_session_is_refused(client: FlaskClient) -> None:
    assert client.post("/sign-out").status_code == 401
    assert client.post("/sign-in", data={"password": PASSWORD}).status_code == 403


def test_reading_changes_nothing(visitor: FlaskClient) -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        visitor.open("/sign-out", method=method)
    assert visitor.get("/").status_code == 200


def test_without_a_password_a_change_needs_a_token_too(local: Flask) -> None:
    client = local.test_client()
    token = client.get("/token").text
    assert client.post("/change").status_code == 403
    assert client.post("/change", data={"token": token}, headers={"Origin": "http://localhost:8001"}).status_code == 403
    assert client.post("/change", data={"token": token}, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.post("/change", data={"token": token}).text == "changed"


# without a password


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:8000", "[::1]", "[::1]:8000"])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_without_a_password_this_machine_is_served(local: Flask, host: str, address: str) -> None:
    response = local.test_client().get("/", headers={"Host": host}, environ_overrides={"REMOTE_ADDR": address})
    assert response.status_code == 200
    assert "Sign out" not in response.text
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({}, "192.168.1.7"),
        ({}, "::ffff:192.168.1.7"),
        ({}, ""),
        ({"Host": "evil.example"}, "127.0.0.1"),
        ({"Host": "evil.example:8000"}, "127.0.0.1"),
        ({"Host": "localhost.evil.example"}, "127.0.0.1"),
        ({"Host": "127.0.0.1.nip.io:8000"}, "127.0.0.1"),
        ({"Host": "localhost:8000@evil.example"}, "127.0.0.1"),
        ({"Host": "0.0.0.0:8000"}, "127.0.0.1"),
        ({"Host": ""}, "127.0.0.1"),
        ({"X-Forwarded-For": "127.0.0.1"}, "127.0.0.1"),
        ({"Forwarded": "for=192.0.2.60"}, "127.0.0.1"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/image/cat.jpg", "/dzi/cat.jpg.dzi", "/sign-in", "/nowhere"])
def test_without_a_password_nobody_else_is_served(local: Flask, headers: dict[str, str], address: str, path: str) -> None:
    client = local.test_client()
    response = client.get(path, headers=headers, environ_overrides={"REMOTE_ADDR": address})
    assert response.status_code == 403
    assert "No password is set, so only this machine is served, as localhost." in response.text
    assert client.get("/health", headers=headers, environ_overrides={"REMOTE_ADDR": address}).text == "ok"


def test_serve_on_all_addresses_without_a_password_tells_and_serves_this_machine_only(environment: dict[str, str]) -> None:
    port = free_port()
    command = [sys.executable, "-m", "lambdazoom", "serve", "--host", "0.0.0.0", "--port", str(port)]
    server = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert server.stdout
    try:
        server.stdout.readline()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
            assert answer.status == 200
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"http://0.0.0.0:{port}/", timeout=10)
    finally:
        server.send_signal(signal.SIGINT)
        errors = server.communicate(timeout=20)[1]
    assert errors == f"{access.NOT_HERE} Then start again with the two settings that it prints.\n"


def test_with_a_password_others_are_served_too(application: Flask) -> None:
    client = application.test_client()
    assert client.get("/sign-in", headers={"Host": "images.example"}, environ_overrides={"REMOTE_ADDR": "192.0.2.7"}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/sign-in", "/image/cat.jpg", "/dzi/cat.jpg.dzi", "/nowhere"])
def test_on_lambda_nothing_is_shown_without_a_password(local: Flask, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "lambdazoom-live")
    response = local.test_client().get(path)
    assert response.status_code == 503
    assert access.ON_LAMBDA in response.text.replace("&#39;", "'")
    assert response.headers["Cache-Control"] == "no-store"
    assert local.test_client().get("/health").text == "ok"


def test_without_a_password_there_is_nothing_to_sign_in_to(local: Flask) -> None:
    client = local.test_client()
    assert client.get("/sign-in").headers["Location"] == "/"
    assert client.post("/sign-in", data={"token": client.get("/token").text, "password": "x"}).headers["Location"] == "/"


# through Zappa's handler


@pytest.fixture(scope="module")
def zappa_settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_python_settings(tmp_path_factory.mktemp("zappa"))


@contextmanager
def deployed(settings: Path, folder: Path, **environment: str) -> Iterator[ZappaFunction]:
    (folder / "source").mkdir(exist_ok=True)
    with ZappaFunction(settings, {**environment_for(folder), **environment}, folder / "function.log") as function:
        yield function


@pytest.mark.parametrize("event", [rest_event, http_event], ids=["REST API", "HTTP API"])
def test_the_deployed_function_without_a_password_says_how_to_set_it(
    zappa_settings: Path, tmp_path: Path, event: Callable[..., dict[str, Any]]
) -> None:
    with deployed(zappa_settings, tmp_path, **dict.fromkeys(ACCESS, "")) as function:
        for path in ("/", "/dzi/cat.jpg.dzi", "/sign-in"):
            answer = function.invoke(event("GET", path, {"Host": "127.0.0.1"}))  # whatever the client claims to be
            assert answer["statusCode"] == 503
            assert access.ON_LAMBDA in answer["body"]
        assert function.invoke(event("GET", "/health", {"Host": REST_HOST}))["body"] == "ok"


@pytest.mark.parametrize(
    ("event", "host", "root"),
    [(rest_event, REST_HOST, "/live"), (rest_event, "images.example", ""), (http_event, REST_HOST, "/live")],
    ids=["REST API's stage", "own domain", "HTTP API's stage"],
)
def test_the_deployed_function_asks_for_the_password(
    zappa_settings: Path, tmp_path: Path, event: Callable[..., dict[str, Any]], host: str, root: str
) -> None:
    with deployed(zappa_settings, tmp_path) as function:
        headers = {"Host": host}
        asked = function.invoke(event("GET", "/?show=failed", headers))
        assert (asked["statusCode"], asked["headers"]["Location"]) == (303, f"{root}/sign-in?next={root}/?show%3Dfailed")
        form = function.invoke(event("GET", "/sign-in?next=" + quote(f"{root}/?show=failed"), headers))
        assert f'action="{root}/sign-in?next={root}/?show%3Dfailed"' in form["body"]
        assert f'href="{root}/static/style.css"' in form["body"]
        headers |= {"Cookie": set_cookie(form).partition(";")[0], "Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode({"token": token_in(form["body"]), "password": PASSWORD}).encode()
        entered = function.invoke(event("POST", "/sign-in?next=" + quote(f"{root}/?show=failed"), headers, body))
        assert (entered["statusCode"], entered["headers"]["Location"]) == (303, f"{root}/?show=failed")
        assert {"Secure", "HttpOnly", f"Path={root or '/'}", "SameSite=Lax"} <= set(set_cookie(entered).split("; "))
        page = function.invoke(event("GET", "/", {"Host": host, "Cookie": set_cookie(entered).partition(";")[0]}))
        assert page["statusCode"] == 200
        assert f'action="{root}/sign-out"' in page["body"]
    assert PASSWORD not in function.log.read_text("utf-8")


def set_cookie(answer: dict[str, Any]) -> str:
    return str(answer["cookies"][0] if "cookies" in answer else answer["headers"]["set-cookie"])


def test_a_session_outlives_the_process_that_began_it(zappa_settings: Path, tmp_path: Path) -> None:
    with deployed(zappa_settings, tmp_path) as one, deployed(zappa_settings, tmp_path) as other:
        answer = other.invoke(rest_event("GET", "/", {"Host": REST_HOST, "Cookie": sign_in(one.invoke)}))
        assert answer["statusCode"] == 200
        assert cookie_of(one.invoke(rest_event("GET", "/sign-in", {"Host": REST_HOST})))


# in a browser


def enter(context: BrowserContext, address: str) -> None:
    page = context.new_page()
    page.goto(address)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(sign_out(page)).to_be_visible()
    page.close()


@pytest.mark.parametrize("prefix", ["", "/live"])
@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_in_and_out_again(browser: Browser, serve: Serve, publish: Publish, prefix: str, scripts: bool) -> None:
    publish("cat.jpg", 600, 400)
    with serve(prefix) as address:
        context = browser.new_context(java_script_enabled=scripts)
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(f"{address}/image/cat.jpg")
        field = page.get_by_label("Password")
        expect(field).to_be_focused()
        assert complaints == []
        field.fill("not it")
        field.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("That password is not right.")
        expect(field).to_be_focused()
        expect(field).to_have_accessible_description("That password is not right.")
        field.fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{address}/image/cat.jpg")
        page.get_by_role("link", name="Images").click()
        picture = page.locator("img").get_attribute("src")
        sign_out(page).click()
        expect(field).to_be_visible()
        page.goto(f"{address}/")
        expect(field).to_be_visible()
        answer = page.goto(f"{address.removesuffix(prefix)}{picture}")
        assert answer
        assert answer.status == 401, "nor does the browser's cache answer"
        context.close()


def prize(address: str) -> Callable[..., list[bytes]]:
    """Another site, whose page holds a form that signs its visitors out of ours."""

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [f'<form method="post" action="{address}/sign-out"><button>Win a prize</button></form>'.encode()]

    return application


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"], ids=["another site", "another port of the same site"])
def test_a_form_on_another_site_changes_nothing(browser: Browser, serve: Serve, host: str) -> None:
    with serve() as address:
        context = browser.new_context()
        enter(context, f"{address}/")
        with served(prize(address)) as other:
            page = context.new_page()
            page.goto(f"{other.replace('127.0.0.1', host)}/")
            with page.expect_response(f"{address}/sign-out") as answered:
                page.get_by_role("button", name="Win a prize").click()
            sent = answered.value.request.all_headers()
            assert sent["sec-fetch-site"] == ("cross-site" if host == "localhost" else "same-site")
            assert ("cookie" in sent) == (host == "127.0.0.1"), "ports share cookies, so SameSite alone does not protect"
            assert answered.value.status == 403
            expect(page.get_by_role("heading", name=access.FORGED)).to_be_visible()
            page.goto(f"{address}/")
            expect(sign_out(page)).to_be_visible()
        context.close()


def test_a_name_of_another_site_that_points_here_shows_nothing(browser: Browser, local: Flask) -> None:
    with served(local) as address:
        page = browser.new_page()
        answer = page.goto(f"{address.replace('127.0.0.1', 'rebound.localhost')}/")  # Chromium takes every such name for this machine
        assert answer
        assert answer.status == 403
        page.close()
