"""What changed in a ticket between two moments, as a JSON Patch (RFC 6902), and the events that made it."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, TypeGuard

import msgspec
import strawberry
from strawberry import ID, UNSET, Parent
from strawberry.scalars import JSON

from api.events import Event
from api.field_values import outward
from api.fields import Info, by
from api.filters import AsOf
from api.ids import Kind, decode, encode
from api.paging import Connection, ConnectionRow, page_ask
from api.scalars import Position, write_time
from api.tickets import moment_of
from projections import tickets, timeline
from projections.reading import BadInput, Moment
from projections.rows import EventRow, TicketDetails, TicketRow


class DiffRow(msgspec.Struct, frozen=True, kw_only=True):
    ticket: Any
    since: Moment
    until: Moment
    patch: list[dict[str, Any]]


async def _diff(
    info: Info,
    ticket: ID,
    from_: Annotated[AsOf, strawberry.argument(name="from")],
    to: AsOf | None = UNSET,
    min_position: Position | None = UNSET,
) -> DiffRow | None:
    """Null where there is no such ticket, or none that you may see. Before it was opened it is null, and the patch adds
    all of it. `to`: now, where it is absent."""
    id_ = decode(ticket, Kind.TICKET)
    since, until = await moment_of(info, from_, min_position), await moment_of(info, to, UNSET)
    if _is_after(since.position, until.position) or _is_after(since.occurred_at, until.occurred_at):
        raise BadInput("from is to be before to.")
    before, after = await _document(info, id_, since), await _document(info, id_, until)
    if before is None and after is None:
        now = await tickets.by_ids(info.context.view, [id_], Moment())
        if not now:
            return None
    return DiffRow(ticket=id_, since=since, until=until, patch=list(_patch(before, after)))


def _is_after(one: Any, other: Any) -> bool:
    """None is the end."""
    return other is not None and (one is None or one > other)


async def _document(info: Info, id_: Any, moment: Moment) -> dict[str, Any] | None:
    """What the ticket says of itself, by the names of the schema; people, teams, services by their ids."""
    view = info.context.view
    row = (await tickets.by_ids(view, [id_], moment)).get(id_)
    details = (await tickets.details(view, [id_], moment)).get(id_)
    if row is None or details is None:
        return None
    shown = _shown(info, row, details)
    if not view.actor.reads_all:  # of what it is a part is not theirs
        del shown["parent"]
    return shown


def _shown(info: Info, row: TicketRow, details: TicketDetails) -> dict[str, Any]:
    return {
        "key": row.key,
        "externalKey": row.external_key,
        "title": row.title,
        "description": details.description,
        "role": row.role,
        "workflow": row.workflow,
        "status": row.status,
        "assignee": _id(Kind.PERSON, row.assignee),
        "contributors": [_id(Kind.PERSON, one) for one in row.contributors],
        "team": _id(Kind.TEAM, row.team),
        "requester": _id(Kind.PERSON, row.requester),
        "service": _id(Kind.SERVICE, row.service),
        "parent": _id(Kind.TICKET, row.parent),
        "channel": row.channel,
        "priority": row.priority.value,
        "tags": row.tags,
        "fields": outward(info.context.workflows, row.fields),
        "startAt": _time(row.start_at),
        "dueAt": _time(row.due_at),
        "openedAt": _time(row.opened_at),
        "closedAt": _time(row.closed_at),
    }


def _id(kind: Kind, id_: Any) -> str | None:
    return None if id_ is None else encode(kind, id_)


def _time(at: datetime | None) -> str | None:
    return None if at is None else write_time(at)


def _patch(before: Any, after: Any, path: str = "") -> Iterator[dict[str, Any]]:
    """Objects key by key, everything else as a whole."""
    if _is_object(before) and _is_object(after):
        for key in {**before, **after}:
            at = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
            if key not in after:
                yield {"op": "remove", "path": at}
            elif key not in before:
                yield {"op": "add", "path": at, "value": after[key]}
            else:
                yield from _patch(before[key], after[key], at)
    elif msgspec.json.encode(before) != msgspec.json.encode(after):  # 1 and true are equal in Python, not in JSON
        yield {"op": "replace", "path": path, "value": after}


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


async def _events(
    diff: Parent[DiffRow],
    info: Info,
    first: int | None = UNSET,
    after: str | None = UNSET,
    last: int | None = UNSET,
    before: str | None = UNSET,
) -> ConnectionRow[EventRow]:
    """Those that made it, oldest first; comments and other events that leave the ticket's own data alone, too."""
    view, between = info.context.view, (diff.ticket, diff.since, diff.until)
    page = await timeline.between(view, *between, page_ask(first, after, last, before))
    return ConnectionRow(page, lambda: timeline.between_count(view, *between))


@strawberry.type(description="What changed in a ticket between two moments.")
class TicketDiff:
    patch: JSON = strawberry.field(description="RFC 6902: applied to the ticket as it was, it gives it as it is.")
    events: Connection[Event] = by(_events)


@strawberry.type
class DiffQueries:
    diff: TicketDiff | None = by(_diff)
