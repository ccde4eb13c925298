"""The timeline: every event of every stream, with what it changed, for histories, feeds and as-of by recorded time."""

from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, cast
from uuid import UUID

import msgspec
from psycopg import sql

from application.event_store.envelope import SENT_WITH, DomainEvent, State
from application.event_store.event_types import NAMES
from domain import comments
from domain.clients import Client
from domain.contracts import Binding, Contract
from domain.documents import Document
from domain.people import Person
from domain.services import Service
from domain.statements import Numbers
from domain.teams import Team
from domain.text import same_value
from domain.ticket_state import Attachment, Estimate
from domain.tickets import (
    CommentAdded,
    CommentEdited,
    CommentEvent,
    CommentWithdrawn,
    DocumentFiled,
    EstimateEvent,
    EstimateGiven,
    EstimateQuestionAnswered,
    EstimateQuestionAsked,
    FileAttached,
    FileDetached,
    LinkEvent,
    MergeEvent,
    Ticket,
    TicketLinked,
    TicketMerged,
    TicketTransferred,
    TicketUnmerged,
    TicketUnwatched,
    TicketWatched,
    Visibility,
)
from domain.traceability.artifacts import Artifact
from domain.traceability.findings import (
    Batch,
    ChangesLinked,
    ChangesUnlinked,
    CommitsIntroduced,
    CommitsPushed,
    CommitsRecorded,
    CopiesFound,
    LinesCounted,
)
from domain.traceability.links import Link
from domain.traceability.releases import Deployment, Promise, Release, ReleaseFollowed
from domain.traceability.repositories import Repository, WebhookSecretSet
from domain.traceability.requests import MergeRequest
from domain.views import View as SavedView
from domain.webhooks import WebhookEvent, Webhooks
from domain.wip_limits import Ledger
from domain.work import Timer, WorkEntry
from domain.workflows import Workflows
from projections import conditions
from projections.filters import EventFilter, PageAsk
from projections.projection import Change, Projection
from projections.reading import NOW, Listing, Moment, Page, View, count, counts_of, page, pages_of
from projections.rows import ChangeRow, EventRow
from projections.writing import Writes

DDL = """
create table timeline (
  workspace       uuid not null,
  position        bigint primary key,
  stream          uuid not null,
  version         integer not null,
  type            text not null,
  ticket          uuid,            -- null: an event of another kind of stream
  about           uuid,            -- the ticket that an event of another kind of stream is about
  internal        boolean not null, -- not for requesters
  occurred_at     timestamptz not null,
  recorded_at     timestamptz not null,
  recorded_max    timestamptz not null, -- the latest at which it or any before it was recorded
  actor           uuid not null,
  on_behalf_of    uuid,
  channel         text not null,
  source          text,
  reason          text,
  command_id      uuid not null,
  correlation_id  uuid not null,
  causation_id    uuid,
  changes         jsonb not null,
  data            jsonb not null
);
"""

INDEXES = """
create index timeline_workspace on timeline (workspace, position);
create index timeline_ticket on timeline (ticket, version) where ticket is not null;
create index timeline_about on timeline (about, position) where about is not null;
create index timeline_role on timeline (ticket, position) where type in ('TicketOpened', 'RoleChanged');
create index timeline_actor on timeline (workspace, actor, position);
create index timeline_recorded on timeline (workspace, recorded_max, position);
create index timeline_occurred on timeline (workspace, occurred_at);
create index timeline_limits on timeline (workspace, version) where type in ('WipLimitSet', 'WipLimitRemoved');
"""

TICKET_PATHS: tuple[tuple[str, str], ...] = (
    ("title", "title"),
    ("description", "description"),
    ("role", "role"),
    ("workflow", "workflow"),
    ("status", "status"),
    ("assignee", "assignee"),
    ("contributors", "contributors"),
    ("watchers", "watchers"),
    ("team", "team"),
    ("priority", "priority"),
    ("service", "service"),
    ("requester", "requester"),
    ("channel", "channel"),
    ("parent", "parent"),
    ("tags", "tags"),
    ("fields", "fields"),
    ("startAt", "start_at"),
    ("dueAt", "due_at"),
    ("closedAt", "closed_at"),
    ("rank", "ranked"),
    ("externalKey", "external_key"),
)
"""What counts as a change: the path that the API shows, the attribute of the domain's state."""


