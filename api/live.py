"""Live updates: subscriptions to a ticket, to a board, and to the log."""

from collections.abc import AsyncGenerator
from typing import Any

import strawberry
from strawberry import ID, UNSET, Parent

from api.billing import Balance
from api.contracts import no_such_contract
from api.errors import NOT_FOUND, Failure
from api.events import Event
from api.fields import Info, by, given
from api.filters import TicketFilter, asked
from api.ids import Kind, decode, encode
from api.live_answers import Wanted
from api.people import must_read_all
from api.prefetch import prefetch
from api.scalars import Position
from api.ticket_fields import Ticket
from api.work import Timer
from projections import contracts, filters, live, tickets
from projections.balance_changes import BalanceChanges
from projections.board import BoardAsk
from projections.board_changes import BoardChanges
from projections.filters import EventFilter
from projections.reading import NOW
from projections.rows import BoardChangeRow, TicketRow
from projections.timer_changes import TimerChanges


async def _changed(change: Parent[BoardChangeRow], info: Info) -> list[TicketRow]:
    """As they are now. New ones too."""
    await prefetch(info, change.changed)
    return change.changed


def _gone(change: Parent[BoardChangeRow]) -> list[ID]:
    return [encode(Kind.TICKET, id_) for id_ in change.gone]


@strawberry.type(description="Put the changed ones in place of what you have, take away the gone.")
class BoardChange:
    position: Position = strawberry.field(description="Up to which this tells all: where to resume after.")
    changed: list[Ticket] = by(_changed)
    gone: list[ID] = by(_gone, description="No longer on this board, or no longer yours to see.")


async def _once(source: live.Source, after: int | None) -> AsyncGenerator[Wanted]:
    yield Wanted(source, after)


async def _ticket_changed(info: Info, ticket: ID, after_position: Position | None = UNSET) -> AsyncGenerator[Wanted]:
    """Every event of a ticket, for as long as you may see it."""
    id_ = decode(ticket, Kind.TICKET)
    if await tickets.ticket(info.context.view, id=id_, key=None, moment=NOW) is None:
        raise Failure(NOT_FOUND, "There is no such ticket, or none that you may see.")
    return _once(live.Events(EventFilter(ticket=id_)), given(after_position))


async def _board_changed(
    info: Info,
    workflow: str | None = UNSET,
    filter: TicketFilter | None = UNSET,
    after_position: Position | None = UNSET,
) -> AsyncGenerator[Wanted]:
    """Which tickets of a board changed or left it. Ask for the board, then subscribe with its position."""
    changes = BoardChanges(BoardAsk(workflow=given(workflow), filter=asked(filter, filters.TicketFilter)))
    await changes.check(info.context.view)
    return _once(changes, given(after_position))


async def _events(after_position: Position | None = UNSET, types: list[str] | None = UNSET) -> AsyncGenerator[Wanted]:
    """Every event that you may see, in order. With `afterPosition` from there on: nothing is missed or doubled."""
    return _once(live.Events(EventFilter(types=given(types))), given(after_position))


async def _timer_changed(info: Info, after_position: Position | None = UNSET) -> AsyncGenerator[Wanted]:
    """Your timer, whenever it was started or stopped, anywhere; null while none runs."""
    must_read_all(info)
    return _once(TimerChanges(), given(after_position))


@strawberry.type
class BalanceChange:
    position: Position = strawberry.field(description="Up to which this tells all: where to resume after.")
    balance: Balance


async def _balance_changed(info: Info, contract: ID, after_position: Position | None = UNSET) -> AsyncGenerator[Wanted]:
    """A contract's balance, whenever work, terms or hours have changed it. Its client's contacts hear of it too."""
    id_ = decode(contract, Kind.CONTRACT)
    if not await contracts.contracts_by_ids(info.context.view, [id_]):
        raise no_such_contract()
    return _once(BalanceChanges(id_), given(after_position))


def _stream(resolver: Any) -> Any:
    return strawberry.subscription(resolver=resolver, description=resolver.__doc__)


@strawberry.type
class Subscription:
    ticket_changed: AsyncGenerator[Event] = _stream(_ticket_changed)
    board_changed: AsyncGenerator[BoardChange] = _stream(_board_changed)
    timer_changed: AsyncGenerator[Timer | None] = _stream(_timer_changed)
    balance_changed: AsyncGenerator[BalanceChange] = _stream(_balance_changed)
    events: AsyncGenerator[Event] = _stream(_events)
