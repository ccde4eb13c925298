"""Boards over GraphQL."""

from datetime import UTC, datetime, timedelta
from typing import Any

from graphql import get_named_type, is_leaf_type

from api.schema import schema
from tests.api.asking import Client

graphql_schema = schema._schema  # pyright: ignore[reportPrivateUsage]


def test_by_process_the_columns_are_statuses(agent: Client) -> None:
    keys = [agent.open(f"Number {n}")["key"] for n in range(3)]
    board = agent.ask(
        """{ board(workflow: "support", cardsPerCell: 2) {
          columns { key name count wipLimit wipExceeded status { key category order } }
          rows { key } cells { column row count wipLimit cards { nodes { key } totalCount
            pageInfo { hasNextPage endCursor }
          edges { cursor node { key } } } } totalCount position } }"""
    )
    assert [column["key"] for column in board["columns"]][:2] == ["new", "in_progress"]
    assert board["columns"][1]["status"] == {"key": "in_progress", "category": "ACTIVE", "order": 1}
    assert (board["columns"][0]["wipLimit"], board["columns"][0]["wipExceeded"]) == (None, False)
    assert (board["rows"], board["totalCount"]) == ([], 3)
    [cell] = board["cells"]
    assert (cell["column"], cell["row"], cell["count"], cell["wipLimit"]) == ("new", None, 3, None)
    assert (cell["cards"]["nodes"], cell["cards"]["totalCount"]) == ([{"key": keys[0]}, {"key": keys[1]}], 3)
    assert cell["cards"]["pageInfo"]["hasNextPage"] is True
    more = agent.ask(
        """query($after: String) { boardCell(workflow: "support", column: "new", after: $after) {
          nodes { key } totalCount pageInfo { hasNextPage } } }""",
        after=cell["cards"]["pageInfo"]["endCursor"],
    )
    assert more == {"nodes": [{"key": keys[2]}], "totalCount": 3, "pageInfo": {"hasNextPage": False}}


def test_by_person_the_unassigned_have_a_column_of_their_own(agent: Client) -> None:
    agent.open("Free")
    agent.open("Held", assignee=agent.person)
    board = agent.ask(
        """{ board(columns: ASSIGNEE, rows: STATUS) {
          columns { key name count person { id name } } rows { key count status { name } }
          cells { column row cards { nodes { title assignee { id } } } } } }"""
    )
    nobody, somebody = board["columns"]
    assert (nobody["key"], nobody["person"]) == ("", None)
    assert somebody["person"] == {"id": agent.person, "name": "Agent"}
    assert [(row["key"], row["count"]) for row in board["rows"]] == [("new", 2)]
    held = next(cell for cell in board["cells"] if cell["column"] == somebody["key"])
    assert held["cards"]["nodes"] == [{"title": "Held", "assignee": {"id": agent.person}}]
    again = agent.ask(
        """query($column: String!) { boardCell(columns: ASSIGNEE, rows: STATUS, column: $column, row: "new") {
          nodes { title } } }""",
        column=somebody["key"],
    )
    assert again["nodes"] == [{"title": "Held"}]


def test_a_board_is_shown_as_it_was_and_its_cards_with_it(admin: Client) -> None:
    start = datetime.now(UTC) - timedelta(days=5)
    later = (start + timedelta(days=2)).isoformat()
    parent = admin.open("Parent", occurredAt=start.isoformat())
    child = admin.open("Child", parent=parent["id"], occurredAt=start.isoformat())
    admin.done("transitionTicket", ticket=parent["id"], status="waiting", occurredAt=later)
    admin.done("setParent", ticket=child["id"], parent=None, occurredAt=later)
    query = """query($at: AsOf) { board(asOf: $at) { totalCount
      cells { column cards { nodes { title parent { title status { key } } } } } } }"""
    then = admin.ask(query, at={"occurredAt": (start + timedelta(days=1)).isoformat()})
    [cell] = then["cells"]
    assert cell["column"] == "new"
    assert {"title": "Child", "parent": {"title": "Parent", "status": {"key": "new"}}} in cell["cards"]["nodes"]
    now = admin.ask(query)
    assert {cell["column"] for cell in now["cells"]} == {"new", "waiting"}


def test_every_axis_can_be_a_column(agent: Client) -> None:
    agent.open()
    for axis in ("STATUS", "CATEGORY", "ASSIGNEE", "TEAM", "PRIORITY", "SERVICE", "ROLE", "WORKFLOW"):
        board = agent.ask(
            f"{{ board(columns: {axis}, rows: PRIORITY) {{ totalCount columns {{ name count team {{ key }}"
            " service { key } } cells { count } } }"
        )
        assert sum(column["count"] for column in board["columns"]) == board["totalCount"] == 1


def test_a_card_shows_the_same_whatever_else_is_asked_of_it(admin: Client) -> None:
    team = admin.done("addTeam", "team { id }", key="second-line", name="Second line")["id"]
    parent = admin.open("Parent")["id"]
    held = admin.open(
        "Held", assignee=admin.person, team=team, parent=parent, tags=["vpn"], dueAt="2030-01-01T00:00:00Z"
    )
    admin.done("addComment", "ticket { key }", ticket=held["id"], body="Who has the key?")
    fields = [_asked(name, field.type) for name, field in _fields("Ticket") if "Connection" not in str(field.type)]
    halves = [_cards(admin, " ".join(fields[start::2])) for start in (0, 1)]  # all at once would cost too much
    together = [one | other for one, other in zip(*halves, strict=True)]
    assert len(together) == 2
    for field in fields:
        name = field.split()[0]
        assert _cards(admin, field) == [{name: card[name]} for card in together], name


def _fields(type_name: str) -> list[tuple[str, Any]]:
    of: Any = graphql_schema.get_type(type_name)
    return list(of.fields.items())


def _asked(name: str, of: Any) -> str:
    """With the leaves of an object; of the parent no more than its id, else the cards would be asked for it all."""
    named = get_named_type(of)
    if is_leaf_type(named):
        return name
    leaves = [leaf for leaf, field in _fields(named.name) if is_leaf_type(get_named_type(field.type))]
    return f"{name} {{ {' '.join(leaves) if named.name != 'Ticket' else 'id'} }}"


def _cards(client: Client, fields: str) -> list[Any]:
    board = client.ask(f"{{ board {{ cells {{ column cards {{ nodes {{ {fields} }} }} }} }} }}")
    return [card for cell in board["cells"] for card in cell["cards"]["nodes"]]
