"""Every command has one result: repeated, raced, refused, or its answer lost on the way."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from application import people, tickets
from application.event_store.attempts import StoreUnavailable
from application.event_store.database import Database, Role
from application.event_store.recorder import VersionConflict
from application.event_store.streams import EventStore, WorkspaceStore
from application.handling import Context, Outcome
from application.tickets import HIERARCHY
from domain.access import Scope
from domain.errors import (
    CommandIdReused,
    Conflict,
    Forbidden,
    InvalidValue,
    OccurredInFuture,
    ParentCycle,
    PersonNotFound,
    TransitionNotAllowed,
)
from domain.people import DeactivatePerson, ReactivatePerson, RenamePerson
from domain.text import FieldValue
from domain.tickets import (
    AddComment,
    AssignTicket,
    OpenTicket,
    Priority,
    SetParent,
    SetPriority,
    Ticket,
    TransitionTicket,
)
from tests.application.recording import Company, at_once, failed, log, succeeded, versions

WAIT = 60


def state(company: Company, ticket: UUID, *, known: bool = False) -> Ticket:
    """As recorded, or as this process knows it."""
    here = company.store.workspace(company.workspace.id)
    streams = here.known([ticket]) if known else here.load([ticket])
    assert streams is not None
    found = streams[ticket].state
    assert isinstance(found, Ticket)
    return found


# ---- repeats


def test_a_repeated_command_returns_the_first_result(database: Database, company: Company) -> None:
    opening, command = OpenTicket(title="The site is down", role="INCIDENT"), uuid4()
    first = company.give(opening, command_id=command)
    company.give(SetPriority(ticket=first.stream, priority=Priority.HIGH))
    again = company.give(opening, command_id=command)

    assert not first.replayed
    assert again == Outcome(stream=first.stream, version=1, position=first.position, replayed=True)
    assert versions(database, first.stream) == [1, 2]


def test_a_repeat_is_known_to_another_process(database: Database, company: Company) -> None:
    command, ticket = uuid4(), company.ticket()
    first = company.give(SetPriority(ticket=ticket, priority=Priority.HIGH), command_id=command)
    with EventStore(database) as elsewhere:
        context = Context(actor=company.manager, command_id=command)
        again = tickets.handle(elsewhere, context, SetPriority(ticket=ticket, priority=Priority.HIGH))
    assert (again.position, again.version, again.replayed) == (first.position, 2, True)


def test_a_command_id_with_another_input_is_refused(database: Database, company: Company) -> None:
    command, ticket, other = uuid4(), company.ticket(), company.ticket()
    company.give(SetPriority(ticket=ticket, priority=Priority.HIGH), command_id=command)
    colleague = company.actor(company.person("Коллега"), Scope.MANAGER)
    before = len(log(database))

    same = SetPriority(ticket=ticket, priority=Priority.HIGH)
    reuses: list[tuple[Any, dict[str, Any]]] = [
        (SetPriority(ticket=ticket, priority=Priority.LOW), {}),
        (SetPriority(ticket=other, priority=Priority.HIGH), {}),
        (AddComment(ticket=ticket, body="Here"), {}),
        (same, {"reason": "Because"}),
        (same, {"expected_version": 1}),
        (same, {"occurred_at": datetime(2026, 1, 1, tzinfo=UTC)}),
        (same, {"on_behalf_of": company.manager.person}),
        (same, {"actor": colleague}),
    ]
    for reuse, context in reuses:
        with pytest.raises(CommandIdReused):
            company.give(reuse, command_id=command, **context)
    assert len(log(database)) == before


def test_a_repeat_may_name_the_same_moment_and_fields_in_another_way(company: Company) -> None:
    command = uuid4()
    at = datetime(2026, 3, 2, 9, tzinfo=UTC)
    fields: dict[str, FieldValue] = {"room": "12", "floor": 3}
    opening = OpenTicket(title="T", role="INCIDENT", fields=fields)
    first = company.give(opening, command_id=command, occurred_at=at)

    other = OpenTicket(title="T", role="INCIDENT", fields=dict(reversed(fields.items())))
    moscow = at.astimezone(timezone(timedelta(hours=3)))
    again = company.give(other, command_id=command, occurred_at=moscow)
    assert (again.stream, again.replayed) == (first.stream, True)


def test_a_refused_command_is_not_kept(company: Company) -> None:
    command, ticket = uuid4(), company.ticket()
    with pytest.raises(TransitionNotAllowed):
        company.give(TransitionTicket(ticket=ticket, status="approval"), command_id=command)

    outcome = company.give(TransitionTicket(ticket=ticket, status="waiting"), command_id=command)
    assert (outcome.version, outcome.replayed) == (2, False)


def test_a_repeat_of_what_changed_nothing_changes_nothing_still(company: Company) -> None:
    """Even where it would change something by now."""
    command, ticket = uuid4(), company.ticket()
    normal = SetPriority(ticket=ticket, priority=Priority.NORMAL)
    first = company.give(normal, command_id=command)
    company.give(SetPriority(ticket=ticket, priority=Priority.LOW))
    again = company.give(normal, command_id=command)

    assert (first.version, first.replayed) == (1, False)
    assert again == Outcome(stream=ticket, version=1, position=first.position, replayed=True)
    assert state(company, ticket).priority is Priority.LOW
    with pytest.raises(CommandIdReused):
        company.give(SetPriority(ticket=ticket, priority=Priority.HIGH), command_id=command)


def test_what_changed_nothing_has_the_position_of_the_last_change(database: Database, company: Company) -> None:
    ticket = company.ticket()
    changed = company.give(SetPriority(ticket=ticket, priority=Priority.HIGH))
    unchanged = company.give(SetPriority(ticket=ticket, priority=Priority.HIGH))
    assert (unchanged.version, unchanged.position) == (2, changed.position)
    with database.connect(Role.OWNER) as connection:
        # Without an id of the client's own it cannot be repeated, so nothing is kept.
        connection.execute("set role proteus_app")
        connection.execute("select set_config('proteus.workspace', %s, false)", (str(company.workspace.id),))
        assert connection.execute("select count(*) from command").fetchone() == (0,)


def test_a_command_that_twelve_send_at_once_happens_once(database: Database, company: Company) -> None:
    for _ in range(4):
        command, before = uuid4(), len(log(database))
        opening = OpenTicket(title="Once", role="INCIDENT")
        answers = at_once([partial(company.give, opening, command_id=command)] * 12)

        outcomes = succeeded(answers)
        assert len(outcomes) == 12, failed(answers)
        assert len({(outcome.stream, outcome.version, outcome.position) for outcome in outcomes}) == 1
        assert Counter(outcome.replayed for outcome in outcomes) == {False: 1, True: 11}
        assert len(log(database)) == before + 1


def test_two_processes_that_send_one_command_do_it_once(database: Database, company: Company) -> None:
    with EventStore(database) as elsewhere:
        stores = [company.store, elsewhere]
        for _ in range(10):
            command, before = uuid4(), len(log(database))
            context = Context(actor=company.manager, command_id=command)
            opening = OpenTicket(title="Once", role="INCIDENT")
            answers = at_once([partial(tickets.handle, stores[n % 2], context, opening) for n in range(8)])
            assert Counter(outcome.replayed for outcome in succeeded(answers)) == {False: 1, True: 7}, answers
            assert len(log(database)) == before + 1


def test_a_command_that_changes_nothing_and_is_sent_by_many_is_remembered_once(company: Company) -> None:
    for _ in range(4):
        command, ticket = uuid4(), company.ticket()
        normal = SetPriority(ticket=ticket, priority=Priority.NORMAL)
        answers = at_once([partial(company.give, normal, command_id=command)] * 8)
        assert {(outcome.stream, outcome.version) for outcome in succeeded(answers)} == {(ticket, 1)}
        assert Counter(outcome.replayed for outcome in succeeded(answers)) == {False: 1, True: 7}, answers


def test_one_id_for_two_inputs_at_once_is_one_command_and_one_refusal(database: Database, company: Company) -> None:
    for n in range(6):
        command, ticket = uuid4(), company.ticket()
        # the second pair changes nothing, either of them
        pair = (Priority.HIGH, Priority.LOW) if n % 2 else (Priority.NORMAL, Priority.NORMAL)
        answers = at_once(
            [
                partial(company.give, SetPriority(ticket=ticket, priority=priority), command_id=command, reason=f"{i}")
                for i, priority in enumerate(pair)
            ]
        )
        assert len(succeeded(answers)) == 1
        assert [type(error) for error in failed(answers)] == [CommandIdReused]
        assert len(versions(database, ticket)) == 1 + n % 2


# ---- races


def test_of_two_commands_with_one_expected_version_one_wins(database: Database, company: Company) -> None:
    ticket = company.ticket()
    for version in range(1, 9):
        comments = [AddComment(ticket=ticket, body=body) for body in ("One", "Two")]
        answers = at_once([partial(company.give, comment, expected_version=version) for comment in comments])
        [outcome], [error] = succeeded(answers), failed(answers)
        assert outcome.version == version + 1
        assert isinstance(error, Conflict)
        assert (error.expected, error.actual, error.field) == (version, version + 1, ("expectedVersion",))
    assert versions(database, ticket) == list(range(1, 10))


def test_an_expected_version_that_is_past_or_to_come_is_refused(database: Database, company: Company) -> None:
    ticket = company.ticket()
    company.give(SetPriority(ticket=ticket, priority=Priority.HIGH))
    for expected in (0, 1, 3):
        with pytest.raises(Conflict):
            company.give(SetPriority(ticket=ticket, priority=Priority.LOW), expected_version=expected)
    assert versions(database, ticket) == [1, 2]
    assert company.give(SetPriority(ticket=ticket, priority=Priority.LOW), expected_version=2).version == 3


def test_a_repeat_with_the_version_it_expected_then_is_a_repeat(company: Company) -> None:
    ticket, command = company.ticket(), uuid4()
    high = SetPriority(ticket=ticket, priority=Priority.HIGH)
    company.give(high, command_id=command, expected_version=1)
    assert company.give(high, command_id=command, expected_version=1).replayed


def test_many_who_comment_one_ticket_at_once_all_succeed(database: Database, company: Company) -> None:
    ticket = company.ticket()
    comments = [AddComment(ticket=ticket, body=f"Comment {n}") for n in range(32)]
    answers = at_once([partial(company.give, comment) for comment in comments])
    assert not failed(answers)
    assert versions(database, ticket) == list(range(1, 34))


def test_processes_that_meet_on_one_ticket_lose_no_comment(database: Database, company: Company) -> None:
    """Nobody makes those of two processes go one by one: one who loses five times is told so."""
    ticket = company.ticket()
    with EventStore(database) as elsewhere:
        stores, context = (company.store, elsewhere), Context(actor=company.manager)
        comments = [AddComment(ticket=ticket, body=f"Comment {n}") for n in range(24)]
        answers = at_once(
            [partial(tickets.handle, stores[n % 2], context, comment) for n, comment in enumerate(comments)]
        )
    assert {type(error) for error in failed(answers)} <= {Conflict}
    assert len(succeeded(answers)) > 12
    assert versions(database, ticket) == list(range(1, 2 + len(succeeded(answers))))


def test_a_lost_race_is_decided_again(database: Database, company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is reloaded five times: where somebody else is quicker once more, CONFLICT."""
    ticket = company.ticket()
    append, lost = WorkspaceStore.append, 5

    def quicker(self: WorkspaceStore, *arguments: Any, **options: Any) -> int:
        nonlocal lost
        if lost:
            lost -= 1
            raise VersionConflict
        return append(self, *arguments, **options)

    monkeypatch.setattr(WorkspaceStore, "append", quicker)
    assert company.give(AddComment(ticket=ticket, body="Patience")).version == 2
    lost = 6
    with pytest.raises(Conflict) as refusal:
        company.give(AddComment(ticket=ticket, body="Enough"))
    assert refusal.value.field is None
    assert versions(database, ticket) == [1, 2]


