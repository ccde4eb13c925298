"""Roles and workflows taken away over GraphQL: never from under tickets, and a dry run says what would change."""

from typing import Any

import msgspec
import pytest

from application import workflows
from application.handling import Context
from application.workspaces import Workspace, operator
from domain.errors import InUse
from domain.workflows import DefineWorkflow
from tests.api.asking import Client
from tests.api.conftest import Server
from tests.domain.test_workflows import SIMPLE

WORKFLOW = "workflow { key version active statuses { key } ways { source target requires } initial }"
ROLE = "role { key active }"
PREVIEW = """preview { version changes addedTransitions { source target } removedTransitions { source target }
  statuses { key name formerName difference tickets movesTo leftBehind } }"""


def visit(*statuses: str, **more: Any) -> dict[str, Any]:
    open_ = [{"key": key, "name": key.capitalize(), "category": "ACTIVE"} for key in statuses]
    return {
        "key": "visit",
        "name": "Visit",
        "initial": statuses[0],
        "statuses": [*open_, {"key": "over", "name": "Over", "category": "DONE"}],
        "transitions": [{"source": "*", "target": key} for key in (*statuses, "over")],
        **more,
    }


def define(admin: Client) -> None:
    admin.done("defineWorkflow", WORKFLOW, **visit("planned", "review"))
    admin.done("defineRole", ROLE, key="VISIT", name="Visit", workflow="visit")


def in_review(admin: Client) -> str:
    ticket = admin.open(role="VISIT")["id"]
    admin.done("transitionTicket", ticket=ticket, status="review")
    return str(ticket)


def test_a_workflow_does_not_lose_a_status_from_under_its_tickets(admin: Client) -> None:
    define(admin)
    tickets = [in_review(admin) for _ in range(2)]
    narrow = visit("planned")
    error = admin.command("defineWorkflow", "", **narrow)["userErrors"]
    assert [(one["code"], one["field"]) for one in error] == [("IN_USE", ["statuses"])]
    assert error[0]["message"].startswith("2 tickets (2 in 'review') would")
    assert admin.refused("defineWorkflow", **narrow, mapping=[{"from": "planned", "to": "over"}]) == (
        "INVALID_VALUE",
        ["mapping"],
    )
    mapped = {**narrow, "mapping": [{"from": "review", "to": "planned"}]}
    assert admin.done("defineWorkflow", WORKFLOW, **mapped)["version"] == 2
    board = admin.ask('{ board(workflow: "visit") { columns { key count } } }')
    assert board["columns"] == [
        {"key": "planned", "count": 0},
        {"key": "over", "count": 0},
        {"key": "review", "count": 2},
    ]
    shown = admin.ask(
        "query($t: ID!) { ticket(id: $t) { transitions { status { key } } workflow { version } } }", t=tickets[0]
    )
    assert [way["status"]["key"] for way in shown["transitions"]] == ["planned", "over"]
    assert shown["workflow"] == {"version": 1}
    moved = admin.done("transitionTicket", "ticket { workflow { version } }", ticket=tickets[0], status="planned")
    assert moved == {"workflow": {"version": 2}}
    admin.done("transitionTicket", ticket=tickets[1], status="over")
    assert admin.refused("transitionTicket", ticket=tickets[1], status="review") == ("STATUS_NOT_FOUND", ["status"])


def test_a_dry_run_says_what_a_new_version_would_change_and_writes_nothing(admin: Client, agent: Client) -> None:
    define(admin)
    in_review(admin)
    wanted = visit("planned", "waiting", dryRun=True)
    payload = admin.command("defineWorkflow", PREVIEW, **wanted)
    assert [one["code"] for one in payload["userErrors"]] == ["IN_USE"]
    assert payload["position"] is None
    preview = payload["preview"]
    assert (preview["version"], preview["changes"]) == (2, True)
    assert [(one["key"], one["difference"], one["tickets"], one["leftBehind"]) for one in preview["statuses"]] == [
        ("planned", "KEPT", 0, False),
        ("waiting", "ADDED", 0, False),
        ("over", "KEPT", 0, False),
        ("review", "REMOVED", 1, True),
    ]
    assert preview["addedTransitions"] == [{"source": "*", "target": "waiting"}]
    assert preview["removedTransitions"] == [{"source": "*", "target": "review"}]
    mapped = admin.command("defineWorkflow", PREVIEW, **wanted, mapping=[{"from": "review", "to": "waiting"}])
    assert mapped["userErrors"] == []
    assert mapped["preview"]["statuses"][3]["movesTo"] == "waiting"
    assert admin.ask("{ workflows { key version } }")[-1] == {"key": "visit", "version": 1}
    assert admin.refused("defineWorkflow", **{**wanted, "initial": "none"})[0] == "INVALID_VALUE"
    assert agent.refused("defineWorkflow", **wanted) == ("FORBIDDEN", None)


