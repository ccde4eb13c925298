"""Subscribers: how soon a change reaches those who are told of it, and what one costs who is told of nothing."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import msgspec

from api.connections import PER_TOKEN
from api.ids import Kind, encode
from application import people, tickets
from application.event_store.database import Database, Role
from application.event_store.streams import EventStore
from application.handling import Context
from application.tokens import issue_token
from bench.company import Furnished, furnish
from bench.figures import Figure, Spread, percentile
from bench.lab import Lab, Server, resident_bytes
from bench.listening import Heard, Order
from bench.waiting import wait_until_read
from domain.access import Scope
from domain.people import AddPerson
from domain.tickets import AddComment

IDLE, ACTIVE = 2_000, 200
CHANGES = 1
"""A second, of which all active ones are told."""
LIMIT_MS = 100.0

EVENTS = """
subscription($after: Position) { events(afterPosition: $after) { position ticket { key title status { key } } } }
"""
BOARD = """
subscription($after: Position) {
  boardChanged(workflow: "task", afterPosition: $after) { position changed { key title status { key } rank } gone }
}
"""


def live(lab: Lab) -> Iterator[Figure]:
    """Subscribers, server, read models and PostgreSQL share the machine's cores."""
    idle, active = lab.size.of(IDLE, 4), lab.size.of(ACTIVE, 2)
    costs: list[float] = []
    shares: list[float] = []
    for what, query in (("the log", EVENTS), ("a board", BOARD)):
        sooner: list[float] = []
        later: list[float] = []
        with lab.database() as database:
            furnished = furnish(database, active)
            tokens = _tokens(database, furnished, idle, active)
            with lab.server(database) as server:
                wait_until_read(database)
                for round_ in range(lab.size.rounds):
                    lab.say(f"live: {idle:,} idle ones, {active:,} of {what}")
                    heard, cost = _listen(lab, server, furnished, tokens, idle, active, query, round_)
                    if round_ == 0:  # later ones use the memory of the first again
                        costs.append(cost)
                    sooner.append(percentile(heard.milliseconds, 50))
                    later.append(percentile(heard.milliseconds, 99))
                    shares.append(heard.processor_share * 100)
        for name, found, limit in (("p50", sooner, None), ("p99", later, LIMIT_MS)):
            yield Figure(
                name=f"from a command to {ACTIVE} subscribers to {what}, beside {IDLE:,} idle ones, {name}",
                unit="ms",
                value=Spread.of(found),
                limit=limit,
            )
    yield Figure(name="memory of an idle subscriber, server and all", unit="kB", value=Spread.of(costs))
    yield Figure(name="processor time of the subscribers' own process", unit="% of a core", value=Spread.of(shares))


def _tokens(database: Database, furnished: Furnished, idle: int, active: int) -> list[str]:
    """Of each active subscriber its own, of a person of its own; idle ones share as few as they may."""
    workspace = furnished.actor.workspace

    def token(person: UUID) -> str:
        return issue_token(database, workspace, person, [Scope.AGENT], "bench", timedelta(days=1))

    with EventStore(database) as store:
        context = Context(actor=furnished.actor)
        names = (AddPerson(name=f"Listener {n}") for n in range(active))
        listeners = [people.handle(store, context, name).stream for name in names]
        # The last of all events: the one that subscribers are told first.
        tickets.handle(store, context, AddComment(ticket=furnished.tickets[-1], body="Here we go"))
    shared = [token(furnished.actor.person) for _ in range(-(-idle // PER_TOKEN))]
    return [shared[n // PER_TOKEN] for n in range(idle)] + [token(person) for person in listeners]


def _last_change(database: Database) -> int:
    """Of a ticket: the position of its event."""
    with database.connect(Role.PROJECTOR) as connection:
        row = connection.execute("select max(position) from timeline where ticket is not null").fetchone()
    assert row is not None
    return int(row[0])


def _listen(
    lab: Lab, server: Server, furnished: Furnished, tokens: list[str], idle: int, active: int, query: str, round_: int
) -> tuple[Heard, float]:
    """What active ones heard, and kilobytes of an idle one."""
    order = Order(
        port=server.port,
        tokens=tokens,
        idle=idle,
        active=active,
        query=query,
        after=str(_last_change(furnished.database) - 1),
        tickets=[encode(Kind.TICKET, id_) for id_ in furnished.tickets],
        changes=CHANGES,
        seconds=lab.size.seconds * 2,
        round=round_,
    )
    with subprocess.Popen(
        [sys.executable, "-m", "bench.listening"],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as listening:
        assert listening.stdin is not None
        assert listening.stdout is not None
        before = resident_bytes(server.pid)
        listening.stdin.write(msgspec.json.encode(order) + b"\n")
        listening.stdin.flush()
        if listening.stdout.readline() != b"idle\n":
            raise RuntimeError("the subscribers did not come to be")
        cost = (resident_bytes(server.pid) - before) / idle / 1000
        listening.stdin.write(b"go on\n")
        listening.stdin.flush()
        return msgspec.json.decode(listening.stdout.read(), type=Heard), cost
