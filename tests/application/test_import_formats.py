"""Imports of JSON Lines and XES, with tags and custom fields: the same mapping, the same promises."""

import gzip
import lzma
from pathlib import Path

import msgspec
import pytest

from application.event_store.streams import EventStore
from application.workspaces import Workspace
from domain.errors import InvalidValue
from tests.application.test_imports import HEADER, MAPPING, Desk

ISSUES = """
source = "forge"

[file]
format = "jsonl"

[workflow]
key = "forge"
name = "Forge"

[columns]
key = "number"
requester = "user.login"
assignee = "assignees[0].login"
description = "body"

[title]
column = "title"

[time]
column = "updated_at"
format = "iso"
zone = "UTC"

[role]
role = "INCIDENT"

[tags]
column = "labels[].name"

[fields.votes]
column = "reactions.total"
type = "number"

[fields.locked]
column = "locked"
type = "boolean"

[fields.milestone]
column = "milestone.title"

[status]
column = "state"

[status.values]
"open" = { key = "open", name = "Open", category = "NEW" }
"closed" = { key = "closed", name = "Closed", category = "DONE" }
"""


def issue(number: int, state: str = "open", at: str = "2026-01-02T10:00:00Z", **more: object) -> bytes:
    values = {
        "number": number,
        "title": "Сборка падает",
        "state": state,
        "updated_at": at,
        "user": {"login": "ann"},
        "assignees": [{"login": "bob"}],
        "labels": [{"name": "bug"}, {"name": "build"}],
        "reactions": {"total": 3},
        "locked": False,
        "milestone": None,
        "body": "Первая строка\nвторая",
    }
    return msgspec.json.encode(values | more) + b"\n"


XES_MAPPING = MAPPING.replace("[workflow]", '[file]\nformat = "xes"\n\n[workflow]', 1)
for _column, _key in (
    *(('key = "id"', 'key = "case:concept:name"'), ('"who"', '"org:resource"'), ('"group"', '"case:group"')),
    *(
        ('"caller"', '"caller"'),
        ('"at"', '"time:timestamp"'),
        ('"%d/%m/%Y %H:%M"', '"iso"'),
        ('"state"', '"concept:name"'),
    ),
):
    XES_MAPPING = XES_MAPPING.replace(_column, _key)

XES = """<?xml version="1.0" encoding="UTF-8"?>
<log xes.version="1849-2016" xmlns="http://www.xes-standard.org/">
  <extension name="Concept" prefix="concept" uri="http://www.xes-standard.org/concept.xesext"/>
  <global scope="event"><string key="concept:name" value="__INVALID__"/></global>
  <string key="source" value="made up"/>
  <trace>
    <string key="concept:name" value="Случай 1"/>
    <string key="group" value="First line"><string key="nested" value="of no interest"/></string>
    <event>
      <string key="concept:name" value="New"/>
      <string key="org:resource" value="Ann &amp; Co"/>
      <string key="caller" value="Carol"/>
      <string key="area" value="Mail"/>
      <date key="time:timestamp" value="2026-01-02T10:00:00.000+03:00"/>
    </event>
    <event>
      <date key="time:timestamp" value="2026-01-02T12:00:00+03:00"/>
      <string key="concept:name" value="Done"/>
    </event>
  </trace>
  <trace/>
</log>
"""


@pytest.fixture
def desk(store: EventStore, workspace: Workspace, tmp_path: Path) -> Desk:
    return Desk(store, workspace.id, tmp_path)


# ---- JSON Lines


def test_values_are_found_by_paths_into_the_object(desk: Desk) -> None:
    summary = desk.take(issue(7) + issue(7, "closed", "2026-01-03T10:00:00Z", assignees=[]), ISSUES, name="a.jsonl")
    assert (summary.rows, summary.rejected, summary.tickets_new, summary.people_added) == (2, 0, 1, 2)
    assert desk.names() == ["TicketOpened", "StatusChanged", "TicketUnassigned"]
    ticket = desk.tickets()["7"]
    assert (ticket.title, ticket.description) == ("Сборка падает", "Первая строка\nвторая")
    assert ticket.tags == ("bug", "build")
    assert ticket.fields == {"votes": 3, "locked": False}
    assert summary.unseen == []


