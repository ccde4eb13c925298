"""Reports over work and contracts: hours against a norm, what contracts bring in, what is not billed yet, which hours
run out. All of them as of any moment, and for those alone who may read everything."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import LiteralString
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from psycopg import sql

from domain import money
from domain.billing import Carried, Fee, Sum, Treatment, fees, ledger, month_end, sums
from domain.hour_packages import Package, usage
from domain.terms import ContractKind, WorkingCalendar
from projections import accounts, contracts, moments, work
from projections.billing import account, closed_periods, drawn, fixed, is_holiday, must_be_days, standing, today
from projections.contracts import as_contract
from projections.filters import PageAsk
from projections.reading import BadInput, Moment, Page, View
from projections.rows import ContractRow, DrawnStatement

DAYS_LIMIT = 400
RATED_LIMIT = 300_000
"""Changes to work that a report looks at where nothing is settled: about ten seconds."""
PAID = (Treatment.COVERED, Treatment.CHARGED, Treatment.OVERAGE)
"""What somebody pays for, by the hour or beforehand."""


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """From the first to the last day."""

    since: date
    until: date


def span(since: date, until: date) -> Span:
    """Raises BadInput."""
    must_be_days(since, until)
    if (until - since).days >= DAYS_LIMIT:
        raise BadInput(f"A report covers {DAYS_LIMIT} days at most.")
    return Span(since=since, until=until)


# ---- hours against a norm


class Norm(msgspec.Struct, frozen=True, kw_only=True):
    """What a person is to work: seconds of each working day of the calendar, public holidays left out."""

    seconds_per_day: int = 8 * 3600
    calendar: WorkingCalendar = WorkingCalendar()

    def of(self, days: Span) -> int:
        count = (days.until - days.since).days + 1
        each = (days.since + timedelta(days=n) for n in range(count))
        calendar = self.calendar
        worked = (day for day in each if day.isoweekday() not in calendar.weekend and not is_holiday(calendar, day))
        return self.seconds_per_day * sum(1 for _ in worked)


def _share(part: int, whole: int) -> float | None:
    """Of 1; None: of nothing."""
    return part / whole if whole else None


class HoursRow(msgspec.Struct, frozen=True, kw_only=True):
    """Of a person in a week, in seconds. `week`: its Monday. `billable`: under a contract, and not marked otherwise."""

    person: UUID
    week: date
    worked: int
    billable: int
    norm: int

    @property
    def billable_share(self) -> float | None:
        return _share(self.billable, self.worked)


async def hours(view: View, days: Span, norm: Norm, person: UUID | None, moment: Moment) -> list[HoursRow]:
    """By week and person, those alone who worked. Work across midnight counts on both days."""
    zone = ZoneInfo(norm.calendar.time_zone)
    begins = datetime(days.since.year, days.since.month, days.since.day, tzinfo=zone)
    last = days.until + timedelta(days=1)
    arguments = {
        "zone": norm.calendar.time_zone,
        "begins": begins,
        "ends": datetime(last.year, last.month, last.day, tzinfo=zone),
        "person": person,
        "position": moment.position,
        **moments.arguments(moment),
    }
    found: defaultdict[tuple[date, UUID], list[int]] = defaultdict(lambda: [0, 0])
    for week, who, worked, billable in await view.fetch(_hours(moment), arguments):
        found[week, who][0] += worked
        found[week, who][1] += billable
    for who, start, end, seconds, billable in await view.fetch(_crossing(moment), arguments):
        for day, share in _by_day(start.astimezone(zone), end.astimezone(zone), seconds):
            if days.since <= day <= days.until:
                week = day - timedelta(days=day.weekday())
                found[week, who][0] += share
                found[week, who][1] += share if billable else 0
    norms = {week: norm.of(_within(days, week)) for week in {week for week, _ in found}}
    return [
        HoursRow(person=who, week=week, worked=worked, billable=billable, norm=norms[week])
        for (week, who), (worked, billable) in sorted(found.items())
    ]


def _within(days: Span, week: date) -> Span:
    return Span(since=max(days.since, week), until=min(days.until, week + timedelta(days=6)))


def _by_day(start: datetime, end: datetime, seconds: int) -> list[tuple[date, int]]:
    """Local days, with the net time shared by how much of it lies in each."""
    days = [start.date() + timedelta(days=n) for n in range((end.date() - start.date()).days + 1)]
    bounds = [datetime(day.year, day.month, day.day, tzinfo=start.tzinfo).astimezone(UTC) for day in days[1:]]
    edges = [start.astimezone(UTC), *bounds, end.astimezone(UTC)]
    lengths = [(later - earlier) // timedelta(seconds=1) for earlier, later in pairwise(edges)]
    return list(zip(days, money.shares(seconds, lengths), strict=True))


_LOCAL: LiteralString = "date_trunc('day', w.started_at at time zone %(zone)s)"
_BILLABLE: LiteralString = "w.billable and b.id is not null"


def _hours(moment: Moment) -> sql.Composed:
    """Of work that lies within a local day: one of whole seconds that ends at midnight does."""
    return _of_work(
        moment,
        f"select date_trunc('week', {_LOCAL})::date, w.person, sum(w.seconds)::bigint,"
        f" coalesce(sum(w.seconds) filter (where {_BILLABLE}), 0)::bigint",
        "and w.started_at >= %(begins)s and w.started_at < %(ends)s"
        f" and w.ended_at <= ({_LOCAL} + interval '1 day') at time zone %(zone)s group by 1, 2",
    )


def _crossing(moment: Moment) -> sql.Composed:
    return _of_work(
        moment,
        f"select w.person, w.started_at, w.ended_at, w.seconds, {_BILLABLE}",
        "and w.started_at > %(begins)s - interval '7 days' and w.started_at < %(ends)s and w.ended_at > %(begins)s"
        f" and w.ended_at > ({_LOCAL} + interval '1 day') at time zone %(zone)s",
    )


def _of_work(moment: Moment, select: LiteralString, condition: LiteralString) -> sql.Composed:
    there: LiteralString = (
        "b.closed_position is null"
        if moment.position is None
        else "b.position <= %(position)s and (b.closed_position is null or b.closed_position > %(position)s)"
    )
    return sql.SQL(
        "{} from work w left join billed_work b on b.id = w.id and {} where w.workspace = %(workspace)s and {}"
        " and (%(person)s::uuid is null or w.person = %(person)s) {}"
    ).format(sql.SQL(select), sql.SQL(there), work.there(moment), sql.SQL(condition))


# ---- what contracts bring in


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What an hour of a person, or of all others, costs the company. It is asked with, and kept nowhere."""

    currency: str
    per_hour: Decimal
    person: UUID | None = None


