"""Mutations of invoices, acts and payments: how each is done, and what refuses it."""

from datetime import UTC, datetime
from typing import Any

from tests.api.refusals.cases import ABSENT, NO_CONTRACT, Mutation, of
from tests.api.refusals.scene import Scene, contract, merged

FIXED = {"kind": "FIXED_PRICE", "currency": "EUR", "price": "100"}


def stated(scene: Scene) -> dict[str, Any]:
    """A closed statement of which something is due."""
    of_contract = contract(scene, terms=FIXED)
    shown = scene.admin.done("closePeriod", "statement { number }", contract=of_contract, until="2026-01-31")
    return {"contract": of_contract, "statement": shown["number"]}


def _issued(scene: Scene, command: str) -> dict[str, Any]:
    of_statement = stated(scene)
    scene.admin.done(command, "document { id }", **of_statement)
    return of_statement


def invoiced(scene: Scene) -> dict[str, Any]:
    return _issued(scene, "issueInvoice")


def acted(scene: Scene) -> dict[str, Any]:
    return _issued(scene, "issueAct")


def invoice(scene: Scene) -> str:
    return str(scene.admin.done("issueInvoice", "document { id }", **stated(scene))["id"])


def cancelled(scene: Scene) -> str:
    made = invoice(scene)
    scene.admin.done("cancelDocument", "document { id }", document=made, reason="So it is")
    return made


def paid(scene: Scene) -> dict[str, Any]:
    said = {"document": invoice(scene), "amount": "1", "paidOn": "2026-02-01"}
    shown = scene.admin.done("recordPayment", "document { payments { id } }", **said)
    return {"document": said["document"], "payment": shown["payments"][0]["id"]}


NO_DOCUMENT: dict[str, Any] = {"DOCUMENT_NOT_FOUND": {"document": "x"}}


MUTATIONS: dict[str, Mutation] = {
    "issueInvoice": of(
        stated,
        **NO_CONTRACT,
        INVALID_VALUE={"statement": ABSENT},
        STATEMENT_NOT_FOUND={"statement": 999},
        HOUR_PACKAGE_NOT_FOUND={"statement": ABSENT, "hourPackage": "x"},
        TICKET_NOT_FOUND={"ticket": "x"},
        TICKET_MERGED={"ticket": merged},
        ALREADY_INVOICED=invoiced,
    ),
    "issueAct": of(
        stated,
        **NO_CONTRACT,
        STATEMENT_NOT_FOUND={"statement": 999},
        TICKET_NOT_FOUND={"ticket": "x"},
        TICKET_MERGED={"ticket": merged},
        ALREADY_INVOICED=acted,
    ),
    "recordPayment": of(
        {"document": invoice, "amount": "1", "paidOn": "2026-02-01"},
        **NO_DOCUMENT,
        INVALID_VALUE={"amount": "0"},
        DOCUMENT_CANCELLED={"document": cancelled},
    ),
    "reversePayment": of(
        paid, **NO_DOCUMENT, PAYMENT_NOT_FOUND={"payment": "x"}, DOCUMENT_CANCELLED={"document": cancelled}
    ),
    "signDocument": of(
        lambda scene: {"document": invoice(scene), "signedOn": f"{datetime.now(UTC):%Y-%m-%d}"},
        **NO_DOCUMENT,
        INVALID_VALUE={"signedOn": "2999-01-01"},
        DOCUMENT_CANCELLED={"document": cancelled},
    ),
    "cancelDocument": of(
        {"document": invoice, "reason": "So it is"},
        **NO_DOCUMENT,
        REASON_REQUIRED={"reason": ABSENT},
        INVALID_VALUE={"document": lambda scene: paid(scene)["document"]},
    ),
}
