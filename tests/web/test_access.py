"""Who gets in: nobody without the password, here and through Zappa's handler."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, expect

from lambdazoom.model import passwords
from lambdazoom.publishing.workspace import Workspace
from lambdazoom.web import access
from lambdazoom.web.application import create_app
from tests.conftest import environment_for
from tests.gateway import REST_HOST, cookie_of, http_event, rest_event, sign_in
from tests.zappa_function import ACCESS, PASSWORD, ZappaFunction

from .browsing import sign_out
from .conftest import Publish, Serve
from .guarding import COOKIE, HASH, SECRET, guarded_by, token_in, try_password
from .guarding import application as application  # a fixture
from .guarding import visitor as visitor  # a fixture

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


# through Zappa's handler


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
