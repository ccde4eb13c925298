"""The order of cards: one order for the whole workspace, kept as texts that sort, so that nothing is ever renumbered.

A rank is a fraction in base 62 that does not end in 0: between any two different ones there is another. Until somebody
moves it, a ticket stands where the order of opening puts it. What is put first in the workspace is first in every cell
of every board.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from domain import assignment, transitions
from domain.assignment import AssignmentEvent, AssignTicket
from domain.errors import InvalidValue, TicketNotFound
from domain.field_values import FieldSet
from domain.ticket_state import Surroundings, Ticket
from domain.transitions import TransitionEvent, TransitionTicket

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""In the order of ASCII, as the column sorts."""
BASE = len(DIGITS)
LENGTH = 18
"""Digits that a place is reckoned in, at least: four more than the order of opening has, so that many fit between."""
ROOM = BASE**3
"""Less room than this between two neighbours, and one digit more is reckoned in."""
NEAR = 64
"""A card is put this near to the newer of its neighbours, in parts of the room between them: who puts card after card
at one spot, upwards or downwards, uses up one part in 64 each time."""
FAR = BASE**5
"""At the open end of the order: the distance of two tickets that were opened one after another."""
LIMIT = 1_000
"""Characters of a rank. Only who halves the same room a thousand times over, on purpose, comes near."""


class Place(StrEnum):
    TOP = "TOP"
    BOTTOM = "BOTTOM"


class TicketRanked(msgspec.Struct, frozen=True, kw_only=True):
    rank: str


class RankTicket(msgspec.Struct, frozen=True, kw_only=True):
    """Puts a ticket after one, before another, between both, or at an end. `status` and `assignee` move it to another
    cell on the way, by the rules of a transition and an assignment."""

    ticket: UUID
    after: UUID | None = None
    before: UUID | None = None
    to: Place | None = None
    status: str | None = None
    assignee: UUID | UnsetType | None = UNSET


RankingEvent = TransitionEvent | FieldSet | AssignmentEvent | TicketRanked


def decide(ticket: Ticket, command: RankTicket, around: Surroundings) -> Sequence[RankingEvent]:
    events: list[RankingEvent] = []
    if command.status is not None:
        move = TransitionTicket(ticket=command.ticket, status=command.status)
        events += transitions.decide(ticket, move, around)
    if command.assignee is not UNSET:
        events += assignment.decide(ticket, AssignTicket(ticket=command.ticket, assignee=command.assignee), around)
    return [*events, *_ranked(ticket, command, around)]


def _ranked(ticket: Ticket, command: RankTicket, around: Surroundings) -> list[TicketRanked]:
    named = command.after is not None or command.before is not None
    if named is (command.to is not None):
        raise InvalidValue("Say where: after, before, between both, or to an end.", ("after",))
    low = _rank_of(command, "after", around)
    high = _rank_of(command, "before", around)
    if low is not None and high is not None and low >= high:
        raise InvalidValue("These two no longer stand in this order: read the board again.", ("before",))
    found_low, found_high = _found(around.beside.after, around), _found(around.beside.before, around)
    if low is None and found_low is not None and (high is None or found_low < high):
        low = found_low
    if high is None and found_high is not None and (low is None or low < found_high):
        high = found_high
    if low is None and high is None:  # it is alone
        return []
    rank = between(low, high, around.new_id.int)
    if len(rank) > LIMIT:
        raise InvalidValue("There is no room left at this very spot: move one of its neighbours.", ("after",))
    return [TicketRanked(rank=rank)]


def _rank_of(command: RankTicket, field: str, around: Surroundings) -> str | None:
    """Of a neighbour that the command names."""
    id_: UUID | None = getattr(command, field)
    if id_ is None:
        return None
    if id_ == command.ticket:
        raise InvalidValue("A ticket does not stand beside itself.", (field,))
    if id_ not in around.tickets:
        raise TicketNotFound(id_, field)
    return around.tickets[id_].rank


def _found(id_: UUID | None, around: Surroundings) -> str | None:
    return around.tickets[id_].rank if id_ is not None and id_ in around.tickets else None


def evolve(ticket: Ticket, event: TicketRanked, at: datetime) -> Ticket:
    return replace(ticket, version=ticket.version + 1, last_at=at, ranked=event.rank)


def between(low: str | None, high: str | None, chance: int) -> str:
    """A rank between two, of which at least one is there. `chance`: any number; two who ask for the same place at the
    same moment hardly get the same rank, and if they do, the number of the ticket decides."""
    digits = max(LENGTH, len(low or ""), len(high or ""))
    floor, ceiling = _value(low or "", digits), BASE**digits if high is None else _value(high, digits)
    while ceiling - floor < ROOM:
        digits, floor, ceiling = digits + 1, floor * BASE, ceiling * BASE
    room = ceiling - floor
    step = min(room // NEAR, FAR)
    longer = len(low or "") - len(high or "")  # the longer rank is the newer one
    if high is None or (low is not None and longer > 0):
        place = floor + step
    elif low is None or longer < 0:
        place = ceiling - step
    else:
        place = floor + room // 2
    place += chance % (step // 2) - step // 4
    place += place % BASE == 0
    assert floor < place < ceiling
    return _text(place, digits)


def _value(rank: str, digits: int) -> int:
    value = 0
    for digit in rank:
        value = value * BASE + DIGITS.index(digit)
    shift: int = BASE ** (digits - len(rank))
    return value * shift


def _text(value: int, digits: int) -> str:
    found: list[str] = []
    for _ in range(digits):
        value, digit = divmod(value, BASE)
        found.append(DIGITS[digit])
    return "".join(reversed(found))
