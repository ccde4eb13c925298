"""Saved views over GraphQL: mine, my team's and the workspace's; checked when saved, opened for ever."""

from collections.abc import Callable
from typing import Any

from application.workspaces import Workspace
from domain.access import Scope
from tests.api.asking import Client
from tests.api.test_definitions import define, visit

VIEW = """view { id name mine team { key } favourite
  definition { workflow columns rows filter search orderBy { field direction } } }"""
LIST = "query($f: Boolean!) { views(favourites: $f) { nodes { name } totalCount } }"
WIDE: dict[str, Any] = {
    "workflow": "support",
    "columns": "STATUS",
    "rows": "ASSIGNEE",
    "filter": {
        "or": [{"assignee": {"isNull": True}}, {"priority": {"in": ["HIGH"]}}],
        "openedAt": {"gte": "2026-03-01T09:00:00+03:00"},
        "field": [{"key": "room", "eq": 12}],
    },
    "search": "принтер",
    "orderBy": [{"field": "DUE_AT", "direction": "DESC"}],
}


def names(client: Client, *, favourites: bool = False) -> list[str]:
    return [view["name"] for view in client.ask(LIST, f=favourites)["nodes"]]


def test_a_view_is_saved_and_comes_back_as_it_was_written(agent: Client) -> None:
    saved = agent.done("saveView", VIEW, name="Срочные", definition=WIDE)
    filter_ = {**WIDE["filter"], "openedAt": {"gte": "2026-03-01T06:00:00.000000Z"}}
    assert saved["definition"] == {**WIDE, "filter": filter_}
    assert (saved["name"], saved["mine"], saved["team"], saved["favourite"]) == ("Срочные", True, None, False)
    query = 'query($f: TicketFilter) { board(workflow: "support", filter: $f) { totalCount } }'
    assert agent.ask(query, f=saved["definition"]["filter"]) == {"totalCount": 0}
    assert agent.ask("query($v: ID!) { node(id: $v) { ... on View { name } } }", v=saved["id"]) == {"name": "Срочные"}
    assert agent.done("saveView", VIEW, name="All", definition={})["definition"]["filter"] is None


def test_views_are_mine_my_team_s_and_the_workspace_s(
    acme: Workspace, admin: Client, agent: Client, token: Callable[..., Client]
) -> None:
    other = token(acme, Scope.AGENT, name="Other")
    team = admin.done("addTeam", "team { id }", key="first", name="First")["id"]
    admin.done("joinTeam", "team { id }", team=team, person=agent.person)
    agent.done("saveView", VIEW, name="B mine", definition={})
    ours = agent.done("saveView", VIEW, name="A team's", definition={}, team=team)
    assert (ours["mine"], ours["team"]) == (False, {"key": "first"})
    admin.done("saveView", VIEW, name="C workspace's", definition={}, shared=True)
    assert names(agent) == ["A team's", "B mine", "C workspace's"]
    assert names(other) == ["C workspace's"]
    other.done("favouriteView", VIEW, view=ours["id"])
    assert names(other) == ["A team's", "C workspace's"]
    assert names(other, favourites=True) == ["A team's"]
    assert names(agent, favourites=True) == []


def test_a_view_is_changed_and_deleted_by_those_whose_it_is(admin: Client, agent: Client) -> None:
    mine = agent.done("saveView", VIEW, name="Mine", definition=WIDE)["id"]
    shared = admin.done("saveView", VIEW, name="Shared", definition={}, shared=True)["id"]
    changed = agent.done("updateView", VIEW, view=mine, name="Late", definition={"columns": "TEAM"})
    definition = changed["definition"]
    assert (changed["name"], definition["columns"], definition["filter"]) == ("Late", "TEAM", None)
    assert agent.done("updateView", VIEW, view=mine, name="Later")["definition"]["columns"] == "TEAM"
    assert admin.refused("updateView", view=mine, name="x") == ("VIEW_NOT_FOUND", ["view"])
    assert admin.refused("favouriteView", view=mine) == ("VIEW_NOT_FOUND", ["view"])
    assert admin.refused("deleteView", view=mine) == ("VIEW_NOT_FOUND", ["view"])
    assert admin.ask("query($v: ID!) { node(id: $v) { id } }", v=mine) is None
    assert agent.refused("updateView", view=shared, name="x") == ("FORBIDDEN", None)
    assert agent.refused("deleteView", view=shared) == ("FORBIDDEN", None)
    assert agent.done("favouriteView", VIEW, view=shared)["favourite"] is True
    assert agent.done("unfavouriteView", VIEW, view=shared)["favourite"] is False
    assert agent.command("deleteView", VIEW, view=mine)["view"] is None
    assert agent.refused("unfavouriteView", view=mine) == ("VIEW_NOT_FOUND", ["view"])
    assert names(agent) == ["Shared"]


def test_a_view_is_checked_when_it_is_saved(
    acme: Workspace, agent: Client, admin: Client, token: Callable[..., Client]
) -> None:
    def refusal(**definition: Any) -> tuple[str, list[str] | None]:
        return agent.refused("saveView", name="x", definition=definition)

    assert refusal(filter={"assignee": {"eq": "nobody"}}) == ("INVALID_VALUE", ["definition", "filter"])
    assert refusal(filter={"assignee": {"eq": None}}) == ("INVALID_VALUE", ["definition", "filter"])
    assert refusal(workflow="none") == ("INVALID_VALUE", ["definition", "workflow"])
    assert refusal(orderBy=[{"field": "KEY"}] * 5) == ("INVALID_VALUE", ["definition", "orderBy"])
    deep: dict[str, Any] = {}
    for _ in range(10):
        deep = {"not": deep}
    assert refusal(filter=deep) == ("INVALID_VALUE", ["definition", "filter"])
    assert agent.refused("saveView", name="", definition={}) == ("INVALID_VALUE", ["name"])
    assert agent.refused("saveView", name="x", definition={}, shared=True) == ("FORBIDDEN", None)
    assert agent.refused("saveView", name="x", definition={}, team="x") == ("TEAM_NOT_FOUND", ["team"])
    assert token(acme, Scope.AUDITOR).refused("saveView", name="x", definition={}) == ("FORBIDDEN", None)
    assert token(acme, Scope.REQUESTER).codes("{ views { totalCount } }") == ["FORBIDDEN"]
    admin.done("defineField", "field { key }", key="hours", name="Hours", type="NUMBER")
    wrong = {"field": [{"key": "hours", "gt": "many"}]}
    refused = admin.refused("saveView", name="x", definition={"filter": wrong})
    assert refused == ("INVALID_VALUE", ["definition", "filter"])


def test_a_view_of_a_status_that_is_gone_still_opens(admin: Client) -> None:
    define(admin)
    definition = {"workflow": "visit", "filter": {"status": {"in": ["review"]}}}
    view = admin.done("saveView", VIEW, name="In review", definition=definition)["id"]
    admin.done("defineWorkflow", "workflow { version }", **visit("planned"))
    kept = admin.ask("query($v: ID!) { node(id: $v) { ... on View { definition { workflow filter } } } }", v=view)
    assert kept["definition"] == definition
    query = "query($w: String, $f: TicketFilter) { board(workflow: $w, filter: $f) { totalCount } }"
    assert admin.ask(query, w="visit", f=kept["definition"]["filter"]) == {"totalCount": 0}
    assert admin.done("updateView", VIEW, view=view, definition=definition)["name"] == "In review"
