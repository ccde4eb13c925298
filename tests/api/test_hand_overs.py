"""Handing a ticket over to another process or team, over GraphQL."""

from collections.abc import Callable
from typing import Any

import pytest

from application.workspaces import Workspace
from domain.access import Scope
from tests.api.asking import Client
from tests.api.test_attachments import attach
from tests.api.test_contracts import HOURLY, agree

SHOW = """ticket { id key role { key } status { key } team { id } assignee { id } viewerCan commentCount position
  handOvers { totalCount nodes { fromRole { key } toRole { key } fromWorkflow toWorkflow fromTeam { key } toTeam { key }
    by { id } occurredAt note reason } } }"""
READ = f"query($id: ID!, $at: AsOf) {{ ticket(id: $id, asOf: $at) {SHOW.removeprefix('ticket ')} }}"


def teams(admin: Client, *keys: str) -> list[str]:
    return [admin.done("addTeam", "team { id }", key=key, name=key)["id"] for key in keys]


def test_a_ticket_is_handed_over_with_a_note(admin: Client) -> None:
    first, second = teams(admin, "first", "second")
    opened = admin.open(role="INQUIRY", team=first, assignee=admin.person)
    admin.done("addComment", ticket=opened["id"], body="It fails on large files")
    said = {"ticket": opened["id"], "role": "TASK", "team": second, "note": "See the log", "reason": "A defect"}
    shown = admin.done("transferTicket", SHOW, **said)
    assert (shown["key"], shown["role"], shown["commentCount"]) == (opened["key"], {"key": "TASK"}, 1)
    assert (shown["team"], shown["assignee"], shown["status"]) == ({"id": second}, None, {"key": "todo"})
    assert "transferTicket" in shown["viewerCan"]
    [passed] = shown["handOvers"]["nodes"]
    assert passed.pop("occurredAt")
    assert passed == {
        "fromRole": {"key": "INQUIRY"},
        "toRole": {"key": "TASK"},
        "fromWorkflow": "support",
        "toWorkflow": "task",
        "fromTeam": {"key": "first"},
        "toTeam": {"key": "second"},
        "by": {"id": admin.person},
        "note": "See the log",
        "reason": "A defect",
    }
    again = admin.command("transferTicket", **said)
    assert again["userErrors"] == []
    admin.done("transferTicket", ticket=opened["id"], team=first, assignee=admin.person)
    now = admin.ask(READ, id=opened["id"])
    assert (now["handOvers"]["totalCount"], now["assignee"]) == (2, {"id": admin.person})
    then = admin.ask(READ, id=opened["id"], at={"position": shown["position"]})
    assert then["handOvers"]["totalCount"] == 1
    history = 'query($id: ID!) { ticket(id: $id) { history(types: ["TicketTransferred"], first: 1) { nodes {'
    history += " type reason changes { path to } } } } }"
    [event] = admin.ask(history, id=opened["id"])["history"]["nodes"]
    assert event["changes"] == [{"path": "note", "to": "See the log"}]


KEPT = """ticket { key openedAt workedSeconds
  workEntries { nodes { id seconds person { id } } totalCount } comments { nodes { id body author { id } inReplyTo } }
  attachments { nodes { id name sha256 } } links { nodes { kind ticket { key } } } children { nodes { key } }
  parent { key } watchers { nodes { id } } contributors { id } tags fields priority requester { id } dueAt
  changes { totalCount } contract { id } }"""


@pytest.mark.parametrize("another", ["process", "team", "role"])
def test_no_hand_over_loses_who_held_it_hours_talk_links_children_or_files(
    admin: Client, agent: Client, another: str
) -> None:
    """Nor what was worked on it since: a timer that runs goes on."""
    first, second = teams(admin, "first", "second")
    parent, child, other = admin.open("Parent"), admin.open("Child"), admin.open("Other")
    more: dict[str, Any] = {"tags": ["site"], "fields": {"a": 1}, "dueAt": "2030-01-01T00:00:00Z"}
    whose = {"requester": agent.person, "assignee": admin.person, "team": first}
    ticket = admin.open(role="INQUIRY", parent=parent["id"], **whose, **more)
    of = {"ticket": ticket["id"]}
    admin.done("assignTicket", **of, assignee=agent.person)
    said = admin.done("addComment", "ticket { comments { nodes { id } } }", **of, body="It fails")
    admin.done("addComment", **of, body="Yes", inReplyTo=said["comments"]["nodes"][0]["id"], visibility="INTERNAL")
    admin.done("linkTickets", **of, kind="BLOCKS", other=other["id"])
    admin.done("setParent", ticket=child["id"], parent=ticket["id"])
    admin.done("watchTicket", **of)
    admin.done("addContributor", **of, person=admin.person)
    attach(admin, ticket["id"], b"The log", "log.txt")
    admin.done("logWork", "workEntry { id }", **of, startedAt="2026-01-05T09:00:00Z", seconds=5400)
    agent.done("startTimer", "timer { comment }", **of, comment="Looking")
    bound = agree(admin, HOURLY)["id"]
    admin.done("bindContract", "ticket { key }", **of, contract=bound)
    read = f"query($id: ID!, $p: Position) {{ ticket(id: $id, minPosition: $p) {KEPT.removeprefix('ticket ')} }}"
    before = admin.ask(read, id=ticket["id"])
    assert before["workedSeconds"] == 5400
    assert before["contract"] == {"id": bound}

    to: dict[str, Any] = {
        "process": {"role": "TASK", "team": second},
        "team": {"team": second},
        "role": {"role": "INCIDENT"},
    }
    admin.done("transferTicket", **of, **to[another], note="Over to you")
    assert admin.ask(read, id=ticket["id"]) == before

    stopped = agent.command("stopTimer", "workEntry { ticket { key } }")
    assert stopped["workEntry"]["ticket"] == {"key": ticket["key"]}
    after = admin.ask(read, id=ticket["id"], p=stopped["position"])
    assert after["workEntries"]["totalCount"] == 2
    spans = "query($id: ID!) { ticket(id: $id) { spans { nodes { assignee { id } role { key } team { key } } } } }"
    held = [one["assignee"] and one["assignee"]["id"] for one in admin.ask(spans, id=ticket["id"])["spans"]["nodes"]]
    assert list(dict.fromkeys(held))[:2] == [admin.person, agent.person]