def test_a_workflow_asks_for_reasons(admin: Client, agent: Client) -> None:
    reasons = ["CLOSING", "REOPENING", "ROLE_CHANGE", "PRIORITY_CHANGE"]
    defined = visit("planned", "review", reasons=reasons, dryRun=True)
    assert admin.command("defineWorkflow", PREVIEW, **defined)["preview"]["changes"] is True
    shown = admin.done("defineWorkflow", "workflow { reasons version }", **{**defined, "dryRun": False})
    assert shown == {"reasons": reasons, "version": 1}
    admin.done("defineRole", ROLE, key="VISIT", name="Visit", workflow="visit")
    of = {"ticket": agent.open(role="VISIT")["id"]}
    required = ("REASON_REQUIRED", ["reason"])
    assert agent.refused("setPriority", **of, priority="HIGH") == required
    assert agent.refused("changeRole", **of, role="TASK") == required
    assert agent.refused("transitionTicket", **of, status="over") == required
    way = "query($t: ID!) { ticket(id: $t) { transitions { status { key } requires } } }"
    ways = {one["status"]["key"]: one["requires"] for one in agent.ask(way, t=of["ticket"])["transitions"]}
    assert (ways["over"], ways["review"]) == (["reason"], [])
    agent.done("transitionTicket", **of, status="over", reason="Done")
    assert agent.refused("transitionTicket", **of, status="review", reason=" ") == required
    agent.done("transitionTicket", **of, status="review", reason="Not yet")
    agent.done("setPriority", **of, priority="HIGH", reason="The client calls")
    without = admin.done("defineWorkflow", "workflow { reasons version }", **visit("planned", "review"))
    assert without == {"reasons": [], "version": 2}
    agent.done("changeRole", **of, role="TASK")


def test_roles_and_workflows_are_retired_when_nobody_is_left_in_them(admin: Client, agent: Client) -> None:
    define(admin)
    ticket = in_review(admin)
    assert admin.refused("retireRole", role="VISIT") == ("IN_USE", ["role"])
    assert admin.refused("retireWorkflow", workflow="visit") == ("IN_USE", ["workflow"])
    admin.done("transitionTicket", ticket=ticket, status="over")
    assert admin.done("retireRole", ROLE, role="VISIT") == {"key": "VISIT", "active": False}
    assert admin.done("retireWorkflow", WORKFLOW, workflow="visit")["active"] is False
    assert {"key": "VISIT"} not in agent.ask("{ roles { key } }")
    assert {"key": "VISIT"} in agent.ask("{ roles(retired: true) { key } }")
    assert {"key": "visit"} not in agent.ask("{ workflows { key } }")
    assert {"key": "visit"} in agent.ask("{ workflows(retired: true) { key } }")
    assert admin.refused("openTicket", title="x", role="VISIT") == ("ROLE_NOT_FOUND", ["role"])
    shown = agent.ask("query($t: ID!) { ticket(id: $t) { role { key active } workflow { active } } }", t=ticket)
    assert shown == {"role": {"key": "VISIT", "active": False}, "workflow": {"active": False}}
    assert admin.refused("retireRole", role="NONE") == ("ROLE_NOT_FOUND", ["role"])
    assert admin.refused("retireWorkflow", workflow="none") == ("WORKFLOW_NOT_FOUND", ["workflow"])
    assert agent.refused("retireRole", role="VISIT") == ("FORBIDDEN", None)
    assert agent.refused("retireWorkflow", workflow="visit") == ("FORBIDDEN", None)
    assert admin.done("defineWorkflow", WORKFLOW, **visit("planned", "review"))["active"] is True


def test_what_moved_after_the_counting_is_found_in_the_log(admin: Client, acme: Workspace, server: Server) -> None:
    """The read model may lag: a ticket that it has not seen in the status keeps it all the same."""
    define(admin)
    before = workflows.Counted(census=[], position=0)
    in_review(admin)
    context = Context(actor=operator(acme.id))
    narrow = DefineWorkflow(workflow=msgspec.structs.replace(SIMPLE, key="visit"))
    with pytest.raises(InUse, match=r"1 ticket \(1 in 'review'\)"):
        workflows.handle(server.store, context, narrow, before)
