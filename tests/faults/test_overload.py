"""Ten times as many requests as there are places, and clients that are slow on purpose: the server says no at once,
with a hint, keeps what it acknowledged, does not grow, and is itself again when they have gone."""

import asyncio
import json
import os
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid4

import httpx
import pytest

from api.ids import Kind, encode
from application import tickets
from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Database, Role
from application.event_store.streams import EventStore
from application.handling import Context
from application.tokens import issue_token
from application.workspaces import create_workspace, operator
from domain.access import Scope
from domain.tickets import OpenTicket
from tests.conftest import fresh_database
from tests.faults.replay import assert_equal_to_a_replay, assert_recorded_once, head, places
from tests.faults.rounds import WAIT, Rounds, until
from tests.faults.server import Proteus, answers, serve

PLACES = 16
CLIENTS = 10 * PLACES
REQUESTS = 25
"""Of each client in a round, one after the other."""
GROWTH = 64_000_000
"""Bytes by which parent and child together may grow."""
RETITLE = "mutation($input: RetitleTicketInput!) { retitleTicket(input: $input) { position userErrors { code } } }"
"""What is known of a ticket does not grow by it, as by thousands of comments, which are held, and rightly."""


class Office(NamedTuple):
    """A server with few places."""

    served: Proteus
    address: str
    database: Database
    workspace: UUID
    secrets: list[str]
    tickets: list[UUID]


