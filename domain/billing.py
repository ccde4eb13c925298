"""What work costs under a contract, and what is left of its hours: a pure function of the contract and the work.

Every entry is split where the answer changes: at local midnight, at the bounds of the working day, where other terms
apply, and where a package of hours is used up. What is charged is rounded as the terms say; what was worked never is.
Nothing here depends on the order in which entries come.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from domain import money
from domain.contracts import Contract
from domain.terms import (
    HOUR,
    ContractKind,
    Rollover,
    Rounding,
    RoundingDirection,
    RoundingScope,
    Terms,
    TermsVersion,
    TimeBand,
    WorkingCalendar,
)

Holidays = Callable[[WorkingCalendar, date], bool]
"""Whether a local day is a public holiday of the calendar's country."""


class Treatment(StrEnum):
    """What became of a stretch of work."""

    COVERED = "COVERED"
    """By a package of hours."""
    CHARGED = "CHARGED"
    OVERAGE = "OVERAGE"
    """No hours were left: charged at the overage rate, else by the rates."""
    FREE = "FREE"
    FIXED = "FIXED"
    """Within the fixed price."""
    NOT_BILLABLE = "NOT_BILLABLE"
    """Somebody marked it so."""
    NOT_COVERED = "NOT_COVERED"
    """Neither its service nor its role is in the contract."""
    NO_TERMS = "NO_TERMS"
    """The contract does not apply on that day."""
    NO_RATE = "NO_RATE"
    """No rate matches."""


_COUNTED = (Treatment.COVERED, Treatment.CHARGED)
"""Treatments that rounding is for, as they are before hours are drawn."""


