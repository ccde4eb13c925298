"""What a ticket says of itself, over GraphQL: every command with its refusals, and as it was."""

from typing import Any

import pytest

from tests.api.asking import Client


def history_of(client: Client, ticket: str, *types: str) -> list[dict[str, Any]]:
    shown = client.ask(
        "query($id: ID, $types: [String!]) { ticket(id: $id) { history(types: $types) { nodes {"
        " type reason changes { path from to } } } } }",
        id=ticket,
        types=list(types),
    )
    nodes: list[dict[str, Any]] = shown["history"]["nodes"]
    return nodes


def test_a_ticket_gets_another_title(agent: Client) -> None:
    ticket = agent.open("Printer is on fire")["id"]
    shown = agent.done("retitleTicket", "ticket { title }", ticket=ticket, title="Printer smokes", reason="Calm down")
    assert shown == {"title": "Printer smokes"}
    [event] = history_of(agent, ticket, "TicketRetitled")
    assert event == {
        "type": "TicketRetitled",
        "reason": "Calm down",
        "changes": [{"path": "title", "from": "Printer is on fire", "to": "Printer smokes"}],
    }
    assert agent.command("retitleTicket", ticket=ticket, title="Printer smokes")["version"] == 2
    assert agent.refused("retitleTicket", ticket=ticket, title=" ") == ("INVALID_VALUE", ["title"])
    assert agent.refused("retitleTicket", ticket="x", title="y") == ("TICKET_NOT_FOUND", ["ticket"])


def test_a_description_is_shown_as_it_was(agent: Client) -> None:
    opened = agent.open(description="First words.")
    show = "ticket { description position }"
    changed = agent.done("describeTicket", show, ticket=opened["id"], description="Second words.")
    assert changed["description"] == "Second words."
    assert agent.done("describeTicket", show, ticket=opened["id"], description=None)["description"] is None
    was = "query($id: ID, $at: AsOf) { ticket(id: $id, asOf: $at) { description } }"
    for position, words in ((opened["position"], "First words."), (changed["position"], "Second words.")):
        assert agent.ask(was, id=opened["id"], at={"position": position}) == {"description": words}
    assert agent.refused("describeTicket", ticket=opened["id"]) == ("FIELD_REQUIRED", ["description"])
    too_long = "x" * 100_001
    assert agent.refused("describeTicket", ticket=opened["id"], description=too_long) == (
        "INVALID_VALUE",
        ["description"],
    )


def test_tags_come_and_go(agent: Client) -> None:
    ticket = agent.open(tags=["fire"])["id"]
    show = "ticket { tags }"
    assert agent.done("tagTicket", show, ticket=ticket, tags=["smoke", "fire"])["tags"] == ["fire", "smoke"]
    assert agent.done("untagTicket", show, ticket=ticket, tags=["fire", "water"])["tags"] == ["smoke"]
    assert [event["changes"] for event in history_of(agent, ticket, "TicketTagged", "TicketUntagged")] == [
        [{"path": "tags", "from": ["fire"], "to": ["fire", "smoke"]}],
        [{"path": "tags", "from": ["fire", "smoke"], "to": ["smoke"]}],
    ]
    assert agent.refused("tagTicket", ticket=ticket, tags=["x" * 65]) == ("INVALID_VALUE", ["tags"])
    assert agent.refused("untagTicket", ticket=ticket, tags=[""]) == ("INVALID_VALUE", ["tags"])


def test_a_ticket_is_scheduled_and_found_by_its_dates(agent: Client) -> None:
    ticket = agent.open()["id"]
    agent.open("Other")
    show = "ticket { startAt dueAt }"
    start, due = "2030-01-02T09:00:00.000000Z", "2030-01-04T18:00:00.000000Z"
    planned = agent.done("scheduleTicket", show, ticket=ticket, startAt="2030-01-02T12:00:00+03:00", dueAt=due)
    assert planned == {"startAt": start, "dueAt": due}
    found = "query($f: TicketFilter) { tickets(filter: $f, orderBy: [{field: START_AT}]) { nodes { id } totalCount } }"
    assert agent.ask(found, f={"startAt": {"gte": start}})["nodes"] == [{"id": ticket}]
    assert agent.ask(found)["nodes"][0] == {"id": ticket}, "null comes last"
    assert agent.done("scheduleTicket", show, ticket=ticket, startAt=None) == {"startAt": None, "dueAt": due}
    assert agent.refused("scheduleTicket", ticket=ticket) == ("INVALID_VALUE", ["dueAt"])
    late = "2031-01-01T00:00:00Z"
    assert agent.refused("scheduleTicket", ticket=ticket, startAt=late) == ("INVALID_VALUE", ["startAt"])
    agent.done("transitionTicket", ticket=ticket, status="done")
    assert agent.refused("scheduleTicket", ticket=ticket, dueAt=late) == ("TICKET_CLOSED", ["ticket"])


def test_a_ticket_is_bound_to_a_service(admin: Client) -> None:
    service = admin.done("addService", "service { id }", key="hosting", name="Hosting")["id"]
    ticket = admin.open()["id"]
    show = "ticket { service { key } }"
    assert admin.done("bindService", show, ticket=ticket, service=service) == {"service": {"key": "hosting"}}
    assert admin.done("bindService", show, ticket=ticket, service=None) == {"service": None}
    [event] = history_of(admin, ticket, "ServiceBound")
    assert event["changes"] == [{"path": "service", "from": None, "to": service}]
    assert admin.refused("bindService", ticket=ticket) == ("FIELD_REQUIRED", ["service"])
    assert admin.refused("bindService", ticket=ticket, service=ticket) == ("SERVICE_NOT_FOUND", ["service"])


def test_the_requester_is_changed_but_not_taken_from_a_deal(admin: Client) -> None:
    client = admin.person_named("Claire")
    ticket = admin.open(role="DEAL", requester=admin.person)["id"]
    show = "ticket { requester { id } }"
    assert admin.done("setRequester", show, ticket=ticket, requester=client) == {"requester": {"id": client}}
    assert admin.refused("setRequester", ticket=ticket, requester=None) == ("FIELD_REQUIRED", ["requester"])
    assert admin.refused("setRequester", ticket=ticket, requester=ticket) == ("PERSON_NOT_FOUND", ["requester"])


@pytest.mark.parametrize(
    ("mutation", "input"),
    [
        ("retitleTicket", {"title": "x"}),
        ("describeTicket", {"description": "x"}),
        ("tagTicket", {"tags": ["x"]}),
        ("untagTicket", {"tags": ["x"]}),
        ("scheduleTicket", {"dueAt": None}),
        ("bindService", {"service": None}),
        ("setRequester", {"requester": None}),
        ("addContributor", {}),
        ("removeContributor", {}),
    ],
)
def test_a_requester_leaves_it_to_staff(agent: Client, claire: Client, mutation: str, input: dict[str, Any]) -> None:
    theirs = agent.open(requester=claire.person)["id"]
    if "Contributor" in mutation:
        input = {"person": claire.person}
    assert claire.refused(mutation, ticket=theirs, **input) == ("FORBIDDEN", None)
    assert claire.refused(mutation, ticket=agent.open()["id"], **input) == ("TICKET_NOT_FOUND", ["ticket"])
