"""Real histories that tests import; published elsewhere, so no part of the repository."""

import json
import os
from pathlib import Path
from typing import Any

from application.event_store.streams import EventStore
from application.imports.importing import Summary
from application.imports.names import Known
from application.imports.work import import_work
from application.imports.work_mapping import WorkMapping, read_work_mapping
from domain.access import Actor
from tests.required import missing

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("PROTEUS_TEST_DATA") or ROOT.parent / "shared" / "data")
UCI_INCIDENT = DATA / "uci_incident" / "incident_event_log.csv.xz"
HELPDESK_ITALY = DATA / "helpdesk_italy" / "helpdesk.csv.xz"
HELPDESK_ITALY_XES = DATA / "helpdesk_italy" / "helpdesk.xes.gz"


def truth_of(history: Path) -> dict[str, Any]:
    """The published figures, which lie beside the file."""
    if not history.exists():
        missing(f"there is no {history}: set PROTEUS_TEST_DATA to the folder that holds {history.parent.name}")
    found: dict[str, Any] = json.loads(history.with_name("truth.json").read_text(encoding="utf-8"))
    return found


def work_mapping(name: str) -> WorkMapping:
    """Of docs/mappings."""
    return read_work_mapping((ROOT / "docs" / "mappings" / f"{name}.toml").read_text(encoding="utf-8"))


def import_hours(store: EventStore, actor: Actor, log: Path, mapping: WorkMapping, folder: Path) -> Summary:
    """`folder`: for what is rejected."""
    return import_work(
        store,
        actor,
        log,
        mapping,
        known=Known(),
        rejects_path=folder / "rejects.csv",
        progress=lambda stage, done, total: None,
    )
