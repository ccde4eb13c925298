"""What the README says under "Where do I add a status?", done."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from api.command_line import main
from application import tickets
from application.event_store.database import DATABASE_VARIABLE, Database
from application.event_store.streams import EventStore
from application.handling import Context
from application.workspaces import Workspace, operator
from domain.tickets import OpenTicket, Ticket, TransitionTicket

README = Path(__file__).parents[2] / "README.md"


def test_a_status_is_added_by_the_file_that_the_readme_shows(
    database: Database, store: EventStore, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = operator(workspace.id)
    opened = tickets.handle(store, Context(actor=actor), OpenTicket(title="Disk is full", role="ALERT")).stream
    [definition] = re.findall(r"```toml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    file = tmp_path / "alert.toml"
    file.write_text(definition, encoding="utf-8")
    monkeypatch.setenv(DATABASE_VARIABLE, database.url)

    result = CliRunner().invoke(main, ["workflow", "define", str(file), "--workspace", workspace.key])

    assert result.exit_code == 0, result.output
    tickets.handle(store, Context(actor=actor), TransitionTicket(ticket=opened, status="acknowledged"))
    escalated = TransitionTicket(ticket=opened, status="escalated")
    tickets.handle(store, Context(actor=actor, reason="Nobody answers"), escalated)
    ticket = store.workspace(workspace.id).load([opened])[opened].state
    assert isinstance(ticket, Ticket)
    assert (ticket.status, ticket.workflow_version) == ("escalated", 2)
