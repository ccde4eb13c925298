"""Merging, splitting off and spawning over GraphQL."""

from collections.abc import Callable
from typing import Any

from application.workspaces import Workspace
from domain.access import Scope
from tests.api.asking import Client
from tests.api.test_attachments import attach, fetched

SHOW = """ticket { id key status { category } closedAt mergedInto { key } viewerCan transitions { status { key } }
  commentCount comments { nodes { body visibility author { id } } totalCount }
  links { nodes { kind ticket { key mergedInto { key } } } } watchers { nodes { id } } position }"""
ASKED = "query($id: ID, $key: String, $at: AsOf) { ticket(id: $id, key: $key, asOf: $at)"
READ = f"{ASKED} {SHOW.removeprefix('ticket ')} }}"


def said(shown: Any) -> list[str]:
    bodies = [comment["body"] for comment in shown["comments"]["nodes"]]
    assert shown["commentCount"] == shown["comments"]["totalCount"] == len(bodies)
    return bodies


def links(shown: Any) -> set[tuple[str, str]]:
    return {(link["kind"], link["ticket"]["key"]) for link in shown["links"]["nodes"]}


def test_a_merged_ticket_still_answers_to_its_key_and_says_where_it_went(agent: Client) -> None:
    one, two, three = agent.open("One"), agent.open("Two"), agent.open("Three")
    for ticket, body in ((one, "first"), (two, "second")):
        agent.done("addComment", ticket=ticket["id"], body=body)
    agent.done("linkTickets", ticket=one["id"], kind="BLOCKS", other=three["id"])
    agent.done("watchTicket", ticket=one["id"])
    before = agent.ask(READ, key=one["key"])
    merged = agent.done("mergeTickets", SHOW, ticket=one["id"], into=two["id"], reason="The same matter")
    head = agent.ask("{ status { head } }")["head"]
    assert (merged["mergedInto"], merged["status"]["category"]) == ({"key": two["key"]}, "CANCELLED")
    assert merged["transitions"] == []
    assert set(merged["viewerCan"]) == {"unmergeTicket", "editComment", "withdrawComment", "detachFile"}
    assert agent.ask(READ, key=one["key"])["id"] == one["id"]

    listed = "{ tickets(first: 3) { nodes { key mergedInto { key } viewerCan } } }"
    shown = {ticket["key"]: ticket for ticket in agent.ask(listed)["nodes"]}
    assert shown[one["key"]]["mergedInto"] == {"key": two["key"]}
    assert shown[two["key"]]["mergedInto"] is None
    assert shown[one["key"]]["viewerCan"] == merged["viewerCan"]

    target = agent.ask(READ, key=two["key"])
    assert said(target) == ["first", "second"]
    assert links(target) == {("BLOCKS", three["key"]), ("MERGED_FROM", one["key"])}
    assert target["watchers"]["nodes"] == [{"id": agent.person}]
    assert (target["mergedInto"], "mergeTickets" in target["viewerCan"]) == (None, True)
    assert links(agent.ask(READ, key=three["key"])) == {("BLOCKED_BY", two["key"])}

    refused = agent.command("addComment", "", ticket=one["id"], body="And more")["userErrors"]
    assert [(error["code"], error["field"]) for error in refused] == [("TICKET_MERGED", ["ticket"])]
    assert two["key"] in refused[0]["message"]

    back = agent.done("unmergeTicket", SHOW, ticket=one["id"])
    assert {**back, "position": before["position"]} == before
    target = agent.ask(READ, key=two["key"])
    assert (said(target), links(target), target["watchers"]["nodes"]) == (["second"], set(), [])
    then = agent.ask(READ, key=two["key"], at={"position": head})
    assert said(then) == ["first", "second"]
    history = 'query($id: ID!) { ticket(id: $id) { history(types: ["TicketMerged", "TicketUnmerged"]) { nodes {'
    history += " type reason changes { path from to } } } } }"
    first, second = agent.ask(history, id=one["id"])["history"]["nodes"]
    assert (first["type"], first["reason"]) == ("TicketMerged", "The same matter")
    assert first["changes"] == [{"path": "mergedInto", "from": None, "to": two["id"]}]
    assert second["changes"] == [{"path": "mergedInto", "from": two["id"], "to": None}]


