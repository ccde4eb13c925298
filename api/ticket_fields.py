"""The type Ticket: what its row does not say itself, and who may do what with it."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import strawberry
from strawberry import ID, UNSET, Parent
from strawberry.scalars import JSON
from strawberry.types import get_object_definition
from strawberry.utils.str_converters import to_camel_case

from api.attachments import Attachment
from api.comments import Comment
from api.contracts import Contract
from api.documents import BillingDocument
from api.estimates import Estimate
from api.events import Event
from api.field_values import outward
from api.fields import READS, Info, Node, by, given, selected
from api.hand_overs import HandOver
from api.ids import Kind, encode
from api.links import Link
from api.paging import Connection, ConnectionRow, page_ask
from api.people import Person, people, person
from api.prefetch import at_last, found, prefetch, then
from api.ratings import Rating
from api.scalars import Position
from api.services import Service, service
from api.spans import Span
from api.teams import Team, team
from api.traceability import (
    TicketChange,
    ticket_changes,
)
from api.work import (
    WorkEntry,
)
from api.workflows import Role, Status, StatusRow, Transition, Workflow, role_row, status_row, workflow_row
from domain import access, workflows
from domain import tickets as domain
from domain.tickets import Priority
from projections import filters, search, tickets
from projections.reading import Moment, ReadModelBehind
from projections.rows import (
    AttachmentRow,
    ChildCounts,
    CommentRow,
    ContractRow,
    DocumentRow,
    EstimateRow,
    EventRow,
    HandOverRow,
    LinkRow,
    PersonRow,
    RatingRow,
    SpanRow,
    TicketDetails,
    TicketRow,
    WorkEntryRow,
)

# ---- what its row does not say itself


def _id(ticket: Parent[TicketRow]) -> ID:
    return encode(Kind.TICKET, ticket.id)


def ticket_url(ticket: Parent[TicketRow], info: Info) -> str:
    return f"{info.context.runtime.public_url}/t/{ticket.key}"


def _role(ticket: Parent[TicketRow], info: Info) -> workflows.Role:
    return role_row(info.context.workflows, ticket.role)


def _workflow(ticket: Parent[TicketRow], info: Info) -> workflows.Workflow:
    """In the version that the ticket is on."""
    return workflow_row(info.context.workflows, ticket.workflow, ticket.workflow_version)


def _status(ticket: Parent[TicketRow], info: Info) -> StatusRow:
    return status_row(_workflow(ticket, info), ticket.status)


def _assignee(ticket: Parent[TicketRow], info: Info) -> Any:
    """Who holds it now."""
    return person(info, ticket.assignee)


def _contributors(ticket: Parent[TicketRow], info: Info) -> Any:
    """Who works on it beside the assignee."""
    return people(info, ticket.contributors)


def _requester(ticket: Parent[TicketRow], info: Info) -> Any:
    return person(info, ticket.requester)


def _team(ticket: Parent[TicketRow], info: Info) -> Any:
    return team(info, ticket.team)


def _service(ticket: Parent[TicketRow], info: Info) -> Any:
    return service(info, ticket.service)


def _parent(ticket: Parent[TicketRow], info: Info) -> Any:
    return None if ticket.parent is None else found(info.context.loaders.tickets, (ticket.parent, ticket.moment))


# ---- details: one read for all tickets of the answer


def _of_details(ticket: TicketRow, info: Info, use: Callable[[TicketDetails], Any]) -> Any:
    def there(details: TicketDetails | None) -> Any:
        if details is None:
            raise ReadModelBehind(f"The details of {ticket.key} are not readable yet.")
        return use(details)

    return then(found(info.context.loaders.details, (ticket.id, ticket.moment)), there)


def _description(ticket: Parent[TicketRow], info: Info) -> Any:
    return _of_details(ticket, info, lambda details: details.description)


def _fields(ticket: Parent[TicketRow], info: Info) -> Any:
    """The workspace's typed custom fields, by key."""
    return outward(info.context.workflows, ticket.fields)


async def _opened_by(ticket: Parent[TicketRow], info: Info) -> Any:
    opened_by = _of_details(ticket, info, lambda details: details.opened_by)
    return await at_last(person(info, await at_last(opened_by)))


