"""Limits on work in progress over GraphQL: hard ones hold whatever races, soft ones are shown."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from application import tickets
from application.event_store.streams import EventStore
from application.handling import Context
from application.workspaces import Workspace, operator
from domain.access import Scope
from domain.errors import WipLimitReached
from domain.tickets import OpenTicket, TransitionTicket
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
    past = '{ board(workflow: "support", asOf: {occurredAt: "2100-01-01T00:00:00Z"}) { columns { wipLimit } } }'
    assert {line["wipLimit"] for line in admin.ask(past)["columns"]} == {None}


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


def test_workflows_without_hard_limits_write_to_the_ticket_alone(admin: Client) -> None:
    admin.done("setWipLimit", LIMIT, **COLUMN, limit=1)
    admin.done("setWipLimit", LIMIT, workflow="task", status="todo", limit=1, hard=True)
    waiting(admin)
    events = admin.ask('{ events(types: ["CardEntered", "CardsCounted"]) { totalCount } }')
    assert events == {"totalCount": 0}