def _paths(*pairs: tuple[str, str]) -> tuple[tuple[str, ...], Callable[[State], tuple[Any, ...]]]:
    values = attrgetter(*(attribute for _, attribute in pairs))
    return tuple(path for path, _ in pairs), values if len(pairs) > 1 else lambda state: (values(state),)


_PATHS = {
    Ledger: _paths(("cards", "cards")),
    SavedView: _paths(
        ("name", "name"),
        ("definition", "definition"),
        ("person", "person"),
        ("team", "team"),
        ("deleted", "deleted"),
        ("favourites", "favourites"),
    ),
    Ticket: _paths(*TICKET_PATHS),
    Batch: _paths(("repository", "repository")),
    Artifact: _paths(("digest", "digest"), ("commits", "commits")),
    Promise: _paths(("tag", "tag"), ("tickets", "tickets")),
    Repository: _paths(
        ("key", "key"),
        ("name", "name"),
        ("provider", "provider"),
        ("url", "url"),
        ("defaultBranch", "default_branch"),
        ("trackers", "trackers"),
        ("trailers", "trailers"),
        ("mainline", "mainline"),
    ),
    MergeRequest: _paths(
        ("title", "title"),
        ("branch", "branch"),
        ("target", "target"),
        ("head", "head"),
        ("state", "state"),
        ("mergeCommit", "merge_commit"),
        ("reviews", "reviews"),
    ),
    Release: _paths(("tag", "tag"), ("commit", "commit"), ("title", "title")),
    Deployment: _paths(("environment", "environment"), ("commit", "commit"), ("outcome", "outcome")),
    Link: _paths(("verdict", "verdict"), ("kind", "kind"), ("change", "change"), ("ticket", "ticket")),
    Webhooks: _paths(("webhooks", "endpoints")),
    Person: _paths(("name", "name"), ("kind", "kind"), ("email", "email"), ("active", "active")),
    Team: _paths(("key", "key"), ("name", "name"), ("members", "members")),
    Service: _paths(("key", "key"), ("name", "name"), ("active", "active")),
    Timer: _paths(("person", "person"), ("ticket", "ticket"), ("startedAt", "started_at"), ("comment", "comment")),
    Client: _paths(
        ("name", "name"),
        ("language", "language"),
        ("currency", "currency"),
        ("timeZone", "time_zone"),
        ("contacts", "contacts"),
    ),
    Contract: _paths(
        ("client", "client"),
        ("name", "name"),
        ("versions", "versions"),
        ("hourPackages", "grants"),
        ("lastDay", "last_day"),
        ("closed", "closed"),
    ),
    Numbers: _paths(("last", "last")),
    Document: _paths(
        ("issued", "issued"), ("payments", "payments"), ("signedOn", "signed_on"), ("cancelled", "cancelled")
    ),
    Binding: _paths(("ticket", "ticket"), ("contract", "now")),
    WorkEntry: _paths(
        ("ticket", "ticket"),
        ("person", "person"),
        ("startedAt", "started_at"),
        ("endedAt", "ended_at"),
        ("interruption", "interruption"),
        ("seconds", "seconds"),
        ("comment", "comment"),
        ("billable", "billable"),
        ("contract", "contract"),
        ("flags", "flags"),
        ("reversed", "reversed"),
    ),
    Workflows: _paths(
        ("roles", "roles"),
        ("workflows", "versions"),
        ("mapped", "mapped"),
        ("fields", "fields"),
        ("strictFields", "strict_fields"),
        ("wipLimits", "wip_limits"),
        ("retiredRoles", "retired_roles"),
        ("retiredWorkflows", "retired_workflows"),
        ("retiredFields", "retired_fields"),
    ),
}