def _updated_at(ticket: Parent[TicketRow], info: Info) -> Any:
    return _of_details(ticket, info, lambda details: details.updated_at)


def _version(ticket: Parent[TicketRow], info: Info) -> Any:
    """The number of its events: what `expectedVersion` expects."""
    return _of_details(ticket, info, lambda details: details.version)


def _position(ticket: Parent[TicketRow], info: Info) -> Any:
    """Of its newest event."""
    return _of_details(ticket, info, lambda details: details.position)


def _comment_count(ticket: Parent[TicketRow], info: Info) -> Any:
    return _of_details(ticket, info, lambda details: details.comment_count)


def _stale(ticket: Parent[TicketRow], info: Info) -> Any:
    """An event of this ticket could not be folded into a read model, which leaves it out from there on: what is shown
    may be older than `position` says. Operators see why, and make it up with `proteus retry`."""
    return then(found(info.context.loaders.stale, ticket.id), bool)


# ---- hierarchy, talk and history


def _sensitive(ticket: Parent[TicketRow], info: Info) -> Any:
    """It is logged who reads it."""
    return then(found(info.context.loaders.sensitive, (ticket.id, ticket.moment)), bool)


def _child_counts(ticket: TicketRow, info: Info, use: Callable[[ChildCounts], int]) -> Any:
    counts = found(info.context.loaders.child_counts, (ticket.id, ticket.moment))
    return then(counts, lambda counts: use(counts or ChildCounts()))


def _child_count(ticket: Parent[TicketRow], info: Info) -> Any:
    return _child_counts(ticket, info, lambda counts: counts.children)


def _child_done_count(ticket: Parent[TicketRow], info: Info) -> Any:
    return _child_counts(ticket, info, lambda counts: counts.done)


async def _children(
    ticket: Parent[TicketRow], info: Info, first: int | None = UNSET, after: str | None = UNSET
) -> ConnectionRow[TicketRow]:
    loaders, moment = info.context.loaders, ticket.moment
    page = await loaders.children.load((ticket.id, page_ask(first, after), moment))
    await prefetch(info, page.nodes)

    async def count() -> int:
        counts = await loaders.child_counts.load((ticket.id, moment))
        return counts.children if counts else 0

    return ConnectionRow(page, count)


async def _links(
    ticket: Parent[TicketRow], info: Info, first: int | None = UNSET, after: str | None = UNSET
) -> ConnectionRow[LinkRow]:
    """Oldest first. Requesters see those that lead to other tickets of theirs."""
    loaders, id_, moment = info.context.loaders, ticket.id, ticket.moment
    page = await loaders.links_of.load((id_, page_ask(first, after), moment))
    return ConnectionRow(page, lambda: loaders.link_counts.load((id_, moment)))


async def _hand_overs(
    ticket: Parent[TicketRow], info: Info, first: int | None = UNSET, after: str | None = UNSET
) -> ConnectionRow[HandOverRow]:
    """Every time that it passed to another role or team, oldest first."""
    loaders, id_, moment = info.context.loaders, ticket.id, ticket.moment
    page = await loaders.hand_overs.load((id_, page_ask(first, after), moment))
    return ConnectionRow(page, lambda: loaders.hand_over_counts.load((id_, moment)))


async def _ratings(
    ticket: Parent[TicketRow], info: Info, first: int | None = UNSET, after: str | None = UNSET
) -> ConnectionRow[RatingRow]:
    """What its requester says of what came of it, one for each time that it was closed; oldest first."""
    loaders, id_, moment = info.context.loaders, ticket.id, ticket.moment
    page = await loaders.ratings.load((id_, page_ask(first, after), moment))
    return ConnectionRow(page, lambda: loaders.rating_counts.load((id_, moment)))


async def _watchers(
    ticket: Parent[TicketRow], info: Info, first: int | None = UNSET, after: str | None = UNSET
) -> ConnectionRow[PersonRow]:
    """Who wants to know of it, by name. Requesters find themselves alone."""
    loaders, id_, moment = info.context.loaders, ticket.id, ticket.moment
    page = await loaders.watchers.load((id_, page_ask(first, after), moment))
    return ConnectionRow(page, lambda: loaders.watcher_counts.load((id_, moment)))


