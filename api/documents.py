"""Invoices and acts of work done: issued, paid, signed on paper, cancelled."""

from datetime import date
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import strawberry
from strawberry import ID, UNSET, Parent

from api.commands import (
    CommandInput,
    Done,
    ExpectingInput,
    Handle,
    Payload,
    perform,
    perform_prepared,
    wait_until_readable,
)
from api.contracts import Contract
from api.fields import Info, Node, by, given, once_passed
from api.filters import AsOf, asked
from api.ids import Kind, decode_given, encode
from api.paging import Connection, ConnectionRow, page_ask
from api.prefetch import found
from api.scalars import Position
from api.sheets.links import SheetFile, SheetFileRow, files
from application.documents import handle
from domain import documents as domain
from domain.contracts import DocumentKind
from domain.documents import (
    Billed,
    CancelDocument,
    IssueAct,
    IssueInvoice,
    RecordPayment,
    ReversePayment,
    SignDocument,
)
from domain.sheets import ItemKind, SheetKind
from projections import billing, documents, filters
from projections.reading import NOW
from projections.rows import DocumentRow

if TYPE_CHECKING:
    from api.ticket_fields import Ticket

LazyTicket = Annotated["Ticket", strawberry.lazy("api.ticket_fields")]

for _enum in (DocumentKind, ItemKind):
    strawberry.enum(_enum)


def _id(document: Parent[DocumentRow]) -> ID:
    return encode(Kind.DOCUMENT, document.id)


def _contract(document: Parent[DocumentRow], info: Info) -> Any:
    return found(info.context.loaders.contracts, document.contract)


def _ticket(document: Parent[DocumentRow], info: Info) -> Any:
    """From whose conversation it was issued; null where that is none, or not yours to see."""
    return None if document.ticket is None else found(info.context.loaders.tickets, (document.ticket, document.moment))


def _line_ticket(line: Parent[domain.DocumentLine], info: Info) -> Any:
    return None if line.ticket is None else found(info.context.loaders.tickets, (line.ticket, NOW))


def _line_package(line: Parent[domain.DocumentLine]) -> ID | None:
    return None if line.package is None else encode(Kind.HOUR_PACKAGE, line.package)


@strawberry.type(description="Work on a ticket in all, or what is due without work.")
class DocumentLine:
    kind: ItemKind
    ticket: LazyTicket | None = by(_line_ticket)
    hour_package: ID | None = by(_line_package)
    seconds: int = strawberry.field(description="Worked.")
    billed: int = strawberry.field(description="Seconds after rounding; of a package, that it has.")
    amount: Decimal = strawberry.field(description="Without tax.")
    tax: Decimal | None = strawberry.field(description="Per cent.")


@strawberry.type(description="What is due at one rate of tax.")
class TaxShare:
    rate: Decimal = strawberry.field(description="Per cent.")
    base: Decimal = strawberry.field(description="Without tax.")
    tax: Decimal


def _payment_id(payment: Parent[domain.Payment]) -> ID:
    return encode(Kind.PAYMENT, payment.id)


@strawberry.type
class Payment:
    id: ID = by(_payment_id)
    amount: Decimal
    paid_on: date
    note: str | None
    reversed: bool


def _files(document: Parent[DocumentRow], info: Info) -> list[SheetFileRow]:
    """The document written down, in the client's language."""
    return files(info, encode(Kind.DOCUMENT, document.id), SheetKind(document.kind))


@strawberry.type(description="An invoice, or an act of work done. What was issued never changes.")
class BillingDocument(Node):
    id: ID = by(_id)
    kind: DocumentKind
    number: int = strawberry.field(description="Without gaps in the workspace, among its kind.")
    version: int
    contract: Contract | None = by(_contract)
    ticket: LazyTicket | None = by(_ticket)
    statement: int | None = strawberry.field(description="Number of the closed statement that it is for.")
    since: date
    until: date
    issued_on: date
    due_on: date | None
    currency: str
    buyer: str = strawberry.field(description="The client's name, when it was issued.")
    lines: list[DocumentLine]
    taxes: list[TaxShare]
    amount: Decimal = strawberry.field(description="Without tax.")
    tax: Decimal
    total: Decimal
    paid: Decimal
    payments: list[Payment]
    signed_on: date | None = strawberry.field(description="When the paper was signed.")
    cancelled: bool
    files: list[SheetFile] = by(_files)

    @classmethod
    def is_type_of(cls, row: object, _: object) -> bool:
        return isinstance(row, DocumentRow)


