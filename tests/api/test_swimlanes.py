"""Swimlanes by parent and by custom fields, and a board over several workflows by category."""

from typing import Any

from tests.api.asking import Client

FIELD = {
    "key": "severity",
    "name": "Severity",
    "type": "CHOICE",
    "choices": [{"key": "s1", "name": "High"}, {"key": "s2", "name": "Low"}],
}


def test_swimlanes_by_a_field_show_its_choices_in_their_order(admin: Client) -> None:
    admin.done("defineField", "field { key }", **FIELD)
    for fields in ({"severity": "s2"}, {"severity": "s2"}, {}):
        admin.open(fields=fields)
    query = """query($field: String, $at: AsOf) {
      board(workflow: "support", rows: FIELD, rowsField: $field, asOf: $at) {
        rows { key name count } cells { column row count } } }"""
    for at in (None, {"occurredAt": "2100-01-01T00:00:00Z"}):
        shown = admin.ask(query, field="severity", at=at)
        assert shown["rows"] == [
            {"key": "", "name": "No Severity", "count": 1},
            {"key": "s1", "name": "High", "count": 0},
            {"key": "s2", "name": "Low", "count": 2},
        ]
        assert {(cell["row"], cell["count"]) for cell in shown["cells"]} == {("", 1), ("s2", 2)}
    cell = """{ boardCell(workflow: "support", columns: FIELD, columnsField: "severity", column: "s2", first: 1) {
      totalCount pageInfo { hasNextPage } } }"""
    assert admin.ask(cell) == {"totalCount": 2, "pageInfo": {"hasNextPage": True}}
    admin.done("defineField", "field { key }", **{**FIELD, "choices": FIELD["choices"][:1]})
    assert [line["key"] for line in admin.ask(query, field="severity")["rows"]] == ["", "s1", "s2"]


def test_an_axis_by_field_names_a_field_with_choices(admin: Client) -> None:
    admin.done("defineField", "field { key }", key="room", name="Room", type="TEXT")
    query = "query($field: String) { board(columns: FIELD, columnsField: $field) { totalCount } }"
    for field in (None, "none", "room"):
        assert admin.codes(query, field=field) == ["BAD_USER_INPUT"]
    assert admin.codes('{ board(columnsField: "room") { totalCount } }') == ["BAD_USER_INPUT"]


def test_swimlanes_by_parent_bear_its_title(agent: Client) -> None:
    parents = [agent.open(title, role="PROJECT") for title in ("Website", "App")]
    for n, parent in enumerate((parents[0], parents[0], parents[1])):
        agent.open(f"Task {n}", role="TASK", parent=parent["id"])
    agent.open("Loose", role="TASK")
    shown: Any = agent.ask(
        '{ board(workflow: "task", rows: PARENT) { rows { key name count ticket { key } } cells { row count } } }'
    )
    assert [(line["name"], line["count"]) for line in shown["rows"]] == [("No parent", 1), ("App", 1), ("Website", 2)]
    assert [line["ticket"] for line in shown["rows"]] == [None, {"key": parents[1]["key"]}, {"key": parents[0]["key"]}]
    cell = """query($row: String) { boardCell(workflow: "task", rows: PARENT, column: "todo", row: $row) {
      nodes { title } } }"""
    assert agent.ask(cell, row=shown["rows"][1]["key"]) == {"nodes": [{"title": "Task 2"}]}


def test_a_board_over_several_workflows_by_category(agent: Client) -> None:
    agent.open("Call", role="INCIDENT")
    agent.open("Task", role="TASK")
    waiting = agent.open("Waits", role="INCIDENT")["id"]
    agent.done("transitionTicket", ticket=waiting, status="waiting")
    shown = agent.ask("{ board(columns: CATEGORY, rows: WORKFLOW) { columns { key count } rows { key count } } }")
    assert [(line["key"], line["count"]) for line in shown["columns"]] == [
        ("NEW", 2),
        ("ACTIVE", 0),
        ("WAITING", 1),
        ("REVIEW", 0),
        ("DONE", 0),
        ("CANCELLED", 0),
    ]
    assert [(line["key"], line["count"]) for line in shown["rows"]] == [("support", 2), ("task", 1)]
