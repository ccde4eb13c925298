"""A second real history, of another company and another shape: 21,348 rows of 4,580 cases, 127 of them exact repeats.
What was recorded agrees with the published figures."""

import gzip
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from application.event_store.database import Role
from application.event_store.streams import EventStore
from application.imports.importing import import_file
from application.imports.mapping import read_mapping
from application.imports.names import Known
from application.workspaces import Workspace, operator
from domain.tickets import Ticket
from tests.long.histories import HELPDESK_ITALY, HELPDESK_ITALY_XES, ROOT, truth_of


@pytest.fixture
def truth() -> dict[str, Any]:
    return truth_of(HELPDESK_ITALY)


@pytest.mark.parametrize(
    ("history", "mapping_name"),
    [(HELPDESK_ITALY, "helpdesk_italy.toml"), (HELPDESK_ITALY_XES, "helpdesk_italy_xes.toml")],
    ids=["csv", "xes"],
)
def test_the_help_desk_log_is_recorded_as_it_was(
    history: Path, mapping_name: str, truth: dict[str, Any], store: EventStore, workspace: Workspace, tmp_path: Path
) -> None:
    mapping = read_mapping((ROOT / "docs/mappings" / mapping_name).read_text(encoding="utf-8"))
    summary = import_file(
        store,
        operator(workspace.id),
        history,
        mapping,
        known=Known(),
        rejects_path=tmp_path / "rejects.csv",
        progress=lambda stage, done, total: None,
    )
    assert (summary.rows, summary.rejected) == (truth["events"], 0)
    assert summary.duplicates == truth["exact_duplicate_rows"]
    assert summary.tickets_new == truth["cases"]
    assert summary.events["TicketAssigned"] == truth["reassignments"]["assigned_to_other_assigned"]
    assert summary.events["TeamAssigned"] == truth["group_changes"]["assigned_to_other_assigned"]
    assert summary.events["PriorityChanged"] == truth["changes_inside_case"]["seriousness_2"]
    assert summary.people_added == truth["distinct"]["org:resource"]
    moves, last = _moves(store, workspace)
    names = {value.key: cell for cell, value in mapping.status.values.items()}
    assert {f"{names[was]} -> {names[became]}": n for (was, became), n in moves.items()} == truth[
        "status_transition_counts"
    ]
    assert {names[status]: n for status, n in last.items()} == truth["final_status_counts"]


def _moves(store: EventStore, workspace: Workspace) -> tuple[Counter[tuple[str, str]], Counter[str]]:
    """Every change of a status, and the statuses in the end."""
    with store.database.connect(Role.APP) as connection:
        connection.execute("select set_config('proteus.workspace', %s, false)", (str(workspace.id),))
        rows = connection.execute(
            "select stream, state from event where name in ('TicketOpened', 'StatusChanged') order by stream, version"
        ).fetchall()
    moves: Counter[tuple[str, str]] = Counter()
    last: dict[Any, str] = {}
    for stream, state in rows:
        status = msgspec.json.decode(state)["status"]
        if stream in last:
            moves[last[stream], status] += 1
        last[stream] = status
    return moves, Counter(last.values())


def test_what_the_xes_says_is_recorded_as_a_plain_script_reads_it(
    truth: dict[str, Any], store: EventStore, workspace: Workspace, tmp_path: Path
) -> None:
    """The script knows nothing of Proteus: it reads the XML as a tree, sorts each case, and compares neighbours."""
    cases = _cases()
    assert sum(map(len, cases.values())) == truth["events"]
    mapping = read_mapping((ROOT / "docs/mappings/helpdesk_italy_xes.toml").read_text(encoding="utf-8"))
    import_file(
        store,
        operator(workspace.id),
        HELPDESK_ITALY_XES,
        mapping,
        known=Known(),
        rejects_path=tmp_path / "rejects.csv",
        progress=lambda stage, done, total: None,
    )
    names = {cell: value.key for cell, value in mapping.status.values.items()}
    expected = {
        case: (names[events[-1]["concept:name"]], {events[-1]["service_type"]}, events[-1]["customer"])
        for case, events in cases.items()
    }
    here = store.workspace(workspace.id)
    with store.database.connect(Role.APP) as connection:
        connection.execute("select set_config('proteus.workspace', %s, false)", (str(workspace.id),))
        streams = [row[0] for row in connection.execute("select stream from event where name = 'TicketOpened'")]
    found = {
        stream.state.external_key: (stream.state.status, set(stream.state.tags), stream.state.fields["customer"])
        for stream in here.load(streams).values()
        if isinstance(stream.state, Ticket)
    }
    assert found == expected


def _cases() -> dict[str, list[dict[str, str]]]:
    with gzip.open(HELPDESK_ITALY_XES) as file:
        log = ElementTree.parse(file).getroot()
    space = "{http://www.xes-standard.org/}"
    cases: dict[str, list[dict[str, str]]] = {}
    for trace in log.iter(f"{space}trace"):
        case = next(one.get("value", "") for one in trace if one.get("key") == "concept:name")
        events = [{one.get("key", ""): one.get("value", "") for one in event} for event in trace.iter(f"{space}event")]
        cases[case] = sorted(events, key=lambda event: datetime.fromisoformat(event["time:timestamp"]))
    return cases
