"""Who decided what, when, from which channel and why."""

from datetime import datetime

import strawberry
from strawberry import ID, UNSET

from api.events import Event
from api.fields import Info, by, given, once_passed
from api.ids import Kind, decode_given
from api.paging import Connection, ConnectionRow, page_ask
from api.scalars import Position
from projections import decisions, filters
from projections.filters import DecisionKind
from projections.rows import EventRow

strawberry.enum(DecisionKind)


@strawberry.input(description="All that is named must hold.")
class DecisionFilter:
    actor: ID | None = strawberry.field(default=UNSET, description="Who decided, or in whose name.")
    kind: list[DecisionKind] | None = UNSET
    channel: str | None = UNSET
    from_: datetime | None = strawberry.field(name="from", default=UNSET)
    to: datetime | None = strawberry.field(default=UNSET, description="Before it.")


async def _decisions(
    info: Info,
    filter: DecisionFilter | None = UNSET,
    first: int | None = UNSET,
    after: str | None = UNSET,
    last: int | None = UNSET,
    before: str | None = UNSET,
    min_position: Position | None = UNSET,
) -> ConnectionRow[EventRow]:
    """Changes of role, priority and due date, closings and reopenings of tickets, oldest first."""
    await once_passed(info, min_position, "timeline")
    asked = given(filter) or DecisionFilter()
    kinds = given(asked.kind)
    wanted = filters.DecisionFilter(
        actor=decode_given(given(asked.actor), Kind.PERSON),
        kinds=None if kinds is None else tuple(kinds),
        channel=given(asked.channel),
        since=given(asked.from_),
        until=given(asked.to),
    )
    view = info.context.view
    page = await decisions.decisions(view, wanted, page_ask(first, after, last, before))
    return ConnectionRow(page, lambda: decisions.decision_count(view, wanted))


@strawberry.type
class DecisionQueries:
    decisions: Connection[Event] = by(_decisions)