def test_what_was_said_on_a_merged_ticket_is_answered_and_split_off_on_the_other(
    agent: Client, admin: Client, claire: Client
) -> None:
    inner, one, two = agent.open("Inner"), agent.open("One"), agent.open("Two", requester=claire.person)
    for ticket, visibility in ((inner, "PUBLIC"), (one, "INTERNAL")):
        agent.done("addComment", ticket=ticket["id"], body=f"On {ticket['key']}", visibility=visibility)
    agent.done("mergeTickets", ticket=inner["id"], into=one["id"])
    agent.done("mergeTickets", ticket=one["id"], into=two["id"])
    shown = "ticket { comments { nodes { id body inReplyTo ticket { key } } } }"
    listed = f"query($id: ID!) {{ ticket(id: $id) {shown.removeprefix('ticket ')} }}"
    public, internal = agent.ask(listed, id=two["id"])["comments"]["nodes"]
    assert [said["ticket"]["key"] for said in (public, internal)] == [inner["key"], one["key"]]

    answer = {"ticket": two["id"], "body": "An answer", "inReplyTo": public["id"]}
    answered = agent.done("addComment", shown, **answer)["comments"]["nodes"][-1]
    assert (answered["inReplyTo"], answered["ticket"]["key"]) == (public["id"], two["key"])
    refused = agent.refused("addComment", **{**answer, "inReplyTo": internal["id"]})
    assert refused == ("INVALID_VALUE", ["visibility"])
    assert claire.refused("addComment", **answer) == ("COMMENT_NOT_FOUND", ["inReplyTo"])
    [seen] = claire.ask(listed, id=two["id"])["comments"]["nodes"]
    assert (seen["body"], seen["inReplyTo"]) == ("An answer", None), "of a ticket that is not theirs"
    told = claire.ask("{ events(first: 100) { nodes { data } } }")
    assert public["id"].split("_")[-1] not in str(told)

    split = agent.done("splitTicket", SHOW, ticket=two["id"], comment=internal["id"], title="Apart")
    assert (said(split), links(split)) == ([f"On {one['key']}"], {("SPLIT_FROM", two["key"])})
    edit = {"comment": public["id"], "body": "Edited"}
    assert agent.refused("editComment", ticket=two["id"], **edit) == ("COMMENT_NOT_FOUND", ["comment"])
    edited = agent.done("editComment", shown, ticket=inner["id"], **edit)["comments"]["nodes"]
    assert [one["body"] for one in edited] == ["Edited"]
    agent.done("unmergeTicket", ticket=one["id"])
    assert agent.refused("addComment", **answer) == ("COMMENT_NOT_FOUND", ["inReplyTo"])


def test_a_file_of_a_merged_ticket_is_read_and_detached_by_what_the_other_shows(agent: Client, claire: Client) -> None:
    one, two = agent.open("One"), agent.open("Two", requester=claire.person)
    attach(agent, one["id"], b"The first", "first.txt")
    agent.done("mergeTickets", ticket=one["id"], into=two["id"])
    listed = "query($id: ID!) { ticket(id: $id) { attachments { nodes { id url name ticket { id } } } } }"
    [file] = agent.ask(listed, id=two["id"])["attachments"]["nodes"]
    assert (file["name"], file["ticket"]["id"]) == ("first.txt", one["id"])
    assert fetched(agent, file).content == b"The first"
    assert claire.ask(listed, id=two["id"])["attachments"]["nodes"] == []
    assert fetched(claire, file).status_code == 404, "attached to a ticket that is not theirs"
    agent.done("detachFile", ticket=file["ticket"]["id"], attachment=file["id"])
    assert agent.ask(listed, id=two["id"])["attachments"]["nodes"] == []


def test_what_cannot_be_merged_is_refused(agent: Client) -> None:
    one, two, three = agent.open(), agent.open(), agent.open()
    itself = {"ticket": one["id"], "into": one["id"]}
    assert agent.refused("mergeTickets", **itself) == ("INVALID_VALUE", ["into"])
    assert agent.refused("mergeTickets", ticket=one["id"], into="x") == ("TICKET_NOT_FOUND", ["into"])
    assert agent.refused("mergeTickets", ticket="x", into=one["id"]) == ("TICKET_NOT_FOUND", ["ticket"])
    assert agent.refused("unmergeTicket", ticket="x") == ("TICKET_NOT_FOUND", ["ticket"])
    stale = {"ticket": one["id"], "into": two["id"], "expectedVersion": 7}
    assert agent.refused("mergeTickets", **stale) == ("CONFLICT", ["expectedVersion"])
    for first, second in ((one, two), (two, three)):
        agent.done("linkTickets", ticket=first["id"], kind="BLOCKS", other=second["id"])
    assert agent.refused("mergeTickets", ticket=one["id"], into=three["id"]) == ("LINK_CYCLE", ["into"])
    agent.done("mergeTickets", ticket=two["id"], into=three["id"])
    assert agent.refused("mergeTickets", ticket=one["id"], into=two["id"]) == ("TICKET_MERGED", ["into"])
    assert agent.refused("mergeTickets", ticket=two["id"], into=one["id"]) == ("TICKET_MERGED", ["ticket"])
    said = {"ticket": one["id"], "kind": "RELATES", "other": two["id"]}
    assert agent.refused("linkTickets", **said) == ("TICKET_MERGED", ["other"])
    assert agent.refused("setParent", ticket=one["id"], parent=two["id"]) == ("TICKET_MERGED", ["parent"])
    assert agent.command("unmergeTicket", ticket=one["id"])["userErrors"] == []


