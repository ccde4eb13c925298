"""Import: rows of another system's history become the events that commands produce, one per real change.

A decision of its own, because real histories break transition rules, and because it keeps the source's times. Its
right is `domain.access.may_import`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from domain import opening, text
from domain.errors import InvalidValue
from domain.participants import WATCHERS_LIMIT
from domain.text import FieldValue
from domain.ticket_state import Estimate, Offer
from domain.tickets import (
    CommentAdded,
    EstimateGiven,
    EstimateRequested,
    FieldSet,
    Priority,
    PriorityChanged,
    RequesterChanged,
    RoleChanged,
    ServiceBound,
    ServiceUnbound,
    StatusChanged,
    TeamAssigned,
    TeamUnassigned,
    Ticket,
    TicketAssigned,
    TicketEvent,
    TicketOpened,
    TicketRetitled,
    TicketTagged,
    TicketUnassigned,
    TicketUntagged,
    TicketUnwatched,
    TicketWatched,
    Visibility,
)
from domain.workflows import Status, Workflow


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What all rows of one import have in common. `role`: of tickets whose rows name none."""

    workflow: Workflow
    role: str


class ImportComment(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    author: UUID
    body: str


class ImportRow(msgspec.Struct, frozen=True, kw_only=True):
    """What the source says of a ticket at one moment, ids resolved. UNSET: it says nothing, nothing changes;
    None: it says that there is none. `tags`: all that it has. `tagged` to `comment`: what was done, where the source
    says acts. `estimate`: seconds, by `estimator`. `number` and what follows it is asked of the first row alone."""

    status: Status | UnsetType = UNSET
    role: str | UnsetType = UNSET
    assignee: UUID | UnsetType | None = UNSET
    team: UUID | UnsetType | None = UNSET
    priority: Priority | UnsetType = UNSET
    service: UUID | UnsetType | None = UNSET
    requester: UUID | UnsetType | None = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET
    fields: dict[str, FieldValue] = {}
    tagged: str | None = None
    untagged: str | None = None
    retitled: str | None = None
    unassigned: UUID | None = None
    watched: UUID | None = None
    unwatched: UUID | None = None
    comment: ImportComment | None = None
    estimate: int | UnsetType = UNSET
    estimator: UUID = UUID(int=0)
    new_estimate: UUID = UUID(int=0)
    number: int = 0
    external_key: str = ""
    title: str = ""
    description: str | None = None
    channel: str | None = None


def decide(ticket: Ticket | None, row: ImportRow, origin: Origin) -> list[TicketEvent]:
    """One event per real change; [] when nothing changes. Raises InvalidValue where a person has moved the ticket
    to another workflow meanwhile: a status of the source's says nothing there."""
    if ticket is None:
        opened = _opened(row, origin)
        return [opened, *_done(opening.evolve(opened, _WHENEVER), row), *_estimated((), row)]
    events: list[TicketEvent] = []
    role = ticket.role if row.role is UNSET else row.role
    status = row.status
    if ticket.workflow != origin.workflow.key and (status is not UNSET or role != ticket.role):
        raise InvalidValue(
            f"{ticket.key} was moved to the workflow {ticket.workflow!r} here; this row's status belongs to "
            f"{origin.workflow.key!r}.",
            ("status",),
        )
    if role != ticket.role:
        events.append(_changed_role(ticket, role, status, origin.workflow))
    elif status is not UNSET and status.key != ticket.status:
        events.append(
            StatusChanged(workflow_version=origin.workflow.version, status=status.key, category=status.category)
        )
    # Most rows change one thing or none, so each comparison stands here, before any call.
    if row.requester is not UNSET and row.requester != ticket.requester:
        events.append(RequesterChanged(requester=row.requester))
    if row.team is not UNSET and row.team != ticket.team:
        events.append(TeamUnassigned() if row.team is None else TeamAssigned(team=row.team))
    if row.assignee is not UNSET and row.assignee != ticket.assignee:
        events.append(TicketUnassigned() if row.assignee is None else TicketAssigned(assignee=row.assignee))
    if row.priority is not UNSET and row.priority is not ticket.priority:
        events.append(PriorityChanged(priority=row.priority))
    if row.service is not UNSET and row.service != ticket.service:
        events.append(ServiceUnbound() if row.service is None else ServiceBound(service=row.service))
    if row.tags is not UNSET and row.tags != ticket.tags:
        events += _tagged(ticket, row.tags)
    events += [
        FieldSet(key=key, value=value)
        for key, value in row.fields.items()
        if not text.same_value(ticket.fields.get(key), value)
    ]
    return [*events, *_done(ticket, row), *_estimated(ticket.estimates, row)]


_WHENEVER = datetime.min.replace(tzinfo=UTC)
"""What was done depends on no time."""


def _done(ticket: Ticket, row: ImportRow) -> list[TicketEvent]:
    """Raises InvalidValue."""
    events: list[TicketEvent] = []
    if row.tagged is not None and (tag := text.line(row.tagged, "tags", text.KEY_LIMIT)) not in ticket.tags:
        if len(ticket.tags) >= text.TAGS_LIMIT:
            raise InvalidValue(f"{ticket.key} has {len(ticket.tags)} tags, which is the limit.", ("tags",))
        events.append(TicketTagged(tags=(tag,)))
    if row.untagged is not None and (tag := text.line(row.untagged, "tags", text.KEY_LIMIT)) in ticket.tags:
        events.append(TicketUntagged(tags=(tag,)))
    if row.retitled is not None and (title := _line(row.retitled, ticket.title)) != ticket.title:
        events.append(TicketRetitled(title=title))
    if row.unassigned is not None and row.unassigned == ticket.assignee:
        events.append(TicketUnassigned())
    if row.watched is not None and row.watched not in ticket.watchers:
        if len(ticket.watchers) >= WATCHERS_LIMIT:
            raise InvalidValue(f"{ticket.key} has {len(ticket.watchers)} watchers, which is the limit.", ("watchers",))
        events.append(TicketWatched(person=row.watched))
    if row.unwatched is not None and row.unwatched in ticket.watchers:
        events.append(TicketUnwatched(person=row.unwatched))
    if row.comment is not None:
        events.append(_commented(row.comment))
    return events


def _estimated(before: Sequence[Estimate], row: ImportRow) -> list[TicketEvent]:
    """The source says what was estimated, and not who asked or what the client said."""
    last = before[-1] if before else None
    if row.estimate is UNSET or (
        last is not None and last.offer is not None and last.offer.most_seconds == row.estimate
    ):
        return []
    offer = Offer(least_seconds=row.estimate, most_seconds=row.estimate)
    if last is not None and not last.state.settled:
        return [EstimateGiven(estimate=last.id, by=row.estimator, offer=offer)]
    return [
        EstimateRequested(estimate=row.new_estimate, by=row.estimator),
        EstimateGiven(estimate=row.new_estimate, by=row.estimator, offer=offer),
    ]


def _commented(comment: ImportComment) -> CommentAdded:
    return CommentAdded(
        comment=comment.id,
        author=comment.author,
        body=text.prose(comment.body[: text.TEXT_LIMIT], "comment"),
        visibility=Visibility.PUBLIC,
        in_reply_to=None,
        mentions=(),
    )


def _opened(row: ImportRow, origin: Origin) -> TicketOpened:
    workflow = origin.workflow
    status = workflow.status(workflow.initial) if row.status is UNSET else row.status
    return TicketOpened(
        number=row.number,
        title=_title(row),
        description=_description(row),
        role=origin.role if row.role is UNSET else row.role,
        workflow=workflow.key,
        workflow_version=workflow.version,
        status=status.key,
        category=status.category,
        priority=Priority.NORMAL if row.priority is UNSET else row.priority,
        channel=row.channel or "import",
        requester=_or_none(row.requester),
        assignee=_or_none(row.assignee),
        team=_or_none(row.team),
        service=_or_none(row.service),
        tags=() if row.tags is UNSET else row.tags,
        fields={key: value for key, value in row.fields.items() if value is not None},
        external_key=row.external_key,
    )


def _tagged(ticket: Ticket, tags: tuple[str, ...]) -> list[TicketEvent]:
    """What the ticket loses first, so that it never has too many. Another order alone is no change."""
    gone = tuple(tag for tag in ticket.tags if tag not in tags)
    new = tuple(tag for tag in tags if tag not in ticket.tags)
    events: list[TicketEvent] = [TicketUntagged(tags=gone)] if gone else []
    return [*events, TicketTagged(tags=new)] if new else events


def _changed_role(ticket: Ticket, role: str, status: Status | UnsetType, workflow: Workflow) -> RoleChanged:
    """The new role, and in the same event the status that the row gives, if it gives one."""
    return RoleChanged(
        role=role,
        workflow=workflow.key,
        workflow_version=workflow.version,
        status=ticket.status if status is UNSET else status.key,
        category=ticket.category if status is UNSET else status.category,
    )


def _title(row: ImportRow) -> str:
    return _line(row.title, row.external_key)


def _line(value: str, otherwise: str) -> str:
    """Never a reason to lose a ticket: `otherwise` where there is none, cut where it is too long."""
    if text.is_blank(value):
        return otherwise
    title = " ".join(value.split())
    if len(title) > text.TITLE_LIMIT:
        title = f"{title[: text.TITLE_LIMIT - 1]}…"
    return text.line(title, "title")


def _description(row: ImportRow) -> str | None:
    if row.description is None or text.is_blank(row.description):
        return None
    return text.prose(row.description[: text.TEXT_LIMIT], "description")


def _or_none(value: UUID | UnsetType | None) -> UUID | None:
    return None if value is UNSET else value
