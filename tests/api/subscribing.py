"""Clients of subscriptions: over graphql-transport-ws and as server-sent events, against a server process."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

PROTOCOL = Subprotocol("graphql-transport-ws")
WAIT = 20.0


class Ended(Exception):
    """The subscription is over; `errors` say why, if it went wrong."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__(errors)
        self.codes = [error["extensions"]["code"] for error in errors]


class Socket:
    """One WebSocket; its subscriptions are told apart by their ids."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._waiting: dict[str, list[dict[str, Any]]] = {}

    def send(self, **message: Any) -> None:
        self.connection.send(json.dumps(message))

    def subscribe(self, query: str, id: str = "1", **variables: Any) -> "Subscription":
        self.send(type="subscribe", id=id, payload={"query": query, "variables": variables})
        return Subscription(self, id)

    def next_of(self, id: str) -> dict[str, Any]:
        while not self._waiting.get(id):
            message = self.receive()
            if message["type"] == "ping":
                self.send(type="pong")
            elif message["type"] != "pong":
                self._waiting.setdefault(message["id"], []).append(message)
        return self._waiting[id].pop(0)

    def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.connection.recv(WAIT))
        return message

    def close_code(self) -> tuple[int, str]:
        """Once the server has closed it."""
        with suppress(ConnectionClosed):
            while True:
                self.connection.recv(WAIT)
        assert self.connection.close_code is not None
        return self.connection.close_code, self.connection.close_reason or ""


class Subscription:
    def __init__(self, socket: Socket, id: str) -> None:
        self._socket, self._id = socket, id

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield self.next()

    def next(self) -> Any:
        """What the root field holds. Raises Ended."""
        message = self._socket.next_of(self._id)
        if message["type"] == "next":
            return next(iter(message["payload"]["data"].values()))
        raise Ended(message.get("payload", []))

    def begun(self) -> "Subscription":
        """Once the server has begun to listen: a ping sent after is answered after."""
        self._socket.send(type="ping")
        return self

    def complete(self) -> None:
        self._socket.send(type="complete", id=self._id)


@contextmanager
def opened(address: str, secret: str | None, *, by_header: bool = False, **more: Any) -> Iterator[Socket]:
    """A socket that has said who it is, and was let in."""
    headers = {"Authorization": f"Bearer {secret}"} if by_header else {}
    with connect(address, subprotocols=[PROTOCOL], additional_headers=headers, open_timeout=WAIT, **more) as connection:
        socket = Socket(connection)
        payload = {} if by_header or secret is None else {"Authorization": f"Bearer {secret}"}
        socket.send(type="connection_init", payload=payload)
        acknowledged = socket.receive()
        assert acknowledged["type"] == "connection_ack", acknowledged
        yield socket


class Events:
    """One stream of server-sent events."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.iter_lines()

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        event = ""
        for line in self._lines:
            if line.startswith("event: "):
                event = line.removeprefix("event: ")
            elif line.startswith("data:"):
                data = line.removeprefix("data:").strip()
                yield event, json.loads(data) if data else None

    def next(self) -> Any:
        """What the root field holds."""
        event, answer = next(iter(self))
        assert event == "next", event
        return next(iter(answer["data"].values()))


@contextmanager
def streamed(address: str, secret: str, query: str, *, get: bool = False, **variables: Any) -> Iterator[Events]:
    headers = {"Authorization": f"Bearer {secret}", "Accept": "text/event-stream"}
    asked: dict[str, Any] = (
        {"params": {"query": query, "variables": json.dumps(variables)}}
        if get
        else {"json": {"query": query, "variables": variables}}
    )
    with httpx.stream("GET" if get else "POST", address, headers=headers, timeout=WAIT, **asked) as response:
        yield Events(response)
