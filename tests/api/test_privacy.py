"""`proteus audit erase`: what is refused, and what is finished after an interruption. What an erasure leaves nothing of
is seen in tests/end_to_end/test_erasure.py."""

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from api import erasing as command
from api.command_line import main
from api.ids import Kind, encode
from api.runtime import HOME_VARIABLE, open_contents
from application.embedded_postgres import EmbeddedPostgres
from application.event_store import erasures
from application.event_store.database import DATABASE_VARIABLE, KEYS_VARIABLE, Database, Role
from application.event_store.streams import EventStore
from application.handling import Context
from application.people import handle
from application.privacy import erasing
from application.tokens import digest, issue_token
from application.workspaces import system_person
from domain.access import Scope
from domain.people import DeactivatePerson, Person
from domain.tickets import AddComment, Ticket
from projections.engine import Session
from projections.rebuild import RebuildBusy
from projections.registry import PROJECTIONS
from tests.api.test_command_line import sentence
from tests.application.recording import Company, log, positions
from tests.application.test_sealing import superuser
from tests.conftest import KEYS

Run = Callable[..., Result]

pytestmark = KEYS


@pytest.fixture
def run(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv(DATABASE_VARIABLE, database.url)
    monkeypatch.setenv(KEYS_VARIABLE, database.keys_url or "")
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return lambda *arguments, **more: CliRunner().invoke(
        main, ["audit", "erase", *(str(one) for one in arguments)], **more
    )


@pytest.fixture
def guest(company: Company, database: Database) -> UUID:
    person = company.person("Гость", "guest@example.org")
    company.ticket("Сайт не открывается", requester=person)
    followed(database)
    return person


def followed(database: Database) -> None:
    with Session(database, {projection.name: projection for projection in PROJECTIONS}) as session:
        session.catch_up()


@pytest.fixture
def untouched(database: Database, guest: UUID, tmp_path: Path) -> Iterator[None]:
    """Nothing was recorded, no key is gone, no act was written."""
    before = positions(database), keys(database)
    yield
    assert (positions(database), keys(database)) == before
    assert not list(tmp_path.glob("erasure-*"))


def keys(database: Database) -> list[Any]:
    with database.keys.connect(Role.PROJECTOR) as connection:
        return connection.execute("select subject, key from subject_key order by subject").fetchall()


@pytest.mark.usefixtures("untouched")
def test_who_is_not_known_cannot_be_erased(run: Run) -> None:
    nobody = encode(Kind.PERSON, UUID(int=7))
    assert sentence(run("Никто", "--reason", "Просьба", "--yes")) == "Error: There is nobody called 'Никто' in acme."
    assert sentence(run(nobody, "--reason", "Просьба", "--yes")).startswith("Error: There is nobody called")


@pytest.mark.usefixtures("untouched")
def test_nobody_is_erased_without_a_reason(run: Run) -> None:
    assert "Missing option '--reason'" in sentence(run("Гость", "--yes"))
    assert sentence(run("Гость", "--reason", "  ", "--yes")) == "Error: reason is required to erase a person."


@pytest.mark.usefixtures("untouched")
def test_whoever_thinks_better_of_it_erases_nobody(run: Run) -> None:
    assert "for ever?" in sentence(run("Гость", "--reason", "Просьба", input="n\n"))


@pytest.mark.usefixtures("untouched")
def test_the_workspace_s_own_person_is_nobody_s_data(run: Run, company: Company) -> None:
    system = encode(Kind.PERSON, system_person(company.workspace.id))
    assert "nothing personal" in sentence(run(system, "--reason", "Просьба", "--yes"))


@pytest.mark.usefixtures("untouched")
def test_where_the_act_cannot_be_written_nothing_is_deleted(run: Run, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    assert "taken" in sentence(run("Гость", "--reason", "Просьба", "-o", tmp_path / "taken" / "acts", "--yes"))


def test_nobody_is_erased_twice(run: Run, guest: UUID, database: Database, tmp_path: Path) -> None:
    assert run("Гость", "--reason", "Просьба", "--yes").exit_code == 0
    before = positions(database)
    acts = set(tmp_path.glob("erasure-*"))
    again = sentence(run(encode(Kind.PERSON, guest), "--reason", "Просьба", "--yes"))
    assert again == f"Error: The data of person {guest} was erased."
    assert positions(database) == before
    assert set(tmp_path.glob("erasure-*")) == acts


def test_who_has_left_can_be_erased(run: Run, guest: UUID, company: Company, database: Database) -> None:
    handle(company.store, Context(actor=company.manager), DeactivatePerson(person=guest))
    followed(database)
    assert run("Гость", "--reason", "Просьба", "--yes").exit_code == 0


def test_what_was_interrupted_is_finished_by_the_same_command(
    run: Run, guest: UUID, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the key's deletion and the end: with one act, one event, and the read models made anew."""

    def busy(*_: object) -> None:
        raise RebuildBusy("Another rebuild is under way.")

    with monkeypatch.context() as patched:
        patched.setattr(command, "rebuild_all", busy)
        assert sentence(run("Гость", "--reason", "Просьба", "--yes")).endswith("Error: Another rebuild is under way.")
    drafts = set(tmp_path.glob("erasure-*"))
    assert [one.suffix for one in drafts] == [".part", ".part"]  # nothing says yet that it was done

    done = run("Гость", "--reason", "Просьба", "--yes")
    assert done.exit_code == 0, done.output
    acts = set(tmp_path.glob("erasure-*"))
    assert acts == {one.with_suffix("") for one in drafts}
    assert done.output.count("Written to") == 2
    [erased] = log(database, "name = 'SubjectErased'")
    told = json.loads(erased["state"])
    assert {hashlib.sha256(one.read_bytes()).hexdigest() for one in acts} == {told["act"], told["journal"]}
    with database.connect(Role.PROJECTOR) as connection:
        assert connection.execute("select name, email, erased from person where id = %s", (guest,)).fetchall() == [
            ("[erased]", None, True)
        ]


def test_no_act_says_that_a_key_was_deleted_that_is_there(
    run: Run, guest: UUID, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys(database)
    with monkeypatch.context() as patched:
        patched.setattr(erasing, "_delete_key", cut)
        assert isinstance(run("Гость", "--reason", "Просьба", "--yes").exception, PowerCut)
    assert keys(database) == before
    assert not list(tmp_path.glob("*.txt")) + list(tmp_path.glob("*.csv"))
    assert run("Гость", "--reason", "Просьба", "--yes").exit_code == 0
    assert len(list(tmp_path.glob("*.txt"))) == len(list(tmp_path.glob("*.csv"))) == 1


def test_where_the_acts_of_an_earlier_attempt_are_not_it_says_so(
    run: Run, guest: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(command, "rebuild_all", cut)
        run("Гость", "--reason", "Просьба", "--yes", "-o", tmp_path / "acts")
    done = run(encode(Kind.PERSON, guest), "--reason", "Просьба", "--yes")
    assert "which an earlier attempt wrote, are not in .: take .part from the ends of their names" in done.output
    assert len(list((tmp_path / "acts").glob("*.part"))) == 2


def test_what_could_not_be_cleaned_is_said_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "_CLEANED", ("parked", "pg_class", "token"))  # which belongs to somebody else
    assert [one for one in erasing.clean(database) if "pg_class" in one] == [
        'permission denied to vacuum "pg_class", skipping it'
    ]


def test_a_key_is_gone_with_the_note_of_it_or_not_at_all(
    run: Run, guest: UUID, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = positions(database), keys(database)
    with monkeypatch.context() as patched:
        patched.setattr(erasures, "tell", cut)
        assert isinstance(run("Гость", "--reason", "Просьба", "--yes").exception, PowerCut)
    assert (positions(database), keys(database)) == before
    with database.keys.connect(Role.OWNER) as connection:
        assert connection.execute("select from erasure").fetchall() == []


def test_nobody_is_said_to_be_erased_before_the_key_is_gone(
    run: Run, guest: UUID, company: Company, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends between the two, or the other database is away: the same command goes on."""
    secret = issue_token(database, company.workspace.id, guest, [Scope.REQUESTER], "Телефон", timedelta(days=1))
    with monkeypatch.context() as patched:
        patched.setattr(erasing, "_revoke_tokens", cut)
        assert isinstance(run("Гость", "--reason", "Просьба", "--yes").exception, PowerCut)
    assert dict(keys(database))[guest] is None
    assert log(database, "name = 'SubjectErased'") == []
    assert [one.suffix for one in tmp_path.glob("erasure-*")] == [".part", ".part"]
    done = run(encode(Kind.PERSON, guest), "--reason", "Просьба", "--yes")
    assert done.exit_code == 0, done.output
    assert len(log(database, "name = 'SubjectErased'")) == 1
    with database.connect(Role.READER) as connection:
        [row] = connection.execute("select revoked_at from authenticate(%s)", (digest(secret),)).fetchall()
    assert row[0] is not None


def test_a_key_that_a_backup_brought_back_is_deleted_again(
    run: Run, guest: UUID, company: Company, postgres: EmbeddedPostgres, database: Database
) -> None:
    """Of the keys alone: the log says still that they were erased."""
    key = dict(keys(database))[guest]
    assert run("Гость", "--reason", "Просьба", "--yes").exit_code == 0
    with superuser(postgres, database.keys) as connection:
        connection.execute("update proteus_keys.subject_key set key = %s where subject = %s", (key, guest))
        connection.execute("delete from proteus_keys.erasure")
    again = run(encode(Kind.PERSON, guest), "--reason", "Снова", "--yes")
    assert again.exit_code == 0, again.output
    assert dict(keys(database))[guest] is None
    assert len(log(database, "name = 'SubjectErased'")) == 1
    assert again.output.count("Written to") == 2, "what was issued then holds still"
    assert "was erased" in sentence(run(encode(Kind.PERSON, guest), "--reason", "Снова", "--yes"))


def test_an_erasure_that_a_backup_of_the_log_has_not_heard_of_is_done_again(
    run: Run,
    guest: UUID,
    company: Company,
    postgres: EmbeddedPostgres,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And if it is interrupted then, once more."""
    assert run("Гость", "--reason", "Просьба", "--yes").exit_code == 0
    with superuser(postgres, database) as connection:
        connection.execute("delete from proteus.event where name = 'SubjectErased'")
    with monkeypatch.context() as patched:
        patched.setattr(command, "rebuild_all", cut)
        assert isinstance(run(encode(Kind.PERSON, guest), "--reason", "Просьба", "--yes").exception, PowerCut)
    again = run(encode(Kind.PERSON, guest), "--reason", "Просьба", "--yes")
    assert again.exit_code == 0, again.output
    assert len(log(database, "name = 'SubjectErased'")) == 1


class PowerCut(Exception):
    pass


def cut(*_: object) -> None:
    raise PowerCut


def test_every_process_forgets_what_it_knew(run: Run, guest: UUID, company: Company, database: Database) -> None:
    """Its keys and the states that it has opened, whoever erases."""
    ticket = log(database, "name = 'TicketOpened'")[0]["stream"]
    here = company.workspace.id
    with EventStore(database) as other:
        knows = other.workspace(here)
        state = knows.load([ticket])[ticket].state
        assert isinstance(state, Ticket)
        assert state.title == "Сайт не открывается"
        assert run("Гость", "--reason", "Просьба", "--yes").exit_code == 0
        while knows.known([ticket]) is not None:
            pass  # it is told by PostgreSQL, in a moment
        loaded = knows.load([ticket, guest])
        title, person = loaded[ticket].state, loaded[guest].state
        assert isinstance(title, Ticket)
        assert isinstance(person, Person)
        assert (title.title, person.name, person.erased) == ("[erased]", "[erased]", True)
        assert other.mapper.sealer.keyring.key(here, guest) is None


def test_a_read_model_s_engine_forgets_at_the_event(
    guest: UUID, company: Company, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that even what is sealed by somebody who has not heard yet is opened no more."""
    ticket = log(database, "name = 'TicketOpened'")[0]["stream"]
    monkeypatch.setattr(company.store.mapper.sealer.keyring, "forget", lambda: None)
    with Session(database, {projection.name: projection for projection in PROJECTIONS}) as session:
        company.give(AddComment(ticket=ticket, body="До того"))
        session.catch_up()
        with EventStore(database) as eraser:
            asked = erasing.Asked(person=guest, reason="Просьба", folder=tmp_path)
            contents = open_contents(eraser, tmp_path / "attachments")
            erasing.begin(database, eraser, contents, company.workspace, asked)
        company.give(AddComment(ticket=ticket, body="Тем же ключом"))
        session.catch_up()
    assert guest.hex in log(database, "name = 'CommentAdded'")[-1]["state"].decode(), "it had the key still"
    with database.connect(Role.PROJECTOR) as connection:
        bodies = [body for (body,) in connection.execute("select body from comment order by said_position").fetchall()]
    assert bodies == ["До того", "[erased]"], "the first goes with the old tables, when they are made anew"