@pytest.fixture(scope="module")
def office(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with fresh_database(postgres) as database:
        with EventStore(database) as store:
            actor = operator(create_workspace(database, store, "acme", "Acme").id)
            opened = [
                tickets.handle(store, Context(actor=actor), OpenTicket(title=f"Ticket {n}", role="TASK")).stream
                for n in range(20)
            ]
        secrets = [
            issue_token(database, actor.workspace, actor.person, [Scope.ADMIN], "test", timedelta(days=1))
            for _ in range(4)
        ]
        said = tmp_path_factory.mktemp("overload") / "said"
        with serve(database, said, PROTEUS_MAX_REQUESTS=str(PLACES)) as (served, address):
            yield Office(served, address, database, actor.workspace, secrets, opened)


def test_ten_times_as_many_requests_as_places(office: Office, rounds: Rounds) -> None:
    """As many as there are places are what it can sustain: measured first, and beside what the flood asks for."""
    asyncio.run(_ask(office, 0, []))  # so that everything is loaded
    at_rest, grown, acknowledged, refused = resident_bytes(office.served.process.pid), 0, set[UUID](), set[UUID]()
    for _ in rounds(test=2, soak=60):
        sustained, _ = flood(office, PLACES, acknowledged, refused)
        rounds.measure("commands acknowledged a second, of as many clients as places", sustained)
        done, asked = flood(office, CLIENTS, acknowledged, refused)
        rounds.measure("the same, of ten times as many", done)
        rounds.measure("requested by them, times of what was sustained", asked / sustained)
        grown = max(grown, resident_bytes(office.served.process.pid) - at_rest)
        answered = time.monotonic()
        asyncio.run(_ask(office, 0, []))  # an ordinary request is answered as ever
        rounds.took("request afterwards", answered)
    print(
        f"{len(acknowledged)} acknowledged, {refused} turned away, grown by {grown / 1e6:.0f} MB of {at_rest / 1e6:.0f}"
    )
    assert len(refused) > len(acknowledged), "it was an overload"
    assert not recorded(office.database, refused), "turned away, and recorded all the same"
    assert grown < GROWTH
    assert_recorded_once(office.database, office.workspace, acknowledged)
    until(lambda: min(places(office.database).values()) == head(office.database), "the read models", seconds=WAIT)
    assert answers(office.address, "/health/ready")
    assert_equal_to_a_replay(office.database)


def flood(office: Office, clients: int, acknowledged: set[UUID], refused: set[UUID]) -> tuple[float, float]:
    """How many commands a second were acknowledged, and sent."""
    started = time.monotonic()
    done, turned_away = asyncio.run(_flood(office, clients))
    seconds = time.monotonic() - started
    acknowledged |= done
    refused |= turned_away
    return len(done) / seconds, clients * REQUESTS / seconds


def resident_bytes(parent: int) -> int:
    """Of the server's parent and child."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in [parent, *children])
    return pages * os.sysconf("SC_PAGE_SIZE")


def recorded(database: Database, commands: set[UUID]) -> set[UUID]:
    with database.connect(Role.PROJECTOR) as connection:
        rows = connection.execute("select command_id from event where command_id = any(%s)", (list(commands),))
        return {command for (command,) in rows}


async def _flood(office: Office, clients: int) -> tuple[set[UUID], set[UUID]]:
    """Clients that take no hint: each sends its next command when the last one was answered."""
    answers: list[tuple[UUID, int, dict[str, str], bytes]] = []
    await asyncio.gather(*(_ask(office, n, answers) for n in range(clients)))
    acknowledged, refused = set[UUID](), set[UUID]()
    for command, status, headers, body in answers:
        answer = json.loads(body)
        if status == 429:
            [error] = answer["errors"]
            assert error["extensions"]["code"] == "RATE_LIMITED"
            assert 1 <= int(headers["retry-after"]) == error["extensions"]["retryAfter"] <= 3
            refused.add(command)
        else:
            assert status == 200, body
            payload = answer["data"]["retitleTicket"]
            # Of many commands to one ticket at once, some lose all their races.
            assert payload["position"] or payload["userErrors"] == [{"code": "CONFLICT"}], body
            if payload["position"]:
                acknowledged.add(command)
    assert len(answers) == clients * REQUESTS, "everybody was answered"
    return acknowledged, refused


async def _ask(office: Office, client: int, answers: list[tuple[UUID, int, dict[str, str], bytes]]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(office.address.rpartition(":")[2]))
    ticket = encode(Kind.TICKET, office.tickets[client % len(office.tickets)])
    secret = office.secrets[client % len(office.secrets)]
    for _ in range(REQUESTS):
        command = uuid4()
        variables = {"input": {"ticket": ticket, "title": str(command), "commandId": str(command)}}
        body = json.dumps({"query": RETITLE, "variables": variables}).encode()
        writer.write(head_of(secret, len(body)) + body)
        status, *lines = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT)).decode().splitlines()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        answer = await reader.readexactly(int(headers["content-length"]))
        answers.append((command, int(status.split()[1]), headers, answer))
    writer.close()


def head_of(secret: str, length: int) -> bytes:
    return (
        f"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer {secret}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


# ---- clients without manners


def connected(office: Office) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(office.address.rpartition(":")[2])), timeout=WAIT)


def test_a_head_or_a_body_that_does_not_come_is_waited_for_so_long_and_no_longer(office: Office) -> None:
    with connected(office) as slow_head, connected(office) as slow_body:
        slow_head.sendall(b"POST /graphql HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        slow_body.sendall(head_of(office.secrets[0], 1000) + b'{"query": "')
        answer = b""
        while b"}]}" not in answer and (more := slow_body.recv(10_000)):
            answer += more
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"did not arrive within" in answer
        assert b"connection: close" in answer.lower()
        answer = slow_head.recv(1000)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 408")


def test_a_refusal_reaches_who_sent_a_long_body(office: Office) -> None:
    """And the connection goes on."""
    with httpx.Client(base_url=office.address) as http:
        for size in (10, 50_000, 900_000):
            for _ in range(5):
                refused = http.post("/graphql", content=b"x" * size, headers={"Authorization": "Bearer wrong"})
                assert refused.status_code == 401
                assert "connection" not in refused.headers


def test_a_refusal_reaches_who_sends_a_body_without_end(office: Office) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 50_000

    with httpx.Client(base_url=office.address) as http:
        refused = http.post("/graphql", content=endless(), headers={"Authorization": "Bearer wrong"})
        assert (refused.status_code, refused.headers["connection"]) == (401, "close")
