"""Invoices and acts of work done: issued with the workspace's next number, then paid, signed on paper, or cancelled.

What is issued stays as it was: lines and sums stand in the event. A closed statement is invoiced once, and a package of
hours once, on an invoice of its own or with its statement; the contract's stream knows which, so that no two can race.
"""

from collections.abc import Iterable, Set
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import assert_never
from uuid import UUID, uuid5

import msgspec
from msgspec import structs
from msgspec.structs import replace

from domain import money, text
from domain.billing import Charge, FeeKind
from domain.contracts import Contract, DocumentDrawn, DocumentKind, HoursGranted
from domain.errors import (
    AlreadyInvoiced,
    Conflict,
    DocumentIsCancelled,
    DocumentNotFound,
    InvalidValue,
    PackageNotFound,
    PaymentNotFound,
    ReasonRequired,
    StatementNotFound,
)
from domain.money import TaxShare, tax_of
from domain.sheets import ItemKind
from domain.statements import Correction, Statement, version_of_fee
from domain.text import FreeText

DUE_LIMIT_DAYS = 3_660
NOTE_LIMIT = 500
PAYMENTS_LIMIT = 1_000


class DocumentLine(msgspec.Struct, frozen=True, kw_only=True):
    """What was done on a ticket in all, or what is due without work. `tax`: per cent, None where nothing is due."""

    kind: ItemKind
    amount: Decimal
    ticket: UUID | None = None
    package: UUID | None = None
    seconds: int = 0
    billed: int = 0
    tax: Decimal | None = None


# ---- events


class _Issued(msgspec.Struct, frozen=True, kw_only=True):
    """`statement`: number of the closed one that it is for. `ticket`: from whose conversation it was issued. `buyer`:
    the client's name by then."""

    number: int
    contract: UUID
    client: UUID
    ticket: UUID | None
    statement: int | None
    since: date
    until: date
    issued_on: date
    currency: str
    buyer: FreeText
    lines: tuple[DocumentLine, ...]
    taxes: tuple[TaxShare, ...]
    amount: Decimal
    tax: Decimal


class InvoiceIssued(_Issued, frozen=True, kw_only=True):
    due_on: date | None


class ActIssued(_Issued, frozen=True, kw_only=True):
    pass


class PaymentRecorded(msgspec.Struct, frozen=True, kw_only=True):
    payment: UUID
    amount: Decimal
    paid_on: date
    note: FreeText | None = None


class PaymentReversed(msgspec.Struct, frozen=True, kw_only=True):
    """It was not paid after all."""

    payment: UUID


class DocumentSigned(msgspec.Struct, frozen=True, kw_only=True):
    """The paper came back with both signatures."""

    signed_on: date


class DocumentCancelled(msgspec.Struct, frozen=True, kw_only=True):
    """It keeps its number; what it was for can be issued anew."""


DocumentEvent = InvoiceIssued | ActIssued | PaymentRecorded | PaymentReversed | DocumentSigned | DocumentCancelled


class DocumentNumbered(msgspec.Struct, frozen=True, kw_only=True):
    document: UUID
    number: int


def numbers_stream(workspace: UUID, kind: DocumentKind) -> UUID:
    """Which draws the numbers of the workspace's invoices, or acts, without gaps."""
    return uuid5(workspace, f"numbers of:{kind}")


# ---- commands


class IssueInvoice(msgspec.Struct, frozen=True, kw_only=True):
    """Of a closed statement, or of a package of hours before any work."""

    contract: UUID
    statement: int | None = None
    hour_package: UUID | None = None
    ticket: UUID | None = None
    due_on: date | None = None


class IssueAct(msgspec.Struct, frozen=True, kw_only=True):
    contract: UUID
    statement: int
    ticket: UUID | None = None


class RecordPayment(msgspec.Struct, frozen=True, kw_only=True):
    document: UUID
    amount: Decimal
    paid_on: date
    note: str | None = None


class ReversePayment(msgspec.Struct, frozen=True, kw_only=True):
    document: UUID
    payment: UUID


class SignDocument(msgspec.Struct, frozen=True, kw_only=True):
    document: UUID
    signed_on: date


class CancelDocument(msgspec.Struct, frozen=True, kw_only=True):
    document: UUID