class BillableWork(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as the contract sees it; `seconds`: net."""

    entry: UUID
    ticket: UUID
    person: UUID
    started_at: datetime
    ended_at: datetime
    seconds: int
    role: str
    service: UUID | None = None
    billable: bool = True
    comment: str | None = None


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of an entry that has one answer. `day`: local. `seconds`: worked; `billed`: after rounding; `counted`:
    by the calendar's factor. `version`: of the terms. `amount`: without tax."""

    entry: UUID
    ticket: UUID
    person: UUID
    day: date
    started_at: datetime
    ended_at: datetime
    band: TimeBand
    treatment: Treatment
    seconds: int
    version: int | None = None
    factor: Decimal = Decimal(1)
    billed: int = 0
    counted: int = 0
    package: UUID | None = None
    rate: Decimal | None = None
    amount: Decimal = Decimal(0)


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds: granted = drawn + expired + rolled + left. `rolled_from`: whose expired hours these are."""

    id: UUID
    valid_from: date
    expires_on: date | None
    granted: int
    drawn: int = 0
    expired: int = 0
    rolled: int = 0
    rolled_from: UUID | None = None

    @property
    def left(self) -> int:
        return self.granted - self.drawn - self.expired - self.rolled


class FeeKind(StrEnum):
    PACKAGE = "PACKAGE"
    FIXED_PRICE = "FIXED_PRICE"


class Fee(msgspec.Struct, frozen=True, kw_only=True):
    """What is due without work: a package that was bought, a fixed price."""

    kind: FeeKind
    day: date
    amount: Decimal
    package: UUID | None = None


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """Of a package's hours on a day; `seconds` are negative where they go."""

    day: date
    package: UUID
    seconds: int


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """All that a contract comes to up to a day. `charges`: by time."""

    charges: tuple[Charge, ...]
    packages: tuple[Package, ...]
    fees: tuple[Fee, ...]
    movements: tuple[Movement, ...]

    def left_before(self, day: date) -> int:
        """Seconds that were left when the day began."""
        return sum(one.seconds for one in self.movements if one.day < day)


def ledger(contract: Contract, work: Iterable[BillableWork], until: date, holidays: Holidays) -> Ledger:
    """Of the work and the packages up to the end of a day; what expires on it expires with its end."""
    pieces = [piece for one in work for piece in split(contract, one, holidays) if piece.day <= until]
    pieces.sort(key=lambda piece: (piece.day, piece.started_at, piece.entry, piece.ended_at))
    rounded = _rounded(pieces, contract)
    wallet = _Wallet(contract)
    charges: list[Charge] = []
    exact: list[Fraction] = []
    for piece in rounded:
        for charge in wallet.drawn(piece):
            charges.append(charge)
            exact.append(_exact(charge))
    wallet.expire(until + timedelta(days=1))
    return Ledger(
        charges=_priced(charges, exact, contract.currency),
        packages=tuple(one for one in wallet.packages.values() if one.rolled_from or one.valid_from <= until),
        fees=tuple(fee for fee in _fees(contract) if fee.day <= until),
        movements=tuple(one for one in wallet.movements if one.day <= until),
    )


# ---- splitting


def split(contract: Contract, work: BillableWork, holidays: Holidays) -> list[Charge]:
    """The entry in stretches of one local day, one band of the calendar and one version of the terms, with the net
    time shared among them by their lengths."""
    bounds: list[tuple[datetime, datetime, date, TimeBand, TermsVersion | None]] = []
    at = work.started_at
    while True:
        version, calendar = _applying(contract, at)
        day, band, until = _stretch(calendar, at, holidays)
        end = min(until, work.ended_at)
        ended = contract.last_day is not None and day > contract.last_day
        bounds.append((at, end, day, band, None if ended else version))
        at = end
        if at >= work.ended_at:
            break
    seconds = [work.seconds]
    if len(bounds) > 1:
        seconds = money.shares(work.seconds, [int((end - start).total_seconds()) for start, end, *_ in bounds])
    return [
        Charge(
            entry=work.entry,
            ticket=work.ticket,
            person=work.person,
            day=day,
            started_at=start,
            ended_at=end,
            band=band,
            seconds=net,
            treatment=treatment,
            version=None if version is None else version.number,
            rate=rate,
            factor=Decimal(1) if version is None else _factor(version.terms.calendar, band),
        )
        for (start, end, day, band, version), net in zip(bounds, seconds, strict=True)
        for treatment, rate in [_treated(work, version, band)]
    ]


def _applying(contract: Contract, at: datetime) -> tuple[TermsVersion | None, WorkingCalendar]:
    """The terms at an instant, by the local day of their own calendar; before the first, its calendar alone."""
    for version in reversed(contract.versions):
        calendar = version.terms.calendar
        if at.astimezone(_zone(calendar.time_zone)).date() >= version.applies_from:
            return version, calendar
    return None, contract.versions[0].terms.calendar


def _stretch(calendar: WorkingCalendar, at: datetime, holidays: Holidays) -> tuple[date, TimeBand, datetime]:
    """The local day and band of an instant, and until when they hold."""
    day = at.astimezone(_zone(calendar.time_zone)).date()
    opens, closes, midnight = _instants(calendar.time_zone, day, calendar.opens, calendar.closes)
    if holidays(calendar, day):
        return day, TimeBand.HOLIDAY, midnight
    if day.isoweekday() in calendar.weekend:
        return day, TimeBand.WEEKEND, midnight
    if at < opens:
        return day, TimeBand.EVENING, opens
    if at < closes:
        return day, TimeBand.WORKING, closes
    return day, TimeBand.EVENING, midnight


@lru_cache(10_000)
def _instants(zone: str, day: date, opens: int, closes: int) -> tuple[datetime, datetime, datetime]:
    """When the working day opens and closes, and when the next day begins, in UTC."""
    return _instant(zone, day, opens), _instant(zone, day, closes), _instant(zone, day, 1_440)


def _instant(zone: str, day: date, minutes: int) -> datetime:
    """Of a local time. One that the clocks skip is as far after the change as it would be without; of one that they
    show twice, the first."""
    days, minutes = divmod(minutes, 1_440)
    local = datetime.combine(day + timedelta(days=days), time(minutes // 60, minutes % 60), _zone(zone))
    return local.astimezone(UTC)


@lru_cache(1_000)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _treated(work: BillableWork, version: TermsVersion | None, band: TimeBand) -> tuple[Treatment, Decimal | None]:
    """What becomes of a stretch, and what an hour of it costs, before hours are drawn."""
    if version is None:
        return Treatment.NO_TERMS, None
    terms = version.terms
    treatment = _treatment(work, terms)
    if treatment is Treatment.CHARGED:
        rate = matching_rate(terms, work, band)
        return (Treatment.NO_RATE if rate is None else treatment), rate
    if treatment is Treatment.COVERED:
        return treatment, matching_rate(terms, work, band) if terms.overage_rate is None else terms.overage_rate
    return treatment, None


def _treatment(work: BillableWork, terms: Terms) -> Treatment:
    if not work.billable:
        return Treatment.NOT_BILLABLE
    if (terms.services and work.service not in terms.services) or (terms.roles and work.role not in terms.roles):
        return Treatment.NOT_COVERED
    return _BY_KIND[terms.kind]


_BY_KIND = {
    ContractKind.TIME_AND_MATERIALS: Treatment.CHARGED,
    ContractKind.PREPAID: Treatment.COVERED,
    ContractKind.FIXED_PRICE: Treatment.FIXED,
    ContractKind.FREE_SUPPORT: Treatment.FREE,
}


def matching_rate(terms: Terms, work: BillableWork, band: TimeBand) -> Decimal | None:
    """Per hour: the first rate of which all that it names holds."""
    grades = {grade.key for grade in terms.grades if work.person in grade.people}
    for rate in terms.rates:
        if (
            rate.service in (None, work.service)
            and rate.band in (None, band)
            and (rate.grade is None or rate.grade in grades)
        ):
            return rate.per_hour
    return None


def _factor(calendar: WorkingCalendar, band: TimeBand) -> Decimal:
    match band:
        case TimeBand.WORKING:
            return Decimal(1)
        case TimeBand.EVENING:
            return calendar.evening_factor
        case TimeBand.WEEKEND:
            return calendar.weekend_factor
        case TimeBand.HOLIDAY:
            return calendar.holiday_factor


# ---- rounding


def _rounded(pieces: Sequence[Charge], contract: Contract) -> list[Charge]:
    """With `billed` and `counted`: what is rounded together is shared among its stretches by their worked time."""
    groups: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for n, piece in enumerate(pieces):
        if piece.treatment in _COUNTED and piece.version is not None:
            scope = contract.versions[piece.version - 1].terms.rounding.scope
            groups[piece.version, *_together(piece, scope)].append(n)
    rounded = list(pieces)
    for (version, *_), members in groups.items():
        assert isinstance(version, int)
        rounding = contract.versions[version - 1].terms.rounding
        worked = [pieces[n].seconds for n in members]
        for n, billed in zip(members, money.shares(round_seconds(sum(worked), rounding), worked), strict=True):
            rounded[n] = replace(pieces[n], billed=billed, counted=_counted(billed, pieces[n].factor))
    return rounded


def _together(piece: Charge, scope: RoundingScope) -> tuple[object, ...]:
    match scope:
        case RoundingScope.ENTRY:
            return (piece.entry,)
        case RoundingScope.DAY:
            return (piece.day,)
        case RoundingScope.PERIOD:
            return (piece.day.year, piece.day.month)


def round_seconds(seconds: int, rounding: Rounding) -> int:
    """Nothing stays nothing; halves of a unit go up."""
    if seconds == 0:
        return 0
    units, rest = divmod(seconds, rounding.unit)
    match rounding.direction:
        case RoundingDirection.UP:
            units += rest > 0
        case RoundingDirection.NEAREST:
            units += 2 * rest >= rounding.unit
        case RoundingDirection.DOWN:
            pass
    return max(units * rounding.unit, rounding.minimum)


def _counted(billed: int, factor: Decimal) -> int:
    """To the nearest second, halves up."""
    if factor == 1:
        return billed
    exact = billed * Fraction(factor)
    return (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)


# ---- packages of hours


class _Wallet:
    """Packages while work is drawn from them, day by day."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self.packages: dict[UUID, Package] = {}
        self.order: list[UUID] = []
        self.movements: list[Movement] = []
        self._open: list[UUID] = []
        for grant in contract.grants:
            self._add(
                Package(
                    id=grant.grant,
                    valid_from=grant.valid_from,
                    expires_on=grant.expires_on,
                    granted=grant.seconds,
                )
            )

    def _add(self, package: Package) -> None:
        self.packages[package.id] = package
        self.order.append(package.id)
        self._open.append(package.id)
        self._open.sort(key=self._turn)
        # what rolls over is there when its first day begins, so it came the day before
        day = package.valid_from - timedelta(days=package.rolled_from is not None)
        self.movements.append(Movement(day=day, package=package.id, seconds=package.granted))

    def _turn(self, id_: UUID) -> tuple[date, date, int]:
        """First expiring first, then first bought."""
        package = self.packages[id_]
        return package.expires_on or date.max, package.valid_from, self.order.index(id_)

    def drawn(self, piece: Charge) -> list[Charge]:
        """The stretch, split where a package ends; what no package covers is overage. Pieces come by day."""
        if piece.treatment is not Treatment.COVERED:
            return [piece]
        self.expire(piece.day)
        if piece.counted == 0:
            return [piece]
        parts: list[Charge] = []
        rest = piece
        for id_ in list(self._open):
            package = self.packages[id_]
            if package.valid_from > piece.day:
                continue
            taken = min(package.left, rest.counted)
            first, rest = _cut(rest, taken)
            parts.append(replace(first, package=id_))
            self._take(id_, piece.day, drawn=taken)
            if rest.counted == 0:
                return parts
        return [*parts, replace(rest, treatment=Treatment.OVERAGE)]

    def expire(self, today: date) -> None:
        """What could be used on days before today only: it is lost, or rolls over once."""
        while due := [id_ for id_ in self._open if (self.packages[id_].expires_on or date.max) < today]:
            package = self.packages[due[0]]
            assert package.expires_on is not None
            rolled = self._rolling(package, package.expires_on)
            if rolled:
                self._roll(package, package.expires_on, rolled)
            self._take(package.id, package.expires_on, rolled=rolled, expired=package.left - rolled)

    def _rolling(self, package: Package, day: date) -> int:
        version = self._contract.version_on(day)
        if version is None or package.rolled_from is not None:
            return 0
        match version.terms.rollover:
            case Rollover.NONE:
                return 0
            case Rollover.CAPPED:
                return min(package.left, version.terms.rollover_cap or 0)
            case Rollover.ALL:
                return package.left

    def _roll(self, package: Package, last: date, seconds: int) -> None:
        first = last + timedelta(days=1)
        self._add(
            Package(
                id=uuid5(package.id, "rolled over"),
                valid_from=first,
                expires_on=as_long_after(package.valid_from, last, first),
                granted=seconds,
                rolled_from=package.id,
            )
        )

    def _take(self, id_: UUID, day: date, *, drawn: int = 0, expired: int = 0, rolled: int = 0) -> None:
        before = self.packages[id_]
        after = replace(
            before, drawn=before.drawn + drawn, expired=before.expired + expired, rolled=before.rolled + rolled
        )
        self.packages[id_] = after
        gone = drawn + expired + rolled
        if gone:
            self.movements.append(Movement(day=day, package=id_, seconds=-gone))
        if after.left == 0:
            self._open.remove(id_)


def as_long_after(first: date, last: date, start: date) -> date:
    """The last day of a time that begins at `start` and is as long as from `first` to `last`: as many months, where
    those are whole ones, else as many days."""
    after = last + timedelta(days=1)
    months = (after.year - first.year) * 12 + after.month - first.month
    if months > 0 and _months_later(first, months) == after:
        return _months_later(start, months) - timedelta(days=1)
    return start + (last - first)


def _months_later(day: date, months: int) -> date:
    """The same day of a later month; a month that has none such ends before it: the next one's first."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    try:
        return date(year, month + 1, day.day)
    except ValueError:
        return date(year + (month == 11), (month + 1) % 12 + 1, 1)


def _cut(piece: Charge, counted: int) -> tuple[Charge, Charge]:
    """In two, after so many counted seconds; the rest in proportion, to the second."""
    if counted == piece.counted:
        return piece, replace(piece, seconds=0, billed=0, counted=0, started_at=piece.ended_at)
    share = Fraction(counted, piece.counted)
    at = piece.started_at + timedelta(seconds=int((piece.ended_at - piece.started_at).total_seconds() * share))
    seconds, billed = int(piece.seconds * share), int(piece.billed * share)
    return (
        replace(piece, seconds=seconds, billed=billed, counted=counted, ended_at=at),
        replace(
            piece,
            seconds=piece.seconds - seconds,
            billed=piece.billed - billed,
            counted=piece.counted - counted,
            started_at=at,
        ),
    )


# ---- money


def _exact(charge: Charge) -> Fraction:
    if charge.treatment not in (Treatment.CHARGED, Treatment.OVERAGE) or charge.rate is None:
        return Fraction()
    return Fraction(charge.billed, HOUR) * Fraction(charge.factor) * Fraction(charge.rate)


def _priced(charges: Sequence[Charge], exact: Sequence[Fraction], currency: str) -> tuple[Charge, ...]:
    """With amounts in whole units that sum, in each month, to the month's exact sum in whole units."""
    months: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for n, charge in enumerate(charges):
        if exact[n]:
            months[charge.day.year, charge.day.month].append(n)
    priced = [replace(one, rate=None) if one.treatment is Treatment.COVERED else one for one in charges]
    for members in months.values():
        for n, amount in zip(members, money.amounts([exact[n] for n in members], currency), strict=True):
            priced[n] = replace(charges[n], amount=amount)
    return tuple(priced)


def _fees(contract: Contract) -> list[Fee]:
    packages = [
        Fee(kind=FeeKind.PACKAGE, day=grant.valid_from, amount=grant.price, package=grant.grant)
        for grant in contract.grants
        if grant.price is not None
    ]
    fixed = [
        Fee(kind=FeeKind.FIXED_PRICE, day=version.applies_from, amount=version.terms.price)
        for before, version in zip((None, *contract.versions), contract.versions, strict=False)
        if version.terms.price is not None and (before is None or before.terms.price != version.terms.price)
    ]
    return sorted([*packages, *fixed], key=lambda fee: fee.day)