# ---- what is known is not asked for again


def test_a_command_on_what_is_known_loads_nothing(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    ticket, anna = company.ticket(), company.person("Anna")
    company.give(AssignTicket(ticket=ticket, assignee=anna))
    monkeypatch.setattr(WorkspaceStore, "load_for", None)
    assert company.give(SetPriority(ticket=ticket, priority=Priority.HIGH)).version == 3
    assert company.give(OpenTicket(title="Another", role="INCIDENT", assignee=anna)).version == 1
    assert state(company, ticket, known=True).priority is Priority.HIGH


def test_what_is_known_but_has_changed_elsewhere_decides_nothing(database: Database, company: Company) -> None:
    """Of the ticket itself, and of others that the decision looks at."""
    ticket, anna = company.ticket(), company.person("Anna")
    company.give(AssignTicket(ticket=ticket, assignee=anna))
    company.give(AssignTicket(ticket=ticket, assignee=None))
    with EventStore(database) as elsewhere:
        chief = Context(actor=company.manager)
        tickets.handle(elsewhere, chief, AddComment(ticket=ticket, body="Not known here"))
        people.handle(elsewhere, chief, DeactivatePerson(person=anna))
    assert company.give(SetPriority(ticket=ticket, priority=Priority.HIGH)).version == 5
    with pytest.raises(PersonNotFound):
        company.give(AssignTicket(ticket=ticket, assignee=anna))
    assert versions(database, ticket) == [1, 2, 3, 4, 5]


def test_a_refusal_is_of_how_things_stand_not_of_what_is_known(database: Database, company: Company) -> None:
    anna = company.person("Anna")
    ticket = company.ticket(assignee=anna)
    company.give(AddComment(ticket=ticket, body="Known"))
    with EventStore(database) as elsewhere:
        people.handle(elsewhere, Context(actor=company.manager), DeactivatePerson(person=anna))
    with pytest.raises(PersonNotFound):
        company.give(OpenTicket(title="Another", role="INCIDENT", assignee=anna))
    with EventStore(database) as elsewhere:
        people.handle(elsewhere, Context(actor=company.manager), ReactivatePerson(person=anna))
    assert company.give(OpenTicket(title="Another", role="INCIDENT", assignee=anna)).version == 1


def test_a_repeat_that_would_be_refused_by_now_returns_the_first_result(company: Company) -> None:
    ticket, command = company.ticket(), uuid4()
    taking = AssignTicket(ticket=ticket, assignee=company.person("Anna"))
    first = company.give(taking, command_id=command)
    company.give(TransitionTicket(ticket=ticket, status="cancelled"), reason="A mistake")
    again = company.give(taking, command_id=command)
    assert (again.version, again.replayed) == (first.version, True)


def test_a_repeat_of_what_changed_nothing_changes_nothing_later(database: Database, company: Company) -> None:
    """It is known though it left no event: sent again when it would change something, it still does not."""
    ticket, command = company.ticket(), uuid4()
    unchanged = SetPriority(ticket=ticket, priority=Priority.NORMAL)
    assert company.give(unchanged, command_id=command).version == 1
    company.give(SetPriority(ticket=ticket, priority=Priority.HIGH))
    assert company.give(unchanged, command_id=command) == Outcome(
        stream=ticket, version=1, position=company.give(unchanged, command_id=command).position, replayed=True
    )
    assert versions(database, ticket) == [1, 2]


def test_when_the_database_s_clock_has_its_own_word_it_is_heard(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = company.ticket()
    ahead = datetime.now(UTC) + timedelta(hours=1)
    monkeypatch.setattr("application.tickets.now", lambda: ahead)
    company.give(SetPriority(ticket=ticket, priority=Priority.LOW))
    assert state(company, ticket).last_at < ahead
    monkeypatch.undo()
    assert company.give(SetPriority(ticket=ticket, priority=Priority.HIGH)).version == 3


def test_fifty_tickets_opened_at_once_have_fifty_keys(database: Database, company: Company) -> None:
    with EventStore(database) as elsewhere:
        answers = at_once(
            [
                partial(
                    tickets.handle,
                    (company.store, elsewhere)[n % 2],
                    Context(actor=company.manager),
                    OpenTicket(title=f"Ticket {n}", role="INCIDENT"),
                )
                for n in range(50)
            ]
        )
    outcomes = succeeded(answers)
    assert len(outcomes) == 50, failed(answers)
    assert len({state(company, outcome.stream).key for outcome in outcomes}) == 50


def test_two_tickets_never_become_each_other_s_parent(database: Database, company: Company) -> None:
    with EventStore(database) as elsewhere:
        for n in range(20):
            one, two = company.ticket(), company.ticket()
            stores = (company.store, elsewhere if n % 2 else company.store)
            context = Context(actor=company.manager)
            answers = at_once(
                [
                    partial(tickets.handle, stores[0], context, SetParent(ticket=one, parent=two)),
                    partial(tickets.handle, stores[1], context, SetParent(ticket=two, parent=one)),
                ]
            )
            assert len(succeeded(answers)) == 1
            assert [type(error) for error in failed(answers)] == [ParentCycle]
            assert {state(company, one).parent, state(company, two).parent} in ({one, None}, {two, None})


def test_a_ring_of_parents_never_closes(company: Company) -> None:
    for _ in range(4):
        ring = [company.ticket() for _ in range(6)]
        commands = [SetParent(ticket=one, parent=ring[n - 1]) for n, one in enumerate(ring)]
        answers = at_once([partial(company.give, command) for command in commands])
        assert len(succeeded(answers)) == 5
        assert [type(error) for error in failed(answers)] == [ParentCycle]


def test_many_unrelated_moves_in_the_hierarchy_all_succeed(company: Company) -> None:
    parent, children = company.ticket(), [company.ticket() for _ in range(16)]
    answers = at_once([partial(company.give, SetParent(ticket=child, parent=parent)) for child in children])
    assert not failed(answers)
    assert {state(company, child).parent for child in children} == {parent}


def test_a_guard_that_others_moved_is_no_conflict_of_this_ticket(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The expected version is the ticket's: that another ticket has moved meanwhile is decided again, unseen."""
    parent, child = company.ticket(), company.ticket()
    read, moved = WorkspaceStore.guard, False

    def read_then_moved(self: WorkspaceStore, name: str) -> Any:
        nonlocal moved
        found = read(self, name)
        if not moved:
            moved = True
            self._recorder.insert_events((), guards=[read(self, HIERARCHY)])
        return found

    monkeypatch.setattr(WorkspaceStore, "guard", read_then_moved)
    outcome = company.give(SetParent(ticket=child, parent=parent), expected_version=1)
    assert (moved, outcome.version) == (True, 2)


# ---- who, when, for whom


def test_only_heads_date_commands_back_or_act_for_others(company: Company) -> None:
    ticket, client = company.ticket(), company.person("Клиент")
    agent = company.actor(company.person("Агент"), Scope.AGENT)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    comment = AddComment(ticket=ticket, body="Позвонили")

    with pytest.raises(Forbidden) as refusal:
        company.give(comment, agent, occurred_at=yesterday)
    assert refusal.value.field == ("occurredAt",)
    with pytest.raises(Forbidden) as refusal:
        company.give(comment, agent, on_behalf_of=client)
    assert refusal.value.field == ("onBehalfOf",)
    assert company.give(comment, agent, on_behalf_of=agent.person).version == 2
    assert company.give(comment, on_behalf_of=client).version == 3


def test_nobody_acts_for_somebody_who_is_not_here(company: Company, database: Database) -> None:
    ticket, left = company.ticket(), company.person("Ушедший")
    people.handle(company.store, Context(actor=company.manager), DeactivatePerson(person=left))
    for person in (uuid4(), left, ticket):
        with pytest.raises(PersonNotFound) as refusal:
            company.give(AddComment(ticket=ticket, body="От имени"), on_behalf_of=person)
        assert refusal.value.field == ("onBehalfOf",)
    assert versions(database, ticket) == [1]


def test_a_dated_command_stands_at_its_own_time(database: Database, company: Company) -> None:
    at = datetime(2025, 12, 31, 23, 30, tzinfo=UTC)
    opened = company.give(
        OpenTicket(title="Старый", role="INCIDENT"), occurred_at=at.astimezone(timezone(timedelta(hours=5)))
    )
    [row] = log(database, f"stream = '{opened.stream}'")
    assert row["occurred_at"] == at
    assert row["recorded_at"] > at + timedelta(days=30)


def test_no_command_is_dated_ahead_or_without_a_zone(database: Database, company: Company) -> None:
    person = company.person("Анна")
    ahead = datetime.now(UTC) + timedelta(hours=1)
    before = len(log(database))

    def rename(at: datetime) -> None:
        context = Context(actor=company.manager, occurred_at=at)
        people.handle(company.store, context, RenamePerson(person=person, name="Анна Иванова"))

    with pytest.raises(OccurredInFuture):
        rename(ahead)
    with pytest.raises(InvalidValue):
        rename(ahead.replace(tzinfo=None))
    # PostgreSQL would take it, as the year 1 BC, and nobody could read that event again.
    with pytest.raises(InvalidValue):
        rename(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))))
    assert len(log(database)) == before


