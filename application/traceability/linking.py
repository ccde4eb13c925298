"""Recording links that were found, and those that hold no more. Two who find the same at once record it once."""

import hashlib
from collections.abc import Sequence
from uuid import uuid5

import msgspec

from application.traceability.scanning import Found, Recording, batches
from domain.traceability.findings import ChangesLinked, ChangesUnlinked, FoundLink

LINKS_AT_ONCE = 500


def record_links(
    recording: Recording, kind: type[ChangesLinked | ChangesUnlinked], links: Sequence[FoundLink], since: int
) -> int:
    """`since`: when a link was taken back last: what was found before that may be found again. Returns the position
    after it, 0 if there are none. Raises Refused, StoreUnavailable."""
    position = 0
    for batch in batches(links, LINKS_AT_ONCE):
        event = kind(repository=recording.repository, links=tuple(batch))
        digest = hashlib.sha256(msgspec.json.encode(event)).hexdigest()
        found = Found(first=batch[0].change, last=batch[-1].change, count=len(batch))
        command = uuid5(recording.repository, f"{kind.__name__}:{since}:{digest}")
        position = recording.tell(found, event, command)
    return position
