"""Making up for the links that a repository's changes should have: what the read model finds missing, or to follow no
more, is recorded, and then what follows from that, until there is nothing more."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from anyio import to_thread

from application.traceability.linking import record_links
from application.traceability.scanning import Recording, record_copies
from domain.traceability.findings import ChangesLinked, ChangesUnlinked, LinkSource
from projections.reading import View
from projections.traceability_links import LINKS_LIMIT, differing_links, possible_copies

ROUNDS = 100

Reach = Callable[[int], Awaitable[object]]
"""Waits until the read models have passed a position. May raise ReadModelBehind."""

READ_MODELS = ("traceability", "spans")
"""What links follow from."""


class Linked(msgspec.Struct, kw_only=True):
    """`links`: recorded; `unlinked`: recorded to hold no more."""

    links: int = 0
    unlinked: int = 0
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
        found = await differing_links(view, recording.repository)
        if not (found.missing or found.stale):
            break
        for kind, links in ((ChangesUnlinked, found.stale), (ChangesLinked, found.missing)):
            position = await to_thread.run_sync(record_links, recording, kind, links, found.since)
            linked.position = max(position, linked.position)
        linked.links += len(found.missing)
        linked.unlinked += len(found.stale)
        await reach(linked.position)
        copies = any(one.source is LinkSource.COPY for one in found.missing)
        if not (copies or found.stale or len(found.missing) == LINKS_LIMIT):
            break  # nothing else follows from what was just found
    return linked
