"""Repositories and links through the API: one happy path and one refusal for every mutation."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from api.ids import Kind, decode
from api.traceability import page_of
from api.traceability_cli import scan_clone
from application.workspaces import Workspace, operator
from domain.traceability.repositories import ChangeKind, Provider
from projections.rows import CodeChangeRow, RepositoryRow
from tests.api.asking import Client
from tests.api.conftest import Server
from tests.gitting import Work

REPOSITORY = (
    "repository { id key name provider url defaultBranch trailers mainline commitCount"
    " trackers { prefix externalKey first last since until } }"
)
CHANGES = """query($t: ID!, $least: Int! = 0, $p: Position) { ticket(id: $t, minPosition: $p) {
  changes(leastConfidence: $least) { totalCount nodes {
    source confidence evidence linkedAt change { kind name title author at state url repository { key } } } } } }"""


@pytest.fixture
def shop(admin: Client) -> str:
    defined = admin.done("defineRepository", REPOSITORY, key="shop", name="Магазин", url="https://github.com/acme/shop")
    return str(defined["id"])


def test_a_repository_is_defined_listed_and_defined_anew(admin: Client, agent: Client, claire: Client) -> None:
    tracker = {"prefix": "#", "externalKey": None, "last": 20, "until": "2026-01-01T00:00:00Z"}
    first = admin.done(
        "defineRepository",
        REPOSITORY,
        key="shop",
        name="Магазин",
        provider="GITHUB",
        url="https://github.com/acme/shop",
        trackers=[tracker, {}],
        trailers=["Ticket", "Refs"],
    )
    assert (first["provider"], first["trailers"], first["commitCount"]) == ("GITHUB", ["Ticket", "Refs"], 0)
    assert first["trackers"][0] == {**tracker, "first": 1, "since": None, "until": "2026-01-01T00:00:00.000000Z"}
    assert first["trackers"][1]["externalKey"] == "{number}"
    again = admin.done("defineRepository", REPOSITORY, key="Shop", name="Лавка", defaultBranch="main")
    assert (again["id"], again["key"], again["name"], again["trackers"]) == (first["id"], "shop", "Лавка", [])
    listed = agent.ask("{ repositories { totalCount nodes { key name } } }")
    assert listed == {"totalCount": 1, "nodes": [{"key": "shop", "name": "Лавка"}]}
    query = "query($id: ID!) { node(id: $id) { ... on Repository { key } } }"
    assert agent.ask(query, id=first["id"]) == {"key": "shop"}
    assert claire.ask(query, id=first["id"]) is None
    assert claire.codes("{ repositories { nodes { key } } }") == ["FORBIDDEN"]


def test_a_definition_that_cannot_be_is_refused(admin: Client, agent: Client) -> None:
    assert admin.refused("defineRepository", key="shop", name="Shop", url="ssh://x") == ("INVALID_VALUE", ["url"])
    assert agent.refused("defineRepository", key="shop", name="Shop") == ("FORBIDDEN", None)


def test_links_are_added_confirmed_and_rejected(admin: Client, agent: Client, claire: Client, shop: str) -> None:
    ticket = agent.open()["id"]
    of = {"ticket": ticket, "repository": shop}
    for mutation, change in (("addChangeLink", "a" * 40), ("confirmChangeLink", "b" * 40)):
        assert agent.command(mutation, "", **of, change=change)["userErrors"] == []
    assert agent.command("rejectChangeLink", "", **of, change="b" * 40)["userErrors"] == []
    done = agent.command("addChangeLink", "", **of, kind="REQUEST", change="19")
    changes = agent.ask(CHANGES, t=ticket, p=done["position"])["changes"]
    assert changes["totalCount"] == 2
    assert {(one["change"]["kind"], one["change"]["name"]) for one in changes["nodes"]} == {
        ("COMMIT", "a" * 40),
        ("REQUEST", "19"),
    }
    assert {(one["source"], one["confidence"]) for one in changes["nodes"]} == {("PERSON", 100)}
    history = admin.ask('{ events(types: ["LinkAdded"]) { nodes { type changes { path to } data } } }')["nodes"]
    assert [one["type"] for one in history] == ["LinkAdded", "LinkAdded"]
    assert history[0]["data"]["change"] == "a" * 40
    assert claire.refused("addChangeLink", **of, change="a" * 40) == ("FORBIDDEN", None)


def test_links_that_cannot_be_are_refused(agent: Client, shop: str) -> None:
    ticket = agent.open()["id"]
    for mutation in ("addChangeLink", "confirmChangeLink", "rejectChangeLink"):
        of = {"ticket": ticket, "repository": shop}
        assert agent.refused(mutation, **of, change="short") == ("INVALID_VALUE", ["change"])
        assert agent.refused(mutation, ticket=ticket, repository="x", change="a" * 40) == (
            "REPOSITORY_NOT_FOUND",
            ["repository"],
        )
        assert agent.refused(mutation, ticket="x", repository=shop, change="a" * 40) == (
            "TICKET_NOT_FOUND",
            ["ticket"],
        )


def test_merge_requests_and_reviews_are_recorded(admin: Client, agent: Client, shop: str) -> None:
    said = {"repository": shop, "number": 19}
    first = admin.command("recordMergeRequest", "", **said, title="Form", head="a" * 40, branch="T-1")
    assert first["userErrors"] == []
    merged = admin.command(
        "recordMergeRequest", "", **said, state="MERGED", mergeCommit="b" * 40, at="2026-03-01T09:00:00Z"
    )
    assert (merged["userErrors"], merged["version"]) == ([], 2)
    review = admin.command("recordReview", "", **said, verdict="APPROVED", reviewer="Борис")
    assert (review["userErrors"], review["version"]) == ([], 3)
    assert admin.refused("recordMergeRequest", repository=shop, number=20) == ("FIELD_REQUIRED", ["title"])
    assert admin.refused("recordReview", repository=shop, number=20, verdict="APPROVED") == (
        "INVALID_VALUE",
        ["number"],
    )
    assert agent.refused("recordMergeRequest", **said) == ("FORBIDDEN", None)
    assert agent.refused("recordReview", **said, verdict="APPROVED") == ("FORBIDDEN", None)


def test_a_scan_beside_a_server_links_what_it_finds(
    server: Server, acme: Workspace, admin: Client, agent: Client, claire: Client, shop: str, tmp_path: Path
) -> None:
    ticket = agent.open()
    work = Work(tmp_path / "shop")
    sha = work.commit(f"Форма заказа\n\nTicket: {ticket['key']}")
    repository = decode(shop, Kind.REPOSITORY)
    scanned, linked = scan_clone(server.database, server.store, operator(acme.id), repository, work.path)
    assert (scanned.commits, linked.links) == (1, 1)
    changes = agent.ask(CHANGES, t=ticket["id"], p=str(linked.position))["changes"]
    assert changes["nodes"][0]["change"] == {
        "kind": "COMMIT",
        "name": sha,
        "title": "Форма заказа",
        "author": "Анна Иванова",
        "at": "2026-01-01T09:01:00.000000Z",
        "state": None,
        "url": None,
        "repository": {"key": "shop"},
    }
    assert agent.ask(CHANGES, t=ticket["id"], least=99)["changes"]["totalCount"] == 0
    [repository_row] = admin.ask("{ repositories { nodes { mainline commitCount } } }")["nodes"]
    assert repository_row == {"mainline": sha, "commitCount": 1}
    types = 'types: ["CommitsRecorded", "CommitsIntroduced", "ChangesLinked"]'
    told = admin.ask(f"{{ events({types}) {{ nodes {{ type channel data }} }} }}")["nodes"]
    assert [(one["type"], one["channel"]) for one in told] == [
        ("CommitsRecorded", "scan"),
        ("CommitsIntroduced", "scan"),
        ("ChangesLinked", "scan"),
    ]
    assert told[0]["data"] == {"commits": 1, "first": sha, "last": sha}


@pytest.mark.parametrize(
    ("provider", "commit", "request_page"),
    [
        (Provider.GITHUB, "/commit/abc", "/pull/abc"),
        (Provider.GITLAB, "/-/commit/abc", "/-/merge_requests/abc"),
        (Provider.GITEA, "/commit/abc", "/pulls/abc"),
        (Provider.GIT, None, None),
    ],
)
def test_changes_have_their_pages(provider: Provider, commit: str | None, request_page: str | None) -> None:
    url = "https://git.example/acme/shop"
    row = RepositoryRow(
        id=UUID(int=1),
        key="shop",
        name="Shop",
        provider=provider,
        url=url,
        default_branch=None,
        trackers=[],
        trailers=[],
        mainline=None,
        webhook_secured=False,
    )
    for kind, page in ((ChangeKind.COMMIT, commit), (ChangeKind.REQUEST, request_page)):
        change = CodeChangeRow(
            repository=row.id, kind=kind, name="abc", title=None, author=None, at=datetime.now(UTC), state=None
        )
        assert page_of(row, change) == (None if page is None else url + page)