class ProfitRow(msgspec.Struct, frozen=True, kw_only=True):
    """`key`: a client, or a service; None: of no service. Amounts without tax, in one currency. `fees`: packages and
    fixed prices, which belong to no service. `cost`: None where no cost was named in this currency."""

    key: UUID | None
    currency: str
    seconds: int
    billable: int
    charged: Decimal
    fees: Decimal
    cost: Decimal | None

    @property
    def billable_share(self) -> float | None:
        return _share(self.billable, self.seconds)

    @property
    def revenue(self) -> Decimal:
        return self.charged + self.fees

    @property
    def profit(self) -> Decimal | None:
        return None if self.cost is None else self.revenue - self.cost


class OfMonth(msgspec.Struct, frozen=True, kw_only=True):
    contract: ContractRow
    until: date
    sums: list[Sum]


async def profitability(
    view: View, days: Span, costs: Sequence[Cost], moment: Moment, *, by_service: bool
) -> list[ProfitRow]:
    """Of the whole months that the days lie in, by revenue. Raises BadInput."""
    days = Span(since=days.since.replace(day=1), until=month_end(days.until))
    rows, months = await _months(view, days, moment)
    found: defaultdict[tuple[UUID | None, str], _Profit] = defaultdict(_Profit)
    for month in months:
        currency = month.contract.versions[0].terms.currency
        for one in month.sums:
            profit = found[one.service if by_service else month.contract.client, currency]
            profit.add(one, _cost(costs, currency, one.person))
    for row in rows:
        for fee in _fees(row, days):
            found[None if by_service else row.client, row.versions[0].terms.currency].fees += fee.amount
    told = [one.row(key, currency) for (key, currency), one in found.items()]
    return sorted(told, key=lambda row: (row.currency, -row.revenue, -row.seconds, str(row.key)))


class _Profit:
    """While it is summed up."""

    def __init__(self) -> None:
        self.seconds = self.billable = 0
        self.charged = self.fees = Decimal(0)
        self.exact: Decimal | None = Decimal(0)

    def add(self, one: Sum, per_hour: Decimal | None) -> None:
        self.seconds += one.seconds
        self.billable += one.seconds if one.treatment in PAID else 0
        self.charged += one.amount
        self.exact = None if self.exact is None or per_hour is None else self.exact + per_hour * one.seconds

    def row(self, key: UUID | None, currency: str) -> ProfitRow:
        cost = None if self.exact is None else money.in_units(Fraction(self.exact) / 3600, currency)
        return ProfitRow(
            key=key,
            currency=currency,
            seconds=self.seconds,
            billable=self.billable,
            charged=self.charged,
            fees=self.fees,
            cost=cost,
        )


def _cost(costs: Sequence[Cost], currency: str, person: UUID) -> Decimal | None:
    of_currency = [one for one in costs if one.currency == currency]
    own = next((one for one in of_currency if one.person == person), None)
    usual = next((one for one in of_currency if one.person is None), None)
    found = own or usual
    return None if found is None else found.per_hour


def _fees(row: ContractRow, days: Span) -> list[Fee]:
    return [one for one in fees(as_contract(row), days.until) if days.since <= one.day]


