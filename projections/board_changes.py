"""Changes of a board: which of its tickets changed, and which left it."""

from collections.abc import AsyncGenerator, Callable, Sequence
from uuid import UUID

import msgspec
from psycopg import sql

from domain.access import Actor
from projections import directory
from projections.board import BoardAsk, on_board
from projections.live import READ_LIMIT, News, Told, Topic
from projections.reading import NOW, Moment, View
from projections.rows import BoardChangeRow, TicketRow
from projections.tickets import SELECTED, Matching, ticket_row

TICKETS_LIMIT = 100
"""Tickets that one change tells of."""


class BoardChanges(msgspec.Struct, frozen=True):
    """What changed on a board. A ticket that leaves a board because it was closed long ago is not told of: nothing
    happens to it."""

    ask: BoardAsk

    async def check(self, view: View) -> None:
        """Refuses what cannot be answered. Raises BadInput, ReadModelsUnavailable."""
        await _standing_at(view, self.ask, 0)

    def topic(self, actor: Actor) -> Topic:
        return actor.workspace, None

    def wanted(self, actor: Actor) -> Callable[[News], bool]:
        if actor.reads_all:
            return lambda news: news.event.ticket is not None
        viewer = actor.person
        return lambda news: news.event.ticket is not None and not news.internal and viewer in news.requesters

    async def recorded(self, view: View, after: int, until: int) -> AsyncGenerator[Told]:
        while after < until:
            view.stands_at(None)
            touched = await _touched(view, after, until)
            async for told in _told(view, self.ask, touched, after):
                yield told
            after = touched[-1][0] if len(touched) == READ_LIMIT else until

    async def heard(self, view: View, heard: Sequence[News], after: int) -> AsyncGenerator[Told]:
        view.stands_at(heard[-1].workflows_at, sensitive=heard[-1].sensitive)
        async for told in _told(view, self.ask, [(news.event.position, news.event.ticket) for news in heard], after):
            yield told


async def _told(
    view: View, ask: BoardAsk, touched: Sequence[tuple[int, UUID | None]], after: int
) -> AsyncGenerator[Told]:
    for until, tickets in _portions(touched):
        if change := await _change(view, ask, tickets, after, until):
            yield Told(until, change)
        after = until


def _portions(touched: Sequence[tuple[int, UUID | None]]) -> list[tuple[int, list[UUID]]]:
    """Of at most TICKETS_LIMIT tickets each, and the position up to which these are all that were touched."""
    portions: list[tuple[int, list[UUID]]] = []
    tickets: dict[UUID, None] = {}
    for n, (position, ticket) in enumerate(touched, start=1):
        assert ticket is not None
        tickets[ticket] = None
        if len(tickets) == TICKETS_LIMIT or n == len(touched):
            portions.append((position, list(tickets)))
            tickets = {}
    return portions


async def _touched(view: View, after: int, until: int) -> list[tuple[int, UUID]]:
    """The next events of tickets that the viewer may see, or might see at `after`: position and ticket."""
    mine = sql.SQL(
        "not x.internal and x.ticket in (select s.ticket from span s where s.workspace = %(workspace)s"
        " and s.requester = %(viewer)s and (s.closed_position is null or s.closed_position > %(after)s))"
    )
    rows = await view.fetch(
        sql.SQL(
            "select x.position, x.ticket from timeline x where x.workspace = %(workspace)s and x.ticket is not null"
            " and x.position > %(after)s and x.position <= %(until)s and {} order by x.position limit %(limit)s"
        ).format(sql.SQL("true") if view.actor.reads_all else mine),
        {"after": after, "until": until, "limit": READ_LIMIT},
    )
    return [(position, ticket) for position, ticket in rows]


async def _change(view: View, ask: BoardAsk, tickets: list[UUID], after: int, until: int) -> BoardChangeRow | None:
    """`changed` as they are now; `gone`: those that stood on the viewer's board at `after`, and do no more. None where
    these tickets are no matter of this board."""
    now = await on_board(view, ask, NOW, await directory.workflows(view))
    found = await view.fetch(
        sql.SQL("select {} {} and s.ticket = any(%(tickets)s)").format(SELECTED, now.source()),
        {**now.arguments, "tickets": tickets},
    )
    changed: dict[UUID, TicketRow] = {row.id: row for row in (ticket_row(values, NOW) for values in found)}
    others = [ticket for ticket in tickets if ticket not in changed]
    gone: list[UUID] = []
    if others:
        before = await _standing_at(view, ask, after)
        rows = await view.fetch(
            sql.SQL("select s.ticket {} and s.ticket = any(%(tickets)s)").format(before.source()),
            {**before.arguments, "tickets": others},
        )
        gone = [ticket for (ticket,) in rows]
    return BoardChangeRow(position=until, changed=list(changed.values()), gone=gone) if changed or gone else None


async def _standing_at(view: View, ask: BoardAsk, position: int) -> Matching:
    """What stood on the viewer's board then: of whose requester one was, one may hear that they are gone."""
    own = sql.SQL("true" if view.actor.reads_all else "s.requester = %(viewer)s")
    return await on_board(view, ask, Moment(position=position), await directory.workflows(view), own)
