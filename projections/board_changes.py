"""Changes of a board: which of its tickets changed, and which left it."""

from collections.abc import AsyncGenerator, Sequence
from uuid import UUID

from psycopg import sql

from projections import directory
from projections.board import BoardAsk, on_board
from projections.live import READ_LIMIT, Feed, News
from projections.reading import NOW, Moment, View
from projections.rows import BoardChangeRow, TicketRow
from projections.tickets import SELECTED, Matching, ticket_row

TICKETS_LIMIT = 100
"""Tickets that one change tells of."""


async def board_changes(
    feed: Feed, view: View, ask: BoardAsk, after: int | None = None
) -> AsyncGenerator[BoardChangeRow]:
    """What changed on a board, from `after` on, or from now; what happened meanwhile is told at once. A ticket that
    leaves a board because it was closed long ago is not told of: nothing happens to it.

    Raises BadInput, Closed, ReadModelsUnavailable."""
    reads_all, viewer = view.actor.reads_all, view.actor.person

    def of_interest(news: News) -> bool:
        return news.event.ticket is not None and (reads_all or (not news.internal and viewer in news.requesters))

    async with feed.subscribed((view.actor.workspace, None), of_interest) as subscriber:
        begun = subscriber.begin()
        at = begun if after is None else after
        await _standing_at(view, ask, at)  # what cannot be answered is refused now
        while True:
            view.workflows_at = None
            while at < begun:
                touched = await _touched(view, at, begun)
                for until, tickets in _portions(touched):
                    if change := await _change(view, ask, tickets, at, until):
                        yield change
                    at = until
                if len(touched) < READ_LIMIT:
                    at = begun
            while heard := [news for news in await subscriber.heard() if news.event.position > at]:
                view.workflows_at = heard[-1].workflows_at
                for until, tickets in _portions([(news.event.position, news.event.ticket) for news in heard]):
                    if change := await _change(view, ask, tickets, at, until):
                        yield change
                    at = until
            begun = subscriber.begin()


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
