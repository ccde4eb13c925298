"""Tickets over GraphQL: every command with a refusal, lists, and the past."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from uuid import uuid4

import pytest

from api.ids import Kind, encode
from application.event_store.database import Role
from application.workspaces import Workspace
from domain.access import Scope
from domain.tickets import (
    CommandToTicket,
    EstimateCommand,
    OffshootCommand,
    RateTicket,
    RequestEstimate,
    UnmergeTicket,
)
from tests.api.asking import Client
from tests.api.conftest import Server


def test_a_ticket_is_opened_and_read_back(agent: Client) -> None:
    payload = agent.command(
        "openTicket",
        "ticket { id key url title description role { key name } workflow { key } status { key category order }"
        " priority channel tags fields openedBy { id } requester { id } dueAt closedAt childCount commentCount"
        " version position }",
        title="  Printer   is on fire ",
        description="Flames.",
        role="INCIDENT",
        priority="HIGH",
        channel="phone",
        requester=agent.person,
        tags=["fire", "fire"],
        fields={"floor": 3},
        dueAt="2030-01-02T03:04:05.000006+03:00",
    )
    ticket = payload["ticket"]
    assert ticket["title"] == "Printer is on fire"
    assert ticket["key"] == "T-1"
    assert ticket["url"] == "https://tickets.example/t/T-1"
    assert ticket["role"] == {"key": "INCIDENT", "name": "Incident"}
    assert ticket["status"] == {"key": "new", "category": "NEW", "order": 0}
    assert (ticket["priority"], ticket["channel"], ticket["tags"]) == ("HIGH", "phone", ["fire"])
    assert (ticket["fields"], ticket["description"]) == ({"floor": 3}, "Flames.")
    assert ticket["openedBy"] == ticket["requester"] == {"id": agent.person}
    assert ticket["dueAt"] == "2030-01-02T00:04:05.000006Z"
    assert (ticket["childCount"], ticket["commentCount"], ticket["closedAt"]) == (0, 0, None)
    assert (payload["version"], payload["position"]) == (ticket["version"], ticket["position"])
    assert payload["replayed"] is False


@pytest.mark.parametrize(
    ("input", "refusal"),
    [
        ({"title": "", "role": "TASK"}, ("INVALID_VALUE", ["title"])),
        ({"title": "x\0", "role": "TASK"}, ("INVALID_VALUE", ["title"])),
        ({"title": "x", "role": "NOPE"}, ("ROLE_NOT_FOUND", ["role"])),
        ({"title": "x", "role": "TASK", "fields": [1]}, ("INVALID_VALUE", ["fields"])),
        ({"title": "x", "role": "TASK", "fields": {"a": {"b": 1}}}, ("INVALID_VALUE", ["fields"])),
        ({"title": "x", "role": "TASK", "assignee": "nobody"}, ("PERSON_NOT_FOUND", ["assignee"])),
        ({"title": "x", "role": "TASK", "team": "none"}, ("TEAM_NOT_FOUND", ["team"])),
        ({"title": "x", "role": "TASK", "service": ""}, ("SERVICE_NOT_FOUND", ["service"])),
        ({"title": "x", "role": "TASK", "occurredAt": "2020-01-01T00:00:00Z"}, ("FORBIDDEN", ["occurredAt"])),
        ({"title": "x", "role": "TASK", "commandId": ""}, ("INVALID_VALUE", ["commandId"])),
    ],
)
def test_opening_is_refused_with_code_and_field(agent: Client, input: dict[str, Any], refusal: object) -> None:
    assert agent.refused("openTicket", **input) == refusal


def test_a_role_change_keeps_number_and_history(agent: Client) -> None:
    opened = agent.open(role="INQUIRY")
    changed = agent.done("changeRole", ticket=opened["id"], role="INCIDENT", expectedVersion=1)
    assert (changed["id"], changed["key"]) == (opened["id"], opened["key"])
    assert (changed["role"], changed["version"]) == ({"key": "INCIDENT"}, 2)
    assert agent.refused("changeRole", ticket=opened["id"], role="NOPE") == ("ROLE_NOT_FOUND", ["role"])
    assert agent.refused("changeRole", ticket=opened["id"], role="TASK", status="x") == ("STATUS_NOT_FOUND", ["status"])


def test_a_transition_follows_the_workflow(agent: Client) -> None:
    ticket = agent.open()
    assert agent.refused("transitionTicket", ticket=ticket["id"], status="approval") == (
        "TRANSITION_NOT_ALLOWED",
        ["status"],
    )
    assert agent.refused("transitionTicket", ticket=ticket["id"], status="in_progress") == (
        "FIELD_REQUIRED",
        ["assignee"],
    )
    assert agent.refused("transitionTicket", ticket=ticket["id"], status="cancelled") == ("REASON_REQUIRED", ["reason"])
    cancelled = agent.done("transitionTicket", ticket=ticket["id"], status="cancelled", reason="Put out.")
    assert cancelled["status"] == {"key": "cancelled"}
    assert agent.refused("setPriority", ticket=ticket["id"], priority="LOW") == ("TICKET_CLOSED", ["ticket"])


def test_absent_stays_and_null_unassigns(admin: Client) -> None:
    ticket = admin.open(assignee=admin.person)
    team = admin.done("addTeam", "team { id }", key="first", name="First")["id"]
    show = "ticket { assignee { id } team { id } }"
    both = {"assignee": {"id": admin.person}, "team": {"id": team}}
    assert admin.done("assignTicket", show, ticket=ticket["id"], team=team) == both
    assert admin.done("assignTicket", show, ticket=ticket["id"], assignee=None)["assignee"] is None
    assert admin.refused("assignTicket", ticket=ticket["id"]) == ("INVALID_VALUE", ["assignee"])
    assert admin.refused("assignTicket", ticket=ticket["id"], assignee=team) == ("PERSON_NOT_FOUND", ["assignee"])


def test_priority_is_set(agent: Client) -> None:
    ticket = agent.open()
    show = "ticket { priority }"
    assert agent.done("setPriority", show, ticket=ticket["id"], priority="CRITICAL") == {"priority": "CRITICAL"}
    assert agent.refused("setPriority", ticket=agent.person, priority="LOW") == ("TICKET_NOT_FOUND", ["ticket"])


def test_parents_have_children_and_no_cycles(agent: Client) -> None:
    parent, child = agent.open("Parent"), agent.open("Child")
    show = "ticket { parent { key childCount children { nodes { key } totalCount } } }"
    shown = agent.done("setParent", show, ticket=child["id"], parent=parent["id"])["parent"]
    assert shown == {
        "key": parent["key"],
        "childCount": 1,
        "children": {"nodes": [{"key": child["key"]}], "totalCount": 1},
    }
    assert agent.refused("setParent", ticket=parent["id"], parent=child["id"]) == ("PARENT_CYCLE", ["parent"])
    assert agent.refused("setParent", ticket=child["id"]) == ("FIELD_REQUIRED", ["parent"])
    assert agent.done("setParent", "ticket { parent { key } }", ticket=child["id"], parent=None) == {"parent": None}


@pytest.mark.parametrize("command_id", ["5b1c64a8-5f0e-4c3f-9d53-7a1f1f5a2c11", "order-4711"])
def test_a_repeated_command_returns_the_first_result(agent: Client, command_id: str) -> None:
    first = agent.command("openTicket", title="Once", role="TASK", commandId=command_id)
    again = agent.command("openTicket", title="Once", role="TASK", commandId=command_id)
    assert (first["replayed"], again["replayed"]) == (False, True)
    assert again["ticket"] == first["ticket"]
    assert agent.refused("openTicket", title="Twice", role="TASK", commandId=command_id) == (
        "COMMAND_ID_REUSED",
        ["commandId"],
    )


def test_of_two_commands_with_the_same_expected_version_one_conflicts(agent: Client) -> None:
    ticket = agent.open()
    assert agent.done("setPriority", ticket=ticket["id"], priority="HIGH", expectedVersion=1)["version"] == 2
    refusal = agent.refused("setPriority", ticket=ticket["id"], priority="LOW", expectedVersion=1)
    assert refusal == ("CONFLICT", ["expectedVersion"])


def test_several_commands_in_one_request_see_each_other(agent: Client) -> None:
    ticket = agent.open()
    data = agent.ask(
        """mutation($id: ID!) {
          a: setPriority(input: {ticket: $id, priority: HIGH}) { ticket { priority version } }
          b: setPriority(input: {ticket: $id, priority: LOW}) { ticket { priority version } }
        }""",
        id=ticket["id"],
    )
    assert data["a"]["ticket"] == {"priority": "HIGH", "version": 2}
    assert data["b"]["ticket"] == {"priority": "LOW", "version": 3}


def test_refusals_speak_of_ids_as_the_client_knows_them(agent: Client, admin: Client) -> None:
    gone = admin.person_named("Gone")
    admin.done("deactivatePerson", "person { active }", person=gone)
    payload = agent.command("openTicket", "", title="x", role="TASK", assignee=gone)
    assert payload["userErrors"] == [
        {"code": "PERSON_NOT_FOUND", "field": ["assignee"], "message": f"There is no active person {gone} here."}
    ]


NOT_YET = {UnmergeTicket, RateTicket, *get_args(EstimateCommand)} - {RequestEstimate}
"""Of a ticket that is neither merged nor closed, and has no estimate."""


def test_the_viewer_learns_what_they_may_do(acme: Workspace, agent: Client, token: Callable[..., Client]) -> None:
    key = agent.open()["key"]
    query = "query($key: String) { ticket(key: $key) { viewerCan transitions { status { key } requires } } }"
    shown = agent.ask(query, key=key)
    commands = [
        kind.__name__ for kind in (*get_args(CommandToTicket), *get_args(OffshootCommand)) if kind not in NOT_YET
    ]
    assert shown["viewerCan"] == [name[0].lower() + name[1:] for name in commands]
    assert {"status": {"key": "in_progress"}, "requires": ["assignee"]} in shown["transitions"]
    auditor = token(acme, Scope.AUDITOR)
    assert auditor.ask(query, key=key) == {"viewerCan": [], "transitions": []}
    assert auditor.refused("setPriority", ticket=agent.open()["id"], priority="LOW") == ("FORBIDDEN", None)


def test_heads_act_on_behalf_of_others(agent: Client, admin: Client) -> None:
    show = "ticket { openedBy { id } history { nodes { actor { id } onBehalfOf { id } } } }"
    opened = admin.done("openTicket", show, title="x", role="TASK", onBehalfOf=agent.person)
    assert opened["openedBy"] == {"id": agent.person}
    assert opened["history"]["nodes"] == [{"actor": {"id": admin.person}, "onBehalfOf": {"id": agent.person}}]
    assert agent.refused("openTicket", title="x", role="TASK", onBehalfOf=admin.person) == ("FORBIDDEN", ["onBehalfOf"])
    nobody = encode(Kind.PERSON, uuid4())
    for unknown in (nobody, "nobody"):
        refusal = admin.refused("openTicket", title="x", role="TASK", onBehalfOf=unknown)
        assert refusal == ("PERSON_NOT_FOUND", ["onBehalfOf"])


def test_fifty_tickets_opened_at_once_have_fifty_keys(agent: Client) -> None:
    with ThreadPoolExecutor(10) as pool:
        keys = set(pool.map(lambda n: agent.open(f"Number {n}")["key"], range(50)))
    assert len(keys) == 50


def test_what_is_refused_leaves_no_trace(agent: Client) -> None:
    ticket = agent.open()
    count = "{ events { totalCount } }"
    before = agent.ask(count)
    agent.refused("setPriority", ticket=ticket["id"], priority="LOW", expectedVersion=7)
    agent.refused("transitionTicket", ticket=ticket["id"], status="nowhere")
    agent.codes("mutation($i: SetPriorityInput!) { setPriority(input: $i) { version } }", i={"ticket": ticket["id"]})
    agent.codes('mutation { openTicket(input: {title: "x", role: "TASK"}) { version ticket { nope } } }')
    assert agent.ask(count) == before


# ---- lists


def test_pages_go_forth_and_back_without_gaps(agent: Client) -> None:
    for n in range(7):
        agent.open(f"Number {n}")
    page = """query($first: Int, $after: String, $last: Int, $before: String) {
      tickets(first: $first, after: $after, last: $last, before: $before, orderBy: [{field: KEY}]) {
        nodes { key } edges { cursor node { key } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor } totalCount } }"""
    seen: list[str] = []
    after = None
    while True:
        shown = agent.ask(page, first=3, after=after)
        assert [edge["node"] for edge in shown["edges"]] == shown["nodes"]
        assert shown["totalCount"] == 7
        seen += [node["key"] for node in shown["nodes"]]
        after = shown["pageInfo"]["endCursor"]
        if not shown["pageInfo"]["hasNextPage"]:
            break
    assert seen == [f"T-{n}" for n in range(1, 8)]
    last = agent.ask(page, last=2)
    assert [node["key"] for node in last["nodes"]] == ["T-6", "T-7"]
    earlier = agent.ask(page, last=2, before=last["pageInfo"]["startCursor"])
    assert [node["key"] for node in earlier["nodes"]] == ["T-4", "T-5"]
    assert earlier["pageInfo"]["hasPreviousPage"] is True


@pytest.mark.parametrize("arguments", ["first: 0", "first: 101", "first: 1, last: 1", 'after: "x"'])
def test_wrong_pages_are_bad_input(agent: Client, arguments: str) -> None:
    assert agent.codes(f"{{ tickets({arguments}) {{ totalCount nodes {{ key }} }} }}") == ["BAD_USER_INPUT"]


def test_filters_combine(admin: Client) -> None:
    mine = admin.open("Mine", assignee=admin.person, priority="HIGH", tags=["a"], fields={"floor": 3})["key"]
    free = admin.open("Free", role="TASK", tags=["b"])["key"]
    found = """query($filter: TicketFilter) {
      tickets(filter: $filter, orderBy: [{field: KEY}]) { nodes { key } totalCount } }"""

    def keys(**filter: Any) -> list[str]:
        shown = admin.ask(found, filter=filter)
        assert shown["totalCount"] == len(shown["nodes"])
        return [node["key"] for node in shown["nodes"]]

    assert keys() == [mine, free]
    assert keys(assignee={"eq": admin.person}) == [mine]
    assert keys(assignee={"isNull": True}) == [free]
    assert keys(assignee={"notIn": [admin.person]}) == [free]
    assert keys(role={"in": ["TASK", "BUG"]}) == [free]
    assert keys(priority={"eq": "HIGH"}, category={"in": ["NEW"]}) == [mine]
    assert keys(title={"contains": "MIN"}) == [mine]
    assert keys(tag={"eq": "b"}) == [free]
    assert keys(field=[{"key": "floor", "gte": 3}]) == [mine]
    assert keys(**{"not": {"key": {"eq": mine}}}) == [free]
    assert keys(**{"or": [{"key": {"eq": mine}}, {"tag": {"in": ["b"]}}]}) == [mine, free]
    assert keys(openedAt={"gt": "2000-01-01T00:00:00Z"}, closedAt={"isNull": True}) == [mine, free]
    assert keys(updatedAt={"lt": "2000-01-01T00:00:00Z"}) == []


def test_a_null_in_a_filter_is_told_from_an_absent_one(agent: Client) -> None:
    ticket = agent.open()
    count = "query($who: ID) { tickets(filter: {assignee: {eq: $who}}) { totalCount } }"
    assert agent.send(count)["data"]["tickets"]["totalCount"] == 1
    assert agent.codes(count, who=None) == ["BAD_USER_INPUT"]
    assert agent.codes("query($id: ID) { tickets(filter: {assignee: {eq: $id}}) { totalCount } }", id=ticket["id"]) == [
        "BAD_USER_INPUT"
    ]


def test_search_finds_keys_and_words(agent: Client) -> None:
    key = agent.open("The yellow submarine")["key"]
    agent.open("Other")
    for words in ("YELLOW", "submarines", "yelow", "subm", key.lower()):
        assert agent.ask("query($s: String) { tickets(search: $s) { nodes { key } } }", s=words)["nodes"] == [
            {"key": key}
        ]


# ---- the past


def test_a_ticket_is_shown_as_it_was(admin: Client) -> None:
    start = datetime.now(UTC) - timedelta(days=10)
    day = [(start + timedelta(days=n)).isoformat() for n in range(5)]
    anna = admin.person_named("Anna")
    opened = admin.open(occurredAt=day[0], description="First words.")
    admin.done("assignTicket", ticket=opened["id"], assignee=anna, occurredAt=day[2])
    admin.done("addComment", ticket=opened["id"], body="Hello", occurredAt=day[3])
    was = """query($key: String, $at: AsOf) { ticket(key: $key, asOf: $at) {
      assignee { id } version position commentCount description updatedAt viewerCan
      history { totalCount } comments { totalCount } spans { nodes { to assignee { id } closedBy { type } } } } }"""
    assert admin.ask(was, key=opened["key"], at={"occurredAt": (start - timedelta(days=1)).isoformat()}) is None
    then = admin.ask(was, key=opened["key"], at={"occurredAt": day[1]})
    assert (then["assignee"], then["version"], then["commentCount"]) == (None, 1, 0)
    assert (then["position"], then["description"]) == (opened["position"], "First words.")
    assert (then["history"], then["comments"]) == ({"totalCount": 1}, {"totalCount": 0})
    assert then["spans"]["nodes"] == [{"to": None, "assignee": None, "closedBy": None}]
    assert then["viewerCan"] == []
    now = admin.ask(was, key=opened["key"])
    assert (now["assignee"], now["version"], now["commentCount"]) == ({"id": anna}, 3, 1)
    assert [span["closedBy"] for span in now["spans"]["nodes"]] == [{"type": "TicketAssigned"}, None]
    known = admin.ask(was, key=opened["key"], at={"position": opened["position"]})
    assert (known["assignee"], known["version"]) == (None, 1)
    listed = (
        "query($at: AsOf) { tickets(asOf: $at, filter: {assignee: {isNull: true}}) { nodes { key parent { key } } } }"
    )
    assert admin.ask(listed, at={"occurredAt": day[1]})["nodes"] == [{"key": opened["key"], "parent": None}]
    assert admin.ask(listed)["nodes"] == []
    nested = """query($key: String, $at: AsOf) { ticket(key: $key, asOf: $at) {
      history { nodes { ticket { version } } } spans { nodes { openedBy { ticket { version } } } } } }"""
    assert admin.ask(nested, key=opened["key"], at={"occurredAt": day[1]}) == {
        "history": {"nodes": [{"ticket": {"version": 1}}]},
        "spans": {"nodes": [{"openedBy": {"ticket": {"version": 1}}}]},
    }
    assert admin.ask(nested, key=opened["key"])["history"]["nodes"][0]["ticket"]["version"] == 3


@pytest.mark.parametrize(
    "at",
    [
        {"position": "1", "recordedAt": "2026-01-01T00:00:00Z"},
        {"occurredAt": "2026-01-01"},
        {"occurredAt": "2026-01-01T00:00:00"},
        {"position": "-1"},
        {"position": "99999999999999999999"},
    ],
)
def test_a_moment_that_makes_no_sense_is_bad_input(agent: Client, at: dict[str, str]) -> None:
    assert agent.codes('query($at: AsOf) { ticket(key: "T-1", asOf: $at) { key } }', at=at) == ["BAD_USER_INPUT"]


def test_what_spans_do_not_hold_cannot_be_asked_of_the_past(agent: Client) -> None:
    past = 'asOf: {occurredAt: "2026-01-01T00:00:00Z"}'
    assert agent.codes(f"{{ tickets(orderBy: [{{field: UPDATED_AT}}], {past}) {{ totalCount nodes {{ key }} }} }}") == [
        "BAD_USER_INPUT"
    ]


def test_a_position_that_is_not_reached_in_time_is_unavailable(agent: Client) -> None:
    answer = agent.send('{ ticket(key: "T-1", minPosition: "999999999") { key } }')
    [error] = answer["errors"]
    assert (error["extensions"]["code"], error["extensions"]["retryAfter"]) == ("UNAVAILABLE", 1)


def test_what_cannot_be_read_yet_is_null_with_its_position_and_unasked_waits_for_nothing(
    server: Server, agent: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.reading.WAIT_SECONDS", 0.2)
    with server.database.connect(Role.OWNER) as connection, connection.transaction():
        connection.execute("select from tracking for update")  # no read model moves on
        opened = agent.command("openTicket", title="Not there yet", role="TASK")
        assert (opened["ticket"], opened["version"], opened["userErrors"]) == (None, 1, [])
        monkeypatch.setattr("projections.reading.WAIT_SECONDS", 60.0)
        began = time.monotonic()
        unasked = agent.command("openTicket", "", title="Nor this", role="TASK")
        assert time.monotonic() - began < 5
    shown = agent.ask(
        'query($p: Position) { tickets(minPosition: $p, filter: {title: {in: ["Not there yet", "Nor this"]}}) {'
        " totalCount } }",
        p=unasked["position"],
    )
    assert shown == {"totalCount": 2}


def test_history_tells_who_changed_what(agent: Client) -> None:
    ticket = agent.open()
    agent.done("setPriority", ticket=ticket["id"], priority="HIGH", reason="The boss called.")
    agent.done("assignTicket", ticket=ticket["id"], assignee=agent.person)
    shown = agent.ask(
        """query($id: ID) { ticket(id: $id) { history(types: ["PriorityChanged", "TicketAssigned"]) { nodes {
          id type reason actor { id } ticket { key } changes { path from to } occurredAt recordedAt } } } }""",
        id=ticket["id"],
    )
    priority, assigned = shown["history"]["nodes"]
    assert (priority["type"], priority["reason"], priority["actor"]) == (
        "PriorityChanged",
        "The boss called.",
        {"id": agent.person},
    )
    assert priority["changes"] == [{"path": "priority", "from": "NORMAL", "to": "HIGH"}]
    assert assigned["changes"] == [{"path": "assignee", "from": None, "to": agent.person}]
    assert priority["ticket"] == {"key": ticket["key"]}
    assert agent.ask("query($id: ID!) { node(id: $id) { ... on Event { type } } }", id=priority["id"]) == {
        "type": "PriorityChanged"
    }