async def _months(view: View, days: Span, moment: Moment) -> tuple[list[ContractRow], list[OfMonth]]:
    """What the work of these whole months came to, by contract and month: as it was settled, else as it is rated now.
    Raises BadInput where that would be too much."""
    moment, _ = await fixed(view, moment)
    rows = await contracts.all_contracts(view, moment)
    settled, missing, changes = await accounts.months(view, rows, days.since, days.until, moment)
    if changes > RATED_LIMIT:
        raise BadInput("Too much of this is not settled yet, or was otherwise then. Ask for fewer months.")
    found = [OfMonth(contract=row, until=until, sums=of_month) for row, until, of_month in settled]
    for row, until in missing:
        first = until.replace(day=1)
        after = await accounts.settled(view, [row], first - timedelta(days=1), moment)
        charges = (await account(view, row, until, moment, after)).ledger.charges
        found.append(OfMonth(contract=row, until=until, sums=sums(one for one in charges if one.day >= first)))
    return list(rows.values()), found


# ---- what is not billed yet


class UnbilledRow(msgspec.Struct, frozen=True, kw_only=True):
    """`draft`: of the days after the last closed ones; None: there are none, or the contract was not there yet."""

    contract: ContractRow
    draft: DrawnStatement | None


class UncontractedRow(msgspec.Struct, frozen=True, kw_only=True):
    """Work that counts under no contract."""

    entries: int
    seconds: int


async def unbilled(view: View, until: date, ask: PageAsk, moment: Moment) -> Page[UnbilledRow]:
    """Of each contract, by name, what no closed statement tells of. Raises BadInput."""
    page = await contracts.contracts(view, None, ask)
    moment, _ = await fixed(view, moment)
    nodes = [UnbilledRow(contract=row, draft=await _draft(view, row, until, moment)) for row in page.nodes]
    return Page(nodes=nodes, keys=page.keys, has_next=page.has_next, has_previous=page.has_previous)


async def _draft(view: View, row: ContractRow, until: date, moment: Moment) -> DrawnStatement | None:
    closed = await closed_periods(view, row.id, moment)
    return await drawn(view, row.id, None, until, moment) if as_contract(row, closed).open_from <= until else None


async def uncontracted(view: View, days: Span, moment: Moment) -> UncontractedRow:
    """That began on these days, in UTC, and is billable."""
    select = "select count(*), coalesce(sum(w.seconds), 0)::bigint"
    condition = "and b.id is null and w.billable and w.started_at >= %(since)s and w.started_at < %(until)s + 1"
    rows = await view.fetch(
        _of_work(moment, select, condition),
        {
            "person": None,
            "position": moment.position,
            "since": days.since,
            "until": days.until,
            **moments.arguments(moment),
        },
    )
    return UncontractedRow(entries=rows[0][0], seconds=rows[0][1])


# ---- which hours run out


class EndingRow(msgspec.Struct, frozen=True, kw_only=True):
    """A contract whose hours are nearly used up, or expire soon. Seconds, as `usage` counts them on the day.
    `expiring`: packages with hours that do."""

    contract: ContractRow
    day: date
    granted: int
    left: int
    expiring: list[Package]


async def ending(view: View, within: int, share: int, moment: Moment) -> list[EndingRow]:
    """Of prepaid contracts with hours: those of which `share` per cent are left at most, or some expire `within` days.
    Least left first."""
    rows = await contracts.all_contracts(view, moment)
    at = None if moment.live else await view.instant(moment)
    found: list[EndingRow] = []
    for row, day, stand in await _standings(view, rows, at, moment):
        used, soon = usage(stand.packages, day), day + timedelta(days=within)
        expiring = [
            one
            for one in stand.packages
            if one.id in used.packages and one.left and one.expires_on is not None and one.expires_on <= soon
        ]
        if used.granted and (expiring or used.left * 100 <= used.granted * share):
            found.append(EndingRow(contract=row, day=day, granted=used.granted, left=used.left, expiring=expiring))
    return sorted(found, key=lambda row: (row.left * 1_000_000 // row.granted, row.contract.name, row.contract.id))


async def _standings(
    view: View, rows: Mapping[UUID, ContractRow], at: datetime | None, moment: Moment
) -> list[tuple[ContractRow, date, Carried]]:
    """Where those contracts stand that are prepaid on the day: most were settled, and few have to be worked out."""
    wanted: list[tuple[ContractRow, date]] = []
    for row in rows.values():
        agreed = as_contract(row)
        day = today(agreed, at)
        version = agreed.version_on(day)
        if row.grants and version is not None and version.terms.kind is ContractKind.PREPAID:
            wanted.append((row, day))
    newest = await accounts.newest(view, [row for row, _ in wanted], moment)
    found: list[tuple[ContractRow, date, Carried]] = []
    for row, day in wanted:
        after = newest.get(row.id)
        if after is not None and after.day <= day:
            stand = ledger(as_contract(row), [], day, is_holiday, after).carried
        else:
            stand = await standing(view, row, day, moment)
        found.append((row, day, stand))
    return found
