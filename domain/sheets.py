"""Sheets: what a statement, an invoice or an act says when it is written down, whatever the format.

A sheet holds words and numbers alone, so that every format shows the same lines and the same totals.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from itertools import groupby
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from domain.billing import Charge, FeeKind, Treatment
from domain.contracts import Contract
from domain.money import TaxShare
from domain.statements import Correction, Statement, version_of_fee


class SheetKind(StrEnum):
    STATEMENT = "STATEMENT"
    INVOICE = "INVOICE"
    ACT = "ACT"


class ItemKind(StrEnum):
    """What a line is for. PACKAGE and FIXED_PRICE are due without work."""

    PACKAGE = "PACKAGE"
    FIXED_PRICE = "FIXED_PRICE"
    WORK = "WORK"
    CORRECTION = "CORRECTION"
    """By how much work of closed days came to more, or less."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """`ticket`: its key. `started_at`, `ended_at`: local, by the contract's calendar. `seconds`: worked; `billed`:
    after rounding, or how long a package is. `rate`: per hour, the calendar's factor taken in. `tax`: per cent; None
    where nothing is due. Of a sum of several stretches, day, times, person, comment and rate are missing."""

    kind: ItemKind
    amount: Decimal
    ticket: str = ""
    title: str = ""
    day: date | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    person: str = ""
    comment: str = ""
    treatment: Treatment | None = None
    seconds: int = 0
    billed: int = 0
    rate: Decimal | None = None
    tax: Decimal | None = None


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """What a ticket was estimated at, and what it came to by the end of the statement: seconds and amounts."""

    ticket: str
    title: str
    least_seconds: int
    most_seconds: int
    least_price: Decimal | None
    most_price: Decimal | None
    seconds: int
    amount: Decimal


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """`number`: None of a draft. `opening`, `closing`: seconds of packages. `paid`: None where nothing is to be paid
    by it. `language`: the client's, a tag as ru or pt-BR. `tickets`: of which it says something; whoever reads it reads
    them."""

    kind: SheetKind
    number: int | None
    seller: str
    buyer: str
    contract: str
    language: str
    currency: str
    since: date
    until: date
    items: tuple[Item, ...]
    taxes: tuple[TaxShare, ...]
    amount: Decimal
    tax: Decimal
    issued_on: date | None = None
    due_on: date | None = None
    statement: int | None = None
    opening: int | None = None
    closing: int | None = None
    paid: Decimal | None = None
    cancelled: bool = False
    compared: tuple[Compared, ...] = ()
    tickets: frozenset[UUID] = frozenset()

    @property
    def total(self) -> Decimal:
        return self.amount + self.tax

    @property
    def seconds(self) -> int:
        """Worked."""
        return sum(one.seconds for one in self.items)

    @property
    def billed(self) -> int:
        """Of work: packages are not, though their lines tell how long they are."""
        return sum(one.billed for one in self.items if one.kind is not ItemKind.PACKAGE)


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """What the things of a statement are called: tickets by number and title, people; comments by work entry."""

    tickets: Mapping[UUID, tuple[str, str]]
    people: Mapping[UUID, str]
    comments: Mapping[UUID, str | None]


def items(statement: Statement, contract: Contract, named: Named) -> tuple[Item, ...]:
    """Fees first, then work by ticket, day and time, then what is corrected."""
    zone = ZoneInfo(contract.versions[-1].terms.calendar.time_zone)
    fees = [
        Item(
            kind=ItemKind.PACKAGE if fee.kind is FeeKind.PACKAGE else ItemKind.FIXED_PRICE,
            day=fee.day,
            billed=fee.seconds,
            amount=fee.amount,
            tax=version_of_fee(contract, fee.day).terms.tax,
        )
        for fee in statement.fees
    ]
    charges = sorted(
        statement.charges, key=lambda one: (_turn(one.ticket, named), one.day, one.started_at, one.ended_at)
    )
    work = [_work(charge, contract, named, zone) for charge in charges]
    return (*fees, *work, *(_correction(one, contract, named) for one in statement.corrections))


def _work(charge: Charge, contract: Contract, named: Named, zone: ZoneInfo) -> Item:
    key, title = _ticket(charge.ticket, named)
    return Item(
        kind=ItemKind.WORK,
        ticket=key,
        title=title,
        day=charge.day,
        started_at=charge.started_at.astimezone(zone),
        ended_at=charge.ended_at.astimezone(zone),
        person=named.people.get(charge.person, ""),
        comment=named.comments.get(charge.entry) or "",
        treatment=charge.treatment,
        seconds=charge.seconds,
        billed=charge.billed,
        rate=charge.rate * charge.factor if charge.rate is not None and charge.amount else None,
        amount=charge.amount,
        tax=_rate_of_tax(contract, charge.version, charge.amount),
    )


def _correction(one: Correction, contract: Contract, named: Named) -> Item:
    key, title = _ticket(one.ticket, named)
    return Item(
        kind=ItemKind.CORRECTION,
        ticket=key,
        title=title,
        comment=named.comments.get(one.entry) or "",
        seconds=one.seconds,
        billed=one.billed,
        amount=one.amount,
        tax=_rate_of_tax(contract, one.version, one.amount),
    )


def _rate_of_tax(contract: Contract, version: int | None, amount: Decimal) -> Decimal | None:
    return contract.versions[version - 1].terms.tax if version is not None and amount else None


def _ticket(ticket: UUID, named: Named) -> tuple[str, str]:
    return named.tickets.get(ticket, ("", ""))


def _turn(ticket: UUID, named: Named) -> tuple[int, str]:
    """By number, as T-9 comes before T-10."""
    key, _ = _ticket(ticket, named)
    return len(key), key


def by_ticket(found: Iterable[Item]) -> list[list[Item]]:
    """Neighbours of one kind and ticket together, in their order."""
    return [list(group) for _, group in groupby(found, lambda item: (item.kind, item.ticket))]


def summed(found: Sequence[Item]) -> Item:
    """Several as one: what they have together."""
    first = found[0]
    return Item(
        kind=first.kind,
        ticket=first.ticket,
        title=first.title,
        seconds=sum(one.seconds for one in found),
        billed=sum(one.billed for one in found),
        amount=sum((one.amount for one in found), Decimal(0)),
    )
