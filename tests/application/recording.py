"""What the tests of the event store share: envelopes to append, a company to work in, commands given at once."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import TupleRow

from application import people, tickets
from application.event_store.database import Database, Role
from application.event_store.envelope import POSITION, Cause, DomainEvent, Envelope
from application.event_store.follower import LogReader
from application.event_store.streams import EventStore
from application.handling import Context, Outcome
from application.workspaces import Workspace, operator
from domain.access import Actor, Scope
from domain.people import AddPerson
from domain.teams import TeamAdded, TeamRenamed
from domain.tickets import OpenTicket, TicketCommand

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)

T = TypeVar("T")
R = TypeVar("R")


def envelopes(
    workspace: UUID, stream: UUID, *events: DomainEvent, after: int = 0, command: UUID | None = None, **more: Any
) -> list[Envelope]:
    """One command's events on one stream."""
    command = command or uuid4()
    return [
        Envelope(
            workspace=workspace,
            originator_id=stream,
            originator_version=after + n,
            event=event,
            occurred_at=more.get("occurred_at", AT),
            cause=more.get("cause")
            or Cause(actor=workspace, command_id=command, correlation_id=command, channel="test"),
            subject=more.get("subject"),
            command_hash=command.bytes if n == 1 else None,
        )
        for n, event in enumerate(events, start=1)
    ]


def added(name: str = "Team") -> TeamAdded:
    return TeamAdded(key="team", name=name)


def renamed(name: str) -> TeamRenamed:
    return TeamRenamed(name=name)


@dataclass(frozen=True)
class Company:
    """A workspace with a manager in it, who gives commands."""

    store: EventStore
    workspace: Workspace
    manager: Actor

    @classmethod
    def of(cls, store: EventStore, workspace: Workspace) -> "Company":
        chief = Context(actor=operator(workspace.id))
        person = people.handle(store, chief, AddPerson(name="Мария Петрова")).stream
        return cls(store, workspace, Actor(workspace=workspace.id, person=person, scopes=frozenset({Scope.MANAGER})))

    def actor(self, person: UUID, *scopes: Scope) -> Actor:
        return Actor(workspace=self.workspace.id, person=person, scopes=frozenset(scopes))

    def person(self, name: str, email: str | None = None) -> UUID:
        return people.handle(self.store, Context(actor=self.manager), AddPerson(name=name, email=email)).stream

    def give(self, command: TicketCommand, actor: Actor | None = None, **context: Any) -> Outcome:
        return tickets.handle(self.store, Context(actor=actor or self.manager, **context), command)

    def ticket(self, title: str = "The site is down", **more: Any) -> UUID:
        return self.give(OpenTicket(title=title, role="INCIDENT", **more)).stream


def at_once(calls: Sequence[Callable[[], R]]) -> list[R | BaseException]:
    """Calls them all from threads that start together; an exception is an answer too."""
    start = threading.Barrier(len(calls))

    def one(call: Callable[[], R]) -> R | BaseException:
        start.wait(timeout=30)
        try:
            return call()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(one, calls))


def succeeded(answers: Iterable[R | BaseException]) -> list[R]:
    return [answer for answer in answers if not isinstance(answer, BaseException)]


def failed(answers: Iterable[R | BaseException]) -> list[BaseException]:
    return [answer for answer in answers if isinstance(answer, BaseException)]


def log(database: Database, where: str = "true") -> list[dict[str, Any]]:
    """The event table as it is, in order of position."""
    with database.connect(Role.PROJECTOR) as connection:
        cursor = connection.execute(f"select * from event where {where} order by position".encode())
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def versions(database: Database, stream: UUID) -> list[int]:
    return [row["version"] for row in log(database, f"stream = '{stream}'")]


def insertion(**columns: object) -> tuple[bytes, dict[str, object]]:
    """A plain INSERT of one event, by a writer whose transaction the test holds in its hands."""
    command = uuid4()
    row: dict[str, object] = {
        "stream": uuid4(),
        "version": 1,
        "name": "TeamAdded",
        "event_version": 1,
        "state": b"{}",
        "occurred_at": AT,
        "actor": uuid4(),
        "channel": "test",
        "command_id": command,
        "correlation_id": command,
        **columns,
    }
    statement = "insert into event ({}) overriding system value values ({})"
    return statement.format(", ".join(row), ", ".join(f"%({name})s" for name in row)).encode(), row


@contextmanager
def writer(database: Database, workspace: UUID) -> Iterator[psycopg.Connection[TupleRow]]:
    """A writer that may take its time: not in autocommit, and nothing ends its transaction for it."""
    patient = {"idle_in_transaction_session_timeout": "0", "transaction_timeout": "0"}
    with psycopg.connect(database.conninfo(Role.APP, **patient)) as connection:
        connection.execute("select set_config('proteus.workspace', %s, false)", (str(workspace),))
        connection.commit()
        yield connection


def drain(reader: LogReader, after: int = 0, limit: int = 1000) -> list[int]:
    """Positions that the reader hands over until it says that there is nothing (now)."""
    positions: list[int] = []
    while rows := reader.read(positions[-1] if positions else after, limit):
        positions += [row[POSITION] for row in rows]
    return positions


def positions(database: Database, after: int = 0) -> list[int]:
    return [row["position"] for row in log(database, f"position > {after}")]
