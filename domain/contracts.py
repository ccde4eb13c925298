"""Contracts of a client: terms in versions, each from a date on, hours that were bought, which tickets they are for.

What a contract says decides what work costs; nothing here looks at work.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import count
from typing import assert_never
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from domain import money, renewals, text
from domain.clients import Client
from domain.errors import (
    AlreadyInvoiced,
    ClientNotFound,
    ContractNotFound,
    InvalidValue,
    PackageNotFound,
    PeriodIsClosed,
    TermsOverlap,
)
from domain.money import TaxShare
from domain.renewals import RenewalPeriod
from domain.terms import GRANT_LIMIT, ContractKind, Terms, TermsVersion, checked
from domain.text import FreeText

# ---- events


class ContractAgreed(msgspec.Struct, frozen=True, kw_only=True):
    client: UUID
    name: FreeText
    terms: Terms
    applies_from: date


class TermsAgreed(msgspec.Struct, frozen=True, kw_only=True):
    terms: Terms
    applies_from: date


class HoursGranted(msgspec.Struct, frozen=True, kw_only=True):
    """`expires_on`: the last day on which they can be used. `every`: how often as many are granted anew, for the same
    price and for as long; None: never. `renews_until`: the last day on which such can begin; None: any."""

    grant: UUID
    seconds: int
    valid_from: date
    expires_on: date | None = None
    price: Decimal | None = None
    every: RenewalPeriod | None = None
    renews_until: date | None = None


class RenewalStopped(msgspec.Struct, frozen=True, kw_only=True):
    """`last_day`: on which hours of this grant can begin."""

    grant: UUID
    last_day: date


class ContractEnded(msgspec.Struct, frozen=True, kw_only=True):
    last_day: date


class PeriodClosed(msgspec.Struct, frozen=True, kw_only=True):
    """`number`: of the statement, without gaps in a workspace. `known`: the position of the log up to which work was
    looked at; what is recorded later about closed days is told in the next statement. `billed`, `amount`, `tax`: what
    the statement came to."""

    number: int
    since: date
    until: date
    known: int
    billed: int
    amount: Decimal
    tax: Decimal

    @property
    def next_day(self) -> date:
        return self.until + timedelta(days=1)


class AlertReached(msgspec.Struct, frozen=True, kw_only=True):
    """So much of the hours that can be used on the day is drawn as the terms want to be told of. `threshold`: per cent.
    `granted`, `drawn`: seconds of these packages."""

    threshold: int
    day: date
    packages: tuple[UUID, ...]
    granted: int
    drawn: int


class DocumentKind(StrEnum):
    INVOICE = "INVOICE"
    ACT = "ACT"


class DocumentDrawn(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice or an act was issued of a closed statement, by its number, or of a package alone. `packages`: that it
    invoices; `taxes`: that it tells of one that it is of alone."""

    document: UUID
    kind: DocumentKind
    statement: int | None
    packages: tuple[UUID, ...]
    taxes: tuple[TaxShare, ...]


class DocumentWithdrawn(msgspec.Struct, frozen=True, kw_only=True):
    """It was cancelled: what it was of can be issued anew."""

    document: UUID


