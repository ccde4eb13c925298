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
    ),
    "grantHours": of(
        {"contract": prepaid, "seconds": 3600, "validFrom": "2026-01-01"},
        **NO_CONTRACT,
        INVALID_VALUE={"seconds": -1},
        PERIOD_CLOSED={"contract": prepaid_and_billed},
    ),
    "endContract": of(
        {"contract": contract, "lastDay": "2026-12-31"},
        **NO_CONTRACT,
        INVALID_VALUE={"lastDay": "2020-01-01"},
        PERIOD_CLOSED={"contract": billed, "lastDay": "2026-01-15"},
    ),
    "bindContract": of({"ticket": ticket, "contract": contract}, **NO_CONTRACT, TICKET_NOT_FOUND={"ticket": "x"}),
    "closePeriod": of(
        {"contract": contract, "until": "2026-01-31"},
        **NO_CONTRACT,
        INVALID_VALUE={"until": "2999-01-01"},
        PERIOD_CLOSED={"contract": billed},
    ),
}
