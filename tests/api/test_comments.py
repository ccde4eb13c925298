"""Comments over GraphQL: written, answered, edited, withdrawn; whom they name; what a requester reads of them."""

from collections.abc import Callable
from typing import Any

from application.workspaces import Workspace
from domain.access import Scope
from tests.api.asking import Client
from tests.api.subscribing import opened
from tests.served import Served

SHOW = """ticket { commentCount viewerCan watchers { nodes { id } } comments { nodes {
    id body visibility author { id } inReplyTo editedAt withdrawn mentions { id } viewerCan } totalCount } }"""
EVENTS = """subscription($after: Position) { events(afterPosition: $after) {
    type data changes { path from to } } }"""
BOTH = ["editComment", "withdrawComment"]


def said(client: Client, ticket: str, body: str, **more: Any) -> Any:
    """The comment that was added, which is the last."""
    return client.done("addComment", SHOW, ticket=ticket, body=body, **more)["comments"]["nodes"][-1]


def test_comments_are_written_answered_and_paged(agent: Client) -> None:
    ticket = agent.open()
    show = "ticket { commentCount comments { nodes { id body visibility author { id } inReplyTo } totalCount } }"
    [first] = agent.done("addComment", show, ticket=ticket["id"], body="On it.")["comments"]["nodes"]
    assert (first["body"], first["visibility"], first["author"]) == ("On it.", "PUBLIC", {"id": agent.person})
    answered = agent.done(
        "addComment", show, ticket=ticket["id"], body="Good.", visibility="INTERNAL", inReplyTo=first["id"]
    )
    assert answered["commentCount"] == answered["comments"]["totalCount"] == 2
    assert answered["comments"]["nodes"][1]["inReplyTo"] == first["id"]
    assert agent.ask("query($id: ID!) { node(id: $id) { id ... on Comment { body } } }", id=first["id"]) == {
        "id": first["id"],
        "body": "On it.",
    }
    assert agent.refused("addComment", ticket=ticket["id"], body=" ") == ("INVALID_VALUE", ["body"])
    assert agent.refused("addComment", ticket=ticket["id"], body="x", inReplyTo="x") == (
        "COMMENT_NOT_FOUND",
        ["inReplyTo"],
    )


def test_an_author_edits_a_comment(agent: Client) -> None:
    ticket = agent.open()["id"]
    first = said(agent, ticket, "Restarting the roter")
    assert (first["editedAt"], first["withdrawn"], first["viewerCan"]) == (None, False, BOTH)
    said(agent, ticket, "Done")
    shown = agent.done("editComment", SHOW, ticket=ticket, comment=first["id"], body=" Restarting the router ")
    edited, second = shown["comments"]["nodes"]
    assert (edited["id"], edited["body"], edited["editedAt"] is None) == (first["id"], "Restarting the router", False)
    assert (second["body"], second["editedAt"], shown["commentCount"]) == ("Done", None, 2)
    same = agent.command("editComment", ticket=ticket, comment=first["id"], body="Restarting the router")
    assert (same["version"], same["userErrors"]) == (4, [])
    comment = first["id"]
    assert agent.refused("editComment", ticket=ticket, comment=comment, body=" ") == ("INVALID_VALUE", ["body"])
    assert agent.refused("editComment", ticket=ticket, comment="x", body="x") == ("COMMENT_NOT_FOUND", ["comment"])
    other = agent.open()["id"]
    assert agent.refused("editComment", ticket=other, comment=comment, body="x") == ("COMMENT_NOT_FOUND", ["comment"])
    assert agent.refused("editComment", ticket="x", comment=comment, body="x") == ("TICKET_NOT_FOUND", ["ticket"])
    refused = agent.refused("editComment", ticket=ticket, comment=comment, body="x", expectedVersion=1)
    assert refused == ("CONFLICT", ["expectedVersion"])


