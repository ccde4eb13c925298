"""How many streams there may be, and what becomes of those who are silent or slow."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from litestar.exceptions import WebSocketDisconnect
from litestar.testing import WebSocketTestSession
from strawberry.http.exceptions import WebSocketDisconnected

from api import connections, streaming
from api.http import GraphQL
from api.live_answers import Answer
from api.runtime import Runtime
from api.streaming import EventStream, SocketAdapter
from application.tokens import digest
from tests.api.asking import Client
from tests.api.conftest import Server
from tests.api.subscribing import PROTOCOL, WAIT, Ended, opened
from tests.served import Served

EVENTS = "subscription { events { position } }"
BUSY = "This token has as many streams open as it may have, 2."


@contextmanager
def connected(server: Server, client: Client) -> Iterator[WebSocketTestSession]:
    with server.http.websocket_connect("/graphql", subprotocols=[PROTOCOL]) as socket:
        socket.send_json({"type": "connection_init", "payload": client.headers})
        acknowledged = socket.receive_json(timeout=WAIT)
        assert acknowledged["type"] == "connection_ack"
        yield socket


def closed(socket: WebSocketTestSession) -> tuple[int, str]:
    try:
        while True:
            socket.receive_json(timeout=WAIT)
    except WebSocketDisconnect as gone:
        return gone.code, gone.detail


def streamed(server: Server, client: Client) -> Any:
    headers = {**client.headers, "Accept": "text/event-stream"}
    return server.http.post("/graphql", json={"query": EVENTS}, headers=headers)


# ---- who is silent


def test_who_answers_pings_stays_and_who_does_not_is_dropped(
    server: Server, agent: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "PING_SECONDS", 0.1)
    with connected(server, agent) as socket:
        for _ in range(4):
            assert socket.receive_json(timeout=WAIT) == {"type": "ping"}
            socket.send_json({"type": "pong"})
        assert closed(socket) == (1013, "You did not answer pings. Resume after the last position.")


def test_a_client_may_ping_too(server: Server, agent: Client) -> None:
    with connected(server, agent) as socket:
        socket.send_json({"type": "ping"})
        assert socket.receive_json(timeout=WAIT) == {"type": "pong"}


async def _nothing() -> AsyncGenerator[Answer]:
    await asyncio.Event().wait()
    yield Answer(0, "")


async def _endless() -> AsyncGenerator[Answer]:
    while True:
        yield Answer(1, '{"data":null}')


def test_an_event_stream_is_kept_alive_while_nothing_happens(
    server: Server, agent: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "HEARTBEAT_SECONDS", 0.01)

    async def stream() -> None:
        sent: list[bytes] = []
        enough = asyncio.Event()

        async def send(message: Any) -> None:
            sent.append(message.get("body", b""))
            if len(sent) == 6:
                enough.set()

        async def receive() -> Any:
            await enough.wait()
            return {"type": "http.disconnect"}

        async with Runtime(server.database, "https://tickets.example", server.files) as runtime:
            answer = EventStream(_nothing(), runtime.connections, digest(agent.secret))
            async with asyncio.timeout(WAIT):
                await answer.to_asgi_response()({}, receive, send)
        assert set(sent[1:6]) == {b":\n\n"}

    asyncio.run(stream())


# ---- who is slow


def test_a_socket_that_takes_nothing_is_closed_with_a_code_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "SEND_SECONDS", 0.01)
    told: list[tuple[int, str]] = []

    class Stuck:
        async def send_data(self, _: str) -> None:
            await asyncio.Event().wait()

        async def close(self, *, code: int, reason: str) -> None:
            told.append((code, reason))

    stuck: Any = Stuck()
    with pytest.raises(WebSocketDisconnected):
        asyncio.run(SocketAdapter(None, stuck, stuck).send_text("{}"))
    assert told == [(1013, "You did not take what was sent for 10 s. Resume after the last position.")]


def test_an_event_stream_that_takes_nothing_is_let_go(
    server: Server, agent: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "SEND_SECONDS", 0.01)
    monkeypatch.setattr(connections, "PER_TOKEN", 1)

    async def stream() -> None:
        taken = 0

        async def send(message: Any) -> None:
            nonlocal taken
            taken += 1
            if taken > 3:
                await asyncio.Event().wait()

        async def receive() -> Any:
            await asyncio.Event().wait()

        async with Runtime(server.database, "https://tickets.example", server.files) as runtime:
            answer = EventStream(_endless(), runtime.connections, digest(agent.secret))
            async with asyncio.timeout(WAIT):
                await answer.to_asgi_response()({}, receive, send)
            runtime.connections.must_have_room(digest(agent.secret))

    asyncio.run(stream())


# ---- how many


def test_a_token_opens_so_many_streams_and_more_once_one_has_ended(
    server: Server, agent: Client, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "PER_TOKEN", 2)
    with connected(server, agent):
        with connected(server, agent):
            with server.http.websocket_connect("/graphql", subprotocols=[PROTOCOL]) as third:
                third.send_json({"type": "connection_init", "payload": agent.headers})
                assert closed(third) == (1013, BUSY)
            refused = streamed(server, agent)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
            [error] = refused.json()["errors"]
            assert (error["extensions"]["code"], error["message"]) == ("RATE_LIMITED", BUSY)
            with connected(server, admin):
                pass
        with connected(server, agent):
            pass


def test_a_process_has_so_many_streams(
    server: Server, agent: Client, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    word = "This server has as many streams open as it may have, 1."
    with connected(server, agent):
        monkeypatch.setattr(connections, "IN_ALL", 1)
        with (
            pytest.raises(WebSocketDisconnect) as gone,
            server.http.websocket_connect("/graphql", subprotocols=[PROTOCOL]) as second,
        ):
            second.receive_json(timeout=WAIT)
        assert (gone.value.code, gone.value.detail) == (1013, word)
        refused = streamed(server, admin)
        assert (refused.status_code, refused.json()["errors"][0]["message"]) == (429, word)


def test_a_socket_carries_so_many_subscriptions(live: Served, agent: Client) -> None:
    with opened(live.socket, agent.secret) as socket:
        for number in range(streaming.SUBSCRIPTIONS_PER_SOCKET):
            socket.subscribe(EVENTS, str(number))
        with pytest.raises(Ended) as ended:
            socket.subscribe(EVENTS, "one too many").next()
        assert ended.value.codes == ["RATE_LIMITED"]
        socket.send(type="complete", id="7")
        agent.open()
        assert socket.subscribe('subscription { events(afterPosition: "0") { position } }', "one more").next()


def test_who_does_not_say_who_it_is_is_let_go(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GraphQL, "connection_init_wait_timeout", timedelta(milliseconds=50))
    with server.http.websocket_connect("/graphql", subprotocols=[PROTOCOL]) as socket:
        assert closed(socket) == (4408, "Connection initialisation timeout")
