"""One ticket with a long history: loaded afresh, and changed by a process that knows it."""

import time
from collections.abc import Iterator
from statistics import median
from uuid import uuid4

from application import tickets
from application.event_store.database import Database
from application.event_store.envelope import Cause, Envelope
from application.event_store.streams import EventStore
from application.handling import Context, now
from bench.company import Furnished, furnish
from bench.figures import Figure, Spread
from bench.lab import Lab
from domain.tickets import AddComment, CommentAdded, Visibility

EVENTS = 1_000
COMMANDS = 200


def replaying(lab: Lab) -> Iterator[Figure]:
    with lab.database() as database:
        company = furnish(database, 1)
        _talk(database, company)
        loads = [lab.said("replaying: a load", lambda: _load(database, company)) for _ in range(5 * lab.size.rounds)]
        commands = [
            lab.said("replaying: commands", lambda: _command(database, company, lab.size.of(COMMANDS, 3)))
            for _ in range(lab.size.rounds)
        ]
    yield Figure(name=f"load of a ticket of {EVENTS:,} events", unit="ms", value=Spread.of(loads), limit=10.0)
    yield Figure(
        name=f"a command to a ticket of {EVENTS:,} events that is known, p50",
        unit="ms",
        value=Spread.of(commands),
        limit=5.0,
    )


def _talk(database: Database, company: Furnished) -> None:
    workspace = company.actor.workspace
    with EventStore(database) as store:
        here = store.workspace(workspace)
        [ticket] = here.load(company.tickets).values()
        envelopes: list[Envelope] = []
        for version in range(ticket.version + 1, EVENTS + 1):
            command = uuid4()
            event = CommentAdded(
                comment=uuid4(), author=uuid4(), body=f"It printed page {version}.", visibility=Visibility.PUBLIC
            )
            envelopes.append(
                Envelope(
                    workspace=workspace,
                    originator_id=ticket.id,
                    originator_version=version,
                    event=event,
                    occurred_at=now(),
                    cause=Cause(actor=company.actor.person, command_id=command, correlation_id=command, channel="api"),
                    command_hash=command.bytes,
                )
            )
        here.append(envelopes)


def _load(database: Database, company: Furnished) -> float:
    """By a process that has its connection, and has never seen the ticket."""
    with EventStore(database) as store:
        here = store.workspace(company.actor.workspace)
        here.load(company.people[:1])
        started = time.perf_counter()
        [ticket] = here.load(company.tickets).values()
        taken = (time.perf_counter() - started) * 1000
    assert ticket.version >= EVENTS
    return taken


def _command(database: Database, company: Furnished, commands: int) -> float:
    with EventStore(database) as store:
        context = Context(actor=company.actor)
        taken: list[float] = []
        for _ in range(commands + 1):
            started = time.perf_counter()
            tickets.handle(store, context, AddComment(ticket=company.tickets[0], body="It prints now."))
            taken.append((time.perf_counter() - started) * 1000)
    return median(taken[1:])  # the first one loads it
