"""Contracts: their terms in versions, the hours that were bought, and the tickets that they are for."""

from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from msgspec.structs import fields
from strawberry import ID, UNSET, Parent

from api.commands import CommandInput, Done, ExpectingInput, Payload, perform, wait_until_readable
from api.errors import NOT_FOUND, Failure
from api.fields import Info, Node, by, given, is_list, once_passed
from api.ids import Kind, WrongId, decode_given, encode
from api.paging import Connection, ConnectionRow, page_ask
from api.people import Person, people
from api.prefetch import found
from api.scalars import Position, Seconds
from api.services import Service, service
from api.sheets.links import SheetFile, SheetFileRow, statement_files
from application.contracts import handle
from domain import terms
from domain.contracts import (
    AgreeContract,
    AgreeTerms,
    BindContract,
    EndContract,
    GrantHours,
    HoursGranted,
    StopRenewal,
)
from domain.errors import InvalidValue
from domain.renewals import RenewalPeriod
from domain.terms import ContractKind, Overage, Rollover, RoundingDirection, RoundingScope, TimeBand
from projections import contracts
from projections.billing import today
from projections.contracts import as_contract
from projections.reading import NOW
from projections.rows import ContractRow, PackageReportRow

if TYPE_CHECKING:
    from api.clients import Client
    from api.ticket_fields import Ticket

for _enum in (ContractKind, Overage, RenewalPeriod, Rollover, RoundingDirection, RoundingScope, TimeBand):
    strawberry.enum(_enum)


# ---- what they show


def _rate_service(rate: Parent[terms.Rate], info: Info) -> Any:
    return service(info, rate.service)


@strawberry.type(description="What an hour costs where all that is named holds.")
class Rate:
    per_hour: Decimal
    service: Service | None = by(_rate_service)
    grade: str | None
    band: TimeBand | None


def _grade_people(grade: Parent[terms.Grade], info: Info) -> Any:
    return people(info, grade.people)


@strawberry.type(description="Who counts as what under the contract.")
class Grade:
    key: str
    people: list[Person] = by(_grade_people)


@strawberry.type(description="`unit` and `minimum` in seconds. Worked time is never rounded, what is charged is.")
class Rounding:
    unit: int
    direction: RoundingDirection
    scope: RoundingScope
    minimum: int


@strawberry.type(description="`opens` and `closes` in minutes after midnight. A factor: how many hours an hour counts.")
class WorkingCalendar:
    time_zone: str
    opens: int
    closes: int
    weekend: list[int] = strawberry.field(description="ISO weekdays: 1 is Monday.")
    country: str | None = strawberry.field(description="Whose public holidays count, by ISO 3166.")
    subdivision: str | None
    evening_factor: Decimal
    weekend_factor: Decimal
    holiday_factor: Decimal


def _covered(of: Parent[terms.Terms], info: Info) -> list[Any]:
    """Covered; none named: all."""
    return [service(info, one) for one in of.services]


@strawberry.type
class Terms:
    kind: ContractKind
    currency: str
    tax: Decimal = strawberry.field(description="Per cent.")
    services: list[Service | None] = by(_covered)
    roles: list[str] = strawberry.field(description="Of tickets that are covered; none named: all.")
    rates: list[Rate] = strawberry.field(description="The first that matches wins.")
    grades: list[Grade]
    rounding: Rounding
    calendar: WorkingCalendar
    price: Decimal | None = strawberry.field(description="Of a fixed-price contract, in all.")
    overage: Overage
    overage_rate: Decimal | None
    overage_limit: int | None = strawberry.field(description="Seconds.")
    rollover: Rollover
    rollover_cap: int | None = strawberry.field(description="Seconds.")
    alerts: list[int] = strawberry.field(description="Per cent of a package that is used.")


@strawberry.type
class TermsVersion:
    number: int
    applies_from: date
    terms: Terms


def _grant_id(grant: Parent[HoursGranted]) -> ID:
    return encode(Kind.HOUR_PACKAGE, grant.grant)


@strawberry.type(description="Hours that were bought. `expiresOn`: the last day on which they can be used.")
class HourPackage:
    id: ID = by(_grant_id)
    seconds: int
    valid_from: date
    expires_on: date | None
    price: Decimal | None
    every: RenewalPeriod | None = strawberry.field(description="How often as many are granted anew by themselves.")
    renews_until: date | None = strawberry.field(description="The last day on which those can begin.")


def _id(contract: Parent[ContractRow]) -> ID:
    return encode(Kind.CONTRACT, contract.id)


def _client(contract: Parent[ContractRow], info: Info) -> Any:
    return found(info.context.loaders.clients, contract.client)


def _packages(contract: Parent[ContractRow]) -> list[HoursGranted]:
    """In the order they were bought, each followed by those that it renews by, up to a month ahead."""
    agreed = as_contract(contract)
    return list(agreed.on_sale(today(agreed)))


