"""Limits on work in progress: how many tickets may stand in a column, with a person, or in a cell of both.

A soft limit is shown. A hard one refuses whoever would come on top, whatever races: each place that has one keeps a
stream of its own, the ledger of who came. Every arrival is appended to it together with the ticket's own events, so two
cannot both take the last place. Who left is not written down: the tickets in the ledger say themselves where they are.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import assert_never
from uuid import UUID

import msgspec

from domain.errors import InvalidValue, WipLimitReached
from domain.ticket_state import Ticket
from domain.workflow_state import WipLimit, Workflows, place

SOFT_LIMIT, HARD_LIMIT = 10_000, 200
"""The highest that can be set. An arrival under a hard limit looks at every ticket that stands there."""


# ---- events


class WipLimitSet(msgspec.Struct, frozen=True, kw_only=True):
    limit: WipLimit


class WipLimitRemoved(msgspec.Struct, frozen=True, kw_only=True):
    workflow: str
    status: str | None
    person: UUID | None


class CardsCounted(msgspec.Struct, frozen=True, kw_only=True):
    """Tickets that stood in the place when its limit was set."""

    cards: tuple[UUID, ...]


class CardEntered(msgspec.Struct, frozen=True, kw_only=True):
    """`gone`: those of the ledger that had left by then."""

    card: UUID
    gone: tuple[UUID, ...] = ()


LedgerEvent = CardsCounted | CardEntered


# ---- commands


class SetWipLimit(msgspec.Struct, frozen=True, kw_only=True):
    """`status` names the column, `person` whose work it is, both a cell. No `limit` removes it."""

    workflow: str
    status: str | None = None
    person: UUID | None = None
    limit: int | None
    hard: bool = False


# ---- state


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """Tickets that came to a place and may still stand there."""

    cards: frozenset[UUID] = frozenset()


def decide(state: Workflows, command: SetWipLimit) -> list[WipLimitSet | WipLimitRemoved]:
    """Raises InvalidValue, StatusNotFound, WorkflowNotFound. That the person is here is checked before."""
    workflow = state.workflow(command.workflow)
    if command.status is None and command.person is None:
        raise InvalidValue("Say what is limited: a status, a person, or both.", ("status",))
    if command.status is not None and workflow.status(command.status).category.closed:
        raise InvalidValue(f"{command.status!r} is closed: nothing is in progress there.", ("status",))
    before = state.wip_limits.get(place(command.workflow, command.status, command.person))
    if command.limit is None:
        gone = WipLimitRemoved(workflow=command.workflow, status=command.status, person=command.person)
        return [] if before is None else [gone]
    highest = HARD_LIMIT if command.hard else SOFT_LIMIT
    if not 1 <= command.limit <= highest:
        raise InvalidValue(f"A {'hard' if command.hard else 'soft'} limit is 1 to {highest}.", ("limit",))
    limit = limit_of(command)
    return [] if before == limit else [WipLimitSet(limit=limit)]


def limit_of(command: SetWipLimit) -> WipLimit:
    assert command.limit is not None, "a limit that is removed is none"
    return WipLimit(
        workflow=command.workflow,
        status=command.status,
        person=command.person,
        limit=command.limit,
        hard=command.hard,
    )


def counts(limit: WipLimit, ticket: Ticket) -> bool:
    """Whether the ticket stands in the place that is limited. What is closed is not in progress."""
    return (
        ticket.workflow == limit.workflow
        and not ticket.closed
        and limit.status in (None, ticket.status)
        and limit.person in (None, ticket.assignee)
    )


def evolve(ledger: Ledger | None, event: LedgerEvent, at: datetime) -> Ledger:
    cards = ledger.cards if ledger else frozenset[UUID]()
    match event:
        case CardsCounted(cards=counted):
            return Ledger(cards=cards | set(counted))
        case CardEntered(card=card, gone=gone):
            return Ledger(cards=(cards - set(gone)) | {card})
        case _:
            assert_never(event)


def entered(before: Ticket | None, after: Ticket, workflows: Workflows) -> list[WipLimit]:
    """Hard limits of the places that the ticket comes to."""
    return [
        limit
        for limit in workflows.wip_limits.values()
        if limit.hard and counts(limit, after) and not (before is not None and counts(limit, before))
    ]


def enter(limit: WipLimit, ledger: Ledger, card: UUID, tickets: Mapping[UUID, Ticket], *, over: bool) -> CardEntered:
    """`tickets`: those of the ledger. `over`: the limit does not hold for this one. Raises WipLimitReached."""
    there = {id_ for id_ in ledger.cards if id_ in tickets and id_ != card and counts(limit, tickets[id_])}
    if len(there) >= limit.limit and not over:
        raise WipLimitReached(limit.limit, _named(limit))
    return CardEntered(card=card, gone=tuple(sorted(ledger.cards - there - {card})))


def counted(ledger: Ledger, cards: Iterable[UUID]) -> list[CardsCounted]:
    """What the ledger does not know yet."""
    missing = sorted(set(cards) - ledger.cards)
    return [CardsCounted(cards=tuple(missing))] if missing else []


def _named(limit: WipLimit) -> str:
    where = f"in {limit.status!r} of {limit.workflow!r}" if limit.status else f"in {limit.workflow!r}"
    return f"{where} for this person" if limit.person else where