def changes_of(change: Change) -> list[ChangeRow]:
    """What the event changed. A comment is a change too: it appears under its id; a link under its kind."""
    before, after = change.before, change.after
    event = change.envelope.event
    if isinstance(event, CommentEvent):  # what it said before is read with the event
        body = None if isinstance(event, CommentWithdrawn) else event.body
        return [ChangeRow(path=f"comments.{event.comment}", to=body)]
    if isinstance(event, FileAttached):
        return [ChangeRow(path=f"attachments.{event.attachment}", to=event.name)]
    if isinstance(event, FileDetached):
        return [ChangeRow(path=f"attachments.{event.attachment}", from_=_detached(change).name)]
    if isinstance(event, TicketMerged):
        return [ChangeRow(path="mergedInto", to=event.into)]
    if isinstance(event, TicketUnmerged):
        return [ChangeRow(path="mergedInto", from_=event.out_of)]
    if isinstance(event, TicketTransferred):
        return [] if event.note is None else [ChangeRow(path="note", to=event.note)]
    if isinstance(event, DocumentFiled):
        return [ChangeRow(path="document", to=event.document)]
    if isinstance(event, EstimateEvent):
        return [_estimate_change(change, event)]
    if isinstance(event, LinkEvent):
        path = f"links.{event.kind}"
        linked = isinstance(event, TicketLinked)
        return [ChangeRow(path=path, to=event.other) if linked else ChangeRow(path=path, from_=event.other)]
    rows: list[ChangeRow] = []
    paths, values_of = _PATHS[type(after)]
    olds: tuple[Any, ...] = values_of(before) if before is not None else (None,) * len(paths)
    news: tuple[Any, ...] = values_of(after)
    for path, old, new in zip(paths, olds, news, strict=True):
        if old is new or (before is None and not new and new is not False):
            continue
        if isinstance(new, dict):
            rows += _by_key(path, old or {}, cast("dict[str, Any]", new))
        elif old == new:
            continue
        elif isinstance(new, frozenset):  # sorted, so that a rebuild writes the same
            rows.append(ChangeRow(path=path, from_=sorted(old or ()), to=sorted(cast("frozenset[UUID]", new))))
        else:
            rows.append(ChangeRow(path=path, from_=old, to=new))
    return rows


def _estimate_change(change: Change, event: EstimateEvent) -> ChangeRow:
    """What was said, or what it came to."""
    if isinstance(event, EstimateQuestionAsked):
        return ChangeRow(path="estimate.question", to=event.text)
    if isinstance(event, EstimateQuestionAnswered):
        return ChangeRow(path="estimate.answer", to=event.text)
    before, after = (_estimate(state, event.estimate) for state in (change.before, change.after))
    if isinstance(event, EstimateGiven):
        return ChangeRow(path="estimate.offer", from_=before and before.offer, to=event.offer)
    return ChangeRow(path="estimate.state", from_=before and before.state, to=after and after.state)


def _estimate(state: State | None, id_: UUID) -> Estimate | None:
    return next((one for one in state.estimates if one.id == id_), None) if isinstance(state, Ticket) else None


def _detached(change: Change) -> Attachment:
    """What the event detached."""
    before, event = change.before, change.envelope.event
    assert isinstance(before, Ticket)
    assert isinstance(event, FileDetached)
    return next(one for one in before.attachments if one.id == event.attachment)


def _is_internal(change: Change) -> bool:
    """Not for requesters."""
    event = change.envelope.event
    if isinstance(event, CommentAdded | FileAttached):
        return event.visibility is Visibility.INTERNAL
    if isinstance(event, FileDetached):
        return _detached(change).visibility is Visibility.INTERNAL
    if isinstance(event, TicketTransferred | MergeEvent):
        return True  # with a note for colleagues
    if isinstance(event, DocumentFiled):
        return True  # who asked for the ticket need not speak for the client: `Ticket.documents` knows
    if isinstance(event, CommentEdited | CommentWithdrawn):
        assert isinstance(change.after, Ticket)
        return comments.there(change.after, event.comment).visibility is Visibility.INTERNAL
    return isinstance(event, TicketWatched | TicketUnwatched | LinkEvent)


def _by_key(path: str, old: dict[str, Any], new: dict[str, Any]) -> list[ChangeRow]:
    return [
        ChangeRow(path=f"{path}.{key}", from_=old.get(key), to=new.get(key))
        for key in {**old, **new}
        if not same_value(old.get(key), new.get(key))
    ]


def fold(write: Writes, changes: Sequence[Change]) -> None:
    write.insert("timeline", [_row(change) for change in changes])


_Event = msgspec.defstruct(
    "_Event",
    [
        "workspace",
        "position",
        "stream",
        "version",
        "type",
        "ticket",
        "about",
        "internal",
        "occurred_at",
        "recorded_at",
        "recorded_max",
        "actor",
        "on_behalf_of",
        "channel",
        "source",
        "reason",
        "command_id",
        "correlation_id",
        "causation_id",
        "changes",
        "data",
    ],
)
"""A row of the table; by position, which costs half of what names cost."""


