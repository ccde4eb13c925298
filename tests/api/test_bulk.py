"""Bulk commands over GraphQL: every change, every refusal, and what is told of each ticket."""

from typing import Any
from uuid import UUID

import pytest
from strawberry.types import get_object_definition
from strawberry.utils.str_converters import to_camel_case

from api.bulk import BulkChange
from api.ids import Kind, encode
from tests.api.asking import Client

SHOW = """answers { ticketId version position replayed userErrors { code field message }
  ticket { id status { key } priority tags assignee { id } version } } position replayed"""


def bulk(client: Client, tickets: list[str], show: str = SHOW, **change: Any) -> Any:
    more = {name: change.pop(name) for name in ("commandId", "reason", "overrideWipLimit") if name in change}
    mutation = "mutation($input: BulkTicketsInput!) { bulkTickets(input: $input) { %s userErrors { code field } } }"
    return client.ask(mutation % show, input={"tickets": tickets, "change": change, **more})


def refused(client: Client, tickets: list[str], **change: Any) -> list[tuple[str, list[str] | None]]:
    """Of the whole."""
    answer = bulk(client, tickets, **change)
    assert (answer["answers"], answer["position"], answer["replayed"]) == ([], None, False)
    return [(error["code"], error["field"]) for error in answer["userErrors"]]


def errors(answer: Any) -> list[list[tuple[str, list[str] | None]]]:
    """Of each ticket."""
    return [[(error["code"], error["field"]) for error in one["userErrors"]] for one in answer["answers"]]


def test_many_tickets_are_changed_at_once(agent: Client) -> None:
    tickets = [agent.open()["id"] for _ in range(3)]
    answer = bulk(agent, tickets, setPriority={"priority": "HIGH"})
    assert (answer["userErrors"], answer["replayed"]) == ([], False)
    assert [one["ticketId"] for one in answer["answers"]] == tickets
    assert [one["ticket"]["id"] for one in answer["answers"]] == tickets
    assert {(one["ticket"]["priority"], one["version"], one["ticket"]["version"]) for one in answer["answers"]} == {
        ("HIGH", 2, 2)
    }
    positions = [int(one["position"]) for one in answer["answers"]]
    assert len(set(positions)) == 3
    assert int(answer["position"]) == max(positions)


def test_each_ticket_is_answered_for_itself(agent: Client) -> None:
    first, closed, last = (agent.open()["id"] for _ in range(3))
    agent.done("transitionTicket", ticket=closed, status="done")
    nobody = encode(Kind.TICKET, UUID(int=7))
    answer = bulk(agent, [first, closed, nobody, "x", last], setPriority={"priority": "LOW"})
    assert answer["userErrors"] == []
    assert errors(answer) == [
        [],
        [("TICKET_CLOSED", ["ticket"])],
        [("TICKET_NOT_FOUND", ["ticket"])],
        [("TICKET_NOT_FOUND", ["ticket"])],
        [],
    ]
    assert nobody in answer["answers"][2]["userErrors"][0]["message"], "in the client's words"
    assert [one["ticketId"] for one in answer["answers"]] == [first, closed, nobody, "x", last]
    assert [one["ticket"] is None for one in answer["answers"]] == [False, True, True, True, False]
    again = bulk(agent, [closed, "x"], setPriority={"priority": "LOW"})
    assert (again["position"], again["replayed"], again["userErrors"]) == (None, False, [])


def test_a_repeat_returns_the_same_answers_replayed(agent: Client) -> None:
    tickets, command = [agent.open()["id"] for _ in range(2)], "bulk-4711"
    given: dict[str, Any] = {"setPriority": {"priority": "HIGH"}, "commandId": command}
    first, again = bulk(agent, [*tickets, "x"], **given), bulk(agent, [*tickets, "x"], **given)
    assert (first["replayed"], again["replayed"]) == (False, True)
    assert [one["replayed"] for one in again["answers"]] == [True, True, False]
    for one in (*first["answers"], *again["answers"]):
        one.pop("replayed")
    assert again["answers"] == first["answers"]
    assert refused(agent, tickets[:1], **given) == [("COMMAND_ID_REUSED", ["commandId"])]
    other = {**given, "setPriority": {"priority": "LOW"}}
    assert refused(agent, [*tickets, "x"], **other) == [("COMMAND_ID_REUSED", ["commandId"])]


CHANGES: dict[str, dict[str, Any]] = {
    "changeRole": {"role": "TASK"},
    "transitionTicket": {"status": "waiting"},
    "assignTicket": {"assignee": "<person>"},
    "setPriority": {"priority": "HIGH"},
    "scheduleTicket": {"dueAt": "2030-01-01T00:00:00Z"},
    "bindService": {"service": "<service>"},
    "setParent": {"parent": "<ticket>"},
    "setField": {"field": "room", "value": "12"},
    "tagTicket": {"tags": ["bulk"]},
    "untagTicket": {"tags": ["gone"]},
    "addContributor": {"person": "<person>"},
    "removeContributor": {"person": "<contributor>"},
    "watchTicket": {},
    "unwatchTicket": {"person": "<contributor>"},
    "addComment": {"body": "To all of you", "visibility": "INTERNAL", "mentions": ["<person>"]},
}


