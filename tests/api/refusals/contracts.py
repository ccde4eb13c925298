"""Mutations of clients, contracts, closing of periods: how each is done, and what refuses it."""

from typing import Any

from tests.api.refusals.cases import NO_CONTRACT, NO_PERSON, NO_SERVICE, Mutation, of
from tests.api.refusals.scene import Scene, contract, key, person, prepaid, ticket
from tests.api.test_contracts import HOURLY


def customer(scene: Scene) -> str:
    return scene.customer


def billed(scene: Scene) -> str:
    return _billed(scene, contract(scene))


def prepaid_and_billed(scene: Scene) -> str:
    return _billed(scene, prepaid(scene))


def _billed(scene: Scene, contract: str) -> str:
    scene.admin.done("closePeriod", "statement { number }", contract=contract, until="2026-01-31")
    return contract


def renewing(scene: Scene) -> dict[str, Any]:
    said = {"contract": prepaid(scene), "seconds": 3600, "validFrom": "2026-01-01", "price": "100", "every": "MONTH"}
    granted = scene.admin.done("grantHours", "contract { hourPackages { id } }", **said)
    return {"contract": said["contract"], "hourPackage": granted["hourPackages"][0]["id"], "lastDay": "2026-02-28"}


def renewing_and_billed(scene: Scene) -> dict[str, Any]:
    said = renewing(scene)
    return {**said, "contract": _billed(scene, said["contract"]), "lastDay": "2026-01-15"}


def renewing_and_invoiced(scene: Scene) -> dict[str, Any]:
    said = renewing(scene)
    shown = "query($c: ID!) { node(id: $c) { ... on Contract { hourPackages { id } } } }"
    second = scene.admin.ask(shown, c=said["contract"])["hourPackages"][1]["id"]
    scene.admin.done("issueInvoice", "document { id }", contract=said["contract"], hourPackage=second)
    return {**said, "lastDay": "2026-01-31"}


def renewing_and_sold(scene: Scene) -> dict[str, Any]:
    """Under the contract of which hours were invoiced that are to begin after a day."""
    return {"contract": renewing_and_invoiced(scene)["contract"], "lastDay": "2026-01-31"}


def renewing_and_sold_by_the_hour(scene: Scene) -> dict[str, Any]:
    return {"contract": renewing_and_sold(scene)["contract"], "appliesFrom": "2026-02-01", "terms": HOURLY}


def contact(scene: Scene) -> dict[str, Any]:
    said = {"client": scene.customer, "person": person(scene)}
    scene.admin.done("addContact", "client { id }", **said)
    return said


def with_terms(**terms: Any) -> dict[str, Any]:
    return {"terms": {**HOURLY, **terms}}


TERMS: dict[str, Any] = {
    "INVALID_VALUE": with_terms(currency="DOUBLOON"),
    "FIELD_REQUIRED": with_terms(rates=[]),
    "SERVICE_NOT_FOUND": with_terms(services=[NO_SERVICE]),
    "PERSON_NOT_FOUND": with_terms(grades=[{"key": "senior", "people": [NO_PERSON]}]),
}
NO_CLIENT: dict[str, Any] = {"CLIENT_NOT_FOUND": {"client": "x"}}


MUTATIONS: dict[str, Mutation] = {
    "addClient": of(
        {"name": "Acme", "language": "en", "currency": "EUR", "timeZone": "UTC"}, INVALID_VALUE={"timeZone": "x"}
    ),
    "renameClient": of({"client": customer, "name": key}, **NO_CLIENT, INVALID_VALUE={"name": " "}),
    "localizeClient": of({"client": customer, "language": "ru"}, **NO_CLIENT, INVALID_VALUE={"currency": "XXX"}),
    "addContact": of({"client": customer, "person": person}, **NO_CLIENT, PERSON_NOT_FOUND={"person": "x"}),
    "removeContact": of(contact, **NO_CLIENT, PERSON_NOT_FOUND={"person": "x"}),
    "agreeContract": of(
        {"client": customer, "name": "Support", "appliesFrom": "2026-01-01", "terms": HOURLY}, **NO_CLIENT, **TERMS
    ),
    "agreeTerms": of(
        {"contract": contract, "appliesFrom": "2026-06-01", "terms": HOURLY},
        **NO_CONTRACT,
        **TERMS,
        TERMS_OVERLAP={"appliesFrom": "2026-01-01", "terms": {**HOURLY, "tax": "7"}},
        PERIOD_CLOSED={"contract": billed, "appliesFrom": "2026-01-15", "terms": {**HOURLY, "tax": "7"}},
        ALREADY_INVOICED=renewing_and_sold_by_the_hour,
    ),
    "grantHours": of(
        {"contract": prepaid, "seconds": 3600, "validFrom": "2026-01-01"},
        **NO_CONTRACT,
        INVALID_VALUE={"seconds": -1},
        PERIOD_CLOSED={"contract": prepaid_and_billed},
    ),
    "stopRenewal": of(
        renewing,
        **NO_CONTRACT,
        HOUR_PACKAGE_NOT_FOUND={"hourPackage": "x"},
        INVALID_VALUE={"lastDay": "2025-12-31"},
        PERIOD_CLOSED=renewing_and_billed,
        ALREADY_INVOICED=renewing_and_invoiced,
    ),
    "endContract": of(
        {"contract": contract, "lastDay": "2026-12-31"},
        **NO_CONTRACT,
        INVALID_VALUE={"lastDay": "2020-01-01"},
        PERIOD_CLOSED={"contract": billed, "lastDay": "2026-01-15"},
        ALREADY_INVOICED=renewing_and_sold,
    ),
    "bindContract": of({"ticket": ticket, "contract": contract}, **NO_CONTRACT, TICKET_NOT_FOUND={"ticket": "x"}),
    "closePeriod": of(
        {"contract": contract, "until": "2026-01-31"},
        **NO_CONTRACT,
        INVALID_VALUE={"until": "2999-01-01"},
        PERIOD_CLOSED={"contract": billed},
    ),
}