def _row(change: Change) -> Any:
    envelope, event = change.envelope, change.envelope.event
    cause = envelope.cause
    return _Event(
        envelope.workspace,
        envelope.position,
        envelope.originator_id,
        envelope.originator_version,
        NAMES[type(event)].name,
        envelope.originator_id if isinstance(change.after, Ticket) else None,
        _about(change),
        _is_internal(change),
        envelope.occurred_at,
        envelope.recorded_at,
        change.recorded_max,
        cause.actor,
        cause.on_behalf_of,
        cause.channel,
        cause.source,
        cause.reason,
        cause.command_id,
        cause.correlation_id,
        cause.causation_id,
        changes_of(change),
        _data(event),
    )


def _about(change: Change) -> UUID | None:
    for state in (change.after, change.before):  # a timer that was stopped is about what it ran for
        if isinstance(state, WorkEntry | Timer | Binding | Link) and state.ticket is not None:
            return state.ticket
    return None


def _data(event: DomainEvent) -> Any:
    """Of what a scan found, hundreds at once, only how many: they are shown where they belong. Of a secret nothing."""
    match event:
        case CommitsRecorded(commits=found):
            return {"commits": len(found), "first": found[0].sha, "last": found[-1].sha}
        case LinesCounted(head=head, lines=found, files=files, skipped=skipped):
            return {"head": head, "lines": sum(found.values()), "files": files, "skipped": skipped}
        case ReleaseFollowed(commit=head, base=base, commits=found):
            return {"commit": head, "base": base, "beside": len(found)}
        case CommitsPushed(commits=found):
            return {"commits": len(found), "first": found[0].sha, "last": found[-1].sha}
        case WebhookSecretSet():
            return {}
        case CommitsIntroduced(introduced=found):
            return {"mainline": len(found), "first": found[0].by, "last": found[-1].by}
        case CopiesFound(copies=found):
            return {"copies": len(found)}
        case ChangesLinked(links=found) | ChangesUnlinked(links=found):
            return {"links": len(found)}
        case _:
            return event


PROJECTION = Projection(
    name="timeline",
    tables=("timeline",),
    ddl=DDL,
    indexes=INDEXES,
    fold=fold,
    personal={"timeline": ("source", "reason", "changes", "data")},
)
READ_MODELS = ("timeline", "spans", "tickets", "directory", "privacy")
"""What an event is told with to who reads the log: of whom its ticket is, its number, what of it was taken back, what
its words mean, and whether who reads it is noted."""


# ---- queries

_SELECTED = sql.SQL(
    "x.position, x.stream, x.version, x.type, x.ticket, x.occurred_at, x.recorded_at, x.actor, x.on_behalf_of,"
    " x.channel, {source}, {reason}, x.command_id, x.correlation_id, x.causation_id, {changes}, {data}, {former},"
    " x.about"
)


_FORMER_TEXT = sql.SQL(
    "case when x.type in ('CommentEdited', 'CommentWithdrawn') then ("
    " select p.data ->> 'body' from timeline p"
    "  where p.ticket = x.ticket and p.version < x.version and p.type in ('CommentAdded', 'CommentEdited')"
    "    and p.data ->> 'comment' = x.data ->> 'comment'"
    "  order by p.version desc limit 1) end"
)

_FOR_ADMINISTRATION = _SELECTED.format(
    source=sql.SQL("x.source"),
    reason=sql.SQL("x.reason"),
    changes=sql.SQL("x.changes"),
    data=sql.SQL("x.data"),
    former=_FORMER_TEXT,
)
_SOURCE = sql.SQL("case when not starts_with(x.source, {}) then x.source end").format(sql.Literal(SENT_WITH))
"""Where a colleague sat is for auditors and administrators."""

COLUMNS = _SELECTED.format(
    source=_SOURCE,
    reason=sql.SQL("x.reason"),
    changes=sql.SQL("x.changes"),
    data=sql.SQL("x.data"),
    former=_FORMER_TEXT,
)
"""What `event_row` reads, for those who see every ticket."""


