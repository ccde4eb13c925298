"""Poison: an event that cannot be read, folded or written parks its stream, visibly; retry makes it whole."""

import threading
import time
from collections.abc import Callable, Sequence
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest
from psycopg import sql

from application.event_store.database import Role
from application.event_store.event_types import EVENT_TYPES
from domain.tickets import AddComment, Priority, SetPriority
from projections import engine, parking
from projections.engine import Engine, Session
from projections.parking import ReadModelBroken
from projections.projection import Change, Projection
from projections.rebuild import rebuild, rebuild_all
from projections.registry import NAMES, PROJECTIONS
from projections.retry import list_parked, retry
from projections.status import status
from projections.writing import Writes
from tests.application.recording import insertion, writer
from tests.projections.conftest import World
from tests.projections.test_engine import digests, head, places

EVERY = {projection.name: projection for projection in PROJECTIONS}
SPANS = EVERY["spans"]


def poison(world: World, **columns: object) -> UUID:
    """An event that Proteus never writes, as a damaged disk or a newer version may have left it."""
    with writer(world.database, world.workspace.id) as connection:
        statement, row = insertion(workspace=world.workspace.id, **columns)
        connection.execute(statement, row)
        connection.commit()
    stream = row["stream"]
    assert isinstance(stream, UUID)
    return stream


def parked(world: World) -> dict[str, int]:
    return {row.name: row.parked_streams for row in world.run(status(world.models)).projections}


def stale(world: World, *tickets: UUID) -> list[UUID]:
    found = world.ask(parking.stale, list(tickets))
    return [ticket for ticket in tickets if found.get(ticket)]


def follow(world: World, *projections: Projection) -> None:
    """By a new session with these read models instead of those of the same names."""
    world.session.__exit__()
    named = {projection.name: projection for projection in projections}
    world.session = Session(world.database, EVERY | named)
    world.project()