def test_a_comment_is_withdrawn_by_its_author_or_a_manager(
    acme: Workspace, agent: Client, token: Callable[..., Client]
) -> None:
    manager, colleague = token(acme, Scope.MANAGER, name="Manager"), token(acme, Scope.AGENT, name="Colleague")
    ticket = agent.open()["id"]
    own, theirs = (
        said(agent, ticket, "Oops", mentions=[agent.person]),
        said(agent, ticket, "Rude", visibility="INTERNAL"),
    )
    for refused in (
        colleague.refused("withdrawComment", ticket=ticket, comment=own["id"]),
        colleague.refused("editComment", ticket=ticket, comment=own["id"], body="x"),
        manager.refused("editComment", ticket=ticket, comment=own["id"], body="x"),
    ):
        assert refused == ("FORBIDDEN", ["comment"])
    reading = "query($id: ID!) { ticket(id: $id) { comments { nodes { viewerCan } } } }"
    for client, can in ((colleague, []), (manager, ["withdrawComment"]), (agent, BOTH)):
        shown = client.ask(reading, id=ticket)["comments"]["nodes"]
        assert [comment["viewerCan"] for comment in shown] == [can, can]
    agent.done("withdrawComment", ticket=ticket, comment=own["id"])
    withdraw: dict[str, Any] = {"ticket": ticket, "comment": theirs["id"], "reason": "Not our tone"}
    for version in (6, 6):
        payload = manager.command("withdrawComment", SHOW, **withdraw)
        assert (payload["version"], payload["userErrors"]) == (version, [])
    comments = payload["ticket"]["comments"]["nodes"]
    assert [(one["body"], one["withdrawn"], one["mentions"], one["viewerCan"]) for one in comments] == [
        ("", True, [], [])
    ] * 2
    assert comments[1]["visibility"] == "INTERNAL"
    edit = {"ticket": ticket, "comment": own["id"], "body": "x"}
    assert agent.refused("editComment", **edit) == ("COMMENT_WITHDRAWN", ["comment"])
    assert agent.refused("withdrawComment", ticket=ticket, comment="x") == ("COMMENT_NOT_FOUND", ["comment"])
    assert manager.refused("withdrawComment", ticket="x", comment=own["id"]) == ("TICKET_NOT_FOUND", ["ticket"])
    auditor = token(acme, Scope.AUDITOR)
    assert auditor.refused("withdrawComment", ticket=ticket, comment=own["id"]) == ("FORBIDDEN", None)
    assert auditor.refused("editComment", **edit) == ("FORBIDDEN", None)
    then = "query($id: ID!, $at: AsOf) { ticket(id: $id, asOf: $at) { comments { nodes { body viewerCan } } } }"
    past = auditor.ask(then, id=ticket, at={"position": str(int(payload["position"]) - 2)})["comments"]["nodes"]
    assert past == [{"body": "Oops", "viewerCan": []}, {"body": "Rude", "viewerCan": []}]


def test_a_manager_edits_in_the_authors_name(acme: Workspace, agent: Client, token: Callable[..., Client]) -> None:
    manager, ticket = token(acme, Scope.MANAGER), agent.open()["id"]
    comment = said(agent, ticket, "Oops")["id"]
    edit = {"ticket": ticket, "comment": comment, "body": "By phone", "onBehalfOf": agent.person}
    [edited] = manager.done("editComment", SHOW, **edit)["comments"]["nodes"]
    assert (edited["body"], edited["author"]) == ("By phone", {"id": agent.person})
    theirs = said(manager, ticket, "Told by phone", onBehalfOf=agent.person)
    assert theirs["author"] == {"id": agent.person}
    agent.done("editComment", ticket=ticket, comment=theirs["id"], body="Told by telephone")


def test_who_is_mentioned_is_shown_and_watches(admin: Client, agent: Client) -> None:
    anna, boris = admin.person_named("Anna"), admin.person_named("Boris")
    ticket = agent.open()["id"]
    shown = agent.done("addComment", SHOW, ticket=ticket, body="@Anna, please", mentions=[anna, anna])
    [comment] = shown["comments"]["nodes"]
    assert (comment["mentions"], shown["watchers"]["nodes"]) == ([{"id": anna}], [{"id": anna}])
    agent.done("unwatchTicket", ticket=ticket, person=anna)
    edit: dict[str, Any] = {"ticket": ticket, "comment": comment["id"], "body": "@Anna, @Boris, please"}
    kept = agent.done("editComment", SHOW, **edit)
    assert (kept["comments"]["nodes"][0]["mentions"], kept["watchers"]["nodes"]) == ([{"id": anna}], [])
    both = agent.done("editComment", SHOW, **edit, mentions=[anna, boris])
    assert both["comments"]["nodes"][0]["mentions"] == [{"id": anna}, {"id": boris}]
    assert both["watchers"]["nodes"] == [{"id": boris}], "whoever went stays away"
    nobody = agent.done("editComment", SHOW, **edit, mentions=None)
    assert nobody["comments"]["nodes"][0]["mentions"] == []
    for stranger in (ticket, "x"):
        named = {"ticket": ticket, "body": "x", "mentions": [anna, stranger]}
        assert agent.refused("addComment", **named) == ("PERSON_NOT_FOUND", ["mentions"])
        assert agent.refused("editComment", **named, comment=comment["id"]) == ("PERSON_NOT_FOUND", ["mentions"])
    admin.done("deactivatePerson", "person { id }", person=boris)
    refused = agent.command("addComment", "", ticket=ticket, body="x", mentions=[boris])["userErrors"]
    assert [(error["code"], error["field"]) for error in refused] == [("PERSON_NOT_FOUND", ["mentions"])]
    assert boris in refused[0]["message"], "in the client's words"


