"""Appending and loading: every command answered for itself, all of it or nothing, and nothing ever changed again."""

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial, reduce
from typing import Any, LiteralString
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest
from eventsourcing.application import AggregateNotFoundError, Application, Repository
from eventsourcing.persistence import ApplicationRecorder, RecordConflictError

from application.event_store.attempts import StoreUnavailable
from application.event_store.database import Database, DatabaseNotUsable, Role
from application.event_store.envelope import Cause, Envelope, Stream
from application.event_store.event_types import fold
from application.event_store.recorder import AlreadyRecorded, Guard, Recorded, VersionConflict
from application.event_store.streams import EventStore, WorkspaceStore
from application.workspaces import Workspace
from domain.people import Person, PersonAdded, PersonKind
from domain.teams import Team
from tests.application.recording import added, at_once, envelopes, failed, insertion, log, renamed, succeeded, versions


def team(here: WorkspaceStore, stream: UUID) -> Team:
    state = here.load([stream])[stream].state
    assert isinstance(state, Team)
    return state


# ---- round trip


def test_an_appended_event_is_loaded_with_everything_that_was_said_of_it(
    database: Database, store: EventStore, here: WorkspaceStore
) -> None:
    stream, actor, principal, command, correlation, causation = (uuid4() for _ in range(6))
    cause = Cause(
        actor=actor,
        command_id=command,
        correlation_id=correlation,
        causation_id=causation,
        channel="mail",
        on_behalf_of=principal,
        source="letter 7",
        reason="Так просил клиент",
        trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    at = datetime(2026, 3, 2, 9, 30, 15, 123456, tzinfo=UTC)
    event = PersonAdded(kind=PersonKind.CLIENT, name='Ёжиков 🦔 "О\'Нил"', email="yo@example.org")
    before = datetime.now(UTC) - timedelta(minutes=1)

    position = here.append(envelopes(here.workspace, stream, event, cause=cause, occurred_at=at, subject=stream))

    loaded = store.mapper.to_envelopes(here._recorder.load({stream: 0}))
    assert loaded == [
        Envelope(
            workspace=here.workspace,
            originator_id=stream,
            originator_version=1,
            event=event,
            occurred_at=at,
            cause=cause,
            subject=stream,
            command_hash=loaded[0].command_hash,
            position=position,
            recorded_at=loaded[0].recorded_at,
        )
    ]
    assert loaded[0].recorded_at is not None
    assert before < loaded[0].recorded_at < before + timedelta(minutes=10)
    [row] = log(database, f"stream = '{stream}'")
    assert (row["name"], row["event_version"], row["position"]) == ("PersonAdded", 1, position)
    assert (row["on_behalf_of"], row["causation_id"], row["correlation_id"]) == (principal, causation, correlation)
    assert (row["channel"], row["source"], row["actor"]) == ("mail", "letter 7", actor)
    assert list(msgspec.json.decode(row["state"])) == ["kind", "name", "email"]


def test_a_stream_is_folded_up_to_its_last_event(here: WorkspaceStore) -> None:
    stream = uuid4()
    here.append(envelopes(here.workspace, stream, added("One")))
    position = here.append(envelopes(here.workspace, stream, renamed("Two"), renamed("Three"), after=1))

    assert here.load([stream]) == {stream: Stream(stream, 3, position, Team(key="team", name="Three"))}
    assert here.load([uuid4()]) == {}


def test_a_cached_stream_takes_in_what_another_process_has_appended(database: Database, here: WorkspaceStore) -> None:
    stream = uuid4()
    here.append(envelopes(here.workspace, stream, added("One")))
    assert team(here, stream).name == "One"
    with EventStore(database) as elsewhere:
        elsewhere.workspace(here.workspace).append(envelopes(here.workspace, stream, renamed("Two"), after=1))

    assert team(here, stream).name == "Two"


def test_a_command_s_result_is_found_by_its_id(here: WorkspaceStore) -> None:
    stream, command, unknown = uuid4(), uuid4(), uuid4()
    position = here.append(envelopes(here.workspace, stream, added(), renamed("B"), command=command))

    recorded = Recorded(command_id=command, command_hash=command.bytes, stream=stream, version=2, position=position)
    assert here.earlier([command, unknown]) == {command: recorded}
    assert here.load_for([stream], command)[1] == recorded
    assert here.load_for([stream], unknown)[1] is None


def test_positions_grow_and_versions_are_contiguous(database: Database, here: WorkspaceStore) -> None:
    stream = uuid4()
    positions = [here.append(envelopes(here.workspace, stream, added()))]
    positions += [
        here.append(envelopes(here.workspace, stream, renamed("a"), renamed("b"), after=1 + 2 * n)) for n in range(20)
    ]

    assert positions == sorted(set(positions))
    assert versions(database, stream) == list(range(1, 42))


# ---- conflicts


def test_the_second_append_to_the_same_version_conflicts_and_writes_nothing(
    database: Database, here: WorkspaceStore
) -> None:
    stream = uuid4()
    here.append(envelopes(here.workspace, stream, added("First")))
    here.append(envelopes(here.workspace, stream, renamed("Second"), after=1))

    with pytest.raises(VersionConflict):
        here.append(envelopes(here.workspace, stream, renamed("Late"), renamed("Later"), after=1))
    with pytest.raises(VersionConflict):
        here.append(envelopes(here.workspace, stream, added("Again")))
    assert versions(database, stream) == [1, 2]
    assert team(here, stream).name == "Second"


def test_an_append_after_a_version_that_does_not_exist_conflicts(database: Database, here: WorkspaceStore) -> None:
    stream = uuid4()
    with pytest.raises(VersionConflict):
        here.append(envelopes(here.workspace, stream, renamed("Early"), after=4))
    assert versions(database, stream) == []


def test_a_conflict_is_the_library_s_too(here: WorkspaceStore) -> None:
    assert issubclass(VersionConflict, RecordConflictError)
    assert issubclass(AlreadyRecorded, RecordConflictError)


def test_a_command_id_is_recorded_once_on_whichever_stream(database: Database, here: WorkspaceStore) -> None:
    command, first, second = uuid4(), uuid4(), uuid4()
    position = here.append(envelopes(here.workspace, first, added(), renamed("B"), command=command))

    with pytest.raises(AlreadyRecorded) as refusal:
        here.append(envelopes(here.workspace, second, added(), command=command))
    assert (refusal.value.first.stream, refusal.value.first.version) == (first, 2)
    assert refusal.value.first.position == position
    assert not refusal.value.resent
    assert versions(database, second) == []


def test_the_same_command_id_in_another_workspace_is_another_command(here: WorkspaceStore, store: EventStore) -> None:
    command, elsewhere = uuid4(), store.workspace(uuid4())
    here.append(envelopes(here.workspace, uuid4(), added(), command=command))
    elsewhere.append(envelopes(elsewhere.workspace, uuid4(), added(), command=command))

    assert here.earlier([command])[command].stream != elsewhere.earlier([command])[command].stream


# ---- group append


def test_every_one_of_many_concurrent_commands_is_answered_for_itself(
    database: Database, store: EventStore, here: WorkspaceStore
) -> None:
    """Several workspaces, commands of one and of several events, some of them bound to lose."""
    other = store.workspace(uuid4())
    taken = uuid4()
    here.append(envelopes(here.workspace, taken, added()))
    jobs: list[tuple[WorkspaceStore, UUID, int]] = [
        (here if n % 3 else other, taken if n % 8 == 1 else uuid4(), 1 + n % 3) for n in range(160)
    ]

    def append(job: tuple[WorkspaceStore, UUID, int]) -> int | None:
        place, stream, events = job
        try:
            return place.append(
                envelopes(place.workspace, stream, added(), *[renamed(f"{n}") for n in range(1, events)])
            )
        except VersionConflict:
            return None

    with ThreadPoolExecutor(40) as pool:
        positions = list(pool.map(append, jobs))

    rows = log(database)
    for (place, stream, events), position in zip(jobs, positions, strict=True):
        written = [row for row in rows if row["stream"] == stream]
        if stream == taken:
            assert position is None
            assert len(written) == 1
        else:
            assert [row["version"] for row in written] == list(range(1, events + 1))
            assert {row["workspace"] for row in written} == {place.workspace}
            assert written[-1]["position"] == position


def test_a_bad_command_in_a_batch_harms_no_other(database: Database, here: WorkspaceStore) -> None:
    def cause(source: str) -> Cause:
        command = uuid4()
        return Cause(actor=uuid4(), command_id=command, correlation_id=command, channel="test", source=source)

    # PostgreSQL's text cannot hold a NUL, and UTF-8 no half of a surrogate pair.
    sources = ["good" if n % 10 else ("bad \0" if n % 20 else "bad \ud800") for n in range(80)]
    streams = [uuid4() for _ in sources]

    commands = [
        envelopes(here.workspace, stream, added(), cause=cause(source))
        for stream, source in zip(streams, sources, strict=True)
    ]
    answers = at_once([partial(here.append, command) for command in commands])

    for stream, source, answer in zip(streams, sources, answers, strict=True):
        if source == "good":
            assert isinstance(answer, int)
        else:
            assert isinstance(answer, psycopg.DataError | UnicodeError)
        assert versions(database, stream) == ([1] if source == "good" else [])


def test_commands_to_one_stream_at_the_same_time_let_one_win(database: Database, here: WorkspaceStore) -> None:
    stream = uuid4()
    here.append(envelopes(here.workspace, stream, added()))
    for version in range(1, 6):
        rivals = [envelopes(here.workspace, stream, renamed(f"{n}"), after=version) for n in range(12)]
        answers = at_once([partial(here.append, rival) for rival in rivals])
        assert len(succeeded(answers)) == 1
        assert {type(error) for error in failed(answers)} == {VersionConflict}
    assert versions(database, stream) == list(range(1, 7))


def test_a_closed_store_says_that_it_is_away(database: Database, workspace: Workspace) -> None:
    with EventStore(database) as closed:
        here = closed.workspace(workspace.id)
    with pytest.raises(StoreUnavailable):
        here.append(envelopes(workspace.id, uuid4(), added()))
    with pytest.raises(StoreUnavailable):
        here.load([uuid4()])


def test_closing_appends_what_waits(database: Database, workspace: Workspace) -> None:
    streams = [uuid4() for _ in range(200)]
    store = EventStore(database)
    here = store.workspace(workspace.id)
    answered = threading.Semaphore(0)

    def append(stream: UUID) -> int | None:
        try:
            return here.append(envelopes(workspace.id, stream, added()))
        except StoreUnavailable:
            return None
        finally:
            answered.release()

    with ThreadPoolExecutor(50) as pool:
        positions = pool.map(append, streams)
        for _ in range(20):
            answered.acquire(timeout=30)
        store.close()
        acknowledged = {stream for stream, position in zip(streams, positions, strict=True) if position is not None}
    assert {row["stream"] for row in log(database)} & set(streams) == acknowledged


# ---- several streams, guards, commands that changed nothing


def test_several_streams_are_appended_all_or_nothing(database: Database, here: WorkspaceStore) -> None:
    one, two, taken = uuid4(), uuid4(), uuid4()
    here.append(envelopes(here.workspace, taken, added()))
    both = [*envelopes(here.workspace, one, added(), renamed("B")), *envelopes(here.workspace, two, added())]

    with pytest.raises(VersionConflict):
        here.append([*both, *envelopes(here.workspace, taken, added())])
    assert versions(database, one) == versions(database, two) == []

    position = here.append(both)
    assert (versions(database, one), versions(database, two)) == ([1, 2], [1])
    assert position == log(database)[-1]["position"]


def test_a_repeated_append_of_several_streams_returns_what_the_first_left(here: WorkspaceStore) -> None:
    command, stream = uuid4(), uuid4()
    many = [*envelopes(here.workspace, stream, added(), command=command), *envelopes(here.workspace, uuid4(), added())]
    here.append(many)

    with pytest.raises(AlreadyRecorded) as refusal:
        here.append(many)
    assert refusal.value.first.command_id in {one.cause.command_id for one in many}


def test_a_guard_lets_one_append_pass_for_each_version(database: Database, here: WorkspaceStore) -> None:
    guard = here.guard("rule")
    assert guard == Guard("rule", 0)
    first, second = uuid4(), uuid4()
    here.append(envelopes(here.workspace, first, added()), guards=[guard])

    with pytest.raises(VersionConflict):
        here.append(envelopes(here.workspace, second, added()), guards=[guard])
    assert versions(database, second) == []
    assert here.guard("rule") == Guard("rule", 1)
    here.append(envelopes(here.workspace, second, added()), guards=[here.guard("rule")])
    assert here.guard("rule") == Guard("rule", 2)


def test_an_append_that_conflicts_does_not_move_its_guard(here: WorkspaceStore) -> None:
    taken = uuid4()
    here.append(envelopes(here.workspace, taken, added()))
    with pytest.raises(VersionConflict):
        here.append(envelopes(here.workspace, taken, added()), guards=[here.guard("rule")])
    assert here.guard("rule") == Guard("rule", 0)


def test_of_many_who_hold_the_same_guard_one_passes(here: WorkspaceStore) -> None:
    for version in range(5):
        guards = [Guard("a", version), Guard("b", version)]
        # In whatever order they are named, guards are locked in one order: nobody deadlocks.
        answers = at_once(
            [
                partial(here.append, envelopes(here.workspace, uuid4(), added()), guards=guards[:: 1 if n % 2 else -1])
                for n in range(8)
            ]
        )
        assert len(succeeded(answers)) == 1
        assert {type(error) for error in failed(answers)} == {VersionConflict}


def test_a_command_that_changed_nothing_is_remembered(database: Database, here: WorkspaceStore) -> None:
    command = uuid4()
    left = Recorded(command_id=command, command_hash=b"0123456789abcdef", stream=uuid4(), version=3, position=17)
    before = len(log(database))
    here.record_unchanged([left])

    assert here.earlier([command]) == {command: left}
    assert len(log(database)) == before
    with pytest.raises(AlreadyRecorded) as refusal:
        here.record_unchanged([msgspec.structs.replace(left, command_hash=b"another input...", version=4)])
    assert refusal.value.first == left


def test_ticket_numbers_are_never_drawn_twice(database: Database, here: WorkspaceStore) -> None:
    with EventStore(database) as elsewhere:
        stores = [here, elsewhere.workspace(here.workspace)]

        def draw(n: int) -> list[int]:
            place = stores[n % 2]
            return place.draw_numbers(7) if n % 10 == 0 else [place.draw_number()]

        with ThreadPoolExecutor(16) as pool:
            numbers = [number for drawn in pool.map(draw, range(300)) for number in drawn]
    assert len(set(numbers)) == len(numbers) == 270 + 30 * 7
    assert min(numbers) >= 1


# ---- what PostgreSQL holds against everybody


def test_nobody_sets_a_position_or_the_time_of_recording(database: Database, workspace: Workspace) -> None:
    forged: list[dict[str, object]] = [{"position": 1}, {"recorded_at": datetime(2020, 1, 1, tzinfo=UTC)}]
    for role in (Role.APP, Role.PROJECTOR, Role.READER):
        with database.connect(role) as connection:
            connection.execute("select set_config('proteus.workspace', %s, false)", (str(workspace.id),))
            for columns in forged:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(*insertion(workspace=workspace.id, **columns))
    with database.connect(Role.APP) as connection:
        connection.execute("select set_config('proteus.workspace', %s, false)", (str(workspace.id),))
        assert connection.execute(*insertion(workspace=workspace.id)).rowcount == 1


def test_nothing_happens_after_it_was_recorded(database: Database, here: WorkspaceStore) -> None:
    """A clock that runs ahead is set right by PostgreSQL's."""
    ahead = datetime.now(UTC) + timedelta(hours=3)
    one, two = uuid4(), uuid4()
    here.append(envelopes(here.workspace, one, added(), renamed("B"), occurred_at=ahead))
    here.append(envelopes(here.workspace, two, added(), occurred_at=ahead), guards=[here.guard("rule")])

    rows = log(database, f"stream in ('{one}', '{two}')")
    assert len(rows) == 3
    for row in rows:
        assert ahead - timedelta(hours=4) < row["occurred_at"] <= row["recorded_at"]


CHANGES: tuple[LiteralString, ...] = (
    "update event set occurred_at = now()",
    "update event set state = '{}'",
    "delete from event",
    "truncate event",
    "drop table event",
    "alter table event add column more text",
    "select setval(pg_get_serial_sequence('event', 'position'), 1)",
    "select nextval(pg_get_serial_sequence('event', 'position'))",
    "lock table event in share mode",
)


@pytest.mark.parametrize("role", [Role.APP, Role.PROJECTOR, Role.READER])
def test_history_cannot_be_changed(database: Database, workspace: Workspace, role: Role) -> None:
    with database.connect(role) as connection:
        connection.execute("select set_config('proteus.workspace', %s, false)", (str(workspace.id),))
        for change in CHANGES:
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(change)


def test_a_person_with_psql_reads_history_as_json(database: Database, here: WorkspaceStore) -> None:
    stream = uuid4()
    here.append(envelopes(here.workspace, stream, added("Первая линия")))
    for role in (Role.APP, Role.READER):
        with database.connect(role) as connection:
            connection.execute("select set_config('proteus.workspace', %s, false)", (str(here.workspace),))
            row = connection.execute(
                "select name, version, state ->> 'name', state, channel from history where stream = %s", (stream,)
            ).fetchone()
        assert row == ("TeamAdded", 1, "Первая линия", {"key": "team", "name": "Первая линия"}, "test")


# ---- the library's own interface


def test_it_is_the_library_s_application(here: WorkspaceStore) -> None:
    assert isinstance(here, Application)
    assert isinstance(here.repository, Repository)
    assert isinstance(here.recorder, ApplicationRecorder)


def project(stream: Stream | None, events: Iterable[Any]) -> Stream | None:
    return reduce(fold, events, stream)


def test_the_library_s_save_appends_and_its_repository_reads(here: WorkspaceStore) -> None:
    stream = uuid4()
    recordings = here.save(*envelopes(here.workspace, stream, added("One"), renamed("Two")))
    here.save(*envelopes(here.workspace, stream, renamed("Three"), after=2))

    def read(version: int | None = None) -> Any:
        return here.repository.get(stream, version=version, projector_func=project)

    assert [recording.domain_event.originator_version for recording in recordings] == [1, 2]
    assert recordings[-1].notification.id < read().position
    assert [(read(n).version, read(n).state.name) for n in (1, 2, 3)] == [(1, "One"), (2, "Two"), (3, "Three")]
    assert read() == here.load([stream])[stream]
    here.save(*envelopes(here.workspace, stream, renamed("Four"), after=3))
    assert read().state.name == "Four"
    with pytest.raises(AggregateNotFoundError):
        here.repository.get(uuid4(), projector_func=project)


def test_the_library_selects_events_by_version(here: WorkspaceStore) -> None:
    stream = uuid4()
    here.save(*envelopes(here.workspace, stream, added(), *[renamed(f"{n}") for n in range(4)]))

    def selected(**options: Any) -> list[int]:
        return [event.originator_version for event in here.recorder.select_events(stream, **options)]

    assert selected() == [1, 2, 3, 4, 5]
    assert selected(gt=1, lte=4) == [2, 3, 4]
    assert selected(desc=True, limit=2) == [5, 4]


def test_the_log_is_read_by_the_follower_alone(here: WorkspaceStore) -> None:
    """The library's way to read by position skips events that are still in flight."""
    with pytest.raises(StoreUnavailable):
        here.recorder.select_notifications(1, 10)
    with pytest.raises(StoreUnavailable):
        here.recorder.subscribe()
    position = here.append(envelopes(here.workspace, uuid4(), added()))
    assert here.recorder.max_notification_id() == position


def test_a_person_is_folded_under_the_workspace_they_belong_to(here: WorkspaceStore, store: EventStore) -> None:
    stream = uuid4()
    here.append(envelopes(here.workspace, stream, PersonAdded(kind=PersonKind.STAFF, name="Анна"), subject=stream))
    assert here.load([stream])[stream].state == Person(kind=PersonKind.STAFF, name="Анна", email=None)
    assert store.workspace(uuid4()).load([stream]) == {}


@pytest.mark.parametrize("schema", ["a" * 42, "Proteus", "a-b", ""])
def test_a_schema_s_name_leaves_room_for_names_made_of_it(schema: str) -> None:
    with pytest.raises(DatabaseNotUsable, match="at most 41"):
        Database("postgresql://localhost/proteus", schema)
    longest = Database("postgresql://localhost/proteus", "a" * 41)
    assert len(longest.keys.schema) == 46
