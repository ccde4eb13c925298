"""The engine: the same tables whatever the batches, a place that only moves on, and one leader at a time."""

import threading
import time
from collections.abc import Sequence
from uuid import UUID

import msgspec
import pytest
from psycopg import sql

from application import views, webhooks
from application.event_store.database import Role
from application.event_store.follower import Deposed
from application.handling import Context
from domain.privacy import SetReadLogging, SetSensitive
from domain.tickets import (
    AddComment,
    LinkKind,
    LinkTickets,
    Priority,
    RateTicket,
    SetPriority,
    TransferTicket,
    TransitionTicket,
    UnlinkTickets,
    UnwatchTicket,
    WatchTicket,
)
from domain.views import FavouriteView, SaveView
from domain.webhooks import DefineWebhook
from domain.work import CorrectWork, LogWork, ReverseWork, SwitchTimer
from projections import engine, reading, states
from projections.engine import Engine, Session
from projections.projection import Change, Projection, install
from projections.reading import ReadModelBehind
from projections.rebuild import digest
from projections.registry import NAMES, PERSONAL_COLUMNS, PROJECTIONS
from projections.writing import Writes
from tests.projections.conftest import World, hour


def digests(world: World) -> dict[str, str]:
    """Of every table of every read model."""
    with world.database.connect(Role.PROJECTOR) as connection:
        return {
            table: digest(connection, table, world.database.schema)
            for projection in PROJECTIONS
            for table in projection.tables
        }


def forget_everything(world: World) -> None:
    """As if the read models had just been made."""
    with world.database.connect(Role.OWNER) as connection:
        for projection in PROJECTIONS:
            for table in projection.tables:
                connection.execute(sql.SQL("delete from {}").format(sql.Identifier(table)))
        connection.execute("update tracking set position = 0, recorded_at = '0001-01-01T00:00:00Z'")


def places(world: World) -> dict[str, int]:
    """Of the read models; others follow, too."""
    query = "select name, position from tracking where name not in ('audit', 'webhook_deliveries')"
    return dict(world.rows(query))


def head(world: World) -> int:
    position: int = world.rows("select max(position) from event")[0][0]
    return position


def some_history(world: World) -> None:
    anna = world.person("Anna")
    context = Context(actor=world.admin)
    saved = views.handle(world.store, context, SaveView(name="All", definition="{}", shared=True)).stream
    views.handle(world.store, context, FavouriteView(view=saved))
    opened_before: list[UUID] = []
    webhooks.handle(world.store, context, DefineWebhook(url="https://example.org"), "whsec_eA==")
    for n in range(12):
        opened = world.open(f"Ticket {n}", "TASK", hour(n), assignee=anna, requester=anna, fields={"n": n})
        world.do(TransitionTicket(ticket=opened, status="in_progress"), hour(n))
        for m in range(n % 4):
            world.do(AddComment(ticket=opened, body=f"{m}"), hour(n + m))
        world.do(SetPriority(ticket=opened, priority=Priority.HIGH), hour(n + 5))
        world.do(WatchTicket(ticket=opened, person=anna), hour(n + 5))
        world.do(SetSensitive(ticket=opened, sensitive=True), hour(n + 5))
        world.do(SetReadLogging(all=n % 2 == 0))
        logged = world.do(LogWork(ticket=opened, started_at=hour(n), seconds=60 * (n + 1)), hour(n + 6)).stream
        if n % 2:
            world.do(CorrectWork(work_entry=logged, ended_at=hour(n + 1)), hour(n + 6))
            world.do(SwitchTimer(ticket=opened), hour(n + 6))
        if n % 5 == 0:
            world.do(ReverseWork(work_entry=logged), hour(n + 7))
        world.do(TransferTicket(ticket=opened, role="BUG", note=f"{n}"), hour(n + 5))
        opened_before.append(opened)
        if n % 2:
            other = opened_before[n - 1]
            world.do(LinkTickets(ticket=opened, kind=LinkKind.CAUSES, other=other), hour(n + 6))
            if n % 3:
                world.do(UnlinkTickets(ticket=opened, kind=LinkKind.CAUSES, other=other), hour(n + 6))
        if n % 3 == 0:
            world.do(SetSensitive(ticket=opened, sensitive=False), hour(n + 6))
            world.do(UnwatchTicket(ticket=opened, person=anna), hour(n + 6))
            world.do(TransitionTicket(ticket=opened, status="done"), hour(n + 6))
            world.do(RateTicket(ticket=opened, score=1 + n % 5), hour(n + 7), on_behalf_of=anna)


