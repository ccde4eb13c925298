"""Imports of small files: what is read, what is rejected and why, and that no row is ever taken twice or lost."""

import csv
import gzip
import lzma
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from psycopg import sql

from application import people as people_commands
from application import tickets as ticket_commands
from application.event_store.database import Database, Role
from application.event_store.streams import EventStore
from application.handling import Context
from application.imports import importing, planning
from application.imports.importing import Summary, import_file
from application.imports.mapping import read_mapping
from application.imports.names import Known
from application.imports.work_mapping import is_work, read_work_mapping
from application.workspaces import Workspace, create_workspace, operator
from domain.access import Actor, Scope
from domain.errors import Forbidden, InvalidValue, RoleNotFound
from domain.people import AddPerson, Person
from domain.tickets import ChangeRole, Priority, SetPriority, Ticket

MAPPING = """
source = "legacy"
none = ["", "?"]

[workflow]
key = "legacy"
name = "Legacy"

[columns]
key = "id"
assignee = "who"
team = "group"
requester = "caller"
service = "area"

[time]
column = "at"
format = "%d/%m/%Y %H:%M"
zone = "UTC"

[role]
role = "INCIDENT"

[status]
column = "state"

[status.values]
"New" = { key = "new", name = "New", category = "NEW" }
"Work" = { key = "work", name = "In work", category = "ACTIVE" }
"Done" = { key = "done", name = "Done", category = "DONE" }
"""

HEADER = "id,at,state,who,group,caller,area"
HISTORY = f"""{HEADER}
A,01/03/2016 09:00,New,?,First line,Carol,Mail
B,01/03/2016 08:00,New,Ann,First line,?,?
A,01/03/2016 10:00,Work,Ann,First line,Carol,Mail
A,01/03/2016 10:30,Work,Ann,First line,Carol,Mail
A,02/03/2016 10:00,Done,?,Second line,Carol,Mail
"""


class Desk:
    """One workspace and a folder to import from."""

    def __init__(self, store: EventStore, workspace: UUID, folder: Path) -> None:
        self.store = store
        self.workspace = workspace
        self.folder = folder
        self.rejects_path = folder / "rejects.csv"

    def take(self, content: str | bytes, mapping: str = MAPPING, *, name: str = "history.csv", **more: Any) -> Summary:
        file = self.folder / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        options: dict[str, Any] = {"known": Known(), "actor": operator(self.workspace), **more}
        return import_file(
            self.store,
            options.pop("actor"),
            file,
            read_mapping(mapping),
            rejects_path=self.rejects_path,
            progress=lambda stage, done, total: None,
            **options,
        )

    def events(self) -> list[tuple[Any, ...]]:
        """Of this import: what stands in the log, without what differs from run to run."""
        with self.store.database.connect(Role.APP) as connection:
            connection.execute("select set_config('proteus.workspace', %s, false)", (str(self.workspace),))
            return connection.execute(
                "select stream, version, name, occurred_at, actor, source, command_id"
                "  from event where channel = 'import' order by stream, version"
            ).fetchall()

    def count(self, table: str) -> int:
        with self.store.database.connect(Role.APP) as connection:
            connection.execute("select set_config('proteus.workspace', %s, false)", (str(self.workspace),))
            query = sql.SQL("select count(*) from {}").format(sql.Identifier(table))
            row = connection.execute(query).fetchone()
        assert row is not None
        return int(row[0])

    def names(self) -> list[str]:
        """Of the events of tickets."""
        return [name for _, _, name, *_ in self.events() if not name.endswith(("Added", "Defined"))]

    def tickets(self) -> dict[str, Ticket]:
        streams = {row[0] for row in self.events()}
        found = self.store.workspace(self.workspace).load(streams).values()
        return {str(s.state.external_key): s.state for s in found if isinstance(s.state, Ticket)}

    def id_of(self, key: str) -> UUID:
        found = self.store.workspace(self.workspace).load({row[0] for row in self.events()})
        return next(id_ for id_, s in found.items() if isinstance(s.state, Ticket) and s.state.external_key == key)

    def rejects(self) -> list[tuple[int, str]]:
        if not self.rejects_path.exists():
            return []
        limit = csv.field_size_limit(10**6)
        try:
            with self.rejects_path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
                return [(int(row[0]), row[1]) for row in list(csv.reader(file))[1:]]
        finally:
            csv.field_size_limit(limit)


