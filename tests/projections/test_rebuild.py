"""Rebuilding: the same tables again, beside readers and writers who notice nothing."""

import threading
import time
from collections.abc import Callable

import psycopg
import pytest

from application.event_store.database import Role
from application.event_store.follower import Deposed
from domain.tickets import AddComment, Priority, SetPriority
from projections import rebuild as rebuilding
from projections.engine import Engine, Session
from projections.projection import Projection
from projections.rebuild import RebuildBusy, rebuild
from projections.registry import NAMES, PROJECTIONS
from projections.status import status
from tests.projections.conftest import World
from tests.projections.test_engine import digests, head, places, some_history

EVERY = pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda projection: projection.name)


def follow(world: World) -> None:
    """By a new session: the rebuild deposed the old one."""
    world.session.__exit__()
    world.session = Session(world.database, {projection.name: projection for projection in PROJECTIONS})
    world.project()


def shadows(world: World) -> list[str]:
    return [row[0] for row in world.rows("select nspname from pg_namespace where nspname like '%rebuild%'")]


@EVERY
def test_a_rebuild_makes_the_same_tables(world: World, projection: Projection) -> None:
    some_history(world)
    world.project()
    before, reached = digests(world), []
    summary = rebuild(world.database, projection, lambda position, end: reached.append((position, end)))
    assert summary.same is True
    assert summary.digests == {table: before[table] for table in projection.tables}
    assert digests(world) == before
    assert summary.events == world.rows("select count(*) from event")[0][0]
    assert reached[-1] == (head(world), head(world))
    assert shadows(world) == []
    follow(world)
    world.open("Afterwards")
    world.project()
    assert "Afterwards" in world.titles()


@EVERY
def test_a_rebuild_keeps_indexes_rights_and_row_level_security(world: World, projection: Projection) -> None:
    def described() -> list[list[tuple[object, ...]]]:
        return [
            world.rows(
                "select tablename, indexdef from pg_indexes where schemaname = current_schema() order by indexname"
            ),
            world.rows(
                "select tablename, policyname, roles, cmd, qual from pg_policies"
                " where schemaname = current_schema() order by 1, 2"
            ),
            world.rows(
                "select relname, relacl::text, relrowsecurity, relforcerowsecurity from pg_class"
                " where relnamespace = current_schema()::regnamespace and relkind = 'r' order by 1"
            ),
        ]

    opened = world.open("Ours")
    world.do(AddComment(ticket=opened, body="ours"))
    other = world.beside("other")
    other.open("Theirs")
    world.project()
    before = described()
    rebuild(world.database, projection)
    assert described() == before
    assert world.titles() == ["Ours"]
    assert other.titles() == ["Theirs"]
    with world.database.connect(Role.READER) as reader:
        for table in projection.tables:
            assert reader.execute(f"select count(*) from {table}".encode()).fetchone() == (0,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(f"delete from {table}".encode())


def test_a_rebuild_mends_what_was_damaged_and_says_that_it_differed(world: World) -> None:
    world.open("True")
    world.project()
    with world.database.connect(Role.PROJECTOR) as connection:
        connection.execute("update span set title = 'False'")
    summary = rebuild(world.database, _named("spans"))
    assert summary.same is False
    assert world.titles() == ["True"]


def _named(name: str) -> Projection:
    return next(projection for projection in PROJECTIONS if projection.name == name)


def test_what_a_killed_rebuild_left_behind_harms_neither_readers_nor_the_next_one(world: World) -> None:
    world.open("Here")
    world.project()

    def killed(position: int, end: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(world.database, _named("spans"), killed)
    assert shadows(world) == ["proteus_rebuild_spans"]
    assert not any(row.rebuilding for row in world.run(status(world.models)).projections)
    assert world.titles() == ["Here"]
    world.open("Later")
    world.project()
    assert world.titles() == ["Here", "Later"]
    assert rebuild(world.database, _named("spans")).same is True
    assert shadows(world) == []
    assert world.titles() == ["Here", "Later"]


def test_the_status_says_that_a_rebuild_is_under_way(world: World) -> None:
    world.open()
    world.project()
    seen: list[dict[str, bool]] = []

    def look(position: int, end: int) -> None:
        found = world.run(status(world.models))
        seen.append({row.name: row.rebuilding for row in found.projections})

    rebuild(world.database, _named("tickets"), look)
    assert seen[0] == {**dict.fromkeys(NAMES, False), "tickets": True}
    found = world.run(status(world.models))
    assert {row.rebuilding for row in found.projections} == {False}
    assert {(row.position, row.lag_events) for row in found.projections} == {(found.head, 0)}


def test_two_rebuilds_of_one_read_model_do_not_meet(world: World) -> None:
    world.open()
    world.project()
    refused: list[RebuildBusy] = []

    def again(position: int, end: int) -> None:
        try:
            rebuild(world.database, _named("spans"))
        except RebuildBusy as error:
            refused.append(error)

    rebuild(world.database, _named("spans"), again)
    assert refused


def test_events_that_arrive_during_a_rebuild_are_in_the_new_tables(world: World) -> None:
    some_history(world)
    world.project()
    arrived = 0

    def more(position: int, end: int) -> None:
        nonlocal arrived
        if arrived < 3:
            world.open(f"Arrived {arrived}")
            world.project()
            arrived += 1

    rebuild(world.database, _named("spans"), more)
    assert [title for title in world.titles() if title.startswith("Arrived")] == ["Arrived 0", "Arrived 1", "Arrived 2"]
    assert places(world)["spans"] == head(world)
    rebuilt = digests(world)
    follow(world)
    assert digests(world) == rebuilt


def test_a_rebuild_deposes_the_leader_so_that_nothing_is_folded_twice(world: World) -> None:
    world.open()
    world.project()
    rebuild(world.database, _named("spans"))
    world.open("New")
    with pytest.raises(Deposed):
        world.project()
    follow(world)
    assert world.titles() == ["A ticket", "New"]


def test_readers_see_no_gap_while_tables_are_swapped_under_writers(world: World) -> None:
    """Readers ask all the time, commands arrive, and every read model is rebuilt meanwhile."""
    for n in range(5):
        world.open(f"Ticket {n}")
    world.project()
    stop = threading.Event()
    problems: list[str] = []
    asked = [0]

    def read() -> None:
        reader = _reader(world)
        least = 0
        while not stop.is_set():
            found = reader()
            asked[0] += 1
            if found < max(least, 5):
                problems.append(f"{found} tickets after {least}")
            least = max(least, found)

    def write() -> None:
        while not stop.is_set():
            opened = world.open("More")
            world.do(SetPriority(ticket=opened, priority=Priority.LOW))

    def project() -> None:
        while not stop.is_set():
            try:
                with Session(world.database, {projection.name: projection for projection in PROJECTIONS}) as leader:
                    while not stop.is_set():
                        leader.acquire()
                        leader.step()
                        time.sleep(0.005)
            except Deposed:
                continue

    world.session.__exit__()
    threads = [threading.Thread(target=_reporting(target, problems)) for target in (read, read, write, project)]
    for thread in threads:
        thread.start()
    try:
        for projection in PROJECTIONS:
            rebuild(world.database, projection)
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=20)
    assert problems == []
    assert asked[0] > 20
    follow(world)
    live = digests(world)
    for projection in PROJECTIONS:
        assert rebuild(world.database, projection).same is True
    assert digests(world) == live


def _reporting(target: Callable[[], None], problems: list[str]) -> Callable[[], None]:
    def run() -> None:
        try:
            target()
        except Exception as error:
            problems.append(repr(error))

    return run


def _reader(world: World) -> Callable[[], int]:
    """Counts by a prepared statement, as a server that has long been running does."""
    connection = world.database.connect(Role.READER)
    connection.execute("select set_config('proteus.workspace', %s, false)", (str(world.workspace.id),))

    def count() -> int:
        row = connection.execute(
            "select count(*) from span s join ticket t on t.id = s.ticket where s.closed_position is null", prepare=True
        ).fetchone()
        assert row is not None
        return int(row[0])

    return count


def test_a_swap_that_finds_no_moment_gives_up_and_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "SWAP_ATTEMPTS", 2)
    world.open("Here")
    world.project()
    with world.database.connect(Role.READER) as reader, reader.transaction():
        reader.execute("select count(*) from span")
        with pytest.raises(RebuildBusy):
            rebuild(world.database, _named("spans"))
        assert world.titles() == ["Here"], "others read on while it waits"
    world.open("Later")
    world.project()
    assert world.titles() == ["Here", "Later"]


