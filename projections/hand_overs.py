"""Hand-overs of tickets: every time that one passed to another role or team, by whichever command."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import msgspec
from psycopg import sql

from domain.tickets import Ticket, TicketTransferred
from projections import spans
from projections.filters import PageAsk
from projections.projection import Change, Projection
from projections.reading import Listing, Moment, Page, View, counts_of, pages_of
from projections.rows import HandOverRow
from projections.writing import Writes

DDL: LiteralString = """
create table hand_over (
  workspace      uuid not null,
  ticket         uuid not null,
  command_id     uuid not null, -- all that one command changes is one hand-over
  position       bigint not null,
  occurred_at    timestamptz not null,
  by             uuid not null,
  from_role      text not null,
  to_role        text not null,
  from_workflow  text not null,
  to_workflow    text not null,
  from_team      uuid,
  to_team        uuid,
  note           text,
  reason         text,
  primary key (ticket, command_id)
);
"""

_UPSERT: LiteralString = """
insert into hand_over (workspace, ticket, command_id, position, occurred_at, by, from_role, to_role, from_workflow,
                       to_workflow, from_team, to_team, note, reason)
select * from unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::bigint[], %s::timestamptz[], %s::uuid[], %s::text[],
                     %s::text[], %s::text[], %s::text[], %s::uuid[], %s::uuid[], %s::text[], %s::text[])
on conflict (ticket, command_id) do update set
  position = excluded.position, to_role = excluded.to_role, to_workflow = excluded.to_workflow,
  to_team = excluded.to_team, note = coalesce(hand_over.note, excluded.note)
"""


class _HandOver(msgspec.Struct):
    """A row of the table, in the order of its columns."""

    workspace: UUID
    ticket: UUID
    command_id: UUID
    position: int
    occurred_at: datetime
    by: UUID
    from_role: str
    to_role: str
    from_workflow: str
    to_workflow: str
    from_team: UUID | None
    to_team: UUID | None
    note: str | None
    reason: str | None


def fold(write: Writes, changes: Sequence[Change]) -> None:
    made: dict[tuple[UUID, UUID], _HandOver] = {}
    for change in changes:
        before, after = change.before, change.after
        if not isinstance(before, Ticket) or not isinstance(after, Ticket):
            continue
        event = change.envelope.event
        transferred = event if isinstance(event, TicketTransferred) else None
        if transferred is None and _place(before) == _place(after):
            continue
        key = change.envelope.originator_id, change.envelope.cause.command_id
        row = made.get(key)
        if row is None:
            row = made[key] = _begun(change, before)
        row.position = change.envelope.position
        row.to_role, row.to_workflow, row.to_team = _place(after)
        if transferred is not None:
            row.note = transferred.note
    if made:
        rows = map(msgspec.structs.astuple, made.values())
        write.execute(_UPSERT, [list(column) for column in zip(*rows, strict=True)])


def _place(ticket: Ticket) -> tuple[str, str, UUID | None]:
    return ticket.role, ticket.workflow, ticket.team


def _begun(change: Change, before: Ticket) -> _HandOver:
    envelope = change.envelope
    role, workflow, team = _place(before)
    return _HandOver(
        workspace=envelope.workspace,
        ticket=envelope.originator_id,
        command_id=envelope.cause.command_id,
        position=envelope.position,
        occurred_at=envelope.occurred_at,
        by=envelope.cause.on_behalf_of or envelope.cause.actor,
        from_role=role,
        to_role=role,
        from_workflow=workflow,
        to_workflow=workflow,
        from_team=team,
        to_team=team,
        note=None,
        reason=envelope.cause.reason,
    )


PROJECTION = Projection(
    name="hand_overs",
    tables=("hand_over",),
    ddl=DDL,
    indexes="",
    fold=fold,
    personal={"hand_over": ("note", "reason")},
)


# ---- queries


async def hand_overs(
    view: View, tickets: Sequence[UUID], ask: PageAsk, moment: Moment
) -> dict[UUID, Page[HandOverRow]]:
    """Of each of these tickets, oldest first. Notes and reasons are written for colleagues. Raises BadInput."""
    return await pages_of(view, tickets, _hand_overs(view, moment), ask)


async def hand_over_counts(view: View, tickets: Sequence[UUID], moment: Moment) -> dict[UUID, int]:
    return await counts_of(view, tickets, _hand_overs(view, moment))


def _hand_overs(view: View, moment: Moment) -> Listing[HandOverRow]:
    said = sql.SQL("h.note, h.reason" if view.actor.reads_all else "null, null")
    return Listing(
        columns=sql.SQL(
            "h.from_role, h.to_role, h.from_workflow, h.to_workflow, h.from_team, h.to_team, h.by, h.occurred_at, {}"
        ).format(said),
        source=sql.SQL(
            "from hand_over h where h.workspace = %(workspace)s and h.ticket = parent.id and {}"
            " and (%(as_of_position)s::bigint is null or h.position <= %(as_of_position)s)"
            " and (%(as_of_time)s::timestamptz is null or h.occurred_at <= %(as_of_time)s)"
        ).format(spans.of_own(view, "h.ticket")),
        keys=(("h.occurred_at", "timestamptz"), ("h.position", "bigint")),
        row=_row,
        arguments={"as_of_position": moment.position, "as_of_time": moment.occurred_at},
    )


def _row(values: Sequence[Any]) -> HandOverRow:
    return HandOverRow(**dict(zip(HandOverRow.__struct_fields__, values, strict=True)))
