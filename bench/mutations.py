"""A mutation over HTTP, beside a bare route that inserts one row."""

from collections.abc import Callable, Iterator
from functools import partial
from uuid import UUID

import msgspec

from api.ids import Kind, encode
from application.event_store.database import Database
from bench.company import furnish
from bench.figures import Figure, in_turns
from bench.lab import Lab, Server
from bench.load import Order, Taken, load
from bench.waiting import wait_until_read

CONNECTIONS = 16
MUTATION = """
mutation SetPriority($input: SetPriorityInput!) {
  setPriority(input: $input) { version position userErrors { code message } }
}
"""
Work = Callable[[int], Taken]

PRIORITIES = ("HIGH", "LOW")
"""In turns, so that every command changes something."""


def mutations(lab: Lab) -> Iterator[Figure]:
    with lab.database() as database, lab.database() as bare_database:
        company, bare_company = furnish(database, CONNECTIONS), furnish(bare_database, 0)
        with lab.server(database) as server, lab.bare_server(bare_database) as bare:
            ours = [[mutation(id_, priority) for priority in PRIORITIES] for id_ in company.tickets]
            theirs = [[_insertion(id_, priority) for priority in PRIORITIES] for id_ in company.tickets]
            mutate = partial(_order, lab, server, "/graphql", company.token, ours, '"userErrors":[]')
            insert = partial(_order, lab, bare, "/insert", bare_company.token, theirs, '"position":')
            yield _latency(lab, mutate, insert, 1)
            yield _latency(lab, mutate, insert, CONNECTIONS)
            yield _cpu(lab, database, server, mutate, bare, insert)


def mutation(ticket: UUID, priority: str) -> str:
    variables = {"input": {"ticket": encode(Kind.TICKET, ticket), "priority": priority}}
    return msgspec.json.encode({"query": MUTATION, "variables": variables}).decode()


def _insertion(ticket: UUID, priority: str) -> str:
    return msgspec.json.encode({"ticket": encode(Kind.TICKET, ticket), "priority": priority}).decode()


def _order(
    lab: Lab, server: Server, path: str, token: str, bodies: list[list[str]], expected: str, connections: int
) -> Taken:
    lab.say(f"mutations: {path}, {connections} at once")
    return load(
        Order(
            port=server.port,
            path=path,
            token=token,
            bodies=bodies[:connections],
            warm_seconds=lab.size.seconds / 2,
            seconds=lab.size.seconds,
            expected=expected,
        )
    )


def _latency(lab: Lab, mutate: Work, insert: Work, connections: int) -> Figure:
    ours, theirs = in_turns(lab.size.rounds, lambda: mutate(connections).p50, lambda: insert(connections).p50)
    return Figure(
        name=f"mutation over HTTP, {connections} at once, p50",
        unit="ms",
        value=ours,
        peer_name="bare route that inserts one row",
        peer=theirs,
        limit=3.0,
    )


def _cpu(lab: Lab, database: Database, server: Server, mutate: Work, bare: Server, insert: Work) -> Figure:
    """Of the server, its read models and PostgreSQL, without the client."""

    def per_thousand(process: Server, work: Work) -> float:
        wait_until_read(database)
        before = process.cpu_seconds() + lab.postgres_seconds()
        taken = work(CONNECTIONS)
        wait_until_read(database)
        return (process.cpu_seconds() + lab.postgres_seconds() - before) / taken.answers * 1000

    ours, theirs = in_turns(lab.size.rounds, lambda: per_thousand(server, mutate), lambda: per_thousand(bare, insert))
    return Figure(
        name="CPU of 1,000 mutations, read models and PostgreSQL included",
        unit="s",
        value=ours,
        peer_name="bare route that inserts one row",
        peer=theirs,
    )
