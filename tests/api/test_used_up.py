"""A package of hours that is used up is reported by itself: an event, with the document of what it was used for."""

import time
from typing import Any

from tests.api.asking import Client
from tests.api.test_billing import ENTRY, bound, log
from tests.api.test_contracts import CONTRACT
from tests.api.test_sheets import fetched, text_of

REPORTS = """query($c: ID!) { node(id: $c) { ... on Contract {
  packageReports { hourPackage since until files { format url } } } } }"""


def reports(client: Client, contract: str, wanted: int) -> list[Any]:
    """Once there are so many."""
    deadline = time.monotonic() + 20
    while True:
        found: list[Any] = client.ask(REPORTS, c=contract)["packageReports"]
        if len(found) >= wanted or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def test_a_package_that_is_used_up_is_reported_once_with_its_document(admin: Client) -> None:
    contract, ticket = bound(admin, {"kind": "PREPAID", "currency": "EUR", "overageRate": "80"})
    grant = {"contract": contract, "seconds": 7200, "validFrom": "2026-01-01", "expiresOn": "2026-01-31"}
    first = admin.done("grantHours", CONTRACT, **grant)["hourPackages"][0]["id"]
    log(admin, ticket, "2026-01-05T09:00:00Z", 1, comment="Проверил почту")
    entry = log(admin, ticket, "2026-01-07T09:00:00Z", 1.5, comment="Настроил DNS")["workEntry"]["id"]
    [report] = reports(admin, contract, 1)
    assert (report["hourPackage"], report["since"], report["until"]) == (first, "2026-01-01", "2026-01-31")
    told = admin.ask('{ events(types: ["PackageUsedUp"]) { nodes { channel actor { name } data } } }')["nodes"]
    assert [(one["channel"], one["actor"]["name"]) for one in told] == [("billing", "Proteus")]
    url = next(one["url"] for one in report["files"] if one["format"] == "PDF")
    text = " ".join(text_of(fetched(admin, url).content).split())
    for said in (
        "Printer is on fire",
        "Admin",
        "Проверил почту",
        "Настроил DNS",
        "0:30",
        "Без налога 40,00 Итого, EUR 40,00",
    ):
        assert said in text
    # what is corrected later changes the statement, and neither the report nor that there was one
    admin.command("correctWork", ENTRY, workEntry=entry, endedAt="2026-01-07T09:30:00Z", reason="Half of it")
    second = admin.done("grantHours", CONTRACT, **{**grant, "expiresOn": None})["hourPackages"][1]["id"]
    log(admin, ticket, "2026-01-20T09:00:00Z", 9)
    found = reports(admin, contract, 2)
    assert [one["hourPackage"] for one in found] == [first, second]
    assert " ".join(text_of(fetched(admin, url).content).split()) == text


def test_hours_that_expire_are_not_used_up(admin: Client) -> None:
    contract, ticket = bound(admin, {"kind": "PREPAID", "currency": "EUR"})
    other, elsewhere = bound(admin, {"kind": "PREPAID", "currency": "EUR"}, name="Other")
    gone = {"contract": contract, "seconds": 7200, "validFrom": "2026-01-01", "expiresOn": "2026-01-31"}
    admin.done("grantHours", CONTRACT, **gone)
    admin.done("grantHours", CONTRACT, **{**gone, "contract": other})
    log(admin, ticket, "2026-01-05T09:00:00Z", 1)  # the other hour expired
    log(admin, elsewhere, "2026-01-05T09:00:00Z", 3)
    assert len(reports(admin, other, 1)) == 1
    assert reports(admin, contract, 0) == []
