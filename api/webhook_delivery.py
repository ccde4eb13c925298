"""Delivering: one follower of the log tells every endpoint of every workspace what it wants to know, in order.

Each endpoint has a task of its own, so that one that is slow or away holds up nobody else; within an endpoint the next
event is sent when the one before was taken. What was sent is written down after it was sent: killed between, the same
message is sent again under the same webhook-id.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from uuid import UUID

import msgspec
import psycopg

from api.runtime import webhook_networks
from api.webhook_messages import Message
from api.webhook_sequence import Sequence
from application import webhook_signing
from application.event_store import metrics
from application.event_store.database import Connection, Database, Role
from application.event_store.follower import Deposed, Leadership, Stand
from application.event_store.streams import EventStore
from application.event_store.wakeup import PROJECTED, heard
from application.handling import Context
from application.webhook_networks import Networks
from application.webhook_sending import SECONDS, Answer, Sender
from application.webhooks import handle
from application.workspaces import operator
from domain.access import Actor, Scope
from domain.errors import Refused
from domain.webhooks import DisabledBecause, GiveWebhookUp
from projections import webhook_deliveries
from projections.reading import ReadModels, View
from projections.rows import WebhookState
from projections.webhook_deliveries import FOLLOWER, Attempt, Cursor, Endpoint

log = logging.getLogger(__name__)

SCHEDULE: tuple[float, ...] = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds between attempts, as Standard Webhooks proposes: ten of them in three days. After the last the endpoint is
disabled, and stays where it is."""

