"""Live updates: subscriptions to a ticket, to a board, and to the log."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, TypeVar

import strawberry
from strawberry import ID, UNSET, Parent

from api.errors import NOT_FOUND, Failure
from api.events import Event
from api.fields import Info, by, given
from api.filters import TicketFilter, asked
from api.ids import Kind, decode, encode
from api.people import must_read_all
from api.prefetch import prefetch
from api.scalars import Position
from api.ticket_fields import Ticket
from api.work import Timer
from domain.work import TimerDiscarded, TimerStarted, TimerStopped, timer_stream
from projections import directory, filters, live, tickets, work
from projections.board import BoardAsk
from projections.board_changes import board_changes
from projections.filters import EventFilter
from projections.reading import NOW
from projections.rows import BoardChangeRow, EventRow, TimerRow

T = TypeVar("T")


def _gone(change: Parent[BoardChangeRow]) -> list[ID]:
    return [encode(Kind.TICKET, id_) for id_ in change.gone]


@strawberry.type(description="Put the changed ones in place of what you have, take away the gone.")
class BoardChange:
    position: Position = strawberry.field(description="Up to which this tells all: where to resume after.")
    changed: list[Ticket] = strawberry.field(description="As they are now. New ones too.")
    gone: list[ID] = by(_gone, description="No longer on this board, or no longer yours to see.")


async def _current(info: Info, rows: AsyncGenerator[T]) -> AsyncGenerator[T]:
    """Each row is shown by what is true when it comes: nothing that was loaded for the one before is used again."""
    context = info.context
    async with aclosing(rows):
        async for row in rows:
            context.workflows = await directory.workflows(context.view)
            context.forget()
            if isinstance(row, BoardChangeRow):
                await prefetch(info, row.changed)
            yield row


async def _ticket_changed(info: Info, ticket: ID, after_position: Position | None = UNSET) -> AsyncGenerator[EventRow]:
    """Every event of a ticket, for as long as you may see it."""
    view, id_ = info.context.view, decode(ticket, Kind.TICKET)
    if await tickets.ticket(view, id=id_, key=None, moment=NOW) is None:
        raise Failure(NOT_FOUND, "There is no such ticket, or none that you may see.")
    wanted = EventFilter(ticket=id_)
    return _current(info, live.events(info.context.runtime.feed, view, wanted, given(after_position)))


async def _board_changed(
    info: Info,
    workflow: str | None = UNSET,
    filter: TicketFilter | None = UNSET,
    after_position: Position | None = UNSET,
) -> AsyncGenerator[BoardChangeRow]:
    """Which tickets of a board changed or left it. Ask for the board, then subscribe with its position."""
    ask = BoardAsk(workflow=given(workflow), filter=asked(filter, filters.TicketFilter))
    feed, view = info.context.runtime.feed, info.context.view
    return _current(info, board_changes(feed, view, ask, given(after_position)))


async def _events(
    info: Info, after_position: Position | None = UNSET, types: list[str] | None = UNSET
) -> AsyncGenerator[EventRow]:
    """Every event that you may see, in order. With `afterPosition` from there on: nothing is missed or doubled."""
    wanted = EventFilter(types=given(types))
    return _current(info, live.events(info.context.runtime.feed, info.context.view, wanted, given(after_position)))


_OF_TIMERS = [kind.__name__ for kind in (TimerStarted, TimerStopped, TimerDiscarded)]


async def _timer_changed(info: Info, after_position: Position | None = UNSET) -> AsyncGenerator[TimerRow | None]:
    """Your timer, whenever it was started or stopped, anywhere; null while none runs."""
    must_read_all(info)
    view, feed = info.context.view, info.context.runtime.feed
    mine = timer_stream(view.actor.workspace, view.actor.person)
    heard = live.events(feed, view, EventFilter(types=_OF_TIMERS), given(after_position))

    async def changes() -> AsyncGenerator[TimerRow | None]:
        async with aclosing(heard):
            async for event in heard:
                if event.stream == mine:
                    yield await work.timer(view, view.actor.person)

    return _current(info, changes())


def _stream(resolver: Any) -> Any:
    return strawberry.subscription(resolver=resolver, description=resolver.__doc__)


@strawberry.type
class Subscription:
    ticket_changed: AsyncGenerator[Event] = _stream(_ticket_changed)
    board_changed: AsyncGenerator[BoardChange] = _stream(_board_changed)
    timer_changed: AsyncGenerator[Timer | None] = _stream(_timer_changed)
    events: AsyncGenerator[Event] = _stream(_events)
