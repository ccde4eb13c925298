"""Real histories that tests import; published elsewhere, so no part of the repository."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("PROTEUS_TEST_DATA") or ROOT.parent / "shared" / "data")
UCI_INCIDENT = DATA / "uci_incident" / "incident_event_log.csv.xz"
HELPDESK_ITALY = DATA / "helpdesk_italy" / "helpdesk.csv.xz"
HELPDESK_ITALY_XES = DATA / "helpdesk_italy" / "helpdesk.xes.gz"


def truth_of(history: Path) -> dict[str, Any]:
    """The published figures, which lie beside the file. Where it is absent the test is skipped, or fails if
    PROTEUS_TEST_DATA_REQUIRED is set."""
    if not history.exists():
        missing = f"there is no {history}: set PROTEUS_TEST_DATA to the folder that holds {history.parent.name}"
        if os.environ.get("PROTEUS_TEST_DATA_REQUIRED"):
            pytest.fail(missing)
        pytest.skip(missing)
    found: dict[str, Any] = json.loads(history.with_name("truth.json").read_text(encoding="utf-8"))
    return found
