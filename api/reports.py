"""Reports: hours against a norm, what contracts bring in, what is not billed yet, which hours run out."""

from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import holidays
import msgspec
import strawberry
from strawberry import ID, UNSET, Parent

from api.billing import PackageBalance, Statement
from api.contracts import Contract
from api.errors import FORBIDDEN, Failure
from api.estimates import EstimateAccuracy, estimate_accuracy
from api.fields import Info, by, given, once_passed
from api.filters import AsOf, asked
from api.ids import Kind, decode_given
from api.paging import Connection, ConnectionRow, page_ask
from api.people import Person, person
from api.prefetch import found
from api.scalars import Position, Seconds
from api.services import Service, service
from domain import money
from domain.access import may_see_reports
from domain.errors import InvalidValue
from domain.terms import DAY, WorkingCalendar
from projections import contracts, filters, reports
from projections.reading import BadInput, Moment
from projections.reports import Cost, EndingRow, HoursRow, Norm, ProfitRow, UnbilledRow, UncontractedRow

if TYPE_CHECKING:
    from api.clients import Client

# ---- hours


@strawberry.input(
    description=(
        "What a person is to work: so many seconds each day that is neither of the weekend (ISO weekdays) nor a public"
        " holiday of the country, by ISO 3166. `timeZone`: whose days and weeks are told."
    )
)
class NormInput:
    seconds_per_day: Seconds = Seconds(8 * 3600)
    time_zone: str = "UTC"
    weekend: list[int] = strawberry.field(default_factory=lambda: [6, 7])
    country: str | None = UNSET

    def written(self) -> Norm:
        """Raises BadInput."""
        country = given(self.country)
        if not 0 <= self.seconds_per_day <= DAY:
            raise BadInput("secondsPerDay is 0 to 86,400.")
        if country is not None and country not in holidays.list_supported_countries():
            raise BadInput(f"The holidays of {country[:20]!r} are not known; write a country as DE or RU.")
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise BadInput(f"There is no time zone {self.time_zone[:80]!r}; write one as Europe/Moscow.") from None
        calendar = WorkingCalendar(time_zone=self.time_zone, weekend=tuple(self.weekend), country=country)
        return Norm(seconds_per_day=self.seconds_per_day, calendar=calendar)


def _worker(row: Parent[HoursRow], info: Info) -> Any:
    return person(info, row.person)


@strawberry.type(description="Of a person in a week, in seconds. Only those who worked are listed.")
class HoursOfWeek:
    person: Person = by(_worker)
    week: date = strawberry.field(description="Its Monday.")
    worked: int
    billable: int = strawberry.field(description="Under a contract, and not marked otherwise.")
    billable_share: float | None = strawberry.field(description="Of what was worked: 0 to 1.")
    norm: int = strawberry.field(description="Of those days of the week that were asked for.")


async def _hours(
    of: Parent[Moment],
    info: Info,
    since: date,
    until: date,
    norm: NormInput | None = UNSET,
    person: ID | None = UNSET,
) -> list[HoursRow]:
    """By week and person. Work across midnight counts on both days. 400 days at most."""
    days, who = reports.span(since, until), decode_given(given(person), Kind.PERSON)
    wanted = given(norm)
    return await reports.hours(info.context.view, days, wanted.written() if wanted else Norm(), who, of)


# ---- what contracts bring in


@strawberry.enum
class ProfitBy(StrEnum):
    CLIENT = "CLIENT"
    SERVICE = "SERVICE"


@strawberry.input(
    description="What an hour of a person, or of all whom no other names, costs the company. It is kept nowhere."
)
class CostInput:
    currency: str
    per_hour: Decimal
    person: ID | None = UNSET

    def written(self) -> Cost:
        """Raises BadInput."""
        try:
            money.currency(self.currency)
            money.quantity(self.per_hour, ("costs", "perHour"), money.AMOUNT_LIMIT)
        except InvalidValue as error:
            raise BadInput(error.message) from None
        who = decode_given(given(self.person), Kind.PERSON)
        return Cost(currency=self.currency, per_hour=self.per_hour, person=who)


class ProfitOf(msgspec.Struct, frozen=True):
    row: ProfitRow
    by: ProfitBy


def _of_profit(name: str, description: str | None = None) -> Any:
    def resolve(of: Parent[ProfitOf]) -> Any:
        return getattr(of.row, name)

    return by(resolve, description=description)


def _profit_client(of: Parent[ProfitOf], info: Info) -> Any:
    """Where it is asked by client."""
    key = of.row.key if of.by is ProfitBy.CLIENT else None
    return None if key is None else found(info.context.loaders.clients, key)


