"""What work costs under a contract, and what is left of its hours: a pure function of the contract and the work.

Every entry is split where the answer changes: at local midnight, at the bounds of the working day, where other terms
apply, and where a package of hours is used up. What is charged is rounded as the terms say; what was worked never is.
Nothing here depends on the order in which entries come, and what a day comes to depends on nothing after its month: so
days that were settled are handed on (`Carried`), and only what comes later is worked out.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from itertools import groupby
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


class BillableWork(msgspec.Struct, frozen=True, gc=False):
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


class Charge(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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
    drawn: list[_Piece] = []
    last = len(pieces)
    for n, piece in enumerate(pieces):
        if piece.place.day > until:
            last = n
            break
        drawn += _drawn(piece, wallet)
    wallet.expire(until)
    packages, movements = wallet.packages(until), wallet.movements(until)
    known = len(drawn)
    for piece in pieces[last:]:  # the rest of the month has its share of the month's rounding
        drawn += _drawn(piece, wallet)
    amounts = _amounts(drawn, contract.currency)
    priced = [_charge(piece, amount) for piece, amount in zip(drawn[:known], amounts, strict=False)]
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
    found: dict[tuple[UUID, UUID | None, Treatment], tuple[int, int, Decimal]] = {}
    for one in charges:
        key = (one.person, one.service, one.treatment)
        seconds, billed, amount = found.get(key, (0, 0, _NOTHING))
        found[key] = seconds + one.seconds, billed + one.billed, amount + one.amount
    return [
        Sum(person=person, service=service, treatment=treatment, seconds=seconds, billed=billed, amount=amount)
        for (person, service, treatment), (seconds, billed, amount) in found.items()
    ]


# ---- splitting


def split(contract: Contract, work: BillableWork, holidays: Holidays) -> list[Charge]:
    """The entry in stretches of one local day, one band of the calendar and one version of the terms, with the net
    time shared among them by their lengths. What is rounded by the entry is rounded."""
    return [_charge(piece, _NOTHING) for piece in _Splitter(contract, holidays).split(work)]


class _Answer(msgspec.Struct, frozen=True):
    """What becomes of such work before hours are drawn. `rate`: per hour. `rounding`: None where nothing is billed;
    `by_entry`: whether that is by the entry. `weight`: the factor in millionths. `price`: of a billed second, in what
    exact amounts are reckoned in (`_PER`)."""

    treatment: Treatment
    rate: Decimal | None
    factor: Decimal
    rounding: Rounding | None
    by_entry: bool
    weight: int
    price: int


class _Place(msgspec.Struct, frozen=True):
    """A time within which the answer does not change: in one band of a local day, under one version of the terms; up to
    an instant. `answers`: by all of a piece of work that they depend on, of places alike together."""

    until: datetime
    day: date
    band: TimeBand
    version: TermsVersion | None
    answers: dict[tuple[object, ...], _Answer]


class _Piece(msgspec.Struct, gc=False):
    """A charge while it is reckoned."""

    work: BillableWork
    place: _Place
    answer: _Answer
    treatment: Treatment
    started_at: datetime
    ended_at: datetime
    seconds: int
    billed: int = 0
    counted: int = 0
    package: UUID | None = None

    def bill(self, seconds: int) -> None:
        self.billed = seconds
        self.counted = _counted(seconds, self.answer.weight)


def _charge(piece: _Piece, amount: Decimal) -> Charge:
    work, place, answer = piece.work, piece.place, piece.answer
    return Charge(
        entry=work.entry,
        ticket=work.ticket,
        person=work.person,
        day=place.day,
        started_at=piece.started_at,
        ended_at=piece.ended_at,
        band=place.band,
        treatment=piece.treatment,
        seconds=piece.seconds,
        service=work.service,
        version=None if place.version is None else place.version.number,
        factor=answer.factor,
        billed=piece.billed,
        counted=piece.counted,
        package=piece.package,
        rate=None if piece.treatment is Treatment.COVERED else answer.rate,
        amount=amount,
    )


class _Splitter:
    """Of one contract: what many entries ask is answered once."""

    def __init__(self, contract: Contract, holidays: Holidays) -> None:
        self._holidays = holidays
        self._last_day = contract.last_day
        self._first = contract.versions[0].terms.calendar
        self._begins = [(_instant(one.terms.calendar.time_zone, one.applies_from, 0), one) for one in contract.versions]
        self._places: dict[tuple[int, date], list[_Place]] = {}
        self._answers: defaultdict[tuple[int, TimeBand], dict[tuple[object, ...], _Answer]] = defaultdict(dict)

    def split(self, work: BillableWork) -> list[_Piece]:
        place, started, ended = self._place(work.started_at), work.started_at, work.ended_at
        if ended <= place.until:  # nearly all
            pieces = [self._piece(work, place, started, ended, work.seconds)]
        else:
            pieces = self._parts(work, place)
        _round_by_entry(pieces)
        return pieces

    def _parts(self, work: BillableWork, place: _Place) -> list[_Piece]:
        at, stretches = work.started_at, list[tuple[_Place, datetime, datetime]]()
        while place.until < work.ended_at:
            stretches.append((place, at, place.until))
            at = place.until
            place = self._place(at)
        stretches.append((place, at, work.ended_at))
        seconds = money.shares(work.seconds, [(end - start) // _SECOND for _, start, end in stretches])
        return [self._piece(work, *stretch, net) for stretch, net in zip(stretches, seconds, strict=True)]

    def _piece(self, work: BillableWork, place: _Place, start: datetime, end: datetime, seconds: int) -> _Piece:
        key = (work.role, work.service, work.person, work.billable)
        answer = place.answers.get(key)
        if answer is None:
            answer = place.answers[key] = _answered(work, place.version, place.band)
        return _Piece(work, place, answer, answer.treatment, start, end, seconds)

    def _place(self, at: datetime) -> _Place:
        """Before all terms, by the first ones' calendar."""
        version, changes = self._applying(at)
        calendar = self._first if version is None else version.terms.calendar
        day = at.astimezone(_zone(calendar.time_zone)).date()
        key = (0 if version is None else version.number, day)
        places = self._places.get(key)
        if places is None:
            places = self._places[key] = list(self._places_of(calendar, version, changes, day))
        for place in places:
            if at < place.until:
                return place
        raise AssertionError("a day ends with the next one's midnight")

    def _applying(self, at: datetime) -> tuple[TermsVersion | None, datetime | None]:
        """The terms at an instant, and when later ones begin. Each begins with a local day of its own calendar."""
        changes: datetime | None = None
        for begins, version in reversed(self._begins):
            if at >= begins:
                return version, changes
            changes = begins
        return None, changes

    def _places_of(
        self, calendar: WorkingCalendar, version: TermsVersion | None, changes: datetime | None, day: date
    ) -> Iterator[_Place]:
        if self._last_day is not None and day > self._last_day:
            version = None
        number = 0 if version is None else version.number
        for until, band in _bands(calendar, day, self._holidays):
            until = until if changes is None else min(until, changes)
            yield _Place(until, day, band, version, self._answers[number, band])


