"""Contracts: terms from a day on, hours that are bought, tickets that are bound."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

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
    EndContract,
    GrantHours,
    HoursGranted,
    ReachAlerts,
    TermsAgreed,
)
from domain.errors import ClientNotFound, ContractNotFound, FieldRequired, InvalidValue, Refused, TermsOverlap
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