async def _comments(
    ticket: Parent[TicketRow],
    info: Info,
    first: int | None = UNSET,
    after: str | None = UNSET,
    last: int | None = UNSET,
    before: str | None = UNSET,
) -> ConnectionRow[CommentRow]:
    """Oldest first. Requesters see the public ones."""
    loaders, id_, moment = info.context.loaders, ticket.id, ticket.moment
    page = await loaders.comments_of.load((id_, page_ask(first, after, last, before), moment))
    return ConnectionRow(page, lambda: loaders.comment_counts.load((id_, moment)))


async def _attachments(
    ticket: Parent[TicketRow], info: Info, first: int | None = UNSET, after: str | None = UNSET
) -> ConnectionRow[AttachmentRow]:
    """Files, oldest first. Requesters see the public ones."""
    loaders, id_, moment = info.context.loaders, ticket.id, ticket.moment
    page = await loaders.attachments_of.load((id_, page_ask(first, after), moment))
    return ConnectionRow(page, lambda: loaders.attachment_counts.load((id_, moment)))


async def _work_entries(
    ticket: Parent[TicketRow], info: Info, first: int | None = UNSET, after: str | None = UNSET
) -> ConnectionRow[WorkEntryRow]:
    """By start."""
    loaders, id_, moment = info.context.loaders, ticket.id, ticket.moment
    page = await loaders.work_of.load((id_, page_ask(first, after), moment))
    return ConnectionRow(page, lambda: loaders.work_counts.load((id_, moment)))


async def _contract(ticket: Parent[TicketRow], info: Info) -> ContractRow | None:
    """Which it is bound to itself, now; work on a ticket that is bound to none counts under its parent's."""
    loaders = info.context.loaders
    bound = await loaders.bound.load(ticket.id)
    return None if bound is None else await loaders.contracts.load(bound)


async def _estimates(ticket: Parent[TicketRow], info: Info) -> list[EstimateRow]:
    """In the order they were requested."""
    return await info.context.loaders.estimates_of.load((ticket.id, ticket.moment)) or []


async def _documents(
    ticket: Parent[TicketRow], info: Info, first: int | None = UNSET, after: str | None = UNSET
) -> ConnectionRow[DocumentRow]:
    """Invoices and acts that were issued from its conversation. Requesters see those of clients that they are a contact
    of."""
    loaders, id_, moment = info.context.loaders, ticket.id, ticket.moment
    page = await loaders.documents_of.load((id_, page_ask(first, after), moment))
    return ConnectionRow(page, lambda: loaders.document_counts.load((id_, moment)))


async def _worked_seconds(ticket: Parent[TicketRow], info: Info) -> int:
    """Net, of all its work."""
    return await info.context.loaders.worked_seconds.load((ticket.id, ticket.moment)) or 0


async def _history(
    ticket: Parent[TicketRow],
    info: Info,
    types: list[str] | None = UNSET,
    after_position: Position | None = UNSET,
    first: int | None = UNSET,
    after: str | None = UNSET,
    last: int | None = UNSET,
    before: str | None = UNSET,
) -> ConnectionRow[EventRow]:
    """Every event of the ticket, oldest first."""
    loaders, asked = info.context.loaders, given(types)
    wanted = (ticket.id, None if asked is None else tuple(asked), given(after_position))
    page = await loaders.history.load((*wanted, page_ask(first, after, last, before), ticket.moment))
    return ConnectionRow(page, lambda: loaders.history_counts.load((*wanted, ticket.moment)))


async def _spans(
    ticket: Parent[TicketRow], info: Info, first: int | None = UNSET, after: str | None = UNSET
) -> ConnectionRow[SpanRow]:
    """Stretches of unchanged board state, oldest first."""
    loaders, id_, moment = info.context.loaders, ticket.id, ticket.moment
    page = await loaders.spans.load((id_, page_ask(first, after), moment))
    return ConnectionRow(page, lambda: loaders.span_counts.load((id_, moment)))