@pytest.fixture
def desk(store: EventStore, workspace: Workspace, tmp_path: Path) -> Desk:
    return Desk(store, workspace.id, tmp_path)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# ---- what is recorded


def test_every_real_change_is_one_event_at_the_time_of_the_source(desk: Desk) -> None:
    summary = desk.take(HISTORY)
    ticket = desk.tickets()["A"]
    names = [(name, when) for stream, _, name, when, *_ in desk.events() if stream == desk.id_of("A")]
    assert names == [
        ("TicketOpened", at("2016-03-01T09:00")),
        ("StatusChanged", at("2016-03-01T10:00")),
        ("TicketAssigned", at("2016-03-01T10:00")),
        ("StatusChanged", at("2016-03-02T10:00")),
        ("TeamAssigned", at("2016-03-02T10:00")),
        ("TicketUnassigned", at("2016-03-02T10:00")),
    ]
    assert (ticket.status, ticket.assignee, ticket.closed_at) == ("done", None, at("2016-03-02T10:00"))
    assert (ticket.role, ticket.workflow, ticket.title) == ("INCIDENT", "legacy", "A")
    assert (summary.rows, summary.imported, summary.unchanged, summary.tickets_new) == (5, 4, 1, 2)
    assert (summary.people_added, summary.teams_added, summary.services_added) == (2, 2, 1)
    assert summary.events == Counter(
        StatusChanged=2, TicketOpened=2, TicketAssigned=1, TeamAssigned=1, TicketUnassigned=1
    )
    assert not desk.rejects_path.exists()


def test_tickets_are_numbered_in_the_order_of_their_first_times(desk: Desk) -> None:
    desk.take(HISTORY)
    tickets = desk.tickets()
    assert tickets["B"].number < tickets["A"].number


def test_rows_are_put_in_the_order_of_time_and_of_the_file_within_a_minute(desk: Desk) -> None:
    desk.take(
        f"{HEADER}\nA,01/03/2016 11:00,Done,,,,\nA,01/03/2016 09:00,New,,,,\nA,01/03/2016 10:00,New,Ann,,,\n"
        "A,01/03/2016 10:00,Work,,,,\n"
    )
    assert desk.names() == ["TicketOpened", "TicketAssigned", "StatusChanged", "TicketUnassigned", "StatusChanged"]


def test_every_event_says_which_line_it_came_from(desk: Desk) -> None:
    desk.take(HISTORY)
    sources = {source for _, _, name, _, _, source, _ in desk.events() if name.startswith("Ticket")}
    assert sources == {"history.csv:2", "history.csv:3", "history.csv:4", "history.csv:6"}


def test_the_person_who_made_the_change_is_its_actor(desk: Desk) -> None:
    mapping = MAPPING.replace('key = "id"', 'key = "id"\nactor = "by"')
    desk.take("id,at,state,who,group,caller,area,by\nA,01/03/2016 09:00,New,,,,,Ann\n", mapping)
    actors = {name: actor for _, _, name, _, actor, *_ in desk.events()}
    people = {stream for stream, _, name, *_ in desk.events() if name == "PersonAdded"}
    assert {actors["TicketOpened"]} == people


def test_staff_and_clients_are_told_apart_by_where_they_appear(desk: Desk) -> None:
    desk.take(f"{HEADER}\nA,01/03/2016 09:00,New,Ann,,Ann,\nB,01/03/2016 09:00,New,,,Carol,\n")
    found = desk.store.workspace(desk.workspace).load({row[0] for row in desk.events()}).values()
    kinds = {s.state.name: s.state.kind for s in found if isinstance(s.state, Person)}
    assert kinds == {"Ann": "STAFF", "Carol": "CLIENT"}


