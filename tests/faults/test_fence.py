"""Readers miss nothing, whatever happens to a writer between its INSERT and its commit."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from uuid import uuid4

import psycopg
import pytest

from application.embedded_postgres import EmbeddedPostgres
from application.event_store import appender
from application.event_store.database import Database, Role
from application.event_store.follower import LogReader
from application.event_store.streams import EventStore, WorkspaceStore
from tests.application.recording import added, drain, envelopes, insertion, positions, renamed, writer
from tests.faults import process
from tests.faults.rounds import WAIT, Rounds, until


@pytest.fixture
def readers(database: Database) -> Iterator[tuple[LogReader, LogReader]]:
    with database.connect(Role.PROJECTOR) as one, database.connect(Role.PROJECTOR) as two:
        yield LogReader(one), LogReader(two)


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
        with process.paused(undecided.info.backend_pid):
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
        with process.paused(undecided.info.backend_pid):
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
        with process.paused(idle.info.backend_pid):
            append(here, 4)
            assert drain(readers[0], start) == positions(database, start)


def test_an_append_that_takes_too_long_is_ended_by_postgresql(
    database: Database, here: WorkspaceStore, readers: tuple[LogReader, LogReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its position, and waits for somebody who has written the same version of the stream and does not commit.
    The limit of 10 seconds is made a short one here."""
    monkeypatch.setattr(appender, "TRANSACTION_LIMIT", "300ms")
    start, stream = positions(database)[-1], uuid4()
    with EventStore(database) as impatient, writer(database, here.workspace) as other:
        other.execute(*insertion(workspace=here.workspace, stream=stream))
        tried: set[int] = set()

        def backends() -> set[int]:
            rows = other.execute(
                "select pid from pg_locks where granted and locktype = 'relation' and relation = 'event'::regclass"
                " and mode = 'RowExclusiveLock' and pid <> pg_backend_pid()"
            ).fetchall()
            tried.update(pid for (pid,) in rows)
            return tried

        one = envelopes(here.workspace, stream, added())
        appending = threading.Thread(target=impatient.workspace(here.workspace).append, args=(one,), daemon=True)
        appending.start()
        until(lambda: len(backends()) > 1, "a second try, after the first was ended")
        assert drain(readers[0], start) == []
        other.rollback()
        appending.join(WAIT)
        assert not appending.is_alive()
    assert drain(readers[0], start) == positions(database, start)
    assert len(positions(database, start)) == 1


def test_readers_pass_a_writer_whom_postgresql_has_ended(
    database: Database, here: WorkspaceStore, readers: tuple[LogReader, LogReader]
) -> None:
    """Its client is paused in the middle of a transaction, as long as it likes: the server's own limit ends it."""
    start = positions(database)[-1]
    with process.start("hold", database, here.workspace, "500ms") as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "holding\n"
        with process.paused(client.pid):
            append(here)
            assert drain(readers[0], start) == []
            until(lambda: readers[0].read(start, 100))
            assert drain(readers[0], start) == positions(database, start)
        client.kill()
    assert len(positions(database, start)) == 2


def test_two_readers_see_every_event_once_and_in_order_whatever_eight_writers_do(
    database: Database, here: WorkspaceStore, readers: tuple[LogReader, LogReader], rounds: Rounds
) -> None:
    """Processes that commit, roll back, pause and are killed, with ordinary commands among them, and a transaction of
    somebody else open all the time."""

    def start_one() -> tuple[process.Process, int]:
        one = process.start("misbehave", database, here.workspace)
        assert one.stdout is not None
        return one, int(one.stdout.readline())

    writers = [start_one() for _ in range(8)]
    with writer(database, here.workspace) as unrelated:
        unrelated.execute("insert into guard (workspace, name, version) values (%s, 'x', 1)", (here.workspace,))
        for chance in rounds(test=1, soak=60):
            start = positions(database)[-1]
            done = threading.Event()
            seen: tuple[list[int], list[int]] = ([], [])
            following = [
                threading.Thread(target=_follow, args=(reader, start, found, done), daemon=True)
                for reader, found in zip(readers, seen, strict=True)
            ]
            for thread in following:
                thread.start()
            for one, _ in writers:
                assert one.stdin is not None
                print(chance.random(), file=one.stdin, flush=True)
            append(here, 3)
            time.sleep(chance.random() * 0.1)
            victim = chance.randrange(8)
            killed, backend = writers[victim]
            killed.kill()
            killed.communicate()
            with suppress(ProcessLookupError):
                os.kill(backend, signal.SIGCONT)  # its writer may have been killed while it was paused
            for _ in range(20):
                append(here, 3)
            for n, (one, _) in enumerate(writers):
                if n != victim:
                    assert one.stdout is not None
                    assert one.stdout.readline() == "done\n"
            writers[victim] = start_one()
            done.set()
            for thread in following:
                thread.join(WAIT)
            expected = positions(database, start)
            rounds.measure("events", len(expected))
            assert expected[-1] - start > len(expected), "there were gaps"
            assert seen[0] == expected
            assert seen[1] == expected
    for one, _ in writers:
        one.communicate(timeout=WAIT)


def _follow(reader: LogReader, start: int, seen: list[int], done: threading.Event) -> None:
    while True:
        last = done.is_set()
        found = drain(reader, seen[-1] if seen else start, limit=50)
        seen += found
        if last and not found:
            return
