"""Live: what the read models have taken in is told to whoever subscribes, once for all subscribers of a process.

One connection follows the timeline, up to where every read model that a ticket is shown from has come. A subscriber
has a bounded buffer; one who cannot keep up loses the buffer and reads on from the timeline, as one does who comes back
after a while. So nobody misses or doubles an event, and nobody is buffered without end.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from application.event_store.database import Database, Role
from application.event_store.wakeup import PROJECTED
from domain.access import Actor, sees
from projections import timeline
from projections.filters import EventFilter, PageAsk
from projections.reading import PAGE_LIMIT, ReadModelsUnavailable, View
from projections.rows import EventRow

log = logging.getLogger(__name__)

BUFFER = 1_000
"""Events that wait for one subscriber; more are read from the timeline again."""
READ_LIMIT = 1_000
POLL_SECONDS = 0.25
"""How long a lost wake-up may cost."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
START_SECONDS = 5.0


class News(msgspec.Struct, frozen=True, kw_only=True):
    """An event, and what decides who may hear of it. `requester`: whose ticket it is now; `requesters`: also whose it
    was before this event. `workflows_at`, `sensitive`: of its workspace, as `View` has them."""

    workspace: UUID
    event: EventRow
    internal: bool
    requester: UUID | None
    workflows_at: int
    sensitive: bool

    @property
    def requesters(self) -> set[UUID | None]:
        former = {change.from_ for change in self.event.changes if change.path == "requester" and change.from_}
        return {self.requester, *(UUID(id_) for id_ in former)}


class Closed(Exception):
    """The feed was closed: this process ends."""


Topic = tuple[UUID, UUID | None]
"""A workspace, and a ticket where only one is of interest."""


class Subscriber:
    """One who hears of a topic. All methods belong to the feed's event loop."""

    def __init__(self, feed: "Feed", wanted: Callable[[News], bool]) -> None:
        self._feed, self._wanted = feed, wanted
        self._buffer: deque[News] = deque()
        self._overflown = False
        self._awake = asyncio.Event()

    def begin(self) -> int:
        """Forgets what is buffered. All up to the returned position is to be read, all after it will be heard."""
        self._buffer.clear()
        self._overflown = False
        return self._feed.position

    def hear(self, news: News) -> None:
        if self._overflown or not self._wanted(news):
            return
        if len(self._buffer) >= BUFFER:
            self._buffer.clear()
            self._overflown = True
        else:
            self._buffer.append(news)
        self._awake.set()

    def wake(self) -> None:
        self._awake.set()

    async def heard(self) -> list[News]:
        """What came since, at least one; [] if that was too much: `begin` again. Raises Closed."""
        while not self._buffer and not self._overflown:
            if self._feed.closed:
                raise Closed
            self._awake.clear()
            await self._awake.wait()
        heard = list(self._buffer)
        self._buffer.clear()
        return heard