def test_who_and_what_is_known_by_name_is_not_added_again(desk: Desk, store: EventStore) -> None:
    context = Context(actor=operator(desk.workspace))
    ann = people_commands.handle(store, context, AddPerson(name="Ann")).stream
    summary = desk.take(HISTORY, known=Known(people={"Ann": ann}))
    assert summary.people_added == 1
    assert desk.tickets()["B"].assignee == ann


def test_names_that_make_one_key_stay_two_teams(desk: Desk) -> None:
    desk.take(f"{HEADER}\nA,01/03/2016 09:00,New,,Second line,,\nB,01/03/2016 09:00,New,,Second-line,,\n")
    tickets = desk.tickets()
    assert tickets["A"].team != tickets["B"].team


def test_a_value_without_a_status_of_its_own_takes_the_default_category(desk: Desk) -> None:
    mapping = MAPPING.replace('column = "state"', 'column = "state"\ndefault = "WAITING"')
    desk.take(f"{HEADER}\nA,01/03/2016 09:00,На паузе,,,,\n", mapping)
    ticket = desk.tickets()["A"]
    assert (ticket.status, ticket.category) == ("на-паузе", "WAITING")


def test_statuses_that_come_later_are_added_to_the_workflow(desk: Desk) -> None:
    desk.take(HISTORY)
    more = MAPPING + '"Parked" = { key = "parked", name = "Parked", category = "WAITING" }\n'
    desk.take(f"{HEADER}\nC,03/03/2016 09:00,Parked,,,,\n", more)
    assert desk.tickets()["C"].workflow_version == 2


def test_an_unknown_role_in_the_mapping_stops_the_import_before_it_begins(desk: Desk) -> None:
    with pytest.raises(RoleNotFound):
        desk.take(HISTORY, MAPPING.replace("INCIDENT", "INCIDNT"))
    assert desk.events() == []


def test_the_role_may_come_from_a_column_and_change(desk: Desk) -> None:
    mapping = MAPPING.replace(
        'role = "INCIDENT"', 'column = "area"\nvalues = { Mail = "INCIDENT", Web = "PROBLEM" }'
    ).replace('service = "area"\n', "")
    rows = ["A,01/03/2016 09:00,New,,,,Mail", "A,01/03/2016 10:00,Work,,,,Web"]
    rows += ["A,01/03/2016 11:00,Work,,,,Fax", "A,01/03/2016 12:00,Work,,,,?"]
    desk.take("\n".join([HEADER, *rows]), mapping)
    assert desk.names() == ["TicketOpened", "RoleChanged"]
    assert (desk.tickets()["A"].role, desk.tickets()["A"].status) == ("PROBLEM", "work")
    assert desk.rejects() == [(4, "role 'Fax' is not in the mapping"), (5, "role '?' is not in the mapping")]


def test_priorities_titles_descriptions_and_channels_are_taken(desk: Desk) -> None:
    mapping = (
        MAPPING.replace('service = "area"', 'description = "text"\nchannel = "way"')
        + '[priority]\ncolumn = "p"\ndefault = "LOW"\nvalues = { "1" = "CRITICAL" }\n'
        + '[title]\ntemplate = "{id}: {text}!"\n'
    )
    rows = ["id,at,state,who,group,caller,p,text,way", "A,01/03/2016 09:00,New,,,,1,Тест,Phone"]
    rows += ["A,01/03/2016 10:00,New,,,,2,Anders,Mail"]
    summary = desk.take("\n".join(rows), mapping)
    ticket = desk.tickets()["A"]
    assert (ticket.title, ticket.description, ticket.channel) == ("A: Тест!", "Тест", "Phone")
    assert ticket.priority is Priority.LOW
    assert summary.ignored == Counter(title=1, description=1, channel=1)


# ---- events instead of snapshots


EVENTS = MAPPING.replace('none = ["", "?"]', 'none = ["?"]\nmode = "event"')


def test_an_empty_cell_of_an_event_says_nothing_and_a_none_value_clears(desk: Desk) -> None:
    desk.take(
        f"{HEADER}\nA,01/03/2016 09:00,New,Ann,First line,Carol,Mail\nA,01/03/2016 10:00,Work,,,,\n"
        "A,01/03/2016 11:00,,?,,,\n",
        EVENTS,
    )
    ticket = desk.tickets()["A"]
    assert desk.names() == ["TicketOpened", "StatusChanged", "TicketUnassigned"]
    assert ticket.assignee is None
    assert None not in (ticket.team, ticket.requester, ticket.service)


