"""Decisions: the events of tickets by which somebody decided something, found in the timeline by what they changed."""

from typing import Any, LiteralString

from psycopg import sql

from projections import conditions, timeline
from projections.filters import DecisionFilter, DecisionKind, PageAsk
from projections.reading import Page, View
from projections.rows import EventRow

# Opening a ticket sets all of it, and decides nothing of it.
_KINDS: dict[DecisionKind, LiteralString] = {
    DecisionKind.ROLE_CHANGE: "x.type = 'RoleChanged'",
    DecisionKind.CLOSING: """x.changes @? '$[*] ? (@.path == "closedAt" && @.to != null)'""",
    DecisionKind.REOPENING: """x.changes @? '$[*] ? (@.path == "closedAt" && @.to == null)'""",
    DecisionKind.PRIORITY_CHANGE: "x.type = 'PriorityChanged'",
    DecisionKind.DUE_CHANGE: """x.changes @? '$[*] ? (@.path == "dueAt")'""",
}
_DECIDING = sql.SQL("x.ticket is not null and x.version > 1")


async def decisions(view: View, filter: DecisionFilter, ask: PageAsk) -> Page[EventRow]:
    """In the order in which they were recorded. Raises BadInput."""
    return await timeline.found(view, *_wanted(filter), ask)


async def decision_count(view: View, filter: DecisionFilter) -> int:
    return await timeline.found_count(view, *_wanted(filter))


def _wanted(filter_: DecisionFilter) -> tuple[sql.Composable, dict[str, Any]]:
    wanted = conditions.Conditions()
    kinds = tuple(DecisionKind) if filter_.kinds is None else filter_.kinds
    parts: list[sql.Composable] = [
        _DECIDING,
        sql.SQL("({})").format(sql.SQL(" or ").join(sql.SQL(_KINDS[kind]) for kind in kinds) if kinds else _NONE),
    ]
    if filter_.actor is not None:
        actor = wanted.argument(filter_.actor)
        parts.append(sql.SQL("(x.actor = {0} or x.on_behalf_of = {0})").format(actor))
    if filter_.channel is not None:
        parts.append(wanted.compare(sql.SQL("x.channel"), "=", filter_.channel))
    if filter_.since is not None:
        parts.append(wanted.compare(sql.SQL("x.occurred_at"), ">=", filter_.since))
    if filter_.until is not None:
        parts.append(wanted.compare(sql.SQL("x.occurred_at"), "<", filter_.until))
    return sql.SQL(" and ").join(parts), wanted.arguments


_NONE = sql.SQL("false")
