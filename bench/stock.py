"""The yardstick of the event store: the library with its own recorder, and an application that does the same."""

from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from psycopg.conninfo import conninfo_to_dict

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
    """With what makes it fastest: a cache of aggregates, no copies of them, a connection for each caller."""
    where = {key: str(value) for key, value in conninfo_to_dict(database.url).items()}
    return Tickets(
        env={
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
    )