def test_every_change_is_shown_here() -> None:
    definition: Any = get_object_definition(BulkChange, strict=True)
    assert set(CHANGES) == {to_camel_case(field.python_name) for field in definition.fields}


@pytest.fixture
def named(admin: Client) -> dict[str, Any]:
    """What stands for what in `CHANGES`."""
    return {
        "<person>": admin.person_named("Anna"),
        "<contributor>": admin.person_named("Boris"),
        "<service>": admin.done("addService", "service { id }", key="hosting", name="Hosting")["id"],
        "<ticket>": admin.open("Parent")["id"],
    }


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_can_be_made_to_many(admin: Client, named: dict[str, Any], change: str) -> None:
    tickets = [admin.open(tags=["gone"])["id"] for _ in range(2)]
    for ticket in tickets:
        admin.done("addContributor", ticket=ticket, person=named["<contributor>"])
        admin.done("watchTicket", ticket=ticket, person=named["<contributor>"])
    said = {name: _filled(value, named) for name, value in CHANGES[change].items()}
    given: dict[str, Any] = {change: said}
    answer = bulk(admin, tickets, **given)
    assert (answer["userErrors"], errors(answer)) == ([], [[], []])
    assert {one["version"] for one in answer["answers"]} == {5 if change == "addComment" else 4}


def _filled(value: Any, named: dict[str, Any]) -> Any:
    return [_filled(one, named) for one in value] if isinstance(value, list) else named.get(str(value), value)


def test_what_is_refused_as_a_whole(agent: Client) -> None:
    ticket = agent.open()["id"]
    high: dict[str, Any] = {"setPriority": {"priority": "HIGH"}}
    assert refused(agent, [], **high) == [("INVALID_VALUE", ["tickets"])]
    assert refused(agent, [ticket] * 2, **high) == [("INVALID_VALUE", ["tickets"])]
    assert refused(agent, [f"{n}" for n in range(201)], **high) == [("INVALID_VALUE", ["tickets"])]
    assert refused(agent, [ticket]) == [("INVALID_VALUE", ["change"])]
    assert refused(agent, [ticket], **high, tagTicket={"tags": ["x"]}) == [("INVALID_VALUE", ["change"])]
    assert refused(agent, [ticket], assignTicket={"assignee": ticket}) == [("PERSON_NOT_FOUND", ["assignee"])]
    assert refused(agent, [ticket], bindService={}) == [("FIELD_REQUIRED", ["service"])]
    assert refused(agent, [ticket], commandId="x" * 201, **high) == [("INVALID_VALUE", ["commandId"])]


def test_a_change_that_is_null_is_none(agent: Client) -> None:
    answer = bulk(agent, [agent.open()["id"]], setPriority={"priority": "HIGH"}, setParent=None)
    assert errors(answer) == [[]]


def test_a_requester_gives_what_they_may_to_their_own(agent: Client, claire: Client) -> None:
    own, foreign = claire.open()["id"], agent.open()["id"]
    answer = bulk(claire, [own, foreign], addComment={"body": "Thank you"})
    assert errors(answer) == [[], [("TICKET_NOT_FOUND", ["ticket"])]]
    internal = bulk(claire, [own, foreign], addComment={"body": "Psst", "visibility": "INTERNAL"})
    assert errors(internal) == [[("FORBIDDEN", None)], [("TICKET_NOT_FOUND", ["ticket"])]]
    urgent = bulk(claire, [own], setPriority={"priority": "HIGH"})
    assert errors(urgent) == [[("FORBIDDEN", None)]]


def test_two_hundred_are_within_the_limits(agent: Client) -> None:
    tickets = [agent.open()["id"] for _ in range(20)]
    show = """answers { ticketId version position replayed userErrors { code field message }
      ticket { key title status { key } role { key } workflow { key } assignee { id name } team { id } requester { id }
        parent { key } } } position replayed"""
    answer = bulk(agent, [*tickets, *map(str, range(180))], show, tagTicket={"tags": ["bulk"]})
    assert len(answer["answers"]) == 200
    deep = "answers { ticket { comments { nodes { body author { name } } } } }"
    mutation = f"mutation($input: BulkTicketsInput!) {{ bulkTickets(input: $input) {{ {deep} }} }}"
    given = {"tickets": tickets, "change": {"tagTicket": {"tags": ["x"]}}}
    assert agent.codes(mutation, input=given) == ["COMPLEXITY_LIMIT"]
