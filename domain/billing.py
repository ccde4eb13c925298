"""What work costs under a contract, and what is left of its hours: a pure function of the contract and the work.

Every entry is split where the answer changes: at local midnight, at the bounds of the working day, where other terms
apply, and where a package of hours is used up. What is charged is rounded as the terms say; what was worked never is.
Nothing here depends on the order in which entries come, and what a day comes to depends on nothing after its month: so
days that were settled are handed on (`Carried`), and only what comes later is worked out.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from domain import money
from domain.contracts import Contract, HoursGranted
from domain.hour_packages import Movement, Package, Wallet
from domain.terms import (
    HOUR,
    ContractKind,
    Rounding,
    RoundingDirection,
    RoundingScope,
    Terms,
    TermsVersion,
    TimeBand,
    WorkingCalendar,
)
from domain.work import ENTRY_LIMIT

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
    service: UUID | None = None
    version: int | None = None
    factor: Decimal = Decimal(1)
    billed: int = 0
    counted: int = 0
    package: UUID | None = None
    rate: Decimal | None = None
    amount: Decimal = Decimal(0)


class FeeKind(StrEnum):
    PACKAGE = "PACKAGE"
    FIXED_PRICE = "FIXED_PRICE"


class Fee(msgspec.Struct, frozen=True, kw_only=True):
    """What is due without work: a package that was bought, a fixed price. `seconds`: of the package."""

    kind: FeeKind
    day: date
    amount: Decimal
    package: UUID | None = None
    seconds: int = 0


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """What a contract hands on when a day ends. `overage`: counted seconds that no package covered, of all time and of
    the day's month."""

    day: date
    packages: tuple[Package, ...]
    overage: int
    overage_of_month: int


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """What a contract came to up to a day: since it began, or after what was handed on. `charges`: by time. `opening`:
    seconds of packages that were handed on. `carried`: what it hands on in its turn."""

    charges: tuple[Charge, ...]
    fees: tuple[Fee, ...]
    movements: tuple[Movement, ...]
    opening: int
    carried: Carried

    @property
    def packages(self) -> tuple[Package, ...]:
        return self.carried.packages

    def left_before(self, day: date) -> int:
        """Seconds that were left when the day began, after what was handed on."""
        return self.opening + sum(one.seconds for one in self.movements if one.day < day)

    @property
    def left_after(self) -> int:
        """Seconds that are left when the last day has ended."""
        return self.opening + sum(one.seconds for one in self.movements)


def ledger(
    contract: Contract, work: Iterable[BillableWork], until: date, holidays: Holidays, after: Carried | None = None
) -> Ledger:
    """Of the packages and the work up to the end of a day; what expires on it expires with its end. `work`: all that
    touches the days after `after` (else: all there is) and up to the end of the last day's month, since a month is
    rounded and priced as a whole. `after`: of the end of a month, or of a day that no work in its month comes after."""
    since = date.min if after is None else after.day
    pieces = _pieces(contract, work, since, month_end(until), holidays)
    wallet = Wallet(contract, month_end(until), () if after is None else after.packages)
    charges: list[Charge] = []
    last = len(pieces)
    for n, piece in enumerate(pieces):
        if piece.day > until:
            last = n
            break
        charges += _drawn(piece, wallet)
    wallet.expire(until)
    packages, movements = wallet.packages(until), wallet.movements(until)
    known = len(charges)
    for piece in pieces[last:]:  # the rest of the month has its share of the month's rounding
        charges += _drawn(piece, wallet)
    priced = _priced(charges, contract.currency)[:known]
    over = [one for one in priced if one.treatment is Treatment.OVERAGE]
    month = (until.year, until.month)
    of_month = sum(one.counted for one in over if (one.day.year, one.day.month) == month)
    if after is not None and (since.year, since.month) == month:
        of_month += after.overage_of_month
    return Ledger(
        charges=tuple(priced),
        fees=tuple(fees(contract, until)),
        movements=movements,
        opening=0 if after is None else sum(one.left for one in after.packages),
        carried=Carried(
            day=until,
            packages=packages,
            overage=(0 if after is None else after.overage) + sum(one.counted for one in over),
            overage_of_month=of_month,
        ),
    )


