"""What of an event names nobody and says nothing in anybody's own words: all that leaves without `--with-texts`."""

from functools import cache
from typing import Any

from msgspec.structs import replace

from application.event_store.event_types import EVENT_TYPES
from projections.rows import EventRow

PATHS = frozenset(
    {
        *("role", "workflow", "status", "priority", "channel", "startAt", "dueAt", "closedAt"),
        *("assignee", "contributors", "watchers", "team", "requester", "service", "parent", "mergedInto"),
        *("person", "ticket", "startedAt", "endedAt", "interruption", "seconds", "billable", "flags", "reversed"),
        *("client", "contract", "members", "contacts", "active", "kind", "language", "currency", "timeZone", "lastDay"),
        *("state", "head", "target", "mergeCommit", "commit", "environment", "outcome", "verdict", "change"),
    }
)
"""Of changes: a list of what may leave, so that a path which is added later stays until somebody thinks of it."""

_KEPT = frozenset(
    {*PATHS, "key", "number", "category", "workflow_version", "entry", "other", "into", "out_of", "version"}
)
"""Of data, which has the names of the domain: all that is neither sealed nor free text in other clothes."""

_SEALED = {name: frozenset(kind.sealed[kind.version]) for name, kind in EVENT_TYPES.items()}


def without_texts(event: EventRow) -> EventRow:
    changes = [one for one in event.changes if one.path in PATHS or one.path.startswith("links.")]
    return replace(event, reason=None, source=None, changes=changes, data=_data(event))


def _data(event: EventRow) -> dict[str, Any]:
    return {name: value for name, value in event.data.items() if _is_kept(event.type, name)}


@cache
def _is_kept(type_: str, name: str) -> bool:
    first, *rest = name.split("_")
    camel = first + "".join(word.title() for word in rest)
    return name not in _SEALED.get(type_, ()) and (name in _KEPT or camel in _KEPT)
