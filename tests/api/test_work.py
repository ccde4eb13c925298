"""Work over GraphQL: timers, entries, who logs for whom, and what is refused."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from application.workspaces import Workspace
from domain.access import Scope
from tests.api.asking import Client
from tests.api.subscribing import Socket, opened
from tests.application.recording import AT
from tests.served import Served

ENTRY = """workEntry { id version ticket { key } person { id } startedAt endedAt interruption seconds comment billable
  origin flags overlaps role { key } service { key } loggedBy { id } }"""
TIMER = "timer { ticket { key } person { id } comment forgotten } workEntry { id seconds ticket { key } flags origin }"
LIST = """query($filter: WorkFilter, $asOf: AsOf, $min: Position) {
  workEntries(filter: $filter, asOf: $asOf, minPosition: $min) { nodes { id seconds } totalCount } }"""
MINE = "query($min: Position) { myTimer(minPosition: $min) { ticket { key } comment seconds forgotten } }"


def at(hours: float) -> str:
    return (AT + timedelta(hours=hours)).isoformat()


def log(client: Client, ticket: Any, start: float = 0, end: float = 1, **more: Any) -> Any:
    return client.done("logWork", ENTRY, ticket=ticket["id"], startedAt=at(start), endedAt=at(end), **more)


def test_work_is_logged_listed_and_summed(agent: Client) -> None:
    ticket = agent.open()
    entry = log(agent, ticket, 0, 2, interruption=600, comment="Починил")
    assert (entry["seconds"], entry["comment"], entry["billable"]) == (6600, "Починил", True)
    assert (entry["origin"], entry["flags"], entry["overlaps"]) == ("LOGGED", [], False)
    assert entry["person"]["id"] == entry["loggedBy"]["id"] == agent.person
    assert entry["ticket"]["key"] == ticket["key"]
    net = agent.done("logWork", ENTRY, ticket=ticket["id"], startedAt=at(5), seconds=60)
    assert (net["endedAt"], net["role"]["key"]) == ("2026-03-02T14:01:00.000000Z", "INCIDENT")
    query = "query($k: String!) { ticket(key: $k) { workedSeconds workEntries { nodes { seconds } totalCount } } }"
    assert agent.ask(query, k=ticket["key"]) == {
        "workedSeconds": 6660,
        "workEntries": {"nodes": [{"seconds": 6600}, {"seconds": 60}], "totalCount": 2},
    }
    found = agent.ask(LIST, filter={"ticket": {"eq": ticket["id"]}, "startedAt": {"gte": at(1)}})
    assert found == {"nodes": [{"id": net["id"], "seconds": 60}], "totalCount": 1}
    assert agent.ask("query($i: ID!) { node(id: $i) { ... on WorkEntry { seconds } } }", i=net["id"]) == {"seconds": 60}


def test_a_timer_is_started_switched_and_stopped(agent: Client) -> None:
    one, other = agent.open(), agent.open()
    started = agent.command("startTimer", TIMER, ticket=one["id"], comment="Логи")
    assert started["timer"] == {
        "ticket": {"key": one["key"]},
        "person": {"id": agent.person},
        "comment": "Логи",
        "forgotten": False,
    }
    assert started["workEntry"] is None
    assert agent.ask(MINE)["ticket"]["key"] == one["key"]
    assert agent.refused("startTimer", ticket=other["id"]) == ("TIMER_RUNS", ["ticket"])
    switched = agent.command("switchTimer", TIMER, ticket=other["id"])
    assert (switched["timer"]["ticket"], switched["workEntry"]["ticket"]) == (
        {"key": other["key"]},
        {"key": one["key"]},
    )
    stopped = agent.command("stopTimer", TIMER, commandId="stop")
    assert (stopped["timer"], stopped["workEntry"]["ticket"]) == (None, {"key": other["key"]})
    assert stopped["workEntry"]["origin"] == "TIMER"
    again = agent.command("stopTimer", TIMER, commandId="stop")
    assert (again["replayed"], again["workEntry"]["id"]) == (True, stopped["workEntry"]["id"])
    assert agent.refused("stopTimer") == ("TIMER_NOT_RUNNING", None)
    assert agent.ask(MINE) is None
    assert agent.ask(LIST)["totalCount"] == 2


def test_a_timer_that_was_forgotten_is_capped(admin: Client) -> None:
    ticket = admin.open()
    admin.command("startTimer", TIMER, ticket=ticket["id"], occurredAt=at(0))
    assert admin.ask(MINE) == {"ticket": {"key": ticket["key"]}, "comment": None, "seconds": 43200, "forgotten": True}
    entry = admin.command("stopTimer", TIMER)["workEntry"]
    assert (entry["seconds"], entry["flags"]) == (43200, ["CAPPED"])
    admin.command("startTimer", TIMER, ticket=ticket["id"], occurredAt=at(0))
    entry = admin.command("stopTimer", TIMER, endedAt=at(13), interruption=60)["workEntry"]
    assert (entry["seconds"], entry["flags"]) == (13 * 3600 - 60, [])


def test_a_timer_started_by_mistake_is_discarded(agent: Client) -> None:
    agent.command("startTimer", TIMER, ticket=agent.open()["id"])
    assert agent.command("discardTimer", TIMER)["timer"] is None
    assert agent.refused("discardTimer") == ("TIMER_NOT_RUNNING", None)
    assert agent.ask(LIST)["totalCount"] == 0


def test_work_is_corrected_moved_marked_commented_and_reversed(agent: Client) -> None:
    ticket, other = agent.open(), agent.open(role="TASK")
    logged = agent.command("logWork", ENTRY, ticket=ticket["id"], startedAt=at(0), endedAt=at(2))
    entry, before = logged["workEntry"]["id"], logged["position"]
    refused = agent.refused("correctWork", workEntry=entry, endedAt=at(1))
    assert refused == ("REASON_REQUIRED", ["reason"])
    corrected = agent.done("correctWork", ENTRY, workEntry=entry, endedAt=at(1), reason="Wrong clock")
    assert (corrected["seconds"], corrected["version"], corrected["startedAt"]) == (
        3600,
        2,
        "2026-03-02T09:00:00.000000Z",
    )
    assert agent.refused("moveWork", workEntry=entry, ticket=other["id"], expectedVersion=1) == (
        "CONFLICT",
        ["expectedVersion"],
    )
    moved = agent.done("moveWork", ENTRY, workEntry=entry, ticket=other["id"])
    assert (moved["ticket"]["key"], moved["role"]["key"]) == (other["key"], "TASK")
    assert agent.done("markWorkNotBillable", ENTRY, workEntry=entry)["billable"] is False
    assert agent.done("markWorkBillable", ENTRY, workEntry=entry)["billable"] is True
    assert agent.done("commentWork", ENTRY, workEntry=entry, comment="Ждал доступ")["comment"] == "Ждал доступ"
    assert agent.refused("reverseWork", workEntry=entry) == ("REASON_REQUIRED", ["reason"])
    assert agent.command("reverseWork", ENTRY, workEntry=entry, reason="Not mine")["workEntry"] is None
    assert agent.ask(LIST)["nodes"] == []
    assert agent.ask(LIST, asOf={"position": before})["nodes"] == [{"id": entry, "seconds": 7200}]
    for command, more in (
        ("correctWork", {"endedAt": at(1), "reason": "x"}),
        ("moveWork", {"ticket": other["id"]}),
        ("markWorkNotBillable", {}),
        ("markWorkBillable", {}),
        ("commentWork", {"comment": None}),
        ("reverseWork", {"reason": "x"}),
    ):
        assert agent.refused(command, workEntry=entry, **more) == ("WORK_NOT_FOUND", ["workEntry"])
        assert agent.refused(command, workEntry="nonsense", **more) == ("WORK_NOT_FOUND", ["workEntry"])


def test_overlaps_are_flagged_and_both_entries_stay(agent: Client) -> None:
    ticket = agent.open()
    first = log(agent, ticket, 0, 2)
    assert log(agent, ticket, 1, 3)["overlaps"] is True
    query = "query($i: ID!) { node(id: $i) { ... on WorkEntry { overlaps } } }"
    assert agent.ask(query, i=first["id"]) == {"overlaps": True}


@pytest.mark.parametrize(
    ("input", "code", "field"),
    [
        ({"endedAt": at(-1)}, "INVALID_VALUE", "endedAt"),
        ({"endedAt": "9999-12-31T23:59:59Z"}, "INVALID_VALUE", "endedAt"),
        ({"seconds": -1}, "INVALID_VALUE", "seconds"),
        ({"seconds": 3600 * 10**12}, "INVALID_VALUE", "seconds"),
        ({"endedAt": at(1), "interruption": -5}, "INVALID_VALUE", "interruption"),
        ({"endedAt": at(1), "interruption": 10**15}, "INVALID_VALUE", "interruption"),
        ({"endedAt": at(1), "seconds": 5}, "FIELD_REQUIRED", "seconds"),
        ({}, "FIELD_REQUIRED", "endedAt"),
        ({"endedAt": at(1), "comment": "\0"}, "INVALID_VALUE", "comment"),
    ],
)
def test_bad_input_is_told_and_nothing_is_written(agent: Client, input: dict[str, Any], code: str, field: str) -> None:
    ticket = agent.open()["id"]
    assert agent.refused("logWork", ticket=ticket, startedAt=at(0), **input) == (code, [field])
    assert agent.ask(LIST)["totalCount"] == 0


def test_what_is_no_number_of_seconds_is_bad_input(agent: Client) -> None:
    mutation = 'mutation { logWork(input: {ticket: "x", startedAt: "2026-03-02T09:00:00Z", seconds: %s}) { version } }'
    for value in ("1.5", '"60"', "true", "1e999"):
        assert agent.codes(mutation % value) == ["BAD_USER_INPUT"]
    assert agent.refused("logWork", ticket="x", startedAt=at(0), seconds=60.0) == ("TICKET_NOT_FOUND", ["ticket"])


def test_one_logs_for_oneself_and_managers_for_others(
    acme: Workspace, agent: Client, admin: Client, claire: Client, token: Callable[..., Client]
) -> None:
    ticket = agent.open()
    asked = {"ticket": ticket["id"], "startedAt": at(0), "endedAt": at(1)}
    assert agent.refused("logWork", onBehalfOf=admin.person, **asked) == ("FORBIDDEN", ["onBehalfOf"])
    entry = admin.done("logWork", ENTRY, onBehalfOf=agent.person, **asked)
    assert (entry["person"]["id"], entry["loggedBy"]["id"]) == (agent.person, admin.person)
    other = token(acme, Scope.AGENT, name="Other")
    assert other.refused("markWorkNotBillable", workEntry=entry["id"]) == ("FORBIDDEN", None)
    assert agent.done("markWorkNotBillable", ENTRY, workEntry=entry["id"])["billable"] is False
    for nobody in (claire, token(acme, Scope.AUDITOR)):
        assert nobody.refused("logWork", **asked) == ("FORBIDDEN", None)
        assert nobody.refused("startTimer", ticket=ticket["id"]) == ("FORBIDDEN", None)
    started = admin.command("startTimer", TIMER, ticket=ticket["id"], onBehalfOf=agent.person)
    assert started["timer"]["person"]["id"] == agent.person
    assert agent.ask(MINE)["ticket"]["key"] == ticket["key"]
    assert claire.codes(MINE) == ["FORBIDDEN"]


def test_a_requester_reads_the_work_on_their_own_tickets(agent: Client, claire: Client) -> None:
    hers, strange = agent.open(requester=claire.person), agent.open()
    log(agent, hers)
    log(agent, strange)
    assert claire.ask(LIST)["totalCount"] == 1
    query = "query($k: String!) { ticket(key: $k) { workedSeconds } }"
    assert claire.ask(query, k=hers["key"]) == {"workedSeconds": 3600}


def test_a_timer_starts_on_open_tickets_that_are_here(agent: Client) -> None:
    closed = agent.open(role="TASK")
    agent.done("transitionTicket", ticket=closed["id"], status="cancelled", reason="Not needed")
    for command in ("startTimer", "switchTimer"):
        assert agent.refused(command, ticket=closed["id"]) == ("TICKET_CLOSED", ["ticket"])
        assert agent.refused(command, ticket="nonsense") == ("TICKET_NOT_FOUND", ["ticket"])
    agent.command("startTimer", TIMER, ticket=agent.open()["id"])
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert agent.refused("stopTimer", endedAt=later) == ("INVALID_VALUE", ["endedAt"])
    assert agent.refused("stopTimer", interruption=10**9) == ("INVALID_VALUE", ["interruption"])


@pytest.fixture
def socket(live: Served, agent: Client) -> Iterator[Socket]:
    with opened(live.socket, agent.secret) as socket:
        yield socket


def test_my_timer_is_told_whenever_it_changes(socket: Socket, agent: Client, admin: Client) -> None:
    ticket = agent.open()
    told = socket.subscribe(
        "subscription($after: Position) { timerChanged(afterPosition: $after) { ticket { key } } }",
        after=ticket["position"],
    )
    admin.command("startTimer", TIMER, ticket=ticket["id"])
    agent.command("startTimer", TIMER, ticket=ticket["id"])
    assert told.next() == {"ticket": {"key": ticket["key"]}}
    agent.command("stopTimer", TIMER)
    assert told.next() is None
