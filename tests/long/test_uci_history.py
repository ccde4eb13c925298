"""The proof: 141,712 rows of 24,918 real incidents, imported once; what Proteus answers over GraphQL is what the
published figures (truth.json, beside the data) and a plain script over the CSV say."""

import itertools
import lzma
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient
from psycopg import sql

from api.app import application
from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Database, Role
from application.event_store.streams import EventStore
from application.imports.importing import Summary, import_file
from application.imports.mapping import ImportMapping, read_mapping
from application.imports.names import Known
from application.tokens import issue_token
from application.workspaces import Workspace, create_workspace, operator, system_person
from domain.access import Scope
from projections.engine import Session
from projections.projection import Projection
from projections.rebuild import digest, rebuild
from projections.registry import PROJECTIONS
from tests.conftest import fresh_database
from tests.long.histories import ROOT, UCI_INCIDENT, truth_of
from tests.long.uci_oracle import Oracle, Place

MOVED = Counter({"Resolved -> New": 1, "New -> Closed": 1, "Resolved -> Closed": -1})
"""The published figures read the rows in the order of the file; by (time, order in the file) one row of INC0000137
moves."""

CONCERNED = ("directory", "spans", "tickets", "timeline", "hand_overs", "search")
"""The read models that an incident log fills."""
EMPTY = "0:0"

AGAIN = 20_000
"""Rows that are imported a second time."""

EVERY_CATEGORY = "[NEW, ACTIVE, WAITING, REVIEW, DONE, CANCELLED]"


class History:
    """The imported workspace, asked over HTTP."""

    def __init__(self, database: Database, store: EventStore, workspace: Workspace, client: TestClient[Any]) -> None:
        self.database, self.store, self.workspace = database, store, workspace
        self.mapping: ImportMapping = read_mapping((ROOT / "docs/mappings/uci_incident.toml").read_text())
        self._client = client
        person = system_person(workspace.id)
        token = issue_token(database, workspace.id, person, {Scope.AUDITOR}, "proof", timedelta(days=1))
        self._headers = {"Authorization": f"Bearer {token}"}
        self.statuses = {value.key: cell for cell, value in self.mapping.status.values.items()}
        assert self.mapping.priority is not None
        self.priorities = {value.value: cell for cell, value in self.mapping.priority.values.items()}

    def load(self, rejects: Path, log: Path = UCI_INCIDENT) -> Summary:
        return import_file(
            self.store,
            operator(self.workspace.id),
            log,
            self.mapping,
            known=Known(),
            rejects_path=rejects,
            progress=lambda stage, done, total: None,
        )

    def project(self) -> None:
        with Session(self.database, {projection.name: projection for projection in PROJECTIONS}) as session:
            session.catch_up()
        with self.database.connect(Role.OWNER) as connection:  # what autovacuum does a minute later
            for projection in PROJECTIONS:
                for table in projection.tables:
                    connection.execute(sql.SQL("analyze {}").format(sql.Identifier(table)))

    def ask(self, query: str, **variables: Any) -> Any:
        body = {"query": query, "variables": variables}
        answer = self._client.post("/graphql", json=body, headers=self._headers).json()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def pages(self, query: str, field: str, **variables: Any) -> Iterator[Any]:
        """All nodes of a connection that takes `$after`."""
        after = None
        while True:
            page = self.ask(query, after=after, **variables)[field]
            yield from page["nodes"]
            if not page["pageInfo"]["hasNextPage"]:
                return
            after = page["pageInfo"]["endCursor"]

    def events(self, fields: str, *types: str) -> Iterator[Any]:
        return self.pages(
            "query($after: String, $types: [String!]) { events(first: 100, after: $after, types: $types) {"
            f" nodes {{ {fields} }} pageInfo {{ hasNextPage endCursor }} }} }}",
            "events",
            types=list(types),
        )


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    return truth_of(UCI_INCIDENT)