POLL_SECONDS = 0.25
"""How long a lost wake-up may cost."""
GATHER_SECONDS = 0.02
"""Between two looks at what there is to tell, at least: where events come in a crowd, one look does for many."""
STANDBY_SECONDS = 1.0
ADVANCE_SECONDS = 0.2
STOP_SECONDS = 5.0
"""In which what is being sent may end when the process does."""
PRUNE_SECONDS = 3_600.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
CONNECTIONS = 4


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`schedule`: seconds between attempts. `seconds`: for one attempt."""

    networks: Networks = Networks()
    schedule: tuple[float, ...] = SCHEDULE
    seconds: float = SECONDS


class Deliverer:
    """Delivers while it leads, else stands by. `run` blocks; `stop` from elsewhere."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database, self._settings = database, settings
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        """Until stopped. A lost connection is made again; nothing is lost by it."""
        asyncio.run(self._run())

    async def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                with await asyncio.to_thread(self._database.connect, Role.PROJECTOR) as connection:
                    leadership = await self._lead(connection)
                    if leadership is not None:
                        await self._deliver(leadership)
            except Deposed:
                log.info("another process delivers to webhooks now")
            except Exception:
                if time.monotonic() - started > 10 * LONGEST_PAUSE:
                    pause = FIRST_PAUSE  # it has worked meanwhile: this is another failure
                log.exception("webhooks are not delivered to; trying again in %.1f s", pause)
                await asyncio.to_thread(self._stopping.wait, pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _lead(self, connection: Connection) -> Leadership | None:
        """Waits for its turn; None where it is stopped meanwhile."""
        leadership = Leadership(self._database, connection)
        await asyncio.to_thread(webhook_deliveries.enlist, connection)
        while not self._stopping.is_set():
            if await asyncio.to_thread(leadership.acquire, FOLLOWER):
                return leadership
            await asyncio.to_thread(self._stopping.wait, STANDBY_SECONDS)
        return None

    async def _deliver(self, leadership: Leadership) -> None:
        hub = Hub(self._database, self._settings, leadership.places[FOLLOWER].epoch)
        try:
            await hub.open()
            async with await psycopg.AsyncConnection.connect(
                self._database.conninfo(Role.PROJECTOR), autocommit=True, connect_timeout=10
            ) as connection:
                await connection.execute(f"listen {PROJECTED}".encode())
                advance_at = 0.0
                while not self._stopping.is_set():
                    await hub.look(connection)
                    await asyncio.to_thread(leadership.keep)
                    if time.monotonic() >= advance_at:
                        await asyncio.to_thread(_advance, leadership, hub.stand)
                        advance_at = time.monotonic() + ADVANCE_SECONDS
                    if await heard(connection, POLL_SECONDS):
                        await asyncio.sleep(GATHER_SECONDS)
        finally:
            await hub.close()


def _advance(leadership: Leadership, to: Stand) -> None:
    """Up to where endpoints were told that there is something; how far each has come is with it."""
    if to.position > leadership.places[FOLLOWER].stand.position:
        leadership.advance([FOLLOWER], to)
        leadership.advanced([FOLLOWER], to)


class Hub:
    """What the endpoints' tasks share, as long as this process leads."""

    def __init__(self, database: Database, settings: Settings, epoch: int) -> None:
        self.settings = settings
        self._epoch = epoch
        self._store = EventStore(database)
        self._models = ReadModels(database, CONNECTIONS)
        self._pool = database.async_pool(Role.PROJECTOR, CONNECTIONS)
        self._sender = Sender(settings.networks, settings.seconds)
        self._agent = f"Proteus/{version('proteus')}"
        self._sequences: dict[UUID, Sequence] = {}
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._defined: tuple[int, int] | None = None
        self._prune_at = 0.0
        self.stand = Stand(0, datetime.min.replace(tzinfo=UTC))

    async def open(self) -> None:
        await self._models.open()
        await self._pool.open()

    async def close(self) -> None:
        """Lets what is being sent end and be written down, for a while."""
        for sequence in self._sequences.values():
            sequence.stop()
        if self._tasks:
            _, left = await asyncio.wait(self._tasks.values(), timeout=STOP_SECONDS)
            for task in left:
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._sender.close()
        await self._pool.close()
        await self._models.close()
        await asyncio.to_thread(self._store.close)

    async def look(self, connection: webhook_deliveries.AsyncConnection) -> None:
        """What is new, for whom. Raises Deposed."""
        for task in self._tasks.values():
            if task.done() and not task.cancelled():
                task.result()
        before = self.stand.position
        self.stand, defined = await webhook_deliveries.stand(connection)
        if defined != self._defined:
            await self._redefine(await webhook_deliveries.endpoints(connection))
            self._defined = defined
        if self._sequences and self.stand.position > before:
            workspaces = await webhook_deliveries.moved(connection, before, self.stand.position)
            for sequence in self._sequences.values():
                if before == 0 or sequence.endpoint.workspace in workspaces:
                    sequence.awake.set()
        self._count()
        if time.monotonic() >= self._prune_at:
            await webhook_deliveries.prune(connection)
            self._prune_at = time.monotonic() + PRUNE_SECONDS

    async def _redefine(self, endpoints: dict[UUID, Endpoint]) -> None:
        for id_ in self._sequences.keys() - endpoints.keys():
            self._tasks.pop(id_).cancel()
            del self._sequences[id_]
        for id_, endpoint in endpoints.items():
            if id_ in self._sequences:
                self._sequences[id_].redefine(endpoint)
            else:
                sequence = self._sequences[id_] = Sequence(self, endpoint)
                self._tasks[id_] = asyncio.create_task(sequence.run(), name=f"webhook {id_}")

    def _count(self) -> None:
        states = [sequence.state for sequence in self._sequences.values()]
        for state in WebhookState:
            metrics.WEBHOOKS.labels(state.value).set(states.count(state))

    # ---- for the endpoints' tasks

    def view(self, workspace: UUID) -> View:
        """Nobody in particular, who reads all: what of it an endpoint sees is asked for."""
        return self._models.view(Actor(workspace=workspace, person=UUID(int=0), scopes=frozenset({Scope.AGENT})))

    async def send(self, endpoint: Endpoint, message: Message) -> Answer:
        secrets = await asyncio.to_thread(self._secrets, endpoint)
        headers = {
            "content-type": "application/json",
            "user-agent": self._agent,
            **webhook_signing.headers(secrets, message.id, int(time.time()), message.body),
        }
        answer = await self._sender.send(endpoint.webhook.url, headers, message.body)
        metrics.WEBHOOK_ATTEMPTS.labels(answer.trouble or "DELIVERED").inc()
        metrics.WEBHOOK_SECONDS.observe(answer.seconds)
        return answer

    def _secrets(self, endpoint: Endpoint) -> list[str]:
        """Those that are good now, the present one first."""
        now, sealer = datetime.now(UTC), self._store.mapper.sealer
        return [
            webhook_signing.opened(sealer, endpoint.workspace, endpoint.id, secret.sealed)
            for secret in endpoint.webhook.secrets
            if secret.until is None or secret.until > now
        ]

    async def record(
        self, endpoint: Endpoint, attempt: Attempt | None, cursor: Cursor, next_in: float | None
    ) -> Cursor:
        """Raises Deposed."""
        async with self._pool.connection() as connection:
            return await webhook_deliveries.record(connection, endpoint, attempt, cursor, next_in, self._epoch)

    async def give_up(self, endpoint: Endpoint, because: DisabledBecause) -> None:
        """Raises StoreUnavailable."""
        command = GiveWebhookUp(webhook=endpoint.id, url=endpoint.webhook.url, because=because)
        context = Context(actor=operator(endpoint.workspace), channel="webhooks")
        try:
            await asyncio.to_thread(handle, self._store, context, command)
        except Refused:  # it was retired meanwhile
            return
        log.warning("webhook %s of workspace %s is disabled: %s", endpoint.id, endpoint.workspace, because.value)


@contextmanager
def delivering(database: Database, settings: Settings | None = None) -> Generator[None]:
    """Delivers in a thread, for as long as the context lasts. Raises BadSetting."""
    deliverer = Deliverer(database, settings or Settings(networks=webhook_networks()))
    thread = threading.Thread(target=deliverer.run, name="proteus-webhooks")
    thread.start()
    try:
        yield
    finally:
        deliverer.stop()
        thread.join()
