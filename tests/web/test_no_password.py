"""Without a password only this machine is served, and on Lambda nobody."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from flask import Flask
from playwright.sync_api import Browser

from lambdazoom.web import access
from tests.conftest import free_port

from .browsing import served
from .guarding import application as application  # a fixture
from .guarding import local as local  # a fixture


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


def test_a_name_of_another_site_that_points_here_shows_nothing(browser: Browser, local: Flask) -> None:
    with served(local) as address:
        page = browser.new_page()
        answer = page.goto(f"{address.replace('127.0.0.1', 'rebound.localhost')}/")  # Chromium takes every such name for this machine
        assert answer
        assert answer.status == 403
        page.close()
