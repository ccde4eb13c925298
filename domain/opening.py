"""Opening a ticket: what every ticket begins with."""

from datetime import datetime
from uuid import UUID

import msgspec

from domain import field_values, text
from domain.text import FieldValue, FreeText, SealedFields
from domain.ticket_state import (
    Priority,
    Surroundings,
    Ticket,
    checked_description,
    checked_tags,
    instant,
    must_be_active,
    must_be_there,
    must_exist,
    must_fulfil,
)
from domain.workflows import StatusCategory


class TicketOpened(msgspec.Struct, frozen=True, kw_only=True):
    """`channel`: by which way the request came (phone, site, …).
    `requester`: the data subject of the free text."""

    number: int
    title: FreeText
    description: FreeText | None = None
    role: str
    workflow: str
    workflow_version: int
    status: str
    category: StatusCategory
    priority: Priority
    channel: str
    requester: UUID | None = None
    assignee: UUID | None = None
    team: UUID | None = None
    service: UUID | None = None
    parent: UUID | None = None
    tags: tuple[str, ...] = ()
    fields: SealedFields = {}
    due_at: datetime | None = None
    external_key: str | None = None


class OpenTicket(msgspec.Struct, frozen=True, kw_only=True):
    title: str
    role: str
    description: str | None = None
    service: UUID | None = None
    requester: UUID | None = None
    channel: str | None = None
    priority: Priority | None = None
    assignee: UUID | None = None
    team: UUID | None = None
    parent: UUID | None = None
    tags: tuple[str, ...] = ()
    fields: dict[str, FieldValue] = {}
    due_at: datetime | None = None


def decide(command: OpenTicket, around: Surroundings) -> TicketOpened:
    role = around.workflows.role(command.role)
    workflow = around.workflows.newest(role.workflow)
    status = workflow.status(workflow.initial)
    for field, person in (("requester", command.requester), ("assignee", command.assignee)):
        must_be_active(person, field, around)
    must_exist(command.team, command.service, around)
    if command.parent is not None:
        must_be_there(command.parent, "parent", around)
    opened = TicketOpened(
        number=around.number,
        title=text.line(command.title, "title"),
        description=checked_description(command.description),
        role=role.key,
        workflow=workflow.key,
        workflow_version=workflow.version,
        status=status.key,
        category=status.category,
        priority=command.priority or Priority.NORMAL,
        channel=text.line(command.channel or around.channel, "channel", text.KEY_LIMIT),
        requester=command.requester,
        assignee=command.assignee,
        team=command.team,
        service=command.service,
        parent=command.parent,
        tags=checked_tags(command.tags),
        fields=field_values.checked(command.fields, role.key, around),
        due_at=None if command.due_at is None else instant(command.due_at, "dueAt"),
    )
    must_fulfil(role, evolve(opened, around.now), around.workflows)
    return opened


def evolve(event: TicketOpened, at: datetime) -> Ticket:
    assert not isinstance(event.fields, str), "sealed fields are opened before they are folded"
    return Ticket(
        number=event.number,
        version=1,
        external_key=event.external_key,
        title=event.title,
        description=event.description,
        role=event.role,
        workflow=event.workflow,
        workflow_version=event.workflow_version,
        status=event.status,
        category=event.category,
        status_since=at,
        priority=event.priority,
        channel=event.channel,
        requester=event.requester,
        assignee=event.assignee,
        team=event.team,
        service=event.service,
        parent=event.parent,
        tags=event.tags,
        fields=event.fields,
        due_at=event.due_at,
        opened_at=at,
        closed_at=at if event.category.closed else None,
        last_at=at,
    )