async def _documents(
    info: Info,
    contract: ID | None = UNSET,
    kind: DocumentKind | None = UNSET,
    unpaid: bool | None = UNSET,
    first: int | None = UNSET,
    after: str | None = UNSET,
    as_of: AsOf | None = UNSET,
    min_position: Position | None = UNSET,
) -> ConnectionRow[DocumentRow]:
    """Acts, then invoices, by number. Its client's contacts see a contract's, and no others."""
    await once_passed(info, min_position, "documents", "contracts")
    view = info.context.view
    wanted = filters.DocumentFilter(
        contract=decode_given(given(contract), Kind.CONTRACT), kind=given(kind), unpaid=given(unpaid)
    )
    moment = await view.moment(asked(as_of, filters.AsOf))
    page = await documents.documents(view, wanted, page_ask(first, after), moment)
    return ConnectionRow(page, lambda: documents.document_count(view, wanted, moment))


@strawberry.type
class DocumentQueries:
    billing_documents: Connection[BillingDocument] = by(_documents)


# ---- commands


@strawberry.input(
    description=(
        "Of a closed statement, by its number, or of a package of hours. `ticket`: from whose conversation it comes."
    )
)
class IssueInvoiceInput(CommandInput):
    contract: ID
    statement: int | None = UNSET
    hour_package: ID | None = UNSET
    ticket: ID | None = UNSET
    due_on: date | None = UNSET


@strawberry.input(description="Of the work of a closed statement, by its number.")
class IssueActInput(CommandInput):
    contract: ID
    statement: int
    ticket: ID | None = UNSET


@strawberry.input(description="What is given back of a credit note is negative.")
class RecordPaymentInput(ExpectingInput):
    document: ID
    amount: Decimal
    paid_on: date
    note: str | None = UNSET


@strawberry.input
class ReversePaymentInput(ExpectingInput):
    document: ID
    payment: ID


@strawberry.input(description="The paper came back signed.")
class SignDocumentInput(ExpectingInput):
    document: ID
    signed_on: date


@strawberry.input(description="It keeps its number; what it was for can be issued anew. It takes a reason.")
class CancelDocumentInput(ExpectingInput):
    document: ID


async def _after(done: Parent[Done], info: Info) -> DocumentRow | None:
    """As it is after the command; null if the read model has not come that far within 2 s."""
    if done.outcome is None or not await wait_until_readable(info, done.outcome, "documents", "contracts"):
        return None
    return await info.context.loaders.documents.load(done.outcome.stream)


@strawberry.type
class DocumentPayload(Payload):
    document: BillingDocument | None = by(_after)


async def _billed(info: Info, contract: UUID, number: int | None) -> Billed | None:
    """The closed statement of this number, as it was."""
    view = info.context.view
    periods = [] if number is None else await billing.closed_periods(view, contract)
    period = next((one for one in periods if one.number == number), None)
    if period is None:
        return None
    drawn = await billing.drawn(view, contract, period.since, period.until)
    return None if drawn is None else Billed(number=period.number, statement=drawn.statement)


async def issue_invoice(info: Info, input: IssueInvoiceInput) -> Done:
    async def prepared(command: IssueInvoice) -> Handle[IssueInvoice]:
        return partial(handle, billed=await _billed(info, command.contract, command.statement))

    return await perform_prepared(info, input, IssueInvoice, prepared)


async def issue_act(info: Info, input: IssueActInput) -> Done:
    async def prepared(command: IssueAct) -> Handle[IssueAct]:
        return partial(handle, billed=await _billed(info, command.contract, command.statement))

    return await perform_prepared(info, input, IssueAct, prepared)


async def record_payment(info: Info, input: RecordPaymentInput) -> Done:
    return await perform(info, input, RecordPayment, handle)


async def reverse_payment(info: Info, input: ReversePaymentInput) -> Done:
    """It was not paid after all."""
    return await perform(info, input, ReversePayment, handle)


async def sign_document(info: Info, input: SignDocumentInput) -> Done:
    return await perform(info, input, SignDocument, handle)


async def cancel_document(info: Info, input: CancelDocumentInput) -> Done:
    return await perform(info, input, CancelDocument, handle)


@strawberry.type
class DocumentMutations:
    issue_invoice: DocumentPayload = by(issue_invoice)
    issue_act: DocumentPayload = by(issue_act)
    record_payment: DocumentPayload = by(record_payment)
    reverse_payment: DocumentPayload = by(reverse_payment)
    sign_document: DocumentPayload = by(sign_document)
    cancel_document: DocumentPayload = by(cancel_document)
