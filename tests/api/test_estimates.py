"""Estimates over GraphQL: sales asks, a specialist answers with hours and a price, the client decides."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from application.workspaces import Workspace
from domain.access import Scope
from tests.api.asking import Client
from tests.api.test_billing import bound, log
from tests.api.test_contracts import HOURLY
from tests.api.test_sheets import fetched, text_of

ESTIMATES = """ticket { estimates { id state about leastSeconds mostSeconds leastPrice mostPrice currency validUntil
  note requestedBy { id } givenBy { id } settledBy { id }
  questions { id text answer askedBy { id } answeredBy { id } } } }"""


def requested(client: Client, **more: Any) -> tuple[Any, Any]:
    ticket = client.open("Перенести почту", "INQUIRY", **more)
    shown = client.done("requestEstimate", ESTIMATES, ticket=ticket["id"], about="Сколько займёт?")
    return ticket, shown["estimates"][0]


def given(client: Client, ticket: Any, **more: Any) -> Any:
    offer = {"leastSeconds": 14400, "mostSeconds": 28800, "leastPrice": "320", "mostPrice": "640", "currency": "EUR"}
    return client.done("giveEstimate", ESTIMATES, ticket=ticket["id"], **{**offer, **more})["estimates"][-1]


def test_sales_asks_a_specialist_answers_and_the_client_accepts(
    acme: Workspace, admin: Client, agent: Client, claire: Client, token: Callable[..., Client]
) -> None:
    sales = token(acme, Scope.AGENT, name="Sales")
    ticket, asked = requested(sales, requester=claire.person)
    assert (asked["state"], asked["about"], asked["requestedBy"]["id"]) == (
        "REQUESTED",
        "Сколько займёт?",
        sales.person,
    )
    shown = agent.done("askEstimateQuestion", ESTIMATES, ticket=ticket["id"], text="Сколько ящиков?")
    question = shown["estimates"][0]["questions"][0]
    assert (question["text"], question["answer"], question["askedBy"]["id"]) == ("Сколько ящиков?", None, agent.person)
    answered = claire.done(
        "answerEstimateQuestion", ESTIMATES, ticket=ticket["id"], question=question["id"], text="Сорок"
    )
    assert answered["estimates"][0]["questions"][0]["answer"] == "Сорок"
    offer = given(agent, ticket, note="Без выходных", validUntil="2999-12-31")
    assert [
        offer[name] for name in ("state", "leastSeconds", "mostSeconds", "leastPrice", "mostPrice", "currency")
    ] == [*("GIVEN", 14400, 28800, "320.00", "640.00", "EUR")]
    before = admin.ask("{ status { head } }")["head"]
    accepted = claire.done("acceptEstimate", ESTIMATES, ticket=ticket["id"], estimate=offer["id"])["estimates"][0]
    assert (accepted["state"], accepted["settledBy"]["id"], accepted["note"]) == (
        "ACCEPTED",
        claire.person,
        "Без выходных",
    )
    past = admin.ask(
        "query($i: ID!, $at: AsOf) { ticket(id: $i, asOf: $at) { estimates { state } } }",
        i=ticket["id"],
        at={"position": before},
    )
    assert past == {"estimates": [{"state": "GIVEN"}]}
    history = admin.ask(
        "query($i: ID!) { ticket(id: $i) { history { nodes { type changes { path to } } } } }", i=ticket["id"]
    )
    told = {one["type"]: one["changes"][0] for one in history["history"]["nodes"] if one["type"].startswith("Estimate")}
    assert told["EstimateQuestionAnswered"] == {"path": "estimate.answer", "to": "Сорок"}
    assert told["EstimateAccepted"] == {"path": "estimate.state", "to": "ACCEPTED"}
    assert told["EstimateGiven"]["to"]["most_price"] == "640.00"


def test_the_client_declines_and_another_is_requested(agent: Client, claire: Client) -> None:
    ticket, _ = requested(agent, requester=claire.person)
    offer = given(agent, ticket)
    assert agent.refused("requestEstimate", ticket=ticket["id"]) == ("ESTIMATE_OPEN", ["ticket"])
    declined = claire.done("declineEstimate", ESTIMATES, ticket=ticket["id"], estimate=offer["id"], reason="Дорого")
    assert declined["estimates"][0]["state"] == "DECLINED"
    assert claire.refused("acceptEstimate", ticket=ticket["id"], estimate=offer["id"]) == (
        "ESTIMATE_SETTLED",
        ["estimate"],
    )
    again = agent.done("requestEstimate", ESTIMATES, ticket=ticket["id"])
    assert [one["state"] for one in again["estimates"]] == ["DECLINED", "REQUESTED"]


def test_a_requester_decides_on_their_own_and_asks_for_nothing(agent: Client, claire: Client) -> None:
    ticket, _ = requested(agent, requester=claire.person)
    offer = given(agent, ticket)
    other, foreign = requested(agent)
    hidden = given(agent, other)
    for command in ("acceptEstimate", "declineEstimate"):
        assert claire.refused(command, ticket=other["id"], estimate=hidden["id"]) == ("TICKET_NOT_FOUND", ["ticket"])
        assert claire.refused(command, ticket=ticket["id"], estimate=hidden["id"]) == (
            "ESTIMATE_NOT_FOUND",
            ["estimate"],
        )
    for command, more in (
        ("requestEstimate", {}),
        ("askEstimateQuestion", {"text": "?"}),
        ("giveEstimate", {"leastSeconds": 60}),
    ):
        assert claire.refused(command, ticket=ticket["id"], **more) == ("FORBIDDEN", None)
    can = "query($i: ID!) { ticket(id: $i) { estimates { id viewerCan } } }"
    answer = ["answerEstimateQuestion", "acceptEstimate", "declineEstimate"]
    assert claire.ask(can, i=ticket["id"])["estimates"] == [{"id": offer["id"], "viewerCan": answer}]
    assert agent.ask(can, i=ticket["id"])["estimates"][0]["viewerCan"] == [
        *("askEstimateQuestion", "answerEstimateQuestion", "giveEstimate", "acceptEstimate", "declineEstimate")
    ]
    assert agent.ask(can, i=other["id"])["estimates"][0]["viewerCan"] != []
    claire.done("acceptEstimate", ESTIMATES, ticket=ticket["id"], estimate=offer["id"])
    assert claire.ask(can, i=ticket["id"])["estimates"][0]["viewerCan"] == []
    assert foreign["state"] == "REQUESTED"


def test_staff_decides_in_the_client_s_name(admin: Client, claire: Client) -> None:
    ticket, _ = requested(admin, requester=claire.person)
    offer = given(admin, ticket)
    told = {"ticket": ticket["id"], "estimate": offer["id"], "onBehalfOf": claire.person}
    accepted = admin.done("acceptEstimate", ESTIMATES, **told)["estimates"][0]
    assert accepted["settledBy"]["id"] == claire.person


@pytest.mark.parametrize(
    ("command", "more", "refusal"),
    [
        ("giveEstimate", {"leastSeconds": -1}, ("INVALID_VALUE", ["leastSeconds"])),
        ("giveEstimate", {"leastSeconds": 7200, "mostSeconds": 3600}, ("INVALID_VALUE", ["leastSeconds"])),
        ("giveEstimate", {"leastSeconds": 60, "leastPrice": "1"}, ("FIELD_REQUIRED", ["currency"])),
        ("giveEstimate", {"leastSeconds": 60, "leastPrice": "1", "currency": "€"}, ("INVALID_VALUE", ["currency"])),
        ("giveEstimate", {"leastSeconds": 60, "validUntil": "2020-01-01"}, ("INVALID_VALUE", ["validUntil"])),
        ("askEstimateQuestion", {"text": " "}, ("INVALID_VALUE", ["text"])),
        ("answerEstimateQuestion", {"question": "x", "text": "!"}, ("QUESTION_NOT_FOUND", ["question"])),
        ("acceptEstimate", {"estimate": "x"}, ("ESTIMATE_NOT_FOUND", ["estimate"])),
    ],
)
def test_what_is_asked_wrongly_is_refused(agent: Client, command: str, more: dict[str, Any], refusal: Any) -> None:
    ticket, _ = requested(agent)
    assert agent.refused(command, ticket=ticket["id"], **more) == refusal


def test_what_is_not_there_yet_is_refused(agent: Client) -> None:
    ticket = agent.open()
    for command, more in (
        ("giveEstimate", {"leastSeconds": 60}),
        ("askEstimateQuestion", {"text": "?"}),
    ):
        assert agent.refused(command, ticket=ticket["id"], **more) == ("ESTIMATE_NOT_FOUND", ["ticket"])
    ticket, asked = requested(agent)
    assert agent.refused("declineEstimate", ticket=ticket["id"], estimate=asked["id"]) == (
        "ESTIMATE_NOT_FOUND",
        ["estimate"],
    )


COMPARED = """query($c: ID!, $until: Date!) { statement(contract: $c, until: $until) { estimates {
  seconds amount ticket { key } estimate { state leastSeconds mostSeconds leastPrice mostPrice } } } }"""
ACCURACY = """query($since: Date!, $until: Date!, $by: AccuracyBy!, $asOf: AsOf, $min: Position) {
  reports(asOf: $asOf, minPosition: $min) { estimateAccuracy(since: $since, until: $until, by: $by) {
    month service { key } person { id } tickets leastSeconds mostSeconds workedSeconds within below above medianRatio
  } } }"""


def accuracy(client: Client, **asked: Any) -> list[Any]:
    found: list[Any] = client.ask(ACCURACY, **asked)["estimateAccuracy"]
    return found


def test_a_statement_compares_estimate_and_fact(admin: Client) -> None:
    contract, ticket = bound(admin, {**HOURLY, "rounding": {"unit": 1}, "calendar": {"timeZone": "UTC"}})
    admin.done("requestEstimate", ticket=ticket["id"])
    given(admin, ticket, leastSeconds=3600, mostSeconds=7200, leastPrice="99.50", mostPrice="199")
    log(admin, ticket, "2026-01-05T09:00:00Z", 1)
    log(admin, ticket, "2026-02-05T09:00:00Z", 2)
    last = log(admin, ticket, "2026-03-05T09:00:00Z", 4)
    admin.ask("query($p: Position) { workEntries(minPosition: $p) { totalCount } }", p=last["position"])
    admin.done("closePeriod", "statement { number }", contract=contract, until="2026-01-31")
    offer = {"state": "GIVEN", "leastSeconds": 3600, "mostSeconds": 7200, "leastPrice": "99.50", "mostPrice": "199.00"}
    for until, hours, amount in (("2026-01-31", 1, "99.50"), ("2026-02-28", 3, "199.00")):  # in all; that is charged
        assert admin.ask(COMPARED, c=contract, until=until) == {
            "estimates": [
                {"seconds": hours * 3600, "amount": amount, "ticket": {"key": ticket["key"]}, "estimate": offer}
            ]
        }
    path = f"/documents/statements/{contract}/2026-02-01..2026-02-28.pdf"
    text = " ".join(text_of(fetched(admin, path).content).split())
    assert "Оценки и что вышло" in text
    assert f"{ticket['key']} Printer is on fire 1:00 – 2:00 3:00 99,50 – 199,00 199,00" in text


def test_how_accurate_estimates_were_by_month_service_and_estimator(admin: Client, agent: Client) -> None:
    service = admin.done("addService", "service { id }", key="mail", name="Mail")["id"]
    for hours, close, service_of in (
        (0.5, "done", service),
        (1.5, "done", service),
        (6, "done", None),
        (9, None, None),
    ):
        ticket = admin.open(role="TASK", occurredAt="2026-03-01T00:00:00Z", service=service_of)
        admin.done("requestEstimate", ticket=ticket["id"])
        given(agent, ticket, leastSeconds=3600, mostSeconds=7200)
        log(admin, ticket, "2026-03-05T09:00:00Z", hours)
        if close:
            admin.done("transitionTicket", ticket=ticket["id"], status=close)
    declined = admin.open(role="TASK")
    admin.done("requestEstimate", ticket=declined["id"])
    offer = given(agent, declined)
    admin.done("declineEstimate", ticket=declined["id"], estimate=offer["id"])
    before = admin.ask("{ status { head } }")["head"]
    admin.done("transitionTicket", ticket=declined["id"], status="done")
    days = {"since": "2026-01-01", "until": "2030-12-31"}
    [month] = accuracy(admin, **days, by="MONTH")
    assert month["month"] == f"{datetime.now(UTC):%Y-%m}"
    figures = {
        "tickets": 3,
        "leastSeconds": 3 * 3600,
        "mostSeconds": 3 * 7200,
        "workedSeconds": 8 * 3600,
        "within": 1,
        "below": 1,
        "above": 1,
        "medianRatio": 1.0,  # 0.5, 1.5 and 6 hours against 1.5
    }
    assert {name: month[name] for name in figures} == figures
    mail, none = accuracy(admin, **days, by="SERVICE")
    assert (mail["service"], mail["tickets"], mail["below"], mail["within"]) == ({"key": "mail"}, 2, 1, 1)
    assert (none["service"], none["tickets"], none["above"], none["medianRatio"]) == (None, 1, 1, 4.0)
    [person] = accuracy(admin, **days, by="PERSON")
    assert (person["person"]["id"], person["tickets"]) == (agent.person, 3)
    assert accuracy(admin, **days, by="MONTH", asOf={"position": "1"}) == []
    assert accuracy(admin, **days, by="MONTH", asOf={"position": before})[0]["tickets"] == 3
    assert admin.codes(ACCURACY, since="2026-02-01", until="2026-01-01", by="MONTH") == ["BAD_USER_INPUT"]
    assert admin.codes(ACCURACY, since="1900-01-01", until="2026-01-01", by="MONTH") == ["BAD_USER_INPUT"]


def test_requesters_do_not_see_how_accurate_estimates_are(claire: Client) -> None:
    assert claire.codes(ACCURACY, since="2026-01-01", until="2026-01-31", by="MONTH") == ["FORBIDDEN"]
