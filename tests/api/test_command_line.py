"""`proteus` at the command line: what it does, and one sentence for what it cannot."""

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from api.command_line import main
from api.ids import Kind, encode
from api.runtime import HOME_VARIABLE
from application import people
from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import DATABASE_VARIABLE, Database
from application.event_store.streams import EventStore
from application.handling import Context
from application.tokens import list_tokens
from application.workspaces import Workspace, operator
from domain.access import Scope
from domain.people import AddPerson, DeactivatePerson
from tests.conftest import fresh_database

Run = Callable[..., Result]


@pytest.fixture
def run(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command on a migrated database."""
    monkeypatch.setenv(DATABASE_VARIABLE, database.url)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(main, [str(one) for one in arguments])


def sentence(result: Result) -> str:
    """Of a command that failed as it should: no traceback, a code, a word."""
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (1, 2)
    return result.output.strip()


def test_a_workspace_is_made_and_listed(run: Run) -> None:
    assert "token create --workspace acme" in run("workspace", "create", "acme", "Acme Ltd").output
    assert "Acme Ltd" in run("workspace", "list").output
    assert sentence(run("workspace", "create", "acme", "Again")) == (
        "Error: There is a workspace with the key 'acme' already."
    )


def test_a_token_is_made_listed_and_revoked(run: Run, database: Database, workspace: Workspace) -> None:
    made = run("token", "create", "--new-person", "Ann", "--scope", "agent", "--scope", "auditor", "--expires", "2h")
    assert re.fullmatch(r"proteus_\S{43}\n", made.output)
    [token] = list_tokens(database, workspace.id)
    assert token.scopes == (Scope.AGENT, Scope.AUDITOR)
    listed = run("token", "list").output
    assert "Ann" in listed
    assert made.output.strip() not in listed
    assert run("token", "revoke", token.id).output == "Revoked.\n"
    assert "not revoked already" in sentence(run("token", "revoke", token.id))


def test_who_has_left_gets_no_token(run: Run, store: EventStore, workspace: Workspace) -> None:
    context = Context(actor=operator(workspace.id))
    anna = people.handle(store, context, AddPerson(name="Anna")).stream
    people.handle(store, context, DeactivatePerson(person=anna))
    made = run("token", "create", "--scope", "agent", "--person", encode(Kind.PERSON, anna))
    assert "Anna has left acme" in sentence(made)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--person", "Nobody", "--scope", "agent"), "There is nobody called 'Nobody'"),
        (("--scope", "agent"), "--new-person NAME"),
        (("--new-person", "x", "--scope", "god"), "'god' is not one of"),
        (("--new-person", "x", "--scope", "agent", "--expires", "soon"), "Write 90d, 12h or 30m"),
        (("--new-person", "x", "--scope", "agent", "--expires", "999999d"), "at most 366 days"),
        (("--new-person", "x", "--scope", "agent", "--workspace", "nope"), "There is no workspace 'nope'"),
    ],
)
def test_a_token_that_cannot_be_made_says_why(
    run: Run, workspace: Workspace, arguments: tuple[str, ...], word: str
) -> None:
    assert word in sentence(run("token", "create", *arguments))


def test_status_tells_the_lag_and_rebuild_mends_it(run: Run, workspace: Workspace) -> None:
    assert "Head of the log" in run("status").output
    rebuilt = run("rebuild", "directory")
    assert rebuilt.exit_code == 0, rebuilt.output
    assert "directory:" in rebuilt.output
    assert run("rebuild", "--all").exit_code == 0
    assert run("status", "--check").exit_code == 0
    assert "There is no read model 'nope'" in sentence(run("rebuild", "nope"))
    assert "say --all" in sentence(run("rebuild"))


def test_workflows_are_defined_from_a_file(run: Run, workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "flows.toml"
    file.write_text('[[roles]]\nkey = "VISIT"\nname = "Visit"\nworkflow = "support"\n')
    assert run("workflow", "define", file).output == "0 workflows, 1 roles and 0 fields are defined in acme.\n"
    file.write_text("[[roles]]\nkey = 5")
    assert "These definitions cannot be read" in sentence(run("workflow", "define", file))
    assert "does not exist" in sentence(run("workflow", "define", tmp_path / "none.toml"))


def test_a_database_that_is_away_or_not_migrated_is_said_in_a_sentence(
    run: Run, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("migrate").output == "The database was up to date.\n"
    monkeypatch.setenv(DATABASE_VARIABLE, database.url.replace("dbname=test", "dbname=nowhere"))
    assert "PostgreSQL does not answer" in sentence(run("status"))
    monkeypatch.setenv(DATABASE_VARIABLE, "postgresql://127.0.0.1:1/nowhere")
    assert "PostgreSQL does not answer" in sentence(run("serve", "--port", "1999"))
    empty = re.sub(r"dbname=\S+", "dbname=postgres", database.url)
    monkeypatch.setenv(DATABASE_VARIABLE, empty)
    assert "Run `proteus migrate` first" in sentence(run("token", "list"))


def test_a_superuser_and_a_server_that_proteus_never_saw_are_refused(
    monkeypatch: pytest.MonkeyPatch, postgres: EmbeddedPostgres, run: Run
) -> None:
    monkeypatch.setenv(DATABASE_VARIABLE, postgres.dsn)
    for command in (("migrate",), ("status",), ("serve", "--port", "1999")):
        assert "row-level security does not bind" in sentence(run(*command))
    root = Path(tempfile.mkdtemp(prefix="pt-"))
    root.chmod(0o711)
    try:
        with EmbeddedPostgres(root, settings={"fsync": "off"}) as fresh:
            monkeypatch.setenv(DATABASE_VARIABLE, fresh.database().url)
            assert "Run `proteus migrate` first" in sentence(run("status"))
            assert run("migrate").output == "The database is migrated.\n"
            assert run("status").exit_code == 0
    finally:
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def served(database: Database, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`proteus serve` in a process of its own."""
    port = 20_000 + os.getpid() % 10_000
    environment = {**os.environ, DATABASE_VARIABLE: database.url, HOME_VARIABLE: str(tmp_path)}
    command = [sys.executable, "-m", "api.command_line", "serve", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        while "Started worker" not in (line := process.stderr.readline()):
            assert line, "the server ended while it started"
        yield process, port
    finally:
        process.terminate()
        process.wait(30)
        if process.stderr is not None:
            process.stderr.close()


def test_the_server_answers_and_ends_cleanly(
    served: tuple[subprocess.Popen[str], int], store: EventStore, workspace: Workspace, run: Run
) -> None:
    process, port = served
    secret = run("token", "create", "--new-person", "Ann", "--scope", "agent").output.strip()
    address = f"http://127.0.0.1:{port}"

    def ask(query: str) -> Any:
        request = urllib.request.Request(
            f"{address}/graphql",
            json.dumps({"query": query}).encode(),
            {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)["data"]

    opened = ask('mutation { openTicket(input: {title: "Hi", role: "TASK"}) { ticket { key } } }')
    assert opened == {"openTicket": {"ticket": {"key": "T-1"}}}
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{address}/graphql", timeout=10)
    assert "Choose another with --host and --port" in sentence(run("serve", "--port", port))
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert process.stderr is not None
    while select.select([process.stderr], [], [], 0)[0] and (line := process.stderr.readline()):
        assert "Traceback" not in line


def test_a_workspace_is_exported_and_imported_and_its_digests_are_equal(
    run: Run,
    database: Database,
    workspace: Workspace,
    postgres: EmbeddedPostgres,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "acme.jsonl.gz"
    assert run("rebuild", "--all").exit_code == 0
    exported = run("workspace", "export", file)
    assert exported.exit_code == 0, exported.output
    assert f"{file}.keys" in exported.output
    before = run("workspace", "digest").stdout
    assert exported.stdout.splitlines()[-1] == before.splitlines()[0]
    assert "already" in sentence(run("workspace", "import", file))
    with fresh_database(postgres) as there:
        monkeypatch.setenv(DATABASE_VARIABLE, there.url)
        imported = run("workspace", "import", file)
        assert imported.exit_code == 0, imported.output
        assert run("workspace", "digest").stdout == before


def test_attachments_are_swept(run: Run) -> None:
    assert run("attachments", "sweep", "--detached", "7d").output == "0 files removed, 0 bytes.\n"
    assert "is not a duration" in sentence(run("attachments", "sweep", "--detached", "soon"))
