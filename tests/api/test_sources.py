"""Where a command came from is on every event: a token and its address, a delivery, a line of an import."""

import json
import urllib.request
from collections.abc import Callable
from uuid import uuid4

import pytest
from litestar.datastructures import Headers

from api.addresses import address_of
from application.event_store.database import Role
from application.event_store.envelope import Cause
from application.webhook_networks import networks
from application.workspaces import Workspace
from domain.access import Scope
from tests.api.asking import Client
from tests.api.conftest import Server
from tests.application.recording import added, envelopes, log
from tests.served import Served

SOURCES = "query($id: ID) { ticket(id: $id) { history { nodes { type source } } } }"


HERE = "127.0.0.1"


def opened_over_tcp(live: Served, client: Client, requester: str | None = None) -> str:
    """Id of a ticket that a client opens, who claims to be elsewhere, with a comment."""
    opening = "mutation($input: OpenTicketInput!) { openTicket(input: $input) { ticket { id } } }"
    input = {"title": "Here", "role": "INCIDENT"} | ({} if requester is None else {"requester": requester})
    body = json.dumps({"query": opening, "variables": {"input": input}}).encode()
    headers = {**client.headers, "Content-Type": "application/json", "X-Forwarded-For": "198.51.100.1"}
    with urllib.request.urlopen(urllib.request.Request(live.graphql, body, headers), timeout=30) as response:
        return str(json.load(response)["data"]["openTicket"]["ticket"]["id"])


@pytest.fixture
def auditor(acme: Workspace, token: Callable[..., Client]) -> Client:
    return token(acme, Scope.AUDITOR, name="Auditor")


def test_every_event_says_by_which_token_and_from_where_it_was_sent(
    server: Server, live: Served, agent: Client, auditor: Client
) -> None:
    ticket = opened_over_tcp(live, agent)
    agent.done("addComment", ticket=ticket, body="By another way, of which the address is not known")
    first, second = auditor.ask(SOURCES, id=ticket)["history"]["nodes"]
    with server.database.connect(Role.OWNER) as connection:
        tokens = {str(id_) for (id_,) in connection.execute("select id from token").fetchall()}
    word, token, *address = first["source"].split()
    assert (word, address) == ("token", ["from", HERE])
    assert token in tokens
    assert second["source"] == f"token {token}"


def test_where_colleagues_sit_is_shown_to_auditors_and_administrators_alone(
    live: Served, agent: Client, admin: Client, claire: Client
) -> None:
    ticket = opened_over_tcp(live, agent, claire.person)
    [shown] = admin.ask(SOURCES, id=ticket)["history"]["nodes"]
    assert shown["source"].endswith(f"from {HERE}")
    for other in (agent, claire):
        assert {event["source"] for event in other.ask(SOURCES, id=ticket)["history"]["nodes"]} == {None}


def test_an_address_is_stored_sealed_under_whom_it_is_of(server: Server, live: Served, agent: Client) -> None:
    opened_over_tcp(live, agent)
    last = log(server.database, "name = 'TicketOpened'")[-1]
    assert last["source"].startswith(f"1:{last['actor'].hex}:")
    assert HERE not in str(last)


def test_a_source_that_only_looks_sealed_is_read_as_it_was_said(server: Server, acme: Workspace) -> None:
    """Whoever sends a delivery names it."""
    here = server.store.workspace(acme.id)
    command, forged = uuid4(), f"1:{uuid4().hex}:AAAA"
    cause = Cause(actor=acme.id, command_id=command, correlation_id=command, channel="webhook", source=forged)
    stream = uuid4()
    here.append(envelopes(acme.id, stream, added(), cause=cause))
    assert [one.cause.source for one in here.history(stream)] == [forged]


PROXIES = networks("10.0.0.0/8,fd00::/8")


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("203.0.113.7", None, "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),  # who is no proxy of ours is not believed
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),  # what stands before it may be invented
        ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1\n198.51.100.1", "198.51.100.1"),  # a proxy may add a line of its own
        ("10.0.0.1", "198.51.100.1\n10.0.0.2, 10.0.0.3", "198.51.100.1"),
        ("fd00::1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("testclient", "198.51.100.1", None),
    ],
)
def test_the_address_behind_proxies_is_the_last_that_none_of_ours_added(
    peer: str, forwarded: str | None, found: str | None
) -> None:
    lines = [] if forwarded is None else forwarded.split("\n")
    headers = Headers([(b"x-forwarded-for", line.encode()) for line in lines])
    assert address_of(peer, headers, PROXIES) == found


def test_a_peer_without_an_address_is_none() -> None:
    assert address_of(None, Headers(), PROXIES) is None
