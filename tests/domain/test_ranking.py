"""The order of cards: there is always room between two, texts stay short, and moves say where."""

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidValue, TicketNotFound, TransitionNotAllowed
from domain.ranking import DIGITS, LIMIT, Place, RankTicket, TicketRanked, between
from domain.ticket_state import Beside
from domain.tickets import StatusChanged, Ticket, TicketAssigned
from domain.workflows import StatusCategory
from tests.domain.given import ANNA, AROUND, OPENED, PARENT, STRANGE_TICKET, TICKET, an_id, knowing, ticket

MOVES = 10_000
FIRST, SECOND, THIRD = an_id(101), an_id(102), an_id(103)


def card(number: int, rank: str | None = None) -> Ticket:
    return msgspec.structs.replace(AROUND.tickets[PARENT], number=number, ranked=rank)


CARDS = {FIRST: card(10), SECOND: card(11), THIRD: card(12)}


def order(number: int) -> str:
    return card(number).rank


ranks = st.builds(
    lambda head, tail: head + tail,
    st.text(DIGITS, max_size=30),
    st.sampled_from([digit for digit in DIGITS if digit != "0"]),
)
chances = st.integers(0, 2**128)


@given(ranks, ranks, chances)
def test_between_two_different_ranks_there_is_another(one: str, other: str, chance: int) -> None:
    if one == other:
        return
    low, high = sorted((one, other))
    found = between(low, high, chance)
    assert low < found < high
    assert not found.endswith("0")


@given(ranks, chances)
def test_there_is_room_at_both_ends(rank: str, chance: int) -> None:
    assert between(None, rank, chance) < rank
    if set(rank) != {"z"}:
        assert between(rank, None, chance) > rank


@given(st.integers(1, 10**11), st.integers(1, 10**11))
def test_who_was_opened_later_stands_later(one: int, other: int) -> None:
    assert (order(one) < order(other)) is (one < other)


def test_ten_thousand_cards_put_after_one_another_at_one_spot_keep_their_order_and_short_ranks() -> None:
    low, high, chance = order(1000), order(1001), random.Random(1)
    for downwards in (False, True):
        found = [low]
        for _ in range(MOVES):
            newest = between(low, found[-1], chance.getrandbits(64)) if downwards and len(found) > 1 else None
            found.append(newest or between(low if downwards else found[-1], high, chance.getrandbits(64)))
        assert found[1:] == sorted(set(found[1:]), reverse=downwards)
        assert low < min(found[1:])
        assert max(found) < high
        assert max(map(len, found)) <= 60


def test_ten_thousand_random_moves_among_twenty_cards_keep_short_ranks() -> None:
    chance = random.Random(2)
    cards = [order(1000 + n) for n in range(20)]
    longest = 0
    for _ in range(MOVES):
        cards.pop(chance.randrange(len(cards)))
        all_ = [order(999), *cards, order(1020)]
        place = chance.randrange(len(all_) - 1)
        cards.insert(place, between(all_[place], all_[place + 1], chance.getrandbits(64)))
        longest = max(longest, len(cards[place]))
    assert cards == sorted(set(cards))
    assert longest <= 100


def test_ten_thousand_cards_put_first_of_all_keep_ranks_of_one_length() -> None:
    first, chance = order(1000), random.Random(3)
    for _ in range(MOVES):
        put = between(None, first, chance.getrandbits(64))
        assert (put < first, len(put)) == (True, 18)
        first = put


def test_two_who_move_at_the_same_moment_hardly_get_the_same_rank() -> None:
    chance = random.Random(4)
    assert len({between(order(1), order(2), chance.getrandbits(64)) for _ in range(1_000)}) >= 998


# ---- commands

board = knowing(tickets=CARDS, new_id=an_id(7)).given(OPENED)


def ranked(outcome: Any) -> str:
    (event,) = outcome.events
    assert isinstance(event, TicketRanked)
    assert outcome.after.rank == event.rank
    return event.rank


def test_a_card_is_put_between_two_others() -> None:
    rank = ranked(board.when(RankTicket(ticket=TICKET, after=FIRST, before=SECOND)))
    assert order(10) < rank < order(11)


def test_a_card_is_put_after_one_and_before_what_is_found_there() -> None:
    found = knowing(tickets=CARDS, beside=Beside(before=SECOND)).given(OPENED)
    assert order(10) < ranked(found.when(RankTicket(ticket=TICKET, after=FIRST))) < order(11)
    found = knowing(tickets=CARDS, beside=Beside(after=FIRST)).given(OPENED)
    assert order(10) < ranked(found.when(RankTicket(ticket=TICKET, before=SECOND))) < order(11)


def test_what_was_found_and_has_moved_away_meanwhile_does_not_count() -> None:
    moved = knowing(tickets=CARDS, beside=Beside(before=FIRST)).given(OPENED)
    assert ranked(moved.when(RankTicket(ticket=TICKET, after=SECOND))) > order(11)


def test_a_card_is_put_first_or_last_of_all() -> None:
    top = knowing(tickets=CARDS, beside=Beside(before=FIRST)).given(OPENED)
    assert ranked(top.when(RankTicket(ticket=TICKET, to=Place.TOP))) < order(10)
    bottom = knowing(tickets=CARDS, beside=Beside(after=THIRD)).given(OPENED)
    assert ranked(bottom.when(RankTicket(ticket=TICKET, to=Place.BOTTOM))) > order(12)
    board.when(RankTicket(ticket=TICKET, to=Place.TOP)).nothing()  # it is alone


@pytest.mark.parametrize(
    ("command", "error", "field"),
    [
        (RankTicket(ticket=TICKET), InvalidValue, "after"),
        (RankTicket(ticket=TICKET, after=FIRST, to=Place.TOP), InvalidValue, "after"),
        (RankTicket(ticket=TICKET, after=TICKET), InvalidValue, "after"),
        (RankTicket(ticket=TICKET, before=TICKET), InvalidValue, "before"),
        (RankTicket(ticket=TICKET, after=STRANGE_TICKET), TicketNotFound, "after"),
        (RankTicket(ticket=TICKET, after=SECOND, before=FIRST), InvalidValue, "before"),
        (RankTicket(ticket=TICKET, after=FIRST, status="approval"), TransitionNotAllowed, "status"),
    ],
)
def test_a_place_that_makes_no_sense_is_refused(command: RankTicket, error: Any, field: str) -> None:
    board.when(command).refused(error, field)


def test_a_rank_does_not_grow_without_end() -> None:
    deep = order(10) + "V" * LIMIT
    narrow = knowing(tickets={FIRST: card(10, deep), SECOND: card(11, deep + "1")}).given(OPENED)
    narrow.when(RankTicket(ticket=TICKET, after=FIRST, before=SECOND)).refused(InvalidValue, "after")


def test_a_card_moves_to_another_cell_on_the_way() -> None:
    command = RankTicket(ticket=TICKET, after=FIRST, before=SECOND, status="waiting", assignee=ANNA)
    moved, assigned, put = board.when(command).events
    assert moved == StatusChanged(workflow_version=1, status="waiting", category=StatusCategory.WAITING)
    assert assigned == TicketAssigned(assignee=ANNA)
    assert isinstance(put, TicketRanked)


def test_a_new_ticket_stands_in_the_order_of_opening() -> None:
    assert ticket.given(OPENED).state is not None
    assert order(1042) == "a0000000010421"