def test_fields_change_as_the_source_says(desk: Desk) -> None:
    later = issue(7, at="2026-01-03T10:00:00Z", reactions={"total": 4.5}, locked=None, milestone={"title": "v1"})
    desk.take(issue(7) + later, ISSUES)
    assert desk.names() == ["TicketOpened", "FieldSet", "FieldSet", "FieldSet"]
    assert desk.tickets()["7"].fields == {"votes": 4.5, "locked": None, "milestone": "v1"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{not json}\n", "no JSON"),
        (b"[1]\n", "no JSON object"),
        (b'"text"\n', "no JSON object"),
        (b'{"number": "\\u0000"}\n', "time"),
        (b"\xff\xfe\n", "bytes that are no utf-8 text"),
        (b"[" * 100_000 + b"\n", "no JSON"),
        (issue(8, updated_at="yesterday"), "time 'yesterday'"),
        (issue(8, reactions={"total": "many"}), "fields.votes: 'many' is no number"),
        (issue(8, locked="perhaps"), "fields.locked: 'perhaps' is no boolean"),
        (issue(8, state="lost"), "status 'lost' is not in the mapping"),
    ],
)
def test_a_line_that_cannot_be_taken_goes_to_the_rejects_and_the_rest_goes_on(
    desk: Desk, line: bytes, reason: str
) -> None:
    summary = desk.take(issue(7) + b"\n" + line + issue(9), ISSUES)
    assert (summary.tickets_new, summary.rejected) == (2, 1)
    [(number, told)] = desk.rejects()
    assert number == 3
    assert told.startswith(reason)


def test_a_second_run_and_a_repeated_line_write_nothing_whatever_else_the_mapping_learns(desk: Desk) -> None:
    content = issue(7) + issue(7) + issue(8)
    assert desk.take(content, ISSUES).duplicates == 1
    again = desk.take(content, ISSUES.replace('[fields.locked]\ncolumn = "locked"\ntype = "boolean"\n', ""))
    assert (again.duplicates, again.imported) == (3, 0)


def test_rows_of_another_kind_are_passed_over(desk: Desk) -> None:
    mapping = ISSUES + '\n[only]\ncolumn = "kind"\nvalues = ["issue"]\n'
    summary = desk.take(issue(7, kind="issue") + issue(8, kind="pull") + issue(9), mapping)
    assert (summary.rows, summary.tickets_new, summary.rejected) == (1, 1, 0)


def test_events_in_a_file_of_their_own_go_to_the_tickets_of_another(desk: Desk) -> None:
    """As forges export them: issues as they were opened, and what happened to them."""
    events = (
        ISSUES.replace("[file]", 'mode = "event"\n\n[file]', 1)
        .replace('key = "number"', 'key = "issue.number"\nactor = "actor.login"')
        .replace('column = "updated_at"', 'column = "created_at"')
        .replace('column = "state"', 'column = "event"')
        .replace('"open" =', '"reopened" =')
    )
    desk.take(issue(7), ISSUES, name="issues.jsonl")
    closed = {
        "event": "closed",
        "issue": {"number": 7},
        "created_at": "2026-02-01T00:00:00Z",
        "actor": {"login": "bob"},
    }
    summary = desk.take(msgspec.json.encode(closed) + b"\n", events, name="events.jsonl")
    assert (summary.tickets_updated, summary.people_added, summary.rejected) == (1, 0, 0)
    assert desk.names() == ["TicketOpened", "StatusChanged"]
    assert desk.tickets()["7"].tags == ("bug", "build")
    assert "title" in summary.unseen


def test_a_path_that_no_row_has_is_told_and_the_ticket_s_key_must_be_there(desk: Desk) -> None:
    assert desk.take(issue(7), ISSUES.replace("user.login", "user.name")).unseen == ["user.name"]
    with pytest.raises(InvalidValue, match=r"columns\.key: no row of the file has 'nummer'"):
        desk.take(issue(8), ISSUES.replace('"number"', '"nummer"', 1))


@pytest.mark.parametrize("path", ["a..b", "a[", "a[x]", ".a", "", "a]"])
def test_what_is_no_path_is_refused(desk: Desk, path: str) -> None:
    with pytest.raises(InvalidValue, match="no path"):
        desk.take(issue(7), ISSUES.replace("user.login", path))


