"""`serve` in a process of its own: large uploads in little memory, what it sweeps and makes, and what reaches its workers."""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambdazoom.model.records import State
from lambdazoom.storage.folder_originals import HIDDEN, IDLE_SECONDS
from tests.conftest import Draw, free_port
from tests.waiting import wait_until
from tests.zappa_function import ACCESS

from .uploading import MIB, jpeg

SERVER = """
import os, sys
from lambdazoom.model.settings import Settings
from lambdazoom.serving import run
run(Settings.from_env(os.environ), "127.0.0.1", int(sys.argv[1]), *sys.argv[2:])
"""


@contextlib.contextmanager
def serving(environment: dict[str, str], folder: Path, *arguments: str) -> Iterator[tuple[int, int]]:
    """`serve` in a process of its own; its port and its process id."""
    port = free_port()
    command = [sys.executable, "-c", SERVER, str(port), *arguments]
    temporary = folder / "temporary"
    temporary.mkdir()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **environment, "TMPDIR": str(temporary)}, stdout=log, stderr=log)
        try:
            wait_until(lambda: answers(port))
            yield port, process.pid
        finally:
            process.terminate()
            process.wait(20)


def answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
    except OSError:
        return False
    return True


def peak_memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


def asked(port: int, method: str, url: str, headers: dict[str, str], body: bytes | None = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, url, body, headers)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    is_json = answer.headers.get_content_type() == "application/json"
    return answer.status, json.loads(data) if is_json else None


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells memory by /proc")
def test_three_hundred_megabytes_go_through_us_in_little_memory_and_are_processed(environment: dict[str, str], tmp_path: Path) -> None:
    size = 300 * MIB
    block = jpeg().ljust(MIB, b"\0")  # a JPEG with something after its end, which decoders pass over
    with serving(environment, tmp_path) as (port, pid):
        _, possible = asked(port, "GET", "/api/", {})
        headers = {"X-Form-Token": possible["token"], "Content-Type": "application/json"}
        before = peak_memory(pid)
        _, plan = asked(port, "POST", "/api/uploads", headers, json.dumps({"name": "big.jpg", "size": size}).encode())
        for part in plan["parts"]:
            data = b"".join(block if offset == 0 else b"\0" * MIB for offset in range(part["offset"], part["offset"] + part["length"], MIB))
            status, _ = asked(port, "PUT", part["url"], {**headers, **part["headers"]}, data)
            assert status == 204
        grown = peak_memory(pid) - before
        status, image = asked(port, "POST", plan["links"]["complete"], headers, b'{"etags": []}')
        assert (status, image["state"]) == (201, "waiting")
        wait_until(lambda: asked(port, "GET", image["links"]["self"], {})[1]["state"] == State.PUBLISHED)
    assert (tmp_path / "source/big.jpg").stat().st_size == size
    assert grown < 40 * MIB, grown


def test_a_body_larger_than_a_part_may_be_is_refused_without_being_kept(environment: dict[str, str], tmp_path: Path) -> None:
    with serving(environment, tmp_path) as (port, _):
        status, _ = asked(port, "POST", "/api/uploads", {"Content-Length": str(200 * MIB)})
        assert status == 413
        assert list((tmp_path / "temporary").iterdir()) == []


def test_serve_sweeps_what_an_earlier_one_left_and_makes_the_index(
    environment: dict[str, str], tmp_path: Path, source: Path, draw: Draw
) -> None:
    left = source / f"{HIDDEN}{'0' * 32}"
    left.write_bytes(b"half")
    long_ago = time.time() - IDLE_SECONDS - 5
    os.utime(left, (long_ago, long_ago))
    draw("harbour.jpg")
    with serving(environment, tmp_path) as (port, _):
        wait_until(lambda: not left.exists())
        wait_until(lambda: asked(port, "GET", "/api/images?q=HARBOUR", {})[1]["total"] == 1)
        wait_until(lambda: next((tmp_path / "metadata/_lambdazoom/search").glob("*.gz"), None) is not None)


def test_a_retry_reaches_the_workers_of_serve(environment: dict[str, str], tmp_path: Path, source: Path) -> None:
    (source / "notes.jpg").write_text("words")
    with serving(environment, tmp_path) as (port, _):
        wait_until(lambda: asked(port, "GET", "/api/images/notes.jpg", {})[1]["state"] == State.FAILED)
        headers = {"X-Form-Token": asked(port, "GET", "/api/", {})[1]["token"]}
        assert asked(port, "POST", "/api/images/notes.jpg/retry", headers)[0] == 202
        wait_until(lambda: asked(port, "GET", "/api/images/notes.jpg", {})[1]["attempts"] == 2)


@pytest.mark.parametrize("trusted", [(), ("127.0.0.1",)])
@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
def test_without_a_password_nothing_is_answered_that_a_proxy_has_passed_on(
    environment: dict[str, str], tmp_path: Path, header: str, trusted: tuple[str, ...]
) -> None:
    with serving(environment, tmp_path, *trusted) as (port, _):
        assert asked(port, "GET", "/", {})[0] == 200
        assert asked(port, "GET", "/", {header: "192.0.2.7"})[0] == 403


@pytest.mark.parametrize(("trusted", "is_secure"), [((), False), (("127.0.0.1",), True)])
def test_the_proxy_in_front_is_believed_if_it_is_named(
    environment: dict[str, str], tmp_path: Path, trusted: tuple[str, ...], is_secure: bool
) -> None:
    with serving({**environment, **ACCESS}, tmp_path, *trusted) as (port, _):
        request = urllib.request.Request(f"http://127.0.0.1:{port}/sign-in", headers={"X-Forwarded-Proto": "https"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert ("Secure" in answer.headers["Set-Cookie"]) is is_secure