IssueCommand = IssueInvoice | IssueAct
DocumentCommand = IssueCommand | RecordPayment | ReversePayment | SignDocument | CancelDocument


# ---- state


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    amount: Decimal
    paid_on: date
    note: str | None
    reversed: bool = False


class Document(msgspec.Struct, frozen=True, kw_only=True):
    kind: DocumentKind
    issued: InvoiceIssued | ActIssued
    payments: tuple[Payment, ...] = ()
    signed_on: date | None = None
    cancelled: bool = False

    @property
    def total(self) -> Decimal:
        return self.issued.amount + self.issued.tax

    @property
    def paid(self) -> Decimal:
        return sum((one.amount for one in self.payments if not one.reversed), Decimal(0))


# ---- issuing


class Billed(msgspec.Struct, frozen=True, kw_only=True):
    """A closed statement, as it is drawn again."""

    number: int
    statement: Statement


class Occasion(msgspec.Struct, frozen=True, kw_only=True):
    """What comes with an issue. `today`: by the contract's calendar."""

    document: UUID
    number: int
    client: str
    today: date


def issue(
    contract: Contract, command: IssueCommand, billed: Billed | None, occasion: Occasion
) -> tuple[InvoiceIssued | ActIssued, DocumentDrawn]:
    """The document, and what the contract is told of it. `billed`: of the command's statement, None where there is none
    such. Raises AlreadyInvoiced, InvalidValue, PackageNotFound, StatementNotFound."""
    if isinstance(command, IssueAct):
        found = _closed(contract, billed, command.statement)
        _must_be_first(contract, DocumentKind.ACT, command.statement, ())
        lines, shares = _lines(contract, found.statement, frozenset()), found.statement.taxes
        act = _act(contract, command, found, lines, shares, occasion)
        return act, _drawn(occasion, DocumentKind.ACT, command.statement, (), ())
    due_on = _due(command.due_on, occasion.today)
    if (command.statement is None) == (command.hour_package is None):
        raise InvalidValue("An invoice is of a closed statement, or of a package of hours.", ("statement",))
    if command.hour_package is not None:
        return _of_package(contract, command, command.hour_package, due_on, occasion)
    assert command.statement is not None
    found = _closed(contract, billed, command.statement)
    _must_be_first(contract, DocumentKind.INVOICE, command.statement, ())
    before = {
        package: document
        for document in contract.documents
        if document.kind is DocumentKind.INVOICE
        for package in document.packages
    }
    fees = {fee.package for fee in found.statement.fees if fee.package is not None}
    lines = _lines(contract, found.statement, before.keys())
    if not any(line.amount for line in lines):
        raise InvalidValue("Nothing of this statement is left to invoice.", ("statement",))
    shares = _less(found.statement.taxes, [before[one] for one in fees & before.keys()])
    act = _act(contract, command, found, lines, shares, occasion)
    issued = InvoiceIssued(**structs.asdict(act), due_on=due_on)
    packages = tuple(line.package for line in lines if line.package is not None)
    return issued, _drawn(occasion, DocumentKind.INVOICE, command.statement, packages, ())


def _of_package(
    contract: Contract, command: IssueInvoice, package: UUID, due_on: date | None, occasion: Occasion
) -> tuple[InvoiceIssued, DocumentDrawn]:
    grant = next((one for one in contract.on_sale(occasion.today) if one.grant == package), None)
    if grant is None:
        raise PackageNotFound(package)
    _must_be_first(contract, DocumentKind.INVOICE, None, (package,))
    if not grant.price:
        raise InvalidValue("This package has no price.", ("hourPackage",))
    rate = version_of_fee(contract, grant.valid_from).terms.tax
    share = TaxShare(rate=rate, base=grant.price, tax=tax_of(grant.price, rate, contract.currency))
    issued = InvoiceIssued(
        number=occasion.number,
        contract=command.contract,
        client=contract.client,
        ticket=command.ticket,
        statement=None,
        since=grant.valid_from,
        until=grant.expires_on or grant.valid_from,
        issued_on=occasion.today,
        currency=contract.currency,
        buyer=occasion.client,
        lines=(_package_line(grant, grant.price, rate),),
        taxes=(share,),
        amount=share.base,
        tax=share.tax,
        due_on=due_on,
    )
    return issued, _drawn(occasion, DocumentKind.INVOICE, None, (package,), (share,))


