"""Readers miss nothing, whatever happens to a writer between its INSERT and its commit."""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest

from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Database, Role
from application.event_store.follower import LogReader
from application.event_store.streams import WorkspaceStore
from tests.application.recording import added, drain, envelopes, insertion, positions, renamed, writer
from tests.faults import process
from tests.faults.rounds import WAIT, Rounds, until


@pytest.fixture
def readers(database: Database) -> Iterator[tuple[LogReader, LogReader]]:
    with database.connect(Role.PROJECTOR) as one, database.connect(Role.PROJECTOR) as two:
        yield LogReader(one), LogReader(two)


@contextmanager
def paused(pid: int) -> Iterator[None]:
    """The backend is stopped in its tracks; it goes on whatever the test comes to."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def append(here: WorkspaceStore, events: int = 2) -> None:
    here.append(envelopes(here.workspace, uuid4(), added(), *[renamed(f"{n}") for n in range(1, events)]))


@pytest.mark.parametrize("end", ["commit", "rollback", "terminate"])
@pytest.mark.parametrize("after", [0, 3])
def test_behind_a_paused_writer_readers_wait_and_skip_nothing(
    database: Database,
    postgres: EmbeddedPostgres,
    here: WorkspaceStore,
    readers: tuple[LogReader, LogReader],
    end: str,
    after: int,
) -> None:
    """The writer's backend is stopped after its INSERT; others append meanwhile and are acknowledged. `after`: how many
    events stand between what the readers have seen and the gap."""
    start = positions(database)[-1]
    if after:
        append(here, after)
    before = positions(database, start)
    with writer(database, here.workspace) as undecided:
        undecided.execute(*insertion(workspace=here.workspace))
        with paused(undecided.info.backend_pid):
            for _ in range(3):
                append(here)
            for reader in readers:
                assert drain(reader, start) == before
                assert reader.read(before[-1] if before else start, 100) == []
        if end == "terminate":
            with psycopg.connect(postgres.dsn, autocommit=True) as killer:
                killer.execute("select pg_terminate_backend(%s)", (undecided.info.backend_pid,))
            undecided.close()
        else:
            getattr(undecided, end)()
    expected = positions(database, start)
    assert len(expected) == after + 6 + (end == "commit")
    for reader in readers:
        seen = drain(reader, start)
        deadline = time.monotonic() + WAIT
        while len(seen) < len(expected) and time.monotonic() < deadline:
            seen += drain(reader, seen[-1] if seen else start)
        assert seen == expected


def test_a_writer_paused_in_the_middle_of_its_commit_is_waited_for(
    database: Database, here: WorkspaceStore, readers: tuple[LogReader, LogReader]
) -> None:
    """It has sent its COMMIT, which nobody answers yet."""
    start = positions(database)[-1]
    with writer(database, here.workspace) as undecided:
        undecided.execute(*insertion(workspace=here.workspace))
        with paused(undecided.info.backend_pid):
            committing = threading.Thread(target=undecided.commit, daemon=True)
            committing.start()
            append(here)
            assert drain(readers[0], start) == []
        committing.join(WAIT)
        assert not committing.is_alive()
    assert drain(readers[0], start) == positions(database, start)
    assert len(positions(database, start)) == 3


def test_behind_a_writer_that_was_killed_readers_go_on(
    database: Database, here: WorkspaceStore, readers: tuple[LogReader, LogReader]
) -> None:
    """kill -9 of the client: PostgreSQL notices, rolls back, and the gap is one for ever."""
    start = positions(database)[-1]
    with process.start("hold", database, here.workspace) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "holding\n"
        append(here)
        assert drain(readers[0], start) == []
        client.kill()
    until(lambda: readers[0].read(start, 100))
    assert drain(readers[0], start) == positions(database, start)
    assert len(positions(database, start)) == 2


def test_an_unrelated_transaction_delays_nobody(
    database: Database, here: WorkspaceStore, readers: tuple[LogReader, LogReader]
) -> None:
    """Not even one that is paused, and has a snapshot and a transaction id."""
    start = positions(database)[-1]
    with writer(database, here.workspace) as idle:
        idle.execute("insert into guard (workspace, name, version) values (%s, 'x', 1)", (here.workspace,))
        idle.execute("select count(*) from event")
        with writer(database, here.workspace) as gone:
            gone.execute(*insertion(workspace=here.workspace))
            gone.rollback()
        with paused(idle.info.backend_pid):
            append(here, 4)
            assert drain(readers[0], start) == positions(database, start)


def test_two_readers_see_what_the_table_holds_whatever_the_writers_do(
    database: Database, here: WorkspaceStore, readers: tuple[LogReader, LogReader], rounds: Rounds
) -> None:
    """Commits, rollbacks, savepoints, pauses of clients and of backends, ordinary commands among them."""
    for chance in rounds(test=2, soak=60):
        start = positions(database)[-1]
        done = threading.Event()
        seen: tuple[list[int], list[int]] = ([], [])
        following = [
            threading.Thread(target=_follow, args=(reader, start, found, done), daemon=True)
            for reader, found in zip(readers, seen, strict=True)
        ]
        writing = [
            threading.Thread(target=_misbehave, args=(database, here, random.Random(chance.random())), daemon=True)
            for n in range(5)
        ]
        writing += [threading.Thread(target=_behave, args=(here,), daemon=True)]
        for thread in (*following, *writing):
            thread.start()
        for thread in writing:
            thread.join(WAIT)
        done.set()
        for thread in following:
            thread.join(WAIT)
        expected = positions(database, start)
        assert len(expected) > 200
        assert expected[-1] - start > len(expected), "there were gaps"
        assert seen[0] == expected
        assert seen[1] == expected


def _follow(reader: LogReader, start: int, seen: list[int], done: threading.Event) -> None:
    while True:
        last = done.is_set()
        found = drain(reader, seen[-1] if seen else start, limit=50)
        seen += found
        if last and not found:
            return


def _behave(here: WorkspaceStore) -> None:
    for _ in range(60):
        append(here, 3)


def _misbehave(database: Database, here: WorkspaceStore, chance: random.Random) -> None:
    with writer(database, here.workspace) as connection:
        for _ in range(25):
            for _ in range(chance.randint(1, 4)):
                connection.execute(*insertion(workspace=here.workspace))
            if chance.random() < 0.2:
                connection.execute("savepoint one")
                connection.execute(*insertion(workspace=here.workspace))
                connection.execute("rollback to one")
            if chance.random() < 0.3:
                time.sleep(chance.random() * 0.02)
            if chance.random() < 0.2:
                with paused(connection.info.backend_pid):
                    time.sleep(chance.random() * 0.02)
            if chance.random() < 0.3:
                connection.rollback()
            else:
                connection.commit()
