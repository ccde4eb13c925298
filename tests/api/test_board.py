"""Boards over GraphQL."""

from datetime import UTC, datetime, timedelta

from tests.api.asking import Client


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
