"""Subscribers while they come and go, connections are killed and servers restarted: none misses or doubles an event."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from api import metrics
from application import tickets
from application.event_store.database import Database, Role
from application.event_store.streams import EventStore
from application.handling import Context
from application.tokens import issue_token
from application.workspaces import Workspace, operator
from domain.access import Scope
from domain.tickets import AddComment, OpenTicket
from tests.api.subscribing import Ended, Events, Subscription, opened, streamed
from tests.faults.rounds import WAIT, Rounds, until
from tests.served import Served, served

EVENTS = """subscription($after: Position) {
  events(afterPosition: $after, types: ["CommentAdded"]) { position changes { to } }
}"""
GOODBYE = "Goodbye"
LONG_COMMENTS = 200
METRICS_TOKEN = "sees-how-many-there-are"


class Office:
    """A workspace with a ticket that is talked on, and a token to hear it."""

    def __init__(self, database: Database, store: EventStore, workspace: Workspace) -> None:
        self.database, self._store = database, store
        actor = operator(workspace.id)
        self._context = Context(actor=actor)
        (*self._tickets, (_, self.start)) = [self._open() for _ in range(6)]
        self.secret = issue_token(database, workspace.id, actor.person, [Scope.AGENT], "test", timedelta(days=1))

    def _open(self) -> tuple[Any, int]:
        opened = tickets.handle(self._store, self._context, OpenTicket(title="A ticket", role="TASK"))
        return opened.stream, opened.position

    def say(self, body: str = "Hm", on: int = 0) -> int:
        ticket, _ = self._tickets[on]
        return tickets.handle(self._store, self._context, AddComment(ticket=ticket, body=body)).position

    def talk(self, comments: int, body: str = "Hm") -> None:
        """On all tickets at once."""
        with ThreadPoolExecutor(len(self._tickets)) as pool:
            list(pool.map(lambda n: self.say(body, n % len(self._tickets)), range(comments)))

    def said(self) -> list[int]:
        """The positions of all comments."""
        with self.database.connect(Role.PROJECTOR) as connection:
            rows = connection.execute("select position from event where name = 'CommentAdded' order by position")
            return [position for (position,) in rows]


@pytest.fixture
def office(database: Database, store: EventStore, workspace: Workspace) -> Office:
    return Office(database, store, workspace)


@pytest.fixture
def live(office: Office, tmp_path: Path) -> Iterator[Served]:
    with served(office.database, tmp_path, environment={metrics.TOKEN_VARIABLE: METRICS_TOKEN}) as server:
        yield server


def heard_until_goodbye(follow: Callable[[int], Iterator[dict[str, Any]]], start: int) -> list[int]:
    """What a client hears that comes again after the last position whenever its stream ends."""
    heard: list[int] = []
    deadline = time.monotonic() + 2 * WAIT
    while time.monotonic() < deadline:
        with suppress(ConnectionClosed, InvalidHandshake, Ended, OSError, TimeoutError, httpx.HTTPError):
            for event in follow(heard[-1] if heard else start):
                heard.append(int(event["position"]))
                if event["changes"][0]["to"] == GOODBYE:
                    return heard
    raise AssertionError(f"no goodbye after {len(heard)} events")


def by_socket(live: Served, office: Office, stay: Callable[[], int]) -> Callable[[int], Iterator[dict[str, Any]]]:
    """Stays each time for so many events."""

    def follow(after: int) -> Iterator[dict[str, Any]]:
        with opened(live.socket, office.secret) as client:
            told = client.subscribe(EVENTS, after=str(after))
            for _ in range(stay()):
                yield told.next()

    return follow


def by_events(live: Served, office: Office, stay: Callable[[], int]) -> Callable[[int], Iterator[dict[str, Any]]]:
    def follow(after: int) -> Iterator[dict[str, Any]]:
        with streamed(live.graphql, office.secret, EVENTS, after=str(after)) as stream:
            for _, (_, answer) in zip(range(stay()), stream, strict=False):
                yield answer["data"]["events"]

    return follow


def test_who_comes_again_at_random_under_load_misses_and_doubles_nothing(
    live: Served, office: Office, rounds: Rounds
) -> None:
    for chance in rounds(test=1, soak=20):
        start = office.say()
        before = len(office.said())
        kinds = (by_socket, by_events, by_socket, by_events)
        with ThreadPoolExecutor(len(kinds)) as pool:
            stays = [partial(random.Random(chance.random()).randrange, 1, 60) for _ in kinds]
            listening = [
                pool.submit(heard_until_goodbye, kind(live, office, stay), start)
                for kind, stay in zip(kinds, stays, strict=True)
            ]
            office.talk(600)
            office.say(GOODBYE)
            heard = [one.result() for one in listening]
        for one in heard:
            assert one == office.said()[before:]


def test_a_subscriber_outlives_killed_connections_of_the_server(live: Served, office: Office, rounds: Rounds) -> None:
    """The one that listens among them: nobody has to come again."""
    for chance in rounds(test=1, soak=20):
        start, before = office.say(), len(office.said())
        with ThreadPoolExecutor(1) as pool, opened(live.socket, office.secret) as client:
            told = client.subscribe(EVENTS, after=str(start))
            hearing = pool.submit(heard_until_goodbye, partial(_go_on, told), start)
            for _ in range(5):
                office.talk(chance.randrange(1, 40))
                kill_followers(office.database)
            office.say(GOODBYE)
            assert hearing.result(WAIT) == office.said()[before:]


def _go_on(told: Subscription, _: int) -> Iterator[dict[str, Any]]:
    return iter(told)


def kill_followers(database: Database) -> None:
    """Connections in the projector's role: the engine's and the live feed's."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
            " and application_name = 'proteus projector' and pid <> pg_backend_pid()"
        )