def month_end(day: date) -> date:
    """The last day of its month."""
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def settled_by(contract: Contract, day: date) -> Contract:
    """The contract with all of it that what it came to by the end of the day depends on: an entry that began then may
    go on under later terms, and is rounded as a whole."""
    horizon = day + ENTRY_LIMIT + timedelta(days=1)
    return Contract(
        client=contract.client,
        name="",
        versions=(contract.versions[0], *(one for one in contract.versions[1:] if one.applies_from <= horizon)),
        grants=tuple(_bought_by(one, day) for one in contract.grants if one.valid_from <= day),
        last_day=contract.last_day if contract.last_day is not None and contract.last_day <= horizon else None,
    )


def _bought_by(grant: HoursGranted, day: date) -> HoursGranted:
    """Without an end of its renewal that is to come."""
    stopped = grant.renews_until is not None and grant.renews_until < day
    return grant if stopped else replace(grant, renews_until=None)


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """Of charges that have these in common."""

    person: UUID
    service: UUID | None
    treatment: Treatment
    seconds: int
    billed: int
    amount: Decimal


def sums(charges: Iterable[Charge]) -> list[Sum]:
    groups: dict[tuple[UUID, UUID | None, Treatment], list[Charge]] = defaultdict(list)
    for one in charges:
        groups[one.person, one.service, one.treatment].append(one)
    return [
        Sum(
            person=person,
            service=service,
            treatment=treatment,
            seconds=sum(one.seconds for one in members),
            billed=sum(one.billed for one in members),
            amount=sum((one.amount for one in members), Decimal(0)),
        )
        for (person, service, treatment), members in groups.items()
    ]


# ---- splitting


def split(contract: Contract, work: BillableWork, holidays: Holidays) -> list[Charge]:
    """The entry in stretches of one local day, one band of the calendar and one version of the terms, with the net
    time shared among them by their lengths. What is rounded by the entry is rounded."""
    return _Splitter(contract, holidays).split(work)


