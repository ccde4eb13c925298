"""What a request carries through its resolvers: who asks, and loaders that ask for many things at once."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader
from strawberry.litestar import BaseContext

from api.runtime import Runtime
from domain.access import Actor
from domain.workflows import Workflows
from projections import directory, tickets, timeline
from projections.reading import Moment, View
from projections.rows import ChildCounts, CommentRow, EventRow, PersonRow, ServiceRow, TeamRow, TicketDetails, TicketRow

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
At = tuple[UUID, Moment]
"""A thing with a history, at one moment of it."""


class Loaders:
    """One per request: things that many rows name are asked for together, and once."""

    def __init__(self, view: View) -> None:
        self.people = loader(lambda ids: directory.people_by_ids(view, ids))
        self.teams = loader(lambda ids: directory.teams_by_ids(view, ids))
        self.services = loader(lambda ids: directory.services_by_ids(view, ids))
        self.teams_of = loader(lambda ids: directory.teams_of(view, ids))
        self.events = loader(lambda positions: timeline.by_positions(view, positions))
        self.comments = loader(lambda ids: tickets.comments_by_ids(view, ids))
        self.tickets = loader_at(lambda ids, moment: tickets.by_ids(view, ids, moment))
        self.details = loader_at(lambda ids, moment: tickets.details(view, ids, moment))
        self.child_counts = loader_at(lambda ids, moment: tickets.child_counts(view, ids, moment))

    people: DataLoader[UUID, PersonRow | None]
    teams: DataLoader[UUID, TeamRow | None]
    services: DataLoader[UUID, ServiceRow | None]
    teams_of: DataLoader[UUID, list[TeamRow] | None]
    events: DataLoader[int, EventRow | None]
    comments: DataLoader[UUID, CommentRow | None]
    tickets: DataLoader[At, TicketRow | None]
    details: DataLoader[At, TicketDetails | None]
    child_counts: DataLoader[At, ChildCounts | None]


def loader(load: Callable[[list[K]], Awaitable[dict[K, T]]]) -> DataLoader[K, T | None]:
    async def answer(keys: list[K]) -> Sequence[T | None]:
        found = await load(keys)
        return [found.get(key) for key in keys]

    return DataLoader(load_fn=answer)


def loader_at(load: Callable[[list[UUID], Moment], Awaitable[dict[UUID, T]]]) -> DataLoader[At, T | None]:
    async def answer(keys: list[At]) -> Sequence[T | None]:
        ids: defaultdict[Moment, list[UUID]] = defaultdict(list)
        for id_, moment in keys:
            ids[moment].append(id_)
        found = {moment: await load(wanted, moment) for moment, wanted in ids.items()}
        return [found[moment].get(id_) for id_, moment in keys]

    return DataLoader(load_fn=answer)


class Context(BaseContext, kw_only=True):
    """Made per request, after its token was accepted."""

    runtime: Runtime
    view: View
    workflows: Workflows
    loaded: Loaders | None = None

    @property
    def actor(self) -> Actor:
        return self.view.actor

    @property
    def loaders(self) -> Loaders:
        if self.loaded is None:
            self.loaded = Loaders(self.view)
        return self.loaded

    async def wait_for(self, position: int, *read_models: str) -> None:
        """What was loaded before may be older than what was waited for. Raises ReadModelBehind."""
        await self.runtime.models.wait_for(position, *read_models)
        self.workflows = await directory.workflows(self.view)
        self.forget()

    def forget(self) -> None:
        """A command changes what was loaded before it."""
        self.loaded = None