def session(world: World, *extra: Projection) -> Session:
    return Session(world.database, {projection.name: projection for projection in (*PROJECTIONS, *extra)})


def test_batches_of_any_size_fold_to_the_same_tables(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    some_history(world)
    world.project()
    world.session.__exit__()
    expected = digests(world)
    assert [table for table in _FILLED if expected[table].startswith("0:")] == []
    for size in (1, 2, 7, 50):
        forget_everything(world)
        monkeypatch.setattr(engine, "BATCH", size)
        with session(world) as again:
            again.catch_up()
        assert digests(world) == expected, size


_FILLED = [
    "person",
    "workflows",
    "search_text",
    "search_word",
    "span",
    "ticket",
    "comment",
    "watcher",
    "link",
    "hand_over",
    "timeline",
    "saved_view",
    "view_favourite",
    "work",
    "timer",
]
"""By `some_history`."""


def test_states_are_loaded_from_the_log_where_the_cache_has_lost_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    some_history(world)
    world.project()
    world.session.__exit__()
    expected = digests(world)
    forget_everything(world)
    monkeypatch.setattr(engine, "BATCH", 3)
    monkeypatch.setattr(states, "CACHED_STATES", 1)
    with session(world) as again:
        again.catch_up()
    assert digests(world) == expected


def test_a_place_moves_over_events_that_its_read_model_ignores(world: World) -> None:
    world.open()
    world.person("Anna")
    world.project()
    assert set(places(world).values()) == {head(world)}
    world.person("Boris")  # nothing for spans
    world.project()
    assert set(places(world).values()) == {head(world)}


def test_read_models_that_stand_apart_come_together(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    some_history(world)
    monkeypatch.setattr(engine, "BATCH", 10)
    with Session(world.database, {PROJECTIONS[1].name: PROJECTIONS[1]}) as alone:
        alone.acquire()
        for _ in range(3):
            alone.step()
    assert len(set(places(world).values())) == 2
    world.project()
    assert set(places(world).values()) == {head(world)}
    world.session.__exit__()
    expected = digests(world)
    forget_everything(world)
    with session(world) as again:
        again.catch_up()
    assert digests(world) == expected


# ---- failures


class Broken:
    """A read model whose fold fails until it is mended; what it wanted written before is not."""

    def __init__(self, world: World) -> None:
        self.mended = False
        self.projection = Projection(name="broken", tables=("broken",), ddl=_DDL, indexes="", fold=self.fold)
        with world.database.connect(Role.OWNER) as connection:
            install(connection, [self.projection])

    def fold(self, write: Writes, changes: Sequence[Change]) -> None:
        for change in changes:
            write.execute("insert into broken values (%s, %s)", (change.envelope.workspace, change.envelope.position))
        if not self.mended:
            raise ZeroDivisionError("as it happens")


_DDL = "create table broken (workspace uuid not null, position bigint primary key)"


def test_a_read_model_that_fails_stands_still_and_holds_back_no_other(world: World) -> None:
    world.session.__exit__()
    broken = Broken(world)
    world.open("Seen")
    with session(world, broken.projection) as together:
        together.catch_up()
        assert world.titles() == ["Seen"]
        assert places(world) == {"broken": 0, **{name: head(world) for name in NAMES}}
        assert world.rows("select count(*) from broken") == [(0,)]

        world.open("Seen too")
        together.catch_up()
        assert world.titles() == ["Seen", "Seen too"]

        broken.mended = True
        deadline = time.monotonic() + 5
        while places(world)["broken"] < head(world) and time.monotonic() < deadline:
            together.catch_up()
            time.sleep(0.02)
        assert set(places(world).values()) == {head(world)}
    assert world.rows("select count(*) from broken") == world.rows("select count(*) from event")


def test_a_new_read_model_that_catches_up_does_not_freeze_the_live_ones(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    some_history(world)
    world.project()
    world.session.__exit__()
    new = Broken(world)
    new.mended = True
    monkeypatch.setattr(engine, "BATCH", 5)
    with session(world, new.projection) as together:
        together.acquire()
        world.open("Seen at once")
        assert together.step()
        assert "Seen at once" in world.titles()
        assert places(world) == {"broken": 5, **{name: head(world) for name in NAMES}}
        together.catch_up()
        assert set(places(world).values()) == {head(world)}
    assert world.rows("select count(*) from broken") == world.rows("select count(*) from event")


def test_a_failure_in_the_middle_leaves_no_trace_of_its_batch(world: World) -> None:
    world.session.__exit__()
    world.open("First")

    def fails(write: Writes, changes: Sequence[Change]) -> None:
        PROJECTIONS[1].fold(write, changes)
        write.execute("select 1 / 0")

    spans = PROJECTIONS[1]
    with Session(world.database, {"spans": msgspec.structs.replace(spans, fold=fails)}) as failing:
        failing.catch_up()
    assert world.rows("select count(*) from span") == [(0,)]
    with session(world) as again:
        again.catch_up()
    assert world.titles() == ["First"]


def test_a_restart_goes_on_where_the_last_one_stopped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    some_history(world)
    world.session.__exit__()
    monkeypatch.setattr(engine, "BATCH", 9)
    steps = 0
    while True:
        with session(world) as one:
            one.acquire()
            if not one.step():
                break
            steps += 1
    assert steps > 3
    expected = digests(world)
    forget_everything(world)
    with session(world) as again:
        again.catch_up()
    assert digests(world) == expected


# ---- leadership


def test_of_two_sessions_one_leads_and_the_other_takes_over_when_it_is_gone(world: World) -> None:
    world.project()
    with session(world) as standby:
        standby.catch_up()
        world.open("Led by the first")
        standby.catch_up()
        assert world.titles() == []
        world.project()
        assert world.titles() == ["Led by the first"]

        world.session.__exit__()
        world.open("Led by the second")
        deadline = time.monotonic() + 5
        while len(world.titles()) < 2 and time.monotonic() < deadline:
            standby.catch_up()
        assert world.titles() == ["Led by the first", "Led by the second"]


def test_a_leader_that_was_replaced_cannot_write(world: World) -> None:
    world.project()
    world.open("Once")
    with world.database.connect(Role.OWNER) as connection:
        connection.execute("update tracking set epoch = epoch + 1 where name = 'spans'")
    with pytest.raises(Deposed):
        world.project()
    assert world.titles() == []
    world.session.__exit__()
    with session(world) as next_one:
        next_one.catch_up()
    assert world.titles() == ["Once"]


def test_a_running_engine_follows_by_itself_and_stops_when_told(world: World) -> None:
    world.session.__exit__()
    following = Engine(world.database, PROJECTIONS)
    thread = threading.Thread(target=following.run)
    thread.start()
    try:
        position = world.do(SetPriority(ticket=world.open("Followed"), priority=Priority.LOW)).position
        world.run(world.models.wait_for(position, *NAMES))
        assert world.titles() == ["Followed"]
    finally:
        following.stop()
        thread.join(timeout=10)
    assert not thread.is_alive()


# ---- waiting


def test_a_query_waits_for_its_position_but_not_for_ever(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "WAIT_SECONDS", 0.2)
    world.open()
    world.project()
    world.run(world.models.wait_for(head(world), *NAMES))
    world.run(world.models.wait_for(0, *NAMES))
    world.open()
    for position in (head(world), 2**63 - 1):
        started = time.monotonic()
        with pytest.raises(ReadModelBehind):
            world.run(world.models.wait_for(position, "spans"))
        assert time.monotonic() - started < 2
    with pytest.raises(ReadModelBehind):
        world.run(world.models.wait_for(1, "a read model that does not exist"))


# ---- what every read model has


def test_every_table_belongs_to_workspaces_and_row_level_security_guards_it(world: World) -> None:
    tables = [table for projection in PROJECTIONS for table in projection.tables]
    found = dict(
        world.rows(
            "select relname, relrowsecurity and relforcerowsecurity from pg_class"
            " where relnamespace = current_schema()::regnamespace and relkind = 'r'"
        )
    )
    assert all(found[table] for table in tables)
    for table, columns in PERSONAL_COLUMNS.items():
        there = {
            name for (name,) in world.rows(f"select attname from pg_attribute where attrelid = '{table}'::regclass")
        }
        assert set(columns) <= there


def test_without_the_filter_of_the_code_a_reader_still_sees_nothing_foreign(world: World) -> None:
    opened = world.open("Ours")
    world.do(AddComment(ticket=opened, body="ours"))
    other = world.beside("other")
    other.do(AddComment(ticket=other.open("Theirs"), body="theirs"))
    world.project()
    tables = [table for projection in PROJECTIONS for table in projection.tables]
    with world.database.connect(Role.READER) as reader:
        for table in tables:
            assert reader.execute(f"select count(*) from {table}".encode()).fetchone() == (0,)
        reader.execute("select set_config('proteus.workspace', %s, false)", (str(world.workspace.id),))
        for table in tables:
            owners = {row[0] for row in reader.execute(f"select distinct workspace from {table}".encode())}
            assert owners <= {world.workspace.id}
        for table in ("span", "timeline", "comment"):
            assert reader.execute(f"select count(*) from {table}".encode()).fetchone() != (0,)
