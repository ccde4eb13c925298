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
from msgspec.structs import replace

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
    each_person: bool = False


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
    """`status` names the column, `person` whose work it is, both a cell; `each_person`: the work of each who has no
    limit of their own there. No `limit` removes it."""

    workflow: str
    status: str | None = None
    person: UUID | None = None
    each_person: bool = False
    limit: int | None
    hard: bool = False


# ---- state


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """Tickets that came to a place and may still stand there."""

    cards: frozenset[UUID] = frozenset()


def decide(state: Workflows, command: SetWipLimit) -> list[WipLimitSet | WipLimitRemoved]:
    """Raises InvalidValue, StatusNotFound, WorkflowNotFound. That the person is here is checked before."""
    workflow = state.workflow(command.workflow)
    if command.person is not None and command.each_person:
        raise InvalidValue("A limit is one person's, or each person's.", ("eachPerson",))
    if command.status is None and command.person is None and not command.each_person:
        raise InvalidValue("Say what is limited: a status, a person, or both.", ("status",))
    if command.status is not None and workflow.status(command.status).category.closed:
        raise InvalidValue(f"{command.status!r} is closed: nothing is in progress there.", ("status",))
    at = place(command.workflow, command.status, command.person, each_person=command.each_person)
    before = state.wip_limits.get(at)
    if command.limit is None:
        gone = WipLimitRemoved(
            workflow=command.workflow, status=command.status, person=command.person, each_person=command.each_person
        )
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
        each_person=command.each_person,
    )


def for_person(limit: WipLimit, person: UUID | None) -> WipLimit | None:
    """What the limit means for one person's tickets; None where it is each person's and there is nobody."""
    if not limit.each_person:
        return limit
    return None if person is None else replace(limit, person=person)


def counts(limit: WipLimit, ticket: Ticket) -> bool:
    """Whether the ticket stands in the place that is limited. What is closed is not in progress."""
    return (
        ticket.workflow == limit.workflow
        and not ticket.closed
        and limit.status in (None, ticket.status)
        and limit.person in (None, ticket.assignee)
        and not (limit.each_person and ticket.assignee is None)
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
    hard = (for_person(limit, after.assignee) for limit in workflows.wip_limits.values() if limit.hard)
    return [
        limit
        for limit in hard
        if limit is not None and counts(limit, after) and not (before is not None and counts(limit, before))
    ]


def holds(limit: WipLimit, workflows: Workflows) -> bool:
    """Each person's limit does not hold for who has their own at the same place; who comes is written down all the
    same, for when that is removed."""
    return not limit.each_person or place(limit.workflow, limit.status, limit.person) not in workflows.wip_limits


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
