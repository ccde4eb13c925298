"""Hours that renew by themselves, over GraphQL: in the contract, its balance, statements, reports and invoices."""

from typing import Any

from tests.api.asking import Client
from tests.api.test_billing import bound, log
from tests.api.test_used_up import reports

CONTRACT = "contract { id version hourPackages { id seconds validFrom expiresOn price every renewsUntil } }"
PREPAID: dict[str, Any] = {
    "kind": "PREPAID",
    "currency": "EUR",
    "tax": "20",
    "overageRate": "80",
    "alerts": [50, 100],
    "rollover": "NONE",
    "calendar": {"timeZone": "Europe/Moscow"},
}
MONTHLY: dict[str, Any] = {
    "seconds": 7200,
    "validFrom": "2026-01-01",
    "price": "200",
    "every": "MONTH",
    "renewsUntil": "2026-03-31",
}
BALANCE = """query($c: ID!, $at: DateTime) { balance(contract: $c, asOf: {occurredAt: $at}) {
  day granted drawn left overage alerts } }"""
STATEMENT = """query($c: ID!, $since: Date, $until: Date!) { statement(contract: $c, since: $since, until: $until) {
  fees { kind day amount hourPackage } movements { day kind seconds } opening closing amount total closed } }"""


def granted(admin: Client, **more: Any) -> tuple[str, str, list[Any]]:
    """The contract, a ticket that is bound to it, and the packages."""
    contract, ticket = bound(admin, PREPAID)
    return contract, ticket, admin.done("grantHours", CONTRACT, contract=contract, **MONTHLY, **more)["hourPackages"]


def test_each_month_has_its_package(admin: Client) -> None:
    contract, ticket, packages = granted(admin)
    assert [(one["validFrom"], one["expiresOn"], one["seconds"], one["price"]) for one in packages] == [
        ("2026-01-01", "2026-01-31", 7200, "200.00"),
        ("2026-02-01", "2026-02-28", 7200, "200.00"),
        ("2026-03-01", "2026-03-31", 7200, "200.00"),
    ]
    assert [(one["every"], one["renewsUntil"]) for one in packages] == [("MONTH", "2026-03-31"), *[(None, None)] * 2]
    log(admin, ticket, "2026-01-05T09:00:00Z", 1)
    log(admin, ticket, "2026-01-31T22:00:00Z", 2)  # February in Moscow
    log(admin, ticket, "2026-03-02T09:00:00Z", 3)
    balances = [
        admin.ask(BALANCE, c=contract, at=at)
        for at in ("2026-01-20T00:00:00Z", "2026-01-31T20:59:59Z", "2026-02-01T12:00:00Z", "2026-03-20T12:00:00Z")
    ]
    assert [(one["day"], one["left"], one["overage"], one["alerts"]) for one in balances] == [
        ("2026-01-20", 3600, 0, [50]),
        ("2026-01-31", 0, 0, [50]),  # the day is told at its end, when what is left has expired
        ("2026-02-01", 0, 0, [50, 100]),
        ("2026-03-20", 0, 3600, [50, 100]),
    ]
    told = admin.ask(STATEMENT, c=contract, since="2026-01-01", until="2026-03-31")
    assert [(fee["day"], fee["amount"], fee["hourPackage"]) for fee in told["fees"]] == [
        (one["validFrom"], "200.00", one["id"]) for one in packages
    ]
    assert (told["amount"], told["total"]) == ("680.00", "816.00")
    assert [one for one in told["movements"] if one["kind"] != "DRAWN"] == [
        {"day": "2026-01-01", "kind": "GRANTED", "seconds": 7200},
        {"day": "2026-01-31", "kind": "EXPIRED", "seconds": -3600},
        {"day": "2026-02-01", "kind": "GRANTED", "seconds": 7200},
        {"day": "2026-03-01", "kind": "GRANTED", "seconds": 7200},
    ]
    # February and March were used up, each told for itself
    assert [one["hourPackage"] for one in reports(admin, contract, 2)] == [packages[1]["id"], packages[2]["id"]]