def _merged_into(ticket: Parent[TicketRow], info: Info) -> Any:
    """The ticket that it is a part of since it was merged."""
    loaders, moment = info.context.loaders, ticket.moment

    def other(into: UUID | None) -> Any:
        return None if into is None else found(loaders.tickets, (into, moment))

    return then(found(loaders.merged_into, (ticket.id, moment)), other)


# ---- what the viewer may do


def _viewer_can(ticket: Parent[TicketRow], info: Info) -> Any:
    """Commands that the viewer may give to it now, by mutation name. None to a ticket of the past."""
    if not ticket.moment.live:
        return []
    merged = found(info.context.loaders.merged_into, (ticket.id, ticket.moment))
    return then(merged, lambda into: _can(_state(ticket, None, into), info))


def _can(state: domain.Ticket, info: Info) -> list[str]:
    return [
        _mutation_name(command)
        for command in _COMMANDS
        if access.may(info.context.actor, command, state) and domain.possible(state, command)
    ]


class _TransitionRow(NamedTuple):
    status: StatusRow
    requires: tuple[str, ...]


def _transitions(ticket: Parent[TicketRow], info: Info) -> Any:
    """Statuses that the viewer may move it to now, with what each still requires."""
    if not ticket.moment.live:
        return []
    merged = found(info.context.loaders.merged_into, (ticket.id, ticket.moment))

    def ways(into: UUID | None) -> Any:
        return _of_details(ticket, info, lambda details: _ways(_state(ticket, details, into), info))

    return then(merged, ways)


def _ways(state: domain.Ticket, info: Info) -> list[_TransitionRow]:
    if not access.may(info.context.actor, domain.TransitionTicket, state):
        return []
    known = info.context.workflows
    workflow, _ = domain.judging(state, known)
    return [
        _TransitionRow(status_row(workflow, status.key), requires)
        for status, requires in domain.available_transitions(state, known)
    ]


_COMMANDS: tuple[type[domain.CommandToTicket | domain.OffshootCommand], ...] = (
    *domain.CommandToTicket.__args__,
    *domain.OffshootCommand.__args__,
)


def _mutation_name(command: type[domain.CommandToTicket | domain.OffshootCommand]) -> str:
    return command.__name__[0].lower() + command.__name__[1:]


def _state(ticket: TicketRow, details: TicketDetails | None, merged_into: UUID | None) -> domain.Ticket:
    """As far as rights and workflows look at it."""
    return domain.Ticket(
        number=ticket.number,
        version=details.version if details else 1,
        external_key=ticket.external_key,
        title=ticket.title,
        description=details.description if details else None,
        role=ticket.role,
        workflow=ticket.workflow,
        workflow_version=ticket.workflow_version,
        status=ticket.status,
        category=ticket.category,
        status_since=ticket.status_since,
        priority=ticket.priority,
        channel=ticket.channel,
        requester=ticket.requester,
        assignee=ticket.assignee,
        team=ticket.team,
        service=ticket.service,
        parent=ticket.parent,
        tags=tuple(ticket.tags),
        fields=ticket.fields,
        start_at=ticket.start_at,
        due_at=ticket.due_at,
        opened_at=ticket.opened_at,
        closed_at=ticket.closed_at,
        last_at=ticket.status_since,
        merged=None if merged_into is None else _merge(ticket, merged_into),
    )


def _merge(ticket: TicketRow, into: UUID) -> domain.Merge:
    return domain.Merge(
        into=into,
        number=0,
        moved=(),
        added=(),
        watchers=(),
        workflow_version=ticket.workflow_version,
        status=ticket.status,
        category=ticket.category,
    )


# ---- the type