class Feed:
    """Follows the timeline of all workspaces that somebody hears of. One per process; open it in its event loop."""

    def __init__(self, database: Database, read_models: Sequence[str]) -> None:
        self._database, self._read_models = database, list(read_models)
        self._subscribers: dict[Topic, set[Subscriber]] = {}
        self._reading = asyncio.Lock()
        self._started = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self.position = 0
        self.closed = False

    async def open(self) -> None:
        self._following = asyncio.create_task(self._follow(), name="proteus-live")

    async def close(self) -> None:
        """Every subscriber gets Closed."""
        self.closed = True
        for subscribers in self._subscribers.values():
            for subscriber in subscribers:
                subscriber.wake()
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following

    async def begun(self) -> None:
        """Once its position is known. Raises ReadModelsUnavailable."""
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._started.wait()
        except TimeoutError:
            raise ReadModelsUnavailable("The live feed has not begun.") from None

    @asynccontextmanager
    async def subscribed(self, topic: Topic, wanted: Callable[[News], bool]) -> AsyncGenerator[Subscriber]:
        """Raises ReadModelsUnavailable."""
        await self.begun()
        subscriber = Subscriber(self, wanted)
        async with self._reading:  # a read under way may not know of this workspace
            self._subscribers.setdefault(topic, set()).add(subscriber)
        try:
            yield subscriber
        finally:
            self._subscribers[topic].discard(subscriber)
            if not self._subscribers[topic]:
                del self._subscribers[topic]

    async def _follow(self) -> None:
        """A lost connection is made again; what came meanwhile is read then."""
        pause = FIRST_PAUSE
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._database.conninfo(Role.PROJECTOR), autocommit=True, connect_timeout=10
                ) as connection:
                    await connection.execute(f"listen {PROJECTED}".encode())
                    while True:
                        while await self._step(connection):
                            pass
                        pause = FIRST_PAUSE
                        async for _ in connection.notifies(timeout=POLL_SECONDS, stop_after=1):
                            pass
            except psycopg.Error as error:
                log.warning("the live feed lost its connection, trying again in %.1f s: %s", pause, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _step(self, connection: psycopg.AsyncConnection[TupleRow]) -> bool:
        """Reads and tells the next events; whether there may be more. What is projected meanwhile is notified of."""
        async with self._reading:
            after = self.position if self._started.is_set() else None
            cursor = await connection.execute(
                _NEXT,
                {
                    "names": self._read_models,
                    "workspaces": list({workspace for workspace, _ in self._subscribers}),
                    "after": after,
                    "limit": READ_LIMIT,
                },
            )
            rows = await cursor.fetchall()
            found = [_news(row) for row in rows if row[1] is not None]
            more = len(found) == READ_LIMIT
            position = found[-1].event.position if more else rows[0][0]
            self.position = max(self.position, position)
            self._started.set()
            for news in found:
                self._tell(news)
        return more

    def _tell(self, news: News) -> None:
        ticket = news.event.ticket
        for topic in {(news.workspace, None), (news.workspace, ticket)}:
            for subscriber in self._subscribers.get(topic, ()):
                subscriber.hear(news)


# One statement, so that all is of one snapshot. Without `after` it only says where the read models stand.
_NEXT = sql.SQL("""
select t.position, x.workspace, x.internal, s.requester, coalesce(w.position, 0),
       exists (select from sensitivity v where v.workspace = x.workspace and v.closed_position is null), {}
  from (select coalesce(min(position), 0) as position from tracking where name = any(%(names)s)) t
  left join lateral (
    select * from timeline y
     where y.position > %(after)s::bigint and y.position <= t.position and y.workspace = any(%(workspaces)s::uuid[])
     order by y.position limit %(limit)s
  ) x on true
  left join span s on s.ticket = x.ticket and s.closed_position is null
  left join workflows w on w.workspace = x.workspace
 order by x.position
""").format(timeline.COLUMNS)


def _news(row: Sequence[Any]) -> News:
    _, workspace, internal, requester, workflows_at, sensitive, *event = row
    return News(
        workspace=workspace,
        event=timeline.event_row(event),
        internal=internal,
        requester=requester,
        workflows_at=workflows_at,
        sensitive=sensitive,
    )


# ---- what is told


class Told(NamedTuple):
    """A row, and the position up to which it tells all."""

    position: int
    row: Any


class Source(Protocol):
    """What a subscription asks for; who asks it, the view says."""

    def topic(self, actor: Actor) -> Topic: ...

    def wanted(self, actor: Actor) -> Callable[[News], bool]:
        """What to keep from the feed: quick, and no more than the actor may hear of."""
        ...

    def recorded(self, view: View, after: int, until: int) -> AsyncGenerator[Told]:
        """What the viewer may see of what was recorded after a position, up to another one. Raises BadInput,
        ReadModelsUnavailable."""
        ...

    def heard(self, view: View, heard: Sequence[News], after: int) -> AsyncGenerator[Told]:
        """The same of what the feed told after a position."""
        ...


class Events(msgspec.Struct, frozen=True):
    """Every event that the viewer may see, once and in order."""

    asked: EventFilter

    def topic(self, actor: Actor) -> Topic:
        return actor.workspace, self.asked.ticket

    def wanted(self, actor: Actor) -> Callable[[News], bool]:
        types = None if self.asked.types is None else frozenset(self.asked.types)
        return lambda news: (types is None or news.event.type in types) and _may_hear(actor, news)

    async def recorded(self, view: View, after: int, until: int) -> AsyncGenerator[Told]:
        more = after < until
        while more:
            view.stands_at(None)  # what an event of this page stands on may have been defined since
            asked = msgspec.structs.replace(self.asked, after_position=after)
            page = await timeline.events(view, asked, PageAsk(first=PAGE_LIMIT))
            for event in page.nodes:
                if event.position > until:
                    return
                yield Told(event.position, event)
                after = event.position
            more = page.has_next

    async def heard(self, view: View, heard: Sequence[News], after: int) -> AsyncGenerator[Told]:
        """Whoever reads not all is asked about again as the event is read for them."""
        reads_all = view.actor.reads_all
        told = {} if reads_all else await timeline.by_positions(view, [news.event.position for news in heard])
        for news in heard:
            shown = news.event if reads_all else told.get(news.event.position)
            if shown is not None:
                view.stands_at(news.workflows_at, sensitive=news.sensitive)
                yield Told(shown.position, shown)


def _may_hear(actor: Actor, news: News) -> bool:
    if actor.reads_all:
        return actor.administers or news.event.type not in timeline.FOR_ADMINISTRATORS
    return not news.internal and news.event.ticket is not None and sees(actor, news)
