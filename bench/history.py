"""A long history, quickly: events as the domain decides them, appended in bulk as an import does."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from uuid import UUID, uuid4

from application.event_store.envelope import Cause, DomainEvent, Envelope
from application.event_store.streams import EventStore
from application.handling import new_id, now
from bench.company import TITLES, Furnished
from domain.assignment import TicketAssigned
from domain.attributes import PriorityChanged
from domain.tickets import CommentAdded, Priority, TicketOpened, Visibility
from domain.transitions import StatusChanged
from domain.workflows import StatusCategory

CHUNK = 2_000
TALK = "Разобрались: драйвер обновился сам, мы вернули прежний. Please try again and tell us whether it prints."


def record(store: EventStore, company: Furnished, tickets: int) -> int:
    """Tickets of ten events each, from opened to done, each a minute after another. Returns how many events."""
    workspace = store.workspace(company.actor.workspace)
    count = 0
    envelopes = (envelope for n in range(tickets) for envelope in _life(company, n, tickets))
    while chunk := list(islice(envelopes, CHUNK)):
        workspace.append(chunk)
        count += len(chunk)
    return count


def _life(company: Furnished, n: int, of: int) -> Iterator[Envelope]:
    stream, at = new_id(), now() - timedelta(minutes=of - n + 10)
    person = company.people[n % len(company.people)]
    for version, event in enumerate(_events(company, n, person), start=1):
        yield enveloped(company.actor.workspace, stream, version, event, at + timedelta(seconds=version), person)


def _events(company: Furnished, n: int, person: UUID) -> list[DomainEvent]:
    return [
        TicketOpened(
            number=1_000_000 + n,
            title=f"{TITLES[n % len(TITLES)]} {n}",
            description=TALK,
            role="TASK",
            workflow="task",
            workflow_version=1,
            status="todo",
            category=StatusCategory.NEW,
            priority=Priority.NORMAL,
            channel="site",
            team=company.teams[n % len(company.teams)],
            tags=("printer", "office"),
        ),
        TicketAssigned(assignee=person),
        StatusChanged(workflow_version=1, status="in_progress", category=StatusCategory.ACTIVE),
        CommentAdded(comment=uuid4(), author=person, body=TALK, visibility=Visibility.PUBLIC),
        PriorityChanged(priority=Priority.HIGH),
        CommentAdded(comment=uuid4(), author=person, body=TALK, visibility=Visibility.INTERNAL),
        StatusChanged(workflow_version=1, status="blocked", category=StatusCategory.WAITING),
        StatusChanged(workflow_version=1, status="in_progress", category=StatusCategory.ACTIVE),
        CommentAdded(comment=uuid4(), author=person, body=TALK, visibility=Visibility.PUBLIC),
        StatusChanged(workflow_version=1, status="done", category=StatusCategory.DONE),
    ]


def enveloped(workspace: UUID, stream: UUID, version: int, event: DomainEvent, at: datetime, person: UUID) -> Envelope:
    command = uuid4()
    return Envelope(
        workspace=workspace,
        originator_id=stream,
        originator_version=version,
        event=event,
        occurred_at=at,
        cause=Cause(actor=person, command_id=command, correlation_id=command, channel="site"),
        command_hash=command.bytes,
    )
