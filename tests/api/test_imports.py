"""`proteus import` at the command line: what it says, how it ends, and that it knows who is there already."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from api import imports
from api.imports import INTERRUPTED, SOME_REJECTED, import_command, known_names
from application import people, teams
from application.event_store.database import Database
from application.event_store.streams import EventStore
from application.handling import Context
from application.workspaces import Workspace, create_workspace, operator
from domain.people import AddPerson
from domain.teams import AddTeam
from tests.application.test_imports import HISTORY, MAPPING


@pytest.fixture
def folder(tmp_path: Path, database: Database, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROTEUS_DATABASE_URL", database.url)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "history.csv").write_text(HISTORY)
    (tmp_path / "map.toml").write_text(MAPPING)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(import_command, ["history.csv", "--mapping", "map.toml", *arguments])


def test_an_import_ends_with_a_summary(folder: Path) -> None:
    result = run()
    assert result.exit_code == 0, result.output
    assert "2 │ tickets opened" in result.output
    assert "rows/s" in result.output
    assert not (folder / "history.csv.rejects.csv").exists()


def test_the_same_command_again_finds_everything_imported(folder: Path) -> None:
    run()
    result = run()
    assert result.exit_code == 0
    assert "5 │ rows were imported before" in result.output


def test_rejected_rows_have_an_exit_code_of_their_own(folder: Path) -> None:
    (folder / "history.csv").write_text(HISTORY + "C,yesterday,New,,,,\n")
    result = run("--rejects", "bad.csv")
    assert result.exit_code == SOME_REJECTED
    assert "see bad.csv" in result.output
    assert (
        (folder / "bad.csv").read_text().splitlines()[1].startswith("7,time 'yesterday' is not as the mapping says,C")
    )


def test_a_dry_run_says_that_nothing_was_written(folder: Path) -> None:
    assert "nothing was written" in run("--dry-run").output
    assert "5 │ rows were imported before" not in run().output


def test_an_interruption_says_how_to_go_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(imports, "import_file", interrupted)
    result = run()
    assert result.exit_code == INTERRUPTED
    assert "run the same command again to go on" in result.output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("map.toml", MAPPING.replace("[time]", "[tim]")), "unknown key 'tim'. Did you mean 'time'?"),
        (("history.csv", ""), "history.csv is empty"),
    ],
)
def test_what_cannot_be_imported_is_said_in_one_line(folder: Path, change: tuple[str, str], message: str) -> None:
    (folder / change[0]).write_text(change[1])
    result = run()
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_missing_mapping_is_named(folder: Path) -> None:
    (folder / "map.toml").unlink()
    result = run()
    assert result.exit_code == 1
    assert "map.toml cannot be read: No such file" in result.output


def test_of_several_workspaces_one_must_be_named(folder: Path, database: Database, store: EventStore) -> None:
    create_workspace(database, store, "other", "Other")
    assert "Name the workspace with --workspace. Workspaces: acme, other." in run().output
    assert "There is no workspace 'nowhere'" in run("--workspace", "nowhere").output
    assert run("--workspace", "other").exit_code == 0


def test_names_that_are_there_are_found_and_shared_ones_left_out(
    database: Database, store: EventStore, workspace: Workspace
) -> None:
    context = Context(actor=operator(workspace.id))
    ann = people.handle(store, context, AddPerson(name="Ann")).stream
    for _ in range(2):
        people.handle(store, context, AddPerson(name="Bob"))
    team = teams.handle(store, context, AddTeam(key="first", name="First line")).stream
    known = known_names(database, operator(workspace.id))
    assert known.people["Ann"] == ann
    assert "Bob" not in known.people
    assert known.teams == {"First line": team, "first": team, str(team): team}
