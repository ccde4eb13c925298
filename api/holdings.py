"""Who held which ticket, from when to when, and who handed it over."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry import ID, UNSET, Parent

from api.events import Event
from api.fields import Info, by, given, once_passed
from api.ids import Kind, decode
from api.paging import Connection, ConnectionRow, page_ask
from api.people import Person, person
from api.scalars import Position
from projections import holdings
from projections.reading import NOW, ReadModelBehind
from projections.registry import TICKET_READ_MODELS
from projections.rows import EventRow, HoldingRow, TicketRow

if TYPE_CHECKING:
    from api.ticket_fields import Ticket


async def _ticket(row: Parent[HoldingRow], info: Info) -> TicketRow:
    found = await info.context.loaders.tickets.load((row.ticket, NOW))
    if found is None:
        raise ReadModelBehind("The ticket is not readable.")
    return found


def _person(row: Parent[HoldingRow], info: Info) -> Any:
    return person(info, row.person)


async def _received(row: Parent[HoldingRow], info: Info) -> EventRow:
    """The event by which they got it; its actor handed it over."""
    event = await info.context.loaders.events.load((row.opened_position, NOW))
    if event is None:
        raise ReadModelBehind("The timeline is behind.")
    return event


async def _handed_on(row: Parent[HoldingRow], info: Info) -> EventRow | None:
    """The event by which they held it no more; null while they do."""
    if row.closed_position is None:
        return None
    return await info.context.loaders.events.load((row.closed_position, NOW))


@strawberry.type(
    description="A stretch in which somebody was the assignee. Half-open: from <= t < to; `to` is null while it lasts."
)
class Holding:
    ticket: Annotated["Ticket", strawberry.lazy("api.ticket_fields")] = by(_ticket)
    person: Person = by(_person)
    from_: datetime = strawberry.field(name="from")
    to: datetime | None
    seconds: int = strawberry.field(description="To now while it lasts; at most 2,147,483,647 (68 years).")
    received: Event = by(_received)
    handed_on: Event | None = by(_handed_on)


async def _holder(info: Info, ticket: ID, at: datetime, min_position: Position | None = UNSET) -> HoldingRow | None:
    """Who held a ticket at an instant of its own time, as known now. Null where nobody did."""
    await once_passed(info, min_position, *TICKET_READ_MODELS)
    return await holdings.holder(info.context.view, decode(ticket, Kind.TICKET), at)


async def _holdings(
    info: Info,
    person: ID,
    from_: Annotated[datetime, strawberry.argument(name="from")],
    to: datetime | None = UNSET,
    first: int | None = UNSET,
    after: str | None = UNSET,
    last: int | None = UNSET,
    before: str | None = UNSET,
    min_position: Position | None = UNSET,
) -> ConnectionRow[HoldingRow]:
    """What somebody held at any time from `from` to before `to` (now, where it is absent), in the order in which they
    got it."""
    await once_passed(info, min_position, *TICKET_READ_MODELS)
    view, who, until = info.context.view, decode(person, Kind.PERSON), given(to) or datetime.now(UTC)
    page = await holdings.holdings(view, who, from_, until, page_ask(first, after, last, before))
    return ConnectionRow(page, lambda: holdings.holding_count(view, who, from_, until))


@strawberry.type
class HoldingQueries:
    holder: Holding | None = by(_holder)
    holdings: Connection[Holding] = by(_holdings)