# ---- XES


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
def test_events_of_traces_are_rows_plain_or_compressed(desk: Desk, pack: type[bytes]) -> None:
    summary = desk.take(pack(XES.encode()), XES_MAPPING, name="log.xes")
    assert (summary.rows, summary.tickets_new, summary.rejected) == (2, 1, 0)
    assert desk.names() == ["TicketOpened", "StatusChanged", "RequesterChanged", "TicketUnassigned", "ServiceUnbound"]
    ticket = desk.tickets()["Случай 1"]
    assert ticket.opened_at.isoformat() == "2026-01-02T07:00:00+00:00"
    assert ticket.team is not None
    sources = {source for _, _, name, _, _, source, _ in desk.events() if name.startswith(("Ticket", "Status"))}
    assert sources == {"log.xes:9", "log.xes:16"}


def test_repeats_in_xes_are_known(desk: Desk) -> None:
    desk.take(XES, XES_MAPPING)
    assert desk.take(XES, XES_MAPPING).duplicates == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('<!DOCTYPE log [<!ENTITY a "aaaaaaaaaa">]><log>&a;</log>', "document type"),
        ('<!DOCTYPE log SYSTEM "file:///etc/passwd"><log/>', "document type"),
        ("<html></html>", "its root is 'html'"),
        ("<log><trace>", "no XML after line 1"),
        ("<log>" + "<list>" * 100, "more than 64 deep"),
        ("plain text", "no XML"),
        ("", "no XML"),
    ],
)
def test_what_is_no_xes_or_could_explode_is_refused_and_nothing_written(desk: Desk, content: str, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        desk.take(content, XES_MAPPING)
    assert desk.events() == []


def test_a_damaged_archive_of_xes_is_refused(desk: Desk) -> None:
    with pytest.raises(InvalidValue, match=r"damaged|no XML"):
        desk.take(gzip.compress(XES.encode() * 50)[:-200], XES_MAPPING)


# ---- tags and fields of CSV


def test_csv_has_tags_and_fields_too(desk: Desk) -> None:
    mapping = MAPPING + '\n[tags]\ncolumn = "tags"\nseparator = ";"\n\n[fields.room]\ncolumn = "room"\n'
    content = f"{HEADER},tags,room\nA,01/03/2016 09:00,New,?,?,?,?, a ; b;;a,  312 \nB,01/03/2016 09:00,New,?,?,?,?,,\n"
    desk.take(content, mapping)
    assert (desk.tickets()["A"].tags, desk.tickets()["A"].fields) == (("a", "b"), {"room": "312"})
    assert (desk.tickets()["B"].tags, desk.tickets()["B"].fields) == ((), {})


TAGS = MAPPING + '\n[tags]\ncolumn = "tags"\n'


def test_tags_change_as_the_source_says(desk: Desk) -> None:
    rows = ('"a,b"', '"b,a"', '"b,c"', "?", "")
    lines = "".join(f"A,01/03/2016 0{n}:00,New,?,?,?,?,{tags}\n" for n, tags in enumerate(rows, start=1))
    desk.take(f"{HEADER},tags\n{lines}", TAGS)
    assert desk.names() == ["TicketOpened", "TicketUntagged", "TicketTagged", "TicketUntagged"]
    assert desk.tickets()["A"].tags == ()


def test_an_event_without_tags_leaves_them_and_a_none_value_takes_them_away(desk: Desk) -> None:
    mapping = TAGS.replace('source = "legacy"', 'source = "legacy"\nmode = "event"').replace(
        'none = ["", "?"]', 'none = ["?"]'
    )
    first = f"{HEADER},tags\nA,01/03/2016 01:00,New,?,?,?,?,a\nA,01/03/2016 02:00,Work,?,?,?,?,\n"
    desk.take(first, mapping)
    assert (desk.names(), desk.tickets()["A"].tags) == (["TicketOpened", "StatusChanged"], ("a",))
    desk.take(f"{first}A,01/03/2016 03:00,,?,?,?,?,?\n", mapping)
    assert desk.tickets()["A"].tags == ()


def test_a_field_without_a_key_is_refused(desk: Desk) -> None:
    with pytest.raises(InvalidValue, match=r"fields\.a b"):
        desk.take(HEADER, MAPPING + '\n[fields."a b"]\ncolumn = "id"\n')
