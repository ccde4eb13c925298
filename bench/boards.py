"""The board over HTTP: 500 cards of ten fields, and what a long history costs it."""

from collections.abc import Callable, Iterator
from functools import partial

import msgspec

from bench.company import Furnished, furnish
from bench.figures import Figure, in_turns
from bench.lab import Lab, Server
from bench.load import Order, Taken, load
from bench.waiting import wait_until_read

CARDS = 500
CONNECTIONS = 4
POSTGRAPHILE = 105
"""Requests a second that PostGraphile 4 answered of the same cards, at 4 connections on 2 cores."""

PLAIN = "id key title priority channel rank tags openedAt dueAt statusSince"
NAMED = "id key title priority tags dueAt statusSince status { key name } assignee { id name } team { key name }"


def board(fields: str, as_of: str = "") -> str:
    return (
        f'{{ board(workflow: "task", cardsPerCell: {CARDS}{as_of}) {{'
        f" columns {{ key name count }} cells {{ column count cards {{ nodes {{ {fields} }} }} }}"
        " totalCount position } }"
    )


def boards(lab: Lab) -> Iterator[Figure]:
    with lab.database() as database:
        furnished = furnish(database, lab.size.of(CARDS, 8))
        with lab.server(database) as server, lab.bare_server(database) as bare:
            wait_until_read(database)
            for what, fields in (("plain", PLAIN), ("of status, assignee and team by name", NAMED)):
                show = partial(ask, lab, server, "/graphql", furnished, board(fields), '"board":')
                fetch = partial(ask, lab, bare, "/query", furnished, board(fields), '"rows":')
                yield _latency(lab, what, show, fetch)
                yield _rate(lab, what, show, fetch)


Ask = Callable[[int], Taken]


def ask(
    lab: Lab, server: Server, path: str, furnished: Furnished, query: str, expected: str, connections: int
) -> Taken:
    lab.say(f"boards: {path}, {connections} at once")
    body = msgspec.json.encode({"query": query}).decode()
    return load(
        Order(
            port=server.port,
            path=path,
            token=furnished.token,
            bodies=[[body]] * connections,
            warm_seconds=lab.size.seconds / 4,
            seconds=lab.size.seconds / 2,
            expected=expected,
        )
    )


def _latency(lab: Lab, what: str, show: Ask, fetch: Ask) -> Figure:
    ours, theirs = in_turns(lab.size.rounds, lambda: show(1).p50, lambda: fetch(1).p50)
    return Figure(
        name=f"board of {CARDS} cards, ten fields, {what}, p50",
        unit="ms",
        value=ours,
        peer_name="bare route: the same SQL, rows encoded",
        peer=theirs,
        limit=2.0,
    )


def _rate(lab: Lab, what: str, show: Ask, fetch: Ask) -> Figure:
    ours, theirs = in_turns(lab.size.rounds, lambda: show(CONNECTIONS).rate, lambda: fetch(CONNECTIONS).rate)
    return Figure(
        name=f"board of {CARDS} cards, ten fields, {what}, {CONNECTIONS} at once",
        unit="requests/s",
        value=ours,
        peer_name="bare route: the same SQL, rows encoded",
        peer=theirs,
        bar="at least",
        limit=4.0 * POSTGRAPHILE,
        by_itself=True,
    )
