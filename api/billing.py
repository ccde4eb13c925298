"""Billing: balances and statements of contracts, and closing them."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar
from uuid import UUID

import strawberry
from strawberry import ID, UNSET, Parent

from api.commands import Done, ExpectingInput, Handle, Payload, perform_prepared, wait_until_readable
from api.contracts import Contract, Rounding, no_such_contract
from api.estimates import EstimateComparison
from api.fields import Info, by, given, once_passed, selected
from api.filters import AsOf, asked
from api.ids import Kind, decode, encode
from api.paging import Connection, ConnectionRow, page_ask
from api.people import Person, person
from api.prefetch import found, load_ahead
from api.scalars import Position
from api.sheets.links import SheetFile, SheetFileRow, statement_files
from application.billing import handle
from domain import billing as domain
from domain import statements, terms
from domain.billing import FeeKind, Treatment
from domain.contracts import must_be_a_day
from domain.hour_packages import Movement, MovementKind, Package
from domain.statements import ClosePeriod, Drawn
from domain.terms import TimeBand
from projections import billing, estimates, filters
from projections.contracts import as_contract
from projections.reading import NOW, Moment, Page, decode_cursor, page_size
from projections.rows import BalanceRow, ComparedRow, DrawnStatement

if TYPE_CHECKING:
    from api.ticket_fields import Ticket
    from api.work import WorkEntry

for _enum in (FeeKind, MovementKind, Treatment):
    strawberry.enum(_enum)

LazyTicket = Annotated["Ticket", strawberry.lazy("api.ticket_fields")]
LazyEntry = Annotated["WorkEntry", strawberry.lazy("api.work")]

T = TypeVar("T")

# ---- balances


def _package_id(package: Parent[Package]) -> ID:
    return encode(Kind.HOUR_PACKAGE, package.id)


def _rolled_from(package: Parent[Package]) -> ID | None:
    """The package whose expired hours these are."""
    return None if package.rolled_from is None else encode(Kind.HOUR_PACKAGE, package.rolled_from)


@strawberry.type(description="Seconds: granted = drawn + expired + rolled + left.")
class PackageBalance:
    id: ID = by(_package_id)
    valid_from: date
    expires_on: date | None
    granted: int
    drawn: int
    expired: int
    rolled: int
    left: int
    rolled_from: ID | None = by(_rolled_from)


@strawberry.type(description="Seconds: granted = drawn + expired + left. What rolled over was granted once.")
class Balance:
    contract: Contract
    day: date = strawberry.field(description="Up to whose end it is: local, by the contract's calendar.")
    granted: int
    drawn: int
    expired: int
    left: int
    overage: int = strawberry.field(description="Counted when no hours were left.")
    packages: list[PackageBalance]
    alerts: list[int] = strawberry.field(description="The contract's thresholds that are reached, per cent.")


async def _balance(
    info: Info, contract: ID, as_of: AsOf | None = UNSET, min_position: Position | None = UNSET
) -> BalanceRow:
    """Of a contract's hours: now, at any moment, as known at any position. Its client's contacts see it too."""
    await once_passed(info, min_position, "billing", "contracts")
    view = info.context.view
    moment = await view.moment(asked(as_of, filters.AsOf))
    row = await billing.balance(view, decode(contract, Kind.CONTRACT), moment)
    if row is None:
        raise no_such_contract()
    return row


# ---- statements


class LineRow(NamedTuple):
    """A charge with the comment of its work, and how the terms of its time round."""

    charge: domain.Charge
    comment: str | None
    rounding: terms.Rounding | None


def _line_entry(line: Parent[LineRow], info: Info) -> Any:
    """As it stands now; null where it was reversed, or is not yours to see."""
    return found(info.context.loaders.work_entries, line.charge.entry)


def _line_ticket(line: Parent[LineRow], info: Info) -> Any:
    return found(info.context.loaders.tickets, (line.charge.ticket, NOW))


def _line_person(line: Parent[LineRow], info: Info) -> Any:
    return person(info, line.charge.person)


def _line_package(line: Parent[LineRow]) -> ID | None:
    """The package of hours that covered it."""
    return None if line.charge.package is None else encode(Kind.HOUR_PACKAGE, line.charge.package)


def _of_charge(name: str, description: str | None = None) -> Any:
    def resolve(line: Parent[LineRow]) -> Any:
        return getattr(line.charge, name)

    return by(resolve, description=description)


@strawberry.type(
    description="A stretch of work that has one answer: on one day, in one time band, by one version of the terms."
)
class StatementLine:
    work_entry: LazyEntry | None = by(_line_entry, reads=("charge.entry",))
    ticket: LazyTicket | None = by(_line_ticket, reads=("charge.ticket",))
    person: Person = by(_line_person, reads=("charge.person",))
    day: date = _of_charge("day", "Local, by the contract's calendar.")
    started_at: datetime = _of_charge("started_at")
    ended_at: datetime = _of_charge("ended_at")
    band: TimeBand = _of_charge("band")
    treatment: Treatment = _of_charge("treatment")
    seconds: int = _of_charge("seconds", "Worked, interruptions taken off.")
    billed: int = _of_charge("billed", "Seconds after rounding.")
    factor: Decimal = _of_charge("factor", "How many hours an hour counts.")
    counted: int = _of_charge("counted", "Billed seconds times the factor: what is drawn from packages.")
    hour_package: ID | None = by(_line_package)
    rate: Decimal | None = _of_charge("rate", "Per hour.")
    terms: int | None = _of_charge("version", "Number of the terms' version.")
    amount: Decimal = _of_charge("amount", "Without tax.")
    rounding: Rounding | None = strawberry.field(description="By which it was billed.")
    comment: str | None


def _fee_package(fee: Parent[domain.Fee]) -> ID | None:
    return None if fee.package is None else encode(Kind.HOUR_PACKAGE, fee.package)


def _movement_package(movement: Parent[Movement]) -> ID:
    return encode(Kind.HOUR_PACKAGE, movement.package)


@strawberry.type(description="Hours of a package that came or went on a day. Seconds are negative where they go.")
class HourMovement:
    day: date
    kind: MovementKind
    seconds: int
    hour_package: ID = by(_movement_package)


@strawberry.type(description="What is due without work.")
class Fee:
    kind: FeeKind
    day: date
    amount: Decimal
    hour_package: ID | None = by(_fee_package)


def _corrected_entry(correction: Parent[statements.Correction], info: Info) -> Any:
    """As it stands now; null where it was reversed."""
    return found(info.context.loaders.work_entries, correction.entry)


def _corrected_ticket(correction: Parent[statements.Correction], info: Info) -> Any:
    return found(info.context.loaders.tickets, (correction.ticket, NOW))


@strawberry.type(description="By how much work of closed days comes to more, or less, than was stated.")
class StatementCorrection:
    work_entry: LazyEntry | None = by(_corrected_entry)
    ticket: LazyTicket | None = by(_corrected_ticket)
    seconds: int
    billed: int
    amount: Decimal


async def _lines(
    drawn: Parent[DrawnStatement], info: Info, first: int | None = UNSET, after: str | None = UNSET
) -> ConnectionRow[LineRow]:
    """By time."""
    versions = drawn.contract.versions

    def line(charge: domain.Charge) -> LineRow:
        rounding = None if charge.version is None else versions[charge.version - 1].terms.rounding
        return LineRow(charge, drawn.comments.get(charge.entry), rounding)

    page = _sliced(drawn.statement.charges, first, after)
    names, loaders = selected(info, "StatementLine"), info.context.loaders
    await load_ahead(
        (loaders.work_entries, {one.entry for one in page.nodes} if "workEntry" in names else ()),
        (loaders.tickets, {(one.ticket, NOW) for one in page.nodes} if "ticket" in names else ()),
        (loaders.people, {one.person for one in page.nodes} if "person" in names else ()),
    )
    lines = Page(
        nodes=[line(charge) for charge in page.nodes],
        keys=page.page.keys,
        has_next=page.page.has_next,
        has_previous=page.page.has_previous,
    )
    return ConnectionRow(lines, page.count)


def _corrections(
    drawn: Parent[DrawnStatement], first: int | None = UNSET, after: str | None = UNSET
) -> ConnectionRow[statements.Correction]:
    """Of days that earlier statements told of."""
    return _sliced(drawn.statement.corrections, first, after)


def _sliced(rows: Sequence[T], first: int | None, after: str | None) -> ConnectionRow[T]:
    """A page of a list that is at hand; cursors are places in it. Raises BadInput."""
    ask = page_ask(first, after)
    start = 0 if ask.after is None else decode_cursor(ask.after, list[int])[0] + 1
    end = start + page_size(ask)
    shown = list(rows[start:end])
    keys = [[start + n] for n in range(len(shown))]
    page = Page(nodes=shown, keys=keys, has_next=end < len(rows), has_previous=start > 0)

    async def count() -> int:
        return len(rows)

    return ConnectionRow(page, count)


def _of_statement(name: str, description: str | None = None) -> Any:
    def resolve(drawn: Parent[DrawnStatement]) -> Any:
        return getattr(drawn.statement, name)

    return by(resolve, description=description)


def _closed(drawn: Parent[DrawnStatement]) -> bool:
    """It never changes again."""
    return drawn.number is not None


def _files(drawn: Parent[DrawnStatement], info: Info) -> list[SheetFileRow]:
    """The statement written down, in the client's language; of a draft, as it stands when it is fetched."""
    return statement_files(info, drawn.contract.id, drawn.statement.since, drawn.statement.until)


