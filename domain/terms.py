"""What a contract says: what it covers, what an hour costs and when, how time is rounded, what becomes of hours."""

from datetime import date
from decimal import Decimal
from enum import StrEnum
from functools import partial
from uuid import UUID

import msgspec

from domain import money, text
from domain.clients import zone
from domain.errors import FieldRequired, InvalidValue

HOUR, DAY = 3_600, 86_400
GRANT_LIMIT = 100_000 * HOUR
RATES_LIMIT = 100
FACTOR_LIMIT = Decimal(10)


class ContractKind(StrEnum):
    TIME_AND_MATERIALS = "TIME_AND_MATERIALS"
    PREPAID = "PREPAID"
    FIXED_PRICE = "FIXED_PRICE"
    FREE_SUPPORT = "FREE_SUPPORT"


class TimeBand(StrEnum):
    """Of the contract's calendar. A holiday is one before it is a weekend."""

    WORKING = "WORKING"
    EVENING = "EVENING"
    WEEKEND = "WEEKEND"
    HOLIDAY = "HOLIDAY"


class RoundingDirection(StrEnum):
    UP = "UP"
    DOWN = "DOWN"
    NEAREST = "NEAREST"


class RoundingScope(StrEnum):
    """What is summed before it is rounded: an entry, all of a day, all of a month."""

    ENTRY = "ENTRY"
    DAY = "DAY"
    PERIOD = "PERIOD"


class Overage(StrEnum):
    """What becomes of work when no hours are left. BLOCK and, beyond its limit, LIMIT refuse to start it; what was
    worked all the same, is charged."""

    BLOCK = "BLOCK"
    CHARGE = "CHARGE"
    LIMIT = "LIMIT"


class Rollover(StrEnum):
    """What becomes of hours that expire: they are lost, or live once more as long, up to a cap or all of them."""

    NONE = "NONE"
    CAPPED = "CAPPED"
    ALL = "ALL"


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """What an hour costs where all that is named holds."""

    per_hour: Decimal
    service: UUID | None = None
    grade: str | None = None
    band: TimeBand | None = None


class Grade(msgspec.Struct, frozen=True, kw_only=True):
    """Who counts as what under this contract."""

    key: str
    people: tuple[UUID, ...]


class Rounding(msgspec.Struct, frozen=True, kw_only=True):
    """`unit`, `minimum`: seconds. The minimum holds for whatever is rounded together."""

    unit: int = 1
    direction: RoundingDirection = RoundingDirection.UP
    scope: RoundingScope = RoundingScope.ENTRY
    minimum: int = 0


class WorkingCalendar(msgspec.Struct, frozen=True, kw_only=True):
    """`opens`, `closes`: minutes after midnight, local time; before and after is evening. `weekend`: ISO weekdays.
    `country`: whose public holidays count, by ISO 3166, with a `subdivision`; None: no holidays. A factor says how many
    hours an hour counts."""

    time_zone: str = "UTC"
    opens: int = 0
    closes: int = 1_440
    weekend: tuple[int, ...] = (6, 7)
    country: str | None = None
    subdivision: str | None = None
    evening_factor: Decimal = Decimal(1)
    weekend_factor: Decimal = Decimal(1)
    holiday_factor: Decimal = Decimal(1)


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """`services`, `roles`: what is covered; none named: all. `rates`: the first that matches wins. `tax`: per cent.
    `price`: of a fixed-price contract, in all. `overage_rate`: per hour, in place of the rates. `overage_limit`,
    `rollover_cap`: seconds. `alerts`: per cent of a package that is used."""

    kind: ContractKind
    currency: str
    tax: Decimal = Decimal(0)
    services: tuple[UUID, ...] = ()
    roles: tuple[str, ...] = ()
    rates: tuple[Rate, ...] = ()
    grades: tuple[Grade, ...] = ()
    rounding: Rounding = Rounding()
    calendar: WorkingCalendar = WorkingCalendar()
    price: Decimal | None = None
    overage: Overage = Overage.CHARGE
    overage_rate: Decimal | None = None
    overage_limit: int | None = None
    rollover: Rollover = Rollover.NONE
    rollover_cap: int | None = None
    alerts: tuple[int, ...] = ()


