"""Clients and contracts over GraphQL."""

from collections.abc import Callable
from typing import Any

import pytest

from application.workspaces import Workspace
from domain.access import Scope
from tests.api.asking import Client

CLIENT = "client { id name language currency timeZone contacts { id } contracts { nodes { name } totalCount } }"
CONTRACT = """contract { id name client { id } lastDay version
  versions { number appliesFrom terms { kind currency tax roles services { key } price overage overageRate rollover
    rates { perHour grade band service { key } } grades { key people { id } } alerts
    rounding { unit direction scope minimum }
    calendar { timeZone opens closes weekend country subdivision eveningFactor } } }
  hourPackages { id seconds validFrom expiresOn price } }"""
HOURLY: dict[str, Any] = {
    "kind": "TIME_AND_MATERIALS",
    "currency": "EUR",
    "tax": "19",
    "rates": [{"perHour": "99.50"}],
    "rounding": {"unit": 900, "direction": "UP", "scope": "DAY"},
    "calendar": {"timeZone": "Europe/Berlin", "opens": 540, "closes": 1080, "country": "DE", "eveningFactor": "1.5"},
}
PREPAID: dict[str, Any] = {"kind": "PREPAID", "currency": "EUR", "overage": "BLOCK"}


def add(client: Client, name: str = "Ромашка") -> Any:
    return client.done("addClient", CLIENT, name=name, language="ru", currency="EUR", timeZone="Europe/Moscow")


def agree(admin: Client, terms: dict[str, Any], **more: Any) -> Any:
    given = {"client": more.pop("client", None) or add(admin)["id"], "name": "Поддержка", "appliesFrom": "2026-01-01"}
    return admin.done("agreeContract", CONTRACT, terms=terms, **{**given, **more})


def test_a_client_is_added_renamed_localized_and_listed(admin: Client) -> None:
    ours = add(admin)
    assert (ours["name"], ours["contacts"], ours["contracts"]["totalCount"]) == ("Ромашка", [], 0)
    assert admin.done("renameClient", CLIENT, client=ours["id"], name="ООО «Ромашка»")["name"] == "ООО «Ромашка»"
    moved = admin.done("localizeClient", CLIENT, client=ours["id"], timeZone="Asia/Omsk")
    assert (moved["timeZone"], moved["language"]) == ("Asia/Omsk", "ru")
    assert admin.refused("localizeClient", client=ours["id"], currency="XXX") == ("INVALID_VALUE", ["currency"])
    assert admin.refused("renameClient", client="nobody", name="x") == ("CLIENT_NOT_FOUND", ["client"])
    assert admin.refused("addClient", name="x", language="ru", currency="EUR", timeZone="x") == (
        "INVALID_VALUE",
        ["timeZone"],
    )
    assert admin.ask("{ clients { nodes { name } totalCount } }") == {
        "nodes": [{"name": "ООО «Ромашка»"}],
        "totalCount": 1,
    }
    query = "query($i: ID!) { node(id: $i) { ... on Client { currency } } }"
    assert admin.ask(query, i=ours["id"]) == {"currency": "EUR"}


def test_a_contact_reads_their_client_s_contracts_and_no_other(admin: Client, claire: Client) -> None:
    ours, other = add(admin), add(admin, "Other")
    agree(admin, HOURLY, client=ours["id"], name="Ours")
    agree(admin, HOURLY, client=other["id"], name="Other's")
    query = "{ clients { nodes { name contracts { nodes { name } } } } contracts { nodes { name } totalCount } }"
    assert claire.ask(query)["contracts"] == {"nodes": [], "totalCount": 0}
    added = admin.done("addContact", CLIENT, client=ours["id"], person=claire.person)
    assert added["contacts"] == [{"id": claire.person}]
    assert claire.ask(query) == {
        "clients": {"nodes": [{"name": "Ромашка", "contracts": {"nodes": [{"name": "Ours"}]}}]},
        "contracts": {"nodes": [{"name": "Ours"}], "totalCount": 1},
    }
    assert admin.refused("addContact", client=ours["id"], person="x") == ("PERSON_NOT_FOUND", ["person"])
    assert admin.refused("removeContact", client="x", person=claire.person) == ("CLIENT_NOT_FOUND", ["client"])
    assert admin.done("removeContact", CLIENT, client=ours["id"], person=claire.person)["contacts"] == []
    assert claire.ask(query)["contracts"]["totalCount"] == 0