def test_a_skewed_clock_refuses_nobody(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    ticket = company.ticket()
    last = state(company, ticket).last_at
    monkeypatch.setattr(tickets, "now", lambda: datetime.now(UTC) - timedelta(days=3))
    assert company.give(SetPriority(ticket=ticket, priority=Priority.HIGH)).version == 2
    assert state(company, ticket).last_at >= last


def test_a_reason_is_trimmed_and_must_be_text(company: Company, database: Database) -> None:
    ticket = company.ticket()
    company.give(AddComment(ticket=ticket, body="One"), reason="  \n ")
    company.give(AddComment(ticket=ticket, body="Two"), reason=" Потому что ")
    first, second = log(database, f"stream = '{ticket}' and version > 1")
    assert first["reason"] is None
    assert second["reason"].startswith("1:")
    with pytest.raises(InvalidValue):
        company.give(AddComment(ticket=ticket, body="Three"), reason="NUL \0")


# ---- lost connections


def _kill(database: Database, killer: psycopg.Connection[Any]) -> int:
    """Terminates every backend of the application's role in this database."""
    return len(
        killer.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'proteus app' and datname = %s and pid <> pg_backend_pid()",
            (conninfo_to_dict(database.url)["dbname"],),
        ).fetchall()
    )


def test_a_command_whose_connection_dies_is_done_once(database: Database, postgres: Any, company: Company) -> None:
    """Backends are killed again and again while commands run: every acknowledged command is there, once; every other
    one is there at most once, and sending it again says so."""
    shared, stop, killed = company.ticket(), threading.Event(), 0

    def work(n: int) -> dict[UUID, bool]:
        done: dict[UUID, bool] = {}
        for i in range(12):
            command = uuid4()
            text = f"{n}.{i}"
            order = OpenTicket(title=text, role="INCIDENT") if i % 3 else AddComment(ticket=shared, body=text)
            for _ in range(20):
                try:
                    company.give(order, command_id=command)
                except (StoreUnavailable, Conflict):
                    done[command] = False
                else:
                    done[command] = True
                    break
        return done

    with (
        psycopg.connect(postgres.dsn, autocommit=True) as killer,
        ThreadPoolExecutor(8) as pool,
    ):
        running = [pool.submit(work, n) for n in range(8)]
        deadline = time.monotonic() + WAIT
        while not all(one.done() for one in running) and time.monotonic() < deadline:
            killed += _kill(database, killer)
            stop.wait(0.05)
        done = {command: sure for one in running for command, sure in one.result(timeout=WAIT).items()}

    recorded = Counter(row["command_id"] for row in log(database))
    assert killed > 5
    assert all(done.values())
    assert {command: recorded[command] for command in done} == dict.fromkeys(done, 1)
    comments = versions(database, shared)
    assert comments == list(range(1, 1 + 8 * 4 + 1))


