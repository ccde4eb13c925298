"""Read models: how fast they catch up and are rebuilt, and how far they are behind while commands arrive."""

import threading
import time
from collections.abc import Iterator

from application import tickets
from application.event_store.database import Database, Role
from application.event_store.streams import EventStore
from application.handling import Context
from bench import stock
from bench.company import Furnished, furnish
from bench.figures import Figure, Spread, percentile
from bench.history import record
from bench.lab import Lab, running
from bench.waiting import wait_until_read
from domain.tickets import AddComment
from projections.engine import Session
from projections.rebuild import rebuild_all
from projections.registry import NAMES, PROJECTIONS

TICKETS = 4_000
STOCK_TICKETS, STOCK_COMMENTS = 100, 19
ARRIVING = 200
"""Commands a second."""
CALLERS = 8


def projecting(lab: Lab) -> Iterator[Figure]:
    caught_up: list[float] = []
    rebuilt: list[float] = []
    stocks: list[float] = []
    for _ in range(lab.size.rounds):
        with lab.database() as database:
            company = furnish(database, 0)
            with EventStore(database) as store:
                lab.say("projecting: a history is recorded")
                record(store, company, lab.size.of(TICKETS, 10))
            caught_up.append(lab.said("projecting: all read models catch up", lambda: _catch_up(database)))
            rebuilt.append(lab.said("projecting: all read models are rebuilt", lambda: _rebuild(database)))
            stocks.append(
                lab.said(
                    "projecting: the stock runner",
                    lambda: stock.events_projected_per_second(database, lab.size.of(STOCK_TICKETS, 2), STOCK_COMMENTS),
                )
            )
    peer = Spread.of(stocks)
    for what, found in (("catch-up", caught_up), ("rebuild", rebuilt)):
        yield Figure(
            name=f"{what} of all {len(PROJECTIONS)} read models, events times read models",
            unit="events/s",
            value=Spread.of(found),
            peer_name="stock runner, one view",
            peer=peer,
            bar="at least",
            limit=40_000,
            by_itself=True,
        )
    yield from _lag(lab)


def _catch_up(database: Database) -> float:
    with Session(database, {projection.name: projection for projection in PROJECTIONS}) as session:
        started = time.monotonic()
        session.catch_up()
        seconds = time.monotonic() - started
    return _events(database) * len(PROJECTIONS) / seconds


def _rebuild(database: Database) -> float:
    """In one pass, as `proteus rebuild --all` does."""
    started = time.monotonic()
    assert all(summary.same for summary in rebuild_all(database, PROJECTIONS))
    return _events(database) * len(PROJECTIONS) / (time.monotonic() - started)


def _events(database: Database) -> int:
    with database.connect(Role.PROJECTOR) as connection:
        row = connection.execute("select count(*) from event").fetchone()
    assert row is not None
    return int(row[0])


# ---- lag


def _lag(lab: Lab) -> Iterator[Figure]:
    """From when a command was acknowledged until all read models show it."""
    medians: list[float] = []
    highs: list[float] = []
    with lab.database() as database:
        company = furnish(database, CALLERS)
        with running(["-m", "api.command_line", "worker"], PROTEUS_DATABASE_URL=database.url):
            wait_until_read(database)
            for _ in range(lab.size.rounds):
                lags = lab.said("projecting: lag", lambda: _lags(lab, database, company))
                medians.append(percentile(lags, 50))
                highs.append(percentile(lags, 99))
    for what, found, limit in (("p50", medians, None), ("p99", highs, 50.0)):
        yield Figure(
            name=f"lag of all read models while {ARRIVING} commands/s arrive, {what}",
            unit="ms",
            value=Spread.of(found),
            limit=limit,
        )


_PROJECTED = "select min(position) from tracking where name = any(%s)"


def _lags(lab: Lab, database: Database, company: Furnished) -> list[float]:
    """In milliseconds, as often as a look costs: about one."""
    waiting: list[tuple[int, float]] = []
    lags: list[float] = []
    over, all_given = threading.Event(), threading.Event()

    def look() -> None:
        with database.connect(Role.PROJECTOR) as connection:
            while not all_given.is_set() or waiting:
                row = connection.execute(_PROJECTED, (list(NAMES),)).fetchone()
                seen, at = row[0] if row else 0, time.monotonic()
                for one in [one for one in waiting if one[0] <= seen]:
                    waiting.remove(one)
                    lags.append((at - one[1]) * 1000)
                time.sleep(0.001)

    with EventStore(database) as store:
        context = Context(actor=company.actor)

        def call(caller: int) -> None:
            due = time.monotonic() + caller / ARRIVING
            while True:  # at least once, however short the time and busy the machine
                time.sleep(max(0.0, due - time.monotonic()))
                due += CALLERS / ARRIVING
                outcome = tickets.handle(store, context, AddComment(ticket=company.tickets[caller], body="So it is."))
                waiting.append((outcome.position, time.monotonic()))
                if over.is_set():
                    return

        looking = threading.Thread(target=look)
        callers = [threading.Thread(target=call, args=(caller,)) for caller in range(CALLERS)]
        for thread in (looking, *callers):
            thread.start()
        time.sleep(lab.size.seconds)
        over.set()
        for thread in callers:
            thread.join()
        all_given.set()
        looking.join()
    return lags