def test_a_contract_is_agreed_and_its_terms_come_in_versions(admin: Client) -> None:
    agreed = agree(admin, HOURLY)
    [version] = agreed["versions"]
    assert (version["number"], version["appliesFrom"]) == (1, "2026-01-01")
    terms = version["terms"]
    assert (terms["tax"], terms["rates"][0]["perHour"]) == ("19", "99.50")
    assert terms["rounding"] == {"unit": 900, "direction": "UP", "scope": "DAY", "minimum": 0}
    assert (terms["calendar"]["country"], terms["calendar"]["eveningFactor"], terms["calendar"]["weekend"]) == (
        "DE",
        "1.5",
        [6, 7],
    )
    dearer = {**HOURLY, "rates": [{"perHour": "120"}]}
    after = admin.done("agreeTerms", CONTRACT, contract=agreed["id"], terms=dearer, appliesFrom="2026-04-01")
    assert [one["terms"]["rates"][0]["perHour"] for one in after["versions"]] == ["99.50", "120"]
    again = {"contract": agreed["id"], "terms": HOURLY, "appliesFrom": "2026-04-01"}
    assert admin.refused("agreeTerms", **again) == ("TERMS_OVERLAP", ["appliesFrom"])
    assert admin.refused("agreeTerms", **{**again, "contract": "x"}) == ("CONTRACT_NOT_FOUND", ["contract"])
    ended = admin.done("endContract", CONTRACT, contract=agreed["id"], lastDay="2026-12-31")
    assert (ended["lastDay"], ended["version"]) == ("2026-12-31", 3)
    assert admin.refused("endContract", contract=agreed["id"], lastDay="2020-01-01") == ("INVALID_VALUE", ["lastDay"])


def test_rates_name_services_grades_and_bands(admin: Client) -> None:
    service = admin.done("addService", "service { id }", key="hosting", name="Hosting")["id"]
    terms = {
        **HOURLY,
        "services": [service],
        "rates": [{"perHour": "150", "grade": "senior", "band": "WEEKEND", "service": service}, {"perHour": "90"}],
        "grades": [{"key": "senior", "people": [admin.person]}],
    }
    shown = agree(admin, terms)["versions"][0]["terms"]
    assert shown["services"] == [{"key": "hosting"}]
    assert shown["rates"][0] == {"perHour": "150", "grade": "senior", "band": "WEEKEND", "service": {"key": "hosting"}}
    assert shown["grades"] == [{"key": "senior", "people": [{"id": admin.person}]}]


