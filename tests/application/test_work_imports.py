"""Imports of work: what a mapping must say, what is odd and kept, what cannot be work and goes aside."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from application.event_store.database import Database, Role
from application.event_store.streams import EventStore
from application.imports.importing import Summary
from application.imports.names import Known
from application.imports.work import import_work
from application.imports.work_mapping import is_work, read_work_mapping
from application.workspaces import Workspace, operator
from domain.access import Actor, Scope
from domain.errors import Forbidden, InvalidValue
from domain.work import ImportedWork, WorkFlag, imported
from tests.domain.given import ANNA, START, TICKET

MAPPING = """
kind = "work"
source = "tracker"
none = ["-", ""]
[columns]
key = "id"
person = "who"
comment = "what"
[ticket]
key = "{project}-{task}"
title = "Task {task}"
tags = ["{project}"]
role = "TASK"
[time]
start = "from"
end = "to"
formats = ["%d.%m.%Y %H:%M"]
zone = "Europe/Moscow"
net = "net"
interruption = "break"
unit = "minutes"
"""
HEADER = "id,who,what,project,task,from,to,net,break\n"
Load = Callable[..., Summary]


@pytest.fixture
def load(store: EventStore, workspace: Workspace, tmp_path: Path) -> Load:
    def run(rows: str, mapping: str = MAPPING, actor: Actor | None = None, **more: Any) -> Summary:
        file = tmp_path / "log.csv"
        file.write_text(HEADER + rows, encoding="utf-8")
        return import_work(
            store,
            actor or operator(workspace.id),
            file,
            read_work_mapping(mapping),
            known=Known(),
            rejects_path=tmp_path / "rejects.csv",
            progress=lambda stage, done, total: None,
            **more,
        )

    return run


def logged(database: Database) -> list[tuple[Any, ...]]:
    with database.connect(Role.PROJECTOR) as connection:
        return connection.execute(
            "select state ->> 'started_at', state ->> 'seconds', state ->> 'flags' from"
            " (select position, convert_from(state, 'UTF8')::json as state from event where name = 'WorkLogged') x"
            " order by position"
        ).fetchall()


def test_rows_become_entries_and_what_they_name_is_made_once(load: Load, database: Database) -> None:
    rows = "1,Анна,Почта,crm,7,02.03.2026 12:00,02.03.2026 13:30,80,10\n2,Анна,-,crm,7,03.03.2026 12:00,-,15,-\n"
    summary = load(rows)
    assert (summary.rows, summary.imported, summary.people_added, summary.tickets_new) == (2, 2, 1, 1)
    assert logged(database) == [
        ("2026-03-02T09:00:00Z", "4800", "[]"),
        ("2026-03-03T09:00:00Z", "900", '["UNDATED"]'),
    ]
    again = load(rows + "3,Борис,-,crm,7,04.03.2026 12:00,04.03.2026 12:30,30,0\n")
    assert (again.imported, again.duplicates, again.people_added, again.tickets_new) == (1, 2, 1, 0)


def test_a_dry_run_writes_nothing(load: Load, database: Database) -> None:
    assert load("1,A,-,crm,7,02.03.2026 12:00,02.03.2026 13:00,60,0\n", dry_run=True).imported == 1
    assert logged(database) == []


def test_what_cannot_be_work_goes_aside_and_the_rest_goes_on(load: Load, tmp_path: Path, database: Database) -> None:
    summary = load(
        "1,A,-,crm,7,02.03.2026 12:00,02.03.2026 11:00,60,0\n"
        "2,A,-,crm,7,yesterday,02.03.2026 11:00,60,0\n"
        "3,A,-,crm,7,-,-,-,0\n"
        "4,A,-,crm,7,02.03.2026 12:00,02.03.2026 13:00,many,0\n"
        "5,,-,crm,7,02.03.2026 12:00,02.03.2026 13:00,60,0\n"
        "6,A,-,crm,7,02.03.2026 12:00,02.03.2026 13:00,60,0\n"
    )
    assert (summary.rows, summary.imported, summary.rejected) == (6, 1, 5)
    lines = (tmp_path / "rejects.csv").read_text(encoding="utf-8").splitlines()
    assert sorted(line.split(",")[0] for line in lines[1:]) == ["2", "3", "4", "5", "6"]
    assert len(logged(database)) == 1


def test_only_admins_import(load: Load, workspace: Workspace) -> None:
    manager = Actor(workspace=workspace.id, person=ANNA, scopes=frozenset({Scope.MANAGER}))
    with pytest.raises(Forbidden):
        load("", actor=manager)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('kind = "work"', 'kind = "play"'),
        ('source = "tracker"', 'source = "a b"'),
        ('zone = "Europe/Moscow"', 'zone = "Moscow"'),
        ('unit = "minutes"', 'unit = "days"'),
        ('key = "id"', 'key = "id"\nother = "x"'),
        ("[ticket]", "[ticket"),
    ],
)
def test_a_mapping_that_cannot_be_used_is_refused(before: str, after: str) -> None:
    with pytest.raises(InvalidValue):
        read_work_mapping(MAPPING.replace(before, after))


def test_a_column_that_the_file_lacks_is_named(load: Load) -> None:
    with pytest.raises(InvalidValue, match="nobody"):
        load("", MAPPING.replace('person = "who"', 'person = "nobody"'))


def test_a_mapping_of_work_says_so() -> None:
    assert is_work(MAPPING)
    assert not is_work('source = "x"')
    assert not is_work("[")


ROW = ImportedWork(ticket=TICKET, person=ANNA, role="TASK", placed_at=START, started_at=START, seconds=3600)


def test_what_is_odd_is_kept_and_flagged() -> None:
    later = START + timedelta(hours=1)
    assert imported(ROW).ended_at == later
    whole = imported(msgspec.structs.replace(ROW, ended_at=later))
    assert (whole.seconds, whole.flags) == (3600, ())
    other = imported(msgspec.structs.replace(ROW, ended_at=later, seconds=60))
    assert (other.seconds, other.flags) == (60, (WorkFlag.TIMES_DISAGREE,))
    less = imported(msgspec.structs.replace(ROW, ended_at=later, interruption=-60, seconds=3660))
    assert (less.seconds, less.interruption, less.flags) == (3660, -60, (WorkFlag.TIMES_DISAGREE,))
    nowhere = imported(msgspec.structs.replace(ROW, started_at=None))
    assert (nowhere.started_at, nowhere.ended_at, nowhere.seconds) == (START, START, 3600)
    assert nowhere.flags == (WorkFlag.UNDATED,)
    early = datetime(1969, 1, 1, tzinfo=UTC)
    assert imported(msgspec.structs.replace(ROW, started_at=early)).started_at == early


@pytest.mark.parametrize(
    "changes",
    [
        {"seconds": -1},
        {"ended_at": START + timedelta(hours=1), "seconds": None, "interruption": -1},
        {"seconds": None},
        {"ended_at": START - timedelta(seconds=1)},
        {"ended_at": START + timedelta(days=8)},
        {"ended_at": START, "seconds": None, "interruption": 5},
        {"seconds": 3600 * 10**12},
        {"ended_at": START + timedelta(hours=1), "seconds": 3600 * 10**12},
        {"ended_at": START + timedelta(hours=1), "interruption": -(10**12)},
        {"started_at": datetime(9999, 12, 31, tzinfo=UTC)},
        {"started_at": datetime(16, 1, 11, tzinfo=UTC)},
    ],
)
def test_what_cannot_be_work_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        imported(msgspec.structs.replace(ROW, **changes))
