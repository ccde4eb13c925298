"""Keys of data subjects are wrapped by a master key that no database holds, and that one command replaces."""

import base64
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest

from application import transfers
from application.embedded_postgres import EmbeddedPostgres
from application.event_store import master_keys
from application.event_store.database import Database, DatabaseNotUsable, Role
from application.event_store.sealing import SealBroken
from application.event_store.streams import EventStore
from application.privacy.rotating import rotate
from application.workspaces import create_workspace
from domain.people import Person
from tests.application.recording import Company, log
from tests.application.test_sealing import superuser
from tests.conftest import KEYS, fresh_database

pytestmark = KEYS


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "secrets" / "master.key"
    monkeypatch.setenv(master_keys.VARIABLE, str(path))
    return path


@pytest.fixture
def wrapped(file: Path, database: Database) -> Company:
    """A company whose keys are wrapped from the beginning."""
    rotate(database, file)
    store = EventStore(database)
    company = Company.of(store, create_workspace(database, store, "acme", "Acme"))
    company.person("Гость")
    return company


def stored(database: Database) -> list[tuple[UUID, bytes | None]]:
    with database.keys.connect(Role.PROJECTOR) as connection:
        return connection.execute("select subject, key from subject_key order by subject").fetchall()


def name_of(database: Database, company: Company, person: UUID) -> Any:
    """As a process reads it that has just started."""
    with EventStore(database) as fresh:
        state = fresh.workspace(company.workspace.id).load([person])[person].state
        assert isinstance(state, Person)
        return state.name


def test_without_a_master_key_keys_stand_as_they_are(database: Database, company: Company) -> None:
    assert {len(key or b"") for _, key in stored(database)} == {32}


def test_with_one_no_key_stands_open_in_the_database(database: Database, wrapped: Company) -> None:
    ring = wrapped.store.mapper.sealer.keyring
    for subject, key in stored(database):
        opened = ring.key(wrapped.workspace.id, subject)
        assert key is not None
        assert opened is not None
        assert len(key) == master_keys.WRAPPED_BYTES
        assert opened not in key


