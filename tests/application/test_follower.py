"""Following the log: every committed event once, in order, and who may move a follower on."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import psycopg
import pytest

from application.event_store import follower
from application.event_store.database import Database, Role
from application.event_store.envelope import STREAM, VERSION, WORKSPACE
from application.event_store.follower import Deposed, Leadership, Listener, LogReader, Stand
from application.event_store.streams import EventStore, WorkspaceStore
from application.event_store.wakeup import CHANNEL
from tests.application.recording import added, drain, envelopes, insertion, positions, renamed, writer
from tests.faults.rounds import until

WAIT = 30
LATER = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def reader(database: Database) -> Iterator[LogReader]:
    with database.connect(Role.PROJECTOR) as connection:
        yield LogReader(connection)


def fill(here: WorkspaceStore, events: int) -> UUID:
    stream = uuid4()
    here.append(envelopes(here.workspace, stream, added(), *[renamed(f"{n}") for n in range(1, events)]))
    return stream


# ---- reading


def test_a_reader_sees_every_event_once_in_order_whatever_the_size_of_its_steps(
    database: Database, here: WorkspaceStore, reader: LogReader
) -> None:
    fill(here, 57)
    expected = positions(database)
    for limit in (1, 7, 57, 1000):
        assert drain(reader, limit=limit) == expected
    assert drain(reader, after=expected[20]) == expected[21:]
    assert reader.read(expected[-1], 10) == []
    assert reader.head() == expected[-1]


def test_a_reader_sees_all_workspaces(store: EventStore, here: WorkspaceStore, reader: LogReader) -> None:
    fill(here, 3)
    other = store.workspace(uuid4())
    fill(other, 3)
    assert {row[WORKSPACE] for row in reader.read(0, 1000)} == {here.workspace, other.workspace}


def test_a_gap_that_nobody_can_fill_any_more_is_passed(
    database: Database, here: WorkspaceStore, reader: LogReader
) -> None:
    """Rolled-back appends leave gaps: at the start of a step, in the middle, several in a row."""
    for gaps in (1, 3, 40):
        with writer(database, here.workspace) as undecided:
            for _ in range(gaps):
                undecided.execute(*insertion(workspace=here.workspace))
            undecided.rollback()
        fill(here, 5)
    expected = positions(database)
    assert expected[-1] > len(expected)
    for limit in (1, 2, 1000):
        assert drain(reader, limit=limit) == expected


def test_an_open_append_holds_back_what_comes_after_it_and_nothing_before(
    database: Database, here: WorkspaceStore, reader: LogReader
) -> None:
    fill(here, 3)
    before = positions(database)
    with writer(database, here.workspace) as undecided:
        undecided.execute(*insertion(workspace=here.workspace))
        fill(here, 4)
        assert drain(reader) == before
        assert reader.read(before[-1], 100) == [], "it comes back to look around, with nothing"
        undecided.commit()
    expected = positions(database)
    assert len(expected) == len(before) + 5
    assert drain(reader, after=before[-1]) == expected[len(before) :]


def test_one_who_waits_at_a_gap_goes_on_when_it_is_decided(
    database: Database, here: WorkspaceStore, reader: LogReader
) -> None:
    for decision in ("commit", "rollback"):
        start = reader.head()
        with writer(database, here.workspace) as undecided:
            undecided.execute(*insertion(workspace=here.workspace))
            fill(here, 2)
            seen: list[int] = []

            def follow(after: int = start, seen: list[int] = seen) -> None:
                while not seen:
                    seen += drain(reader, after)

            follower = threading.Thread(target=follow, daemon=True)
            follower.start()
            assert not seen
            getattr(undecided, decision)()
            follower.join(WAIT)
        assert seen == positions(database, start)
        assert len(seen) == (3 if decision == "commit" else 2)


def test_transactions_that_append_nothing_delay_nobody(
    database: Database, here: WorkspaceStore, reader: LogReader
) -> None:
    """However long: a reader of the table, a writer of another one, one with a transaction id of its own."""
    with (
        writer(database, here.workspace) as reading,
        writer(database, here.workspace) as guarding,
        database.connect(Role.OWNER) as numbered,
        numbered.transaction(),
    ):
        reading.execute("select count(*) from event")
        guarding.execute("insert into guard (workspace, name, version) values (%s, 'x', 1)", (here.workspace,))
        numbered.execute("select pg_current_xact_id()")
        with writer(database, here.workspace) as undecided:
            undecided.execute(*insertion(workspace=here.workspace))
            undecided.rollback()
        fill(here, 5)
        assert drain(reader) == positions(database)


def test_an_append_begun_after_the_gap_was_decided_is_not_skipped(
    database: Database, here: WorkspaceStore, reader: LogReader
) -> None:
    with writer(database, here.workspace) as first, writer(database, here.workspace) as second:
        first.execute(*insertion(workspace=here.workspace))
        fill(here, 1)
        start = reader.head() - 2
        second.execute(*insertion(workspace=here.workspace))
        fill(here, 1)
        first.rollback()
        seen = drain(reader, start)
        second.commit()
        seen += drain(reader, seen[-1] if seen else start)
    assert seen == positions(database, start)


def test_streams_are_read_below_a_version(here: WorkspaceStore, reader: LogReader) -> None:
    one, two = fill(here, 5), fill(here, 3)
    rows = reader.streams({one: 4, two: 2, uuid4(): 9})
    assert sorted((row[STREAM], row[VERSION]) for row in rows) == sorted([(one, 1), (one, 2), (one, 3), (two, 1)])


# ---- who leads


@pytest.fixture
def followed(database: Database) -> str:
    with database.connect(Role.PROJECTOR) as connection:
        connection.execute("insert into tracking (name) values ('test')")
    return "test"


def test_one_leads_and_the_other_stands_by(database: Database, followed: str) -> None:
    with database.connect(Role.PROJECTOR) as one, database.connect(Role.PROJECTOR) as two:
        leader, standby = Leadership(database, one), Leadership(database, two)
        assert leader.acquire(followed)
        assert leader.acquire(followed)
        assert not standby.acquire(followed)


def test_a_leader_that_died_is_succeeded_where_it_stood(database: Database, followed: str) -> None:
    with database.connect(Role.PROJECTOR) as one:
        leader = Leadership(database, one)
        assert leader.acquire(followed)
        leader.advance([followed], Stand(10, LATER))
        epoch = leader.places[followed].epoch
    with database.connect(Role.PROJECTOR) as two:
        successor = Leadership(database, two)
        until(lambda: successor.acquire(followed), "the lock of the dead")
        place = successor.places[followed]
        assert (place.stand, place.epoch) == (Stand(10, LATER), epoch + 1)


def test_a_deposed_leader_moves_nothing(database: Database, followed: str) -> None:
    with database.connect(Role.PROJECTOR) as one, database.connect(Role.PROJECTOR) as two:
        old, new = Leadership(database, one), Leadership(database, two)
        assert old.acquire(followed)
        one.execute("select pg_advisory_unlock_all()")  # as if the server had lost it
        assert new.acquire(followed)
        with pytest.raises(Deposed):
            old.advance([followed], Stand(5, LATER))
        new.advance([followed], Stand(7, LATER))
        new.advanced([followed], Stand(7, LATER))
        with pytest.raises(Deposed):
            old.advance([followed], Stand(9, LATER))
        assert two.execute("select position from tracking where name = 'test'").fetchone() == (7,)


def test_a_leader_moves_on_from_where_it_stands_only(database: Database, followed: str) -> None:
    """A step whose commit it has not taken note of is never made twice."""
    with database.connect(Role.PROJECTOR) as connection:
        leader = Leadership(database, connection)
        assert leader.acquire(followed)
        leader.advance([followed], Stand(5, LATER))
        with pytest.raises(Deposed):
            leader.advance([followed], Stand(6, LATER))


def test_the_time_of_recording_never_runs_backwards(database: Database, followed: str) -> None:
    with database.connect(Role.PROJECTOR) as connection:
        leader = Leadership(database, connection)
        assert leader.acquire(followed)
        for position, recorded_at in ((1, LATER), (2, LATER.replace(year=2020))):
            leader.advance([followed], Stand(position, recorded_at))
            leader.advanced([followed], Stand(position, recorded_at))
        assert connection.execute("select recorded_at from tracking where name = 'test'").fetchone() == (LATER,)


def test_nobody_leads_what_is_not_followed(database: Database) -> None:
    with database.connect(Role.PROJECTOR) as one, database.connect(Role.PROJECTOR) as two:
        assert not Leadership(database, one).acquire("nothing")
        assert not Leadership(database, two).acquire("nothing")


def test_a_leader_that_is_paused_past_its_lease_is_ended_and_succeeded(
    database: Database, followed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process is stopped, so it neither moves nor hangs up; here it just does nothing."""
    with database.connect(Role.PROJECTOR) as one, database.connect(Role.PROJECTOR) as two:
        paused, standby = Leadership(database, one), Leadership(database, two)
        assert paused.acquire(followed)
        one.execute("begin")
        paused.advance([followed], Stand(5, LATER))
        assert not standby.acquire(followed), "its lease is not over"
        monkeypatch.setattr(follower, "LEASE_SECONDS", 0.0)
        assert standby.acquire(followed), "even in the middle of a step, which is undone"
        standby.advance([followed], Stand(3, LATER))
        with pytest.raises(psycopg.OperationalError):
            one.execute("commit")
        assert two.execute("select position from tracking where name = 'test'").fetchone() == (3,)