def refusing(projection: Projection, streams: set[UUID], after_version: int = 0) -> Projection:
    """A fold with a defect that shows with some tickets only."""

    def fold(write: Writes, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.envelope.originator_id in streams and change.envelope.originator_version > after_version:
                raise ZeroDivisionError("as it happens")
        projection.fold(write, changes)

    return msgspec.structs.replace(projection, fold=fold)


def assert_whole(world: World) -> None:
    """The read models are what a replay gives, with nothing parked."""
    follow(world)
    assert set(parked(world).values()) == {0}
    live = digests(world)
    assert [summary.same for summary in rebuild_all(world.database, PROJECTIONS)] == [True] * len(PROJECTIONS)
    assert digests(world) == live


@pytest.fixture
def mended(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Teaches this Proteus an event that it did not know."""

    def learn(name: str) -> None:
        monkeypatch.setitem(EVENT_TYPES, name, EVENT_TYPES["PriorityChanged"])
        from application.event_store import mapper

        monkeypatch.setitem(mapper._DECODERS, name, mapper._DECODERS["PriorityChanged"])

    return learn


def test_an_unknown_event_parks_its_stream_everywhere_and_nothing_else(
    world: World, mended: Callable[[str], None]
) -> None:
    poisoned, other = world.open("Poisoned"), world.open("Other")
    world.project()
    poison(world, stream=poisoned, version=2, name="Unheard", state=b'{"priority":"LOW"}')
    world.open("Later")
    world.project()
    assert set(places(world).values()) == {head(world)}, "everybody goes on"
    assert world.titles() == ["Poisoned", "Other", "Later"]
    assert parked(world) == dict.fromkeys(NAMES, 1)
    assert stale(world, poisoned, other) == [poisoned]

    poison(world, stream=poisoned, version=3, name="PriorityChanged", state=b'{"priority":"HIGH"}')
    world.project()
    follow(world)
    assert set(places(world).values()) == {head(world)}
    assert parked(world) == dict.fromkeys(NAMES, 1), "it is known after a restart, too"
    assert [(row.position < head(world), row.version) for row in list_parked(world.database)] == [(True, 2)] * len(
        NAMES
    )
    assert "KeyError" in list_parked(world.database)[0].error

    [still, *_] = retry(world.database, PROJECTIONS, list_parked(world.database))
    assert still.error is not None
    assert parked(world) == dict.fromkeys(NAMES, 1), "not mended yet"

    mended("Unheard")
    retried = retry(world.database, PROJECTIONS, list_parked(world.database))
    assert [(one.error, one.events) for one in retried] == [(None, 2)] * len(NAMES)
    assert stale(world, poisoned, other) == []
    follow(world)
    assert world.listed().nodes[0].priority is Priority.HIGH
    assert_whole(world)


@pytest.mark.parametrize(
    "columns",
    [
        {"state": b"no JSON"},
        {"state": b'{"title": 5}'},
        {"state": b"\xff\xfe", "name": "CommentAdded"},
        {"name": "PriorityChanged", "event_version": 1, "state": b'{"priority":"LOW"}'},
        {"name": "PersonAdded", "state": b'{"name":"not sealed","kind":"STAFF","email":null}'},
        {"name": "TeamAdded", "state": b'{"key":"a","name":"A"}', "reason": "not sealed"},
        {"name": "TeamAdded", "event_version": 9, "state": b'{"key":"a","name":"A"}'},
    ],
    ids=["no JSON", "another shape", "no text", "no first event", "no seal", "no sealed reason", "newer version"],
)
def test_whatever_cannot_be_read_is_parked(world: World, columns: dict[str, object]) -> None:
    poison(world, **columns)
    world.open("Seen")
    world.project()
    assert world.titles() == ["Seen"]
    assert parked(world) == dict.fromkeys(NAMES, 1)
    assert set(places(world).values()) == {head(world)}


def test_a_fold_that_fails_parks_the_stream_in_its_own_read_model_only(world: World) -> None:
    opened = [world.open(f"Ticket {n}") for n in range(9)]
    for ticket in opened:
        world.do(SetPriority(ticket=ticket, priority=Priority.HIGH))
        world.do(AddComment(ticket=ticket, body="A\nB"))
        world.do(SetPriority(ticket=ticket, priority=Priority.LOW))
    follow(world, refusing(SPANS, {opened[3], opened[7]}, after_version=2))
    assert parked(world) == {**dict.fromkeys(NAMES, 0), "spans": 2}
    assert stale(world, *opened) == [opened[3], opened[7]]
    rows = list_parked(world.database)
    assert [(row.stream, row.version, row.number) for row in rows] == [(opened[3], 3, 4), (opened[7], 3, 8)]
    assert rows[0].error == "ZeroDivisionError: as it happens"
    priorities = [row.priority for row in world.listed().nodes]
    assert [n for n, priority in enumerate(priorities) if priority is Priority.HIGH] == [3, 7], "what was before stays"

    world.do(SetPriority(ticket=opened[3], priority=Priority.CRITICAL))
    world.project()
    retried = retry(world.database, PROJECTIONS, rows)
    assert [one.error for one in retried] == [None, None]
    assert_whole(world)
    assert world.listed().nodes[3].priority is Priority.CRITICAL


def test_rows_that_postgresql_refuses_park_their_stream(world: World) -> None:
    """Two tickets of one number, which no command can make: the second is refused."""
    first = world.open("First")
    world.project()
    with world.database.connect(Role.PROJECTOR) as connection:
        state = connection.execute("select state from event where stream = %s", (first,)).fetchone()
    assert state is not None
    twin = poison(world, name="TicketOpened", state=_without_texts(state[0]))
    world.open("Later")
    world.project()
    assert parked(world) == {**dict.fromkeys(NAMES, 0), "tickets": 1}
    [row] = list_parked(world.database)
    assert (row.stream, row.error.split(":")[0]) == (twin, "UniqueViolation")
    assert "Later" in world.titles()


def _without_texts(state: bytes) -> bytes:
    """An erased title reads as erased; this one is empty, which is not sealed either."""
    fields = msgspec.json.decode(state)
    return msgspec.json.encode({**fields, "title": "", "description": None, "fields": {}})


def test_the_time_of_recording_counts_events_that_are_left_out(world: World, mended: Callable[[str], None]) -> None:
    stream = world.open("Poisoned")
    poison(world, stream=stream, version=2, name="Unheard", state=b'{"priority":"LOW"}')
    for n in range(3):
        world.open(f"Later {n}")
    world.project()
    mended("Unheard")
    retry(world.database, PROJECTIONS, list_parked(world.database))
    assert_whole(world)


def test_a_rebuild_parks_what_is_still_poison_and_clears_the_rest(world: World) -> None:
    opened = [world.open(f"Ticket {n}") for n in range(5)]
    poisoned = poison(world, state=b"no JSON")
    follow(world, refusing(SPANS, {opened[2]}))
    assert parked(world) == {**dict.fromkeys(NAMES, 1), "spans": 2}
    rebuild(world.database, SPANS)
    follow(world)
    assert parked(world) == dict.fromkeys(NAMES, 1)
    assert {row.stream for row in list_parked(world.database)} == {poisoned}
    assert len(world.titles()) == 5
    rebuild(world.database, refusing(SPANS, {opened[0], opened[4]}, after_version=0))
    follow(world)
    assert parked(world)["spans"] == 3
    assert world.titles() == ["Ticket 1", "Ticket 2", "Ticket 3"]
    summaries = rebuild_all(world.database, PROJECTIONS)
    assert [summary.name for summary in summaries] == list(NAMES)
    follow(world)
    assert len(world.titles()) == 5


def test_a_batch_that_is_poisoned_while_the_next_is_folded_is_sifted_in_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = [world.open(f"Ticket {n}") for n in range(4)]
    for _ in range(3):
        for ticket in opened:
            world.do(AddComment(ticket=ticket, body="So it is."))
    monkeypatch.setattr(engine, "BATCH", 3)
    follow(world, refusing(EVERY["tickets"], {opened[1]}), refusing(SPANS, {opened[3]}))
    assert parked(world) == {**dict.fromkeys(NAMES, 0), "spans": 1, "tickets": 1}
    assert set(places(world).values()) == {head(world)}
    retry(world.database, PROJECTIONS, list_parked(world.database))
    assert_whole(world)


def test_where_every_stream_fails_it_is_the_read_model_that_stands_still(world: World) -> None:
    streams = {world.open(f"Ticket {n}") for n in range(parking.MOST_AT_ONCE + 1)}
    follow(world, refusing(SPANS, streams))
    assert parked(world) == dict.fromkeys(NAMES, 0)
    assert places(world)["spans"] < head(world) == places(world)["tickets"]
    with pytest.raises(ReadModelBroken):
        rebuild(world.database, refusing(SPANS, streams))
    follow(world)
    assert_whole(world)


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("the connection is lost"),
        psycopg.errors.DiskFull("no space left on device"),
        psycopg.errors.LockNotAvailable("somebody else"),
        psycopg.errors.QueryCanceled("statement timeout"),
        psycopg.errors.UndefinedTable("not migrated"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_trouble_that_is_not_the_event_s_parks_nothing(error: Exception) -> None:
    assert not parking.is_poison(error)


def test_streams_are_made_up_while_the_engine_follows_and_commands_arrive(
    world: World, mended: Callable[[str], None]
) -> None:
    world.session.__exit__()
    tickets = [world.open(f"Ticket {n}") for n in range(4)]
    following = Engine(world.database, PROJECTIONS)
    thread = threading.Thread(target=following.run)
    thread.start()
    try:
        for ticket in tickets:
            poison(world, stream=ticket, version=2, name="Unheard", state=b'{"priority":"LOW"}')
        deadline = time.monotonic() + 30
        while set(parked(world).values()) != {4}:
            assert time.monotonic() < deadline
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                world.do(AddComment(ticket=world.open("Meanwhile"), body="So it is."))

        working = threading.Thread(target=work)
        working.start()
        mended("Unheard")
        for row in list_parked(world.database):
            retry(world.database, PROJECTIONS, [row])
        stop.set()
        working.join(timeout=20)
        position = world.do(SetPriority(ticket=tickets[0], priority=Priority.CRITICAL)).position
        while min(places(world).values()) < position:
            assert time.monotonic() < deadline
        assert set(parked(world).values()) == {0}
    finally:
        following.stop()
        thread.join(timeout=20)
    assert_whole(world)


def test_a_retry_that_is_killed_leaves_the_stream_parked(
    world: World, mended: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = world.open("Poisoned")
    poison(world, stream=stream, version=2, name="Unheard", state=b'{"priority":"LOW"}')
    world.project()
    mended("Unheard")
    before = digests(world)

    def killed(write: Writes, changes: Sequence[Change]) -> None:
        raise KeyboardInterrupt

    rows = [row for row in list_parked(world.database) if row.projection == "spans"]
    with pytest.raises(KeyboardInterrupt):
        retry(world.database, [msgspec.structs.replace(SPANS, fold=killed)], rows)
    assert digests(world) == before
    assert parked(world)["spans"] == 1
    assert [one.events for one in retry(world.database, PROJECTIONS, rows * 2)] == [1, 0], "and twice is harmless"


def test_readers_see_what_is_parked_in_their_workspace_alone_and_never_why(world: World) -> None:
    poison(world, state=b"no JSON")
    world.project()
    with world.database.connect(Role.READER) as reader:
        assert reader.execute("select count(*) from parked").fetchone() == (0,)
        reader.execute("select set_config('proteus.workspace', %s, false)", (str(world.workspace.id),))
        assert reader.execute("select count(*) from parked").fetchone() == (len(NAMES),)
        reader.execute("select set_config('proteus.workspace', %s, false)", (str(uuid4()),))
        assert reader.execute("select count(*) from parked").fetchone() == (0,)
        for statement in ("select error from parked", "delete from parked"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(sql.SQL(statement))
