"""Ten years of tasks of a software house, each estimated before it was done: how accurate the estimates were, by the
report and by a plain script over the source."""

import asyncio
import csv
import lzma
import statistics
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Database
from application.event_store.streams import EventStore
from application.imports.importing import import_file
from application.imports.mapping import read_mapping
from application.imports.names import Known
from application.imports.work import import_work
from application.imports.work_mapping import read_work_mapping
from application.workspaces import create_workspace, operator
from domain.access import Actor
from projections.engine import Session
from projections.estimates import AccuracyBy, accuracy
from projections.reading import NOW, ReadModels
from projections.registry import PROJECTIONS
from projections.rows import AccuracyRow
from tests.conftest import fresh_database
from tests.long.histories import DATA, ROOT, truth_of

TASKS = DATA / "sip_tasks" / "Sip-task-info.csv.xz"
DONE = ("FINISHED", "COMPLETED", "CHRONICLE", "RELEASED")
SHARE = 12
"""Every so many tasks are looked at: the whole takes minutes."""
CHUNK = 100
"""Hours that one work entry is given: the source sums a developer's, and an entry has a week at most."""
WORK = """
kind = "work"
source = "sip"
[columns]
key = "key"
person = "DeveloperID"
[ticket]
key = "{TaskNumber}"
title = "{TaskNumber}"
role = "TASK"
[time]
start = "On"
end = "Ends"
formats = ["%d-%b-%y", "%Y-%m-%dT%H:%M:%S"]
zone = "UTC"
net = "Hours"
unit = "hours"
"""


class Task(NamedTuple):
    """`developers`: hours of each, as the source writes them."""

    row: dict[str, str]
    estimated_on: str
    completed_on: str
    developers: dict[str, str]


def tasks() -> list[Task]:
    with lzma.open(TASKS, "rt", encoding="latin-1", newline="") as file:
        rows = [row for row in csv.DictReader(file) if int(row["TaskNumber"]) % SHARE == 0]
    with lzma.open(TASKS.with_name("est-act-dates.csv.xz"), "rt", encoding="latin-1", newline="") as file:
        dates = {row["TaskNumber"]: row for row in csv.DictReader(file)}
    developers: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for row in rows:
        developers[row["TaskNumber"]][row["DeveloperID"]] = row["DeveloperHoursActual"]
    first = {row["TaskNumber"]: row for row in reversed(rows)}
    return [
        Task(row, dates[number]["EstimateOn"], dates[number]["CompletedOn"], developers[number])
        for number, row in first.items()
    ]


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def history(found: list[Task], path: Path) -> Path:
    """The two files of the source as one: what was said when it was estimated, and when it was completed."""
    rows: list[dict[str, Any]] = []
    for task in found:
        rows.append({**task.row, "On": task.estimated_on, "StatusCode": "ESTIMATED"})
        if _day(task.completed_on) is not None and _at(task.completed_on) >= _at(task.estimated_on):
            rows.append({**task.row, "On": task.completed_on})
    return written(path, rows)


def log_of_work(found: list[Task], path: Path) -> Path:
    rows: list[dict[str, Any]] = []
    for task in found:
        for developer, hours in task.developers.items():
            left, n = Decimal(hours), 0
            while left > 0:
                part, n = min(left, Decimal(CHUNK)), n + 1
                ends = _at(task.estimated_on) + timedelta(hours=float(part), seconds=1)
                rows.append(
                    {
                        "key": f"{task.row['TaskNumber']}/{developer}/{n}",
                        "DeveloperID": developer,
                        "TaskNumber": task.row["TaskNumber"],
                        "On": task.estimated_on,
                        "Ends": f"{ends:%Y-%m-%dT%H:%M:%S}",
                        "Hours": part,
                    }
                )
                left -= part
    return written(path, rows)


def _day(text: str) -> date | None:
    return None if text in ("", "NULL") else _at(text).date()


def _at(text: str) -> datetime:
    return datetime.strptime(text, "%d-%b-%y").replace(tzinfo=UTC)


def plainly(found: list[Task]) -> dict[str, Any]:
    """By hand: hours estimated and worked of what is done, how many took less, as long, or more; medians by month."""
    done = [
        (_at(task.completed_on), round(Decimal(task.row["HoursEstimate"]) * 3_600), seconds)
        for task in found
        if task.row["StatusCode"] in DONE
        and Decimal(task.row["HoursEstimate"]) > 0
        and _day(task.completed_on) is not None
        and _at(task.completed_on) >= _at(task.estimated_on)
        for seconds in [sum(round(Decimal(hours) * 3_600) for hours in task.developers.values())]
    ]
    return {
        "tickets": len(done),
        "most_seconds": sum(estimate for _, estimate, _ in done),
        "worked_seconds": sum(worked for _, _, worked in done),
        "within": sum(worked == estimate for _, estimate, worked in done),
        "below": sum(worked < estimate for _, estimate, worked in done),
        "above": sum(worked > estimate for _, estimate, worked in done),
        "medians": {
            f"{month:%Y-%m}": pytest.approx(
                statistics.median(one[2] / one[1] for one in done if _same_month(one[0], month))
            )
            for month in {at.replace(day=1) for at, _, _ in done}
        },
    }


def _same_month(at: datetime, month: datetime) -> bool:
    return (at.year, at.month) == (month.year, month.month)


def test_the_report_tells_of_estimates_what_a_plain_script_does(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    truth = truth_of(TASKS)
    found = tasks()
    assert truth["tasks"] // SHARE * 0.9 < len(found) < truth["tasks"] // SHARE * 1.1
    with fresh_database(postgres) as database, EventStore(database) as store:
        actor = operator(create_workspace(database, store, "sip", "SiP").id)
        more: dict[str, Any] = {
            "known": Known(),
            "rejects_path": tmp_path / "rejects.csv",
            "progress": lambda stage, done, total: None,
        }
        mapping = read_mapping((ROOT / "docs/mappings/sip_estimates.toml").read_text(encoding="utf-8"))
        summary = import_file(store, actor, history(found, tmp_path / "history.csv"), mapping, **more)
        assert (summary.rejected, summary.tickets_new) == (0, len(found))
        estimated = sum(Decimal(task.row["HoursEstimate"]) > 0 for task in found)
        assert summary.events["EstimateGiven"] == summary.events["EstimateRequested"] == estimated
        logged = import_work(store, actor, log_of_work(found, tmp_path / "log.csv"), read_work_mapping(WORK), **more)
        assert (logged.rejected, logged.tickets_new) == (0, 0)  # the hours are of the tickets that are there
        with Session(database, {projection.name: projection for projection in PROJECTIONS}) as session:
            session.catch_up()
        months = asyncio.run(asked(database, actor, AccuracyBy.MONTH))
        people = asyncio.run(asked(database, actor, AccuracyBy.PERSON))
    expected = plainly(found)
    for rows in (months, people):
        for name in ("tickets", "most_seconds", "worked_seconds", "within", "below", "above"):
            assert sum(getattr(row, name) for row in rows) == expected[name], name
    assert {row.month: row.median_ratio for row in months} == expected["medians"]
    assert len(months) > 90
    assert expected["tickets"] > 600


async def asked(database: Database, actor: Actor, by: AccuracyBy) -> list[AccuracyRow]:
    async with ReadModels(database, size=1) as models:
        view = models.view(actor)
        return await accuracy(view, date(2004, 1, 1), date(2014, 12, 31), by, NOW)
