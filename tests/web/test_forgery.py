"""No site sends our visitors elsewhere, and none changes anything in their name."""

import random
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, BrowserContext, expect

from lambdazoom.web import access
from tests.zappa_function import PASSWORD

from .browsing import served, sign_out
from .conftest import Serve
from .guarding import application as application  # a fixture
from .guarding import local as local  # a fixture
from .guarding import token_in, try_password
from .guarding import visitor as visitor  # a fixture

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


# in a browser


def enter(context: BrowserContext, address: str) -> None:
    page = context.new_page()
    page.goto(address)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(sign_out(page)).to_be_visible()
    page.close()


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