async def _estimates(drawn: Parent[DrawnStatement], info: Info) -> list[ComparedRow]:
    """Of its tickets that have one: what they were estimated at, and what they came to by its end."""
    return await estimates.compared(info.context.view, drawn)


@strawberry.type(description="What a contract came to from one day to another. A draft is worked out anew each time.")
class Statement:
    contract: Contract
    number: int | None = strawberry.field(description="Of a closed one: without gaps in the workspace.")
    closed: bool = by(_closed)
    since: date = _of_statement("since")
    until: date = _of_statement("until")
    currency: str = _of_statement("currency")
    lines: Connection[StatementLine] = by(_lines)
    fees: list[Fee] = _of_statement("fees")
    corrections: Connection[StatementCorrection] = by(_corrections)
    seconds: int = _of_statement("seconds", "Worked, corrections included.")
    billed: int = _of_statement("billed", "Seconds after rounding, corrections included.")
    movements: list[HourMovement] = _of_statement("movements", "Of hours of packages, between opening and closing.")
    opening: int = _of_statement("opening", "Seconds of packages that were left when the first day began.")
    closing: int = _of_statement("closing", "Seconds of packages that are left when the last day ends.")
    amount: Decimal = _of_statement("amount", "Without tax.")
    tax: Decimal = _of_statement("tax")
    total: Decimal = _of_statement("total")
    position: Position = strawberry.field(description="Of the log, up to which work was looked at.")
    estimates: list[EstimateComparison] = by(_estimates)
    files: list[SheetFile] = by(_files)


