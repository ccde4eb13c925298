"""Contracts: terms from a day on, hours that are bought, tickets that are bound."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest

from domain import contracts
from domain.clients import Client
from domain.contracts import (
    AgreeContract,
    AgreeTerms,
    AlertReached,
    BindContract,
    Binding,
    BindingEvent,
    Contract,
    ContractAgreed,
    ContractBound,
    ContractCommand,
    ContractEnded,
    ContractEvent,
    ContractUnbound,
    DocumentDrawn,
    DocumentKind,
    EndContract,
    GrantHours,
    HoursGranted,
    PeriodClosed,
    ReachAlerts,
    RenewalStopped,
    StopRenewal,
    TermsAgreed,
)
from domain.errors import (
    AlreadyInvoiced,
    ClientNotFound,
    ContractNotFound,
    FieldRequired,
    InvalidValue,
    PackageNotFound,
    PeriodIsClosed,
    Refused,
    TermsOverlap,
)
from domain.renewals import RenewalPeriod
from domain.terms import ContractKind, Grade, Overage, Rate, Rollover, Rounding, Terms, WorkingCalendar, checked
from tests.domain.given import START, TICKET, Subject, an_id, hour

CLIENT, CONTRACT, GRANT = an_id(71), an_id(72), an_id(73)
OURS = Client(name="Ромашка", language="ru", currency="EUR", time_zone="UTC")
HOURLY = Terms(
    kind=ContractKind.TIME_AND_MATERIALS, currency="EUR", rates=(Rate(per_hour=Decimal("99.50")),), tax=Decimal(19)
)
PREPAID = Terms(kind=ContractKind.PREPAID, currency="EUR")
FIRST, LATER = date(2026, 1, 1), date(2026, 4, 1)
AGREED = ContractAgreed(client=CLIENT, name="Support", terms=HOURLY, applies_from=FIRST)
BOUGHT = ContractAgreed(client=CLIENT, name="Hours", terms=PREPAID, applies_from=FIRST)


def knowing(client: Client | None) -> Subject[Contract, ContractCommand, ContractEvent]:
    return Subject(lambda state, command: contracts.decide(state, command, client, GRANT), contracts.evolve)


contract = knowing(OURS)
binding = Subject[Binding, BindContract, BindingEvent](contracts.bind, contracts.evolve_binding)


def test_a_contract_is_agreed_with_a_client_that_is_here() -> None:
    agree = AgreeContract(client=CLIENT, name=" Support ", terms=HOURLY, applies_from=FIRST)
    contract.when(agree).then(AGREED)
    knowing(None).when(agree).refused(ClientNotFound, "client")
    contract.when(msgspec.structs.replace(agree, name="")).refused(InvalidValue, "name")


def test_new_terms_apply_from_a_later_day_and_the_past_keeps_its_own() -> None:
    dearer = msgspec.structs.replace(HOURLY, rates=(Rate(per_hour=Decimal(120)),))
    agree = AgreeTerms(contract=CONTRACT, terms=dearer, applies_from=LATER)
    outcome = contract.given(AGREED).when(agree)
    outcome.then(TermsAgreed(terms=dearer, applies_from=LATER))
    assert outcome.after is not None
    numbers = {day: version.number if (version := outcome.after.version_on(day)) else None for day in _days()}
    assert numbers == {FIRST - timedelta(days=1): None, FIRST: 1, LATER - timedelta(days=1): 1, LATER: 2}


def _days() -> list[date]:
    return [FIRST - timedelta(days=1), FIRST, LATER - timedelta(days=1), LATER]


def test_versions_that_overlap_are_refused() -> None:
    dearer = msgspec.structs.replace(HOURLY, tax=Decimal(20))
    for day in (FIRST, FIRST - timedelta(days=1)):
        overlapping = AgreeTerms(contract=CONTRACT, terms=dearer, applies_from=day)
        contract.given(AGREED).when(overlapping).refused(TermsOverlap, "appliesFrom")
    contract.given(AGREED).when(AgreeTerms(contract=CONTRACT, terms=HOURLY, applies_from=LATER)).nothing()


def test_a_contract_keeps_its_currency() -> None:
    dollars = msgspec.structs.replace(HOURLY, currency="USD")
    contract.given(AGREED).when(AgreeTerms(contract=CONTRACT, terms=dollars, applies_from=LATER)).refused(InvalidValue)


def test_hours_are_bought_under_a_prepaid_contract() -> None:
    grant = GrantHours(
        contract=CONTRACT, seconds=36_000, valid_from=FIRST, expires_on=date(2026, 1, 31), price=Decimal("900.00")
    )
    contract.given(BOUGHT).when(grant).then(
        HoursGranted(
            grant=GRANT, seconds=36_000, valid_from=FIRST, expires_on=date(2026, 1, 31), price=Decimal("900.00")
        )
    )
    contract.given(AGREED).when(grant).refused(InvalidValue, "contract")
    for changes, field in (
        ({"seconds": 0}, "seconds"),
        ({"seconds": -36_000}, "seconds"),
        ({"seconds": 3_600 * 10**12}, "seconds"),
        ({"expires_on": FIRST - timedelta(days=1)}, "expiresOn"),
        ({"price": Decimal("NaN")}, "price"),
        ({"price": Decimal("-1")}, "price"),
        ({"price": Decimal("900.001")}, "price"),
        ({"price": Decimal("1e30")}, "price"),
    ):
        contract.given(BOUGHT).when(msgspec.structs.replace(grant, **changes)).refused(InvalidValue, field)


MONTHLY = HoursGranted(
    grant=GRANT,
    seconds=72_000,
    valid_from=FIRST,
    expires_on=date(2026, 1, 31),
    price=Decimal("1600.00"),
    every=RenewalPeriod.MONTH,
)
QUARTER_CLOSED = PeriodClosed(
    number=1, since=FIRST, until=date(2026, 3, 31), known=9, billed=0, amount=Decimal(4_800), tax=Decimal(0)
)


def stop(last_day: date, package: UUID = GRANT) -> StopRenewal:
    return StopRenewal(contract=CONTRACT, hour_package=package, last_day=last_day)


def renewed(given: Any, until: date) -> list[HoursGranted]:
    assert given.state is not None
    return list(given.state.packages(until))


def test_hours_that_renew_expire_when_the_next_begin_unless_something_else_is_said() -> None:
    grant = GrantHours(
        contract=CONTRACT, seconds=72_000, valid_from=FIRST, price=Decimal("1600.00"), every=RenewalPeriod.MONTH
    )
    contract.given(BOUGHT).when(grant).then(MONTHLY)
    expiring = date(2026, 12, 31)
    contract.given(BOUGHT).when(msgspec.structs.replace(grant, expires_on=expiring)).then(
        msgspec.structs.replace(MONTHLY, expires_on=expiring)
    )
    for changes in (
        {"renews_until": FIRST - timedelta(days=1)},
        {"renews_until": date(2200, 1, 1)},
        {"renews_until": LATER, "every": None},
    ):
        contract.given(BOUGHT).when(msgspec.structs.replace(grant, **changes)).refused(InvalidValue, "renewsUntil")


def test_what_renews_stops_and_may_go_on() -> None:
    going = contract.given(BOUGHT, MONTHLY)
    april = date(2026, 4, 30)
    going.when(stop(april)).then(RenewalStopped(grant=GRANT, last_day=april))
    stopped = contract.given(BOUGHT, MONTHLY, RenewalStopped(grant=GRANT, last_day=april))
    assert len(renewed(going, date(2026, 12, 31))) == 12
    assert len(renewed(stopped, date(2026, 12, 31))) == 4
    stopped.when(stop(april)).nothing()
    stopped.when(stop(date(2026, 6, 30))).then(RenewalStopped(grant=GRANT, last_day=date(2026, 6, 30)))
    going.when(stop(FIRST - timedelta(days=1))).refused(InvalidValue, "lastDay")
    going.when(stop(date(2200, 1, 1))).refused(InvalidValue, "lastDay")
    going.when(stop(april, an_id(99))).refused(PackageNotFound, "hourPackage")
    going.when(stop(april, renewed(going, april)[1].grant)).refused(InvalidValue, "hourPackage")
    once = msgspec.structs.replace(MONTHLY, every=None)
    contract.given(BOUGHT, once).when(stop(april)).refused(InvalidValue, "hourPackage")


def test_hours_of_closed_days_stay_whatever_stops_and_none_come_there_later() -> None:
    closed = contract.given(BOUGHT, MONTHLY, QUARTER_CLOSED)
    closed.when(stop(date(2026, 3, 30))).refused(PeriodIsClosed, "lastDay")
    closed.when(stop(date(2026, 3, 31))).then(RenewalStopped(grant=GRANT, last_day=date(2026, 3, 31)))
    january = date(2026, 1, 31)
    stopped = contract.given(BOUGHT, MONTHLY, RenewalStopped(grant=GRANT, last_day=january), QUARTER_CLOSED)
    stopped.when(stop(date(2026, 12, 31))).refused(PeriodIsClosed, "lastDay")
    ended = contract.given(BOUGHT, MONTHLY, ContractEnded(last_day=january), QUARTER_CLOSED)
    ended.when(EndContract(contract=CONTRACT, last_day=date(2026, 12, 31))).refused(PeriodIsClosed, "lastDay")


def test_hours_that_were_invoiced_before_they_began_stay() -> None:
    may = renewed(contract.given(BOUGHT, MONTHLY), date(2026, 5, 1))[-1]
    drawn = DocumentDrawn(
        document=an_id(98), kind=DocumentKind.INVOICE, statement=None, packages=(may.grant,), taxes=()
    )
    sold = contract.given(BOUGHT, MONTHLY, drawn)
    april = date(2026, 4, 30)
    sold.when(stop(april)).refused(AlreadyInvoiced, "lastDay")
    sold.when(EndContract(contract=CONTRACT, last_day=april)).refused(AlreadyInvoiced, "lastDay")
    sold.when(AgreeTerms(contract=CONTRACT, terms=HOURLY, applies_from=LATER)).refused(AlreadyInvoiced, "appliesFrom")
    sold.when(stop(date(2026, 5, 1))).then(RenewalStopped(grant=GRANT, last_day=date(2026, 5, 1)))


def test_a_contract_ends_and_no_terms_begin_after() -> None:
    end = EndContract(contract=CONTRACT, last_day=date(2026, 3, 31))
    contract.given(AGREED).when(end).then(ContractEnded(last_day=date(2026, 3, 31)))
    ended = contract.given(AGREED, ContractEnded(last_day=date(2026, 3, 31)))
    ended.when(end).nothing()
    ended.when(AgreeTerms(contract=CONTRACT, terms=PREPAID, applies_from=LATER)).refused(InvalidValue, "appliesFrom")
    contract.given(AGREED).when(EndContract(contract=CONTRACT, last_day=date(2025, 1, 1))).refused(
        InvalidValue, "lastDay"
    )
    assert ended.state is not None
    assert ended.state.version_on(LATER) is None


@pytest.mark.parametrize(
    "command",
    [
        AgreeTerms(contract=CONTRACT, terms=HOURLY, applies_from=FIRST),
        GrantHours(contract=CONTRACT, seconds=1, valid_from=FIRST),
        StopRenewal(contract=CONTRACT, hour_package=GRANT, last_day=FIRST),
        EndContract(contract=CONTRACT, last_day=FIRST),
    ],
)
def test_what_was_not_agreed_is_not_changed(command: ContractCommand) -> None:
    contract.when(command).refused(ContractNotFound, "contract")


@pytest.mark.parametrize(
    ("changes", "refusal", "field"),
    [
        ({"currency": "EURO"}, InvalidValue, "currency"),
        ({"tax": Decimal(101)}, InvalidValue, "tax"),
        ({"tax": Decimal("NaN")}, InvalidValue, "tax"),
        ({"rates": ()}, FieldRequired, None),
        ({"rates": (Rate(per_hour=Decimal("sNaN")),)}, InvalidValue, "rates"),
        ({"rates": (Rate(per_hour=Decimal("Infinity")),)}, InvalidValue, "rates"),
        ({"rates": (Rate(per_hour=Decimal(-1)),)}, InvalidValue, "rates"),
        ({"rates": (Rate(per_hour=Decimal(1), grade="senior"),)}, InvalidValue, "rates"),
        ({"rates": (Rate(per_hour=Decimal(1)),) * 101}, InvalidValue, "rates"),
        ({"grades": (Grade(key="a b", people=()),)}, InvalidValue, None),
        ({"price": Decimal(5)}, InvalidValue, "price"),
        ({"overage_rate": Decimal(-5)}, InvalidValue, "overageRate"),
        ({"overage": Overage.LIMIT}, InvalidValue, "overageLimit"),
        ({"overage_limit": 5}, InvalidValue, "overageLimit"),
        ({"rollover": Rollover.CAPPED}, InvalidValue, "rolloverCap"),
        ({"rollover": Rollover.CAPPED, "rollover_cap": -1}, InvalidValue, "rolloverCap"),
        ({"alerts": (0,)}, InvalidValue, "alerts"),
        ({"rounding": Rounding(unit=0)}, InvalidValue, "rounding"),
        ({"rounding": Rounding(minimum=-1)}, InvalidValue, "rounding"),
        ({"calendar": WorkingCalendar(time_zone="Nowhere/Land")}, InvalidValue, "calendar"),
        ({"calendar": WorkingCalendar(opens=600, closes=600)}, InvalidValue, "calendar"),
        ({"calendar": WorkingCalendar(weekend=(0,))}, InvalidValue, "calendar"),
        ({"calendar": WorkingCalendar(evening_factor=Decimal(11))}, InvalidValue, "calendar"),
    ],
)
def test_terms_that_cannot_be_kept_are_refused(
    changes: dict[str, Any], refusal: type[Refused], field: str | None
) -> None:
    with pytest.raises(refusal) as error:
        checked(msgspec.structs.replace(HOURLY, **changes))
    assert field is None or field in (error.value.field or ())


def test_a_fixed_price_contract_has_a_price() -> None:
    fixed = Terms(kind=ContractKind.FIXED_PRICE, currency="JPY", price=Decimal(5000))
    assert checked(fixed) == fixed
    for price in (None, Decimal("5000.5")):
        with pytest.raises(InvalidValue, match="price"):
            checked(msgspec.structs.replace(fixed, price=price))


def test_a_ticket_is_bound_to_a_contract_from_now_on() -> None:
    bind = BindContract(ticket=TICKET, contract=CONTRACT)
    binding.when(bind).then(ContractBound(ticket=TICKET, contract=CONTRACT))
    bound = binding.given(ContractBound(ticket=TICKET, contract=CONTRACT))
    bound.when(bind).nothing()
    bound.when(BindContract(ticket=TICKET, contract=None)).then(ContractUnbound(ticket=TICKET))
    binding.when(BindContract(ticket=TICKET, contract=None)).nothing()
    after = bound.given(ContractUnbound(ticket=TICKET)).state
    assert after is not None
    assert [after.at(START - timedelta(1)), after.at(hour(0)), after.at(hour(1)), after.now] == [
        None,
        CONTRACT,
        None,
        None,
    ]


def test_thresholds_are_told_of_once_for_the_same_packages() -> None:
    alerting = msgspec.structs.replace(BOUGHT, terms=msgspec.structs.replace(PREPAID, alerts=(100, 50, 80)))

    def reach(state: Contract | None, command: ReachAlerts) -> list[ContractEvent]:
        assert state is not None
        return list(contracts.reach(state, command))

    alerts = Subject(reach, contracts.evolve).given(alerting)
    used = ReachAlerts(contract=CONTRACT, day=LATER, packages=(GRANT,), granted=1000, drawn=799)

    def told(threshold: int, command: ReachAlerts) -> AlertReached:
        fields = {name: getattr(command, name) for name in ("day", "packages", "granted", "drawn")}
        return AlertReached(threshold=threshold, **fields)

    alerts.when(msgspec.structs.replace(used, drawn=499)).nothing()
    alerts.when(used).then(told(50, used))
    more = msgspec.structs.replace(used, drawn=1000)
    alerts.given(told(50, used)).when(more).then(told(80, more), told(100, more))
    alerts.given(told(50, used), told(80, more), told(100, more)).when(more).nothing()
    again = msgspec.structs.replace(used, packages=(GRANT, an_id(74)), granted=2000, drawn=1000)
    alerts.given(told(50, used), told(80, more), told(100, more)).when(again).then(told(50, again))
    alerts.when(msgspec.structs.replace(more, day=FIRST - timedelta(1))).nothing()
    alerts.when(msgspec.structs.replace(used, packages=(), granted=0, drawn=0)).nothing()


@pytest.mark.parametrize("day", [date(1, 1, 1), date(1969, 12, 31), date(2200, 1, 1), date(9999, 12, 31)])
def test_days_out_of_these_centuries_are_refused(day: date) -> None:
    bought = contract.given(BOUGHT)
    contract.when(AgreeContract(client=CLIENT, name="x", terms=HOURLY, applies_from=day)).refused(
        InvalidValue, "appliesFrom"
    )
    bought.when(AgreeTerms(contract=CONTRACT, terms=PREPAID, applies_from=day)).refused(InvalidValue, "appliesFrom")
    bought.when(EndContract(contract=CONTRACT, last_day=day)).refused(InvalidValue, "lastDay")
    bought.when(GrantHours(contract=CONTRACT, seconds=1, valid_from=day)).refused(InvalidValue, "validFrom")
    grant = GrantHours(contract=CONTRACT, seconds=1, valid_from=FIRST, expires_on=day)
    bought.when(grant).refused(InvalidValue, "expiresOn")
