"""Limits on work in progress over GraphQL: hard ones hold whatever races, soft ones are shown."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from api.ids import Kind, decode
from application import tickets
from application.event_store.streams import EventStore
from application.handling import Context
from application.workspaces import Workspace, operator
from domain.access import Scope
from domain.errors import WipLimitReached
from domain.tickets import AssignTicket, OpenTicket, TransitionTicket
from tests.api.asking import Client
from tests.api.conftest import Server

LIMIT = "wipLimit { workflow { key } status { key } person { id } limit hard }"
COLUMN = {"workflow": "support", "status": "waiting"}
REACHED = ("WIP_LIMIT_REACHED", ["ticket"])


def waiting(client: Client) -> str:
    ticket = str(client.open()["id"])
    client.done("transitionTicket", ticket=ticket, status="waiting")
    return ticket


def test_a_limit_is_set_listed_and_removed(admin: Client, agent: Client) -> None:
    set_ = admin.done("setWipLimit", LIMIT, **COLUMN, limit=2, hard=True)
    assert set_ == {
        "workflow": {"key": "support"},
        "status": {"key": "waiting"},
        "person": None,
        "limit": 2,
        "hard": True,
    }
    assert (
        admin.done("setWipLimit", LIMIT, workflow="support", person=agent.person, limit=5)["person"]["id"]
        == agent.person
    )
    assert len(agent.ask("{ wipLimits { limit } }")) == 2
    assert agent.ask('{ wipLimits(workflow: "task") { limit } }') == []
    assert admin.command("setWipLimit", LIMIT, **COLUMN, limit=None)["wipLimit"] is None
    assert len(agent.ask("{ wipLimits { limit } }")) == 1
    assert admin.refused("setWipLimit", workflow="none", status="new", limit=1) == ("WORKFLOW_NOT_FOUND", ["workflow"])
    assert admin.refused("setWipLimit", workflow="support", status="x", limit=1) == ("STATUS_NOT_FOUND", ["status"])
    assert admin.refused("setWipLimit", workflow="support", status="done", limit=1) == ("INVALID_VALUE", ["status"])
    assert admin.refused("setWipLimit", workflow="support", limit=1) == ("INVALID_VALUE", ["status"])
    assert admin.refused("setWipLimit", **COLUMN, limit=0) == ("INVALID_VALUE", ["limit"])
    assert admin.refused("setWipLimit", **COLUMN) == ("FIELD_REQUIRED", ["limit"])
    assert admin.refused("setWipLimit", **COLUMN, person="x", limit=1) == ("PERSON_NOT_FOUND", ["person"])
    assert agent.refused("setWipLimit", **COLUMN, limit=1) == ("FORBIDDEN", None)


def test_a_hard_limit_counts_who_stood_there_and_lets_in_when_somebody_leaves(admin: Client) -> None:
    first = waiting(admin)
    admin.done("setWipLimit", LIMIT, **COLUMN, limit=2, hard=True)
    waiting(admin)
    third = admin.open()["id"]
    assert admin.refused("transitionTicket", ticket=third, status="waiting") == REACHED
    assert admin.refused("rankTicket", ticket=third, to="TOP", status="waiting") == REACHED
    admin.done("transitionTicket", ticket=first, status="done")
    admin.done("transitionTicket", ticket=third, status="waiting")
    assert admin.refused("transitionTicket", ticket=admin.open()["id"], status="waiting") == REACHED
    admin.command("setWipLimit", LIMIT, **COLUMN, limit=None)
    waiting(admin)


def test_a_person_and_a_cell_have_limits_of_their_own(admin: Client, agent: Client) -> None:
    admin.done("setWipLimit", LIMIT, workflow="support", person=agent.person, limit=2, hard=True)
    admin.done("setWipLimit", LIMIT, **COLUMN, person=agent.person, limit=1, hard=True)
    waiting(admin)
    mine = [admin.open(assignee=agent.person)["id"] for _ in range(2)]
    refused = admin.refused("openTicket", title="x", role="INCIDENT", assignee=agent.person)
    assert refused == REACHED
    assert admin.refused("assignTicket", ticket=admin.open()["id"], assignee=agent.person) == REACHED
    admin.done("transitionTicket", ticket=mine[0], status="waiting")
    assert admin.refused("transitionTicket", ticket=mine[1], status="waiting") == REACHED
    admin.done("assignTicket", ticket=mine[0], assignee=None)
    admin.done("transitionTicket", ticket=mine[1], status="waiting")


def test_each_person_has_the_same_limit_but_for_those_who_have_their_own(admin: Client, agent: Client) -> None:
    boris = admin.person_named("Boris")
    standing = [admin.open(assignee=person)["id"] for person in (agent.person, agent.person, boris)]
    each = {"workflow": "support", "eachPerson": True}
    shown = admin.done("setWipLimit", "wipLimit { eachPerson person { id } limit hard }", **each, limit=2, hard=True)
    assert shown == {"eachPerson": True, "person": None, "limit": 2, "hard": True}
    mine = {"role": "INCIDENT", "assignee": agent.person}
    assert admin.refused("openTicket", title="x", **mine) == REACHED, "those that stood there count"
    standing.append(admin.open(assignee=boris)["id"])
    assert admin.refused("assignTicket", ticket=standing[0], assignee=boris) == REACHED
    unassigned = admin.open()["id"]
    assert admin.refused("assignTicket", ticket=unassigned, assignee=boris) == REACHED

    own = {"workflow": "support", "person": agent.person}
    admin.done("setWipLimit", "wipLimit { limit }", **own, limit=3)
    standing.append(admin.open(**mine)["id"])
    admin.open(**mine)  # a soft one
    query = """query($at: AsOf) { board(workflow: "support", rows: ASSIGNEE, asOf: $at) {
      rows { name wipLimit wipHard wipExceeded } } }"""
    rows = {line["name"]: line for line in admin.ask(query)["rows"]}
    assert rows["Agent"] == {"name": "Agent", "wipLimit": 3, "wipHard": False, "wipExceeded": True}
    assert rows["Boris"] == {"name": "Boris", "wipLimit": 2, "wipHard": True, "wipExceeded": False}
    assert rows["Unassigned"]["wipLimit"] is None

    admin.command("setWipLimit", "wipLimit { limit }", **own, limit=None)
    assert admin.refused("openTicket", title="x", **mine) == REACHED, "who came meanwhile was written down"
    admin.command("setWipLimit", "wipLimit { limit }", **each, limit=None)
    admin.open(**mine)
    both = {**each, "person": boris, "limit": 1}
    assert admin.refused("setWipLimit", **both) == ("INVALID_VALUE", ["eachPerson"])


def test_each_person_has_a_limit_in_one_column(admin: Client, agent: Client) -> None:
    admin.done("setWipLimit", "wipLimit { limit }", **COLUMN, eachPerson=True, limit=1, hard=True)
    mine = [admin.open(assignee=agent.person)["id"] for _ in range(2)]
    admin.done("transitionTicket", ticket=mine[0], status="waiting")
    assert admin.refused("transitionTicket", ticket=mine[1], status="waiting") == REACHED
    for _ in range(2):
        waiting(admin)  # nobody's
    board = """{ board(workflow: "support", columns: ASSIGNEE, rows: STATUS) {
      columns { wipLimit } cells { column row wipLimit wipExceeded } } }"""
    shown = admin.ask(board)
    assert {line["wipLimit"] for line in shown["columns"]} == {None}
    limited = [(cell["row"], cell["wipLimit"], cell["wipExceeded"]) for cell in shown["cells"] if cell["wipLimit"]]
    assert limited == [("waiting", 1, False)]


def test_a_board_of_the_past_shows_the_limits_of_then(admin: Client, agent: Client) -> None:
    def head() -> dict[str, str]:
        return {"position": admin.ask("{ status { head } }")["head"]}

    query = """query($at: AsOf) { board(workflow: "support", rows: ASSIGNEE, asOf: $at) {
      columns { key wipLimit wipHard wipExceeded } rows { name wipLimit wipExceeded } } }"""

    def shown(at: dict[str, str] | None) -> list[tuple[Any, ...]]:
        board = admin.ask(query, at=at)
        lines = [(one["key"], one["wipLimit"], one["wipHard"], one["wipExceeded"]) for one in board["columns"]]
        rows = [(one["name"], one["wipLimit"], one["wipExceeded"]) for one in board["rows"]]
        return [line for line in (*lines, *rows) if line[1] is not None]

    ticket = waiting(admin)
    before = head()
    admin.done("setWipLimit", LIMIT, **COLUMN, limit=1, hard=True)
    admin.done("setWipLimit", LIMIT, workflow="support", eachPerson=True, limit=1)
    for _ in range(2):
        admin.open(assignee=agent.person)
    then, at = head(), datetime.now(UTC).isoformat()
    admin.done("transitionTicket", ticket=ticket, status="done")
    admin.done("setWipLimit", LIMIT, **COLUMN, limit=5)
    admin.command("setWipLimit", LIMIT, workflow="support", eachPerson=True, limit=None)
    assert shown(before) == []
    assert shown(then) == [("waiting", 1, True, False), ("Agent", 1, True)]
    assert shown({"occurredAt": at}) == shown({"recordedAt": at}) == shown(then)
    assert shown(None) == shown(head()) == [("waiting", 5, False, False)]


def test_a_manager_goes_over_a_limit_with_a_reason(
    acme: Workspace, admin: Client, token: Callable[..., Client], agent: Client
) -> None:
    manager = token(acme, Scope.MANAGER)
    admin.done("setWipLimit", LIMIT, **COLUMN, limit=1, hard=True)
    waiting(admin)
    move = {"ticket": admin.open()["id"], "status": "waiting"}
    assert manager.refused("transitionTicket", **move, reason="Important") == REACHED
    assert manager.refused("transitionTicket", **move, overrideWipLimit=True) == ("REASON_REQUIRED", ["reason"])
    forbidden = agent.refused("transitionTicket", **move, overrideWipLimit=True, reason="Important")
    assert forbidden == ("FORBIDDEN", ["overrideWipLimit"])
    manager.done("transitionTicket", **move, overrideWipLimit=True, reason="Important")


def test_a_board_shows_limits_and_where_they_are_exceeded(admin: Client, agent: Client) -> None:
    admin.done("setWipLimit", LIMIT, **COLUMN, limit=1)
    admin.done("setWipLimit", LIMIT, workflow="support", person=agent.person, limit=7, hard=True)
    admin.done("setWipLimit", LIMIT, **COLUMN, person=agent.person, limit=1)
    for ticket in (waiting(admin), waiting(admin)):
        admin.done("assignTicket", ticket=ticket, assignee=agent.person)
    query = """query($f: TicketFilter, $w: String) { board(workflow: $w, rows: ASSIGNEE, filter: $f) {
      columns { key wipLimit wipHard wipExceeded } rows { wipLimit wipHard wipExceeded }
      cells { column wipLimit wipExceeded } } }"""
    shown = admin.ask(query, w="support")
    marked = [line for line in shown["columns"] if line["wipLimit"]]
    assert marked == [{"key": "waiting", "wipLimit": 1, "wipHard": False, "wipExceeded": True}]
    assert shown["rows"] == [{"wipLimit": 7, "wipHard": True, "wipExceeded": False}]
    assert shown["cells"] == [{"column": "waiting", "wipLimit": 1, "wipExceeded": True}]
    filtered = admin.ask(query, w="support", f={"key": {"eq": "none"}})
    assert [line["wipExceeded"] for line in filtered["columns"] if line["wipLimit"]] == [True]
    assert [line for line in admin.ask(query)["columns"] if line["wipLimit"]] == []


@pytest.mark.parametrize("limit", [1, 5])
def test_a_hard_limit_holds_when_all_come_at_once_from_two_processes(
    acme: Workspace, admin: Client, server: Server, limit: int
) -> None:
    admin.done("setWipLimit", LIMIT, **COLUMN, limit=limit, hard=True)
    context = Context(actor=operator(acme.id))
    ids = [
        tickets.handle(server.store, context, OpenTicket(title=f"Card {n}", role="INCIDENT")).stream for n in range(30)
    ]

    def come(store: EventStore, ticket: UUID) -> bool:
        try:
            tickets.handle(store, context, TransitionTicket(ticket=ticket, status="waiting"))
        except WipLimitReached:
            return False
        return True

    with EventStore(server.database) as other, ThreadPoolExecutor(12) as pool:
        stores = [server.store, other]
        came = list(pool.map(come, stores * 15, ids))
    assert sum(came) == limit
    states = server.store.workspace(acme.id).load(ids)
    assert sum(getattr(one.state, "status", "") == "waiting" for one in states.values()) == limit


def test_each_person_s_limit_holds_when_all_are_assigned_at_once_from_two_processes(
    acme: Workspace, admin: Client, server: Server
) -> None:
    people = [decode(admin.person_named(name), Kind.PERSON) for name in ("Анна", "Борис")]
    context = Context(actor=operator(acme.id))
    ids = [
        tickets.handle(server.store, context, OpenTicket(title=f"Card {n}", role="INCIDENT")).stream for n in range(30)
    ]
    admin.done("setWipLimit", LIMIT, workflow="support", eachPerson=True, limit=3, hard=True)

    def give(store: EventStore, ticket: UUID, person: UUID) -> bool:
        try:
            tickets.handle(store, context, AssignTicket(ticket=ticket, assignee=person))
        except WipLimitReached:
            return False
        return True

    with EventStore(server.database) as other, ThreadPoolExecutor(12) as pool:
        given = list(pool.map(give, [server.store, server.store, other, other] * 8, ids, people * 15))
    assert sum(given) == 6
    states = server.store.workspace(acme.id).load(ids)
    held = Counter(getattr(one.state, "assignee", None) for one in states.values())
    assert (held[people[0]], held[people[1]]) == (3, 3)


def test_workflows_without_hard_limits_write_to_the_ticket_alone(admin: Client) -> None:
    admin.done("setWipLimit", LIMIT, **COLUMN, limit=1)
    admin.done("setWipLimit", LIMIT, workflow="task", status="todo", limit=1, hard=True)
    waiting(admin)
    events = admin.ask('{ events(types: ["CardEntered", "CardsCounted"]) { totalCount } }')
    assert events == {"totalCount": 0}