_TAKEN_BACK = sql.SQL(
    "case when x.type in ('CommentAdded', 'CommentEdited') then exists (select from comment c"
    " where c.id = (x.data ->> 'comment')::uuid and c.said_position > x.position) else false end"
)
_FOR_REQUESTERS = _SELECTED.format(
    source=_SOURCE,
    reason=sql.SQL("case when x.actor = %(viewer)s then x.reason end"),
    changes=sql.SQL(
        "case when {} then (select jsonb_agg(one - 'to') from jsonb_array_elements(x.changes) one)"
        " else jsonb_path_query_array(x.changes, '$[*] ? (@.path != \"parent\")') end"
    ).format(_TAKEN_BACK),
    data=sql.SQL("x.data - 'parent' - 'in_reply_to' - case when {} then 'body' else '' end").format(_TAKEN_BACK),
    former=sql.SQL("null"),
)
"""Reasons are written for colleagues: a requester reads their own alone. Of what a ticket is a part is not theirs, and
what somebody said and took back is not theirs any more. What a comment answers may be on a ticket that is not theirs:
`Comment.inReplyTo` knows."""

PUBLIC_COLUMNS = _FOR_REQUESTERS

FOR_ADMINISTRATORS: tuple[str, ...] = tuple(sorted(NAMES[cls].name for cls in WebhookEvent.__args__))
"""How the workspace is connected to other systems: their addresses often are half of a key."""


def _selected(view: View) -> sql.Composed:
    if view.actor.administers:
        return _FOR_ADMINISTRATION
    return COLUMNS if view.actor.reads_all else _FOR_REQUESTERS


def event_row(row: Sequence[Any], moment: Moment = NOW) -> EventRow:
    changes, former = msgspec.convert(row[15], list[ChangeRow]), row[17]
    if former is not None:
        changes = [msgspec.structs.replace(change, from_=former) for change in changes]
    return EventRow(
        position=row[0],
        stream=row[1],
        version=row[2],
        type=row[3],
        ticket=row[4],
        about=row[18],
        occurred_at=row[5],
        recorded_at=row[6],
        actor=row[7],
        on_behalf_of=row[8],
        channel=row[9],
        source=row[10],
        reason=row[11],
        command_id=row[12],
        correlation_id=row[13],
        causation_id=row[14],
        changes=changes,
        data=row[16],
        moment=moment,
    )


def _visible(view: View) -> sql.Composable:
    """A requester sees what is public in their own tickets."""
    if view.actor.administers:
        return sql.SQL("x.workspace = %(workspace)s")
    if view.actor.reads_all:
        return sql.SQL("x.workspace = %(workspace)s and x.type <> all({})").format(
            sql.Literal(list(FOR_ADMINISTRATORS))
        )
    return sql.SQL(
        "x.workspace = %(workspace)s and not x.internal and x.ticket in (select s.ticket from span s"
        " where s.workspace = %(workspace)s and s.closed_position is null and s.requester = %(viewer)s)"
    )


async def history(
    view: View,
    tickets: Sequence[UUID],
    types: Sequence[str] | None,
    after_position: int | None,
    ask: PageAsk,
    moment: Moment,
) -> dict[UUID, Page[EventRow]]:
    """The events of each of these tickets, oldest first. Raises BadInput."""
    return await pages_of(view, tickets, _history(view, types, after_position, moment), ask)


async def history_counts(
    view: View, tickets: Sequence[UUID], types: Sequence[str] | None, after_position: int | None, moment: Moment
) -> dict[UUID, int]:
    return await counts_of(view, tickets, _history(view, types, after_position, moment))


def _history(view: View, types: Sequence[str] | None, after_position: int | None, moment: Moment) -> Listing[EventRow]:
    condition = sql.SQL(
        "{} and x.ticket = parent.id and (%(types)s::text[] is null or x.type = any(%(types)s))"
        " and (%(after_position)s::bigint is null or x.position > %(after_position)s)"
        " and (%(as_of_position)s::bigint is null or x.position <= %(as_of_position)s)"
        " and (%(as_of_time)s::timestamptz is null or x.occurred_at <= %(as_of_time)s)"
    ).format(_visible(view))
    return _events(
        view,
        condition,
        {
            "types": None if types is None else list(types),
            "after_position": after_position,
            "as_of_position": moment.position,
            "as_of_time": moment.occurred_at,
        },
        moment,
    )


async def events(view: View, filter: EventFilter, ask: PageAsk) -> Page[EventRow]:
    """The events of a workspace in order of position. Raises BadInput."""
    return await page(view, _events(view, *_feed(view, filter)), ask)


