"""Invoices and acts over GraphQL: issued from a ticket's conversation, paid, signed on paper, cancelled; as files."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from lxml import etree
from openpyxl import load_workbook
from pypdf import PdfReader

from application.workspaces import Workspace
from domain.access import Scope
from tests.api.asking import Client
from tests.api.test_billing import ENTRY, bound, log
from tests.api.test_contracts import CONTRACT
from tests.api.test_sheets import fetched, of_csv, of_ubl, schema_errors, text_of

DOCUMENT = """document { id kind number version statement since until issuedOn dueOn currency buyer amount tax
  total paid signedOn cancelled ticket { key } contract { name } taxes { rate base tax }
  lines { kind seconds billed amount tax ticket { key } hourPackage } payments { id amount paidOn note reversed }
  files { format mediaType url } }"""
TERMS: dict[str, Any] = {"kind": "PREPAID", "currency": "EUR", "tax": "20", "overageRate": "80"}
TODAY = datetime.now(UTC).date()


def closed(admin: Client, **more: Any) -> tuple[str, Any, str]:
    """A contract, a ticket and a package of ten hours for 900; twelve hours in January, which is closed."""
    contract, ticket = bound(admin, TERMS, **more)
    grant = admin.done("grantHours", CONTRACT, contract=contract, seconds=36000, validFrom="2026-01-01", price="900")
    log(admin, ticket, "2026-01-05T09:00:00Z", 4)
    log(admin, ticket, "2026-01-07T09:00:00Z", 8)
    admin.done("closePeriod", "statement { number }", contract=contract, until="2026-01-31")
    return contract, ticket, grant["hourPackages"][0]["id"]


def test_an_invoice_is_issued_from_a_ticket_s_conversation(admin: Client) -> None:
    contract, ticket, package = closed(admin)
    due = (TODAY + timedelta(days=14)).isoformat()
    issued = admin.done("issueInvoice", DOCUMENT, contract=contract, statement=1, ticket=ticket["id"], dueOn=due)
    assert (issued["kind"], issued["number"], issued["statement"], issued["dueOn"]) == ("INVOICE", 1, 1, due)
    assert (issued["since"], issued["until"], issued["buyer"]) == ("2026-01-01", "2026-01-31", "Ромашка")
    assert (issued["amount"], issued["tax"], issued["total"], issued["paid"]) == ("1060.00", "212.00", "1272.00", "0")
    assert issued["lines"] == [
        {
            "kind": "PACKAGE",
            "seconds": 0,
            "billed": 36000,
            "amount": "900.00",
            "tax": "20",
            "ticket": None,
            "hourPackage": package,
        },
        {
            "kind": "WORK",
            "seconds": 43200,
            "billed": 43200,
            "amount": "160.00",
            "tax": "20",
            "ticket": {"key": ticket["key"]},
            "hourPackage": None,
        },
    ]
    # both ways: the document names the ticket, the ticket its documents, and its history when that was
    assert issued["ticket"] == {"key": ticket["key"]}
    shown = admin.ask(
        "query($i: ID!) { ticket(id: $i) { documents { nodes { id number } totalCount }"
        ' history(types: ["DocumentFiled"]) { nodes { type changes { path to } } } } }',
        i=ticket["id"],
    )
    assert shown["documents"] == {"nodes": [{"id": issued["id"], "number": 1}], "totalCount": 1}
    assert shown["history"]["nodes"] == [
        {"type": "DocumentFiled", "changes": [{"path": "document", "to": issued["id"]}]}
    ]
    assert admin.ask("query($i: ID!) { node(id: $i) { ... on BillingDocument { number } } }", i=issued["id"]) == {
        "number": 1
    }


def test_a_package_is_invoiced_before_any_work_and_not_again_with_its_statement(admin: Client) -> None:
    contract, ticket = bound(admin, TERMS)
    grants = [
        admin.done("grantHours", CONTRACT, contract=contract, seconds=36000, validFrom="2026-01-01", price=price)
        for price in ("900", "333.33")
    ]
    first, second = (one["id"] for one in grants[1]["hourPackages"])
    sold = admin.done("issueInvoice", DOCUMENT, contract=contract, hourPackage=first)
    assert (sold["number"], sold["total"], sold["statement"]) == (1, "1080.00", None)
    assert admin.refused("issueInvoice", contract=contract, hourPackage=first) == ("ALREADY_INVOICED", ["hourPackage"])
    log(admin, ticket, "2026-01-05T09:00:00Z", 21.1)
    statement = admin.done("closePeriod", "statement { amount tax total }", contract=contract, until="2026-01-31")
    rest = admin.done("issueInvoice", DOCUMENT, contract=contract, statement=1)
    assert [one["hourPackage"] for one in rest["lines"]] == [second, None]
    for name in ("amount", "tax", "total"):  # together they are the statement, to the last unit
        assert Decimal(sold[name]) + Decimal(rest[name]) == Decimal(statement[name]), name
    assert admin.refused("issueInvoice", contract=contract, hourPackage=second) == ("ALREADY_INVOICED", ["hourPackage"])
    assert admin.refused("issueInvoice", contract=contract, statement=1) == ("ALREADY_INVOICED", ["statement"])


def test_an_act_stands_beside_the_invoice_and_is_signed_on_paper(admin: Client) -> None:
    contract, ticket, _ = closed(admin)
    act = admin.done("issueAct", DOCUMENT, contract=contract, statement=1, ticket=ticket["id"])
    invoice = admin.done("issueInvoice", DOCUMENT, contract=contract, statement=1)
    assert (act["kind"], act["number"], act["total"]) == ("ACT", 1, invoice["total"])
    assert invoice["number"] == 1  # each kind counts by itself
    assert [one["format"] for one in act["files"]] == ["PDF", "XLSX", "CSV"]
    assert admin.refused("issueAct", contract=contract, statement=1) == ("ALREADY_INVOICED", ["statement"])
    pay = {"document": act["id"], "amount": "1", "paidOn": "2026-02-01"}
    assert admin.refused("recordPayment", **pay) == ("INVALID_VALUE", ["document"])
    for document in (act, invoice):
        signed = admin.done("signDocument", DOCUMENT, document=document["id"], signedOn=TODAY.isoformat())
        assert signed["signedOn"] == TODAY.isoformat()
    assert admin.refused("signDocument", document=act["id"], signedOn="2026-01-01") == ("INVALID_VALUE", ["signedOn"])
    later = (TODAY + timedelta(days=3)).isoformat()
    assert admin.refused("signDocument", document=act["id"], signedOn=later) == ("INVALID_VALUE", ["signedOn"])


def test_payments_are_recorded_and_reversed_up_to_what_is_due(admin: Client) -> None:
    contract, _, _ = closed(admin)
    invoice = admin.done("issueInvoice", DOCUMENT, contract=contract, statement=1)["id"]
    pay = {"document": invoice, "paidOn": "2026-02-03"}
    paid = admin.done("recordPayment", DOCUMENT, **pay, amount="1000", note="п/п 17")
    assert (paid["paid"], paid["total"]) == ("1000.00", "1272.00")
    unpaid = "query($c: ID!) { billingDocuments(contract: $c, unpaid: true) { nodes { number } } }"
    assert admin.ask(unpaid, c=contract)["nodes"] == [{"number": 1}]
    for amount in ("272.01", "0", "-1", "0.001", "NaN", "1e20"):
        assert admin.refused("recordPayment", **pay, amount=amount) == ("INVALID_VALUE", ["amount"]), amount
    assert admin.refused("recordPayment", document=invoice, paidOn="2999-01-01", amount="1") == (
        "INVALID_VALUE",
        ["paidOn"],
    )
    full = admin.done("recordPayment", DOCUMENT, **pay, amount="272")
    assert admin.ask(unpaid, c=contract)["nodes"] == []
    first = full["payments"][0]
    assert (first["amount"], first["note"], first["paidOn"], first["reversed"]) == (
        "1000.00",
        "п/п 17",
        "2026-02-03",
        False,
    )
    back = admin.done("reversePayment", DOCUMENT, document=invoice, payment=first["id"])
    assert (back["paid"], back["payments"][0]["reversed"], len(back["payments"])) == ("272.00", True, 2)
    assert admin.refused("reversePayment", document=invoice, payment="x") == ("PAYMENT_NOT_FOUND", ["payment"])
    assert admin.refused("cancelDocument", document=invoice, reason="x") == ("INVALID_VALUE", ["document"])
    assert admin.refused("recordPayment", document="x", paidOn="2026-02-03", amount="1") == (
        "DOCUMENT_NOT_FOUND",
        ["document"],
    )


def test_what_is_cancelled_keeps_its_number_and_is_issued_anew(admin: Client) -> None:
    contract, ticket, _ = closed(admin)
    invoice = admin.done("issueInvoice", DOCUMENT, contract=contract, statement=1)
    position = admin.ask("{ status { head } }")["head"]
    assert admin.refused("cancelDocument", document=invoice["id"]) == ("REASON_REQUIRED", ["reason"])
    gone = admin.done("cancelDocument", DOCUMENT, document=invoice["id"], reason="Реквизиты")
    assert (gone["cancelled"], gone["number"], gone["total"]) == (True, 1, "1272.00")
    for command, more in (
        ("recordPayment", {"amount": "1", "paidOn": "2026-02-01"}),
        ("signDocument", {"signedOn": "2026-02-01"}),
        ("reversePayment", {"payment": "x"}),
    ):
        if command != "reversePayment":
            assert admin.refused(command, document=invoice["id"], **more) == ("DOCUMENT_CANCELLED", ["document"])
    again = admin.done("issueInvoice", DOCUMENT, contract=contract, statement=1, ticket=ticket["id"])
    assert (again["number"], again["total"]) == (2, "1272.00")
    listed = "query($c: ID!, $at: AsOf) { billingDocuments(contract: $c, asOf: $at) { nodes { number cancelled } } }"
    assert admin.ask(listed, c=contract)["nodes"] == [
        {"number": 1, "cancelled": True},
        {"number": 2, "cancelled": False},
    ]
    assert admin.ask(listed, c=contract, at={"position": position})["nodes"] == [{"number": 1, "cancelled": False}]


def test_what_cannot_be_invoiced_is_refused_and_takes_no_number(admin: Client, agent: Client) -> None:
    contract, ticket, package = closed(admin)
    due = {"dueOn": "2020-01-01"}
    assert admin.refused("issueInvoice", contract=contract) == ("INVALID_VALUE", ["statement"])
    assert admin.refused("issueInvoice", contract=contract, statement=1, hourPackage=package) == (
        "INVALID_VALUE",
        ["statement"],
    )
    assert admin.refused("issueInvoice", contract=contract, statement=7) == ("STATEMENT_NOT_FOUND", ["statement"])
    assert admin.refused("issueAct", contract=contract, statement=7) == ("STATEMENT_NOT_FOUND", ["statement"])
    assert admin.refused("issueInvoice", contract=contract, statement=1, **due) == ("INVALID_VALUE", ["dueOn"])
    assert admin.refused("issueInvoice", contract="x", statement=1) == ("CONTRACT_NOT_FOUND", ["contract"])
    assert admin.refused("issueInvoice", contract=contract, hourPackage="x") == (
        "HOUR_PACKAGE_NOT_FOUND",
        ["hourPackage"],
    )
    assert admin.refused("issueInvoice", contract=contract, statement=1, ticket="x") == ("TICKET_NOT_FOUND", ["ticket"])
    assert agent.refused("issueInvoice", contract=contract, statement=1) == ("FORBIDDEN", None)
    free = admin.done("grantHours", CONTRACT, contract=contract, seconds=60, validFrom="2026-02-01")["hourPackages"][-1]
    assert admin.refused("issueInvoice", contract=contract, hourPackage=free["id"]) == (
        "INVALID_VALUE",
        ["hourPackage"],
    )
    other = admin.open()
    admin.done("mergeTickets", ticket=other["id"], into=ticket["id"])
    assert admin.refused("issueInvoice", contract=contract, statement=1, ticket=other["id"]) == (
        "TICKET_MERGED",
        ["ticket"],
    )
    admin.done("closePeriod", "statement { number }", contract=contract, until="2026-02-28")
    assert admin.refused("issueInvoice", contract=contract, statement=2) == ("INVALID_VALUE", ["statement"])  # nothing
    assert admin.done("issueInvoice", DOCUMENT, contract=contract, statement=1)["number"] == 1


def test_numbers_have_no_gaps_and_no_twins_whatever_races(admin: Client) -> None:
    contracts = [closed(admin, name=f"Contract {n}")[0] for n in range(4)]
    numbers = {one: n for n, one in enumerate(contracts, start=1)}  # of their statements

    def issue(contract: str) -> Any:
        return admin.command("issueInvoice", DOCUMENT, contract=contract, statement=numbers[contract])

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(issue, contracts * 2))
    issued = [one["document"]["number"] for one in told if not one["userErrors"]]
    assert sorted(issued) == [1, 2, 3, 4]
    refused = {error["code"] for one in told for error in one["userErrors"]}
    assert refused <= {"ALREADY_INVOICED", "CONFLICT"}


def test_more_given_back_than_due_is_a_credit_note(admin: Client) -> None:
    contract, _, _ = closed(admin)
    entries = admin.ask("{ workEntries { nodes { id seconds } } }")["nodes"]
    last = next(one["id"] for one in entries if one["seconds"] == 28800)
    corrected = admin.command("correctWork", ENTRY, workEntry=last, endedAt="2026-01-07T15:00:00Z", reason="Ошибка")
    admin.ask("query($p: Position) { contracts(minPosition: $p) { totalCount } }", p=corrected["position"])
    admin.done("closePeriod", "statement { number }", contract=contract, until="2026-02-28")
    credit = admin.done("issueInvoice", DOCUMENT, contract=contract, statement=2)
    assert (credit["amount"], credit["total"]) == ("-160.00", "-192.00")
    assert [one["kind"] for one in credit["lines"]] == ["CORRECTION"]
    pay = {"document": credit["id"], "paidOn": "2026-03-01"}
    assert admin.refused("recordPayment", **pay, amount="192") == ("INVALID_VALUE", ["amount"])
    assert admin.done("recordPayment", DOCUMENT, **pay, amount="-192")["paid"] == "-192.00"
    ubl = fetched(admin, next(one["url"] for one in credit["files"] if one["format"] == "UBL")).content
    assert schema_errors(ubl) == []
    assert etree.QName(etree.fromstring(ubl)).localname == "CreditNote"
    assert of_ubl(ubl)["sums"] == [Decimal("-160.00"), Decimal("-32.00"), Decimal("-192.00")]


def test_every_format_of_an_invoice_has_its_lines_and_totals(admin: Client) -> None:
    contract, ticket, _ = closed(admin)
    due = (TODAY + timedelta(days=14)).isoformat()
    issued = admin.done("issueInvoice", DOCUMENT, contract=contract, statement=1, ticket=ticket["id"], dueOn=due)
    admin.done("retitleTicket", ticket=ticket["id"], title="Another title since")
    admin.done("recordPayment", DOCUMENT, document=issued["id"], amount="272", paidOn="2026-02-03")
    found = {one["format"]: fetched(admin, one["url"]) for one in issued["files"]}
    assert {answer.status_code for answer in found.values()} == {200}
    amounts = [Decimal(one["amount"]) for one in issued["lines"]]
    sums = [Decimal(issued[name]) for name in ("amount", "tax", "total")]
    table = of_csv(found["CSV"].content)
    assert (table["amounts"], table["sums"]) == (amounts, sums)
    ubl = of_ubl(found["UBL"].content)
    assert (ubl["amounts"], ubl["sums"]) == (amounts, sums)
    assert schema_errors(found["UBL"].content) == []
    assert ubl["root"].findtext("{*}InvoiceTypeCode") == "380"
    assert ubl["root"].findtext("{*}LegalMonetaryTotal/{*}PayableAmount") == "1000.00"
    rows = [list(row) for row in load_workbook(io.BytesIO(found["XLSX"].content)).active.iter_rows(values_only=True)]  # type: ignore[union-attr]
    told = {row[0]: row[11] for row in rows}
    assert (told["Итого"], told["Оплачено"], told["К оплате"]) == (1272, 272, 1000)
    text = " ".join(text_of(found["PDF"].content).split())
    for said in (
        *("Счёт № 1", "Printer is on fire", "Пакет часов 10:00 900,00", "12:00 12:00 160,00", "Отчёт № 1"),
        *("Итого, EUR 1 272,00", "Оплачено 272,00", "К оплате 1 000,00", f"{date.fromisoformat(due):%d.%m.%Y}"),
    ):
        assert said in text, said
    assert "Another title since" not in text
    assert found["PDF"].headers["content-disposition"].endswith("2026-01-31.pdf")
    assert len(PdfReader(io.BytesIO(found["PDF"].content)).pages) == 1


def test_contacts_of_the_client_read_its_documents_and_nobody_else_s(
    acme: Workspace, admin: Client, claire: Client, token: Callable[..., Client]
) -> None:
    contract, ticket, _ = closed(admin)
    [client] = admin.ask("{ clients { nodes { id } } }")["nodes"]
    admin.done("addContact", "client { id }", client=client["id"], person=claire.person)
    stranger = token(acme, Scope.REQUESTER, name="Stranger")
    issued = admin.done("issueInvoice", DOCUMENT, contract=contract, statement=1, ticket=ticket["id"])
    url = issued["files"][0]["url"]
    listed = "{ billingDocuments { nodes { number total ticket { key } } totalCount } }"
    node = "query($i: ID!) { node(id: $i) { ... on BillingDocument { number } } }"
    assert claire.ask(listed) == {"nodes": [{"number": 1, "total": "1272.00", "ticket": None}], "totalCount": 1}
    assert claire.ask(node, i=issued["id"]) == {"number": 1}
    assert fetched(claire, url).status_code == 200
    assert stranger.ask(listed) == {"nodes": [], "totalCount": 0}
    assert stranger.ask(node, i=issued["id"]) is None
    assert fetched(stranger, url).status_code == 404
    assert claire.refused("recordPayment", document=issued["id"], amount="1", paidOn="2026-02-01") == (
        "FORBIDDEN",
        None,
    )


@pytest.mark.parametrize(("path", "status"), [("x.pdf", 404), ("{}.exe", 404), ("{}", 404), ("{}.xml", 400)])
def test_a_file_that_is_not_there_is_told(admin: Client, path: str, status: int) -> None:
    contract, _, _ = closed(admin)
    act = admin.done("issueAct", DOCUMENT, contract=contract, statement=1)
    assert fetched(admin, f"/documents/{path.format(act['id'])}").status_code == status