class _Splitter:
    """Of one contract: what many entries ask is answered once."""

    def __init__(self, contract: Contract, holidays: Holidays) -> None:
        self._holidays = holidays
        self._last_day = contract.last_day
        self._first = contract.versions[0].terms.calendar
        self._begins = [(_instant(one.terms.calendar.time_zone, one.applies_from, 0), one) for one in contract.versions]
        self._bands: dict[tuple[int, date], tuple[tuple[datetime, TimeBand], ...]] = {}
        self._answers: dict[tuple[object, ...], tuple[Treatment, Decimal | None, Decimal]] = {}

    def split(self, work: BillableWork) -> list[Charge]:
        bounds: list[tuple[datetime, datetime, date, TimeBand, TermsVersion | None]] = []
        at, ended = work.started_at, work.ended_at
        while True:
            version, changes = self._applying(at)
            day, band, until = self._stretch(version, at)
            end = min(until, ended) if changes is None else min(until, ended, changes)
            over = self._last_day is not None and day > self._last_day
            bounds.append((at, end, day, band, None if over else version))
            at = end
            if at >= ended:
                break
        seconds = [work.seconds]
        if len(bounds) > 1:
            seconds = money.shares(work.seconds, [(end - start) // _SECOND for start, end, *_ in bounds])
        answers = [self._answer(work, version, band) for _, _, _, band, version in bounds]
        billed = _by_entry(seconds, [bound[-1] for bound in bounds], [answer[0] for answer in answers])
        return [
            Charge(
                entry=work.entry,
                ticket=work.ticket,
                person=work.person,
                day=day,
                started_at=start,
                ended_at=end,
                band=band,
                treatment=treatment,
                seconds=net,
                service=work.service,
                version=None if version is None else version.number,
                factor=factor,
                billed=rounded,
                counted=_counted(rounded, factor),
                rate=rate,
            )
            for (start, end, day, band, version), (treatment, rate, factor), net, rounded in zip(
                bounds, answers, seconds, billed, strict=True
            )
        ]

    def _applying(self, at: datetime) -> tuple[TermsVersion | None, datetime | None]:
        """The terms at an instant, and when later ones begin. Each begins with a local day of its own calendar."""
        changes: datetime | None = None
        for begins, version in reversed(self._begins):
            if at >= begins:
                return version, changes
            changes = begins
        return None, changes

    def _stretch(self, version: TermsVersion | None, at: datetime) -> tuple[date, TimeBand, datetime]:
        """The local day and band of an instant, and until when they hold; before all terms, by the first ones."""
        calendar = self._first if version is None else version.terms.calendar
        day = at.astimezone(_zone(calendar.time_zone)).date()
        key = (0 if version is None else version.number, day)
        bands = self._bands.get(key)
        if bands is None:
            bands = self._bands[key] = _bands(calendar, day, self._holidays)
        until, band = next(one for one in bands if at < one[0])
        return day, band, until

    def _answer(
        self, work: BillableWork, version: TermsVersion | None, band: TimeBand
    ) -> tuple[Treatment, Decimal | None, Decimal]:
        """What becomes of a stretch and what an hour of it costs, before hours are drawn; and the factor."""
        if version is None:
            return Treatment.NO_TERMS, None, Decimal(1)
        key = (version.number, work.role, work.service, work.person, work.billable, band)
        answer = self._answers.get(key)
        if answer is None:
            factor = _factor(version.terms.calendar, band)
            answer = self._answers[key] = (*_treated(work, version.terms, band), factor)
        return answer


_SECOND = timedelta(seconds=1)


def _bands(calendar: WorkingCalendar, day: date, holidays: Holidays) -> tuple[tuple[datetime, TimeBand], ...]:
    """Of a local day, each with the instant at which it ends."""
    opens, closes, midnight = _instants(calendar.time_zone, day, calendar.opens, calendar.closes)
    if holidays(calendar, day):
        return ((midnight, TimeBand.HOLIDAY),)
    if day.isoweekday() in calendar.weekend:
        return ((midnight, TimeBand.WEEKEND),)
    return ((opens, TimeBand.EVENING), (closes, TimeBand.WORKING), (midnight, TimeBand.EVENING))


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


def _treated(work: BillableWork, terms: Terms, band: TimeBand) -> tuple[Treatment, Decimal | None]:
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

_COUNTED = (Treatment.COVERED, Treatment.CHARGED)
"""What rounding is for, as it is before hours are drawn."""


def _by_entry(
    seconds: Sequence[int], versions: Sequence[TermsVersion | None], treatments: Sequence[Treatment]
) -> list[int]:
    """Billed seconds of an entry's stretches, where the terms round by the entry; else 0."""
    billed = [0] * len(seconds)
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for n, (version, treatment) in enumerate(zip(versions, treatments, strict=True)):
        if treatment in _COUNTED and version is not None and version.terms.rounding.scope is RoundingScope.ENTRY:
            groups[version.number].append(n)
    for members in groups.values():
        version = versions[members[0]]
        assert version is not None, "it is counted"
        _share(version.terms.rounding, seconds, members, billed)
    return billed


def _share(rounding: Rounding, seconds: Sequence[int], members: Sequence[int], billed: list[int]) -> None:
    """What is rounded together is shared by the worked time."""
    worked = [seconds[n] for n in members]
    total = round_seconds(sum(worked), rounding)
    for n, share in zip(members, money.shares(total, worked) if len(members) > 1 else [total], strict=True):
        billed[n] = share


def _pieces(
    contract: Contract, work: Iterable[BillableWork], since: date, until: date, holidays: Holidays
) -> list[Charge]:
    """After a day and up to another, by time, with `billed` and `counted`."""
    splitter = _Splitter(contract, holidays)
    pieces = [piece for one in work for piece in splitter.split(one) if since < piece.day <= until]
    pieces.sort(key=lambda piece: (piece.day, piece.started_at, piece.entry, piece.ended_at))
    groups: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for n, piece in enumerate(pieces):
        if piece.version is None or piece.treatment not in _COUNTED:
            continue
        match contract.versions[piece.version - 1].terms.rounding.scope:
            case RoundingScope.ENTRY:
                pass
            case RoundingScope.DAY:
                groups[piece.version, piece.day.toordinal()].append(n)
            case RoundingScope.PERIOD:
                groups[piece.version, piece.day.year, piece.day.month].append(n)
    seconds, billed = [piece.seconds for piece in pieces], [piece.billed for piece in pieces]
    for (number, *_), members in groups.items():
        _share(contract.versions[number - 1].terms.rounding, seconds, members, billed)
        for n in members:
            pieces[n] = replace(pieces[n], billed=billed[n], counted=_counted(billed[n], pieces[n].factor))
    return pieces


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
    if factor == 1 or billed == 0:
        return billed
    return (2 * billed * _millionths(factor) + _MILLION) // (2 * _MILLION)


_MILLION = 10**6


@lru_cache(10_000)
def _millionths(value: Decimal) -> int:
    """Of a factor or rate, which have six decimals at most."""
    return int(value.scaleb(6))


# ---- packages of hours


def _drawn(piece: Charge, wallet: Wallet) -> list[Charge]:
    """The stretch, split where a package ends; what no package covers is overage. Pieces come by day."""
    if piece.treatment is not Treatment.COVERED or piece.counted == 0:
        return [piece]
    parts: list[Charge] = []
    rest = piece
    for package, taken in wallet.draw(piece.day, piece.counted):
        if taken == rest.counted:
            return [*parts, replace(rest, package=package)]
        first, rest = _cut(rest, taken)
        parts.append(replace(first, package=package))
    return [*parts, replace(rest, treatment=Treatment.OVERAGE)]


def _cut(piece: Charge, counted: int) -> tuple[Charge, Charge]:
    """In two, after so many counted seconds, not all; the rest in proportion, to the second."""

    def part(whole: int) -> int:
        return whole * counted // piece.counted

    at = piece.started_at + timedelta(seconds=part((piece.ended_at - piece.started_at) // _SECOND))
    seconds, billed = part(piece.seconds), part(piece.billed)
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

_PER = HOUR * _MILLION * _MILLION
"""What exact amounts are divided by."""


def _exact(charge: Charge) -> int:
    if charge.treatment not in (Treatment.CHARGED, Treatment.OVERAGE) or charge.rate is None:
        return 0
    return charge.billed * _millionths(charge.factor) * _millionths(charge.rate)


def _priced(charges: Sequence[Charge], currency: str) -> list[Charge]:
    """With amounts in whole units that sum, in each month, to the month's exact sum in whole units."""
    months: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    exact = [_exact(one) for one in charges]
    for n, charge in enumerate(charges):
        if exact[n]:
            months[charge.day.year, charge.day.month].append(n)
    priced = [replace(one, rate=None) if one.treatment is Treatment.COVERED else one for one in charges]
    for members in months.values():
        for n, amount in zip(members, money.amounts([exact[n] for n in members], _PER, currency), strict=True):
            priced[n] = replace(charges[n], amount=amount)
    return priced


def fees(contract: Contract, until: date) -> list[Fee]:
    """Up to a day, by day."""
    packages = [
        Fee(
            kind=FeeKind.PACKAGE,
            day=grant.valid_from,
            amount=grant.price,
            package=grant.grant,
            seconds=grant.seconds,
        )
        for grant in contract.packages(until)
        if grant.price is not None
    ]
    fixed = [
        Fee(kind=FeeKind.FIXED_PRICE, day=version.applies_from, amount=version.terms.price)
        for before, version in zip((None, *contract.versions), contract.versions, strict=False)
        if version.terms.price is not None and (before is None or before.terms.price != version.terms.price)
    ]
    return sorted((fee for fee in [*packages, *fixed] if fee.day <= until), key=lambda fee: fee.day)
