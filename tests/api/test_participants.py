"""Contributors and watchers over GraphQL: who may be one, who sees them, and who they were."""

from collections.abc import Callable

from application.workspaces import Workspace
from domain.access import Scope
from tests.api.asking import Client

SHOW = "ticket { contributors { id } watchers { nodes { id } totalCount } viewerCan position }"


def test_contributors_work_beside_the_assignee(admin: Client) -> None:
    anna, boris = admin.person_named("Anna"), admin.person_named("Boris")
    ticket = admin.open(assignee=admin.person)["id"]
    first = admin.done("addContributor", SHOW, ticket=ticket, person=boris)
    both = admin.done("addContributor", SHOW, ticket=ticket, person=anna)
    assert both["contributors"] == [{"id": boris}, {"id": anna}]
    left = admin.done("removeContributor", SHOW, ticket=ticket, person=boris)
    assert left["contributors"] == [{"id": anna}]
    was = "query($id: ID, $at: AsOf) { ticket(id: $id, asOf: $at) { contributors { name } } }"
    assert admin.ask(was, id=ticket, at={"position": first["position"]}) == {"contributors": [{"name": "Boris"}]}
    found = "query($f: TicketFilter, $at: AsOf) { tickets(filter: $f, asOf: $at) { nodes { id contributors { id } } } }"
    assert admin.ask(found, f={"contributor": {"eq": anna}})["nodes"] == [
        {"id": ticket, "contributors": [{"id": anna}]}
    ]
    assert admin.ask(found, f={"contributor": {"in": [boris]}})["nodes"] == []
    then = admin.ask(found, f={"contributor": {"in": [boris]}}, at={"position": both["position"]})
    assert [one["id"] for one in then["nodes"]] == [ticket]
    assert admin.refused("addContributor", ticket=ticket, person=ticket) == ("PERSON_NOT_FOUND", ["person"])
    assert admin.refused("removeContributor", ticket=ticket, person="x") == ("PERSON_NOT_FOUND", ["person"])
    admin.done("transitionTicket", ticket=ticket, status="done")
    assert admin.refused("addContributor", ticket=ticket, person=boris) == ("TICKET_CLOSED", ["ticket"])


def test_whoever_names_nobody_watches_themselves(admin: Client, agent: Client) -> None:
    ticket = agent.open()["id"]
    assert agent.done("watchTicket", SHOW, ticket=ticket)["watchers"] == {
        "nodes": [{"id": agent.person}],
        "totalCount": 1,
    }
    both = agent.done("watchTicket", SHOW, ticket=ticket, person=admin.person)
    assert both["watchers"]["nodes"] == [{"id": admin.person}, {"id": agent.person}], "by name"
    for _ in range(2):
        alone = agent.done("unwatchTicket", SHOW, ticket=ticket)
        assert alone["watchers"]["nodes"] == [{"id": admin.person}]
    was = "query($id: ID, $at: AsOf) { ticket(id: $id, asOf: $at) { watchers { totalCount } } }"
    assert agent.ask(was, id=ticket, at={"position": both["position"]}) == {"watchers": {"totalCount": 2}}
    for_agent = admin.done("watchTicket", SHOW, ticket=ticket, onBehalfOf=agent.person)
    assert for_agent["watchers"]["totalCount"] == 2
    assert agent.refused("watchTicket", ticket=ticket, person=ticket) == ("PERSON_NOT_FOUND", ["person"])
    assert agent.refused("unwatchTicket", ticket="x") == ("TICKET_NOT_FOUND", ["ticket"])


def test_a_requester_watches_their_own_and_sees_no_other_watcher(agent: Client, claire: Client) -> None:
    theirs, others = agent.open(requester=claire.person)["id"], agent.open()["id"]
    agent.done("watchTicket", ticket=theirs)
    shown = claire.done("watchTicket", SHOW, ticket=theirs)
    assert shown["watchers"] == {"nodes": [{"id": claire.person}], "totalCount": 1}
    talk = {"addComment", "editComment", "withdrawComment"}
    assert set(shown["viewerCan"]) == {*talk, "attachFile", "watchTicket", "unwatchTicket"}
    history = "query($id: ID) { ticket(id: $id) { history { nodes { type } totalCount } } }"
    assert claire.ask(history, id=theirs)["history"]["nodes"] == [{"type": "TicketOpened"}]
    assert claire.refused("watchTicket", ticket=theirs, person=agent.person) == ("FORBIDDEN", None)
    assert claire.refused("watchTicket", ticket=others) == ("TICKET_NOT_FOUND", ["ticket"])
    assert claire.done("unwatchTicket", SHOW, ticket=theirs)["watchers"]["totalCount"] == 0


def test_an_auditor_looks_on(acme: Workspace, agent: Client, token: Callable[..., Client]) -> None:
    ticket, auditor = agent.open()["id"], token(acme, Scope.AUDITOR)
    agent.done("watchTicket", ticket=ticket)
    shown = auditor.ask("query($id: ID) { ticket(id: $id) { watchers { totalCount } } }", id=ticket)
    assert shown == {"watchers": {"totalCount": 1}}
    for mutation in ("watchTicket", "unwatchTicket"):
        assert auditor.refused(mutation, ticket=ticket) == ("FORBIDDEN", None)
