"""Links between tickets over GraphQL: made, undone, shown on both sides, and who may see them."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from application.workspaces import Workspace, create_workspace
from domain.access import Scope
from tests.api.asking import Client
from tests.api.conftest import Server

LINKS = "links { nodes { kind ticket { key } createdAt createdBy { id } } totalCount }"
SHOW = f"ticket {{ key {LINKS} viewerCan position }}"


def links(client: Client, ticket: str, **more: Any) -> list[tuple[str, str]]:
    query = f"query($id: ID!, $at: AsOf) {{ ticket(id: $id, asOf: $at) {{ {LINKS} }} }}"
    shown = client.ask(query, id=ticket, **more)["links"]
    assert shown["totalCount"] == len(shown["nodes"])
    return [(link["kind"], link["ticket"]["key"]) for link in shown["nodes"]]


def test_both_tickets_show_a_link_until_it_is_undone(agent: Client) -> None:
    one, two = agent.open("The switch is dead"), agent.open("The site is down")
    made = agent.done("linkTickets", SHOW, ticket=one["id"], kind="CAUSES", other=two["id"])
    head = agent.ask("{ status { head } }")["head"]
    assert "linkTickets" in made["viewerCan"]
    [link] = made["links"]["nodes"]
    assert (link["kind"], link["ticket"]["key"], link["createdBy"]) == ("CAUSES", two["key"], {"id": agent.person})
    assert links(agent, two["id"]) == [("CAUSED_BY", one["key"])]
    again = agent.command("linkTickets", ticket=two["id"], kind="CAUSED_BY", other=one["id"])
    assert (again["userErrors"], again["version"]) == ([], 2)
    assert agent.done("unlinkTickets", SHOW, ticket=two["id"], kind="CAUSED_BY", other=one["id"])["links"] == {
        "nodes": [],
        "totalCount": 0,
    }
    assert links(agent, one["id"]) == []
    then = {"position": head}
    assert links(agent, one["id"], at=then) == [("CAUSES", two["key"])]
    assert links(agent, two["id"], at=then) == [("CAUSED_BY", one["key"])]


def test_links_of_every_kind_are_read_from_the_other_side(agent: Client) -> None:
    ticket = agent.open()
    kinds = ("RELATES", "BLOCKS", "BLOCKED_BY", "DUPLICATES", "DUPLICATED_BY", "CAUSES", "CAUSED_BY")
    back = ("RELATES", "BLOCKED_BY", "BLOCKS", "DUPLICATED_BY", "DUPLICATES", "CAUSED_BY", "CAUSES")
    others = [agent.open() for _ in kinds]
    for kind, other in zip(kinds, others, strict=True):
        agent.done("linkTickets", ticket=ticket["id"], kind=kind, other=other["id"])
    assert links(agent, ticket["id"]) == [(kind, one["key"]) for kind, one in zip(kinds, others, strict=True)]
    assert [links(agent, other["id"]) for other in others] == [[(kind, ticket["key"])] for kind in back]
    for kind, other in zip(kinds, others, strict=True):
        agent.done("unlinkTickets", ticket=ticket["id"], kind=kind, other=other["id"])
    assert links(agent, ticket["id"]) == []


def test_history_says_who_linked_what(agent: Client) -> None:
    one, two = agent.open(), agent.open()
    agent.done("linkTickets", ticket=one["id"], kind="BLOCKS", other=two["id"], reason="First the network")
    agent.done("unlinkTickets", ticket=one["id"], kind="BLOCKS", other=two["id"])
    query = """query($id: ID!) { ticket(id: $id) { history(types: ["TicketLinked", "TicketUnlinked"]) {
      nodes { type reason actor { id } changes { path from to } } } } }"""
    for ticket, other, kind in ((one, two, "BLOCKS"), (two, one, "BLOCKED_BY")):
        linked, unlinked = agent.ask(query, id=ticket["id"])["history"]["nodes"]
        assert (linked["type"], linked["reason"]) == ("TicketLinked", "First the network")
        assert linked["actor"] == {"id": agent.person}
        assert linked["changes"] == [{"path": f"links.{kind}", "from": None, "to": other["id"]}]
        assert unlinked["changes"] == [{"path": f"links.{kind}", "from": other["id"], "to": None}]


def test_what_cannot_be_linked_is_refused(agent: Client) -> None:
    one, two, three = agent.open(), agent.open(), agent.open()
    for first, second in ((one, two), (two, three)):
        agent.done("linkTickets", ticket=first["id"], kind="BLOCKS", other=second["id"])
    ring = {"ticket": three["id"], "kind": "BLOCKS", "other": one["id"]}
    assert agent.refused("linkTickets", **ring) == ("LINK_CYCLE", ["other"])
    back = {"ticket": one["id"], "kind": "BLOCKED_BY", "other": two["id"]}
    assert agent.refused("linkTickets", **back) == ("LINK_CYCLE", ["other"])
    for mutation in ("linkTickets", "unlinkTickets"):
        for kind in ("MERGED_INTO", "SPLIT_FROM"):
            said = {"ticket": one["id"], "kind": kind, "other": two["id"]}
            assert agent.refused(mutation, **said) == ("INVALID_VALUE", ["kind"])
        nowhere = {"ticket": agent.person, "kind": "RELATES", "other": one["id"]}
        assert agent.refused(mutation, **nowhere) == ("TICKET_NOT_FOUND", ["ticket"])
        assert agent.refused(mutation, ticket=one["id"], kind="RELATES", other="x") == ("TICKET_NOT_FOUND", ["other"])
    itself = {"ticket": one["id"], "kind": "RELATES", "other": one["id"]}
    assert agent.refused("linkTickets", **itself) == ("INVALID_VALUE", ["other"])
    stale = {"ticket": one["id"], "kind": "RELATES", "other": three["id"], "expectedVersion": 1}
    assert agent.refused("linkTickets", **stale) == ("CONFLICT", ["expectedVersion"])


def test_a_ticket_of_another_workspace_answers_as_one_that_never_was(
    agent: Client, server: Server, token: Callable[..., Client]
) -> None:
    elsewhere = token(create_workspace(server.database, server.store, f"w{uuid4().hex[:8]}", "W"), Scope.AGENT)
    here, there = agent.open(), elsewhere.open()
    said = {"kind": "DUPLICATES", "other": there["id"]}
    assert agent.refused("linkTickets", ticket=here["id"], **said) == ("TICKET_NOT_FOUND", ["other"])
    assert links(elsewhere, there["id"]) == []


def test_requesters_and_auditors_look_on(
    acme: Workspace, agent: Client, claire: Client, token: Callable[..., Client]
) -> None:
    own, also, other = agent.open(requester=claire.person), agent.open(requester=claire.person), agent.open()
    for ticket in (also, other):
        agent.done("linkTickets", ticket=own["id"], kind="RELATES", other=ticket["id"])
    assert links(claire, own["id"]) == [("RELATES", also["key"])]
    said = {"ticket": own["id"], "kind": "RELATES", "other": also["id"]}
    auditor = token(acme, Scope.AUDITOR)
    for mutation in ("linkTickets", "unlinkTickets"):
        assert claire.refused(mutation, **said) == ("FORBIDDEN", None)
        assert claire.refused(mutation, **{**said, "ticket": other["id"]}) == ("TICKET_NOT_FOUND", ["ticket"])
        assert auditor.refused(mutation, **said) == ("FORBIDDEN", None)
    assert len(links(auditor, own["id"])) == 2
