"""Loads for a whole list at once what its rows will ask for, so that each of them finds it there without waiting.

A resolver that waits costs a task of the event loop; five of them on each of 500 cards cost more than all else.
"""

import asyncio
from collections.abc import Callable, Collection, Hashable, Sequence
from inspect import isawaitable
from typing import Any, TypeVar

from strawberry.dataloader import DataLoader

from api.context import Loaders
from api.fields import Info, selected
from projections.rows import TicketRow

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

DETAILS = frozenset({"description", "openedBy", "updatedAt", "version", "position", "commentCount", "transitions"})
CHILD_COUNTS = frozenset({"childCount", "childDoneCount"})
MERGED = frozenset({"mergedInto", "transitions", "viewerCan"})


def found(loader: DataLoader[K, T], key: K) -> Any:
    """What was loaded before, at once; else an awaitable of it."""
    future = loader.cache_map.get(key)
    there = future is not None and future.done() and not future.cancelled() and future.exception() is None
    return future.result() if future is not None and there else loader.load(key)


def then(value: Any, use: Callable[[Any], Any]) -> Any:
    """What is made of a value that is there, or comes later, as may what is made of it."""

    async def later() -> Any:
        return await at_last(use(await value))

    return later() if isawaitable(value) else use(value)


async def at_last(value: Any) -> Any:
    return await value if isawaitable(value) else value


async def load_ahead(*wanted: tuple[DataLoader[Any, Any], Collection[Hashable]]) -> None:
    """These keys of each loader. A load that fails fails again, and is told, where its result is asked for."""
    loads = [loader.load_many(list(keys)) for loader, keys in wanted if keys]
    await asyncio.gather(*loads, return_exceptions=True)


async def prefetch(info: Info, rows: Sequence[TicketRow]) -> None:
    if len(rows) > 1:
        await load_ahead(*_wanted(info.context.loaders, selected(info, "Ticket"), rows))


def _wanted(loaders: Loaders, names: frozenset[str], rows: Sequence[TicketRow]) -> list[tuple[Any, set[Any]]]:
    def ids(*fields: str) -> set[Any]:
        asked = [field for field in fields if field in names]
        return {getattr(row, field) for row in rows for field in asked} - {None}

    def contributors() -> set[Any]:
        return {one for row in rows for one in row.contributors} if "contributors" in names else set()

    # Made only where it is wanted: ids of 500 cards take a while to hash.
    counted = names & (DETAILS | CHILD_COUNTS | MERGED)
    here = {(row.id, row.moment) for row in rows} if counted else set[Any]()
    return [
        (loaders.people, ids("assignee", "requester") | contributors()),
        (loaders.teams, ids("team")),
        (loaders.services, ids("service")),
        (loaders.tickets, {(row.parent, row.moment) for row in rows if row.parent} if "parent" in names else set()),
        (loaders.details, here if names & DETAILS else set()),
        (loaders.stale, {row.id for row in rows} if "stale" in names else set()),
        (loaders.child_counts, here if names & CHILD_COUNTS else set()),
        (loaders.merged_into, here if names & MERGED else set()),
    ]
