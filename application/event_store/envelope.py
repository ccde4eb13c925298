"""What surrounds an event when it is stored: where it stands, when it happened, who caused it and how."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from eventsourcing.persistence import StoredEvent

from domain.clients import Client, ClientEvent
from domain.contracts import Binding, BindingEvent, Contract, ContractEvent
from domain.documents import Document, DocumentEvent, DocumentNumbered
from domain.people import Person, PersonEvent
from domain.services import Service, ServiceEvent
from domain.statements import Numbers, StatementNumbered
from domain.teams import Team, TeamEvent
from domain.tickets import Ticket, TicketEvent
from domain.traceability.artifacts import Artifact, ArtifactBuilt
from domain.traceability.findings import Batch, Finding
from domain.traceability.links import Link, LinkEvent
from domain.traceability.releases import Deployment, Promise, PromiseEvent, Release, ReleaseEvent
from domain.traceability.repositories import Repository, RepositoryEvent
from domain.traceability.requests import MergeRequest, RequestEvent
from domain.views import View, ViewEvent
from domain.webhooks import WebhookEvent, Webhooks
from domain.wip_limits import Ledger, LedgerEvent
from domain.work import Timer, TimerEvent, WorkEntry, WorkEvent
from domain.workflows import Workflows, WorkflowsEvent

DomainEvent = (
    TicketEvent
    | PersonEvent
    | TeamEvent
    | ServiceEvent
    | WorkflowsEvent
    | LedgerEvent
    | ViewEvent
    | WebhookEvent
    | TimerEvent
    | WorkEvent
    | RepositoryEvent
    | Finding
    | RequestEvent
    | ReleaseEvent
    | PromiseEvent
    | ArtifactBuilt
    | LinkEvent
    | ClientEvent
    | ContractEvent
    | BindingEvent
    | StatementNumbered
    | DocumentEvent
    | DocumentNumbered
)
State = (
    Ticket
    | Person
    | Team
    | Service
    | Workflows
    | Ledger
    | View
    | Webhooks
    | Timer
    | WorkEntry
    | Repository
    | Batch
    | MergeRequest
    | Release
    | Promise
    | Artifact
    | Deployment
    | Link
    | Client
    | Contract
    | Binding
    | Numbers
    | Document
)


SENT_WITH = "token "
"""How a source begins that names a token, and the address from which it was used."""


class Cause(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who caused an event and by which command. `channel`: by which way the command came. `source`: what it came from:
    a delivery's id, or a file and line, in plain text; or a token and the address that it was sent from, which is
    personal (`SENT_WITH`) and stored sealed under the actor."""

    actor: UUID
    command_id: UUID
    correlation_id: UUID
    channel: str
    on_behalf_of: UUID | None = None
    source: str | None = None
    reason: str | None = None
    causation_id: UUID | None = None
    trace: str | None = None


class Envelope(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event with its place. `subject`: whose key seals its free text; known when writing, read from the text
    when reading. `position` and `recorded_at` come from the database."""

    workspace: UUID
    originator_id: UUID
    originator_version: int
    event: DomainEvent
    occurred_at: datetime
    cause: Cause
    subject: UUID | None = None
    command_hash: bytes | None = None
    position: int = 0
    recorded_at: datetime | None = None


@dataclass(frozen=True)
class StoredEnvelope(StoredEvent):
    """The library's stored event (`topic` is the event's name) with the columns of our table."""

    workspace: UUID
    event_version: int
    occurred_at: datetime
    cause: Cause
    command_hash: bytes | None
    position: int = 0
    recorded_at: datetime | None = None


class Stream(msgspec.Struct, frozen=True, gc=False):
    """One stream folded up to `version`, whose event stands at `position` of the log."""

    id: UUID
    version: int
    position: int
    state: State


Row = tuple[Any, ...]
"""A row of the table `event`, in the order of its columns; readers go by these of them."""

POSITION, WORKSPACE, STREAM, VERSION, NAME, RECORDED_AT = 0, 1, 2, 3, 4, 8


def stored(row: Row) -> StoredEnvelope:
    (
        position,
        workspace,
        stream,
        version,
        name,
        event_version,
        state,
        occurred_at,
        recorded_at,
        actor,
        on_behalf_of,
        channel,
        source,
        reason,
        command_id,
        command_hash,
        correlation_id,
        causation_id,
        trace,
    ) = row
    return StoredEnvelope(
        originator_id=stream,
        originator_version=version,
        topic=name,
        state=state,
        workspace=workspace,
        event_version=event_version,
        occurred_at=occurred_at,
        cause=Cause(
            actor=actor,
            on_behalf_of=on_behalf_of,
            channel=channel,
            source=source,
            reason=reason,
            command_id=command_id,
            correlation_id=correlation_id,
            causation_id=causation_id,
            trace=trace,
        ),
        command_hash=command_hash,
        position=position,
        recorded_at=recorded_at,
    )


def as_row(event: StoredEnvelope) -> Row:
    """What `stored` makes it of."""
    cause = event.cause
    return (
        event.position,
        event.workspace,
        event.originator_id,
        event.originator_version,
        event.topic,
        event.event_version,
        event.state,
        event.occurred_at,
        event.recorded_at,
        cause.actor,
        cause.on_behalf_of,
        cause.channel,
        cause.source,
        cause.reason,
        cause.command_id,
        event.command_hash,
        cause.correlation_id,
        cause.causation_id,
        cause.trace,
    )
