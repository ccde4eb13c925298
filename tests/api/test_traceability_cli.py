"""`proteus trace` at the command line."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from api.command_line import main
from api.runtime import DATABASE_VARIABLE, HOME_VARIABLE
from application import traceability
from application.event_store.database import Database
from application.event_store.streams import EventStore
from application.handling import Context
from application.workspaces import Workspace, operator
from domain.traceability.repositories import DefineRepository
from tests.api.test_command_line import Run, sentence
from tests.application.recording import Company
from tests.gitting import Work


@pytest.fixture
def run(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv(DATABASE_VARIABLE, database.url)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(main, [str(one) for one in arguments])


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path / "shop")


def test_a_scan_tells_what_was_new(
    run: Run, store: EventStore, workspace: Workspace, company: Company, work: Work
) -> None:
    context = Context(actor=operator(workspace.id))
    traceability.handle(store, context, DefineRepository(key="shop", name="Shop"))
    company.ticket("Ticket")
    work.commit("T-1: form")
    assert run("trace", "scan", work.path, "--repository", "shop").output == "New commits: 1, new links: 1.\n"
    assert run("trace", "scan", work.path, "--repository", "shop").output == "New commits: 0, new links: 0.\n"
    work.git("commit", "--quiet", "--amend", "-m", "Another")
    # The same change by the same author, at the same second: what was linked is linked again.
    again = run("trace", "scan", work.path, "--repository", "shop").output
    assert again == "New commits: 1, new links: 1. Its main branch was replaced, and was followed anew.\n"


def test_a_scan_that_cannot_be_says_why(run: Run, workspace: Workspace, work: Work, tmp_path: Path) -> None:
    assert "There is no repository" in sentence(run("trace", "scan", work.path, "--repository", "shop"))
    assert "There is no workspace 'x'" in sentence(
        run("trace", "scan", tmp_path, "--repository", "shop", "--workspace", "x")
    )