def _report_package(report: Parent[PackageReportRow]) -> ID:
    return encode(Kind.HOUR_PACKAGE, report.package)


def _report_files(report: Parent[PackageReportRow], info: Info) -> list[SheetFileRow]:
    """The statement of these days, as it was known then: time by ticket, who, what was done."""
    return statement_files(info, report.contract, report.since, report.until, report.known)


@strawberry.type(description="A package of hours is used up: what it was used for.")
class PackageReport:
    hour_package: ID = by(_report_package)
    sent_at: datetime
    since: date
    until: date
    files: list[SheetFile] = by(_report_files)


async def _reports(contract: Parent[ContractRow], info: Info) -> list[PackageReportRow]:
    """Of packages that were used up, in the order they were. Each is an event too, `PackageUsedUp`."""
    return await info.context.loaders.package_reports.load(contract.id) or []


@strawberry.type
class Contract(Node):
    id: ID = by(_id)
    client: Annotated["Client", strawberry.lazy("api.clients")] | None = by(_client)
    name: str
    last_day: date | None
    versions: list[TermsVersion] = strawberry.field(description="Of its terms, oldest first.")
    hour_packages: list[HourPackage] = by(_packages)
    package_reports: list[PackageReport] = by(_reports)
    version: int = strawberry.field(description="Number of its events: for `expectedVersion`.")

    @classmethod
    def is_type_of(cls, row: object, _: object) -> bool:
        return isinstance(row, ContractRow)


def no_such_contract() -> Failure:
    return Failure(NOT_FOUND, "There is no such contract, or none that you may see.")


async def _contracts(
    info: Info,
    client: ID | None = UNSET,
    first: int | None = UNSET,
    after: str | None = UNSET,
    min_position: Position | None = UNSET,
) -> ConnectionRow[ContractRow]:
    """Of one client, or of all, by name. Requesters see those of the clients that they are a contact of."""
    await once_passed(info, min_position, "contracts")
    view, of = info.context.view, decode_given(given(client), Kind.CLIENT)
    page = await contracts.contracts(view, of, page_ask(first, after))
    return ConnectionRow(page, lambda: contracts.contract_count(view, of))


@strawberry.type
class ContractQueries:
    contracts: Connection[Contract] = by(_contracts)


# ---- commands


@strawberry.input
class RateInput:
    per_hour: Decimal
    service: ID | None = UNSET
    grade: str | None = UNSET
    band: TimeBand | None = UNSET

    def written(self) -> terms.Rate:
        """Raises InvalidValue."""
        return terms.Rate(
            per_hour=self.per_hour,
            service=_decoded(given(self.service), Kind.SERVICE, "rates"),
            grade=given(self.grade),
            band=given(self.band),
        )


@strawberry.input
class GradeInput:
    key: str
    people: list[ID]

    def written(self) -> terms.Grade:
        """Raises InvalidValue."""
        people = (_decoded(one, Kind.PERSON, "grades") for one in self.people)
        return terms.Grade(key=self.key, people=tuple(one for one in people if one is not None))


@strawberry.input
class RoundingInput:
    unit: Seconds = Seconds(1)
    direction: RoundingDirection = RoundingDirection.UP
    scope: RoundingScope = RoundingScope.ENTRY
    minimum: Seconds = Seconds(0)


@strawberry.input
class WorkingCalendarInput:
    time_zone: str = "UTC"
    opens: int = 0
    closes: int = 1_440
    weekend: list[int] = strawberry.field(default_factory=lambda: [6, 7])
    country: str | None = UNSET
    subdivision: str | None = UNSET
    evening_factor: Decimal = Decimal(1)
    weekend_factor: Decimal = Decimal(1)
    holiday_factor: Decimal = Decimal(1)


@strawberry.input(description="`tax` in per cent; `overageLimit` and `rolloverCap` in seconds.")
class TermsInput:
    kind: ContractKind
    currency: str
    tax: Decimal = Decimal(0)
    services: list[ID] = strawberry.field(default_factory=list)
    roles: list[str] = strawberry.field(default_factory=list)
    rates: list[RateInput] = strawberry.field(default_factory=list)
    grades: list[GradeInput] = strawberry.field(default_factory=list)
    rounding: RoundingInput | None = UNSET
    calendar: WorkingCalendarInput | None = UNSET
    price: Decimal | None = UNSET
    overage: Overage = Overage.CHARGE
    overage_rate: Decimal | None = UNSET
    overage_limit: Seconds | None = UNSET
    rollover: Rollover = Rollover.NONE
    rollover_cap: Seconds | None = UNSET
    alerts: list[int] = strawberry.field(default_factory=list)

    def written(self, info: Info) -> terms.Terms:
        """Raises InvalidValue."""
        services = (_decoded(one, Kind.SERVICE, "services") for one in self.services)
        return terms.Terms(
            kind=self.kind,
            currency=self.currency,
            tax=self.tax,
            services=tuple(one for one in services if one is not None),
            roles=tuple(self.roles),
            rates=tuple(one.written() for one in self.rates),
            grades=tuple(one.written() for one in self.grades),
            rounding=_same(given(self.rounding), terms.Rounding),
            calendar=_same(given(self.calendar), terms.WorkingCalendar),
            price=given(self.price),
            overage=self.overage,
            overage_rate=given(self.overage_rate),
            overage_limit=given(self.overage_limit),
            rollover=self.rollover,
            rollover_cap=given(self.rollover_cap),
            alerts=tuple(self.alerts),
        )