def _package_line(grant: HoursGranted, price: Decimal, rate: Decimal) -> DocumentLine:
    return DocumentLine(kind=ItemKind.PACKAGE, package=grant.grant, billed=grant.seconds, amount=price, tax=rate)


def _closed(contract: Contract, billed: Billed | None, number: int) -> Billed:
    """Raises Conflict where read models do not know it yet, StatementNotFound."""
    if all(one.number != number for one in contract.closed):
        raise StatementNotFound(number)
    if billed is None:
        raise Conflict(None, None)
    return billed


def _must_be_first(contract: Contract, kind: DocumentKind, statement: int | None, packages: tuple[UUID, ...]) -> None:
    for one in contract.documents:
        same = statement is not None and one.statement == statement
        if one.kind == kind and (same or not set(packages).isdisjoint(one.packages)):
            raise AlreadyInvoiced("statement" if packages == () else "hourPackage")


def _due(due_on: date | None, today: date) -> date | None:
    if due_on is not None and not 0 <= (due_on - today).days <= DUE_LIMIT_DAYS:
        raise InvalidValue("dueOn is today or later, within ten years.", ("dueOn",))
    return due_on


def _drawn(
    occasion: Occasion,
    kind: DocumentKind,
    statement: int | None,
    packages: tuple[UUID, ...],
    shares: tuple[TaxShare, ...],
) -> DocumentDrawn:
    return DocumentDrawn(document=occasion.document, kind=kind, statement=statement, packages=packages, taxes=shares)


def _act(
    contract: Contract,
    command: IssueCommand,
    found: Billed,
    lines: tuple[DocumentLine, ...],
    shares: tuple[TaxShare, ...],
    occasion: Occasion,
) -> ActIssued:
    """What an act says; an invoice says when it is due besides."""
    return ActIssued(
        number=occasion.number,
        contract=command.contract,
        client=contract.client,
        ticket=command.ticket,
        statement=found.number,
        since=found.statement.since,
        until=found.statement.until,
        issued_on=occasion.today,
        currency=contract.currency,
        buyer=occasion.client,
        lines=lines,
        taxes=shares,
        amount=sum((line.amount for line in lines), Decimal(0)),
        tax=sum((share.tax for share in shares), Decimal(0)),
    )


def _lines(contract: Contract, statement: Statement, elsewhere: Set[UUID]) -> tuple[DocumentLine, ...]:
    """What is due without work, then work and corrections summed by ticket and rate of tax. `elsewhere`: packages that
    have an invoice of their own."""
    lines = [
        DocumentLine(
            kind=ItemKind.PACKAGE if fee.kind is FeeKind.PACKAGE else ItemKind.FIXED_PRICE,
            package=fee.package,
            billed=fee.seconds,
            amount=fee.amount,
            tax=version_of_fee(contract, fee.day).terms.tax,
        )
        for fee in statement.fees
        if fee.package is None or fee.package not in elsewhere
    ]
    work = _summed(ItemKind.WORK, contract, statement.charges)
    return (*lines, *work, *_summed(ItemKind.CORRECTION, contract, statement.corrections))


def _summed(kind: ItemKind, contract: Contract, found: Iterable[Charge | Correction]) -> list[DocumentLine]:
    """Of what was billed; work that is free, or not of the contract, is told by the statement alone."""
    sums: dict[tuple[UUID, Decimal | None], DocumentLine] = {}
    for one in found:
        if one.billed or one.amount:
            rate = None if one.version is None else contract.versions[one.version - 1].terms.tax
            before = sums.get((one.ticket, rate)) or DocumentLine(
                kind=kind, ticket=one.ticket, amount=Decimal(0), tax=rate
            )
            sums[one.ticket, rate] = replace(
                before,
                seconds=before.seconds + one.seconds,
                billed=before.billed + one.billed,
                amount=before.amount + one.amount,
            )
    return list(sums.values())


