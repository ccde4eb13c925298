"""Subscriptions, against a server process: what they tell, whom, and how they end."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from api.ids import Kind, decode
from application import tokens
from application.workspaces import Workspace
from domain.access import Scope
from tests.api.asking import Client
from tests.api.conftest import Server
from tests.api.subscribing import PROTOCOL, Ended, Socket, opened, streamed
from tests.served import Served

EVENTS = """subscription($after: Position, $types: [String!]) {
  events(afterPosition: $after, types: $types) { position type ticket { key status { key } } actor { name } }
}"""
TICKET = """subscription($ticket: ID!, $after: Position) {
  ticketChanged(ticket: $ticket, afterPosition: $after) { position type reason ticket { key priority } }
}"""
BOARD = """subscription($workflow: String, $filter: TicketFilter, $after: Position) {
  boardChanged(workflow: $workflow, filter: $filter, afterPosition: $after) {
    position changed { id key status { key } commentCount } gone
  }
}"""

TOO_MUCH = """subscription { boardChanged { changed {
  children(first: 100) { nodes { children(first: 100) { nodes { key } } } }
} } }"""


@pytest.fixture
def socket(live: Served, agent: Client) -> Iterator[Socket]:
    with opened(live.socket, agent.secret) as socket:
        yield socket


def head(client: Client) -> str:
    """Where the log stands, once the read models do too."""
    position: str = client.ask("{ status { head } }")["head"]
    client.wait_for(int(position))
    return position


# ---- what is told


def test_an_event_is_told_as_it_happens_with_its_ticket_as_it_is_then(socket: Socket, agent: Client) -> None:
    told = socket.subscribe(EVENTS, after=head(agent))
    ticket = agent.open()
    agent.done("assignTicket", ticket=ticket["id"], assignee=agent.person)
    moved = agent.done("transitionTicket", ticket=ticket["id"], status="in_progress")
    events = [told.next() for _ in range(3)]
    assert [event["type"] for event in events] == ["TicketOpened", "TicketAssigned", "StatusChanged"]
    assert events[2] == {
        "position": moved["position"],
        "type": "StatusChanged",
        "ticket": {"key": ticket["key"], "status": {"key": "in_progress"}},
        "actor": {"name": "Agent"},
    }


def test_only_the_types_asked_for_are_told_live_and_from_the_past(socket: Socket, agent: Client) -> None:
    before = head(agent)
    ticket = agent.open()
    agent.done("addComment", ticket=ticket["id"], body="Hm")
    told = socket.subscribe(EVENTS, after=before, types=["CommentAdded"])
    assert told.next()["type"] == "CommentAdded"
    agent.done("setPriority", ticket=ticket["id"], priority="LOW")
    second = agent.done("addComment", ticket=ticket["id"], body="Hm")
    assert told.next()["position"] == second["position"]


def test_a_ticket_is_followed_alone_and_resumed_after_a_position(socket: Socket, agent: Client) -> None:
    ticket, other = agent.open(), agent.open()
    first = socket.subscribe(TICKET, "first", ticket=ticket["id"], after=ticket["position"])
    agent.done("setPriority", ticket=other["id"], priority="LOW")
    changed = agent.done("setPriority", ticket=ticket["id"], priority="LOW")
    assert first.next()["position"] == changed["position"]
    again = socket.subscribe(TICKET, "again", ticket=ticket["id"], after=ticket["position"])
    assert again.next()["ticket"]["priority"] == "LOW"


def test_a_role_defined_while_one_listens_is_known_to_what_is_told(socket: Socket, admin: Client, acme: Any) -> None:
    told = socket.subscribe(
        'subscription($after: Position) { events(afterPosition: $after, types: ["TicketOpened"])'
        " { ticket { role { name } } } }",
        after=head(admin),
    )
    admin.done("defineRole", "role { key }", key="AUDIT", name="Audit", workflow="task")
    admin.open(role="AUDIT")
    assert told.next() == {"ticket": {"role": {"name": "Audit"}}}


def test_a_board_tells_what_changed_and_what_left_it(socket: Socket, agent: Client) -> None:
    task = agent.open(role="TASK", tags=["sprint"])
    told = socket.subscribe(BOARD, workflow="task", filter={"tag": {"eq": "sprint"}}, after=head(agent))
    agent.open(role="TASK")
    new = agent.open(role="TASK", tags=["sprint"])
    change = told.next()
    assert [card["key"] for card in change["changed"]] == [new["key"]]
    agent.done("addComment", ticket=task["id"], body="Hm")
    change = told.next()
    assert [(card["key"], card["commentCount"]) for card in change["changed"]] == [(task["key"], 1)]
    left = agent.done("changeRole", ticket=task["id"], role="INCIDENT")
    change = told.next()
    assert (change["changed"], change["gone"]) == ([], [task["id"]])
    assert change["position"] == left["position"]


def test_a_board_that_was_left_alone_is_caught_up_with_at_once(socket: Socket, agent: Client) -> None:
    stays, goes = (agent.open(role="TASK", tags=["sprint"]) for _ in range(2))
    before = head(agent)
    for priority in ("LOW", "HIGH", "LOW"):
        agent.done("setPriority", ticket=stays["id"], priority=priority)
    agent.done("changeRole", ticket=goes["id"], role="INCIDENT")
    change = socket.subscribe(BOARD, workflow="task", filter={"tag": {"eq": "sprint"}}, after=before).next()
    assert [card["key"] for card in change["changed"]] == [stays["key"]]
    assert change["gone"] == [goes["id"]]
    assert change["position"] == head(agent)


# ---- whom it is told


def test_a_requester_hears_of_their_own_tickets_what_is_public(
    live: Served, agent: Client, acme: Workspace, token: Callable[..., Client]
) -> None:
    customer = token(acme, Scope.REQUESTER, name="Customer")
    before = head(agent)
    with opened(live.socket, customer.secret) as socket:
        log, board = socket.subscribe(EVENTS, "log", after=before), socket.subscribe(BOARD, "board", after=before)
        agent.open(title="Foreign")
        own = agent.open(title="Own", requester=customer.person)
        agent.done("addComment", ticket=own["id"], body="Secret", visibility="INTERNAL")
        talk = agent.done("addComment", ticket=own["id"], body="Hello", visibility="PUBLIC")
        assert [log.next()["position"] for _ in range(2)] == [own["position"], talk["position"]]
        cards = [board.next()["changed"] for _ in range(2)]
        assert [[card["key"] for card in changed] for changed in cards] == [[own["key"]], [own["key"]]]
        # The same from the past.
        again = socket.subscribe(EVENTS, "again", after=before)
        assert [again.next()["position"] for _ in range(2)] == [own["position"], talk["position"]]


def test_a_requester_reads_no_reasons_of_others_in_what_is_told(
    live: Served, agent: Client, acme: Workspace, token: Callable[..., Client]
) -> None:
    customer = token(acme, Scope.REQUESTER)
    own = agent.open(requester=customer.person)
    with opened(live.socket, customer.secret) as socket, opened(live.socket, agent.secret) as staff:
        theirs, ours = (s.subscribe(TICKET, ticket=own["id"], after=own["position"]) for s in (socket, staff))
        agent.done("setPriority", ticket=own["id"], priority="LOW", reason="They never pay")
        assert (theirs.next()["reason"], ours.next()["reason"]) == (None, "They never pay")


@pytest.mark.parametrize("ticket", ["foreign", "another workspace's"])
def test_a_ticket_that_one_may_not_see_is_not_there(
    live: Served, admin: Client, acme: Workspace, token: Callable[..., Client], server: Server, ticket: str
) -> None:
    customer = token(acme, Scope.REQUESTER)
    id_ = admin.open()["id"] if ticket == "foreign" else "dAGiBqeMlHhQoRVbqsIix90"
    with opened(live.socket, customer.secret) as socket, pytest.raises(Ended) as ended:
        socket.subscribe(TICKET, ticket=id_).next()
    assert ended.value.codes == ["NOT_FOUND"]


# ---- how it is asked


@pytest.mark.parametrize("get", [True, False], ids=["GET", "POST"])
def test_the_same_comes_as_server_sent_events(live: Served, agent: Client, get: bool) -> None:
    with streamed(live.graphql, agent.secret, EVENTS, get=get, after=head(agent)) as events:
        assert events.response.headers["content-type"] == "text/event-stream"
        ticket = agent.open()
        assert events.next()["ticket"]["key"] == ticket["key"]


def test_a_token_may_come_in_the_header_of_the_handshake(live: Served, agent: Client) -> None:
    before = head(agent)
    with opened(live.socket, agent.secret, by_header=True) as socket:
        agent.open()
        assert socket.subscribe(EVENTS, after=before).next()["type"] == "TicketOpened"


@pytest.mark.parametrize("secret", [None, "proteus_stolen"])
def test_without_a_good_token_nothing_is_told(live: Served, secret: str | None) -> None:
    with connect(live.socket, subprotocols=[PROTOCOL]) as connection:
        socket = Socket(connection)
        payload = {"Authorization": f"Bearer {secret}"} if secret else None
        socket.send(type="connection_init", payload=payload or {})
        assert socket.close_code()[0] == 4401
    answer = httpx.post(
        live.graphql,
        json={"query": EVENTS},
        headers={"Accept": "text/event-stream", "Authorization": f"Bearer {secret}"},
    )
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (401, "UNAUTHENTICATED")


def test_a_subscription_before_the_token_is_refused(live: Served) -> None:
    with connect(live.socket, subprotocols=[PROTOCOL]) as connection:
        socket = Socket(connection)
        socket.subscribe(EVENTS)
        assert socket.close_code()[0] == 4401


def test_the_legacy_protocol_is_off(live: Served) -> None:
    with connect(live.socket, subprotocols=["graphql-ws"]) as connection:  # type: ignore[list-item]
        assert Socket(connection).close_code()[0] == 4406


def test_a_page_from_elsewhere_opens_no_socket(live: Served, agent: Client) -> None:
    with pytest.raises(InvalidStatus, match="403"), opened(live.socket, agent.secret, origin="https://evil.example"):
        pass
    with opened(live.socket, agent.secret, origin=live.http) as socket:
        socket.subscribe(EVENTS)


@pytest.mark.parametrize(
    "message",
    [
        "x",
        "[]",
        "5",
        "{}",
        '{"type": "nope"}',
        '{"type": "subscribe"}',
        '{"type": "subscribe", "id": "1", "payload": []}',
        '{"type": "subscribe", "id": "1", "payload": {"query": 5}}',
        '{"type": "subscribe", "id": 1, "payload": {"query": "{ me }"}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ me }", "variables": []}}',
        '{"type": "complete"}',
        "[" * 10_000,
    ],
)
def test_what_is_no_message_closes_the_socket(socket: Socket, message: str) -> None:
    socket.connection.send(message)
    assert socket.close_code()[0] == 4400


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("subscription {", "BAD_USER_INPUT"),
        ("subscription { nope }", "BAD_USER_INPUT"),
        ("{ me { scopes } }", "BAD_USER_INPUT"),
        ('mutation { addTeam(input: {key: "x", name: "x"}) { version } }', "BAD_USER_INPUT"),
        ('subscription { boardChanged(asOf: {position: "1"}) { position } }', "BAD_USER_INPUT"),
        ('subscription { boardChanged(workflow: "nope") { position } }', "BAD_USER_INPUT"),
        ("subscription { boardChanged(filter: {updatedAt: {isNull: true}}) { position } }", "BAD_USER_INPUT"),
        ('subscription { ticketChanged(ticket: "nope") { position } }', "BAD_USER_INPUT"),
        ('subscription { events { position } ticketChanged(ticket: "x") { position } }', "BAD_USER_INPUT"),
        ("subscription { events(afterPosition: 5) { position } }", "BAD_USER_INPUT"),
        (TOO_MUCH, "COMPLEXITY_LIMIT"),
    ],
)
def test_what_cannot_be_subscribed_to_is_told_so_and_the_socket_stays(
    live: Served, socket: Socket, agent: Client, query: str, code: str
) -> None:
    with pytest.raises(Ended) as ended:
        socket.subscribe(query, "wrong").next()
    assert set(ended.value.codes) == {code}
    before = head(agent)
    agent.open()
    assert socket.subscribe(EVENTS, "right", after=before).next()["type"] == "TicketOpened"
    with streamed(live.graphql, agent.secret, query) as events:
        [(event, answer), (last, _)] = list(events)
    assert (event, last) == ("next", "complete")
    assert {error["extensions"]["code"] for error in answer["errors"]} == {code}


def test_a_subscription_is_not_answered_like_a_query(agent: Client) -> None:
    assert agent.codes(EVENTS) == ["BAD_USER_INPUT"]


def test_one_that_was_completed_is_told_nothing_more_and_its_id_is_free(socket: Socket, agent: Client) -> None:
    before = head(agent)
    first = socket.subscribe(EVENTS, after=before)
    agent.open()
    assert first.next()
    first.complete()
    assert socket.subscribe(EVENTS, after=before).next()["type"] == "TicketOpened"


# ---- how it ends


@pytest.mark.parametrize("end", ["revoked", "deactivated"])
def test_who_is_let_in_no_more_hears_no_more(
    live: Served, server: Server, acme: Workspace, admin: Client, agent: Client, end: str
) -> None:
    with opened(live.socket, agent.secret) as socket, streamed(live.graphql, agent.secret, EVENTS) as events:
        socket.subscribe(EVENTS)
        if end == "revoked":
            person = decode(agent.person, Kind.PERSON)
            [known] = [one for one in tokens.list_tokens(server.database, acme.id) if one.person == person]
            assert tokens.revoke_token(server.database, acme.id, known.id)
        else:
            admin.done("deactivatePerson", "person { active }", person=agent.person)
        code, reason = socket.close_code()
        assert (code, reason) == (4401, "This token was revoked.")
        told = [answer["errors"][0]["extensions"]["code"] for _, answer in events if answer and "errors" in answer]
        assert told == ["UNAUTHENTICATED"]


def test_a_token_that_expires_ends_what_it_opened(live: Served, server: Server, acme: Workspace, agent: Client) -> None:
    person = decode(agent.person, Kind.PERSON)
    short = tokens.issue_token(
        server.database, acme.id, person, [Scope.AGENT], "short", timedelta(seconds=1, milliseconds=500)
    )
    with opened(live.socket, short) as socket:
        socket.subscribe(EVENTS)
        assert socket.close_code() == (4401, "This token has expired.")