def test_an_event_without_a_status_opens_the_ticket_in_the_first_one(desk: Desk) -> None:
    desk.take(f"{HEADER}\nA,01/03/2016 09:00,,Ann,,,\n", EVENTS)
    assert desk.tickets()["A"].status == "new"


# ---- bytes and characters


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("history.csv", bytes),
        ("history.csv.gz", gzip.compress),
        ("history.csv.xz", lzma.compress),
        ("misnamed.csv", gzip.compress),
    ],
)
def test_compressed_files_are_told_by_their_bytes(desk: Desk, name: str, pack: Callable[[bytes], bytes]) -> None:
    assert desk.take(pack(HISTORY.encode()), name=name).imported == 4


def test_a_byte_order_mark_is_no_part_of_the_first_column(desk: Desk) -> None:
    assert desk.take(b"\xef\xbb\xbf" + HISTORY.encode()).imported == 4


@pytest.mark.parametrize("encoding", ["utf-8", "cp1251", "utf-16"])
def test_letters_of_every_alphabet_arrive(desk: Desk, encoding: str) -> None:
    mapping = MAPPING + f'[file]\nencoding = "{encoding}"\ndelimiter = ";"\n'
    rows = f"{HEADER}\nЗ-1,01/03/2016 09:00,New,Анна Ким,Первая линия,,\n".replace(",", ";")
    desk.take(rows.encode(encoding), mapping)
    ticket = desk.tickets()["З-1"]
    assert None not in (ticket.assignee, ticket.team)


def test_a_bad_byte_costs_one_row(desk: Desk) -> None:
    content = HISTORY.encode().replace(b"A,01/03/2016 10:30", b"A\xff,01/03/2016 10:30")
    assert desk.take(content).imported == 4
    assert desk.rejects() == [(5, "bytes that are no utf-8 text")]
    assert b"A\xff,01/03/2016 10:30" in desk.rejects_path.read_bytes()


def test_rows_in_quotes_may_have_several_lines(desk: Desk) -> None:
    mapping = MAPPING + '[title]\ncolumn = "title"\n'
    desk.take(f'{HEADER},title\r\nA,01/03/2016 09:00,New,,,,,"Two\r\nlines, ""quoted"""\r\nB,x,New,,,,,\r\n', mapping)
    assert desk.tickets()["A"].title == 'Two lines, "quoted"'
    assert desk.rejects()[0][0] == 4


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("A,01/03/2016 10:00,Work", "3 columns instead of 7"),
        ("A,01/03/2016 10:00,Work,,,,,,", "9 columns instead of 7"),
        (",01/03/2016 10:00,Work,,,,", "no ticket key"),
        ("?,01/03/2016 10:00,Work,,,,", "no ticket key"),
        ("A,2016-03-01,Work,,,,", "time '2016-03-01' is not as the mapping says"),
        ("A,31/02/2016 10:00,Work,,,,", "time '31/02/2016 10:00' is not as the mapping says"),
        ("A,01/03/2999 10:00,Work,,,,", "time '01/03/2999 10:00' is in the future"),
        ("A,01/03/2016 10:00,Wrok,,,,", "status 'Wrok' is not in the mapping"),
        ("A,01/03/2016 10:00,,,,,", "no status"),
        ("A,01/03/2016 10:00,Wo\0rk,,,,", "a NUL character"),
        (f"A,01/03/2016 10:00,Work,{'x' * 301},,,", "assignee has 301 characters; 300 is the limit"),
        (f"A,01/03/2016 10:00,Work,{'x' * 140_000},,,", "field larger than field limit (131072)"),
    ],
)
def test_a_row_that_cannot_be_read_goes_to_the_rejects_and_the_rest_goes_on(desk: Desk, row: str, reason: str) -> None:
    summary = desk.take(f"{HEADER}\nA,01/03/2016 09:00,New,,,,\n{row}\nA,01/03/2016 11:00,Done,,,,\n")
    assert desk.rejects() == [(3, reason)]
    assert (summary.rows, summary.imported, summary.rejected) == (3, 2, 1)
    assert desk.tickets()["A"].status == "done"


