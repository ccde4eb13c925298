"""Recording links that were found. Two who find the same at once record it once."""

import hashlib
from collections.abc import Sequence
from uuid import uuid5

import msgspec

from application.traceability.scanning import Found, Recording, batches
from domain.traceability.repositories import ChangesLinked, FoundLink

LINKS_AT_ONCE = 500


def record_links(recording: Recording, links: Sequence[FoundLink]) -> int:
    """Returns the position after it, 0 if there are none. Raises Refused, StoreUnavailable."""
    position = 0
    for batch in batches(links, LINKS_AT_ONCE):
        event = ChangesLinked(links=tuple(batch))
        digest = hashlib.sha256(msgspec.json.encode(event)).hexdigest()
        found = Found(first=batch[0].change, last=batch[-1].change, count=len(batch))
        command = uuid5(recording.repository, f"links:{digest}")
        position = recording.append_all(found, event, command)
    return position