def _same(input: Any, kind: Any) -> Any:
    """The struct with the input's fields of the same names; the default where there is no input."""
    if input is None:
        return kind()
    values: dict[str, Any] = {field.name: getattr(input, field.name) for field in fields(kind)}
    named = {name: value for name, value in values.items() if value is not UNSET}
    return kind(**{name: tuple(value) if is_list(value) else value for name, value in named.items()})


def _decoded(text: str | None, kind: Kind, field: str) -> Any:
    try:
        return decode_given(text, kind)
    except WrongId as error:
        raise InvalidValue(str(error), ("terms", field)) from None


@strawberry.input
class AgreeContractInput(CommandInput):
    client: ID
    name: str
    terms: TermsInput
    applies_from: date


@strawberry.input(description="The past keeps its own terms: the new ones apply from a day after the last ones' first.")
class AgreeTermsInput(ExpectingInput):
    contract: ID
    terms: TermsInput
    applies_from: date


@strawberry.input(
    description="A package of hours. `expiresOn`: the last day on which they can be used. `every`: as many are granted"
    " anew by themselves, for the same price and for as long; without `expiresOn`, each until the next begins."
    " `renewsUntil`: the last day on which those can begin."
)
class GrantHoursInput(ExpectingInput):
    contract: ID
    seconds: Seconds
    valid_from: date
    expires_on: date | None = UNSET
    price: Decimal | None = UNSET
    every: RenewalPeriod | None = UNSET
    renews_until: date | None = UNSET


@strawberry.input(
    description="`hourPackage`: that was granted. `lastDay`: the last day on which one that it renews by can begin."
)
class StopRenewalInput(ExpectingInput):
    contract: ID
    hour_package: ID
    last_day: date


@strawberry.input
class EndContractInput(ExpectingInput):
    contract: ID
    last_day: date


@strawberry.input(description="Work that begins from now on counts under it; none: under that of the ticket's parent.")
class BindContractInput(CommandInput):
    ticket: ID
    contract: ID | None = UNSET


async def _after(done: Parent[Done], info: Info) -> ContractRow | None:
    """As it is after the command; null if the read model has not come that far within 2 s."""
    if done.outcome is None or not await wait_until_readable(info, done.outcome, "contracts"):
        return None
    return await info.context.loaders.contracts.load(done.outcome.stream)


@strawberry.type
class ContractPayload(Payload):
    contract: Contract | None = by(_after)


async def _bound_ticket(done: Parent[Done], info: Info) -> Any:
    """As it is after the command; null if the read models have not come that far within 2 s."""
    if done.outcome is None or not isinstance(done.command, BindContract):
        return None
    if not await wait_until_readable(info, done.outcome, "contracts", "spans"):
        return None
    return await info.context.loaders.tickets.load((done.command.ticket, NOW))


@strawberry.type
class BindingPayload(Payload):
    ticket: Annotated["Ticket", strawberry.lazy("api.ticket_fields")] | None = by(_bound_ticket)


async def agree_contract(info: Info, input: AgreeContractInput) -> Done:
    return await perform(info, input, AgreeContract, handle)


async def agree_terms(info: Info, input: AgreeTermsInput) -> Done:
    return await perform(info, input, AgreeTerms, handle)


async def grant_hours(info: Info, input: GrantHoursInput) -> Done:
    return await perform(info, input, GrantHours, handle)


async def stop_renewal(info: Info, input: StopRenewalInput) -> Done:
    return await perform(info, input, StopRenewal, handle)


async def end_contract(info: Info, input: EndContractInput) -> Done:
    return await perform(info, input, EndContract, handle)


async def bind_contract(info: Info, input: BindContractInput) -> Done:
    return await perform(info, input, BindContract, handle)


@strawberry.type
class ContractMutations:
    agree_contract: ContractPayload = by(agree_contract)
    agree_terms: ContractPayload = by(agree_terms)
    grant_hours: ContractPayload = by(grant_hours)
    stop_renewal: ContractPayload = by(stop_renewal)
    end_contract: ContractPayload = by(end_contract)
    bind_contract: BindingPayload = by(bind_contract)