def test_the_first_rotation_wraps_what_stood_open(
    database: Database, company: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = company.person("Гость")
    before = stored(database)
    file = tmp_path / "master.key"
    monkeypatch.setenv(master_keys.VARIABLE, str(file))
    count, undone = rotate(database, file)
    assert (count, undone) == (len(before), [])
    assert {len(key or b"") for _, key in stored(database)} == {master_keys.WRAPPED_BYTES}
    assert name_of(database, company, person) == "Гость"


def test_a_rotation_wraps_all_keys_anew_and_forgets_the_old_master(
    file: Path, database: Database, wrapped: Company
) -> None:
    person = wrapped.person("Гость")
    [old] = master_keys.read(file)
    before = stored(database)
    count, _ = rotate(database, file)
    [new] = master_keys.read(file)
    assert count == len(before)
    assert new != old
    assert {(key or b"")[:8] for _, key in stored(database)} == {master_keys.identity(new)}
    assert name_of(database, wrapped, person) == "Гость"


def test_a_process_that_runs_on_takes_the_new_one(file: Path, database: Database, wrapped: Company) -> None:
    """It knows the old one alone, and makes a key for somebody new; then it has to open what was wrapped meanwhile."""
    rotate(database, file)
    person = wrapped.person("Новый")
    [new] = master_keys.read(file)
    assert {(key or b"")[:8] for _, key in stored(database)} == {master_keys.identity(new)}
    wrapped.store.forget()
    state = wrapped.store.workspace(wrapped.workspace.id).load([person])[person].state
    assert isinstance(state, Person)
    assert state.name == "Новый"


def test_an_interrupted_rotation_is_finished_by_the_next(
    file: Path, database: Database, wrapped: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = wrapped.person("Гость")
    [old] = master_keys.read(file)
    newer = bytes(32)
    master_keys.write(file, [newer, old])  # it was interrupted before it wrapped any
    assert name_of(database, wrapped, person) == "Гость"
    rotate(database, file)
    assert len(master_keys.read(file)) == 1
    assert name_of(database, wrapped, person) == "Гость"


def test_a_key_that_was_being_made_is_wrapped_anew_before_the_old_master_is_forgotten(
    file: Path, database: Database, wrapped: Company
) -> None:
    here, subject = wrapped.workspace.id, UUID(int=9)
    key = master_keys.MasterKeys.configured().wrap(bytes(range(32)), here, subject)
    with ThreadPoolExecutor(1) as thread, database.keys.connect(Role.APP) as making:
        with making.transaction():
            making.execute("select set_config('proteus.workspace', %s, true)", (str(here),))
            making.execute(_MADE, (here, subject, key, master_keys.commitment(here, subject, bytes(range(32)))))
            rotation = thread.submit(rotate, database, file)
            waiting_for(database, "lock table subject_key")
        rotation.result(timeout=30)
    assert wrapped.store.mapper.sealer.keyring.key(here, subject) == bytes(range(32))


_MADE = "insert into subject_key (workspace, subject, key, commitment) values (%s, %s, %s, %s)"


def test_two_rotations_at_once_forget_no_master_that_is_in_use(
    file: Path, database: Database, wrapped: Company
) -> None:
    person = wrapped.person("Гость")
    with ThreadPoolExecutor(2) as threads, database.keys.connect(Role.APP) as making:
        with making.transaction():  # so that the first has to wait in its middle
            making.execute("lock table subject_key in row exclusive mode")
            first = threads.submit(rotate, database, file)
            waiting_for(database, "lock table subject_key")
            second = threads.submit(rotate, database, file)
            waiting_for(database, "master key")
        first.result(timeout=30)
        second.result(timeout=30)
    assert len(master_keys.read(file)) == 1
    assert name_of(database, wrapped, person) == "Гость"


def waiting_for(database: Database, statement: str) -> None:
    """Until somebody's statement waits for a lock."""
    deadline = time.monotonic() + 20
    with psycopg.connect(database.keys.url, autocommit=True) as connection:
        while not connection.execute(
            "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
            " and position(%s in query) > 0",
            (statement,),
        ).fetchone():
            assert time.monotonic() < deadline, f"nobody waits in {statement!r}"
            time.sleep(0.02)


def test_who_does_not_have_it_is_told(file: Path, database: Database, wrapped: Company, tmp_path: Path) -> None:
    person = wrapped.person("Гость")
    file.rename(tmp_path / "elsewhere")
    with pytest.raises(DatabaseNotUsable, match=r"There is no file"):
        name_of(database, wrapped, person)
    master_keys.write(file, [bytes(32)])
    with pytest.raises(DatabaseNotUsable, match=r"which is not in the file"):
        name_of(database, wrapped, person)
    file.write_text("nothing of the kind")
    with pytest.raises(DatabaseNotUsable, match=r"holds no master keys"):
        name_of(database, wrapped, person)


def test_who_has_none_makes_no_open_keys_among_the_wrapped(
    database: Database, wrapped: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(master_keys.VARIABLE)
    with EventStore(database) as without, pytest.raises(psycopg.Error, match="PROTEUS_MASTER_KEY has to name"):
        without.mapper.sealer.keyring.key(wrapped.workspace.id, UUID(int=9), make=True)


def test_another_key_than_was_committed_to_is_not_used(
    postgres: EmbeddedPostgres, database: Database, wrapped: Company
) -> None:
    person = wrapped.person("Гость")
    master = master_keys.MasterKeys.configured()
    forged = master.wrap(bytes(32), wrapped.workspace.id, person)
    with superuser(postgres, database.keys) as connection:
        connection.execute("set search_path to proteus_keys")
        connection.execute("update subject_key set key = %s where subject = %s", (forged, person))
    with pytest.raises(SealBroken, match="committed to"):
        name_of(database, wrapped, person)


def test_a_key_that_was_moved_to_another_subject_does_not_unwrap(database: Database, wrapped: Company) -> None:
    master = master_keys.MasterKeys.configured()
    box = master.wrap(bytes(32), wrapped.workspace.id, UUID(int=1))
    with pytest.raises(DatabaseNotUsable, match="does not unwrap"):
        master.unwrap(box, wrapped.workspace.id, UUID(int=2))


def test_a_workspace_that_moves_takes_its_keys_along_and_has_them_wrapped_there(
    postgres: EmbeddedPostgres, file: Path, database: Database, wrapped: Company, tmp_path: Path
) -> None:
    moved = tmp_path / "acme.jsonl"
    transfers.export_workspace(database, wrapped.workspace, moved, lambda done, total: None)
    ring, here = wrapped.store.mapper.sealer.keyring, wrapped.workspace.id
    lines = [msgspec.json.decode(line) for line in transfers.keys_of(moved).read_bytes().splitlines()[1:]]
    assert {(one["subject"], base64.b64decode(one["key"])) for one in lines} == {
        (str(subject), ring.key(here, subject)) for subject, _ in stored(database)
    }
    with fresh_database(postgres) as there:
        rotate(there, file)
        transfers.import_workspace(there, moved, lambda done, total: None)
        assert {len(key or b"") for _, key in stored(there)} == {master_keys.WRAPPED_BYTES}
        person = log(there, "name = 'PersonAdded'")[-1]["stream"]
        assert name_of(there, wrapped, person) == "Гость"
