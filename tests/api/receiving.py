"""A server that webhooks are sent to: it answers as it is told to, and keeps what it was sent."""

import base64
import hashlib
import hmac
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

PATIENCE = 60
"""Seconds after which something that should come is not coming."""


class Received(NamedTuple):
    id: str
    timestamp: int
    signatures: list[str]
    raw: bytes
    headers: dict[str, str]

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    @property
    def type(self) -> str:
        return str(self.body["type"])

    @property
    def position(self) -> int:
        return int(self.body["data"]["position"])

    def signed_with(self, secret: str) -> bool:
        """Computed anew, by the letter of the specification."""
        key = base64.b64decode(secret.split("_", 1)[1])
        digest = hmac.digest(key, f"{self.id}.{self.timestamp}.".encode() + self.raw, hashlib.sha256)
        return f"v1,{base64.b64encode(digest).decode()}" in self.signatures


class Receiver:
    """`answer`: the status for the n-th message, and headers; it may block."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.got: list[Received] = []
        self.answer: Callable[[int, Received], int] = lambda n, message: 200
        self.headers: dict[str, str] = {}
        self.body = b"ok"
        self._changed = threading.Condition()

    def keep(self, message: Received) -> int:
        with self._changed:
            self.got.append(message)
            self._changed.notify_all()
            return len(self.got)

    def wait_for(self, count: int) -> list[Received]:
        """Once there are so many; they may be more."""
        with self._changed:
            there = self._changed.wait_for(lambda: len(self.got) >= count, PATIENCE)
            assert there, f"{len(self.got)} of {count} came: {[one.type for one in self.got]}"
            return list(self.got)


@contextmanager
def receiving(context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """On a port of the loopback, for as long as the context lasts. `context`: over TLS."""
    receivers: list[Receiver] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            message = Received(
                id=headers["webhook-id"],
                timestamp=int(headers["webhook-timestamp"]),
                signatures=headers["webhook-signature"].split(),
                raw=raw,
                headers=headers,
            )
            receiver = receivers[0]
            status = receiver.answer(receiver.keep(message), message)
            self.send_response(status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(receiver.body)))
            self.end_headers()
            self.wfile.write(receiver.body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Whoever sends may go away before the answer."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "http" if context is None else "https"
        receivers.append(Receiver(f"{scheme}://127.0.0.1:{server.server_port}/hooks"))
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield receivers[0]
        finally:
            server.shutdown()
            thread.join()
