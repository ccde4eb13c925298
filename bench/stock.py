"""The yardstick of the event store: the library with its own recorder and runner, and an application that does the
same."""

import time
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Composed

from application.event_store.database import Database


class Ticket(Aggregate):
    class Opened(Aggregate.Created):
        title: str

    class CommentAdded(Aggregate.Event):
        author: str
        body: str
        visibility: str

    @event(Opened)
    def __init__(self, title: str) -> None:
        self.title = title
        self.comments = 0

    @event(CommentAdded)
    def comment(self, author: str, body: str, visibility: str) -> None:
        """Comments are counted, not kept: as Proteus does."""
        if not body.strip():
            raise ValueError("empty")
        self.comments += 1


class Tickets(Application[UUID]):
    def open(self, title: str) -> UUID:
        ticket = Ticket(title)
        self.save(ticket)
        return ticket.id

    def comment(self, id_: UUID, author: str, body: str) -> None:
        ticket: Ticket = self.repository.get(id_)
        ticket.comment(author, body, "PUBLIC")
        self.save(ticket)


def tickets(database: Database, connections: int) -> Tickets:
    return Tickets(env=environment(database, connections))


def environment(database: Database, connections: int) -> dict[str, str]:
    """With what makes it fastest: a cache of aggregates, no copies of them, a connection for each caller."""
    where = {key: str(value) for key, value in conninfo_to_dict(database.url).items()}
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": where["dbname"],
        "POSTGRES_HOST": where["host"],
        "POSTGRES_PORT": where["port"],
        "POSTGRES_USER": where["user"],
        "POSTGRES_PASSWORD": "none",
        "POSTGRES_POOL_SIZE": str(connections),
        "POSTGRES_MAX_OVERFLOW": "0",
        "AGGREGATE_CACHE_MAXSIZE": "5000",
        "AGGREGATE_CACHE_FASTFORWARD": "n",
        "DEEPCOPY_FROM_AGGREGATE_CACHE": "n",
    }


class Comments(PostgresTrackingRecorder):
    """A view of one table: how many comments a ticket has."""

    def __init__(self, datastore: PostgresDatastore, **options: Any) -> None:
        super().__init__(datastore, **options)
        table = SQL("create table if not exists comments (ticket uuid primary key, number int)")
        self.sql_create_statements.append(Composed([table]))

    def count(self, ticket: UUID, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(
                "insert into comments values (%s, 0) on conflict (ticket) do update set number = comments.number + 1",
                (ticket,),
                prepare=True,
            )
            self._insert_tracking(cursor, tracking)


class CountComments(Projection[Comments]):
    name = "comments"

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        self.view.count(domain_event.originator_id, tracking)


def events_projected_per_second(database: Database, tickets_: int, comments: int) -> float:
    """By the library's own runner, of one view, over tickets with that many comments each."""
    application = tickets(database, 4)
    last = 0
    for _ in range(tickets_):
        ticket = Ticket("A ticket")
        for _ in range(comments):
            ticket.comment("somebody", "It still does not print.", "PUBLIC")
        last = application.save(ticket)[-1].notification.id
    application.close()
    started = time.monotonic()
    with ProjectionRunner(
        application_class=Tickets, projection_class=CountComments, view_class=Comments, env=environment(database, 4)
    ) as runner:
        runner.wait(last, timeout=120)
        return tickets_ * (comments + 1) / (time.monotonic() - started)
