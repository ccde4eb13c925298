"""Custom fields in imports: values are what the workspace's definitions say, or their rows are rejected."""

import json
from pathlib import Path

import pytest

from api.imports import known_names
from application import people as people_commands
from application import teams as team_commands
from application import workflows as workflow_commands
from application.event_store.streams import EventStore
from application.handling import Context
from application.workspaces import Workspace, operator
from domain.custom_fields import Choice, DefineField, Field, FieldType, RetireField
from domain.people import AddPerson
from domain.teams import AddTeam
from domain.text import FieldValue
from tests.application.test_imports import HEADER, MAPPING, Desk

FIELDS = (
    Field(key="count", name="Count", type=FieldType.INTEGER),
    Field(key="paid", name="Paid", type=FieldType.BOOLEAN),
    Field(key="until", name="Until", type=FieldType.DATE),
    Field(key="since", name="Since", type=FieldType.TIME),
    Field(key="severity", name="S", type=FieldType.CHOICE, choices=(Choice(key="s1", name="Всё стоит"),)),
    Field(
        key="areas",
        name="Areas",
        type=FieldType.CHOICES,
        choices=(Choice(key="net", name="Network"), Choice(key="mail", name="Mail")),
    ),
    Field(key="owner", name="Owner", type=FieldType.PERSON),
    Field(key="group", name="Group", type=FieldType.TEAM),
    Field(key="site", name="Site", type=FieldType.URL),
    Field(key="sprint", name="Sprint", type=FieldType.TEXT, roles=("TASK",)),
    Field(key="old", name="Old", type=FieldType.TEXT),
)


@pytest.fixture
def desk(store: EventStore, workspace: Workspace, tmp_path: Path) -> Desk:
    return Desk(store, workspace.id, tmp_path)


def defined(desk: Desk) -> None:
    chief = Context(actor=operator(desk.workspace))
    for field in FIELDS:
        workflow_commands.handle(desk.store, chief, DefineField(field=field))
    workflow_commands.handle(desk.store, chief, RetireField(field="old"))


def with_field(key: str, *cells: str) -> tuple[str, str]:
    """A file of tickets with this field, and its mapping."""
    lines = "".join(
        f"{n},01/03/2016 09:00,New,?,?,?,?,{json.dumps(cell, ensure_ascii=False)}\n" for n, cell in enumerate(cells)
    )
    return f"{HEADER},value\n{lines}", f'{MAPPING}\n[fields.{key}]\ncolumn = "value"\n'


@pytest.mark.parametrize(
    ("key", "cell", "value"),
    [
        ("count", " 12 ", 12),
        ("paid", "Yes", True),
        ("until", "2026-03-01", "2026-03-01"),
        ("since", "2026-03-01T09:00:00+03:00", "2026-03-01T06:00:00.000000Z"),
        ("severity", "s1", "s1"),
        ("severity", "Всё стоит", "s1"),
        ("areas", "Mail, net", ("net", "mail")),
        ("site", "https://example.org/a", "https://example.org/a"),
        ("unknown", "anything", "anything"),
    ],
)
def test_values_of_defined_fields_are_taken_in_their_one_spelling(
    desk: Desk, key: str, cell: str, value: FieldValue
) -> None:
    defined(desk)
    summary = desk.take(*with_field(key, cell))
    assert (summary.rejected, desk.tickets()["0"].fields) == (0, {key: value})


@pytest.mark.parametrize(
    ("key", "cell", "reason"),
    [
        ("count", "many", "count is a whole number within"),
        ("paid", "perhaps", "paid is true or false; got 'perhaps'"),
        ("until", "01/03/2026", "until is a date, as 2026-03-01; got '01/03/2026'"),
        ("since", "2026-03-01 09:00", "since is a time with an offset"),
        ("severity", "s9", "severity is one of its choices; got 's9'. Choices: s1"),
        ("areas", "Mail, phone", "areas is a list of its choices"),
        ("owner", "Ann", "owner is the id of a person; got 'Ann'"),
        ("owner", "00000000-0000-0000-0000-000000000007", "There is no active person"),
        ("group", "00000000-0000-0000-0000-000000000007", "There is no team"),
        ("site", "javascript:alert(1)", "site is an address"),
        ("sprint", "7", "Tickets of the role INCIDENT have no field 'sprint'"),
        ("old", "7", "There is no field 'old'"),
    ],
)
def test_a_value_that_is_none_of_its_field_goes_to_the_rejects_and_the_rest_goes_on(
    desk: Desk, key: str, cell: str, reason: str
) -> None:
    defined(desk)
    summary = desk.take(*with_field(key, cell, ""))
    [(line, told)] = desk.rejects()
    assert line == 2
    assert told.startswith(reason)
    assert (summary.rejected, summary.imported, set(desk.tickets())) == (1, 1, {"1"})
    assert desk.tickets()["1"].number == 1, "no number is lost with it"


def test_people_are_named_by_id_name_or_e_mail_and_teams_by_id_name_or_key(desk: Desk) -> None:
    defined(desk)
    chief = Context(actor=operator(desk.workspace))
    ann = people_commands.handle(desk.store, chief, AddPerson(name="Анна", email="Ann@example.com")).stream
    for _ in range(2):
        people_commands.handle(desk.store, chief, AddPerson(name="Twin"))
    line = team_commands.handle(desk.store, chief, AddTeam(key="line", name="Первая линия")).stream
    known = known_names(desk.store.database, chief.actor)
    owners = (str(ann).upper(), "Анна", "ann@EXAMPLE.com", "Twin")
    desk.take(*with_field("owner", *owners), known=known)
    assert [ticket.fields for ticket in desk.tickets().values()] == [{"owner": str(ann)}] * 3
    [(_, told)] = desk.rejects()
    assert told == "owner is the id of a person; got 'Twin'", "two are called so"
    content, mapping = with_field("group", str(line), "Первая линия", "line")
    desk.take(content.replace("\n", "\nT"), mapping, known=known)
    assert [desk.tickets()[f"T{n}"].fields for n in range(3)] == [{"group": str(line)}] * 3


def test_who_holds_a_ticket_is_named_by_id_name_or_e_mail(desk: Desk) -> None:
    chief = Context(actor=operator(desk.workspace))
    ann = people_commands.handle(desk.store, chief, AddPerson(name="Анна", email="ann@example.com")).stream
    known = known_names(desk.store.database, chief.actor)
    rows = "".join(
        f"{n},01/03/2016 09:00,New,{name},?,?,?\n" for n, name in enumerate((ann, "Анна", "Ann@example.com"))
    )
    summary = desk.take(f"{HEADER}\n{rows}", known=known)
    assert (summary.people_added, [ticket.assignee for ticket in desk.tickets().values()]) == (0, [ann] * 3)


def test_a_value_that_was_good_stays_where_a_later_row_is_rejected(desk: Desk) -> None:
    defined(desk)
    content, mapping = with_field("count", "1")
    summary = desk.take(f"{content}0,01/03/2016 10:00,Work,?,?,?,?,one\n0,01/03/2016 11:00,Done,?,?,?,?,2\n", mapping)
    assert (summary.rejected, desk.names()) == (1, ["TicketOpened", "StatusChanged", "FieldSet"])
    assert desk.tickets()["0"].fields == {"count": 2}