class TermsVersion(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    applies_from: date
    terms: Terms


def checked(terms: Terms) -> Terms:
    """Raises FieldRequired, InvalidValue."""
    code = money.currency(terms.currency, ("terms", "currency"))
    rate = partial(money.quantity, most=money.AMOUNT_LIMIT)
    money.quantity(terms.tax, ("terms", "tax"), Decimal(100))
    if len(terms.rates) > RATES_LIMIT or len(terms.grades) > RATES_LIMIT:
        raise InvalidValue(f"Terms have {RATES_LIMIT} rates and {RATES_LIMIT} grades at most.", ("terms", "rates"))
    for grade in terms.grades:
        text.key(grade.key, "terms.grades.key")
    known = {grade.key for grade in terms.grades}
    for one in terms.rates:
        rate(one.per_hour, ("terms", "rates", "perHour"))
        if one.grade is not None and one.grade not in known:
            raise InvalidValue(f"No grade {one.grade[:80]!r} says who counts as it.", ("terms", "rates", "grade"))
    if terms.kind is ContractKind.TIME_AND_MATERIALS and not terms.rates:
        raise FieldRequired("terms.rates", "of a contract by time and materials")
    if (terms.kind is ContractKind.FIXED_PRICE) != (terms.price is not None):
        raise InvalidValue("A fixed-price contract has a price, and no other has.", ("terms", "price"))
    if terms.price is not None:
        money.amount(terms.price, code, ("terms", "price"))
    if terms.overage_rate is not None:
        rate(terms.overage_rate, ("terms", "overageRate"))
    _limited(terms.overage is Overage.LIMIT, terms.overage_limit, "overageLimit")
    _limited(terms.rollover is Rollover.CAPPED, terms.rollover_cap, "rolloverCap")
    if any(not 1 <= alert <= 1_000 for alert in terms.alerts) or len(terms.alerts) > 20:
        raise InvalidValue("Alerts are 20 at most, each 1 to 1000 per cent.", ("terms", "alerts"))
    _check_rounding(terms.rounding)
    _check_calendar(terms.calendar)
    return terms


def _limited(needed: bool, seconds: int | None, field: str) -> None:
    if needed != (seconds is not None):
        raise InvalidValue(f"{field} goes with its own choice, and with no other.", ("terms", field))
    if seconds is not None and not 0 <= seconds <= GRANT_LIMIT:
        raise InvalidValue(f"{field} is 0 to {GRANT_LIMIT:,} seconds.", ("terms", field))


def _check_rounding(rounding: Rounding) -> None:
    if not 1 <= rounding.unit <= DAY:
        raise InvalidValue("unit is 1 to 86,400 seconds: a day.", ("terms", "rounding", "unit"))
    if not 0 <= rounding.minimum <= DAY:
        raise InvalidValue("minimum is 0 to 86,400 seconds: a day.", ("terms", "rounding", "minimum"))


def _check_calendar(calendar: WorkingCalendar) -> None:
    where = ("terms", "calendar")
    zone(calendar.time_zone, (*where, "timeZone"))
    if not 0 <= calendar.opens < calendar.closes <= 1_440:
        raise InvalidValue("opens is before closes, both 0 to 1440 minutes after midnight.", (*where, "opens"))
    if any(not 1 <= day <= 7 for day in calendar.weekend):
        raise InvalidValue("weekend names ISO weekdays: 1 is Monday, 7 is Sunday.", (*where, "weekend"))
    for field, factor in (
        ("eveningFactor", calendar.evening_factor),
        ("weekendFactor", calendar.weekend_factor),
        ("holidayFactor", calendar.holiday_factor),
    ):
        money.quantity(factor, (*where, field), FACTOR_LIMIT)