def test_a_stray_quote_costs_its_own_line_alone(desk: Desk) -> None:
    summary = desk.take(HISTORY.replace("A,01/03/2016 10:30,Work,Ann", 'A,01/03/2016 10:30,Work,"Ann'))
    assert [line for line, _ in desk.rejects()] == [5]
    assert (summary.imported, summary.rejected) == (4, 1)


def test_rejects_of_an_earlier_run_are_gone_when_all_rows_are_taken(desk: Desk) -> None:
    desk.take(f"{HEADER}\nA,x,New,,,,\n")
    assert desk.rejects()
    desk.take(HISTORY)
    assert not desk.rejects_path.exists()


# ---- times and zones


def in_zone(form: str, zone: str) -> str:
    return MAPPING.replace('"%d/%m/%Y %H:%M"', f'"{form}"').replace('zone = "UTC"', f'zone = "{zone}"')


@pytest.mark.parametrize(
    ("form", "zone", "cell", "utc"),
    [
        ("%d/%m/%Y %H:%M", "Europe/Berlin", "26/03/2016 12:00", "2016-03-26T11:00"),  # winter
        ("%d/%m/%Y %H:%M", "Europe/Berlin", "27/03/2016 12:00", "2016-03-27T10:00"),  # summer
        ("%d/%m/%Y %H:%M", "Europe/Berlin", "30/10/2016 02:30", "2016-10-30T00:30"),  # twice that night: the first
        ("%d/%m/%Y %H:%M", "Asia/Yekaterinburg", "29/2/2016 01:16", "2016-02-28T20:16"),
        ("iso", "Europe/Berlin", "2016-03-27T12:00:00.123456", "2016-03-27T10:00:00.123456"),
        ("iso", "Europe/Berlin", "2016-03-27T12:00:00+00:00", "2016-03-27T12:00"),  # its own offset wins
        ("iso", "UTC", "2016-03-27 12:00Z", "2016-03-27T12:00"),
    ],
)
def test_times_are_read_in_the_zone_of_the_source(desk: Desk, form: str, zone: str, cell: str, utc: str) -> None:
    desk.take(f"{HEADER}\nA,{cell},New,,,,\n", in_zone(form, zone))
    assert desk.tickets()["A"].opened_at == at(utc)


# ---- again, and again


def test_a_second_run_writes_nothing(desk: Desk) -> None:
    desk.take(HISTORY)
    before = (desk.events(), desk.count("event"), desk.count("command"))
    summary = desk.take(HISTORY)
    assert (desk.events(), desk.count("event"), desk.count("command")) == before
    assert (summary.duplicates, summary.imported, summary.unchanged, summary.rejected) == (5, 0, 0, 0)
    assert not summary.events


def test_an_exact_repeat_of_a_row_is_passed_over(desk: Desk) -> None:
    rows = HISTORY.splitlines()
    summary = desk.take("\n".join([*rows, *rows[1:]]))
    assert (summary.imported, summary.unchanged, summary.duplicates) == (4, 1, 5)


def test_a_change_there_and_back_within_a_minute_is_no_repeat(desk: Desk) -> None:
    """Rows that are equal in the columns that the mapping names, but not in the others."""
    desk.take(
        f"{HEADER},n\nA,01/03/2016 09:00,New,,,,,1\nA,01/03/2016 09:00,Work,,,,,2\nA,01/03/2016 09:00,New,,,,,3\n"
    )
    assert desk.names() == ["TicketOpened", "StatusChanged", "StatusChanged"]


def test_columns_that_the_source_rewrites_may_be_left_out_of_what_tells_rows_apart(desk: Desk) -> None:
    mapping = MAPPING.replace('source = "legacy"', 'source = "legacy"\nidentity = ["n"]')
    row = "A,01/03/2016 09:00,New,,,,,1"
    desk.take(f"{HEADER},n,closed_at\n{row},?\n", mapping)
    summary = desk.take(f"{HEADER},n,closed_at\n{row},02/03/2016\nA,02/03/2016 09:00,Done,,,,,2,02/03/2016\n", mapping)
    assert (summary.duplicates, summary.imported, summary.rejected) == (1, 1, 0)


