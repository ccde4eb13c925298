"""A ticket passes between free and paid support, development and sales: its hours stay with it, and each is charged by
the terms at its time and place."""

from typing import Any

from tests.api.asking import Client
from tests.api.test_billing import log, statement
from tests.api.test_contracts import add, agree

PAID: dict[str, Any] = {
    "kind": "TIME_AND_MATERIALS",
    "currency": "EUR",
    "rates": [{"perHour": "100"}],
    "roles": ["INCIDENT", "SERVICE_REQUEST"],
}


def test_each_hour_is_charged_by_the_terms_at_its_time_and_place(admin: Client, agent: Client, claire: Client) -> None:
    client = add(admin)["id"]
    free = agree(admin, {"kind": "FREE_SUPPORT", "currency": "EUR"}, client=client, name="Free")["id"]
    paid = agree(admin, PAID, client=client, name="Paid")["id"]
    ticket = admin.open("Почта не уходит", "INQUIRY", requester=claire.person, occurredAt="2026-01-01T00:00:00Z")

    def bind(contract: str, day: int) -> None:
        at = f"2026-01-{day:02}T00:00:00Z"
        admin.done("bindContract", "ticket { key }", ticket=ticket["id"], contract=contract, occurredAt=at)

    def become(command: str, role: str, day: int, **more: Any) -> None:
        at = f"2026-01-{day:02}T00:00:00Z"
        admin.done(command, "ticket { key role { key } }", ticket=ticket["id"], role=role, occurredAt=at, **more)

    bind(free, 1)
    log(admin, ticket, "2026-01-05T09:00:00Z", 1)  # advice, free
    bind(paid, 6)
    become("changeRole", "INCIDENT", 6)
    log(admin, ticket, "2026-01-07T09:00:00Z", 2)  # paid support
    become("transferTicket", "BUG", 8, note="Ошибка в нашем продукте")
    log(admin, ticket, "2026-01-09T09:00:00Z", 4)  # development: our own bug
    admin.done(
        "agreeTerms",
        "contract { id }",
        contract=paid,
        appliesFrom="2026-01-10",
        terms={**PAID, "rates": [{"perHour": "120"}]},
    )
    become("transferTicket", "INCIDENT", 10)
    log(admin, ticket, "2026-01-11T09:00:00Z", 8)  # paid again, at the newer price
    become("changeRole", "DEAL", 12)
    log(admin, ticket, "2026-01-13T09:00:00Z", 12)  # sales
    # logged when all of it is over: it counts as what it was then, and not as what the ticket is now
    log(admin, ticket, "2026-01-05T12:00:00Z", 0.25)
    log(admin, ticket, "2026-01-07T12:00:00Z", 0.5)
    last = log(admin, ticket, "2026-01-09T14:00:00Z", 0.75)
    admin.ask("query($p: Position) { workEntries(minPosition: $p) { totalCount } }", p=last["position"])
    shown = admin.ask("query($i: ID!) { ticket(id: $i) { key role { key } workedSeconds } }", i=ticket["id"])
    assert shown == {"key": ticket["key"], "role": {"key": "DEAL"}, "workedSeconds": int(28.5 * 3600)}
    told = {
        name: [
            (one["day"][-2:], one["treatment"], one["seconds"] / 3600, one["rate"], one["amount"])
            for one in statement(admin, contract, "2026-01-31")["lines"]["nodes"]
        ]
        for name, contract in (("free", free), ("paid", paid))
    }
    assert told["free"] == [("05", "FREE", 1.0, None, "0"), ("05", "FREE", 0.25, None, "0")]
    assert told["paid"] == [
        ("07", "CHARGED", 2.0, "100", "200.00"),
        ("07", "CHARGED", 0.5, "100", "50.00"),
        ("09", "NOT_COVERED", 4.0, None, "0"),
        ("09", "NOT_COVERED", 0.75, None, "0"),
        ("11", "CHARGED", 8.0, "120", "960.00"),
        ("13", "NOT_COVERED", 12.0, None, "0"),
    ]
    # 1 + 0.25 free; 2.5 x 100 + 8 x 120 = 1 210; 4.75 h of development and 12 h of sales cost the client nothing
    assert statement(admin, paid, "2026-01-31")["amount"] == "1210.00"


def test_a_timer_counts_under_what_the_ticket_is_when_it_starts(admin: Client, agent: Client) -> None:
    paid = agree(admin, PAID, name="Paid")["id"]
    ticket = admin.open("Down", "INCIDENT")
    admin.done("bindContract", "ticket { key }", ticket=ticket["id"], contract=paid)
    agent.done("startTimer", "timer { ticket { key } }", ticket=ticket["id"])
    admin.done("transferTicket", ticket=ticket["id"], role="BUG", note="Ours")
    stopped = agent.command("stopTimer", "workEntry { role { key } }")
    assert stopped["workEntry"]["role"] == {"key": "INCIDENT"}