def _less(shares: Iterable[TaxShare], before: Iterable[DocumentDrawn]) -> tuple[TaxShare, ...]:
    """Without what other invoices have told: so that all of them together come to the statement."""
    left = {share.rate: share for share in shares}
    for told in (share for document in before for share in document.taxes):
        one = left.get(told.rate) or TaxShare(rate=told.rate, base=Decimal(0), tax=Decimal(0))
        left[told.rate] = replace(one, base=one.base - told.base, tax=one.tax - told.tax)
    return tuple(share for share in left.values() if share.base or share.tax)


# ---- what becomes of it


def decide(
    document: Document | None,
    command: RecordPayment | ReversePayment | SignDocument | CancelDocument,
    today: date,
    new_id: UUID,
    reason: str | None,
) -> list[DocumentEvent]:
    """`today`: in UTC. Raises DocumentIsCancelled, DocumentNotFound, InvalidValue, PaymentNotFound, ReasonRequired."""
    if document is None:
        raise DocumentNotFound(command.document)
    if isinstance(command, CancelDocument):
        return _cancel(document, reason)
    if document.cancelled:
        raise DocumentIsCancelled
    match command:
        case RecordPayment():
            return [_pay(document, command, today, new_id)]
        case ReversePayment(payment=payment):
            found = next((one for one in document.payments if one.id == payment), None)
            if found is None:
                raise PaymentNotFound(payment)
            return [] if found.reversed else [PaymentReversed(payment=payment)]
        case SignDocument(signed_on=signed_on):
            if not document.issued.issued_on <= signed_on <= _tomorrow(today):
                raise InvalidValue("signedOn is from the day of issue to today.", ("signedOn",))
            return [] if signed_on == document.signed_on else [DocumentSigned(signed_on=signed_on)]
        case _:
            assert_never(command)


def _cancel(document: Document, reason: str | None) -> list[DocumentEvent]:
    if document.cancelled:
        return []
    if document.paid:
        raise InvalidValue("It was paid. Reverse its payments first.", ("document",))
    if reason is None:
        raise ReasonRequired("to cancel a document")
    return [DocumentCancelled()]


def _pay(document: Document, command: RecordPayment, today: date, new_id: UUID) -> PaymentRecorded:
    if document.kind is not DocumentKind.INVOICE:
        raise InvalidValue("An act is not paid: its invoice is.", ("document",))
    if not command.amount.is_finite():
        raise InvalidValue("amount is a number.", ("amount",))
    size = money.amount(abs(command.amount), document.issued.currency, ("amount",))
    amount = -size if command.amount < 0 else size
    left = document.total - document.paid
    if not amount or (amount < 0) != (document.total < 0) or abs(amount) > abs(left):
        raise InvalidValue(
            f"amount is what is paid of the {left} {document.issued.currency} that are left.", ("amount",)
        )
    if command.paid_on > _tomorrow(today):
        raise InvalidValue("paidOn is in the future.", ("paidOn",))
    if len(document.payments) >= PAYMENTS_LIMIT:
        raise InvalidValue(f"A document has {PAYMENTS_LIMIT:,} payments at most.", ("document",))
    note = None if command.note is None else text.line(command.note, "note", NOTE_LIMIT)
    return PaymentRecorded(payment=new_id, amount=amount, paid_on=command.paid_on, note=note)


def _tomorrow(today: date) -> date:
    """Somewhere it may have begun already."""
    return today + timedelta(days=1)


def evolve(document: Document | None, event: DocumentEvent, at: datetime) -> Document:
    if isinstance(event, InvoiceIssued | ActIssued):
        kind = DocumentKind.INVOICE if isinstance(event, InvoiceIssued) else DocumentKind.ACT
        return Document(kind=kind, issued=event)
    assert document is not None, "a document's first event says that it was issued"
    match event:
        case PaymentRecorded(payment=payment, amount=amount, paid_on=paid_on, note=note):
            paid = Payment(id=payment, amount=amount, paid_on=paid_on, note=note)
            return replace(document, payments=(*document.payments, paid))
        case PaymentReversed(payment=payment):
            payments = (replace(one, reversed=True) if one.id == payment else one for one in document.payments)
            return replace(document, payments=tuple(payments))
        case DocumentSigned(signed_on=signed_on):
            return replace(document, signed_on=signed_on)
        case DocumentCancelled():
            return replace(document, cancelled=True)
        case _:
            assert_never(event)
