"""Events: one shape for every type of event and every kind of stream."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import msgspec
import strawberry
from strawberry import ID, UNSET, Parent
from strawberry.scalars import JSON

from api.audit import EventProof
from api.field_values import value_outward
from api.fields import Info, Node, by, given, is_list, once_passed
from api.filters import TimeFilter, asked
from api.ids import PATHS, Kind, decode_given, encode, encode_event
from api.paging import Connection, ConnectionRow, page_ask
from api.people import Person, person
from api.proofs import ProvenRow
from api.scalars import Position
from domain.workflows import Workflows
from projections import filters, timeline
from projections.filters import EventFilter
from projections.rows import ChangeRow, EventRow, TicketRow

if TYPE_CHECKING:
    from api.ticket_fields import Ticket


def _from(change: Parent[ChangeRow], info: Info) -> Any:
    return with_opaque_ids(info.context.workflows, change.path, change.from_)


def _to(change: Parent[ChangeRow], info: Info) -> Any:
    return with_opaque_ids(info.context.workflows, change.path, change.to)


def with_opaque_ids(known: Workflows, path: str, value: Any) -> Any:
    """The value of a change, as the API shows it."""
    if path.startswith("fields."):
        return value_outward(known, path.removeprefix("fields."), value)
    kind = Kind.TICKET if path.startswith("links.") else PATHS.get(path)
    if kind is None or value is None:
        return value
    return [encode(kind, UUID(one)) for one in value] if is_list(value) else encode(kind, UUID(value))


@strawberry.type
class Change:
    path: str
    from_: JSON | None = by(_from, name="from")
    to: JSON | None = by(_to)


def _id(event: Parent[EventRow]) -> ID:
    return encode_event(event.position)


async def _ticket(event: Parent[EventRow], info: Info) -> TicketRow | None:
    return None if event.ticket is None else await info.context.loaders.tickets.load((event.ticket, event.moment))


def _actor(event: Parent[EventRow], info: Info) -> Any:
    return person(info, event.actor)


def _on_behalf_of(event: Parent[EventRow], info: Info) -> Any:
    return person(info, event.on_behalf_of)


async def _leaf_index(event: Parent[EventRow], info: Info) -> Position | None:
    """Its place in the workspace's log of proofs. Null until it has one, and for requesters."""
    leaf = await info.context.loaders.leaves.load(event.position)
    return None if leaf is None else Position(leaf.index)


async def _leaf_hash(event: Parent[EventRow], info: Info) -> str | None:
    """SHA-256 of its leaf as RFC 6962 hashes it, in hexadecimal."""
    leaf = await info.context.loaders.leaves.load(event.position)
    return None if leaf is None else leaf.hash.hex()


async def _proof(event: Parent[EventRow], info: Info) -> ProvenRow | None:
    """Null until a checkpoint holds it, and for requesters."""
    return await info.context.loaders.proofs.load(event.position)


@strawberry.type(description="One recorded fact, the same shape for every type of event and every kind of stream.")
class Event(Node):
    id: ID = by(_id)
    position: Position
    version: int
    type: str = strawberry.field(description="RoleChanged, TicketAssigned, StatusChanged, …: the stable stored name.")
    ticket: Annotated["Ticket", strawberry.lazy("api.ticket_fields")] | None = by(_ticket)
    occurred_at: datetime
    recorded_at: datetime
    actor: Person | None = by(_actor)
    on_behalf_of: Person | None = by(_on_behalf_of)
    channel: str
    source: str | None = strawberry.field(
        description="Delivery id, import file and line; token and address, for auditors and administrators."
    )
    reason: str | None
    command_id: ID
    correlation_id: ID
    causation_id: ID | None
    changes: list[Change]
    data: JSON = strawberry.field(description="As it was recorded.")
    leaf_index: Position | None = by(_leaf_index)
    leaf_hash: str | None = by(_leaf_hash)
    proof: EventProof | None = by(_proof)

    @classmethod
    def is_type_of(cls, row: object, _: object) -> bool:
        return isinstance(row, EventRow)


async def _events(
    info: Info,
    after_position: Position | None = UNSET,
    types: list[str] | None = UNSET,
    ticket: ID | None = UNSET,
    actor: ID | None = UNSET,
    occurred_at: TimeFilter | None = UNSET,
    first: int | None = UNSET,
    after: str | None = UNSET,
    last: int | None = UNSET,
    before: str | None = UNSET,
    min_position: Position | None = UNSET,
) -> ConnectionRow[EventRow]:
    """The log of the workspace, oldest first."""
    await once_passed(info, min_position, "timeline")
    view = info.context.view
    wanted = EventFilter(
        after_position=given(after_position),
        types=given(types),
        ticket=decode_given(given(ticket), Kind.TICKET),
        actor=decode_given(given(actor), Kind.PERSON),
        occurred_at=asked(occurred_at, filters.TimeFilter) or msgspec.UNSET,
    )
    page = await timeline.events(view, wanted, page_ask(first, after, last, before))
    return ConnectionRow(page, lambda: timeline.event_count(view, wanted))


@strawberry.type
class EventQueries:
    events: Connection[Event] = by(_events)
