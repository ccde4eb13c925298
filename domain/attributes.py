"""What a ticket says of itself: title, description, tags, priority, service, requester, schedule, sensitivity.

All but the priority and the schedule may be mended after it was closed.
"""

from datetime import datetime
from typing import assert_never
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from domain import text
from domain.errors import InvalidValue
from domain.privacy import SensitivityChanged, SetSensitive
from domain.text import FreeText
from domain.ticket_state import (
    Priority,
    Surroundings,
    Ticket,
    checked_description,
    checked_tags,
    instant,
    must_be_active,
    must_be_open,
    must_exist,
    must_keep,
    must_say_why,
)
from domain.workflow_state import Occasion

# ---- events


class TicketRetitled(msgspec.Struct, frozen=True, kw_only=True):
    title: FreeText


class TicketDescribed(msgspec.Struct, frozen=True, kw_only=True):
    description: FreeText | None


class TicketTagged(msgspec.Struct, frozen=True, kw_only=True):
    """`tags`: those that it did not have."""

    tags: tuple[str, ...]


class TicketUntagged(msgspec.Struct, frozen=True, kw_only=True):
    """`tags`: those that it had."""

    tags: tuple[str, ...]


class PriorityChanged(msgspec.Struct, frozen=True, kw_only=True):
    priority: Priority


class TicketScheduled(msgspec.Struct, frozen=True, kw_only=True):
    """Both ends as they are now, whichever was moved."""

    start_at: datetime | None
    due_at: datetime | None


class ServiceBound(msgspec.Struct, frozen=True, kw_only=True):
    service: UUID


class ServiceUnbound(msgspec.Struct, frozen=True, kw_only=True):
    pass


class RequesterChanged(msgspec.Struct, frozen=True, kw_only=True):
    requester: UUID | None


AttributeEvent = (
    TicketRetitled
    | TicketDescribed
    | TicketTagged
    | TicketUntagged
    | PriorityChanged
    | TicketScheduled
    | ServiceBound
    | ServiceUnbound
    | RequesterChanged
    | SensitivityChanged
)


# ---- commands