def test_reports_have_the_package_of_each_month(admin: Client) -> None:
    granted(admin)
    query = """{ reports { profitability(since: "2026-02-01", until: "2026-04-30") { fees revenue } } }"""
    assert admin.ask(query)["profitability"] == [{"fees": "400.00", "revenue": "400.00"}]


def test_a_month_is_closed_with_its_package_and_stays_when_the_renewal_stops(admin: Client) -> None:
    contract, _, packages = granted(admin)
    stop = {"contract": contract, "hourPackage": packages[0]["id"]}
    closed = admin.done("closePeriod", "statement { number total closed }", contract=contract, until="2026-02-28")
    assert closed == {"number": 1, "total": "480.00", "closed": True}
    assert admin.refused("stopRenewal", **stop, lastDay="2026-01-31") == ("PERIOD_CLOSED", ["lastDay"])
    stopped = admin.done("stopRenewal", CONTRACT, **stop, lastDay="2026-02-28")["hourPackages"]
    assert [one["validFrom"] for one in stopped] == ["2026-01-01", "2026-02-01"]
    assert stopped[0]["renewsUntil"] == "2026-02-28"
    assert admin.ask(STATEMENT, c=contract, until="2026-02-28")["total"] == "480.00"
    assert admin.ask(STATEMENT, c=contract, until="2026-03-31")["total"] == "0.00"
    again = admin.done("stopRenewal", CONTRACT, **stop, lastDay="2026-04-30")["hourPackages"]
    assert [one["validFrom"][5:7] for one in again] == ["01", "02", "03", "04"]
    assert [one["id"] for one in again[:3]] == [one["id"] for one in packages]


def test_a_month_is_invoiced_by_itself_and_left_out_of_its_statement_s_invoice(admin: Client) -> None:
    contract, _, packages = granted(admin)
    sold = {"contract": contract, "hourPackage": packages[1]["id"]}
    invoice = admin.done("issueInvoice", "document { amount total since until lines { billed } }", **sold)
    assert invoice == {
        "amount": "200.00",
        "total": "240.00",
        "since": "2026-02-01",
        "until": "2026-02-28",
        "lines": [{"billed": 7200}],
    }
    assert admin.refused("issueInvoice", **sold) == ("ALREADY_INVOICED", ["hourPackage"])
    stop = {"contract": contract, "hourPackage": packages[0]["id"], "lastDay": "2026-01-31"}
    assert admin.refused("stopRenewal", **stop) == ("ALREADY_INVOICED", ["lastDay"])
    assert admin.refused("endContract", contract=contract, lastDay="2026-01-31") == ("ALREADY_INVOICED", ["lastDay"])
    admin.done("closePeriod", "statement { number }", contract=contract, until="2026-03-31")
    rest = admin.done("issueInvoice", "document { amount }", contract=contract, statement=1)
    assert rest == {"amount": "400.00"}


def test_what_does_not_renew_is_not_stopped(admin: Client, agent: Client) -> None:
    contract, _, packages = granted(admin)
    stop = {"contract": contract, "hourPackage": packages[0]["id"], "lastDay": "2026-02-28"}
    assert agent.refused("stopRenewal", **stop) == ("FORBIDDEN", None)
    for changes, code, field in (
        ({"contract": "x"}, "CONTRACT_NOT_FOUND", "contract"),
        ({"hourPackage": "x"}, "HOUR_PACKAGE_NOT_FOUND", "hourPackage"),
        ({"hourPackage": packages[1]["id"]}, "INVALID_VALUE", "hourPackage"),
        ({"lastDay": "2025-12-31"}, "INVALID_VALUE", "lastDay"),
    ):
        assert admin.refused("stopRenewal", **{**stop, **changes}) == (code, [field])
    once = {"contract": contract, "seconds": 60, "validFrom": "2026-01-01", "renewsUntil": "2026-03-31"}
    assert admin.refused("grantHours", **once) == ("INVALID_VALUE", ["renewsUntil"])