def _profit_service(of: Parent[ProfitOf], info: Info) -> Any:
    """Where it is asked by service; null: of no service."""
    return service(info, of.row.key) if of.by is ProfitBy.SERVICE else None


@strawberry.type(description="Amounts without tax, in one currency.")
class Profitability:
    client: Annotated["Client", strawberry.lazy("api.clients")] | None = by(_profit_client)
    service: Service | None = by(_profit_service)
    currency: str = _of_profit("currency")
    seconds: int = _of_profit("seconds", "Worked.")
    billable: int = _of_profit("billable", "Seconds that somebody pays for, by the hour or beforehand.")
    billable_share: float | None = _of_profit("billable_share", "Of what was worked: 0 to 1.")
    charged: Decimal = _of_profit("charged", "For work.")
    fees: Decimal = _of_profit("fees", "For packages of hours and fixed prices; they belong to no service.")
    revenue: Decimal = _of_profit("revenue")
    cost: Decimal | None = _of_profit("cost", "Null where no cost was named in this currency.")
    profit: Decimal | None = _of_profit("profit")


async def _profitability(
    of: Parent[Moment],
    info: Info,
    since: date,
    until: date,
    by: ProfitBy = ProfitBy.CLIENT,
    costs: list[CostInput] = [],  # noqa: B006
) -> list[ProfitOf]:
    """Of the whole months that the days lie in, of contracts; largest revenue first. 400 days at most."""
    days, named = reports.span(since, until), [one.written() for one in costs]
    rows = await reports.profitability(info.context.view, days, named, of, by_service=by is ProfitBy.SERVICE)
    return [ProfitOf(row, by) for row in rows]


# ---- what is not billed


@strawberry.type
class Unbilled:
    contract: Contract
    draft: Statement | None = strawberry.field(
        description="Of the days after the last closed ones, with what closed ones are corrected by."
    )


@strawberry.type(description="Billable work that counts under no contract.")
class UncontractedWork:
    entries: int
    seconds: int


async def _unbilled(
    of: Parent[Moment], info: Info, until: date, first: int | None = UNSET, after: str | None = UNSET
) -> ConnectionRow[UnbilledRow]:
    """Of each contract, by name, what no closed statement tells of up to a day."""
    view = info.context.view
    reports.span(until, until)
    page = await reports.unbilled(view, until, page_ask(first, after), of)
    return ConnectionRow(page, lambda: contracts.contract_count(view, None))


async def _uncontracted(of: Parent[Moment], info: Info, since: date, until: date) -> UncontractedRow:
    """That began on these days, in UTC. 400 days at most."""
    return await reports.uncontracted(info.context.view, reports.span(since, until), of)


# ---- which hours run out


@strawberry.type(description="A contract whose hours are nearly used up, or expire soon. Seconds.")
class EndingHours:
    contract: Contract
    day: date = strawberry.field(description="Up to whose end it is: local, by the contract's calendar.")
    granted: int = strawberry.field(description="Of packages with hours left; of the last one where none has.")
    left: int
    expiring: list[PackageBalance] = strawberry.field(description="Packages with hours that expire soon.")


async def _ending(of: Parent[Moment], info: Info, within: int = 30, share: int = 20) -> list[EndingRow]:
    """Contracts of whose hours `share` per cent are left at most, or some expire `within` days. Least left first."""
    if not 0 <= within <= reports.DAYS_LIMIT or not 0 <= share <= 100:
        raise BadInput(f"within is 0 to {reports.DAYS_LIMIT} days, share 0 to 100 per cent.")
    return await reports.ending(info.context.view, within, share, of)


# ---- all of them


@strawberry.type(description="As of one moment.")
class Reports:
    hours: list[HoursOfWeek] = by(_hours)
    profitability: list[Profitability] = by(_profitability)
    unbilled: Connection[Unbilled] = by(_unbilled)
    uncontracted: UncontractedWork = by(_uncontracted)
    ending_hours: list[EndingHours] = by(_ending)
    estimate_accuracy: list[EstimateAccuracy] = by(estimate_accuracy)


async def _reports(info: Info, as_of: AsOf | None = UNSET, min_position: Position | None = UNSET) -> Moment:
    """For managers, administrators and auditors."""
    if not may_see_reports(info.context.actor):
        raise Failure(FORBIDDEN, "Reports are seen by managers, administrators and auditors alone.")
    await once_passed(info, min_position, "work", "billing", "contracts", "estimates", "spans")
    return await info.context.view.moment(asked(as_of, filters.AsOf))


@strawberry.type
class ReportQueries:
    reports: Reports = by(_reports)