# ---- read models that have not begun


def test_of_a_long_log_new_read_models_are_built_and_then_followed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    some_history(world)
    monkeypatch.setattr(rebuilding, "NEW_FROM", 10)
    assert set(places(world).values()) == {0}
    world.project()
    assert set(places(world).values()) == {head(world)}
    epochs = world.rows("select epoch from tracking where name <> 'audit'")
    assert {epoch for (epoch,) in epochs} == {2}, "swapped, then led"
    built = digests(world)
    world.open("Followed")
    world.project()
    assert "Followed" in world.titles()
    assert [summary.same for summary in rebuilding.rebuild_all(world.database, PROJECTIONS)] == [True] * len(NAMES)
    assert digests(world) != built


def test_a_new_read_model_beside_live_ones_follows_from_the_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "NEW_FROM", 0)
    world.open("Live")
    with Session(world.database, {"spans": _named("spans")}) as one:
        one.catch_up()
    assert not rebuilding.build_new(world.database, PROJECTIONS)
    world.project()
    assert set(places(world).values()) == {head(world)}


def test_what_cannot_be_built_is_followed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "NEW_FROM", 0)
    world.open("Here")
    with world.database.connect(Role.OWNER) as another:
        another.execute("select pg_advisory_lock(hashtextextended('proteus_rebuild_spans', 0))")
        world.project()
    assert world.titles() == ["Here"]


def test_an_engine_that_builds_stops_when_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "NEW_FROM", 0)
    monkeypatch.setattr(rebuilding, "BATCH", 1)
    some_history(world)
    following = Engine(world.database, PROJECTIONS)
    thread = threading.Thread(target=following.run)
    thread.start()
    while not any(row.rebuilding for row in world.run(status(world.models)).projections):
        assert thread.is_alive()
    following.stop()
    thread.join(timeout=20)
    assert not thread.is_alive()
    assert set(places(world).values()) == {0}
    world.project()
    assert set(places(world).values()) == {head(world)}
