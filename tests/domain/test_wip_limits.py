"""Limits on work in progress: what can be limited, who comes to a place, and when it is full."""

from typing import Any

import msgspec
import pytest

from domain import wip_limits
from domain.errors import InvalidValue, StatusNotFound, WipLimitReached, WorkflowNotFound
from domain.ticket_state import Ticket
from domain.wip_limits import (
    CardEntered,
    CardsCounted,
    Ledger,
    SetWipLimit,
    WipLimitRemoved,
    WipLimitSet,
    counted,
    enter,
    entered,
)
from domain.workflow_state import StatusCategory, WipLimit, Workflows
from tests.domain.given import ANNA, AROUND, BORIS, NOW, PARENT, an_id, some_workflows

A, B, C = an_id(1), an_id(2), an_id(3)
ONE = WipLimit(workflow="support", status="in_progress", person=None, limit=1, hard=True)


def card(**changes: Any) -> Ticket:
    started: dict[str, Any] = {"status": "in_progress", "category": StatusCategory.ACTIVE, "assignee": ANNA}
    return msgspec.structs.replace(AROUND.tickets[PARENT], **{**started, **changes})


def with_limits(*limits: WipLimit) -> Workflows:
    return msgspec.structs.replace(some_workflows(), wip_limits={limit.place: limit for limit in limits})


def setting(**changes: Any) -> SetWipLimit:
    return SetWipLimit(**{"workflow": "support", "status": "in_progress", "limit": 1, "hard": True, **changes})


def test_a_limit_is_set_changed_and_removed() -> None:
    known = some_workflows()
    assert wip_limits.decide(known, setting()) == [WipLimitSet(limit=ONE)]
    limited = with_limits(ONE)
    assert wip_limits.decide(limited, setting()) == []
    assert wip_limits.decide(limited, setting(limit=2)) == [WipLimitSet(limit=msgspec.structs.replace(ONE, limit=2))]
    gone = WipLimitRemoved(workflow="support", status="in_progress", person=None)
    assert wip_limits.decide(limited, setting(limit=None)) == [gone]
    assert wip_limits.decide(known, setting(limit=None)) == []
    assert len(wip_limits.decide(limited, setting(person=ANNA))) == 1


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"workflow": "none"}, WorkflowNotFound),
        ({"status": "none"}, StatusNotFound),
        ({"status": "done"}, InvalidValue),
        ({"status": None}, InvalidValue),
        ({"limit": 0}, InvalidValue),
        ({"limit": 201}, InvalidValue),
        ({"limit": 10_001, "hard": False}, InvalidValue),
    ],
)
def test_a_limit_that_says_nothing_sensible_is_refused(changes: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        wip_limits.decide(some_workflows(), setting(**changes))


@pytest.mark.parametrize(
    ("limit", "ticket", "there"),
    [
        (ONE, card(), True),
        (ONE, card(status="waiting"), False),
        (ONE, card(workflow="task"), False),
        (msgspec.structs.replace(ONE, person=ANNA), card(), True),
        (msgspec.structs.replace(ONE, person=BORIS), card(), False),
        (msgspec.structs.replace(ONE, status=None, person=ANNA), card(status="waiting"), True),
        (msgspec.structs.replace(ONE, status=None, person=ANNA), card(category=StatusCategory.DONE), False),
    ],
)
def test_a_place_is_a_column_a_person_or_a_cell_and_what_is_open_stands_there(
    limit: WipLimit, ticket: Ticket, there: bool
) -> None:
    assert wip_limits.counts(limit, ticket) is there


def test_who_comes_is_who_was_not_there_before_and_soft_limits_ask_nobody() -> None:
    known = with_limits(ONE)
    assert entered(None, card(), known) == [ONE]
    assert entered(card(status="waiting"), card(), known) == [ONE]
    assert entered(card(), card(assignee=BORIS), known) == []
    assert entered(card(), card(status="waiting"), known) == []
    assert entered(None, card(), with_limits(msgspec.structs.replace(ONE, hard=False))) == []


EACH = WipLimit(workflow="support", status=None, person=None, limit=1, hard=True, each_person=True)


def test_each_person_has_a_limit_unless_they_have_their_own() -> None:
    known = with_limits(EACH)
    mine, yours = (msgspec.structs.replace(EACH, person=person) for person in (ANNA, BORIS))
    assert entered(None, card(), known) == [mine]
    assert entered(card(), card(assignee=BORIS), known) == [yours]
    assert entered(card(), card(status="waiting"), known) == [], "it stood with this person before"
    assert entered(card(), card(assignee=None), known) == []
    assert not wip_limits.counts(EACH, card(assignee=None))
    own = msgspec.structs.replace(ONE, status=None, person=ANNA, limit=5, hard=False)
    assert wip_limits.holds(mine, known)
    assert not wip_limits.holds(mine, with_limits(EACH, own))
    assert wip_limits.holds(yours, with_limits(EACH, own))
    assert len({EACH.place, mine.place, yours.place, own.place}) == 4


def test_each_person_s_limit_is_set_and_removed_as_others_are() -> None:
    each = setting(status=None, each_person=True)
    assert wip_limits.decide(some_workflows(), each) == [WipLimitSet(limit=EACH)]
    gone = WipLimitRemoved(workflow="support", status=None, person=None, each_person=True)
    assert wip_limits.decide(with_limits(EACH), msgspec.structs.replace(each, limit=None)) == [gone]
    with pytest.raises(InvalidValue):
        wip_limits.decide(some_workflows(), setting(person=ANNA, each_person=True))


def test_the_last_place_is_taken_once() -> None:
    assert enter(ONE, Ledger(), A, {}, over=False) == CardEntered(card=A)
    full = Ledger(cards=frozenset({A}))
    with pytest.raises(WipLimitReached):
        enter(ONE, full, B, {A: card()}, over=False)
    assert enter(ONE, full, B, {A: card()}, over=True) == CardEntered(card=B)
    assert enter(ONE, full, B, {A: card(status="waiting")}, over=False) == CardEntered(card=B, gone=(A,))
    assert enter(ONE, full, A, {A: card()}, over=False) == CardEntered(card=A)


def test_a_ledger_knows_who_came_and_may_still_be_there() -> None:
    ledger = wip_limits.evolve(None, CardsCounted(cards=(A, B)), NOW)
    ledger = wip_limits.evolve(ledger, CardEntered(card=C, gone=(A,)), NOW)
    assert ledger == Ledger(cards=frozenset({B, C}))
    assert counted(ledger, [B, C]) == []
    assert counted(ledger, [A, B]) == [CardsCounted(cards=(A,))]