class RetitleTicket(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID
    title: str


class DescribeTicket(msgspec.Struct, frozen=True, kw_only=True):
    """None, or a blank one, takes the description away."""

    ticket: UUID
    description: str | None


class TagTicket(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID
    tags: tuple[str, ...]


class UntagTicket(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID
    tags: tuple[str, ...]


class SetPriority(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID
    priority: Priority


class ScheduleTicket(msgspec.Struct, frozen=True, kw_only=True):
    """Absent leaves as it is, None takes the date away."""

    ticket: UUID
    start_at: datetime | UnsetType | None = UNSET
    due_at: datetime | UnsetType | None = UNSET


class BindService(msgspec.Struct, frozen=True, kw_only=True):
    """None leaves the ticket without a service."""

    ticket: UUID
    service: UUID | None


class SetRequester(msgspec.Struct, frozen=True, kw_only=True):
    """From now on its free text is sealed under the new requester; what was written before stays under the old."""

    ticket: UUID
    requester: UUID | None


AttributeCommand = (
    RetitleTicket
    | DescribeTicket
    | TagTicket
    | UntagTicket
    | SetPriority
    | ScheduleTicket
    | BindService
    | SetRequester
    | SetSensitive
)


def decide(ticket: Ticket, command: AttributeCommand, around: Surroundings) -> list[AttributeEvent]:
    match command:
        case RetitleTicket():
            title = text.line(command.title, "title")
            return [] if title == ticket.title else [TicketRetitled(title=title)]
        case DescribeTicket():
            return _describe(ticket, command, around)
        case TagTicket():
            return _tag(ticket, command)
        case UntagTicket():
            gone = tuple(tag for tag in checked_tags(command.tags) if tag in ticket.tags)
            return [TicketUntagged(tags=gone)] if gone else []
        case SetPriority(priority=priority):
            return _set_priority(ticket, priority, around)
        case ScheduleTicket():
            return _schedule(ticket, command, around)
        case BindService():
            return _bind(ticket, command, around)
        case SetRequester():
            return _set_requester(ticket, command, around)
        case SetSensitive(sensitive=sensitive):
            return [] if sensitive is ticket.sensitive else [SensitivityChanged(sensitive=sensitive)]
        case _:
            assert_never(command)


def _set_priority(ticket: Ticket, priority: Priority, around: Surroundings) -> list[AttributeEvent]:
    must_be_open(ticket)
    if priority is ticket.priority:
        return []
    workflow, _ = around.workflows.judging(ticket.workflow, ticket.workflow_version, ticket.status)
    must_say_why(workflow, Occasion.PRIORITY_CHANGE, around)
    return [PriorityChanged(priority=priority)]


def _describe(ticket: Ticket, command: DescribeTicket, around: Surroundings) -> list[AttributeEvent]:
    description = checked_description(command.description)
    if description == ticket.description:
        return []
    if description is None:
        must_keep("description", ticket, around)
    return [TicketDescribed(description=description)]


def _tag(ticket: Ticket, command: TagTicket) -> list[AttributeEvent]:
    new = tuple(tag for tag in checked_tags(command.tags) if tag not in ticket.tags)
    if len(ticket.tags) + len(new) > text.TAGS_LIMIT:
        raise InvalidValue(f"{ticket.key} would have more than {text.TAGS_LIMIT} tags.", ("tags",))
    return [TicketTagged(tags=new)] if new else []


def _schedule(ticket: Ticket, command: ScheduleTicket, around: Surroundings) -> list[AttributeEvent]:
    if command.start_at is UNSET and command.due_at is UNSET:
        raise InvalidValue("Say when: startAt, dueAt, or both; null takes a date away.", ("dueAt",))
    must_be_open(ticket)
    start, due = command.start_at, command.due_at
    start = ticket.start_at if start is UNSET else None if start is None else instant(start, "startAt")
    due = ticket.due_at if due is UNSET else None if due is None else instant(due, "dueAt")
    if (start, due) == (ticket.start_at, ticket.due_at):
        return []
    if start is not None and due is not None and start > due:
        field = "startAt" if command.due_at is UNSET else "dueAt"
        raise InvalidValue(f"It would start at {start.isoformat()}, after it is due at {due.isoformat()}.", (field,))
    if due is None and ticket.due_at is not None:
        must_keep("dueAt", ticket, around)
    return [TicketScheduled(start_at=start, due_at=due)]


def _bind(ticket: Ticket, command: BindService, around: Surroundings) -> list[AttributeEvent]:
    service = command.service
    if service == ticket.service:
        return []
    if service is None:
        must_keep("service", ticket, around)
        return [ServiceUnbound()]
    must_exist(None, service, around)
    return [ServiceBound(service=service)]


def _set_requester(ticket: Ticket, command: SetRequester, around: Surroundings) -> list[AttributeEvent]:
    requester = command.requester
    if requester == ticket.requester:
        return []
    if requester is None:
        must_keep("requester", ticket, around)
    must_be_active(requester, "requester", around)
    return [RequesterChanged(requester=requester)]


def evolve(ticket: Ticket, event: AttributeEvent, at: datetime) -> Ticket:
    version = ticket.version + 1
    match event:
        case TicketRetitled(title=title):
            return replace(ticket, version=version, last_at=at, title=title)
        case TicketDescribed(description=description):
            return replace(ticket, version=version, last_at=at, description=description)
        case TicketTagged(tags=tags):
            return replace(ticket, version=version, last_at=at, tags=(*ticket.tags, *tags))
        case TicketUntagged(tags=tags):
            left = tuple(tag for tag in ticket.tags if tag not in tags)
            return replace(ticket, version=version, last_at=at, tags=left)
        case PriorityChanged(priority=priority):
            return replace(ticket, version=version, last_at=at, priority=priority)
        case TicketScheduled(start_at=start_at, due_at=due_at):
            return replace(ticket, version=version, last_at=at, start_at=start_at, due_at=due_at)
        case ServiceBound(service=service):
            return replace(ticket, version=version, last_at=at, service=service)
        case ServiceUnbound():
            return replace(ticket, version=version, last_at=at, service=None)
        case RequesterChanged(requester=requester):
            return replace(ticket, version=version, last_at=at, requester=requester)
        case SensitivityChanged(sensitive=sensitive):
            return replace(ticket, version=version, last_at=at, sensitive=sensitive)
        case _:
            assert_never(event)