def test_newer_rows_are_added_to_tickets_that_are_there(desk: Desk) -> None:
    desk.take(HISTORY)
    summary = desk.take(HISTORY + "A,05/03/2016 10:00,Work,Ann,Second line,Carol,Mail\n")
    assert (summary.duplicates, summary.imported, summary.tickets_new, summary.tickets_updated) == (5, 1, 0, 1)
    assert (summary.people_added, summary.teams_added) == (0, 0)
    assert desk.tickets()["A"].status == "work"


def test_a_new_row_older_than_the_ticket_is_rejected(desk: Desk) -> None:
    desk.take(HISTORY)
    older = "A,01/03/2016 10:15,Work,Bob,First line,Carol,Mail\n"
    for _ in range(2):
        summary = desk.take(HISTORY + older)
        assert (summary.duplicates, summary.rejected) == (5, 1)
        assert desk.rejects() == [(7, "older than the ticket's last change, at 2016-03-02T10:00:00+00:00")]


def test_two_sources_with_the_same_keys_are_two_tickets(desk: Desk) -> None:
    desk.take(HISTORY)
    assert desk.take(HISTORY, MAPPING.replace('source = "legacy"', 'source = "other"')).tickets_new == 2


def test_two_workspaces_share_nothing(desk: Desk, database: Database, store: EventStore, tmp_path: Path) -> None:
    desk.take(HISTORY)
    other = Desk(store, create_workspace(database, store, "other", "Other").id, tmp_path)
    assert other.take(HISTORY).tickets_new == 2
    assert not {row[0] for row in desk.events()} & {row[0] for row in other.events()}


def test_a_ticket_with_more_rows_than_a_chunk_goes_over_several(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "CHUNK_ROWS", 3)
    monkeypatch.setattr(importing, "LONGEST_CHUNK_ROWS", 5)
    start = datetime(2016, 3, 1, tzinfo=UTC)
    rows = [
        f"{key},{start + timedelta(hours=n):%d/%m/%Y %H:%M},{'Work' if n % 2 else 'New'},,,,"
        for key in "AB"
        for n in range(17)
    ]
    summary = desk.take("\n".join([HEADER, *rows, rows[3]]))
    assert (summary.imported, summary.duplicates, summary.tickets_new, summary.tickets_updated) == (34, 1, 2, 0)
    assert desk.tickets()["A"].version == 17


def test_what_people_did_here_meanwhile_is_kept(desk: Desk, store: EventStore) -> None:
    desk.take(HISTORY)
    context = Context(actor=operator(desk.workspace))
    ticket_commands.handle(store, context, ChangeRole(ticket=desk.id_of("A"), role="TASK"))
    later = datetime.now(UTC) + timedelta(minutes=2)
    summary = desk.take(HISTORY + f"A,{later:%d/%m/%Y %H:%M},Work,,,,\n")
    assert summary.rejected == 1
    assert desk.tickets()["A"].role == "TASK"


