"""A second real history, of another company and another shape: 21,348 rows of 4,580 cases, 127 of them exact repeats.
What was recorded agrees with the published figures."""

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from application.event_store.database import Role
from application.event_store.streams import EventStore
from application.imports.importing import import_file
from application.imports.mapping import read_mapping
from application.imports.names import Known
from application.workspaces import Workspace, operator
from tests.end_to_end.histories import HELPDESK_ITALY, ROOT, truth_of


@pytest.fixture
def truth() -> dict[str, Any]:
    return truth_of(HELPDESK_ITALY)


def test_the_help_desk_log_is_recorded_as_it_was(
    truth: dict[str, Any], store: EventStore, workspace: Workspace, tmp_path: Path
) -> None:
    mapping = read_mapping((ROOT / "docs/mappings/helpdesk_italy.toml").read_text(encoding="utf-8"))
    summary = import_file(
        store,
        operator(workspace.id),
        HELPDESK_ITALY,
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