def errors(client: Client, **input: Any) -> list[tuple[str, list[str] | None]]:
    payload = client.command("transferTicket", "", **input)
    return [(error["code"], error["field"]) for error in payload["userErrors"]]


def test_what_the_new_role_requires_is_asked_for_by_name_all_at_once(admin: Client) -> None:
    definition = {"key": "CLAIM", "name": "Claim", "workflow": "task", "requires": ["service", "assignee"]}
    admin.done("defineRole", "role { key }", **definition)
    service = admin.done("addService", "service { id }", key="mail", name="Mail")["id"]
    ticket = admin.open(role="INQUIRY")["id"]
    missing = [("FIELD_REQUIRED", ["service"]), ("FIELD_REQUIRED", ["assignee"])]
    assert errors(admin, ticket=ticket, role="CLAIM") == missing
    payload = admin.command("changeRole", "", ticket=ticket, role="CLAIM")
    assert [(error["code"], error["field"]) for error in payload["userErrors"]] == missing
    assert errors(admin, ticket=ticket, role="CLAIM", service=service) == missing[1:]
    shown = admin.done(
        "transferTicket", SHOW, ticket=ticket, role="CLAIM", service=service, assignee=admin.person, fields={"a": 1}
    )
    assert shown["role"] == {"key": "CLAIM"}


def test_a_hand_over_to_nowhere_is_refused(admin: Client) -> None:
    (first,) = teams(admin, "first")
    ticket = admin.open(role="INQUIRY")["id"]
    assert admin.refused("transferTicket", ticket=ticket, note="To nobody") == ("INVALID_VALUE", ["team"])
    assert admin.refused("transferTicket", ticket=ticket, team="x") == ("TEAM_NOT_FOUND", ["team"])
    assert admin.refused("transferTicket", ticket=ticket, role="NONE") == ("ROLE_NOT_FOUND", ["role"])
    nowhere = {"ticket": ticket, "role": "TASK", "status": "nowhere"}
    assert admin.refused("transferTicket", **nowhere) == ("STATUS_NOT_FOUND", ["status"])
    stranger = {"ticket": ticket, "team": first, "assignee": ticket}
    assert admin.refused("transferTicket", **stranger) == ("PERSON_NOT_FOUND", ["assignee"])
    stale = {"ticket": ticket, "team": first, "expectedVersion": 7}
    assert admin.refused("transferTicket", **stale) == ("CONFLICT", ["expectedVersion"])
    assert admin.refused("transferTicket", ticket="x", team=first) == ("TICKET_NOT_FOUND", ["ticket"])
    closed = admin.done("transitionTicket", SHOW, ticket=ticket, status="done")
    assert "transferTicket" not in closed["viewerCan"]
    assert admin.refused("transferTicket", ticket=ticket, team=first) == ("TICKET_CLOSED", ["ticket"])


def test_requesters_and_auditors_look_on(
    acme: Workspace, admin: Client, claire: Client, token: Callable[..., Client]
) -> None:
    (first,) = teams(admin, "first")
    own, other = admin.open(role="INQUIRY", requester=claire.person)["id"], admin.open(role="INQUIRY")["id"]
    admin.done("transferTicket", ticket=own, team=first, note="Psst", reason="Because")
    [passed] = claire.ask(READ, id=own)["handOvers"]["nodes"]
    assert (passed["toTeam"], passed["note"], passed["reason"]) == ({"key": "first"}, None, None)
    assert claire.refused("transferTicket", ticket=own, team=first) == ("FORBIDDEN", None)
    assert claire.refused("transferTicket", ticket=other, team=first) == ("TICKET_NOT_FOUND", ["ticket"])
    auditor = token(acme, Scope.AUDITOR)
    assert auditor.refused("transferTicket", ticket=own, team=first) == ("FORBIDDEN", None)
    [passed] = auditor.ask(READ, id=own)["handOvers"]["nodes"]
    assert passed["note"] == "Psst"
