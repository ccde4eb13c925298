"""Statements: what a period came to, what closes, and what a closed one is corrected by."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from domain.billing import BillableWork, ledger
from domain.contracts import Contract, HoursGranted, PeriodClosed
from domain.errors import InvalidValue, PeriodIsClosed
from domain.statements import ClosePeriod, Drawn, Exhausted, Statement, close, exhausted, statement
from domain.terms import ContractKind, Overage, Rate, Terms, TermsVersion, WorkingCalendar
from tests.domain.given import ANNA, TICKET, an_id

JANUARY, FEBRUARY, MARCH = date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1)
H = 3600
HOURLY = Terms(
    kind=ContractKind.TIME_AND_MATERIALS, currency="EUR", rates=(Rate(per_hour=Decimal(100)),), tax=Decimal(19)
)
PREPAID = Terms(kind=ContractKind.PREPAID, currency="EUR", overage_rate=Decimal(80), tax=Decimal(20))


def contract(*terms: Terms, grants: tuple[HoursGranted, ...] = ()) -> Contract:
    starts = (JANUARY, FEBRUARY, MARCH)
    versions = tuple(
        TermsVersion(number=n, applies_from=starts[n - 1], terms=one) for n, one in enumerate(terms, start=1)
    )
    return Contract(client=an_id(70), name="Support", versions=versions, grants=grants)


def worked(number: int, day: date, hours: float) -> BillableWork:
    start = datetime(day.year, day.month, day.day, 9, tzinfo=UTC)
    return BillableWork(
        entry=an_id(number),
        ticket=TICKET,
        person=ANNA,
        started_at=start,
        ended_at=start + timedelta(hours=hours),
        seconds=int(hours * H),
        role="TASK",
    )


def never(calendar: WorkingCalendar, day: date) -> bool:
    return False


def drawn(
    agreed: Contract, now: list[BillableWork], stated: list[BillableWork] | None, since: date, until: date
) -> Statement:
    before = None if stated is None else ledger(agreed, stated, since - timedelta(days=1), never)
    return statement(agreed, ledger(agreed, now, until, never), before, since, until)


def test_a_statement_has_the_work_of_its_days_and_the_tax_of_its_terms() -> None:
    # January at 19 %: 1.5 h = 150.00 + 28.50; February at 7 %: 1 h = 100.00 + 7.00
    agreed = contract(HOURLY, msgspec.structs.replace(HOURLY, tax=Decimal(7)))
    work = [worked(1, date(2026, 1, 5), 1.5), worked(2, date(2026, 2, 5), 1), worked(3, date(2026, 3, 5), 1)]
    january = drawn(agreed, work, None, JANUARY, date(2026, 1, 31))
    assert (january.seconds, january.amount, january.tax) == (5400, Decimal("150.00"), Decimal("28.50"))
    both = drawn(agreed, work, None, JANUARY, date(2026, 2, 28))
    assert (both.amount, both.tax, both.total) == (Decimal("250.00"), Decimal("35.50"), Decimal("285.50"))


def test_a_statement_opens_and_closes_with_the_hours_that_are_left() -> None:
    # 10 h bought for 900.00; 4 h in January, 8 h in February: 6 covered, 2 over at 80 = 160.00
    grant = HoursGranted(grant=an_id(91), seconds=10 * H, valid_from=JANUARY, price=Decimal("900.00"))
    agreed = contract(PREPAID, grants=(grant,))
    work = [worked(1, date(2026, 1, 5), 4), worked(2, date(2026, 2, 5), 8)]
    january = drawn(agreed, work, None, JANUARY, date(2026, 1, 31))
    assert (january.opening, january.closing, january.amount) == (0, 6 * H, Decimal("900.00"))
    february = drawn(agreed, work, work, FEBRUARY, date(2026, 2, 28))
    assert (february.opening, february.closing) == (6 * H, 0)
    assert (february.amount, february.tax) == (Decimal("160.00"), Decimal("32.00"))
    assert february.corrections == ()


def test_what_was_corrected_after_closing_is_credited_in_the_next_statement() -> None:
    # stated: 2 h on 5 January = 200.00; really 1 h, and 30 min that were forgotten: -100.00 + 50.00; 1 h in February
    stated = [worked(1, date(2026, 1, 5), 2)]
    now = [worked(1, date(2026, 1, 5), 1), worked(2, date(2026, 1, 9), 0.5), worked(3, date(2026, 2, 2), 1)]
    february = drawn(contract(HOURLY), now, stated, FEBRUARY, date(2026, 2, 28))
    assert [(one.entry, one.seconds, one.amount) for one in february.corrections] == [
        (an_id(1), -H, Decimal("-100.00")),
        (an_id(2), H // 2, Decimal("50.00")),
    ]
    assert (february.seconds, february.amount, february.tax) == (H + H // 2 - H, Decimal("50.00"), Decimal("9.50"))


def test_work_that_was_reversed_after_closing_is_credited_in_full() -> None:
    february = drawn(contract(HOURLY), [], [worked(1, date(2026, 1, 5), 2)], FEBRUARY, date(2026, 2, 28))
    assert (february.seconds, february.total) == (-2 * H, Decimal("-238.00"))


HISTORY = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 89), st.integers(1, 6 * H), st.booleans()), min_size=1, max_size=25
)
"""Which entry, on which day, how long, and whether the month is closed after it was recorded so."""


@settings(max_examples=60)
@given(history=HISTORY)
def test_statements_together_come_to_what_is_known_at_last(history: list[tuple[int, int, int, bool]]) -> None:
    """Whatever is corrected between closings: what was stated, and the draft after it, sum to the ledger as it is."""
    agreed = contract(HOURLY)
    ends = [date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 31)]
    known: dict[int, BillableWork] = {}
    stated: list[BillableWork] | None = None
    since, seconds, amount = JANUARY, 0, Decimal(0)
    for number, day, length, closes in history:
        at = JANUARY + timedelta(days=day)
        one = worked(number, at, 1)
        ended = one.started_at + timedelta(seconds=length)
        known[number] = msgspec.structs.replace(one, ended_at=ended, seconds=length)
        if closes and len(ends) > 1:
            until = ends.pop(0)
            closed = drawn(agreed, list(known.values()), stated, since, until)
            seconds, amount = seconds + closed.seconds, amount + closed.amount
            stated, since = list(known.values()), until + timedelta(days=1)
    draft = drawn(agreed, list(known.values()), stated, since, ends[-1])
    whole = ledger(agreed, known.values(), ends[-1], never)
    assert seconds + draft.seconds == sum(one.seconds for one in whole.charges)
    assert amount + draft.amount == sum((one.amount for one in whole.charges), Decimal(0))


# ---- closing


def test_what_else_a_contract_is_told_of_does_not_hold_up_closing() -> None:
    agreed = contract(HOURLY)
    found = drawn(agreed, [], None, JANUARY, date(2026, 1, 31))
    told = Drawn(statement=found, contract=agreed, known=77, today=date(2026, 6, 1))
    assert told.still(msgspec.structs.replace(agreed, used_up=(an_id(75),)))
    assert not told.still(msgspec.structs.replace(agreed, last_day=date(2026, 12, 31)))
    assert not told.still(msgspec.structs.replace(agreed, versions=(*agreed.versions, agreed.versions[0])))
    assert not told.still(msgspec.structs.replace(agreed, closed=tuple(a_closing(agreed, date(2026, 1, 15)))))


def a_closing(agreed: Contract, until: date, today: date = date(2026, 6, 1)) -> list[PeriodClosed]:
    found = drawn(agreed, [worked(1, date(2026, 1, 5), 1.5)], None, JANUARY, until)
    return close(
        agreed,
        ClosePeriod(contract=an_id(72), until=until),
        Drawn(statement=found, contract=agreed, known=77, today=today),
        5,
    )


def test_open_days_are_closed_with_what_they_came_to() -> None:
    assert a_closing(contract(HOURLY), date(2026, 1, 31)) == [
        PeriodClosed(
            number=5,
            since=JANUARY,
            until=date(2026, 1, 31),
            known=77,
            billed=5400,
            amount=Decimal("150.00"),
            tax=Decimal("28.50"),
        )
    ]


def test_what_is_closed_is_not_closed_again_nor_is_today() -> None:
    [event] = a_closing(contract(HOURLY), date(2026, 1, 31))
    closed = msgspec.structs.replace(contract(HOURLY), closed=(event,))
    assert closed.open_from == FEBRUARY
    with pytest.raises(PeriodIsClosed):
        a_closing(closed, date(2026, 1, 31))
    with pytest.raises(PeriodIsClosed):
        a_closing(contract(HOURLY), date(2025, 12, 31))
    with pytest.raises(InvalidValue, match="not over"):
        a_closing(contract(HOURLY), date(2026, 1, 31), today=date(2026, 1, 31))


# ---- when no hours are left


@pytest.mark.parametrize(
    ("terms", "hours", "full"),
    [
        ({"overage": Overage.CHARGE}, 20, False),
        ({"overage": Overage.BLOCK}, 9, False),
        ({"overage": Overage.BLOCK}, 10, True),
        ({"overage": Overage.LIMIT, "overage_limit": 2 * H}, 11, False),
        ({"overage": Overage.LIMIT, "overage_limit": 2 * H}, 12, True),
        ({"kind": ContractKind.FREE_SUPPORT}, 99, False),
    ],
)
def test_a_contract_takes_no_more_work_when_its_terms_say_so(terms: dict[str, Any], hours: int, full: bool) -> None:
    grant = HoursGranted(grant=an_id(91), seconds=10 * H, valid_from=JANUARY)
    agreed = contract(msgspec.structs.replace(PREPAID, **terms), grants=(grant,))
    day = date(2026, 1, 5)
    found = exhausted(agreed, ledger(agreed, [worked(1, day, hours)], day, never).carried)
    assert found == (Exhausted(name="Support", left=0) if full else None)
    before = JANUARY - timedelta(days=1)
    assert exhausted(agreed, ledger(agreed, [], before, never).carried) is None
