"""A proxy before an S3 that breaks some of what passes, as networks and S3 do: refusals, resets, lost answers, delays, cut bodies."""

import http.client
import http.server
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

SLOW_DOWN, FAILURE, RESET, LOST, DELAY, CUT = "slow down", "internal error", "reset", "answer lost", "delay", "cut body"
FAULTS = (SLOW_DOWN, FAILURE, RESET, LOST, DELAY, CUT)
DELAY_SECONDS = 0.5
_DROPPED = {"connection", "keep-alive", "transfer-encoding", "expect", "date", "server"}
_REFUSALS = {SLOW_DOWN: (503, "SlowDown"), FAILURE: (500, "InternalError")}


class Faults:
    """Decides what happens to each request: first what is `planned`, then a `share` of all at random, the same for the same seed."""

    def __init__(self, share: float, seed: int) -> None:
        self.share = share
        self.planned: list[str] = []  # "" lets a request pass
        self.requests = 0
        self.answered = 0  # bytes of all answers
        self.faults: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def next_fault(self) -> str:
        with self._lock:
            self.requests += 1
            fault = self.planned.pop(0) if self.planned else self._drawn()
            if fault:
                self.faults[fault] += 1
            return fault

    def _drawn(self) -> str:
        return self._random.choice(FAULTS) if self._random.random() < self.share else ""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    source: Faults
    upstream: tuple[str, int]

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.source.next_fault()
        if fault in _REFUSALS:
            self._refuse(*_REFUSALS[fault])
            return
        if fault == RESET:
            self._reset()
            return
        if fault == DELAY:
            time.sleep(DELAY_SECONDS)
        status, headers, answer = self._forward(body)
        self.source.answered += len(answer)
        if fault == LOST or (fault == CUT and not answer):
            self._reset()
            return
        self._answer(status, headers, answer, len(answer) // 2 if fault == CUT else len(answer))

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = pass_on  # noqa: N815 (the library's own names)

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(*self.upstream, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _DROPPED:
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _refuse(self, status: int, code: str) -> None:
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>-</Message></Error>".encode()
        self._answer(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))], body, len(body))

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, sent: int) -> None:
        self.send_response_only(status)
        has_length = any(name.lower() == "content-length" for name, _ in headers)
        for name, value in headers:
            if name.lower() not in _DROPPED:
                self.send_header(name, value)
        if not has_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:sent])
        if sent < len(body):
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a RST, not a FIN
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the library's own name)
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away, or a connection that we broke, is no news."""


@contextmanager
def faulty_s3(endpoint: str, share: float = 0.0, seed: int = 1) -> Iterator[tuple[str, Faults]]:
    """The address of a proxy before the S3 at `endpoint`, and what decides about its faults."""
    parts = urlsplit(endpoint)
    source = Faults(share, seed)
    handler = type("Handler", (_Handler,), {"source": source, "upstream": (parts.hostname, parts.port)})
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", source
        finally:
            server.shutdown()
            thread.join()