def test_a_requester_edits_and_withdraws_their_own_and_reads_no_text_that_was_taken_back(
    agent: Client, claire: Client
) -> None:
    ticket = claire.open()["id"]
    own = said(claire, ticket, "My pasword is 1234")
    public = said(agent, ticket, "You are wrong")
    internal = said(agent, ticket, "A hopeless case", visibility="INTERNAL")
    assert own["viewerCan"] == BOTH
    for comment, refused in ((public, "FORBIDDEN"), (internal, "COMMENT_NOT_FOUND")):
        named = {"ticket": ticket, "comment": comment["id"]}
        assert claire.refused("editComment", **named, body="x") == (refused, ["comment"])
        assert claire.refused("withdrawComment", **named) == (refused, ["comment"])
    before = agent.ask("query($id: ID!) { ticket(id: $id) { position } }", id=ticket)["position"]
    claire.done("editComment", ticket=ticket, comment=own["id"], body="My password was stolen")
    agent.done("editComment", ticket=ticket, comment=internal["id"], body="Hopeless")
    agent.done("withdrawComment", ticket=ticket, comment=public["id"])
    reading = """query($id: ID!, $at: AsOf) { ticket(id: $id, asOf: $at) { comments { nodes { body withdrawn } }
      history { nodes { type data changes { from to } } } } }"""
    for at in (None, {"position": before}):
        shown = claire.ask(reading, id=ticket, at=at)
        assert [comment["body"] for comment in shown["comments"]["nodes"]] == ["My password was stolen", ""]
        for text in ("1234", "wrong", "opeless"):
            assert text not in str(shown)
    everything = agent.ask(reading, id=ticket)["history"]["nodes"]
    assert [event["changes"] for event in everything[-2:]] == [
        [{"from": "A hopeless case", "to": "Hopeless"}],
        [{"from": "You are wrong", "to": None}],
    ]


def test_a_requester_learns_nothing_of_an_internal_comment_by_answering_it(agent: Client, claire: Client) -> None:
    ticket, foreign = claire.open()["id"], agent.open()["id"]
    internal = said(agent, ticket, "Between us", visibility="INTERNAL")["id"]
    elsewhere = said(agent, foreign, "Elsewhere")["id"]
    answers = [
        claire.command("addComment", "", ticket=ticket, body="What?", inReplyTo=id_)["userErrors"][0]
        for id_ in (internal, elsewhere)
    ]
    for answer, id_ in zip(answers, (internal, elsewhere), strict=True):
        assert (answer["code"], answer["field"]) == ("COMMENT_NOT_FOUND", ["inReplyTo"])
        assert answer["message"].replace(id_, "…") == answers[0]["message"].replace(internal, "…")
    public = {"ticket": ticket, "body": "What?", "inReplyTo": internal, "visibility": "PUBLIC"}
    assert agent.refused("addComment", **public) == ("INVALID_VALUE", ["visibility"])


def test_a_requester_mentions_whom_they_met_on_the_ticket(admin: Client, agent: Client, claire: Client) -> None:
    ticket, anna = claire.open()["id"], admin.person_named("Anna")
    named = {"ticket": ticket, "body": "@you"}
    for stranger in (agent.person, anna):
        assert claire.refused("addComment", **named, mentions=[stranger]) == ("PERSON_NOT_FOUND", ["mentions"])
    said(agent, ticket, "Good morning")
    assert said(claire, ticket, "@Agent", mentions=[agent.person])["mentions"] == [{"id": agent.person}]


def test_edits_are_told_live(live: Served, agent: Client, claire: Client) -> None:
    ticket = claire.open()["id"]
    public = said(agent, ticket, "One")["id"]
    secret = said(agent, ticket, "Psst", visibility="INTERNAL")["id"]
    before = agent.ask("{ status { head } }")["head"]
    with opened(live.socket, agent.secret) as staff, opened(live.socket, claire.secret) as customer:
        told, hers = staff.subscribe(EVENTS, after=before), customer.subscribe(EVENTS, after=before)
        agent.done("editComment", ticket=ticket, comment=secret, body="Psst!")
        agent.done("editComment", ticket=ticket, comment=public, body="Two")
        agent.done("withdrawComment", ticket=ticket, comment=public)
        changes = [told.next()["changes"] for _ in range(3)]
        assert [(change["from"], change["to"]) for [change] in changes] == [
            ("Psst", "Psst!"),
            ("One", "Two"),
            ("Two", None),
        ]
        heard = [hers.next() for _ in range(2)]
        assert [event["type"] for event in heard] == ["CommentEdited", "CommentWithdrawn"]
        assert "One" not in str(heard)
        assert heard[1]["changes"][0]["from"] is None
