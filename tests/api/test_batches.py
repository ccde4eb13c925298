"""However many rows an answer has, what is nested in them is asked for together, and says the same as asked alone."""

from typing import Any

import pytest

from projections.reading import ReadModels
from tests.api.asking import Client

ROWS = 50
NESTED = """key assignee { name teams { key } } requester { name } parent { key } description version childCount
  comments(first: 1) { nodes { body author { name } } pageInfo { hasNextPage endCursor } totalCount }
  latest: comments(last: 1) { nodes { body } pageInfo { hasPreviousPage startCursor } }
  history(types: ["TicketOpened", "CommentAdded"], last: 2) { nodes { type actor { name } ticket { key } }
    pageInfo { hasPreviousPage startCursor } totalCount }
  children(first: 1) { nodes { key assignee { name } comments { totalCount } } edges { cursor }
    pageInfo { hasNextPage endCursor } totalCount }
  spans(first: 1) { nodes { seconds status { key } openedBy { type } closedBy { type } }
    pageInfo { hasNextPage } totalCount }"""
LIST = "query($first: Int, $at: AsOf) { tickets(first: $first, asOf: $at, orderBy: [{field: KEY}]) { nodes { %s } } }"

ALONE = "query($key: String, $at: AsOf) { ticket(key: $key, asOf: $at) { %s } }"


@pytest.fixture
def crowd(agent: Client) -> Client:
    """Fifty tickets; the first of them has most of the others as children, and talk."""
    first = agent.open("First", assignee=agent.person)
    for n in range(1, ROWS):
        parent = {"parent": first["id"]} if n % 3 else {}
        ticket = agent.open(f"Number {n}", requester=agent.person, **parent)
        for one in (first, ticket)[: n % 3]:
            agent.done("addComment", "ticket { id }", ticket=one["id"], body=f"Comment {n}")
    agent.done("setPriority", ticket=first["id"], priority="HIGH")
    return agent


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    sent: list[object] = []
    fetch_all = ReadModels.fetch_all

    async def counted(self: ReadModels, workspace: Any, *statements: Any, **how: bool) -> Any:
        sent.extend(query for query, _ in statements)
        return await fetch_all(self, workspace, *statements, **how)

    monkeypatch.setattr(ReadModels, "fetch_all", counted)
    return sent


def test_a_list_of_fifty_sends_as_many_statements_as_a_list_of_two(crowd: Client, statements: list[object]) -> None:
    def sent(first: int) -> int:
        statements.clear()
        assert len(crowd.ask(LIST % NESTED, first=first)["nodes"]) == first
        return len(statements)

    fifty, two = sent(ROWS), sent(2)
    # Which questions meet on their way, and go as one, depends on which of the answers before them comes first.
    assert fifty <= two + 2
    assert max(fifty, two) < 30


@pytest.mark.parametrize("past", [False, True])
def test_rows_of_a_list_say_what_each_says_alone(crowd: Client, past: bool) -> None:
    position = crowd.ask(LIST % "position", first=ROWS)["nodes"][-1]["position"]
    at = {"position": position} if past else None
    nested = NESTED.replace("seconds", "")  # which run on
    listed = crowd.ask(LIST % nested, first=ROWS, at=at)["nodes"]
    for ticket in (*listed[:4], listed[-1]):
        assert crowd.ask(ALONE % nested, key=ticket["key"], at=at) == ticket
    assert listed[0]["children"]["totalCount"] == listed[0]["childCount"] == 33


def test_pages_of_a_nested_list_go_on_where_they_ended(crowd: Client) -> None:
    page = "query($c: String) { tickets(first: 2, orderBy: [{field: KEY}]) { nodes { children(first: 10, after: $c) {"
    page += " nodes { key } pageInfo { endCursor hasNextPage hasPreviousPage } } } } }"
    keys: list[str] = []
    cursor, more = None, True
    while more:
        first, second = (ticket["children"] for ticket in crowd.ask(page, c=cursor)["nodes"])
        assert (second["nodes"], first["pageInfo"]["hasPreviousPage"]) == ([], cursor is not None)
        keys += [child["key"] for child in first["nodes"]]
        cursor, more = first["pageInfo"]["endCursor"], first["pageInfo"]["hasNextPage"]
    assert len(keys) == len(set(keys)) == 33
    assert keys == sorted(keys, key=lambda key: int(key.removeprefix("T-")))


def test_a_page_that_cannot_be_read_fails_alone(crowd: Client) -> None:
    answer = crowd.send(
        """{ tickets(first: 2, orderBy: [{field: KEY}]) { nodes {
          good: comments(first: 1) { nodes { body } } } }
          ticket(key: "T-1") { bad: comments(after: "x") { nodes { body } } } }"""
    )
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"BAD_USER_INPUT"}
    assert {tuple(error["path"]) for error in answer["errors"]} == {("ticket", "bad")}
    assert answer["data"]["tickets"]["nodes"][0]["good"]["nodes"] == [{"body": "Comment 1"}]


def test_members_of_many_teams_are_asked_for_together(admin: Client, statements: list[object]) -> None:
    for n in range(4):
        team = admin.done("addTeam", "team { id }", key=f"team{n}", name=f"Team {n}")
        for name in ("Boris", "Anna", "Clara")[:n]:
            admin.done("joinTeam", "team { id }", team=team["id"], person=admin.person_named(name))
    query = "{ teams { nodes { key members(first: 2) { nodes { name } pageInfo { hasNextPage } totalCount } } } }"
    statements.clear()
    teams = {team["key"]: team["members"] for team in admin.ask(query)["nodes"] if team["key"].startswith("team")}
    assert len(statements) <= 6  # two of them ask who it is, in one round trip
    assert [[one["name"] for one in team["nodes"]] for team in teams.values()] == [
        [],
        ["Boris"],
        ["Anna", "Boris"],
        ["Anna", "Boris"],
    ]
    assert [team["totalCount"] for team in teams.values()] == [0, 1, 2, 3]
    assert [team["pageInfo"]["hasNextPage"] for team in teams.values()] == [False, False, False, True]
