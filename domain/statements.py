"""Statements: what a contract came to in a period, and what closed periods were corrected by since.

A statement that is closed was made of what the log held up to a position. What is recorded later about its days does
not change it: the next statement says how far the days before it came to something else than was stated.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Protocol
from uuid import UUID, uuid5

import msgspec

from domain import hour_packages, money
from domain.billing import Carried, Charge, Fee, Ledger
from domain.contracts import Contract, PeriodClosed
from domain.errors import InvalidValue, PeriodIsClosed
from domain.hour_packages import Movement
from domain.money import TaxShare, tax_of
from domain.terms import ContractKind, Overage, TermsVersion


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """By how much an entry of closed days comes to more, or less, than was stated. `version`: of the terms."""

    entry: UUID
    ticket: UUID
    version: int | None
    seconds: int = 0
    billed: int = 0
    amount: Decimal = Decimal(0)


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """From the first to the last day. `movements`: of hours of packages, whose seconds it opens and closes with.
    `amount` without tax."""

    since: date
    until: date
    currency: str
    charges: tuple[Charge, ...]
    fees: tuple[Fee, ...]
    corrections: tuple[Correction, ...]
    movements: tuple[Movement, ...] = ()
    opening: int
    closing: int
    amount: Decimal
    taxes: tuple[TaxShare, ...]

    @property
    def tax(self) -> Decimal:
        return sum((one.tax for one in self.taxes), Decimal(0))

    @property
    def seconds(self) -> int:
        """Worked, corrections included."""
        return sum(one.seconds for one in self.charges) + sum(one.seconds for one in self.corrections)

    @property
    def billed(self) -> int:
        return sum(one.billed for one in self.charges) + sum(one.billed for one in self.corrections)

    @property
    def total(self) -> Decimal:
        return self.amount + self.tax


def statement(contract: Contract, now: Ledger, stated: Ledger | None, since: date, until: date) -> Statement:
    """`now`: up to `until`; `stated`: what earlier statements told of the days before `since`. Both begin before
    `since`, after days that come to the same now as was stated."""
    charges = tuple(one for one in now.charges if since <= one.day <= until)
    fees = tuple(one for one in now.fees if since <= one.day <= until)
    corrections = () if stated is None else _corrections(now, stated, since)
    due = [*(one.amount for one in charges), *(one.amount for one in fees), *(one.amount for one in corrections)]
    return Statement(
        since=since,
        until=until,
        currency=contract.currency,
        charges=charges,
        fees=fees,
        corrections=corrections,
        movements=tuple(one for one in now.movements if since <= one.day <= until),
        opening=now.left_before(since),
        closing=now.left_after,
        amount=money.in_units(Fraction(sum(due, Decimal(0))), contract.currency),
        taxes=taxes(contract, charges, fees, corrections),
    )


def _corrections(now: Ledger, stated: Ledger, since: date) -> tuple[Correction, ...]:
    """By entry and version of the terms, in the order of the log that a ledger is in."""
    differ: dict[tuple[UUID, UUID, int | None], Correction] = {}
    for sign, ledger in ((1, now), (-1, stated)):
        for one in ledger.charges:
            if one.day < since:
                key = (one.entry, one.ticket, one.version)
                before = differ.get(key) or Correction(entry=one.entry, ticket=one.ticket, version=one.version)
                differ[key] = Correction(
                    entry=one.entry,
                    ticket=one.ticket,
                    version=one.version,
                    seconds=before.seconds + sign * one.seconds,
                    billed=before.billed + sign * one.billed,
                    amount=before.amount + sign * one.amount,
                )
    return tuple(one for one in differ.values() if one.seconds or one.billed or one.amount)


def taxes(
    contract: Contract, charges: Iterable[Charge], fees: Iterable[Fee], corrections: Iterable[Correction]
) -> tuple[TaxShare, ...]:
    """Of the sum under each version of the terms, in whole units; versions with one rate together."""
    sums: defaultdict[int, Decimal] = defaultdict(Decimal)
    due = [*((one.version, one.amount) for one in charges), *((one.version, one.amount) for one in corrections)]
    for number, amount in due:
        if number is not None:
            sums[number] += amount
    for fee in fees:
        sums[version_of_fee(contract, fee.day).number] += fee.amount
    shares: dict[Decimal, TaxShare] = {}
    for number, amount in sorted(sums.items()):
        rate = contract.versions[number - 1].terms.tax
        before = shares.get(rate) or TaxShare(rate=rate, base=Decimal(0), tax=Decimal(0))
        tax = before.tax + tax_of(amount, rate, contract.currency)
        shares[rate] = TaxShare(rate=rate, base=before.base + amount, tax=tax)
    return tuple(shares.values())


def version_of_fee(contract: Contract, day: date) -> TermsVersion:
    """By whose terms a fee of that day is taxed."""
    return contract.version_on(max(day, contract.versions[0].applies_from)) or contract.versions[-1]


# ---- when no hours are left


class Exhausted(msgspec.Struct, frozen=True, kw_only=True):
    """A contract that takes no more work. `left`: seconds."""

    name: str
    left: int


def exhausted(contract: Contract, account: Carried) -> Exhausted | None:
    """As it stands today. A limit holds for the overage of a calendar month."""
    today = account.day
    version = contract.version_on(today)
    if version is None or version.terms.kind is not ContractKind.PREPAID:
        return None
    left = hour_packages.left(account.packages, today)
    match version.terms.overage:
        case Overage.CHARGE:
            full = False
        case Overage.BLOCK:
            full = left == 0
        case Overage.LIMIT:
            full = left == 0 and account.overage_of_month >= (version.terms.overage_limit or 0)
    return Exhausted(name=contract.name, left=left) if full else None


# ---- closing


class ClosePeriod(msgspec.Struct, frozen=True, kw_only=True):
    """All days that are not closed up to this one. What work is recorded there later is told in the next statement."""

    contract: UUID
    until: date


class StatementNumbered(msgspec.Struct, frozen=True, kw_only=True):
    contract: UUID
    number: int


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """Of a workspace's statements, of its invoices, or of its acts: a stream of its own draws each, so that none is
    drawn twice or left out."""

    last: int = 0


def numbers_stream(workspace: UUID) -> UUID:
    return uuid5(workspace, "statements")


class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """The statement of the open days up to the day that is closed. `contract`: that it was drawn from, as read models
    know it; `known`: the position of the log up to which work was looked at; `today`: by the contract's calendar."""

    statement: Statement
    contract: Contract
    known: int
    today: date

    def still(self, contract: Contract) -> bool:
        """Whether all that it was drawn of is as it was: terms, hours and closed days. What else a contract is told
        of, as that hours are used up, changes no statement."""
        then = self.contract
        agreed = (then.versions, then.grants, then.last_day) == (contract.versions, contract.grants, contract.last_day)
        return agreed and self.statement.since == contract.open_from


def close(contract: Contract, command: ClosePeriod, drawn: Drawn, number: int) -> list[PeriodClosed]:
    """Raises InvalidValue, PeriodIsClosed."""
    if command.until < contract.open_from:
        raise PeriodIsClosed(contract.open_from - timedelta(days=1), "until")
    if command.until >= drawn.today:
        raise InvalidValue("until is not over yet.", ("until",))
    return [
        PeriodClosed(
            number=number,
            since=contract.open_from,
            until=command.until,
            known=drawn.known,
            billed=drawn.statement.billed,
            amount=drawn.statement.amount,
            tax=drawn.statement.tax,
        )
    ]


class Numbered(Protocol):
    """Whatever draws a number: a statement, an invoice, an act."""

    @property
    def number(self) -> int: ...


def evolve(numbers: Numbers | None, event: Numbered, at: datetime) -> Numbers:
    return Numbers(last=event.number)