def _answered(work: BillableWork, version: TermsVersion | None, band: TimeBand) -> _Answer:
    if version is None:
        return _Answer(Treatment.NO_TERMS, None, Decimal(1), None, by_entry=False, weight=_MILLION, price=0)
    treatment, rate = _treated(work, version.terms, band)
    factor = _factor(version.terms.calendar, band)
    weight = _millionths(factor)
    rounding = version.terms.rounding if treatment in _COUNTED else None
    return _Answer(
        treatment=treatment,
        rate=rate,
        factor=factor,
        rounding=rounding,
        by_entry=rounding is not None and rounding.scope is RoundingScope.ENTRY,
        weight=weight,
        price=0 if rate is None else weight * _millionths(rate),
    )


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


def _round_by_entry(pieces: Sequence[_Piece]) -> None:
    """Of one entry, where the terms round by the entry; what is under later terms by itself."""
    billed = [piece for piece in pieces if piece.answer.by_entry]
    if len(billed) == 1:
        _round(billed)
    else:
        for _, members in groupby(billed, lambda piece: piece.place.version):
            _round(list(members))


def _round(members: Sequence[_Piece]) -> None:
    """What is rounded together is shared by the worked time."""
    rounding = members[0].answer.rounding
    assert rounding is not None, "it is billed"
    if len(members) == 1:
        members[0].bill(round_seconds(members[0].seconds, rounding))
        return
    worked = [piece.seconds for piece in members]
    total = round_seconds(sum(worked), rounding)
    for piece, share in zip(members, money.shares(total, worked), strict=True):
        piece.bill(share)


def _pieces(
    contract: Contract, work: Iterable[BillableWork], since: date, until: date, holidays: Holidays
) -> list[_Piece]:
    """After a day and up to another, by time, with what is billed and counted."""
    splitter = _Splitter(contract, holidays)
    pieces = [piece for one in work for piece in splitter.split(one) if since < piece.place.day <= until]
    pieces.sort(key=lambda piece: (piece.place.day, piece.started_at, piece.work.entry, piece.ended_at))
    groups: dict[tuple[int, date], list[_Piece]] = {}
    for piece in pieces:
        rounding, version, day = piece.answer.rounding, piece.place.version, piece.place.day
        if rounding is not None and version is not None and not piece.answer.by_entry:
            first = day if rounding.scope is RoundingScope.DAY else day.replace(day=1)
            groups.setdefault((version.number, first), []).append(piece)
    for members in groups.values():
        _round(members)
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


def _counted(billed: int, weight: int) -> int:
    """To the nearest second, halves up. `weight`: the factor in millionths."""
    return (2 * billed * weight + _MILLION) // (2 * _MILLION)


_MILLION = 10**6


def _millionths(value: Decimal) -> int:
    """Of a factor or rate, which have six decimals at most."""
    return int(value.scaleb(6))


# ---- packages of hours


def _drawn(piece: _Piece, wallet: Wallet) -> list[_Piece]:
    """The stretch, split where a package ends; what no package covers is overage. Pieces come by day."""
    if piece.treatment is not Treatment.COVERED or piece.counted == 0:
        return [piece]
    parts: list[_Piece] = []
    rest = piece
    for package, taken in wallet.draw(piece.place.day, piece.counted):
        if taken == rest.counted:
            rest.package = package
            return [*parts, rest]
        first, rest = _cut(rest, taken)
        first.package = package
        parts.append(first)
    rest.treatment = Treatment.OVERAGE
    return [*parts, rest]


def _cut(piece: _Piece, counted: int) -> tuple[_Piece, _Piece]:
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

_NOTHING = Decimal(0)


def _amounts(pieces: Sequence[_Piece], currency: str) -> list[Decimal]:
    """In whole units that sum, in each month, to the month's exact sum in whole units."""
    months: dict[tuple[int, int], tuple[list[int], list[int]]] = {}
    for n, piece in enumerate(pieces):
        exact = piece.billed * piece.answer.price
        if exact and piece.treatment in (Treatment.CHARGED, Treatment.OVERAGE):
            day = piece.place.day
            places, amounts = months.setdefault((day.year, day.month), ([], []))
            places.append(n)
            amounts.append(exact)
    found = [_NOTHING] * len(pieces)
    for places, amounts in months.values():
        for n, amount in zip(places, money.amounts(amounts, _PER, currency), strict=True):
            found[n] = amount
    return found


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
