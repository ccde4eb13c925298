"""Every subscription, over WebSockets and as server-sent events: who comes again misses and doubles nothing, and who is
let in no more hears no more."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol

import pytest

from api.ids import Kind, decode
from application import tokens
from application.workspaces import Workspace
from tests.api.asking import Client
from tests.api.conftest import Server
from tests.api.subscribing import Events, Subscription, opened, streamed
from tests.served import Served

EVENTS = "subscription($after: Position) { events(afterPosition: $after) { position } }"
TICKET = """subscription($after: Position, $ticket: ID!) {
  ticketChanged(ticket: $ticket, afterPosition: $after) { position }
}"""
BOARD = """subscription($after: Position) {
  boardChanged(workflow: "task", afterPosition: $after) { position changed { commentCount } }
}"""
TIMER = "subscription($after: Position) { timerChanged(afterPosition: $after) { comment } }"


class Told(Protocol):
    def next(self) -> Any: ...


Following = Callable[..., AbstractContextManager[Told]]
"""A subscription by a connection of its own: query, variables."""


@contextmanager
def _by_socket(live: Served, client: Client, query: str, **variables: Any) -> Iterator[Subscription]:
    with opened(live.socket, client.secret) as socket:
        yield socket.subscribe(query, **variables)


@contextmanager
def _by_events(live: Served, client: Client, query: str, **variables: Any) -> Iterator[Events]:
    with streamed(live.graphql, client.secret, query, **variables) as events:
        yield events


@pytest.fixture(params=[_by_socket, _by_events], ids=["WebSocket", "server-sent events"])
def follow(request: pytest.FixtureRequest, live: Served, agent: Client) -> Following:
    def follow(query: str, **variables: Any) -> AbstractContextManager[Told]:
        following: AbstractContextManager[Told] = request.param(live, agent, query, **variables)
        return following

    return follow


def comment(client: Client, ticket: Any, body: str = "Hm") -> str:
    position: str = client.command("addComment", "", ticket=ticket["id"], body=body)["position"]
    return position


@pytest.mark.parametrize("query", [EVENTS, TICKET], ids=["events", "ticketChanged"])
def test_events_go_on_after_the_last_one_that_came(follow: Following, agent: Client, query: str) -> None:
    ticket = agent.open()
    variables = {"ticket": ticket["id"]} if query is TICKET else {}
    heard, said = [ticket["position"]], []
    for _ in range(4):
        missed = comment(agent, ticket)
        with follow(query, after=heard[-1], **variables) as told:
            heard.append(told.next()["position"])
            said += [missed, comment(agent, ticket), comment(agent, ticket)]
            heard.append(told.next()["position"])  # one of two; the other comes when it is back
    with follow(query, after=heard[-1], **variables) as told:
        heard += [told.next()["position"] for _ in range(len(said) - len(heard) + 1)]
    assert heard[1:] == said


def test_a_board_goes_on_after_the_last_change_that_came(follow: Following, agent: Client) -> None:
    """A change may tell of several events: each is told once, and the last change shows the board as it is."""
    ticket = agent.open(role="TASK")
    at, comments, changes = ticket["position"], 0, list[tuple[int, int]]()
    for _ in range(4):
        comment(agent, ticket)
        with follow(BOARD, after=at) as told:
            last = comment(agent, ticket)
            comments += 2
            while int(at) < int(last):
                change = told.next()
                at = change["position"]
                changes.append((int(at), change["changed"][0]["commentCount"]))
    positions, counts = [place for place, _ in changes], [count for _, count in changes]
    assert positions == sorted(set(positions))
    assert counts == sorted(counts)
    assert counts[-1] == comments
    with follow(BOARD, after=at) as told:
        comment(agent, ticket)
        assert told.next()["changed"] == [{"commentCount": comments + 1}]


def test_a_timer_is_told_again_from_a_position_on(follow: Following, agent: Client) -> None:
    ticket = agent.open()
    for _ in range(2):
        with follow(TIMER, after=ticket["position"]) as told:
            started = agent.command("startTimer", "timer { comment }", ticket=ticket["id"], comment="Calling them")
            assert told.next() == {"comment": "Calling them"}
        stopped = agent.command("stopTimer", "timer { comment }")
        with follow(TIMER, after=started["position"]) as told:
            assert told.next() is None
        ticket["position"] = stopped["position"]


def test_a_revoked_token_ends_every_subscription(live: Served, server: Server, acme: Workspace, agent: Client) -> None:
    ticket = agent.open()
    variables = {EVENTS: {}, TICKET: {"ticket": ticket["id"]}, BOARD: {}, TIMER: {}}
    with ExitStack() as leaving:
        sockets = [leaving.enter_context(opened(live.socket, agent.secret)) for _ in variables]
        for socket, (query, given) in zip(sockets, variables.items(), strict=True):
            socket.subscribe(query, **given)
        streams = [
            leaving.enter_context(streamed(live.graphql, agent.secret, query, **given))
            for query, given in variables.items()
        ]
        person = decode(agent.person, Kind.PERSON)
        [known] = [one for one in tokens.list_tokens(server.database, acme.id) if one.person == person]
        assert tokens.revoke_token(server.database, acme.id, known.id)
        assert [socket.close_code() for socket in sockets] == [(4401, "This token was revoked.")] * len(sockets)
        for stream in streams:
            [(event, answer), (last, _)] = list(stream)
            assert (event, last) == ("next", "complete")
            assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
