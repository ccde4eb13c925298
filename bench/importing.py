"""Importing another system's history."""

import csv
import os
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from application.event_store.streams import EventStore
from application.imports.importing import import_file
from application.imports.mapping import read_mapping
from application.imports.names import Known
from application.workspaces import create_workspace, operator
from bench.figures import Figure, Spread
from bench.lab import ROOT, Lab

UCI = Path(os.environ.get("PROTEUS_TEST_DATA", "")) / "uci_incident" / "incident_event_log.csv.xz"
ROWS = 30_000
ROWS_OF_A_TICKET = 6
HEADER = [
    "number",
    "incident_state",
    "active",
    "reassignment_count",
    "reopen_count",
    "sys_mod_count",
    "made_sla",
    "caller_id",
    "opened_by",
    "opened_at",
    "sys_created_by",
    "sys_created_at",
    "sys_updated_by",
    "sys_updated_at",
    "contact_type",
    "location",
    "category",
    "subcategory",
    "u_symptom",
    "cmdb_ci",
    "impact",
    "urgency",
    "priority",
    "assignment_group",
    "assigned_to",
    "knowledge",
    "u_priority_confirmation",
    "notify",
    "problem_id",
    "rfc",
    "vendor",
    "caused_by",
    "closed_code",
    "resolved_by",
    "resolved_at",
    "closed_at",
]
STATES = ("New", "Active", "Active", "Awaiting User Info", "Resolved", "Closed")


def importing(lab: Lab) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        generated = Path(folder) / "incidents.csv"
        write_incidents(generated, lab.size.of(ROWS // ROWS_OF_A_TICKET, 5))
        yield _figure(lab, "rows of an incident log, made up", generated, lab.size.rounds)
    if UCI.is_file() and lab.size.scale == 1.0:
        yield _figure(lab, "rows of UCI's incident log", UCI, 1)


def _figure(lab: Lab, what: str, file: Path, rounds: int) -> Figure:
    rates = [lab.said(f"importing: {what}", lambda: _rate(lab, file)) for _ in range(rounds)]
    return Figure(name=f"import, {what}", unit="rows/s", value=Spread.of(rates), bar="at least", limit=10_000)


def _rate(lab: Lab, file: Path) -> float:
    mapping = read_mapping((ROOT / "docs/mappings/uci_incident.toml").read_text(encoding="utf-8"))
    with lab.database() as database, EventStore(database) as store, tempfile.TemporaryDirectory() as folder:
        workspace = create_workspace(database, store, "acme", "Acme")
        summary = import_file(
            store,
            operator(workspace.id),
            file,
            mapping,
            known=Known(),
            rejects_path=Path(folder) / "rejects.csv",
            progress=lambda stage, done, total: None,
        )
    assert summary.rejected == 0
    return summary.rows_per_second


def write_incidents(file: Path, tickets: int) -> None:
    """In the shape of UCI's incident log, no. 498."""
    random = Random(1042)  # noqa: S311
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, HEADER, restval="?")
        writer.writeheader()
        for n in range(tickets):
            at = datetime(2026, 1, 1) + timedelta(minutes=3 * n)  # noqa: DTZ001
            ticket = {
                "number": f"INC{n:07d}",
                "caller_id": f"Caller {random.randrange(5000)}",
                "contact_type": "Phone",
                "category": f"Category {random.randrange(50)}",
                "subcategory": f"Subcategory {random.randrange(200)}",
                "priority": random.choice(["2 - High", "3 - Moderate", "4 - Low"]),
                "assignment_group": f"Group {random.randrange(70)}",
            }
            for count, state in enumerate(STATES):
                at += timedelta(minutes=random.randrange(1, 600))
                group = {"assignment_group": f"Group {random.randrange(70)}"} if random.random() < 0.2 else {}
                writer.writerow(
                    ticket
                    | group
                    | {
                        "incident_state": state,
                        "sys_mod_count": count,
                        "sys_updated_by": f"Updated by {random.randrange(300)}",
                        "sys_updated_at": f"{at:%d/%m/%Y %H:%M}",
                        "assigned_to": f"Resolver {random.randrange(200)}" if count else "?",
                    }
                )
