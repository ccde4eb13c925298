"""Comments on tickets: each with the text that it has. What it said before stands in the timeline, and as of a moment
is read there; a requester reads no text that was edited or withdrawn since."""

from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
from psycopg import sql

from domain.comments import CommentAdded, CommentEdited, CommentWithdrawn
from domain.tickets import Visibility
from projections import merging, spans
from projections.filters import PageAsk
from projections.projection import Change
from projections.reading import NOW, Listing, Moment, Page, View, counts_of, pages_of
from projections.rows import CommentRow
from projections.writing import Writes

DDL = """
create table comment (
  workspace      uuid not null,
  id             uuid primary key,
  ticket         uuid not null,
  position       bigint not null,
  author         uuid not null,
  body           text not null,
  visibility     text not null,
  created_at     timestamptz not null,
  in_reply_to    uuid,
  mentions       uuid[] not null,
  edited_at      timestamptz, -- or withdrawn
  withdrawn      boolean not null,
  said_position  bigint not null -- of the event that gave it the text that it has
);
"""

INDEXES = """
create index comment_of_ticket on comment (workspace, ticket, created_at, position);
"""

_SAY = """
update comment set body = s.body, mentions = s.mentions, edited_at = s.edited_at, withdrawn = s.withdrawn,
                   said_position = s.said_position
  from json_to_recordset(%s::text::json) as s(id uuid, body text, mentions uuid[], edited_at timestamptz,
                                              withdrawn boolean, said_position bigint)
 where comment.id = s.id
"""


def fold(write: Writes, changes: Sequence[Change]) -> None:
    added: dict[UUID, dict[str, Any]] = {}
    changed: dict[UUID, dict[str, Any]] = {}
    for change in changes:
        event = change.envelope.event
        if isinstance(event, CommentAdded):
            added[event.comment] = _row(change, event)
        elif isinstance(event, CommentEdited | CommentWithdrawn):
            said = _said(change, event)
            if event.comment in added:
                added[event.comment] |= said
            else:
                changed[event.comment] = {"id": event.comment, **said}
    write.insert("comment", list(added.values()))
    if changed:
        write.execute(_SAY, (msgspec.json.encode(list(changed.values())).decode(),))


def _row(change: Change, event: CommentAdded) -> dict[str, Any]:
    envelope = change.envelope
    return {
        "workspace": envelope.workspace,
        "id": event.comment,
        "ticket": envelope.originator_id,
        "position": envelope.position,
        "author": event.author,
        "body": event.body,
        "visibility": event.visibility,
        "created_at": envelope.occurred_at,
        "in_reply_to": event.in_reply_to,
        "mentions": event.mentions,
        "edited_at": None,
        "withdrawn": False,
        "said_position": envelope.position,
    }


def _said(change: Change, event: CommentEdited | CommentWithdrawn) -> dict[str, Any]:
    body, mentions = (event.body, event.mentions) if isinstance(event, CommentEdited) else ("", ())
    return {
        "body": body,
        "mentions": mentions,
        "edited_at": change.envelope.occurred_at,
        "withdrawn": isinstance(event, CommentWithdrawn),
        "said_position": change.envelope.position,
    }


# ---- queries


async def comments(view: View, tickets: Sequence[UUID], ask: PageAsk, moment: Moment) -> dict[UUID, Page[CommentRow]]:
    """Of each of these tickets and what was merged into it, oldest first; a requester gets the public ones.
    Raises BadInput."""
    return await pages_of(view, tickets, _comments(view, moment), ask)


async def comment_counts(view: View, tickets: Sequence[UUID], moment: Moment) -> dict[UUID, int]:
    return await counts_of(view, tickets, _comments(view, moment))


async def by_ids(view: View, ids: Sequence[UUID]) -> dict[UUID, CommentRow]:
    """A requester gets the public ones of their own tickets."""
    rows = await view.fetch(
        sql.SQL(
            "select {} from comment c where c.workspace = %(workspace)s and c.id = any(%(ids)s) and {} and {}"
        ).format(_SAID_NOW.format(answered=_answered(view)), spans.of_own(view, "c.ticket"), _readable(view)),
        {"ids": list(ids)},
    )
    return {row[0]: _comment_row(row, NOW) for row in rows}


def _comments(view: View, moment: Moment) -> Listing[CommentRow]:
    past = not moment.live and view.actor.reads_all
    return Listing(
        columns=(_SAID_THEN if past else _SAID_NOW).format(answered=_answered(view)),
        source=sql.SQL(
            "from comment c {} where c.workspace = %(workspace)s and c.ticket in {} and {} and {}"
            " and (%(as_of_position)s::bigint is null or c.position <= %(as_of_position)s)"
            " and (%(as_of_time)s::timestamptz is null or c.created_at <= %(as_of_time)s)"
        ).format(
            _FORMER if past else sql.SQL(""),
            merging.family("parent.id", moment),
            _readable(view),
            spans.of_own(view, "c.ticket"),
        ),
        keys=(("c.created_at", "timestamptz"), ("c.position", "bigint")),
        row=partial(_comment_row, moment=moment),
        arguments={"as_of_position": moment.position, "as_of_time": moment.occurred_at},
    )


_SELECTED = "c.id, c.ticket, c.author, c.visibility, c.created_at, {answered}, c.position"
_SAID_NOW = sql.SQL(f"{_SELECTED}, c.body, c.mentions, c.edited_at, c.withdrawn")
_SAID_THEN = sql.SQL(
    f"{_SELECTED}, case when t.type is null then c.body else coalesce(t.data ->> 'body', '') end,"
    " case when t.type is null then c.mentions"
    "      else array(select jsonb_array_elements_text(t.data -> 'mentions'))::uuid[] end,"
    " case when t.type <> 'CommentAdded' then t.occurred_at end, coalesce(t.type = 'CommentWithdrawn', false)"
)
_FORMER = sql.SQL("""
left join lateral (
  select x.type, x.data, x.occurred_at from timeline x
   where c.said_position > c.position and x.ticket = c.ticket
     and x.type in ('CommentAdded', 'CommentEdited', 'CommentWithdrawn') and x.data ->> 'comment' = c.id::text
     and (%(as_of_position)s::bigint is null or x.position <= %(as_of_position)s)
     and (%(as_of_time)s::timestamptz is null or x.occurred_at <= %(as_of_time)s)
   order by x.version desc limit 1
) t on true
""")
"""What those said then that say something else now."""


def _answered(view: View) -> sql.Composable:
    """What a comment answers may be on a ticket that was merged into a requester's own, and is not theirs."""
    if view.actor.reads_all:
        return sql.SQL("c.in_reply_to")
    return sql.SQL(
        "(select r.id from comment r where r.workspace = %(workspace)s and r.id = c.in_reply_to and"
        " r.visibility = 'PUBLIC' and {})"
    ).format(spans.of_own(view, "r.ticket"))


def _readable(view: View) -> sql.SQL:
    return sql.SQL("true" if view.actor.reads_all else "c.visibility = 'PUBLIC'")


def _comment_row(row: Sequence[Any], moment: Moment) -> CommentRow:
    return CommentRow(
        id=row[0],
        ticket=row[1],
        author=row[2],
        visibility=Visibility(row[3]),
        created_at=row[4],
        in_reply_to=row[5],
        position=row[6],
        body=row[7],
        mentions=row[8],
        edited_at=row[9],
        withdrawn=row[10],
        moment=moment,
    )
