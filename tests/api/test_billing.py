"""Billing over GraphQL: from a package of hours to a closed statement, and what is corrected after it."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from application.workspaces import Workspace
from domain.access import Scope
from tests.api.asking import Client
from tests.api.test_contracts import CLIENT, CONTRACT, HOURLY, PREPAID, add, agree

BALANCE = """query($c: ID!, $asOf: AsOf, $min: Position) { balance(contract: $c, asOf: $asOf, minPosition: $min) {
  day granted drawn expired left overage alerts packages { granted drawn left } } }"""
STATEMENT = """query($c: ID!, $until: Date!, $since: Date, $asOf: AsOf) {
  statement(contract: $c, until: $until, since: $since, asOf: $asOf) { ...shown } }
fragment shown on Statement { number closed since until currency seconds billed opening closing amount tax total
  lines { nodes { day seconds billed treatment rate amount terms comment ticket { key } person { id } hourPackage
    workEntry { seconds } } totalCount }
  fees { kind day amount } corrections { nodes { seconds billed amount } } }"""
SHOWN = "statement { number closed since until billed amount tax total corrections { nodes { seconds amount } } }"
ENTRY = "workEntry { id seconds version }"


def bound(admin: Client, terms: dict[str, Any], **more: Any) -> tuple[str, Any]:
    """A contract, and a ticket that has been bound to it from the beginning."""
    contract, ticket = agree(admin, terms, **more), admin.open(occurredAt="2026-01-01T00:00:00Z")
    admin.done(
        "bindContract",
        "ticket { key }",
        ticket=ticket["id"],
        contract=contract["id"],
        occurredAt="2026-01-01T00:00:00Z",
    )
    return contract["id"], ticket


def log(client: Client, ticket: Any, start: str, hours: float, **more: Any) -> Any:
    return client.command("logWork", ENTRY, ticket=ticket["id"], startedAt=start, seconds=int(hours * 3600), **more)


def statement(client: Client, contract: str, until: str, **more: Any) -> Any:
    return client.ask(STATEMENT, c=contract, until=until, **more)


def test_from_a_package_to_a_statement_line_by_line(admin: Client) -> None:
    # 10 h for 900.00; 4 h, then 8 h: 6 covered, 2 over at 80.00 an hour: 160.00; tax 20 % of 900 + 160: 212.00
    terms = {"kind": "PREPAID", "currency": "EUR", "overageRate": "80", "tax": "20", "alerts": [50, 80, 100]}
    contract, ticket = bound(admin, terms)
    admin.done("grantHours", CONTRACT, contract=contract, seconds=36000, validFrom="2026-01-01", price="900")
    log(admin, ticket, "2026-01-05T09:00:00Z", 4, comment="Настроил почту")
    last = log(admin, ticket, "2026-01-07T09:00:00Z", 8)
    balance = admin.ask(BALANCE, c=contract, min=last["position"])
    assert (balance["granted"], balance["drawn"], balance["left"], balance["overage"]) == (36000, 36000, 0, 7200)
    assert balance["alerts"] == [50, 80, 100]
    then = admin.ask(BALANCE, c=contract, asOf={"occurredAt": "2026-01-06T00:00:00Z"})
    assert (then["day"], then["drawn"], then["left"], then["alerts"]) == ("2026-01-06", 14400, 21600, [])
    found = statement(admin, contract, "2026-01-31")
    lines = found["lines"]["nodes"]
    assert [(one["treatment"], one["billed"], one["amount"]) for one in lines] == [
        ("COVERED", 14400, "0"),
        ("COVERED", 21600, "0"),
        ("OVERAGE", 7200, "160.00"),
    ]
    assert (lines[0]["comment"], lines[0]["ticket"]["key"], lines[0]["rate"]) == ("Настроил почту", ticket["key"], None)
    assert (lines[2]["rate"], lines[2]["hourPackage"], lines[2]["person"]["id"]) == ("80", None, admin.person)
    assert lines[1]["workEntry"] == {"seconds": 28800}
    assert found["fees"] == [{"kind": "PACKAGE", "day": "2026-01-01", "amount": "900.00"}]
    assert (found["opening"], found["closing"], found["closed"], found["number"]) == (0, 0, False, None)
    assert (found["amount"], found["tax"], found["total"]) == ("1060.00", "212.00", "1272.00")


def test_what_is_closed_never_changes_and_the_next_statement_credits(admin: Client) -> None:
    contract, ticket = bound(admin, {**HOURLY, "rounding": {"unit": 1}, "calendar": {"timeZone": "UTC"}})
    entry = log(admin, ticket, "2026-01-05T09:00:00Z", 2)["workEntry"]["id"]
    closed = admin.done("closePeriod", SHOWN, contract=contract, until="2026-01-31")
    assert (closed["number"], closed["closed"], closed["amount"], closed["tax"]) == (1, True, "199.00", "37.81")
    before = statement(admin, contract, "2026-01-31")
    corrected = admin.command(
        "correctWork", ENTRY, workEntry=entry, endedAt="2026-01-05T10:00:00Z", reason="Half of it"
    )
    log(admin, ticket, "2026-02-03T09:00:00Z", 1)
    last = log(admin, ticket, "2026-01-09T09:00:00Z", 0.5)  # forgotten
    admin.ask(BALANCE, c=contract, min=last["position"])
    after = statement(admin, contract, "2026-01-31")
    shown = [line.pop("workEntry") for line in (*before["lines"]["nodes"], *after["lines"]["nodes"])]
    assert shown == [{"seconds": 7200}, {"seconds": 3600}]  # that shows the entry as it is now
    assert after == before
    next_one = statement(admin, contract, "2026-02-28")
    assert (next_one["since"], next_one["closed"]) == ("2026-02-01", False)
    assert [(one["seconds"], one["amount"]) for one in next_one["corrections"]["nodes"]] == [
        (-3600, "-99.50"),
        (1800, "49.75"),
    ]
    assert (next_one["seconds"], next_one["amount"]) == (1800, "49.75")
    known = statement(admin, contract, "2026-02-28", asOf={"position": corrected["position"]})
    assert known["amount"] == "-99.50"
    again = admin.done("closePeriod", SHOWN, contract=contract, until="2026-02-28")
    assert (again["number"], again["amount"]) == (2, "49.75")
    assert statement(admin, contract, "2026-03-31")["corrections"]["nodes"] == []


def test_a_period_is_closed_once_when_it_is_over_and_by_managers(
    acme: Workspace, admin: Client, agent: Client, token: Callable[..., Client]
) -> None:
    contract, _ = bound(admin, HOURLY)
    today = datetime.now(UTC).date()
    assert admin.refused("closePeriod", contract=contract, until=(today + timedelta(days=1)).isoformat()) == (
        "INVALID_VALUE",
        ["until"],
    )
    assert agent.refused("closePeriod", contract=contract, until="2026-01-31") == ("FORBIDDEN", None)
    assert admin.refused("closePeriod", contract="x", until="2026-01-31") == ("CONTRACT_NOT_FOUND", ["contract"])
    manager = token(acme, Scope.MANAGER)
    assert manager.done("closePeriod", SHOWN, contract=contract, until="2026-01-31")["number"] == 1
    assert admin.refused("closePeriod", contract=contract, until="2026-01-31") == ("PERIOD_CLOSED", ["until"])
    assert admin.refused("closePeriod", contract=contract, until="2026-01-15") == ("PERIOD_CLOSED", ["until"])
    late = {"contract": contract, "appliesFrom": "2026-01-15", "terms": {**HOURLY, "tax": "7"}}
    assert admin.refused("agreeTerms", **late) == ("PERIOD_CLOSED", ["appliesFrom"])
    assert admin.refused("endContract", contract=contract, lastDay="2026-01-15") == ("PERIOD_CLOSED", ["lastDay"])
    other, _ = bound(admin, PREPAID, name="Other")
    assert admin.done("closePeriod", SHOWN, contract=other, until="2026-02-28")["number"] == 2
    grant = {"contract": other, "seconds": 60, "validFrom": "2026-02-28"}
    assert admin.refused("grantHours", **grant) == ("PERIOD_CLOSED", ["validFrom"])


def test_a_contract_that_is_used_up_takes_no_more_work_unless_a_manager_says_so(
    acme: Workspace, admin: Client, agent: Client
) -> None:
    contract, ticket = bound(admin, PREPAID)
    child = admin.open(parent=ticket["id"])
    start = {"ticket": child["id"]}
    assert agent.refused("startTimer", **start) == ("CONTRACT_EXHAUSTED", ["ticket"])
    assert agent.refused("switchTimer", **start) == ("CONTRACT_EXHAUSTED", ["ticket"])
    assert agent.refused("startTimer", **start, overrideExhausted=True) == ("FORBIDDEN", ["overrideExhausted"])
    assert admin.refused("startTimer", **start, overrideExhausted=True) == ("REASON_REQUIRED", ["reason"])
    shown = "timer { ticket { key } }"
    started = admin.done("startTimer", shown, **start, overrideExhausted=True, reason="The site is down")
    assert started["ticket"]["key"] == child["key"]
    granted = admin.command("grantHours", CONTRACT, contract=contract, seconds=3600, validFrom="2026-01-01")
    admin.ask(BALANCE, c=contract, min=granted["position"])
    assert agent.done("startTimer", shown, **start)["ticket"]["key"] == child["key"]
    stopped = agent.command("stopTimer", "workEntry { id }")
    assert admin.ask(BALANCE, c=contract, min=stopped["position"])["packages"][0]["granted"] == 3600


def test_work_is_moved_to_another_contract(admin: Client, agent: Client) -> None:
    contract, ticket = bound(admin, HOURLY)
    entry = log(admin, ticket, "2026-01-05T09:00:00Z", 1)["workEntry"]["id"]
    other = agree(admin, HOURLY, name="Other")["id"]
    moved = admin.command("billWork", ENTRY, workEntry=entry, contract=other)
    admin.ask(BALANCE, c=contract, min=moved["position"])
    assert statement(admin, contract, "2026-01-31")["lines"]["totalCount"] == 0
    assert statement(admin, other, "2026-01-31")["lines"]["totalCount"] == 1
    assert admin.refused("billWork", workEntry=entry, contract="x") == ("CONTRACT_NOT_FOUND", ["contract"])
    assert agent.refused("billWork", workEntry=entry, contract=other) == ("FORBIDDEN", None)
    free = admin.command("billWork", ENTRY, workEntry=entry, contract=None)
    admin.ask(BALANCE, c=contract, min=free["position"])
    assert statement(admin, other, "2026-01-31")["lines"]["totalCount"] == 0
    unbound = admin.open(occurredAt="2026-01-01T00:00:00Z")
    elsewhere = log(admin, ticket, "2026-01-06T09:00:00Z", 1)["workEntry"]["id"]
    gone = admin.command("moveWork", ENTRY, workEntry=elsewhere, ticket=unbound["id"])
    admin.ask(BALANCE, c=contract, min=gone["position"])
    assert statement(admin, contract, "2026-01-31")["lines"]["totalCount"] == 0


def test_holidays_are_those_of_the_country(admin: Client) -> None:
    # Thursday 1 January 2026 is a holiday in Germany: 1 h counts 2; 2 January: 1
    calendar = {"timeZone": "Europe/Berlin", "country": "DE", "holidayFactor": "2"}
    contract, ticket = bound(admin, {**HOURLY, "rounding": {"unit": 60}, "calendar": calendar})
    log(admin, ticket, "2026-01-01T09:00:00Z", 1)
    last = log(admin, ticket, "2026-01-02T09:00:00Z", 1)
    admin.ask(BALANCE, c=contract, min=last["position"])
    lines = statement(admin, contract, "2026-01-31")["lines"]["nodes"]
    assert [one["amount"] for one in lines] == ["199.00", "99.50"]


def test_lines_come_in_pages(admin: Client) -> None:
    contract, ticket = bound(admin, HOURLY)
    for day in (5, 6, 7):
        last = log(admin, ticket, f"2026-01-0{day}T09:00:00Z", 1)
    admin.ask(BALANCE, c=contract, min=last["position"])
    query = """query($c: ID!, $after: String) { statement(contract: $c, until: "2026-01-31") {
      lines(first: 2, after: $after) { nodes { day } pageInfo { hasNextPage endCursor } totalCount } } }"""
    first = admin.ask(query, c=contract)["lines"]
    assert ([one["day"] for one in first["nodes"]], first["totalCount"]) == (["2026-01-05", "2026-01-06"], 3)
    rest = admin.ask(query, c=contract, after=first["pageInfo"]["endCursor"])["lines"]
    assert ([one["day"] for one in rest["nodes"]], rest["pageInfo"]["hasNextPage"]) == (["2026-01-07"], False)
    assert admin.codes(query, c=contract, after="nonsense") == ["BAD_USER_INPUT"]


@pytest.mark.parametrize("query", [BALANCE, STATEMENT])
def test_a_client_s_contacts_see_what_they_pay_for_and_nobody_else_s(
    admin: Client, agent: Client, claire: Client, query: str
) -> None:
    ours = add(admin)["id"]
    contract, ticket = bound(admin, HOURLY, client=ours)
    last = log(admin, ticket, "2026-01-05T09:00:00Z", 1)
    asked = {"c": contract, **({"until": "2026-01-31"} if query == STATEMENT else {"min": last["position"]})}
    admin.ask(BALANCE, c=contract, min=last["position"])
    assert claire.codes(query, **asked) == ["NOT_FOUND"]
    admin.done("addContact", CLIENT, client=ours, person=claire.person)
    assert agent.ask(query, **asked)
    found = claire.ask(query, **asked)
    if query == STATEMENT:
        assert (found["amount"], found["lines"]["nodes"][0]["ticket"]) == ("99.50", None)  # the ticket is not hers
    assert claire.codes(query, **{**asked, "c": "nonsense"}) == ["BAD_USER_INPUT"]


def test_a_line_says_how_it_was_rounded_and_hours_say_why_they_moved(admin: Client) -> None:
    # 1 h 10 min, by the quarter of an hour: 75 min of 2 h are drawn; 45 min expire with the month and roll over
    rounding = {"unit": 900, "direction": "UP", "scope": "DAY", "minimum": 0}
    contract, ticket = bound(admin, {**PREPAID, "rounding": rounding, "rollover": "ALL"})
    package = {"seconds": 7200, "validFrom": "2026-01-01", "expiresOn": "2026-01-31"}
    admin.done("grantHours", CONTRACT, contract=contract, **package)
    log(admin, ticket, "2026-01-05T09:00:00Z", 7 / 6)
    query = """query($c: ID!) { statement(contract: $c, until: "2026-01-31") {
      lines { nodes { billed rounding { unit direction scope minimum } } }
      movements { day kind seconds hourPackage } opening closing } }"""
    found = admin.ask(query, c=contract)
    assert found["lines"]["nodes"] == [{"billed": 4500, "rounding": rounding}]
    assert [(one["day"], one["kind"], one["seconds"]) for one in found["movements"]] == [
        ("2026-01-01", "GRANTED", 7200),
        ("2026-01-05", "DRAWN", -4500),
        ("2026-01-31", "ROLLED_OVER", -2700),
        ("2026-01-31", "ROLLED_IN", 2700),
    ]
    assert len({one["hourPackage"] for one in found["movements"]}) == 2
    assert (found["opening"], found["closing"]) == (0, 2700)


def test_two_who_work_up_the_last_hours_lose_nothing(admin: Client, agent: Client) -> None:
    # 10 h; both log 6 h at once: 10 are covered, and 2 are overage at 80, 160.00 in all
    contract, ticket = bound(admin, {"kind": "PREPAID", "currency": "EUR", "overageRate": "80"})
    admin.done("grantHours", CONTRACT, contract=contract, seconds=36000, validFrom="2026-01-01")
    with ThreadPoolExecutor(2) as pool:
        raced = list(pool.map(lambda who: log(who, ticket, "2026-01-05T09:00:00Z", 6), (admin, agent)))
    last = max((one["position"] for one in raced), key=int)
    balance = admin.ask(BALANCE, c=contract, min=last)
    assert (balance["drawn"], balance["left"], balance["overage"]) == (36000, 0, 7200)
    found = statement(admin, contract, "2026-01-31")
    assert (found["seconds"], found["amount"]) == (12 * 3600, "160.00")
    assert {one["person"]["id"] for one in found["lines"]["nodes"]} == {admin.person, agent.person}


def test_who_starts_on_the_last_hours_while_another_does_works_overage(admin: Client, agent: Client) -> None:
    """Both are let in, since an hour is left when they start; nothing of what they work is lost."""
    contract, ticket = bound(admin, PREPAID)
    granted = admin.command("grantHours", CONTRACT, contract=contract, seconds=3600, validFrom="2026-01-01")
    admin.ask(BALANCE, c=contract, min=granted["position"])
    began = (datetime.now(UTC) - timedelta(minutes=50)).isoformat()
    for who in (admin, agent):
        admin.done(
            "startTimer", "timer { ticket { key } }", ticket=ticket["id"], onBehalfOf=who.person, occurredAt=began
        )
    stopped = [who.command("stopTimer", ENTRY) for who in (admin, agent)]
    worked = sum(one["workEntry"]["seconds"] for one in stopped)
    balance = admin.ask(BALANCE, c=contract, min=stopped[1]["position"])
    assert worked >= 6000
    assert (balance["drawn"], balance["left"], balance["overage"]) == (3600, 0, worked - 3600)
    assert agent.refused("startTimer", ticket=ticket["id"]) == ("CONTRACT_EXHAUSTED", ["ticket"])


def test_thresholds_that_are_crossed_are_events(admin: Client) -> None:
    contract, ticket = bound(admin, {"kind": "PREPAID", "currency": "EUR", "alerts": [50, 80, 100]})
    admin.done("grantHours", CONTRACT, contract=contract, seconds=36000, validFrom="2026-01-01")
    log(admin, ticket, "2026-01-05T09:00:00Z", 8.5)
    query = '{ events(types: ["AlertReached"]) { nodes { data channel } } }'
    told = admin.ask(query)["nodes"]
    for _ in range(600):
        if len(told) == 2:
            break
        time.sleep(0.05)
        told = admin.ask(query)["nodes"]
    assert [(one["data"]["threshold"], one["data"]["drawn"]) for one in told] == [(50, 30600), (80, 30600)]
    assert {one["channel"] for one in told} == {"billing"}


def test_days_that_cannot_be_are_told(admin: Client) -> None:
    contract, _ = bound(admin, PREPAID)
    for until in ("9999-12-31", "0001-01-01"):
        assert admin.codes(STATEMENT, c=contract, until=until) == ["BAD_USER_INPUT"]
        assert admin.refused("closePeriod", contract=contract, until=until) == ("INVALID_VALUE", ["until"])


def test_there_is_no_statement_of_days_before_the_contract_begins(admin: Client) -> None:
    contract, _ = bound(admin, HOURLY)
    [error] = admin.send(STATEMENT, c=contract, until="2020-01-01")["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert "The contract begins on" in error["message"]
    assert admin.refused("closePeriod", contract=contract, until="2020-01-01") == ("PERIOD_CLOSED", ["until"])


def test_days_in_the_wrong_order_are_bad_input(admin: Client) -> None:
    contract, _ = bound(admin, HOURLY)
    assert admin.codes(STATEMENT, c=contract, since="2026-02-01", until="2026-01-01") == ["BAD_USER_INPUT"]