class PackageUsedUp(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing is left of a package, and the report of it is ready: the statement of the days from the package's first
    to this one, as it was known at the position."""

    package: UUID
    since: date
    until: date
    known: int


ContractEvent = (
    ContractAgreed
    | TermsAgreed
    | HoursGranted
    | RenewalStopped
    | ContractEnded
    | PeriodClosed
    | DocumentDrawn
    | DocumentWithdrawn
    | PackageUsedUp
    | AlertReached
)


# ---- commands


class AgreeContract(msgspec.Struct, frozen=True, kw_only=True):
    client: UUID
    name: str
    terms: Terms
    applies_from: date


class AgreeTerms(msgspec.Struct, frozen=True, kw_only=True):
    contract: UUID
    terms: Terms
    applies_from: date


class GrantHours(msgspec.Struct, frozen=True, kw_only=True):
    """Hours that renew expire when the next ones begin, unless `expires_on` says otherwise."""

    contract: UUID
    seconds: int
    valid_from: date
    expires_on: date | None = None
    price: Decimal | None = None
    every: RenewalPeriod | None = None
    renews_until: date | None = None


class StopRenewal(msgspec.Struct, frozen=True, kw_only=True):
    """`last_day`: on which hours of this package can begin; a later one than before lets them go on."""

    contract: UUID
    hour_package: UUID
    last_day: date


class EndContract(msgspec.Struct, frozen=True, kw_only=True):
    contract: UUID
    last_day: date


class ReportUsedUp(msgspec.Struct, frozen=True, kw_only=True):
    """Tell that a package is used up, unless that was told."""

    contract: UUID
    package: UUID
    since: date
    until: date
    known: int


ContractCommand = AgreeContract | AgreeTerms | GrantHours | StopRenewal | EndContract


class ReachAlerts(msgspec.Struct, frozen=True, kw_only=True):
    """Tell of what is drawn of the hours that can be used on a day, if the terms want that and it was not told yet."""

    contract: UUID
    day: date
    packages: tuple[UUID, ...]
    granted: int
    drawn: int


# ---- state


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """`versions`: by `applies_from`, ascending. `grants`: in the order they were bought, and `renews_until` as it is
    now. `documents`: issued, and not cancelled."""

    client: UUID
    name: str
    versions: tuple[TermsVersion, ...]
    grants: tuple[HoursGranted, ...] = ()
    last_day: date | None = None
    closed: tuple[PeriodClosed, ...] = ()
    alerts: tuple[AlertReached, ...] = ()
    documents: tuple[DocumentDrawn, ...] = ()
    used_up: tuple[UUID, ...] = ()

    @property
    def open_from(self) -> date:
        """The first day that is not closed."""
        return self.closed[-1].next_day if self.closed else self.versions[0].applies_from

    @property
    def currency(self) -> str:
        return self.versions[0].terms.currency

    def packages(self, until: date) -> Iterator[HoursGranted]:
        """All that were bought, each with those that it renews by up to a day; in the order they were bought. They have
        ids of their own, which are always the same, and renew no further."""
        for grant in self.grants:
            yield grant
            if grant.every is not None:
                yield from self._renewals(grant, grant.every, min(until, grant.renews_until or until))

    def _renewals(self, grant: HoursGranted, every: RenewalPeriod, until: date) -> Iterator[HoursGranted]:
        """Where hours are bought under the terms of their first day."""
        first, expires = grant.valid_from, grant.expires_on
        for number in count(1):
            begins = renewals.begins(first, every, number)
            if begins > until:
                break
            if self.sells_hours(begins):
                yield replace(
                    grant,
                    grant=uuid5(grant.grant, f"renewal {number}"),
                    valid_from=begins,
                    expires_on=None if expires is None else renewals.lives_until(first, expires, every, number),
                    every=None,
                    renews_until=None,
                )

    def on_sale(self, today: date) -> Iterator[HoursGranted]:
        """Packages that there are, and those that renew within a month: so that they can be invoiced before."""
        return self.packages(renewals.months_later(today, 1))

    def sells_hours(self, day: date) -> bool:
        """Whether hours can be bought from a day on: before the contract begins, by its first terms."""
        version = self.version_on(max(day, self.versions[0].applies_from))
        return version is not None and version.terms.kind is ContractKind.PREPAID

    def day_of(self, at: datetime) -> date:
        """The local day of an instant, by the newest calendar."""
        return at.astimezone(ZoneInfo(self.versions[-1].terms.calendar.time_zone)).date()

    def version_on(self, day: date) -> TermsVersion | None:
        """Which terms apply on a day; None before the first and after the last day."""
        if self.last_day is not None and day > self.last_day:
            return None
        return next((one for one in reversed(self.versions) if one.applies_from <= day), None)


def decide(
    contract: Contract | None, command: ContractCommand, client: Client | None, new_id: UUID
) -> list[ContractEvent]:
    """`client`: of the contract that is agreed. That services and people are here is checked before.
    Raises AlreadyInvoiced, ClientNotFound, ContractNotFound, FieldRequired, InvalidValue, PackageNotFound,
    PeriodIsClosed, TermsOverlap."""
    if isinstance(command, AgreeContract):
        assert contract is None, "a new contract has a new stream"
        if client is None:
            raise ClientNotFound(command.client)
        name = text.line(command.name, "name")
        terms = checked(command.terms)
        must_be_a_day(command.applies_from, "appliesFrom")
        return [ContractAgreed(client=command.client, name=name, terms=terms, applies_from=command.applies_from)]
    if contract is None:
        raise ContractNotFound(command.contract)
    match command:
        case AgreeTerms():
            return _agree(contract, command)
        case GrantHours():
            return [_grant(contract, command, new_id)]
        case StopRenewal():
            return _stop(contract, command)
        case EndContract(last_day=last_day):
            must_be_a_day(last_day, "lastDay")
            _must_be_open(contract, last_day + timedelta(days=1), "lastDay")
            if last_day < contract.versions[0].applies_from:
                raise InvalidValue("lastDay is before the contract begins.", ("lastDay",))
            _must_keep_packages(contract, replace(contract, last_day=last_day), "lastDay")
            return [] if last_day == contract.last_day else [ContractEnded(last_day=last_day)]
        case _:
            assert_never(command)


def report(contract: Contract, command: ReportUsedUp) -> list[PackageUsedUp]:
    """Once for each package, whatever is corrected later."""
    if command.package in contract.used_up:
        return []
    return [PackageUsedUp(package=command.package, since=command.since, until=command.until, known=command.known)]


def _agree(contract: Contract, command: AgreeTerms) -> list[ContractEvent]:
    last = contract.versions[-1]
    terms = checked(command.terms)
    must_be_a_day(command.applies_from, "appliesFrom")
    if terms.currency != contract.currency:
        raise InvalidValue(
            f"The contract is in {contract.currency}; agree another for {terms.currency}.", ("terms", "currency")
        )
    if terms == last.terms and command.applies_from >= last.applies_from:
        return []
    if command.applies_from <= last.applies_from:
        raise TermsOverlap(last.number, last.applies_from)
    if contract.last_day is not None and command.applies_from > contract.last_day:
        raise InvalidValue(f"The contract ends on {contract.last_day}.", ("appliesFrom",))
    _must_be_open(contract, command.applies_from, "appliesFrom")
    _must_keep_packages(contract, _under(contract, terms, command.applies_from), "appliesFrom")
    return [TermsAgreed(terms=terms, applies_from=command.applies_from)]


def _grant(contract: Contract, command: GrantHours, new_id: UUID) -> HoursGranted:
    must_be_a_day(command.valid_from, "validFrom")
    must_be_a_day(command.expires_on, "expiresOn")
    must_be_a_day(command.renews_until, "renewsUntil")
    if not contract.sells_hours(command.valid_from):
        raise InvalidValue("Hours are bought under a prepaid contract; agree such terms first.", ("contract",))
    if not 0 < command.seconds <= GRANT_LIMIT:
        raise InvalidValue(f"seconds is 1 to {GRANT_LIMIT:,}: 100,000 hours.", ("seconds",))
    if command.expires_on is not None and command.expires_on < command.valid_from:
        raise InvalidValue("expiresOn is before validFrom.", ("expiresOn",))
    if command.renews_until is not None and (command.every is None or command.renews_until < command.valid_from):
        raise InvalidValue("renewsUntil goes with every, and is not before validFrom.", ("renewsUntil",))
    _must_be_open(contract, command.valid_from, "validFrom")
    price = None if command.price is None else money.amount(command.price, contract.currency, ("price",))
    return HoursGranted(
        grant=new_id,
        seconds=command.seconds,
        valid_from=command.valid_from,
        expires_on=_expires_on(command),
        price=price,
        every=command.every,
        renews_until=command.renews_until,
    )


def _expires_on(command: GrantHours) -> date | None:
    if command.expires_on is None and command.every is not None:
        return renewals.begins(command.valid_from, command.every, 1) - timedelta(days=1)
    return command.expires_on


def _stop(contract: Contract, command: StopRenewal) -> list[ContractEvent]:
    last_day = command.last_day
    must_be_a_day(last_day, "lastDay")
    grant = next((one for one in contract.packages(last_day) if one.grant == command.hour_package), None)
    if grant is None:
        raise PackageNotFound(command.hour_package)
    if grant.every is None:
        raise InvalidValue("This package does not renew; name the one that was granted.", ("hourPackage",))
    if last_day < grant.valid_from:
        raise InvalidValue("lastDay is before the package begins.", ("lastDay",))
    _must_be_open(contract, last_day + timedelta(days=1), "lastDay")
    _must_keep_packages(contract, _until(contract, command.hour_package, last_day), "lastDay")
    return [] if last_day == grant.renews_until else [RenewalStopped(grant=command.hour_package, last_day=last_day)]


FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2199, 12, 31)
"""Between which contracts live: times before and after cannot all be told in every time zone."""


def must_be_a_day(day: date | None, field: str) -> None:
    """Raises InvalidValue."""
    if day is not None and not FIRST_DAY <= day <= LAST_DAY:
        raise InvalidValue(f"{field} is a day from {FIRST_DAY} to {LAST_DAY}.", (field,))


def reached_by(terms: Terms, granted: int, drawn: int) -> list[int]:
    """Thresholds of the terms that such a use of hours has reached."""
    return [one for one in terms.alerts if granted and drawn * 100 >= granted * one]


def reach(contract: Contract, command: ReachAlerts) -> list[AlertReached]:
    """Once for each threshold of the same packages: what is bought later begins anew."""
    version = contract.version_on(command.day)
    told = {one.threshold for one in contract.alerts if one.packages == command.packages}
    reached = [] if version is None else reached_by(version.terms, command.granted, command.drawn)
    return [
        AlertReached(
            threshold=threshold,
            day=command.day,
            packages=command.packages,
            granted=command.granted,
            drawn=command.drawn,
        )
        for threshold in sorted(set(reached) - told)
    ]


def _must_be_open(contract: Contract, day: date, field: str) -> None:
    """Terms and hours change nothing that is closed; work alone can be corrected there."""
    if contract.closed and day <= contract.closed[-1].until:
        raise PeriodIsClosed(contract.closed[-1].until, field)


def _must_keep_packages(contract: Contract, after: Contract, field: str) -> None:
    """Those that began in closed days were stated, and none comes there later; those that were invoiced were sold."""
    if contract.closed:
        until = contract.closed[-1].until
        if _begun(contract, until) != _begun(after, until):
            raise PeriodIsClosed(until, field)
    invoiced = {package for document in contract.documents for package in document.packages}
    if invoiced and not invoiced <= {one.grant for one in after.packages(LAST_DAY)}:
        raise AlreadyInvoiced(field)


def _begun(contract: Contract, until: date) -> list[UUID]:
    return [one.grant for one in contract.packages(until)]


def evolve(contract: Contract | None, event: ContractEvent, at: datetime) -> Contract:
    if isinstance(event, ContractAgreed):
        first = TermsVersion(number=1, applies_from=event.applies_from, terms=event.terms)
        return Contract(client=event.client, name=event.name, versions=(first,))
    assert contract is not None, "a contract's first event is ContractAgreed"
    match event:
        case TermsAgreed(terms=terms, applies_from=applies_from):
            return _under(contract, terms, applies_from)
        case HoursGranted():
            return replace(contract, grants=(*contract.grants, event))
        case RenewalStopped(grant=grant, last_day=last_day):
            return _until(contract, grant, last_day)
        case ContractEnded(last_day=last_day):
            return replace(contract, last_day=last_day)
        case PeriodClosed():
            return replace(contract, closed=(*contract.closed, event))
        case AlertReached():
            return replace(contract, alerts=(*contract.alerts, event))
        case DocumentDrawn():
            return replace(contract, documents=(*contract.documents, event))
        case PackageUsedUp(package=package):
            return replace(contract, used_up=(*contract.used_up, package))
        case DocumentWithdrawn(document=document):
            left = tuple(one for one in contract.documents if one.document != document)
            return replace(contract, documents=left)
        case _:
            assert_never(event)


def _under(contract: Contract, terms: Terms, applies_from: date) -> Contract:
    version = TermsVersion(number=len(contract.versions) + 1, applies_from=applies_from, terms=terms)
    return replace(contract, versions=(*contract.versions, version))


def _until(contract: Contract, grant: UUID, last_day: date) -> Contract:
    grants = (replace(one, renews_until=last_day) if one.grant == grant else one for one in contract.grants)
    return replace(contract, grants=tuple(grants))


# ---- which contract a ticket's work counts under


class ContractBound(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID
    contract: UUID


class ContractUnbound(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID


BindingEvent = ContractBound | ContractUnbound


class BindContract(msgspec.Struct, frozen=True, kw_only=True):
    """None: what its parent is bound to counts again."""

    ticket: UUID
    contract: UUID | None


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """`since`: from when on which contract, oldest first."""

    ticket: UUID
    since: tuple[tuple[datetime, UUID | None], ...]

    @property
    def now(self) -> UUID | None:
        return self.since[-1][1]

    def at(self, moment: datetime) -> UUID | None:
        """Work that began then counts under this one."""
        return next((contract for since, contract in reversed(self.since) if since <= moment), None)


def binding_stream(workspace: UUID, ticket: UUID) -> UUID:
    return uuid5(workspace, f"contract of:{ticket}")


def bind(binding: Binding | None, command: BindContract) -> list[BindingEvent]:
    """That ticket and contract are here is checked before."""
    before = binding.now if binding else None
    if command.contract == before:
        return []
    if command.contract is None:
        return [ContractUnbound(ticket=command.ticket)]
    return [ContractBound(ticket=command.ticket, contract=command.contract)]


def evolve_binding(binding: Binding | None, event: BindingEvent, at: datetime) -> Binding:
    contract = event.contract if isinstance(event, ContractBound) else None
    return Binding(ticket=event.ticket, since=(*(binding.since if binding else ()), (at, contract)))