def test_a_leader_that_has_nothing_to_do_keeps_its_lease(
    database: Database, followed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.connect(Role.PROJECTOR) as one, database.connect(Role.PROJECTOR) as two:
        leader, standby = Leadership(database, one), Leadership(database, two)
        assert leader.acquire(followed)
        two.execute("update tracking set updated_at = '2020-01-01T00:00:00Z'")
        leader.keep()
        assert not standby.acquire(followed)
        two.execute("update tracking set epoch = epoch + 1")
        monkeypatch.setattr(follower, "HEARTBEAT_SECONDS", 0.0)
        with pytest.raises(Deposed):
            leader.keep()


def test_a_leader_that_is_at_work_is_not_ended_however_long_it_takes(
    database: Database, followed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "LEASE_SECONDS", 0.0)
    with (
        database.connect(Role.PROJECTOR) as one,
        database.connect(Role.PROJECTOR) as two,
        database.connect(Role.PROJECTOR) as blocking,
        blocking.transaction(),
    ):
        leader, standby = Leadership(database, one), Leadership(database, two)
        assert leader.acquire(followed)
        blocking.execute("lock table tracking in exclusive mode")
        working = threading.Thread(target=leader.advance, args=([followed], Stand(5, LATER)))
        working.start()
        while (
            two.execute("select 1 from pg_locks where not granted and relation = 'tracking'::regclass").fetchone()
            is None
        ):
            pass
        assert not standby.acquire(followed)
    working.join(WAIT)


# ---- waking up


def test_an_append_is_heard_of_elsewhere(database: Database, here: WorkspaceStore) -> None:
    heard = threading.Event()
    listener = Listener(database, CHANNEL, heard)
    try:
        assert heard.wait(WAIT), "having connected, it says so: what came before may be new"
        heard.clear()
        with EventStore(database) as elsewhere:
            fill(elsewhere.workspace(here.workspace), 1)
            assert heard.wait(WAIT)
    finally:
        listener.close()


def test_a_listener_comes_back_after_its_connection_was_lost(database: Database, postgres: object) -> None:
    heard = threading.Event()
    listener = Listener(database, CHANNEL, heard)
    try:
        assert heard.wait(WAIT)
        heard.clear()
        with psycopg.connect(database.url, autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'proteus projector' and datname = current_database()"
            )
        assert heard.wait(WAIT)
    finally:
        listener.close()
