"""The proof: 203,621 work sessions of 246 people, imported once; their net time is what the published figures
(truth.json, beside the data) and a plain script over the CSV say, and what is odd about them is kept and flagged."""

import csv
import lzma
from collections import Counter
from pathlib import Path
from typing import Any

from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Database, Role
from application.event_store.streams import EventStore
from application.imports.importing import Summary
from application.workspaces import create_workspace, operator
from projections.engine import Session
from projections.registry import PROJECTIONS
from tests.conftest import fresh_database
from tests.long.histories import DATA, import_hours, truth_of, work_mapping

LOG = DATA / "cesaw_timelog" / "CESAW_time_fact.csv.xz"


def test_every_minute_that_was_worked_is_there(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    truth = truth_of(LOG)
    with fresh_database(postgres) as database, EventStore(database) as store:
        workspace = create_workspace(database, store, "cesaw", "CESAW")

        def load() -> Summary:
            return import_hours(store, operator(workspace.id), LOG, work_mapping("cesaw_timelog"), tmp_path)

        first, again = load(), load()
        assert (first.rows, first.imported, first.rejected) == (truth["time_rows"], truth["time_rows"], 0)
        assert (first.people_added, first.tickets_new) == (truth["persons"], tickets_in_the_file())
        assert (again.imported, again.duplicates, again.rejected) == (0, truth["time_rows"], 0)
        with Session(database, {projection.name: projection for projection in PROJECTIONS}) as session:
            session.catch_up()
        _compare(database, truth)


def _compare(database: Database, truth: dict[str, Any]) -> None:
    with database.connect(Role.PROJECTOR) as connection:

        def ask(query: Any) -> list[Any]:
            return connection.execute(query).fetchall()

        assert ask("select count(*), sum(seconds), sum(interruption) from work") == [
            (truth["time_rows"], truth["total_delta_minutes"] * 60, truth["total_interrupt_minutes"] * 60)
        ]
        months = ask(
            "select to_char(started_at at time zone 'UTC', 'YYYY-MM'), sum(seconds) / 60 from work"
            " where not 'UNDATED' = any(flags) group by 1 order by 1"
        )
        assert dict(months) == truth["minutes_by_month"]
        people = dict(ask("select p.name, sum(w.seconds) / 60 from work w join person p on p.id = w.person group by 1"))
        assert {name: people[name] for name in truth["top5_persons_by_minutes"]} == truth["top5_persons_by_minutes"]
        projects = dict(
            ask(
                "select t.tag, sum(w.seconds) / 60 from work w join span s on s.ticket = w.ticket"
                " cross join lateral unnest(s.tags) t (tag) where s.closed_position is null group by 1"
            )
        )
        top = truth["top5_projects_by_minutes"]
        assert {key: projects[f"project {key}"] for key in top} == top
        by_person, by_project = minutes_in_the_file()
        assert people == by_person
        assert {tag: minutes for tag, minutes in projects.items() if tag.startswith("project ")} == by_project
        odd = dict(ask("select f.flag, count(*) from work cross join lateral unnest(flags) f (flag) group by 1"))
        assert odd == {"UNDATED": truth["missing_start"], "TIMES_DISAGREE": 3}
        overlapping = ask(
            "select count(*) from (select started_at < lag(ended_at) over (partition by person"
            " order by started_at, ended_at) as crosses from work where not 'UNDATED' = any(flags)) x where crosses"
        )
        assert overlapping == [(truth["rows_overlapping_previous_session_of_same_person"],)]
        first_last = ask("select min(started_at)::text, max(ended_at)::text from work where not 'UNDATED' = any(flags)")
        assert first_last[0][0].startswith(truth["first"])
        assert ask("select count(*) from work where started_at < '2008-01-01'") == [(0,)], "0016 is 2016"


def rows_of_the_file() -> list[dict[str, str]]:
    with lzma.open(LOG, "rt", encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def tickets_in_the_file() -> int:
    return len({(row["project_key"], row["plan_item_key"]) for row in rows_of_the_file()})


def minutes_in_the_file() -> tuple[dict[str, int], dict[str, int]]:
    """By person and by project."""
    people: Counter[str] = Counter()
    projects: Counter[str] = Counter()
    for row in rows_of_the_file():
        minutes = int(row["time_log_delta_minutes"])
        people[row["person_key"]] += minutes
        projects[f"project {row['project_key']}"] += minutes
    return dict(people), dict(projects)