async def _statement(
    info: Info,
    contract: ID,
    until: date,
    since: date | None = UNSET,
    as_of: AsOf | None = UNSET,
    min_position: Position | None = UNSET,
) -> DrawnStatement:
    """Of the days from `since` to `until`; without `since`, of those that no closed statement before tells of. Its
    client's contacts see it too."""
    await once_passed(info, min_position, "billing", "contracts", "estimates", "work", "spans")
    view = info.context.view
    moment = await view.moment(asked(as_of, filters.AsOf))
    drawn = await billing.requested(view, decode(contract, Kind.CONTRACT), given(since), until, moment)
    if drawn is None:
        raise no_such_contract()
    return drawn


@strawberry.type
class BillingQueries:
    balance: Balance = by(_balance)
    statement: Statement = by(_statement)


# ---- closing


@strawberry.input(
    description=(
        "All days that are not closed up to `until`, which is over. The statement gets the workspace's next number and"
        " never changes again; what is corrected later is told in the next one."
    )
)
class ClosePeriodInput(ExpectingInput):
    contract: ID
    until: date


async def _after(done: Parent[Done], info: Info) -> DrawnStatement | None:
    """As it was closed; null if the read model has not come that far within 2 s."""
    command = done.command
    if done.outcome is None or not isinstance(command, ClosePeriod):
        return None
    if not await wait_until_readable(info, done.outcome, "billing", "contracts"):
        return None
    return await billing.drawn(info.context.view, command.contract, None, command.until)


@strawberry.type
class StatementPayload(Payload):
    statement: Statement | None = by(_after)


async def close_period(info: Info, input: ClosePeriodInput) -> Done:
    async def prepared(command: ClosePeriod) -> Handle[ClosePeriod]:
        return partial(handle, drawn=await _drawn(info, command.contract, command.until))

    return await perform_prepared(info, input, ClosePeriod, prepared)


async def _drawn(info: Info, contract: UUID, until: date) -> Drawn | None:
    """As it will be drawn again: of nothing that is recorded after the position that it is closed at.
    Raises InvalidValue."""
    must_be_a_day(until, "until")
    view = info.context.view
    drawn = await billing.drawn(view, contract, None, until, Moment(position=await billing.known(view)))
    if drawn is None:
        return None
    return Drawn(
        statement=drawn.statement,
        contract=as_contract(drawn.contract),
        known=drawn.position,
        today=billing.today(as_contract(drawn.contract)),
    )


@strawberry.type
class BillingMutations:
    close_period: StatementPayload = by(close_period)
