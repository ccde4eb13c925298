"""The follower that settles: whenever work or terms of a contract have moved, what it hands on is worked out ahead; and
packages that are used up are reported, and who wants to be told how much of the hours is used is told, by events."""

import asyncio
import logging
import threading
import time
from uuid import UUID

import psycopg

from api import used_up
from application.contracts import tell
from application.event_store.attempts import StoreUnavailable
from application.event_store.database import Connection, Database, Role
from application.event_store.follower import Deposed, Leadership
from application.event_store.streams import EventStore
from application.event_store.wakeup import PROJECTED, heard
from application.handling import Context
from application.workspaces import operator
from domain.access import Actor, Scope
from domain.contracts import ReachAlerts, reached_by
from domain.hour_packages import usage
from projections import settling
from projections.accounts import FOLLOWER
from projections.contracts import as_contract
from projections.reading import ReadModels, View
from projections.states import few_collections

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""How long a lost wake-up may cost."""
PACE_SECONDS = 0.05
"""Between two looks at what moved, at least: many entries of one contract are settled together."""
PACE_SHARE = 2.0
"""As many times as long as a look took the rest of this process has Python to itself."""
STANDBY_SECONDS = 1.0
WHOLE_SECONDS = 300.0
"""How often all contracts are looked at, and those that failed are tried again."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
CONNECTIONS = 1


class Settler:
    """Settles while it leads, else stands by. `run` blocks; `stop` from elsewhere."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        """Until stopped. A lost connection is made again; nothing is lost by it."""
        asyncio.run(self._run())

    def catch_up(self) -> None:
        """Until all is settled that read models know of, or another one leads: for tests and for loading."""
        with few_collections():
            asyncio.run(self._catch_up())

    async def _catch_up(self) -> None:
        with self._database.connect(Role.PROJECTOR) as connection:
            settling.enlist(connection)
            if not Leadership(self._database, connection).acquire(FOLLOWER):
                return
            with EventStore(self._database) as store:
                async with ReadModels(self._database, CONNECTIONS) as models:
                    accounts = Accounts(connection, models, store)
                    while await accounts.look():
                        pass

    async def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                with await asyncio.to_thread(self._database.connect, Role.PROJECTOR) as connection:
                    leadership = Leadership(self._database, connection)
                    if await self._leads(connection, leadership):
                        await self._follow(connection, leadership)
            except Deposed:
                log.info("another process settles accounts now")
            except Exception:
                if time.monotonic() - started > 10 * LONGEST_PAUSE:
                    pause = FIRST_PAUSE  # it has worked meanwhile: this is another failure
                log.exception("accounts are not settled; trying again in %.1f s", pause)
                await asyncio.to_thread(self._stopping.wait, pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _leads(self, connection: Connection, leadership: Leadership) -> bool:
        """Waits for its turn; False where it is stopped meanwhile."""
        await asyncio.to_thread(settling.enlist, connection)
        while not self._stopping.is_set():
            if await asyncio.to_thread(leadership.acquire, FOLLOWER):
                return True
            await asyncio.to_thread(self._stopping.wait, STANDBY_SECONDS)
        return False

    async def _follow(self, connection: Connection, leadership: Leadership) -> None:
        with EventStore(self._database) as store:
            await self._look(connection, leadership, store)

    async def _look(self, connection: Connection, leadership: Leadership, store: EventStore) -> None:
        async with (
            ReadModels(self._database, CONNECTIONS) as models,
            await psycopg.AsyncConnection.connect(
                self._database.conninfo(Role.PROJECTOR), autocommit=True, connect_timeout=10
            ) as listening,
        ):
            await listening.execute(f"listen {PROJECTED}".encode())
            accounts = Accounts(connection, models, store)
            while not self._stopping.is_set():
                await asyncio.to_thread(leadership.keep)
                began = time.monotonic()
                if await accounts.look():
                    took = time.monotonic() - began
                    await asyncio.to_thread(self._stopping.wait, max(PACE_SECONDS, PACE_SHARE * took))
                else:
                    if await heard(listening, POLL_SECONDS):
                        await asyncio.sleep(PACE_SECONDS)


class Accounts:
    """Of all workspaces, as long as this process leads. `connection`: the one it leads by, which alone writes."""

    def __init__(self, connection: Connection, models: ReadModels, store: EventStore) -> None:
        self._connection = connection
        self._models = models
        self._store = store
        self._seen = 0
        self._whole_at = 0.0
        self._failed: set[UUID] = set()

    async def look(self) -> bool:
        """Settles some of what moved; False where nothing did."""
        if time.monotonic() >= self._whole_at:
            self._seen, self._whole_at = 0, time.monotonic() + WHOLE_SECONDS
            self._failed.clear()
        stand = await asyncio.to_thread(settling.stand, self._connection)
        if stand == self._seen:
            return False
        moved = await asyncio.to_thread(settling.unsettled, self._connection, self._seen, stand, list(self._failed))
        if not moved:
            self._seen = stand
            return False
        for one in moved:
            try:
                await self._settle(one)
            except (psycopg.OperationalError, StoreUnavailable):
                raise
            except Exception:
                log.exception("contract %s of workspace %s was not settled", one.contract, one.workspace)
                self._failed.add(one.contract)
        return True

    async def _settle(self, one: settling.Unsettled) -> None:
        view = self._view(one.workspace)
        settled = await settling.settle(view, one.contract)
        if settled is not None:
            await asyncio.to_thread(settling.write, self._connection, settled)
            await asyncio.to_thread(self._alert, one.workspace, settled)
            stand = settled.stand
            await used_up.report(self._store, view, one.contract, stand.packages, stand.day)
            await asyncio.to_thread(settling.told, self._connection, settled)

    def _alert(self, workspace: UUID, settled: settling.Settled) -> None:
        """After what was settled can be asked for: who hears of it finds it."""
        agreed, stand = as_contract(settled.row), settled.stand
        version, used = agreed.version_on(stand.day), usage(stand.packages, stand.day)
        if version is None or not reached_by(version.terms, used.granted, used.drawn):
            return
        command = ReachAlerts(
            contract=settled.row.id, day=stand.day, packages=used.packages, granted=used.granted, drawn=used.drawn
        )
        tell(self._store, Context(actor=operator(workspace), channel="billing"), command)

    def _view(self, workspace: UUID) -> View:
        """Nobody in particular, who reads all."""
        return self._models.view(Actor(workspace=workspace, person=UUID(int=0), scopes=frozenset({Scope.AGENT})))
