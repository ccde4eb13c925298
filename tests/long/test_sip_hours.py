"""The proof: 12,299 sums of hours of developers on 10,266 tasks, imported once; what they come to is what the published
figures (truth.json, beside the data) and a plain script over the CSV say."""

import csv
import io
import lzma
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Role
from application.event_store.streams import EventStore
from application.workspaces import create_workspace, operator
from projections import directory, work
from projections.engine import Session
from tests.conftest import fresh_database
from tests.long.histories import DATA, import_hours, truth_of, work_mapping

TASKS = DATA / "sip_tasks" / "Sip-task-info.csv.xz"
DAYS = DATA / "sip_tasks" / "est-act-dates.csv.xz"


def test_every_hour_that_was_worked_is_there(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    truth = truth_of(TASKS)
    joined, rows = tmp_path / "sip-hours.csv", rows_with_days()
    with joined.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with fresh_database(postgres) as database, EventStore(database) as store:
        workspace = create_workspace(database, store, "sip", "SiP")
        summary = import_hours(store, operator(workspace.id), joined, work_mapping("sip_tasks"), tmp_path)
        assert (summary.rows, summary.rejected) == (truth["rows"], 0)
        assert summary.tickets_new == truth["tasks"]
        with Session(database, {one.name: one for one in (work.PROJECTION, directory.PROJECTION)}) as session:
            session.catch_up()
        with database.connect(Role.PROJECTOR) as connection:

            def ask(query: Any) -> list[Any]:
                return connection.execute(query).fetchall()

            hours = "sum(seconds) / 3600.0"
            assert ask(f"select round({hours}, 2)::float from work") == [(truth["sum_DeveloperHoursActual"],)]
            people = ask(f"select p.name, {hours} from work w join person p on p.id = w.person group by 1")
            by_script = hours_of(rows)
            assert {name: round(float(found), 2) for name, found in people} == by_script
            top = truth["top5_developers_by_hours"]
            assert {name: by_script[name] for name in top} == top
            longest = max(float(row["DeveloperHoursActual"]) for row in rows)
            assert longest > 168, "longer than one entry may be"
            assert ask("select max(seconds) from work") == [(7 * 86_400,)]
            assert ask("select count(*) from work where flags <> '{UNDATED}'") == [(0,)]


def rows_with_days() -> list[dict[str, str]]:
    """As the mapping describes it."""
    days: dict[str, str] = {}
    for row in _rows(DAYS):
        day, before = row["StartedOn"] or row["EstimateOn"], days.get(row["TaskNumber"])
        if before is None or _day(day) < _day(before):
            days[row["TaskNumber"]] = day
    return [{**row, "StartedOn": days[row["TaskNumber"]]} for row in _rows(TASKS)]


def _day(text: str) -> datetime:
    return datetime.strptime(text, "%d-%b-%y")  # noqa: DTZ007


def _rows(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(lzma.open(file).read().decode("latin-1"))))


def hours_of(rows: list[dict[str, str]]) -> dict[str, float]:
    hours: Counter[str] = Counter()
    for row in rows:
        hours[row["DeveloperID"]] += round(float(row["DeveloperHoursActual"]) * 100)
    return {name: found / 100 for name, found in hours.items()}