def test_after_a_restart_every_stale_connection_is_replaced(
    database: Database, postgres: Any, company: Company
) -> None:
    """More connections have died than any one command would try."""
    ticket = company.ticket()
    at_once([partial(company.give, AddComment(ticket=ticket, body=f"{n}")) for n in range(16)])
    with psycopg.connect(postgres.dsn, autocommit=True) as killer:
        assert _kill(database, killer) > 1
    assert company.give(AddComment(ticket=ticket, body="Here again")).version == 18


def _lose_answer(monkeypatch: pytest.MonkeyPatch, statement: str) -> list[str]:
    """The first answer to this statement is lost with its connection, after PostgreSQL has committed it."""
    execute, lost = psycopg.Connection.execute, list[str]()

    def losing(self: psycopg.Connection[Any], query: Any, *arguments: Any, **options: Any) -> Any:
        cursor = execute(self, query, *arguments, **options)
        if not lost and statement in str(query):
            lost.append(str(query))
            self.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return cursor

    monkeypatch.setattr(psycopg.Connection, "execute", losing)
    return lost


@pytest.mark.parametrize("command_id", [None, uuid4()])
def test_a_lost_answer_is_no_replay(
    database: Database, company: Company, monkeypatch: pytest.MonkeyPatch, command_id: UUID | None
) -> None:
    """The client sent its command once, and hears that it is done; a version that it expected was not taken by others,
    nor a guard moved by them."""
    ticket, parent = company.ticket(), company.ticket()
    lost = _lose_answer(monkeypatch, "from append(")
    high = SetPriority(ticket=ticket, priority=Priority.HIGH)
    outcome = company.give(high, command_id=command_id, expected_version=1)
    assert (len(lost), outcome.version, outcome.replayed) == (1, 2, False)

    monkeypatch.undo()
    lost = _lose_answer(monkeypatch, "append_together")
    command_id = command_id and uuid4()
    outcome = company.give(SetParent(ticket=ticket, parent=parent), command_id=command_id, expected_version=2)
    assert (len(lost), outcome.version, outcome.replayed) == (1, 3, False)
    assert outcome.position == log(database)[-1]["position"]
    assert versions(database, ticket) == [1, 2, 3]


def test_a_lost_answer_to_what_changed_nothing_is_no_replay(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    ticket, command = company.ticket(), uuid4()
    lost = _lose_answer(monkeypatch, "append_together")
    normal = SetPriority(ticket=ticket, priority=Priority.NORMAL)
    assert not company.give(normal, command_id=command).replayed
    assert len(lost) == 1
    assert company.give(normal, command_id=command).replayed


def test_a_deadlock_is_no_reason_to_refuse(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    ticket, parent = company.ticket(), company.ticket()
    execute, victims = psycopg.Connection.execute, list[str]()

    def deadlocked(self: psycopg.Connection[Any], query: Any, *arguments: Any, **options: Any) -> Any:
        if "append" in str(query) and str(query) not in victims:
            victims.append(str(query))
            raise psycopg.errors.DeadlockDetected("deadlock detected")
        return execute(self, query, *arguments, **options)

    monkeypatch.setattr(psycopg.Connection, "execute", deadlocked)
    assert company.give(SetPriority(ticket=ticket, priority=Priority.HIGH)).version == 2
    assert company.give(SetParent(ticket=ticket, parent=parent)).version == 3
    assert len(victims) == 2