async def event_count(view: View, filter: EventFilter) -> int:
    return await count(view, _events(view, *_feed(view, filter)))


def _events(
    view: View, condition: sql.Composable, arguments: dict[str, Any], moment: Moment = NOW
) -> Listing[EventRow]:
    return Listing(
        columns=_selected(view),
        source=sql.SQL("from timeline x where {}").format(condition),
        keys=(("x.position", "bigint"),),
        row=partial(event_row, moment=moment),
        arguments=arguments,
    )


def _feed(view: View, filter_: EventFilter) -> tuple[sql.Composable, dict[str, Any]]:
    wanted = conditions.Conditions()
    parts: list[sql.Composable] = [_visible(view)]
    add: Callable[[sql.Composable], None] = parts.append
    if filter_.after_position is not None:
        add(wanted.compare(sql.SQL("x.position"), ">", filter_.after_position))
    if filter_.types is not None:
        add(sql.SQL("x.type = any({})").format(wanted.argument(filter_.types)))
    if filter_.ticket is not None:
        add(wanted.compare(sql.SQL("x.ticket"), "=", filter_.ticket))
    if filter_.actor is not None:
        add(wanted.compare(sql.SQL("x.actor"), "=", filter_.actor))
    if isinstance(filter_.occurred_at, msgspec.Struct):
        add(conditions.times(wanted, sql.SQL("x.occurred_at"), filter_.occurred_at))
    return sql.SQL(" and ").join(parts), wanted.arguments


async def found(view: View, condition: sql.Composable, arguments: dict[str, Any], ask: PageAsk) -> Page[EventRow]:
    """Events that the viewer may see, by a condition on the timeline `x`, oldest first. Raises BadInput."""
    return await page(view, _found(view, condition, arguments), ask)


async def found_count(view: View, condition: sql.Composable, arguments: dict[str, Any]) -> int:
    return await count(view, _found(view, condition, arguments))


def _found(view: View, condition: sql.Composable, arguments: dict[str, Any]) -> Listing[EventRow]:
    return _events(view, sql.SQL("{} and {}").format(_visible(view), condition), arguments)


async def after(view: View, position: int, limit: int) -> list[tuple[EventRow, int | None]]:
    """The events after a position that the viewer may see, in order, each with the number of its ticket: up to where
    all read models know of them, else whoever goes on after one would not be told what was not known yet."""
    rows = await view.fetch(
        sql.SQL(
            "select k.number, {} from timeline x left join ticket k on k.id = x.ticket"
            " where {} and x.position > %(after)s"
            " and x.position <= (select min(position) from tracking where name = any(%(read_models)s))"
            " order by x.position limit %(limit)s"
        ).format(_selected(view), _visible(view)),
        {"after": position, "limit": limit, "read_models": list(READ_MODELS)},
    )
    return [(event_row(event), number) for number, *event in rows]


async def between(view: View, ticket: UUID, since: Moment, until: Moment, ask: PageAsk) -> Page[EventRow]:
    """The events of a ticket that make what it is at a moment of what it was at an earlier one. Raises BadInput."""
    return await found(view, _BETWEEN, _ends(ticket, since, until), ask)


async def between_count(view: View, ticket: UUID, since: Moment, until: Moment) -> int:
    return await found_count(view, _BETWEEN, _ends(ticket, since, until))


def _ends(ticket: UUID, since: Moment, until: Moment) -> dict[str, Any]:
    return {
        "ticket": ticket,
        "since_position": since.position,
        "since_time": since.occurred_at,
        "until_position": until.position,
        "until_time": until.occurred_at,
    }


_BETWEEN = sql.SQL(
    "x.ticket = %(ticket)s"
    " and (%(until_position)s::bigint is null or x.position <= %(until_position)s)"
    " and (%(until_time)s::timestamptz is null or x.occurred_at <= %(until_time)s)"
    " and (x.position > %(since_position)s::bigint or x.occurred_at > %(since_time)s::timestamptz)"
)


async def by_positions(view: View, positions: Sequence[int], moment: Moment = NOW) -> dict[int, EventRow]:
    rows = await view.fetch(
        sql.SQL("select {} from timeline x where {} and x.position = any(%(positions)s)").format(
            _selected(view), _visible(view)
        ),
        {"positions": list(positions)},
    )
    found = [event_row(row, moment) for row in rows]
    return {row.position: row for row in found}