@strawberry.type
class Ticket(Node):
    id: ID = by(_id, reads=("id",))
    key: str = strawberry.field(description="T-1042: unique in the workspace, for ever.")
    external_key: str | None = strawberry.field(description="Its key in the system that it was imported from.")
    url: str = by(ticket_url, reads=("number",))
    title: str
    description: str | None = by(_description, reads=("id", "number", "moment"))
    role: Role = by(_role, reads=("role",))
    workflow: Workflow = by(_workflow, reads=("workflow", "workflow_version"))
    status: Status = by(_status, reads=("workflow", "workflow_version", "status"))
    status_since: datetime
    rank: str = strawberry.field(description="Order within a board cell.")
    assignee: Person | None = by(_assignee, reads=("assignee",))
    contributors: list[Person] = by(_contributors, reads=("contributors",))
    team: Team | None = by(_team, reads=("team",))
    requester: Person | None = by(_requester, reads=("requester",))
    opened_by: Person = by(_opened_by, reads=("id", "number", "moment"))
    service: Service | None = by(_service, reads=("service",))
    channel: str
    priority: Priority
    tags: list[str]
    fields: JSON = by(_fields, reads=("fields",))
    start_at: datetime | None
    due_at: datetime | None
    opened_at: datetime
    closed_at: datetime | None
    updated_at: datetime = by(_updated_at, reads=("id", "number", "moment"))
    parent: "Ticket | None" = by(_parent, reads=("parent", "moment"))
    children: Connection["Ticket"] = by(_children)
    child_count: int = by(_child_count, reads=("id", "moment"))
    child_done_count: int = by(_child_done_count, reads=("id", "moment"))
    links: Connection[Link] = by(_links)
    merged_into: "Ticket | None" = by(_merged_into, reads=("id", "moment"))
    hand_overs: Connection[HandOver] = by(_hand_overs)
    ratings: Connection[Rating] = by(_ratings)
    watchers: Connection[Person] = by(_watchers)
    comments: Connection[Comment] = by(_comments)
    comment_count: int = by(_comment_count, reads=("id", "number", "moment"))
    attachments: Connection[Attachment] = by(_attachments)
    work_entries: Connection[WorkEntry] = by(_work_entries)
    contract: Contract | None = by(_contract, reads=("id",))
    estimates: list[Estimate] = by(_estimates)
    documents: Connection[BillingDocument] = by(_documents)
    worked_seconds: int = by(_worked_seconds, reads=("id", "moment"))
    changes: Connection[TicketChange] = by(ticket_changes)
    version: int = by(_version, reads=("id", "number", "moment"))
    position: Position = by(_position, reads=("id", "number", "moment"))
    stale: bool = by(_stale, reads=("id",))
    sensitive: bool = by(_sensitive, reads=("id", "moment"))
    transitions: list[Transition] = by(_transitions)
    viewer_can: list[str] = by(_viewer_can)
    history: Connection[Event] = by(_history)
    spans: Connection[Span] = by(_spans)

    @classmethod
    def is_type_of(cls, row: object, _: object) -> bool:
        return isinstance(row, TicketRow)


def _attributes() -> dict[str, frozenset[str]]:
    """By the name of a field of tickets: which attributes of the row show it. A field that may look at any is left
    out."""
    definition: Any = get_object_definition(Ticket, strict=True)
    found: dict[str, frozenset[str]] = {"__typename": frozenset()}
    for field in definition.fields:
        reads = (field.python_name,) if field.base_resolver is None else field.metadata.get(READS)
        if reads is not None:
            found[to_camel_case(field.python_name)] = frozenset(reads)
    return found


_ATTRIBUTES = _attributes()


def attributes(info: Info) -> frozenset[str] | None:
    """Of the row, that the operation asks of tickets; None for all."""
    names = selected(info, "Ticket")
    if not names <= _ATTRIBUTES.keys():
        return None
    return frozenset[str]().union(*(_ATTRIBUTES[name] for name in names))


async def list_tickets(
    info: Info,
    wanted: filters.TicketFilter | None,
    query: str | None,
    order: Sequence[filters.TicketOrder],
    ask: filters.PageAsk,
    moment: Moment,
) -> ConnectionRow[TicketRow]:
    view = info.context.view
    found = search.condition(view, query, moment)
    page = await tickets.tickets(view, wanted, found, order, ask, moment, attributes(info))
    await prefetch(info, page.nodes)
    return ConnectionRow(page, lambda: tickets.count(view, wanted, found, moment))
