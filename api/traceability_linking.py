"""Making up for the links that a repository's changes should have: what the read model finds missing is recorded, and
then what follows from that, until there is nothing more."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from anyio import to_thread

from application.traceability.linking import record_links
from application.traceability.scanning import Recording, record_copies
from domain.traceability.repositories import LinkSource
from projections.reading import View
from projections.traceability_links import LINKS_LIMIT, missing_links, possible_copies

ROUNDS = 100

Reach = Callable[[int], Awaitable[object]]
"""Waits until the read models have passed a position. May raise ReadModelBehind."""

READ_MODELS = ("traceability", "spans")
"""What links follow from."""


class Linked(msgspec.Struct, kw_only=True):
    links: int = 0
    position: int = 0


async def link(view: View, recording: Recording, reach: Reach, position: int = 0, clone: Path | None = None) -> Linked:
    """`position`: from which on the read models know of what was recorded. `clone`: to look for copies of commits in.
    Raises Refused, StoreUnavailable, ReadModelBehind."""
    linked = Linked(position=position)
    await reach(position)
    if clone is not None:
        possible = await possible_copies(view, recording.repository)
        linked.position = await to_thread.run_sync(record_copies, recording, clone, possible) or linked.position
        await reach(linked.position)
    for _ in range(ROUNDS):
        found = await missing_links(view, recording.repository)
        if not found:
            break
        linked.position = await to_thread.run_sync(record_links, recording, found)
        linked.links += len(found)
        await reach(linked.position)
        if len(found) < LINKS_LIMIT and all(one.source is not LinkSource.COPY for one in found):
            break  # nothing else follows from what was just found
    return linked
