"""What work costs: ten statements worked out by hand, and what holds for any contract and any work.

The examples show the working; none of their figures was taken from the code.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from domain import billing, money
from domain.billing import (
    BillableWork,
    Carried,
    Charge,
    Ledger,
    Treatment,
    ledger,
    month_end,
    round_seconds,
    settled_by,
)
from domain.contracts import Contract, HoursGranted
from domain.hour_packages import Movement, usage
from domain.renewals import RenewalPeriod, as_long_after
from domain.terms import (
    ContractKind,
    Grade,
    Overage,
    Rate,
    Rollover,
    Rounding,
    RoundingDirection,
    RoundingScope,
    Terms,
    TermsVersion,
    TimeBand,
    WorkingCalendar,
)
from tests.domain.given import ANNA, BORIS, HOSTING, TICKET, an_id

MOSCOW, BERLIN = ZoneInfo("Europe/Moscow"), ZoneInfo("Europe/Berlin")
LAST = date(2026, 12, 31)
H = 3600


def contract(
    *versions: tuple[str, Terms], grants: Sequence[HoursGranted] = (), last_day: date | None = None
) -> Contract:
    return Contract(
        client=an_id(70),
        name="Support",
        versions=tuple(
            TermsVersion(number=n, applies_from=date.fromisoformat(day), terms=terms)
            for n, (day, terms) in enumerate(versions, start=1)
        ),
        grants=tuple(grants),
        last_day=last_day,
    )


def by_the_hour(per_hour: str = "100", **more: Any) -> Terms:
    more.setdefault("rates", (Rate(per_hour=Decimal(per_hour)),))
    return Terms(**{"kind": ContractKind.TIME_AND_MATERIALS, "currency": "EUR", **more})


def prepaid(**more: Any) -> Terms:
    return Terms(**{"kind": ContractKind.PREPAID, "currency": "EUR", **more})


def package(number: int, hours: float, valid_from: str, expires_on: str | None = None, **renewal: Any) -> HoursGranted:
    return HoursGranted(
        grant=an_id(number),
        seconds=int(hours * H),
        valid_from=date.fromisoformat(valid_from),
        expires_on=None if expires_on is None else date.fromisoformat(expires_on),
        **renewal,
    )


def work(number: int, start: str, end: str, zone: Any = UTC, *, interruption: int = 0, **more: Any) -> BillableWork:
    began, ended = (datetime.fromisoformat(at).replace(tzinfo=zone).astimezone(UTC) for at in (start, end))
    return BillableWork(
        entry=an_id(number),
        ticket=TICKET,
        started_at=began,
        ended_at=ended,
        seconds=int((ended - began).total_seconds()) - interruption,
        **{"person": ANNA, "role": "INCIDENT", **more},
    )


def no_holidays(calendar: WorkingCalendar, day: date) -> bool:
    return False


def told(found: Ledger) -> list[tuple[str, int, str]]:
    """What became of each stretch, its billed seconds and its amount."""
    return [(charge.treatment.value, charge.billed, str(charge.amount)) for charge in found.charges]


def total(found: Ledger) -> Decimal:
    return sum((charge.amount for charge in found.charges), Decimal(0))


def packages(found: Ledger) -> list[tuple[int, int, int, int]]:
    """Of each package: drawn, expired, rolled, left, in hours."""
    return [(one.drawn // H, one.expired // H, one.rolled // H, one.left // H) for one in found.packages]


# ---- ten statements by hand


def test_1_time_and_materials_by_entry_up_to_a_quarter_of_an_hour() -> None:
    # 9:00-9:20 is 20 min -> 30 min; 10:00-11:00 is 60 min -> 60 min; 30/60 x 100 = 50.00; 60/60 x 100 = 100.00
    terms = by_the_hour(rounding=Rounding(unit=900))
    found = ledger(
        contract(("2026-01-01", terms)),
        [work(1, "2026-03-02T09:00", "2026-03-02T09:20"), work(2, "2026-03-02T10:00", "2026-03-02T11:00")],
        LAST,
        no_holidays,
    )
    assert told(found) == [("CHARGED", 1800, "50.00"), ("CHARGED", 3600, "100.00")]


def test_2_rounded_by_the_day_the_same_work_costs_less() -> None:
    # on the 2nd 20 + 25 = 45 min -> 45 min, shared 20 : 25; on the 3rd 20 min -> 30 min: 20/60, 25/60, 30/60 of 100.
    # exactly 33.333… + 41.666… + 50 = 125: the month is 125.00, the odd cent goes to the larger remainder (41.67)
    terms = by_the_hour(rounding=Rounding(unit=900, scope=RoundingScope.DAY))
    found = ledger(
        contract(("2026-01-01", terms)),
        [
            work(1, "2026-03-02T09:00", "2026-03-02T09:20"),
            work(2, "2026-03-02T10:00", "2026-03-02T10:25"),
            work(3, "2026-03-03T10:00", "2026-03-03T10:20"),
        ],
        LAST,
        no_holidays,
    )
    assert told(found) == [("CHARGED", 1200, "33.33"), ("CHARGED", 1500, "41.67"), ("CHARGED", 1800, "50.00")]


def test_3_rounded_by_the_month_in_yen_which_have_no_decimals() -> None:
    # March: 50 + 50 + 50 = 150 min -> nearest hour: 2.5 h is a half, up: 3 h x 5000 = 15,000 yen, 5,000 each;
    # April: 20 min -> nearest hour: 0
    terms = by_the_hour(
        "5000",
        currency="JPY",
        rounding=Rounding(unit=H, direction=RoundingDirection.NEAREST, scope=RoundingScope.PERIOD),
    )
    entries = [work(n, f"2026-03-0{n}T09:00", f"2026-03-0{n}T09:50") for n in (1, 2, 3)]
    found = ledger(
        contract(("2026-01-01", terms)), [*entries, work(4, "2026-04-01T09:00", "2026-04-01T09:20")], LAST, no_holidays
    )
    assert told(found) == [("CHARGED", 3600, "5000")] * 3 + [("CHARGED", 0, "0")]


def test_4_an_entry_across_midnight_and_a_price_change() -> None:
    # 23:00-02:00 in Moscow on 31 March: 1 h at 100, then 2 h at 120 from 1 April
    found = ledger(
        contract(
            ("2026-01-01", by_the_hour("100", calendar=WorkingCalendar(time_zone="Europe/Moscow"))),
            ("2026-04-01", by_the_hour("120", calendar=WorkingCalendar(time_zone="Europe/Moscow"))),
        ),
        [work(1, "2026-03-31T23:00", "2026-04-01T02:00", MOSCOW)],
        LAST,
        no_holidays,
    )
    assert [(str(one.day), one.version, one.seconds, str(one.amount)) for one in found.charges] == [
        ("2026-03-31", 1, 3600, "100.00"),
        ("2026-04-01", 2, 7200, "240.00"),
    ]


def test_5_evenings_weekends_and_holidays_count_more() -> None:
    # Fri 30 Oct 2026, 17:00-19:00, open until 18:00: 1 h x 1 + 1 h x 1.5 (evening) = 2.5 h; Sat 10:00-11:00: 2 h;
    # Wed 4 Nov (a holiday): 1 h x 3. At 40.000 dinars an hour: 40 + 60 + 80 + 120, three decimals
    calendar = WorkingCalendar(
        opens=9 * 60,
        closes=18 * 60,
        country="RU",
        evening_factor=Decimal("1.5"),
        weekend_factor=Decimal(2),
        holiday_factor=Decimal(3),
    )
    found = ledger(
        contract(("2026-01-01", by_the_hour("40", currency="KWD", calendar=calendar))),
        [
            work(1, "2026-10-30T17:00", "2026-10-30T19:00"),
            work(2, "2026-10-31T10:00", "2026-10-31T11:00"),
            work(3, "2026-11-04T10:00", "2026-11-04T11:00"),
        ],
        LAST,
        lambda _, day: day == date(2026, 11, 4),
    )
    assert [(one.band.value, one.counted, str(one.amount)) for one in found.charges] == [
        ("WORKING", 3600, "40.000"),
        ("EVENING", 5400, "60.000"),
        ("WEEKEND", 7200, "80.000"),
        ("HOLIDAY", 10800, "120.000"),
    ]


def test_6_a_package_is_used_up_in_the_middle_of_an_entry() -> None:
    # 2 h of the package are left at 12:00; 12:00-15:00 is 3 h: 12:00-14:00 covered, 14:00-15:00 overage at 80
    terms = prepaid(overage_rate=Decimal(80))
    found = ledger(
        contract(("2026-01-01", terms), grants=[package(91, 3, "2026-03-01", "2026-03-31")]),
        [work(1, "2026-03-02T09:00", "2026-03-02T10:00"), work(2, "2026-03-02T12:00", "2026-03-02T15:00")],
        LAST,
        no_holidays,
    )
    assert told(found) == [("COVERED", 3600, "0"), ("COVERED", 7200, "0"), ("OVERAGE", 3600, "80.00")]
    assert [one.started_at.hour for one in found.charges] == [9, 12, 14]
    assert packages(found) == [(3, 0, 0, 0)]


def test_7_first_expiring_first_then_first_bought() -> None:
    # bought: A 10 h until 31 May, B 10 h until 30 April, C 10 h until 30 April. 12 h in March: 10 of B, 2 of C.
    # At the end of April C loses 8; A keeps 10 until the end of May and loses them then.
    grants = [
        package(91, 10, "2026-03-01", "2026-05-31"),
        package(92, 10, "2026-03-01", "2026-04-30"),
        package(93, 10, "2026-03-02", "2026-04-30"),
    ]
    entries = [work(n, f"2026-03-{n + 1:02}T08:00", f"2026-03-{n + 1:02}T14:00") for n in (1, 2)]
    agreed = contract(("2026-01-01", prepaid()), grants=grants)
    assert packages(ledger(agreed, entries, date(2026, 4, 29), no_holidays)) == [
        (0, 0, 0, 10),
        (10, 0, 0, 0),
        (2, 0, 0, 8),
    ]
    assert packages(ledger(agreed, entries, date(2026, 5, 30), no_holidays)) == [
        (0, 0, 0, 10),
        (10, 0, 0, 0),
        (2, 8, 0, 0),
    ]
    assert packages(ledger(agreed, entries, LAST, no_holidays)) == [(0, 10, 0, 0), (10, 0, 0, 0), (2, 8, 0, 0)]


def test_8_what_is_left_rolls_over_once_up_to_a_cap() -> None:
    # January: 10 h, 4 used, 6 left: 5 roll into February, 1 expires. February: 2 of the 5 used (they expire on the
    # 28th, before March's would), 3 left: rolled hours do not roll again.
    terms = prepaid(rollover=Rollover.CAPPED, rollover_cap=5 * H)
    agreed = contract(("2026-01-01", terms), grants=[package(91, 10, "2026-01-01", "2026-01-31")])
    entries = [work(1, "2026-01-05T08:00", "2026-01-05T12:00"), work(2, "2026-02-02T08:00", "2026-02-02T10:00")]
    found = ledger(agreed, entries, LAST, no_holidays)
    assert packages(found) == [(4, 1, 5, 0), (2, 3, 0, 0)]
    assert (found.packages[1].valid_from, found.packages[1].expires_on) == (date(2026, 2, 1), date(2026, 2, 28))
    assert [found.left_before(date(2026, month, 1)) // H for month in (1, 2, 3)] == [0, 5, 0]


def test_9_a_minimum_a_grade_and_a_service_have_their_own_price() -> None:
    # rates in order: hosting 50; senior 150; else 90. 5 min, at least 30 min:
    # Boris (senior) on hosting: 30 min x 50 = 25.00; Boris elsewhere: 30 min x 150 = 75.00; Anna elsewhere: 45.00
    terms = by_the_hour(
        rates=(
            Rate(per_hour=Decimal(50), service=HOSTING),
            Rate(per_hour=Decimal(150), grade="senior"),
            Rate(per_hour=Decimal(90)),
        ),
        grades=(Grade(key="senior", people=(BORIS,)),),
        rounding=Rounding(unit=60, minimum=1800),
    )
    found = ledger(
        contract(("2026-01-01", terms)),
        [
            work(1, "2026-03-02T09:00", "2026-03-02T09:05", person=BORIS, service=HOSTING),
            work(2, "2026-03-02T10:00", "2026-03-02T10:05", person=BORIS),
            work(3, "2026-03-02T11:00", "2026-03-02T11:05"),
        ],
        LAST,
        no_holidays,
    )
    assert told(found) == [("CHARGED", 1800, "25.00"), ("CHARGED", 1800, "75.00"), ("CHARGED", 1800, "45.00")]


def test_10_what_is_not_charged_says_why() -> None:
    # only hosting incidents are covered; from 1 June support is free; the contract ends on 30 June
    on_workdays = Rate(per_hour=Decimal(60), band=TimeBand.WORKING)
    terms = by_the_hour(services=(HOSTING,), roles=("INCIDENT",), rates=(on_workdays,))
    free = Terms(kind=ContractKind.FREE_SUPPORT, currency="EUR")
    fixed = Terms(kind=ContractKind.FIXED_PRICE, currency="EUR", price=Decimal("999.00"))
    day: dict[str, Any] = {"service": HOSTING}
    found = ledger(
        contract(("2026-03-02", terms), ("2026-06-01", free), ("2026-06-15", fixed), last_day=date(2026, 6, 30)),
        [
            work(1, "2026-03-01T09:00", "2026-03-01T10:00", **day),
            work(2, "2026-03-02T09:00", "2026-03-02T10:00", **day, billable=False),
            work(3, "2026-03-03T09:00", "2026-03-03T10:00"),
            work(4, "2026-03-04T09:00", "2026-03-04T10:00", **day, role="TASK"),
            work(5, "2026-03-07T09:00", "2026-03-07T10:00", **day),
            work(6, "2026-03-09T09:00", "2026-03-09T10:00", **day),
            work(7, "2026-06-01T09:00", "2026-06-01T10:00"),
            work(8, "2026-06-15T09:00", "2026-06-15T10:00"),
            work(9, "2026-07-01T09:00", "2026-07-01T10:00"),
        ],
        LAST,
        no_holidays,
    )
    assert [one.treatment.value for one in found.charges] == [
        *("NO_TERMS", "NOT_BILLABLE", "NOT_COVERED", "NOT_COVERED", "NO_RATE", "CHARGED", "FREE", "FIXED", "NO_TERMS")
    ]
    assert total(found) == Decimal("60.00")
    assert [(fee.kind.value, str(fee.day), str(fee.amount)) for fee in found.fees] == [
        ("FIXED_PRICE", "2026-06-15", "999.00")
    ]


# ---- clocks and calendars


@pytest.mark.parametrize(
    ("start", "end", "lengths"),
    [
        # 28 March 22:00 CET to 29 March 06:00 CEST: the hour from 2 to 3 is skipped, 2 h + 5 h
        ("2026-03-28T22:00", "2026-03-29T06:00", [2 * H, 5 * H]),
        # 24 October 22:00 CEST to 25 October 06:00 CET: the hour from 2 to 3 comes twice, 2 h + 7 h
        ("2026-10-24T22:00", "2026-10-25T06:00", [2 * H, 7 * H]),
        # 28 February 23:00 to 1 March 01:00 in a leap year has a 29 February between
        ("2028-02-28T23:00", "2028-03-01T01:00", [H, 24 * H, H]),
    ],
)
def test_days_are_as_long_as_they_are(start: str, end: str, lengths: list[int]) -> None:
    agreed = contract(("2026-01-01", by_the_hour(calendar=WorkingCalendar(time_zone="Europe/Berlin"))))
    pieces = billing.split(agreed, work(1, start, end, BERLIN), no_holidays)
    assert [piece.seconds for piece in pieces] == lengths


def test_a_client_in_another_zone_has_other_days() -> None:
    entry = work(1, "2026-03-31T20:00", "2026-03-31T22:00")
    west = contract(("2026-01-01", by_the_hour(calendar=WorkingCalendar(time_zone="America/New_York"))))
    east = contract(("2026-01-01", by_the_hour(calendar=WorkingCalendar(time_zone="Europe/Moscow"))))
    assert [piece.day.day for piece in billing.split(west, entry, no_holidays)] == [31]
    assert [piece.day.day for piece in billing.split(east, entry, no_holidays)] == [31, 1]


def test_an_entry_across_a_weekend_is_cut_at_its_midnights() -> None:
    # Friday, 6 March, 23:00 to Monday 01:00: 1 h, two days of the weekend that count twice, 1 h
    agreed = contract(("2026-01-01", by_the_hour(calendar=WorkingCalendar(weekend_factor=Decimal(2)))))
    pieces = billing.split(agreed, work(1, "2026-03-06T23:00", "2026-03-09T01:00"), no_holidays)
    assert [(piece.day.day, piece.band.value, piece.seconds // H, int(piece.factor)) for piece in pieces] == [
        (6, "WORKING", 1, 1),
        (7, "WEEKEND", 24, 2),
        (8, "WEEKEND", 24, 2),
        (9, "WORKING", 1, 1),
    ]


def test_terms_of_another_zone_begin_at_their_own_midnight() -> None:
    # 1 April begins in Tokyo at 15:00 of 31 March, UTC: one hour at 100, one at 120
    tokyo = by_the_hour("120", calendar=WorkingCalendar(time_zone="Asia/Tokyo"))
    agreed = contract(("2026-01-01", by_the_hour("100")), ("2026-04-01", tokyo))
    found = ledger(agreed, [work(1, "2026-03-31T14:00", "2026-03-31T16:00")], LAST, no_holidays)
    assert [(str(one.day), one.version, str(one.amount)) for one in found.charges] == [
        ("2026-03-31", 1, "100.00"),
        ("2026-04-01", 2, "120.00"),
    ]


ODD_ZONES = st.sampled_from(
    [
        *("Europe/Moscow", "Europe/Berlin", "America/Sao_Paulo", "Asia/Beirut", "America/Havana", "Africa/Casablanca"),
        *("Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu", "Pacific/Kiritimati", "America/Nuuk"),
    ]
)
"""Whose clocks change at midnight, by half an hour, or past a whole day."""


@settings(max_examples=200)
@given(zone=ODD_ZONES, at=st.datetimes(datetime(2008, 1, 1), datetime(2030, 1, 1)), length=st.integers(1, 7 * 86_400))  # noqa: DTZ001
def test_days_of_any_zone_are_cut_where_their_clocks_say(zone: str, at: datetime, length: int) -> None:
    start = at.replace(microsecond=0, tzinfo=UTC)
    calendar = WorkingCalendar(time_zone=zone, opens=540, closes=1080)
    entry = msgspec.structs.replace(
        work(1, "2026-03-02T09:00", "2026-03-02T10:00"),
        started_at=start,
        ended_at=start + timedelta(seconds=length),
        seconds=length,
    )
    pieces = billing.split(contract(("2001-01-01", by_the_hour(calendar=calendar))), entry, no_holidays)
    assert [piece.started_at for piece in pieces[1:]] == [piece.ended_at for piece in pieces[:-1]]
    assert sum(piece.seconds for piece in pieces) == length
    for piece in pieces:
        local = piece.started_at.astimezone(ZoneInfo(zone))
        last = (piece.ended_at - timedelta(seconds=1)).astimezone(ZoneInfo(zone))
        assert piece.day == local.date() == last.date()
        weekend = piece.day.isoweekday() > 5
        inside = 540 <= local.hour * 60 + local.minute < 1080
        assert piece.band is (TimeBand.WEEKEND if weekend else TimeBand.WORKING if inside else TimeBand.EVENING)


def test_an_interruption_is_shared_by_the_length_of_the_stretches() -> None:
    # 23:00-01:30, 30 min interrupted: 60 : 90 of 120 net minutes = 48 : 72
    agreed = contract(("2026-01-01", by_the_hour()))
    pieces = billing.split(agreed, work(1, "2026-03-02T23:00", "2026-03-03T01:30", interruption=1800), no_holidays)
    assert [piece.seconds for piece in pieces] == [48 * 60, 72 * 60]


@pytest.mark.parametrize(
    ("first", "last", "start", "until"),
    [
        ("2026-01-01", "2026-01-31", "2026-02-01", "2026-02-28"),  # a month
        ("2028-01-01", "2028-01-31", "2028-02-01", "2028-02-29"),
        ("2027-03-01", "2028-02-29", "2028-03-01", "2029-02-28"),  # a year
        ("2026-01-15", "2026-02-14", "2026-02-15", "2026-03-14"),
        ("2026-01-01", "2026-01-10", "2026-01-11", "2026-01-20"),  # ten days
        ("2026-12-01", "2026-12-31", "2027-01-01", "2027-01-31"),
        ("2026-10-31", "2026-11-30", "2026-12-01", "2026-12-31"),
    ],
)
def test_rolled_hours_live_as_long_once_more(first: str, last: str, start: str, until: str) -> None:
    days = [date.fromisoformat(day) for day in (first, last, start, until)]
    assert as_long_after(days[0], days[1], days[2]) == days[3]


@pytest.mark.parametrize(
    ("seconds", "direction", "rounded"),
    [
        *((0, way, 0) for way in RoundingDirection),
        *((900, way, 900) for way in RoundingDirection),
        (901, RoundingDirection.UP, 1800),
        (901, RoundingDirection.DOWN, 900),
        (1349, RoundingDirection.NEAREST, 900),
        (1350, RoundingDirection.NEAREST, 1800),
        (1, RoundingDirection.DOWN, 0),
    ],
)
def test_time_is_rounded_to_units(seconds: int, direction: RoundingDirection, rounded: int) -> None:
    assert round_seconds(seconds, Rounding(unit=900, direction=direction)) == rounded
    least = round_seconds(seconds, Rounding(unit=900, direction=direction, minimum=1000))
    assert least == (max(rounded, 1000) if seconds else 0)


# ---- how much of the hours is used


def used_on(day: str, hours: float, *grants: HoursGranted) -> tuple[list[UUID], int, int, int]:
    """After so many hours of work on 5 January: which packages count, hours granted, drawn and left."""
    begins = datetime(2026, 1, 5, tzinfo=UTC)
    one = work(1, "2026-01-05T00:00:00", (begins + timedelta(hours=hours)).isoformat()[:19])
    until = date.fromisoformat(day)
    stand = ledger(contract(("2026-01-01", prepaid()), grants=grants), [one], until, no_holidays).carried
    found = usage(stand.packages, until)
    return list(found.packages), found.granted // H, found.drawn // H, found.left // H


FIRST, SECOND, DECEMBER = an_id(81), an_id(82), "2026-12-31"


@pytest.mark.parametrize(
    ("hours", "grants", "found"),
    [
        (4, [package(81, 10, "2026-01-01")], ([FIRST], 10, 4, 6)),
        (10, [package(81, 10, "2026-01-01")], ([FIRST], 10, 10, 0)),
        # what was bought when the first was used up begins at nothing
        (10, [package(81, 10, "2026-01-01"), package(82, 20, "2026-02-01")], ([SECOND], 20, 0, 20)),
        (8, [package(81, 10, "2026-01-01"), package(82, 20, "2026-02-01")], ([FIRST, SECOND], 30, 8, 22)),
        # when all are used up, it is the last that is
        (20, [package(81, 10, "2026-01-01"), package(82, 10, "2026-01-01")], ([SECOND], 10, 10, 0)),
        (20, [package(81, 10, "2026-01-01"), package(82, 10, "2026-01-01", DECEMBER)], ([FIRST], 10, 10, 0)),
        # what expired is used no more
        (4, [package(81, 10, "2026-01-01", "2026-01-31"), package(82, 10, "2026-02-01")], ([SECOND], 10, 0, 10)),
        (4, [package(81, 10, "2026-01-01", "2026-01-31")], ([], 0, 0, 0)),
        (4, [], ([], 0, 0, 0)),
    ],
)
def test_usage_is_of_the_hours_that_are_left_to_use(
    hours: float, grants: list[HoursGranted], found: tuple[list[UUID], int, int, int]
) -> None:
    assert used_on("2026-03-01", hours, *grants) == found


# ---- money


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [(10, [1, 1, 1], [4, 3, 3]), (0, [1, 2], [0, 0]), (5, [0, 0], [5, 0]), (7, [1, 6], [1, 6]), (0, [], [])],
)
def test_a_total_is_shared_without_losing_a_unit(total: int, weights: list[int], parts: list[int]) -> None:
    assert money.shares(total, weights) == parts


@given(total=st.integers(0, 10**9), weights=st.lists(st.integers(0, 10**6), min_size=1, max_size=20))
def test_shares_sum_to_the_total_and_are_nearly_proportional(total: int, weights: list[int]) -> None:
    parts = money.shares(total, weights)
    assert sum(parts) == total
    if sum(weights):
        assert all(
            abs(part - total * weight / sum(weights)) < 1.0001 for part, weight in zip(parts, weights, strict=True)
        )


# ---- whatever is agreed and worked

DAYS = st.integers(0, 120).map(lambda n: date(2026, 1, 1) + timedelta(days=n))
TERMS = st.builds(
    Terms,
    kind=st.sampled_from(ContractKind),
    currency=st.sampled_from(["EUR", "JPY", "KWD"]),
    rates=st.lists(
        st.builds(
            Rate,
            per_hour=st.decimals(0, 1000, places=2),
            service=st.none(),
            grade=st.none(),
            band=st.sampled_from([None, *TimeBand]),
        ),
        max_size=3,
    ).map(tuple),
    grades=st.just(()),
    services=st.sampled_from([(), (HOSTING,)]),
    roles=st.just(()),
    tax=st.just(Decimal(0)),
    price=st.none(),
    alerts=st.just(()),
    rounding=st.builds(
        Rounding,
        unit=st.sampled_from([1, 60, 900, 3600]),
        direction=st.sampled_from(RoundingDirection),
        scope=st.sampled_from(RoundingScope),
        minimum=st.sampled_from([0, 1800]),
    ),
    calendar=st.builds(
        WorkingCalendar,
        time_zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]),
        opens=st.just(540),
        closes=st.sampled_from([1080, 1440]),
        weekend=st.just((6, 7)),
        country=st.none(),
        subdivision=st.none(),
        evening_factor=st.sampled_from([Decimal(1), Decimal("1.5"), Decimal(0)]),
        weekend_factor=st.sampled_from([Decimal(2), Decimal("1.333333")]),
        holiday_factor=st.just(Decimal(3)),
    ),
    overage=st.sampled_from(Overage),
    overage_rate=st.sampled_from([None, Decimal("77.77")]),
    overage_limit=st.none(),
    rollover=st.sampled_from(Rollover),
    rollover_cap=st.sampled_from([None, 3 * H]),
)
GRANTS = st.lists(
    st.tuples(
        st.integers(1, 40 * H),
        DAYS,
        st.one_of(st.none(), st.integers(0, 60)),
        st.sampled_from([None, *RenewalPeriod, RenewalPeriod.MONTH]),
        st.one_of(st.none(), st.integers(0, 200)),
    ),
    max_size=4,
)
WORK = st.lists(
    st.tuples(st.integers(0, 120 * 86400), st.integers(1, 90_000), st.integers(0, 100), st.booleans(), st.booleans()),
    max_size=12,
)
KINDS_THAT_PAY = (Treatment.CHARGED, Treatment.OVERAGE)


@st.composite
def contracts(draw: st.DrawFn) -> Contract:
    terms = draw(st.lists(TERMS, min_size=1, max_size=3))
    days = sorted(draw(st.lists(DAYS, min_size=len(terms), max_size=len(terms), unique=True)))
    same = [msgspec.structs.replace(one, currency=terms[0].currency) for one in terms]
    grants = [
        HoursGranted(
            grant=an_id(900 + n),
            seconds=seconds,
            valid_from=first,
            expires_on=None if length is None else first + timedelta(days=length),
            price=Decimal(seconds),
            every=every,
            renews_until=None if every is None or renews is None else first + timedelta(days=renews),
        )
        for n, (seconds, first, length, every, renews) in enumerate(draw(GRANTS))
    ]
    ends = draw(st.one_of(st.none(), st.integers(0, 200)))
    return contract(
        *((day.isoformat(), one) for day, one in zip(days, same, strict=True)),
        grants=grants,
        last_day=None if ends is None else days[0] + timedelta(days=ends),
    )


def entries_of(rows: list[tuple[int, int, int, bool, bool]]) -> list[BillableWork]:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        BillableWork(
            entry=an_id(1000 + n),
            ticket=TICKET,
            person=ANNA,
            started_at=start + timedelta(seconds=at),
            ended_at=start + timedelta(seconds=at + gross),
            seconds=gross - gross * interrupted // 100,
            role="TASK",
            service=HOSTING if hosting else None,
            billable=billable,
        )
        for n, (at, gross, interrupted, billable, hosting) in enumerate(rows)
    ]


@settings(max_examples=80)
@given(agreed=contracts(), rows=WORK, chance=st.randoms(use_true_random=False))
def test_every_second_is_accounted_for_and_every_hour_granted_is_somewhere(
    agreed: Contract, rows: list[tuple[int, int, int, bool, bool]], chance: Any
) -> None:
    entries = entries_of(rows)
    found = ledger(agreed, entries, LAST, no_holidays)
    for entry in entries:
        parts = [one for one in found.charges if one.entry == entry.entry]
        assert sum(one.seconds for one in parts) == entry.seconds
        assert all(one.seconds >= 0 and one.billed >= 0 and one.counted >= 0 for one in parts)
        assert (parts[0].started_at, parts[-1].ended_at) == (entry.started_at, entry.ended_at)
    for one in found.packages:
        assert one.granted == one.drawn + one.expired + one.rolled + one.left
        assert min(one.drawn, one.expired, one.rolled, one.left) >= 0
        assert one.drawn == sum(charge.counted for charge in found.charges if charge.package == one.id)
    assert sum(one.rolled for one in found.packages) == sum(
        one.granted for one in found.packages if one.rolled_from is not None
    )
    assert sum(one.seconds for one in found.movements) == sum(one.left for one in found.packages)
    assert len(found.fees) == sum(one.rolled_from is None for one in found.packages), "each is paid once"
    assert all(
        charge.amount >= 0 and (charge.treatment in KINDS_THAT_PAY or not charge.amount) for charge in found.charges
    )
    chance.shuffle(entries)
    assert ledger(agreed, entries, LAST, no_holidays) == found, "the order in which work is recorded is nothing"


@settings(max_examples=40)
@given(agreed=contracts(), rows=WORK)
def test_a_month_s_amounts_sum_to_its_exact_sum(agreed: Contract, rows: list[tuple[int, int, int, bool, bool]]) -> None:
    found = ledger(agreed, entries_of(rows), LAST, no_holidays)
    for month in range(1, 13):
        charges = [one for one in found.charges if one.day.month == month and one.day.year == 2026]
        exact = sum(
            (
                Fraction(one.billed, H) * Fraction(one.factor) * Fraction(one.rate or 0)
                for one in charges
                if one.treatment in KINDS_THAT_PAY
            ),
            Fraction(),
        )
        assert sum((one.amount for one in charges), Decimal(0)) == money.in_units(exact, agreed.currency)


@given(rows=WORK)
def test_what_happens_later_changes_no_earlier_day(rows: list[tuple[int, int, int, bool, bool]]) -> None:
    """Packages are drawn by the time of the work: a later entry never takes hours from an earlier one."""
    agreed = contract(("2026-01-01", prepaid()), grants=[package(91, 20, "2026-01-01")])
    entries = entries_of(rows)
    middle = date(2026, 3, 1)
    early = [one for one in entries if one.started_at.date() < middle]
    before = ledger(agreed, early, LAST, no_holidays)
    after = ledger(agreed, entries, LAST, no_holidays)
    assert [one for one in before.charges if one.day < middle] == [one for one in after.charges if one.day < middle]


MONTHS = [month_end(date(2025 + month // 12, month % 12 + 1, 1)) for month in range(11, 24)]
"""December 2025 to December 2026."""


@settings(max_examples=80)
@given(agreed=contracts(), rows=WORK)
def test_months_that_are_settled_one_by_one_come_to_what_all_come_to_at_once(
    agreed: Contract, rows: list[tuple[int, int, int, bool, bool]]
) -> None:
    """With the work alone that touches the month, and of the contract what matters until then."""
    entries, carried = entries_of(rows), Carried(day=date(2025, 11, 30), packages=(), overage=0, overage_of_month=0)
    whole = ledger(agreed, entries, LAST, no_holidays)
    charges: list[Charge] = []
    movements: list[Movement] = []
    for last in MONTHS:
        begins = datetime(carried.day.year, carried.day.month, carried.day.day, tzinfo=UTC)
        ends = datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=2)
        touching = [one for one in entries if one.ended_at >= begins and one.started_at < ends]
        part = ledger(settled_by(agreed, last), touching, last, no_holidays, carried)
        assert part.left_before(last) == whole.left_before(last)
        charges += part.charges
        movements += part.movements
        carried = part.carried
    assert tuple(charges) == whole.charges
    assert tuple(movements) == whole.movements
    assert carried == whole.carried


@settings(max_examples=60)
@given(agreed=contracts(), rows=WORK, day=DAYS)
def test_what_a_day_came_to_does_not_depend_on_where_one_stops(
    agreed: Contract, rows: list[tuple[int, int, int, bool, bool]], day: date
) -> None:
    entries = entries_of(rows)
    whole, part = ledger(agreed, entries, LAST, no_holidays), ledger(agreed, entries, day, no_holidays)
    assert part.charges == tuple(one for one in whole.charges if one.day <= day)
    assert part.movements == tuple(one for one in whole.movements if one.day <= day)
    assert part.left_after == sum(one.left for one in part.packages)
    assert part.carried.overage == sum(one.counted for one in part.charges if one.treatment is Treatment.OVERAGE)