def test_hours_are_bought(admin: Client) -> None:
    contract = agree(admin, PREPAID)["id"]
    bought = admin.done(
        "grantHours",
        CONTRACT,
        contract=contract,
        seconds=36000,
        validFrom="2026-01-01",
        expiresOn="2026-01-31",
        price="900",
    )
    [package] = bought["hourPackages"]
    assert (package["seconds"], package["expiresOn"], package["price"]) == (36000, "2026-01-31", "900.00")
    asked = {"contract": contract, "validFrom": "2026-01-01"}
    for changes, field in (
        ({"seconds": 3600 * 10**12}, "seconds"),
        ({"seconds": -1}, "seconds"),
        ({"seconds": 60, "price": "NaN"}, "price"),
        ({"seconds": 60, "expiresOn": "2025-12-31"}, "expiresOn"),
    ):
        assert admin.refused("grantHours", **asked, **changes) == ("INVALID_VALUE", [field])
    assert admin.refused("grantHours", contract="x", seconds=60, validFrom="2026-01-01")[0] == "CONTRACT_NOT_FOUND"


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"currency": "DOUBLOON"}, "INVALID_VALUE", ["terms", "currency"]),
        ({"rates": [{"perHour": "NaN"}]}, "INVALID_VALUE", ["terms", "rates", "perHour"]),
        ({"rates": []}, "FIELD_REQUIRED", ["terms.rates"]),
        ({"services": ["x"]}, "INVALID_VALUE", ["terms", "services"]),
        ({"calendar": {"country": "ATLANTIS"}}, "INVALID_VALUE", ["terms", "calendar", "country"]),
        ({"calendar": {"country": "DE", "subdivision": "??"}}, "INVALID_VALUE", ["terms", "calendar", "subdivision"]),
        ({"calendar": {"timeZone": "Mars/Base"}}, "INVALID_VALUE", ["terms", "calendar", "timeZone"]),
        ({"rounding": {"unit": 10**12}}, "INVALID_VALUE", ["terms", "rounding", "unit"]),
    ],
)
def test_terms_that_cannot_be_kept_are_told(
    admin: Client, changes: dict[str, Any], code: str, field: list[str]
) -> None:
    ours = add(admin)["id"]
    asked = {"client": ours, "name": "x", "appliesFrom": "2026-01-01", "terms": {**HOURLY, **changes}}
    assert admin.refused("agreeContract", **asked) == (code, field)
    assert admin.ask("{ contracts { totalCount } }") == {"totalCount": 0}


def test_a_ticket_is_bound_to_a_contract(admin: Client, agent: Client, claire: Client) -> None:
    contract, ticket = agree(admin, HOURLY)["id"], agent.open()["id"]
    show = "ticket { contract { id } }"
    assert agent.done("bindContract", show, ticket=ticket, contract=contract)["contract"] == {"id": contract}
    assert agent.refused("bindContract", ticket=ticket, contract="x") == ("CONTRACT_NOT_FOUND", ["contract"])
    assert agent.refused("bindContract", ticket="x", contract=contract) == ("TICKET_NOT_FOUND", ["ticket"])
    assert agent.done("bindContract", show, ticket=ticket, contract=None)["contract"] is None
    assert claire.refused("bindContract", ticket=ticket, contract=contract) == ("FORBIDDEN", None)


def test_managers_keep_clients_and_contracts(
    acme: Workspace, admin: Client, agent: Client, token: Callable[..., Client]
) -> None:
    contract = agree(admin, PREPAID)
    client = contract["client"]["id"]
    new = {"name": "x", "language": "ru", "currency": "EUR", "timeZone": "UTC"}
    for who in (agent, token(acme, Scope.AUDITOR)):
        assert who.refused("addClient", **new) == ("FORBIDDEN", None)
        assert who.refused("renameClient", client=client, name="x") == ("FORBIDDEN", None)
        assert who.refused("localizeClient", client=client) == ("FORBIDDEN", None)
        assert who.refused("addContact", client=client, person=agent.person) == ("FORBIDDEN", None)
        assert who.refused("removeContact", client=client, person=agent.person) == ("FORBIDDEN", None)
        agreed = {"client": client, "name": "x", "appliesFrom": "2026-01-01", "terms": PREPAID}
        assert who.refused("agreeContract", **agreed) == ("FORBIDDEN", None)
        later = {"contract": contract["id"], "appliesFrom": "2027-01-01", "terms": HOURLY}
        assert who.refused("agreeTerms", **later) == ("FORBIDDEN", None)
        assert who.refused("grantHours", contract=contract["id"], seconds=1, validFrom="2026-01-01")[0] == "FORBIDDEN"
        assert who.refused("endContract", contract=contract["id"], lastDay="2026-12-31") == ("FORBIDDEN", None)
    manager = token(acme, Scope.MANAGER)
    assert manager.done("addClient", CLIENT, **new)["name"] == "x"
