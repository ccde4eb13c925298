"""The engine is killed, paused and replaced; the read models are what a replay of the log makes of it."""

import time
from functools import partial

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Database
from application.event_store.follower import Deposed
from domain.tickets import AddComment, Priority, SetPriority
from projections import engine
from projections.engine import Session
from tests.application.recording import Company, at_once, failed
from tests.faults import process
from tests.faults.replay import ALL, assert_equal_to_a_replay, head, places
from tests.faults.rounds import WAIT, Rounds


@pytest.fixture
def company(company: Company) -> Company:
    """With a day's work behind it."""
    a_day(company)
    return company


def a_day(company: Company) -> None:
    def a_ticket(n: int) -> None:
        ticket = company.ticket(f"Ticket {n}")
        for priority in (Priority.HIGH, Priority.CRITICAL, Priority.LOW):
            company.give(SetPriority(ticket=ticket, priority=priority))
            company.give(AddComment(ticket=ticket, body=f"Now it is {priority}"))

    assert not failed(at_once([partial(a_ticket, n) for n in range(40)]))


def test_an_engine_killed_in_the_middle_of_its_work_leaves_nothing_half_done(
    database: Database, company: Company, rounds: Rounds
) -> None:
    reached = 0
    for _ in rounds(test=2, soak=40):
        with process.start("project", database, 5) as following:
            assert following.stdout is not None
            assert following.stdout.readline() == "following\n"
            deadline = time.monotonic() + WAIT
            while min(places(database).values()) <= reached and time.monotonic() < deadline:
                time.sleep(0.001)
            following.kill()
        reached = min(places(database).values())
        assert reached > 0
    a_day(company)
    assert_equal_to_a_replay(database)


def test_an_engine_whose_connections_are_killed_catches_up(
    database: Database, postgres: EmbeddedPostgres, company: Company, rounds: Rounds
) -> None:
    with (
        psycopg.connect(postgres.dsn, autocommit=True) as killer,
        process.start("project", database, 20) as following,
    ):
        assert following.stdout is not None
        assert following.stdout.readline() == "following\n"
        for _ in rounds(test=6, soak=120):
            killer.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'proteus projector'"
                " and datname = %s",
                (conninfo_to_dict(database.url)["dbname"],),
            )
            time.sleep(0.1)
        deadline = time.monotonic() + WAIT
        while min(places(database).values()) < head(database):
            assert time.monotonic() < deadline, "it never came back"
            time.sleep(0.02)
        following.communicate(timeout=WAIT)
        assert following.returncode == 0
    assert_equal_to_a_replay(database)


def test_a_deposed_leader_writes_nothing(database: Database, company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was paused for so long that its lock was lost and another leads: its next step is refused as a whole."""
    monkeypatch.setattr(engine, "BATCH", 10)
    with Session(database, ALL) as old, Session(database, ALL) as new:
        old.acquire()
        assert old.step()
        new.acquire()
        assert not new.step(), "it stands by"
        old._connection.execute("select pg_advisory_unlock_all()")
        new.acquire()
        with pytest.raises(Deposed):
            old.step()
        assert new.step()
        with pytest.raises(Deposed):
            old.step()
    assert_equal_to_a_replay(database)


def test_the_next_leader_takes_over_from_one_whose_connection_died(
    database: Database, postgres: EmbeddedPostgres, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BATCH", 10)
    with Session(database, ALL) as old, Session(database, ALL) as new:
        old.acquire()
        assert old.step()
        with psycopg.connect(postgres.dsn, autocommit=True) as killer:
            killer.execute("select pg_terminate_backend(%s)", (old._connection.info.backend_pid,))
        deadline = time.monotonic() + WAIT
        while not new.step():
            new.acquire()
            assert time.monotonic() < deadline
        with pytest.raises(psycopg.Error):
            old.step()
    assert_equal_to_a_replay(database)
