"""Changes beside the tickets that they were made for: links that hold, as of any moment."""

from collections.abc import Sequence
from typing import Any, LiteralString
from uuid import UUID

from psycopg import sql

from domain.traceability.findings import LinkSource
from domain.traceability.repositories import ChangeKind
from domain.traceability.requests import RequestState
from projections import moments
from projections.filters import PageAsk
from projections.moments import HAPPENED, HELD
from projections.reading import Listing, Moment, Page, View, counts_of, pages_of
from projections.rows import CodeChangeRow, TicketChangeRow


async def changes_of(
    view: View, tickets: Sequence[UUID], least: int, ask: PageAsk, moment: Moment
) -> dict[UUID, Page[TicketChangeRow]]:
    """Of each of these tickets, oldest first, those linked with `least` percent of confidence or more; a requester sees
    none. Raises BadInput."""
    return await pages_of(view, tickets, _changes(view, least, moment), ask)


async def change_counts(view: View, tickets: Sequence[UUID], least: int, moment: Moment) -> dict[UUID, int]:
    return await counts_of(view, tickets, _changes(view, least, moment))


NOT_REJECTED: LiteralString = "bool_and(l.verdict is distinct from 'REJECTED')"
"""Of all links `l` between one change and one ticket: what a person rejected is none, whatever was found."""

EFFECTIVE: LiteralString = (
    """
select l.repository, l.kind, l.change, l.ticket, max(l.confidence) as confidence, min(l.linked_at) as linked_at,
       (array_agg(l.source order by l.confidence desc, l.position))[1] as source,
       (array_agg(l.evidence order by l.confidence desc, l.position))[1] as evidence
  from change_link l
"""
    " where l.workspace = %(workspace)s and {which} and "
    + HELD.format("l")
    + " group by l.repository, l.kind, l.change, l.ticket having "
    + NOT_REJECTED
)
"""Links that hold, the strongest evidence of each."""

DETAILS = """
  left join code_commit c on e.kind = 'COMMIT' and c.repository = e.repository and c.sha = e.change
  left join lateral (
    select m.title, m.opened_at, m.state from merge_request m
     where m.repository = e.repository and m.number = case e.kind when 'REQUEST' then e.change::integer end offset 0
  ) q on true
"""
"""Of a change that a row `e` names."""

CHANGE_COLUMNS = "e.repository, e.kind, e.change, coalesce(c.subject, q.title), c.author, {at}, q.state"
CHANGE_WIDTH = 7


def code_change(row: Sequence[Any]) -> CodeChangeRow:
    """Of CHANGE_COLUMNS."""
    return CodeChangeRow(
        repository=row[0],
        kind=ChangeKind(row[1]),
        name=row[2],
        title=row[3],
        author=row[4],
        at=row[5],
        state=None if row[6] is None else RequestState(row[6]),
    )


_AT = "coalesce(c.committed_at, q.opened_at, e.linked_at)"


def _changes(view: View, least: int, moment: Moment) -> Listing[TicketChangeRow]:
    readable = "true" if view.actor.reads_all else "false"
    return Listing(
        columns=sql.SQL(CHANGE_COLUMNS.format(at=_AT) + ", e.source, e.confidence, e.evidence, e.linked_at"),
        source=sql.SQL(
            f"from ({EFFECTIVE.format(which='l.ticket = parent.id')}) e {DETAILS} where {readable}"
            f" and e.confidence >= %(least)s and {HAPPENED.format(_AT)}"
        ),
        keys=((_AT, "timestamptz"), ("e.repository", "uuid"), ("e.kind", "text"), ("e.change", "text")),
        row=_ticket_change,
        arguments={"least": least, **moments.arguments(moment)},
    )


def _ticket_change(row: Sequence[Any]) -> TicketChangeRow:
    source, confidence, evidence, linked_at = row[CHANGE_WIDTH:]
    return TicketChangeRow(
        change=code_change(row),
        source=LinkSource(source),
        confidence=confidence,
        evidence=evidence,
        linked_at=linked_at,
    )
