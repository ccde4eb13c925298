"""Attachments: which files tickets have, and had. Their contents lie elsewhere."""

from collections.abc import Sequence
from functools import partial
from typing import Any, LiteralString
from uuid import UUID

from psycopg import sql

from domain.attachments import FileAttached, FileDetached
from domain.tickets import Visibility
from projections import merging, spans
from projections.filters import PageAsk
from projections.projection import Change, Projection
from projections.reading import NOW, Listing, Moment, Page, View, counts_of, pages_of
from projections.rows import AttachmentRow
from projections.writing import Writes

DDL = """
create table attachment (
  workspace          uuid not null,
  id                 uuid primary key,
  ticket             uuid not null,
  position           bigint not null,
  name               text not null,
  media_type         text not null,
  bytes              bigint not null,
  sha256             text not null,
  content            text not null, -- where it lies
  visibility         text not null,
  attached_at        timestamptz not null,
  attached_by        uuid not null,
  detached_position  bigint, -- null: the ticket has it
  detached_at        timestamptz
);
"""

INDEXES = """
create index attachment_of_ticket on attachment (workspace, ticket, attached_at, position);
"""

_DETACH = """
update attachment set detached_position = d.position, detached_at = d.at
  from unnest(%s::uuid[], %s::bigint[], %s::timestamptz[]) as d(id, position, at)
 where attachment.id = d.id
"""


def fold(write: Writes, changes: Sequence[Change]) -> None:
    attached: list[dict[str, Any]] = []
    detached: list[tuple[Any, ...]] = []
    for change in changes:
        envelope, event = change.envelope, change.envelope.event
        if isinstance(event, FileAttached):
            attached.append(
                {
                    "workspace": envelope.workspace,
                    "id": event.attachment,
                    "ticket": envelope.originator_id,
                    "position": envelope.position,
                    "name": event.name,
                    "media_type": event.media_type,
                    "bytes": event.bytes,
                    "sha256": event.sha256,
                    "content": event.content,
                    "visibility": event.visibility,
                    "attached_at": envelope.occurred_at,
                    "attached_by": envelope.cause.on_behalf_of or envelope.cause.actor,
                }
            )
        elif isinstance(event, FileDetached):
            detached.append((event.attachment, envelope.position, envelope.occurred_at))
    write.insert("attachment", attached)
    if detached:
        write.execute(_DETACH, [list(column) for column in zip(*detached, strict=True)])


PROJECTION = Projection(
    name="attachments",
    tables=("attachment",),
    ddl=DDL,
    indexes=INDEXES,
    fold=fold,
    personal={"attachment": ("name", "sha256")},
)


# ---- queries

_COLUMNS: tuple[LiteralString, ...] = (
    *("id", "ticket", "name", "media_type", "bytes", "sha256", "content", "visibility", "attached_at", "attached_by"),
)
_SELECTED = sql.SQL(", ").join(sql.SQL(f"a.{name}") for name in _COLUMNS)


async def attachments(
    view: View, tickets: Sequence[UUID], ask: PageAsk, moment: Moment
) -> dict[UUID, Page[AttachmentRow]]:
    """Of each of these tickets and what was merged into it, oldest first; a requester gets the public ones.
    Raises BadInput."""
    return await pages_of(view, tickets, _attachments(view, moment), ask)


async def attachment_counts(view: View, tickets: Sequence[UUID], moment: Moment) -> dict[UUID, int]:
    return await counts_of(view, tickets, _attachments(view, moment))


def _attachments(view: View, moment: Moment) -> Listing[AttachmentRow]:
    return Listing(
        columns=_SELECTED,
        source=sql.SQL(
            "from attachment a where a.workspace = %(workspace)s and a.ticket in {} and {} and {} and {}"
        ).format(
            merging.family("parent.id", moment),
            _readable(view),
            spans.of_own(view, "a.ticket"),
            _NOW if moment.live else _THEN,
        ),
        keys=(("a.attached_at", "timestamptz"), ("a.position", "bigint")),
        row=partial(_row, moment=moment),
        arguments={"as_of_position": moment.position, "as_of_time": moment.occurred_at},
    )


_NOW = sql.SQL("a.detached_position is null")
_THEN = sql.SQL(
    "(%(as_of_position)s::bigint is null or a.position <= %(as_of_position)s)"
    " and (%(as_of_time)s::timestamptz is null or a.attached_at <= %(as_of_time)s)"
    " and (a.detached_position is null or a.detached_position > %(as_of_position)s::bigint"
    "      or a.detached_at > %(as_of_time)s::timestamptz)"
)


def _readable(view: View) -> sql.SQL:
    return sql.SQL("true" if view.actor.reads_all else "a.visibility = 'PUBLIC'")


async def by_ids(view: View, ids: Sequence[UUID]) -> dict[UUID, AttachmentRow]:
    """Those that are attached now. A requester gets the public ones of their own tickets."""
    return await _found(view, ids, _NOW)


async def readable(view: View, id: UUID) -> AttachmentRow | None:
    """One whose content the viewer may read: who reads all may read one that was detached, since the past has it."""
    return (await _found(view, [id], sql.SQL("true") if view.actor.reads_all else _NOW)).get(id)


async def _found(view: View, ids: Sequence[UUID], when: sql.SQL) -> dict[UUID, AttachmentRow]:
    rows = await view.fetch(
        sql.SQL(
            "select {} from attachment a where a.workspace = %(workspace)s and a.id = any(%(ids)s) and {} and {} and {}"
        ).format(_SELECTED, _readable(view), spans.of_own(view, "a.ticket"), when),
        {"ids": list(ids)},
    )
    return {row[0]: _row(row, NOW) for row in rows}


def _row(values: Sequence[Any], moment: Moment) -> AttachmentRow:
    row: dict[str, Any] = dict(zip(_COLUMNS, values, strict=True))
    row["visibility"] = Visibility(row["visibility"])
    return AttachmentRow(**row, moment=moment)