def test_a_command_in_between_makes_the_chunk_decide_again(
    desk: Desk, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.take(f"{HEADER}\nA,01/03/2016 09:00,New,,,,\n")
    ticket = desk.id_of("A")
    decide = planning.Planner.plan
    raced: list[bool] = []

    def race(planner: planning.Planner, rows: Any) -> planning.Plan:
        plan = decide(planner, rows)
        if not raced:
            raced.append(True)
            command = SetPriority(ticket=ticket, priority=Priority.HIGH)
            when = at("2016-03-01T09:30")
            ticket_commands.handle(store, Context(actor=operator(desk.workspace), occurred_at=when), command)
        return plan

    monkeypatch.setattr(planning.Planner, "plan", race)
    summary = desk.take(f"{HEADER}\nA,01/03/2016 10:00,Work,Ann,First line,,\n")
    assert (summary.imported, summary.tickets_updated, summary.people_added, summary.teams_added) == (1, 1, 1, 1)
    after = desk.tickets()["A"]
    assert (after.status, after.priority) == ("work", Priority.HIGH)
    assert {after.assignee, after.team} <= {row[0] for row in desk.events()}, "who was to be added was added"


# ---- interrupted


KILLED = """
import signal
import sys
from pathlib import Path
from uuid import UUID
from application.imports import importing
from application.event_store.database import Database
from application.event_store.streams import EventStore
from application.imports.mapping import read_mapping
from application.imports.names import Known
from application.imports.work_mapping import is_work, read_work_mapping
from application.workspaces import operator

url, workspace, folder = sys.argv[1:]
folder = Path(folder)
importing.CHUNK_ROWS = 20
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell makes its background jobs ignore
def progress(stage, done, total):
    if stage == "writing":
        print(done, flush=True)
with EventStore(Database(url)) as store:
    mapping = read_mapping((folder / "m.toml").read_text())
    importing.import_file(store, operator(UUID(workspace)), folder / "long.csv", mapping, known=Known(),
                        rejects_path=folder / "r.csv", progress=progress)
"""


def long_history() -> str:
    start = datetime(2016, 3, 1, tzinfo=UTC)
    states, people = ("New", "Work", "Work", "New", "Done"), ("?", "Ann", "Bob", "Bob", "Cid")
    rows = [
        f"K{ticket},{start + timedelta(hours=ticket + step):%d/%m/%Y %H:%M},{states[step]},"
        f"{people[(ticket + step) % 5]},Team {(ticket + step) % 3},Caller {ticket % 50},Area {ticket % 7}"
        for ticket in range(600)
        for step in range(5)
    ]
    return "\n".join([HEADER, *rows, *rows[:40]])


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_an_import_that_is_ended_in_the_middle_is_completed_by_the_next_run(
    desk: Desk, database: Database, store: EventStore, tmp_path: Path, end: signal.Signals
) -> None:
    (tmp_path / "long.csv").write_text(long_history())
    (tmp_path / "m.toml").write_text(MAPPING)
    for chunks in (1, 15):
        run = [sys.executable, "-c", textwrap.dedent(KILLED), database.url, str(desk.workspace), str(tmp_path)]
        process = subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        for _ in range(chunks):
            assert process.stdout.readline()
        time.sleep(0.005)
        process.send_signal(end)
        process.wait(30)
        process.stdout.close()
    assert 0 < len(desk.tickets()) < 600
    desk.take(long_history(), name="long.csv")
    whole = Desk(store, create_workspace(database, store, "whole", "Whole").id, tmp_path)
    whole.take(long_history(), name="long.csv")
    assert _outline(desk) == _outline(whole)
    assert desk.count("command") == whole.count("command")
    assert desk.take(long_history(), name="long.csv").duplicates == 3040


def _outline(desk: Desk) -> tuple[list[Any], list[Any]]:
    """The whole history, without ids, which differ between workspaces."""
    events = [
        (source, name, version, when)
        for _, version, name, when, _, source, _ in desk.events()
        if name != "WorkflowDefined"  # happens when the import runs
    ]
    tickets = [(key, t.status, t.version, t.last_at) for key, t in desk.tickets().items()]
    return sorted(events), sorted(tickets)


# ---- refused


def test_a_dry_run_says_what_would_be_and_writes_nothing(desk: Desk) -> None:
    before = desk.count("event")
    summary = desk.take(HISTORY, dry_run=True)
    assert (summary.imported, summary.tickets_new, summary.people_added) == (4, 2, 2)
    assert (desk.count("event"), desk.count("command"), desk.count("ticket_number")) == (before, 0, 0)


def test_importing_needs_the_right_to(desk: Desk) -> None:
    actor = Actor(workspace=desk.workspace, person=UUID(int=1), scopes=frozenset({Scope.MANAGER}))
    with pytest.raises(Forbidden):
        desk.take(HISTORY, actor=actor)


def test_a_header_alone_is_an_import_of_nothing(desk: Desk) -> None:
    summary = desk.take(HEADER + "\n")
    assert (summary.rows, summary.imported, summary.first_at) == (0, 0, None)


@pytest.mark.parametrize("content", [b"", b"\n\n", gzip.compress(b"", mtime=0)])
def test_an_empty_file_is_refused(desk: Desk, content: bytes) -> None:
    with pytest.raises(InvalidValue, match="is empty"):
        desk.take(content)


def test_a_missing_file_is_refused(desk: Desk) -> None:
    with pytest.raises(InvalidValue, match=r"nowhere\.csv cannot be read: No such file"):
        import_file(
            desk.store,
            operator(desk.workspace),
            desk.folder / "nowhere.csv",
            read_mapping(MAPPING),
            known=Known(),
            rejects_path=desk.rejects_path,
            progress=lambda stage, done, total: None,
        )


def test_a_damaged_archive_is_refused_and_nothing_written(desk: Desk) -> None:
    noise = "\n".join(f"K{n},01/03/2016 09:00,New,Person {n},,," for n in range(5000))
    for pack in (gzip.compress, lzma.compress):
        with pytest.raises(InvalidValue, match="is damaged after line"):
            desk.take(pack(f"{HEADER}\n{noise}\n".encode())[:-2000])
    assert desk.events() == []


def test_a_column_that_the_file_lacks_is_named_with_the_one_probably_meant(desk: Desk) -> None:
    with pytest.raises(
        InvalidValue, match=r"at columns\.team: the file has no column 'gruop'\. Did you mean 'group'\?"
    ):
        desk.take(HISTORY, MAPPING.replace('"group"', '"gruop"'))


def test_a_column_that_the_file_has_twice_is_refused(desk: Desk) -> None:
    with pytest.raises(InvalidValue, match=r"at status\.column: the file has 2 columns named 'state'"):
        desk.take(HISTORY.replace("caller", "state"), MAPPING.replace('requester = "caller"\n', ""))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[columns]", "[colums]"), r"at the top: unknown key 'colums'. Did you mean 'columns'?"),
        (('team = "group"', 'teem = "group"'), r"at columns: unknown key 'teem'. Did you mean 'team'?"),
        (('category = "DONE"', 'category = "DNE"'), r"at status.values[...].category: Invalid enum value 'DNE'"),
        (('name = "Done"', 'nam = "Done"'), r"unknown key 'nam'. Did you mean 'name'?"),
        (('key = "id"\n', ""), r"at columns: Object missing required field `key`"),
        (('zone = "UTC"', 'zone = "Mars/Olympus"'), r"at time.zone: there is no time zone 'Mars/Olympus'"),
        (("%H:%M", "%H:%Q"), r"at time.format: "),
        (('key = "done"', 'key = "work"'), r"at status.values.'Done': gives the status 'work' another name"),
        (('key = "done"', 'key = "so done"'), r"at status.values.'Done': key must be 1 to 64 letters"),
        (('role = "INCIDENT"', ""), r"at role: needs a `role`, or a `column`"),
        (('source = "legacy"', "source = legacy"), r"The mapping is not TOML: Invalid value (at line 2, column 10)"),
        (('none = ["", "?"]', 'none = "?"'), r"at none: Expected `array`, got `str`"),
        (("[role]", '[title]\ntemplate = "{id"\n[role]'), r"at title.template: has a brace without its other half"),
        (("[role]", '[file]\nencoding = "utf-9"\n[role]'), r"at file.encoding: there is no encoding 'utf-9'"),
        (("[role]", '[file]\ndelimiter = "::"\n[role]'), r"at file.delimiter: is one character"),
    ],
)
def test_a_mapping_that_cannot_be_used_says_where(change: tuple[str, str], message: str) -> None:
    assert change[0] in MAPPING
    with pytest.raises(InvalidValue) as refused:
        read_mapping(MAPPING.replace(*change))
    assert message in refused.value.message


def test_the_mappings_of_the_guide_can_be_read() -> None:
    for path in Path("docs/mappings").glob("*.toml"):
        written = path.read_text(encoding="utf-8")
        read = read_work_mapping if is_work(written) else read_mapping
        read(written)
