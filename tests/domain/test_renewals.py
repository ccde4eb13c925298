"""Packages of hours that renew: when they begin, how long they live, and what is drawn from which."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from domain.billing import ledger, settled_by
from domain.contracts import Contract, HoursGranted
from domain.renewals import RenewalPeriod, begins, lives_until
from domain.terms import Rollover, WorkingCalendar
from tests.domain.test_billing import (
    LAST,
    H,
    by_the_hour,
    contract,
    no_holidays,
    package,
    packages,
    prepaid,
    used_on,
    work,
)

MONTHLY: dict[str, Any] = {"every": RenewalPeriod.MONTH}
YEARLY: dict[str, Any] = {"every": RenewalPeriod.YEAR}


def lives(agreed: Contract, until: str) -> list[str]:
    """The first and last days of all packages that begin by a day."""
    return [f"{one.valid_from} {one.expires_on}" for one in agreed.packages(date.fromisoformat(until))]


@pytest.mark.parametrize(
    ("grant", "until", "found"),
    [
        # each month has its own, without a gap and without two on one day
        (
            package(91, 20, "2026-01-01", "2026-01-31", **MONTHLY),
            "2026-03-01",
            ["2026-01-01 2026-01-31", "2026-02-01 2026-02-28", "2026-03-01 2026-03-31"],
        ),
        # a month that has no 31st begins on its last day, and the next one on its own 31st again
        (
            package(91, 20, "2027-12-31", "2028-01-30", **MONTHLY),
            "2028-04-30",
            [
                *("2027-12-31 2028-01-30", "2028-01-31 2028-02-28", "2028-02-29 2028-03-30"),
                *("2028-03-31 2028-04-29", "2028-04-30 2028-05-30"),
            ],
        ),
        # a year that has no 29 February begins on the 28th
        (
            package(91, 20, "2028-02-29", "2029-02-27", **YEARLY),
            "2032-12-31",
            [
                *("2028-02-29 2029-02-27", "2029-02-28 2030-02-27", "2030-02-28 2031-02-27"),
                *("2031-02-28 2032-02-28", "2032-02-29 2033-02-27"),
            ],
        ),
        # hours of a month can be used for three; half a year is half of every year; else as many days
        (
            package(91, 20, "2026-01-01", "2026-03-31", **MONTHLY),
            "2026-02-27",
            ["2026-01-01 2026-03-31", "2026-02-01 2026-04-30"],
        ),
        (
            package(91, 20, "2027-01-01", "2027-06-30", **YEARLY),
            "2028-01-01",
            ["2027-01-01 2027-06-30", "2028-01-01 2028-06-30"],
        ),
        (
            package(91, 20, "2026-01-01", "2026-01-10", **MONTHLY),
            "2026-02-01",
            ["2026-01-01 2026-01-10", "2026-02-01 2026-02-10"],
        ),
        (package(91, 20, "2026-01-15", None, **YEARLY), "2027-01-15", ["2026-01-15 None", "2027-01-15 None"]),
        # it ends on the day that is named, or is bought and has not begun to renew
        (
            package(91, 20, "2026-01-01", "2026-01-31", **MONTHLY, renews_until=date(2026, 2, 1)),
            "2026-12-31",
            ["2026-01-01 2026-01-31", "2026-02-01 2026-02-28"],
        ),
        (package(91, 20, "2026-06-01", "2026-06-30", **MONTHLY), "2026-01-01", ["2026-06-01 2026-06-30"]),
    ],
)
def test_hours_that_renew_begin_by_the_calendar(grant: HoursGranted, until: str, found: list[str]) -> None:
    agreed = contract(("2026-01-01", prepaid()), grants=[grant])
    assert lives(agreed, until) == found


@given(
    first=st.dates(date(1970, 1, 1), date(2199, 12, 31)),
    every=st.sampled_from(RenewalPeriod),
    number=st.integers(0, 99),
)
def test_hours_that_renew_are_there_every_day_and_never_twice(first: date, every: RenewalPeriod, number: int) -> None:
    last = begins(first, every, 1) - timedelta(days=1)
    assert lives_until(first, last, every, number) + timedelta(days=1) == begins(first, every, number + 1)


def test_hours_renew_where_the_contract_still_sells_them() -> None:
    # prepaid until April, by the hour in May, prepaid again from June; the last day is 15 July
    grant = package(91, 20, "2026-03-01", "2026-03-31", **MONTHLY)
    terms = [("2026-01-01", prepaid()), ("2026-05-01", by_the_hour()), ("2026-06-01", prepaid())]
    agreed = contract(*terms, grants=[grant], last_day=date(2026, 7, 15))
    assert [one[5:7] for one in lives(agreed, "2026-12-31")] == ["03", "04", "06", "07"]


def test_11_twenty_hours_a_month_of_which_what_is_left_rolls_over_once() -> None:
    # January: 20 h, 15 used, 5 roll into February. February: 5 + 20 = 25 h; the 5 expire on the 28th like the 20 and
    # were bought first: of 8 h work 5 are of January's and 3 of February's; 17 roll into March. March: 17 + 20; none
    # is used, 17 expire, 20 roll. Each month costs 1600.00.
    grant = msgspec.structs.replace(package(91, 20, "2026-01-01", "2026-01-31", **MONTHLY), price=Decimal("1600.00"))
    agreed = contract(("2026-01-01", prepaid(rollover=Rollover.ALL)), grants=[grant])
    entries = [work(1, "2026-01-05T00:00", "2026-01-05T15:00"), work(2, "2026-02-02T08:00", "2026-02-02T16:00")]
    found = ledger(agreed, entries, date(2026, 3, 31), no_holidays)
    assert packages(found) == [(15, 0, 5, 0), (5, 0, 0, 0), (3, 0, 17, 0), (0, 17, 0, 0), (0, 0, 20, 0), (0, 0, 0, 20)]
    assert [found.left_before(date(2026, month, 2)) // H for month in (1, 2, 3)] == [20, 25, 37]
    assert [(str(fee.day), str(fee.amount), fee.seconds // H) for fee in found.fees] == [
        *(("2026-01-01", "1600.00", 20), ("2026-02-01", "1600.00", 20), ("2026-03-01", "1600.00", 20))
    ]
    assert len({fee.package for fee in found.fees}) == 3


@pytest.mark.parametrize(
    ("zone", "began", "drawn"),
    [
        # 22:30 UTC of 31 January is February in Moscow; in Berlin that of 31 March is April, by summer time
        ("Europe/Moscow", "2026-01-31T22:30", [0, 1, 0, 0]),
        ("UTC", "2026-01-31T22:30", [1, 0, 0, 0]),
        ("Europe/Berlin", "2026-03-31T22:30", [0, 0, 0, 1]),
        ("Europe/Berlin", "2026-02-28T22:30", [0, 1, 0, 0]),  # and that of 28 February is not March
    ],
)
def test_a_month_s_hours_begin_at_the_midnight_of_the_contract(zone: str, began: str, drawn: list[int]) -> None:
    terms = prepaid(calendar=WorkingCalendar(time_zone=zone))
    agreed = contract(("2026-01-01", terms), grants=[package(91, 20, "2026-01-01", "2026-01-31", **MONTHLY)])
    ended = (datetime.fromisoformat(began) + timedelta(minutes=30)).isoformat()
    found = ledger(agreed, [work(1, began, ended)], date(2026, 4, 30), no_holidays)
    assert [one.drawn // 1800 for one in found.packages] == drawn


@pytest.mark.parametrize(
    ("day", "number", "drawn"), [("2026-01-30", 0, 15), ("2026-02-01", 1, 0), ("2026-03-30", 2, 0)]
)
def test_thresholds_are_of_the_month_s_package(day: str, number: int, drawn: int) -> None:
    monthly = package(81, 20, "2026-01-01", "2026-01-31", **MONTHLY)
    its_own = list(contract(("2026-01-01", prepaid()), grants=[monthly]).packages(LAST))[number].grant
    assert used_on(day, 15, monthly) == ([its_own], 20, drawn, 20 - drawn)


def test_an_end_of_the_renewal_that_is_to_come_changes_no_settled_month() -> None:
    grant = package(91, 20, "2026-01-01", "2026-01-31", **MONTHLY)
    going = contract(("2026-01-01", prepaid()), grants=[grant])
    stopped = contract(
        ("2026-01-01", prepaid()), grants=[msgspec.structs.replace(grant, renews_until=date(2026, 3, 31))]
    )
    assert settled_by(going, date(2026, 3, 31)) == settled_by(stopped, date(2026, 3, 31))
    assert settled_by(going, date(2026, 4, 1)) != settled_by(stopped, date(2026, 4, 1))