@pytest.fixture(scope="module")
def history(
    truth: dict[str, Any], postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[History]:
    with fresh_database(postgres) as database, EventStore(database) as store:
        workspace = create_workspace(database, store, "uci", "UCI")
        with TestClient(application(database, "http://testserver")) as client:
            history = History(database, store, workspace, client)
            rejects = tmp_path_factory.mktemp("uci") / "rejects.csv"
            summary = history.load(rejects)
            assert (summary.rows, summary.rejected, summary.duplicates) == (truth["events"], 0, 0)
            history.project()
            yield history


@pytest.fixture(scope="module")
def oracle(truth: dict[str, Any]) -> Oracle:
    return Oracle(UCI_INCIDENT)


@pytest.fixture(scope="module")
def changes(history: History) -> dict[str, list[tuple[str, Any, Any]]]:
    """Every change of what an incident's rows hold: path -> (incident, from, to), in the order of recording."""
    found: dict[str, list[tuple[str, Any, Any]]] = defaultdict(list)
    types = ("StatusChanged", "TicketAssigned", "TicketUnassigned", "TeamAssigned", "TeamUnassigned", "PriorityChanged")
    for event in history.events("ticket { externalKey } changes { path from to }", *types):
        for change in event["changes"]:
            found[change["path"]].append((event["ticket"]["externalKey"], change["from"], change["to"]))
    return found


@pytest.fixture(scope="module")
def opened(history: History) -> list[Any]:
    """What each incident's first row said."""
    return [event["data"] for event in history.events("data", "TicketOpened")]


@pytest.fixture(scope="module")
def tickets(history: History) -> list[Any]:
    """Every ticket as it stands at the end, with its spans."""
    return list(
        history.pages(
            "query($after: String) { tickets(first: 50, after: $after) { nodes { externalKey priority"
            " status { key } assignee { name } spans(first: 60) { nodes { from status { category } } } }"
            " pageInfo { hasNextPage endCursor } } }",
            "tickets",
        )
    )


def test_every_incident_is_one_ticket(tickets: list[Any], truth: dict[str, Any]) -> None:
    assert len({ticket["externalKey"] for ticket in tickets}) == len(tickets) == truth["cases"]


def test_status_transitions_are_those_of_the_log(
    history: History, changes: dict[str, list[tuple[str, Any, Any]]], truth: dict[str, Any]
) -> None:
    names = history.statuses
    found = Counter(f"{names[was]} -> {names[became]}" for _, was, became in changes["status"])
    expected = Counter(truth["status_transition_counts"])
    expected.update(MOVED)
    assert found == +expected
    assert found.total() == truth["status_transitions"] + MOVED.total()


@pytest.mark.parametrize(("path", "published"), [("assignee", "reassignments"), ("team", "group_changes")])
def test_assignments_are_those_of_the_log(
    path: str,
    published: str,
    opened: list[Any],
    changes: dict[str, list[tuple[str, Any, Any]]],
    truth: dict[str, Any],
) -> None:
    found, expected = changes[path], truth[published]
    kinds = Counter((was is not None, became is not None) for _, was, became in found)
    assert len(found) == expected["all_changes_including_to_or_from_unassigned"]
    assert kinds[True, True] == expected["assigned_to_other_assigned"]
    assert kinds[False, True] == expected["first_assignments_from_unassigned"]
    assert kinds[True, False] == expected["unassignments"]
    assert len({incident for incident, _, _ in found}) == expected["cases_touched"]
    assert sum(first.get(path) is not None for first in opened) == expected["first_row_already_assigned"]


def test_final_statuses_priorities_and_holders_are_those_of_the_log(
    history: History, tickets: list[Any], changes: dict[str, list[tuple[str, Any, Any]]], truth: dict[str, Any]
) -> None:
    statuses = Counter(history.statuses[ticket["status"]["key"]] for ticket in tickets)
    priorities = Counter(history.priorities[ticket["priority"]] for ticket in tickets)
    holders = Counter(ticket["assignee"]["name"] for ticket in tickets if ticket["assignee"])
    assert statuses == truth["final_status_counts"]
    assert priorities == truth["priority_final_counts"]
    assert dict(holders.most_common(5)) == truth["top5_assignees_by_final_cases"]
    assert len(changes["priority"]) == truth["priority_changes"]


def test_cycle_times_from_spans_are_those_of_the_log(tickets: list[Any], truth: dict[str, Any]) -> None:
    hours: list[float] = []
    for ticket in tickets:
        spans = ticket["spans"]["nodes"]
        closed = next(span["from"] for span in spans if span["status"]["category"] == "DONE")
        hours.append((datetime.fromisoformat(closed) - datetime.fromisoformat(spans[0]["from"])).total_seconds() / 3600)
    expected = truth["cycle_time_hours"]
    assert len(hours) == expected["closed_cases"]
    assert statistics.median(hours) == pytest.approx(expected["median_first_event_to_first_closed_event"], abs=1e-5)
    p90 = statistics.quantiles(hours, n=10, method="inclusive")[-1]
    assert p90 == pytest.approx(expected["p90_first_event_to_first_closed_event"], abs=1e-5)


def test_the_board_of_any_moment_is_what_the_log_says(history: History, oracle: Oracle) -> None:
    for at in oracle.instants(50):
        board = history.ask(
            'query($at: DateTime!) { board(workflow: "uci_incident", columns: STATUS, rows: TEAM, cardsPerCell: 0,'
            f" filter: {{category: {{in: {EVERY_CATEGORY}}}}}, asOf: {{occurredAt: $at}})"
            " { totalCount rows { key name } columns { key status { key } } cells { column row count } } }",
            at=at.isoformat(),
        )["board"]
        statuses = {line["key"]: history.statuses[line["status"]["key"]] for line in board["columns"]}
        teams = {line["key"]: line["name"] if line["key"] else None for line in board["rows"]}
        counts = {(statuses[cell["column"]], teams[cell["row"]]): cell["count"] for cell in board["cells"]}
        expected = oracle.counts(at)
        assert {place: count for place, count in counts.items() if count} == expected, at
        assert board["totalCount"] == expected.total()


def test_every_ticket_stands_at_any_moment_where_the_log_says(history: History, oracle: Oracle) -> None:
    query = (
        "query($at: DateTime!, $after: String) { tickets(first: 100, after: $after, asOf: {occurredAt: $at}) {"
        " nodes { externalKey status { key } team { name } assignee { name } priority }"
        " pageInfo { hasNextPage endCursor } } }"
    )
    for at in oracle.instants(7)[1:-1]:
        places = {
            ticket["externalKey"]: Place(
                history.statuses[ticket["status"]["key"]],
                ticket["team"] and ticket["team"]["name"],
                ticket["assignee"] and ticket["assignee"]["name"],
                history.priorities[ticket["priority"]],
            )
            for ticket in history.pages(query, "tickets", at=at.isoformat())
        }
        assert places == oracle.places(at), at


def test_importing_some_of_it_again_changes_nothing(history: History, tmp_path: Path) -> None:
    before = _rows(history, "event"), _rows(history, "command")
    with lzma.open(UCI_INCIDENT) as log:
        some = list(itertools.islice(log, 1 + AGAIN))
    (tmp_path / "some.csv").write_bytes(b"".join(some))
    summary = history.load(tmp_path / "rejects.csv", tmp_path / "some.csv")
    assert (summary.duplicates, summary.rejected) == (AGAIN, 0)
    assert (_rows(history, "event"), _rows(history, "command")) == before


@pytest.mark.parametrize("name", CONCERNED)
def test_a_rebuild_gives_the_same_tables(history: History, name: str) -> None:
    projection = next(projection for projection in PROJECTIONS if projection.name == name)
    before = _digests(history, projection)
    summary = rebuild(history.database, projection)
    assert summary.same
    assert _digests(history, projection) == before


def test_no_other_read_model_is_concerned(history: History) -> None:
    others = [projection for projection in PROJECTIONS if projection.name not in CONCERNED]
    assert {count for one in others for count in _digests(history, one).values()} == {EMPTY}


def _digests(history: History, projection: Projection) -> dict[str, str]:
    with history.database.connect(Role.PROJECTOR) as connection:
        schema = history.database.schema
        return {table: digest(connection, table, schema) for table in projection.tables}


def _rows(history: History, table: str) -> int:
    with history.database.connect(Role.APP) as connection:
        connection.execute("select set_config('proteus.workspace', %s, false)", (str(history.workspace.id),))
        row = connection.execute(f"select count(*) from {table}".encode()).fetchone()
    assert row is not None
    return int(row[0])