def test_a_server_that_ends_tells_its_subscribers_to_come_again_and_they_miss_nothing(
    live: Served, office: Office
) -> None:
    with opened(live.socket, office.secret) as client, streamed(live.graphql, office.secret, EVENTS) as stream:
        client.subscribe(EVENTS)
        stopping = threading.Thread(target=live.stop)
        stopping.start()
        code, reason = client.close_code()
        assert (code, reason.split(".")[0]) == (1012, "The server restarts")
        assert [event for event, _ in ended_events(stream)] == []  # no `complete`: it is not over
        stopping.join()
    with ThreadPoolExecutor(2) as pool:
        listening = [
            pool.submit(heard_until_goodbye, kind(live, office, lambda: 10**6), office.start)
            for kind in (by_socket, by_events)
        ]
        office.talk(50)
        try:
            live.start()
        finally:
            office.say(GOODBYE)  # or they would listen for ever
        assert [one.result() for one in listening] == [office.said()] * 2


def ended_events(stream: Events) -> list[tuple[str, Any]]:
    """What came until the stream ended, or nothing more came."""
    told: list[tuple[str, Any]] = []
    with suppress(httpx.HTTPError):
        told.extend(stream)
    return told


def test_clients_that_take_nothing_are_dropped_while_others_hear_on_and_can_resume(
    live: Served, office: Office
) -> None:
    """Long comments fill what the network holds; then the server waits 10 s for whoever does not read."""
    after = str(office.start)
    with (
        opened(live.socket, office.secret, max_queue=1) as sleeper,
        streamed(live.graphql, office.secret, EVENTS, after=after) as dozer,
        opened(live.socket, office.secret) as client,
    ):
        asleep = sleeper.subscribe(EVENTS, after=after)
        told = client.subscribe(EVENTS, after=after)
        office.talk(LONG_COMMENTS, "x" * 50_000)
        assert [int(told.next()["position"]) for _ in range(LONG_COMMENTS)] == office.said()
        until(lambda: streams_of(live) == 1, "the end of those who do not read")
        heard: list[int] = []
        with suppress(ConnectionClosed):
            heard.extend(int(event["position"]) for event in asleep)
        assert heard == office.said()[: len(heard)]
        assert len(heard) < LONG_COMMENTS
        assert len(ended_events(dozer)) < LONG_COMMENTS
        again = client.subscribe(EVENTS, "again", after=str(heard[-1]) if heard else after)
        rest = [int(again.next()["position"]) for _ in range(LONG_COMMENTS - len(heard))]
        assert heard + rest == office.said()


def streams_of(live: Served) -> int:
    """As the server counts them: the connection of one that was let go may stay."""
    told = httpx.get(f"{live.http}/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}, timeout=WAIT).text
    [count] = [line.split()[1] for line in told.splitlines() if line.startswith("proteus_streams_open ")]
    return int(float(count))
