"""`proteus trace` at the command line."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from api.command_line import main
from api.runtime import HOME_VARIABLE
from application import traceability
from application.event_store.database import DATABASE_VARIABLE, Database
from application.event_store.streams import EventStore
from application.handling import Context
from application.workspaces import Workspace, operator
from domain.traceability.repositories import DefineRepository
from tests.api.test_command_line import Run, sentence
from tests.api.test_traceability_trace import FILE, Story
from tests.api.test_traceability_trace import story as story
from tests.application.recording import Company
from tests.gitting import Work
from tests.served import Served


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


# ---- for developers, inside a clone


@pytest.fixture
def developer(story: Story, live: Served, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Works in the clone of the story, beside a server process."""
    monkeypatch.chdir(story.work.path)
    monkeypatch.setenv("PROTEUS_URL", f"http://127.0.0.1:{live.port}")
    monkeypatch.setenv("PROTEUS_TOKEN", story.agent.secret)
    monkeypatch.setenv("PROTEUS_REPOSITORY", "shop")
    return lambda *arguments: CliRunner().invoke(main, [str(one) for one in arguments])


def test_a_line_tells_who_asked_for_it(developer: Run, story: Story) -> None:
    told = developer("trace", f"{FILE}:1")
    assert told.exit_code == 0
    lines = told.output.splitlines()
    assert lines[0] == f"{story.fix[:12]} Fix the form (Анна Иванова, 2026-01-01)"
    assert f"  request 19 -> {story.task['key']}: closing {story.task['key']} (request, 90 %)" in lines
    asked = f"  {story.asked['key']} Форма теряет вложения, asked for by Claire: "
    assert [line for line in lines if line.startswith(asked)]
    assert lines[-1] == "  released with v1, runs in production"


def test_a_file_tells_of_all_its_lines(developer: Run, story: Story) -> None:
    story.work.commit("Not scanned yet", FILE)
    told = developer("trace", FILE).output
    assert f"{story.fix[:12]} (1 lines) Fix the form" in told
    assert "(1 lines): not known here; it was not scanned, or not pushed yet" in told


def test_what_cannot_be_traced_is_said(
    developer: Run, story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "has only 1 line" in sentence(developer("trace", f"{FILE}:9"))
    assert "no such path" in sentence(developer("trace", "nowhere.txt:1"))
    (story.work.path / FILE).write_text("changed\n", encoding="utf-8")
    assert "is not committed yet" in sentence(developer("trace", f"{FILE}:1"))
    monkeypatch.setenv("PROTEUS_TOKEN", "wrong")
    assert developer("trace", "code.txt:1").exit_code == 2
    monkeypatch.delenv("PROTEUS_TOKEN")
    assert "Set PROTEUS_TOKEN" in sentence(developer("trace", "code.txt:1"))
    monkeypatch.setenv("PROTEUS_TOKEN", "x")
    monkeypatch.setenv("PROTEUS_URL", "http://127.0.0.1:1")
    assert "does not answer" in sentence(developer("trace", "code.txt:1"))
    monkeypatch.setenv("PROTEUS_URL", "file:///etc/passwd")
    assert "is an address" in sentence(developer("trace", "code.txt:1"))
    monkeypatch.chdir(tmp_path)
    assert "not a git repository" in sentence(developer("trace", "code.txt:1"))


def test_commits_are_checked_for_their_tickets(developer: Run, story: Story) -> None:
    key = story.task["key"]
    story.work.commit(f"Good\n\nTicket: {key}")
    good = developer("trace", "check", "HEAD~1..HEAD")
    assert (good.exit_code, good.output) == (0, "1 checked: each names a ticket.\n")
    silent, wrong = story.work.commit("Silent"), story.work.commit("T-99999")
    bad = developer("trace", "check", "HEAD~3..HEAD")
    assert bad.exit_code == 1
    assert f"{silent[:12]} 'Silent' names no ticket." in bad.output
    assert f"{wrong[:12]} 'T-99999': there is no ticket T-99999." in bad.output
    assert "Ticket: T-1042" in bad.output
    assert developer("trace", "check", "nowhere..HEAD").exit_code == 2
    assert developer("trace", "check", "--output=/tmp/x").exit_code == 2
    assert developer("trace", "check").exit_code == 2


def test_a_hook_checks_one_message(developer: Run, story: Story, tmp_path: Path) -> None:
    message = tmp_path / "COMMIT_EDITMSG"
    message.write_text(f"Fix\n\nTicket: {story.task['key']}\n# T-99999 is what git writes below\n", encoding="utf-8")
    assert developer("trace", "check", "--message", message).exit_code == 0
    message.write_text("Fix\n# Ticket: T-1\n", encoding="utf-8")
    assert developer("trace", "check", "--message", message).exit_code == 1
    assert developer("trace", "check", "--message", tmp_path / "nowhere").exit_code == 2