def test_a_comment_is_split_off_with_its_author_and_as_internal_as_it_was(agent: Client, admin: Client) -> None:
    origin = agent.open("Two matters", role="INQUIRY", requester=agent.person)
    for visibility, body in (("PUBLIC", "The first"), ("INTERNAL", "The second")):
        agent.done("addComment", ticket=origin["id"], body=body, visibility=visibility)
    ids = "query($id: ID!) { ticket(id: $id) { comments { nodes { id } } } }"
    comment = agent.ask(ids, id=origin["id"])["comments"]["nodes"][1]["id"]
    new = admin.done("splitTicket", SHOW, ticket=origin["id"], comment=comment, title="The other matter")
    [talk] = new["comments"]["nodes"]
    assert (talk["body"], talk["visibility"], talk["author"]) == ("The second", "INTERNAL", {"id": agent.person})
    assert links(new) == {("SPLIT_FROM", origin["key"])}
    shown = agent.ask(READ, id=origin["id"])
    assert (said(shown), links(shown)) == (["The first", "The second"], {("SPLIT_INTO", new["key"])})
    assert "splitTicket" in shown["viewerCan"]
    split = {"ticket": origin["id"], "title": "Again"}
    assert agent.refused("splitTicket", comment="x", **split) == ("COMMENT_NOT_FOUND", ["comment"])
    assert agent.refused("splitTicket", comment=comment, ticket="x", title="x") == ("TICKET_NOT_FOUND", ["ticket"])
    empty = {"ticket": origin["id"], "comment": comment, "title": " "}
    assert agent.refused("splitTicket", **empty) == ("INVALID_VALUE", ["title"])
    admin.done("withdrawComment", "ticket { id }", ticket=origin["id"], comment=comment)
    assert agent.refused("splitTicket", comment=comment, **split)[0] == "COMMENT_WITHDRAWN"


def test_a_sub_ticket_for_another_service_and_its_origin_show_each_other(admin: Client) -> None:
    service = admin.done("addService", "service { id }", key="tls", name="Certificates")["id"]
    origin = admin.open(requester=admin.person)
    show = "ticket { key parent { key } service { key } requester { id } links { nodes { kind ticket { key } } } }"
    said = {"ticket": origin["id"], "title": "A new certificate", "role": "TASK", "service": service}
    spawned = admin.done("spawnTicket", show, **said)
    assert (spawned["parent"], spawned["service"]) == ({"key": origin["key"]}, {"key": "tls"})
    assert spawned["requester"] == {"id": admin.person}
    assert links(spawned) == {("SPAWNED_FROM", origin["key"])}
    assert admin.done("spawnTicket", show, **said, requester=None)["requester"] is None
    shown = admin.ask(
        "query($id: ID!) { ticket(id: $id) { children { nodes { key } } links { nodes { kind } } } }", id=origin["id"]
    )
    assert spawned["key"] in [child["key"] for child in shown["children"]["nodes"]]
    assert [link["kind"] for link in shown["links"]["nodes"]] == ["SPAWNED", "SPAWNED"]
    assert admin.refused("spawnTicket", **{**said, "service": "x"}) == ("SERVICE_NOT_FOUND", ["service"])
    assert admin.refused("spawnTicket", **{**said, "role": "NONE"}) == ("ROLE_NOT_FOUND", ["role"])
    admin.done("transitionTicket", ticket=origin["id"], status="done")
    assert admin.refused("spawnTicket", **said) == ("TICKET_CLOSED", ["ticket"])


def test_requesters_and_auditors_look_on(
    acme: Workspace, agent: Client, claire: Client, token: Callable[..., Client]
) -> None:
    own, other = agent.open(requester=claire.person), agent.open()
    agent.done("addComment", ticket=own["id"], body="Hello")
    comment = agent.ask("query($id: ID!) { ticket(id: $id) { comments { nodes { id } } } }", id=own["id"])
    commands: dict[str, dict[str, str]] = {
        "mergeTickets": {"into": other["id"]},
        "unmergeTicket": {},
        "splitTicket": {"comment": comment["comments"]["nodes"][0]["id"], "title": "x"},
        "spawnTicket": {"service": other["id"], "role": "TASK", "title": "x"},
    }
    auditor = token(acme, Scope.AUDITOR)
    for mutation, said in commands.items():
        if mutation == "spawnTicket":
            continue
        assert claire.refused(mutation, ticket=own["id"], **said) == ("FORBIDDEN", None)
        assert claire.refused(mutation, ticket=other["id"], **said) == ("TICKET_NOT_FOUND", ["ticket"])
        assert auditor.refused(mutation, ticket=own["id"], **said) == ("FORBIDDEN", None)
    agent.done("mergeTickets", ticket=own["id"], into=other["id"])
    shown = claire.ask(READ, id=own["id"])
    assert (shown["mergedInto"], shown["links"]["nodes"], said_by(shown)) == (None, [], ["Hello"])
    assert shown["status"]["category"] == "CANCELLED"


def said_by(shown: Any) -> list[str]:
    return [comment["body"] for comment in shown["comments"]["nodes"]]
