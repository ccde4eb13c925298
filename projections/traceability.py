"""Traceability: repositories, the commits and merge requests that are known of them, and links to tickets.

Which request a commit came by is a question to the graph, and answered when it is asked: so a request may be recorded
long after its commits. What follows for tickets is found by `projections/traceability_links.py`, and recorded as links.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Json

from domain.text import ERASED
from domain.traceability.findings import (
    CONFIDENCE,
    ChangesLinked,
    ChangesUnlinked,
    CommitsIntroduced,
    CommitsPushed,
    CommitsRecorded,
    CopiesFound,
    Finding,
    LinesCounted,
    LinkSource,
)
from domain.traceability.links import LinkAdded, LinkConfirmed, LinkEvent, LinkRejected, Verdict
from domain.traceability.references import Mention
from domain.traceability.repositories import (
    ChangeKind,
    MainlineAdvanced,
    Repository,
    RepositoryDefined,
    WebhookSecretRemoved,
    WebhookSecretSet,
)
from domain.traceability.requests import (
    MergeRequest,
    MergeRequestMerged,
    MergeRequestOpened,
    MergeRequestRetitled,
    MergeRequestReviewed,
)
from projections import traceability_lines, traceability_releases
from projections.projection import Change, Projection
from projections.writing import Writes, columns

DDL = """
create table repository (
  workspace       uuid not null,
  id              uuid primary key,
  key             text not null,
  name            text not null,
  provider        text not null,
  url             text,
  paths           text[] not null, -- owner/name, former ones too
  default_branch  text,
  trackers        json not null,
  trailers        text[] not null,
  mainline        text,
  secured         boolean not null -- has a secret for webhooks
);
create table code_commit (
  workspace     uuid not null,
  repository    uuid not null,
  sha           text not null,
  position      bigint not null,
  parents       text[] not null,
  author        text not null,
  email         text not null,
  subject       text not null,
  authored_at   timestamptz not null,
  committed_at  timestamptz not null,
  reverts       text,
  picked        text,
  scanned       boolean not null, -- else a provider told of it, without parents
  primary key (repository, sha)
);
create index code_commit_author on code_commit (repository, email, authored_at);
create table code_twin ( -- commits that may make the same change, not compared yet: one author wrote both at one second
  workspace   uuid not null,
  repository  uuid not null,
  sha         text not null,
  origin      text not null, -- the earlier one
  primary key (repository, sha, origin)
);
create table merge_parent ( -- of merges, all but the first
  workspace   uuid not null,
  repository  uuid not null,
  parent      text not null,
  merge       text not null,
  primary key (repository, parent, merge)
);
create table introduction ( -- by which commit of the main branch a commit became a part of it
  workspace   uuid not null,
  repository  uuid not null,
  sha         text not null,
  by_sha      text not null,
  position    bigint not null,
  place       bigint not null, -- of by_sha in the main branch: what came later has a greater one
  primary key (repository, sha)
);
create table code_copy (
  workspace   uuid not null,
  repository  uuid not null,
  sha         text not null,
  origin      text not null,
  position    bigint not null,
  primary key (repository, sha, origin)
);
create table merge_request (
  workspace     uuid not null,
  id            uuid primary key,
  repository    uuid not null,
  number        integer not null,
  position      bigint not null, -- at which it was opened
  merged_position bigint,
  title         text not null,
  branch        text,
  target        text,
  head          text,
  state         text not null,
  merge_commit  text,
  opened_at     timestamptz not null,
  merged_at     timestamptz,
  closed_at     timestamptz,
  reviews       integer not null
);
create table merge_request_review (
  workspace    uuid not null,
  request      uuid not null,
  version      integer not null,
  position     bigint not null,
  verdict      text not null,
  reviewer     text,
  reviewed_at  timestamptz not null,
  primary key (request, version)
);
create table change_mention (
  workspace   uuid not null,
  repository  uuid not null,
  kind        text not null,
  change      text not null, -- a commit's hash, a request's number
  source      text not null,
  prefix      text not null,
  number      integer not null,
  at          timestamptz not null,
  primary key (repository, kind, change, prefix, number)
);
create table change_link (
  workspace        uuid not null,
  repository       uuid not null,
  kind             text not null,
  change           text not null,
  ticket           uuid not null,
  source           text not null,
  confidence       integer not null,
  evidence         text not null,
  verdict          text,    -- of a person
  linked_by        uuid,    -- the person
  linked_at        timestamptz not null,
  position         bigint not null,
  closed_position  bigint,  -- when the person, or another, thought again
  primary key (repository, kind, change, ticket, source, position)
);
"""

INDEXES = """
create index repository_key on repository (workspace, key);
create index introduction_place on introduction (repository, place);
create index introduction_by on introduction (repository, by_sha);
create index code_commit_sha on code_commit (workspace, sha text_pattern_ops);
create index code_commit_repeats on code_commit (repository, sha) where picked is not null or reverts is not null;
create index merge_parent_merge on merge_parent (repository, merge);
create index code_copy_origin on code_copy (repository, origin);
create index merge_request_number on merge_request (repository, number);
create index merge_request_commit on merge_request (repository, merge_commit) where merge_commit is not null;
create index merge_request_head on merge_request (repository, head) where head is not null;
create index change_mention_prefix on change_mention (workspace, prefix, number);
create index change_link_ticket on change_link (workspace, ticket);
"""


# ---- the fold


def fold(write: Writes, changes: Sequence[Change]) -> None:
    last: dict[UUID, Change] = {}
    opened: dict[UUID, int] = {}
    merged: dict[UUID, int] = {}
    for change in changes:
        match change.envelope.event:
            case CommitsRecorded() | CommitsPushed() as event:
                _commits(write, change, event)
            case CommitsIntroduced() as event:
                _introductions(write, change, event)
            case CopiesFound() as event:
                _copies(write, change, event)
            case ChangesLinked() as event:
                _links(write, change, event)
            case ChangesUnlinked() as event:
                _unlinked(write, change, event)
            case LinkAdded() | LinkConfirmed() | LinkRejected() as event:
                _verdict(write, change, event)
            case MergeRequestReviewed() as event:
                _review(write, change, event)
            case MergeRequestOpened() | MergeRequestRetitled() as event:
                _mentioned(write, change, event.mentions)
                opened.setdefault(change.envelope.originator_id, change.envelope.position)
            case MergeRequestMerged():
                merged.setdefault(change.envelope.originator_id, change.envelope.position)
            case LinesCounted() as event:
                traceability_lines.fold(write, change, event)
            case _:
                traceability_releases.fold(write, change)
        if isinstance(change.after, MergeRequest) or isinstance(change.envelope.event, _SHOWN):
            last[change.envelope.originator_id] = change
    for change in last.values():
        match change.after:
            case Repository():
                _repository(write, change, change.after)
            case MergeRequest():
                id_ = change.envelope.originator_id
                _request(write, change, change.after, (opened.get(id_, 0), merged.get(id_)))
            case _:
                pass


_SHOWN = RepositoryDefined | MainlineAdvanced | WebhookSecretSet | WebhookSecretRemoved
"""What changes the row of a repository."""


def _of(change: Change, event: Finding) -> tuple[UUID, UUID]:
    """Workspace and repository."""
    return change.envelope.workspace, event.repository


def _commits(write: Writes, change: Change, event: CommitsRecorded | CommitsPushed) -> None:
    workspace, repository = _of(change, event)
    texts = event.texts if isinstance(event.texts, dict) else {}
    rows: list[dict[str, Any]] = []
    for commit in event.commits:
        author, email, subject = texts.get(commit.sha, (ERASED, ERASED, ERASED))
        rows.append(
            {
                "workspace": workspace,
                "repository": repository,
                "sha": commit.sha,
                "position": change.envelope.position,
                "parents": commit.parents,
                "author": author,
                "email": email,
                "subject": subject,
                "authored_at": commit.authored_at,
                "committed_at": commit.committed_at,
                "reverts": commit.reverts,
                "picked": commit.picked,
                "scanned": isinstance(event, CommitsRecorded),
            }
        )
    write.execute(_COMMITS, (msgspec.json.encode(rows).decode(),))
    write.execute(_TWINS, (repository, [one.sha for one in event.commits]))
    parents = [(workspace, repository, parent, one.sha) for one in event.commits for parent in one.parents[1:]]
    if parents:
        write.execute(_PARENTS, columns(parents))
    mentions = [
        (workspace, repository, ChangeKind.COMMIT.value, one.sha, *_mention(mention), one.committed_at)
        for one in event.commits
        for mention in one.mentions
    ]
    if mentions:
        write.execute(_MENTIONS, columns(mentions))


_COMMITS = """
insert into code_commit select * from json_populate_recordset(null::code_commit, %s::text::json)
on conflict (repository, sha) do update set position = excluded.position, parents = excluded.parents,
  author = excluded.author, email = excluded.email, subject = excluded.subject,
  authored_at = excluded.authored_at, committed_at = excluded.committed_at, scanned = true
  where excluded.scanned and not code_commit.scanned
"""
_TWINS = """
insert into code_twin (workspace, repository, sha, origin)
select new.workspace, new.repository,
       case when (other.committed_at, other.sha) < (new.committed_at, new.sha) then new.sha else other.sha end,
       case when (other.committed_at, other.sha) < (new.committed_at, new.sha) then other.sha else new.sha end
  from code_commit new
  join code_commit other on other.repository = new.repository and other.email = new.email
   and other.authored_at = new.authored_at and other.sha <> new.sha and cardinality(other.parents) < 2
 where new.repository = %s and new.sha = any(%s) and cardinality(new.parents) < 2
on conflict do nothing
"""
_PARENTS = """
insert into merge_parent (workspace, repository, parent, merge)
select * from unnest(%s::uuid[], %s::uuid[], %s::text[], %s::text[]) on conflict do nothing
"""
_MENTIONS = """
insert into change_mention (workspace, repository, kind, change, source, prefix, number, at)
select * from unnest(%s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::int[],
                     %s::timestamptz[])
on conflict do nothing
"""
_COMPARED = """
delete from code_twin
 where repository = %s and (sha, origin) in (select * from unnest(%s::text[], %s::text[]))
"""
_COPIES = """
insert into code_copy (workspace, repository, sha, origin, position)
select * from unnest(%s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::bigint[]) on conflict do nothing
"""


def _mention(mention: Mention) -> tuple[str, str, int]:
    return mention.source.value, mention.prefix, mention.number


def _copies(write: Writes, change: Change, event: CopiesFound) -> None:
    of, position = _of(change, event), change.envelope.position
    if event.copies:
        write.execute(_COPIES, columns([(*of, one.sha, one.origin, position) for one in event.copies]))
    compared = [*event.copies, *event.different]
    write.execute(_COMPARED, (event.repository, [one.sha for one in compared], [one.origin for one in compared]))


def _introductions(write: Writes, change: Change, event: CommitsIntroduced) -> None:
    workspace, repository = _of(change, event)
    position = change.envelope.position
    if event.anew:
        write.execute("delete from introduction where repository = %s and position < %s", (repository, position))
    rows = [
        (workspace, repository, sha, one.by, position, position * PLACES + n)
        for n, one in enumerate(event.introduced)
        for sha in (one.by, *one.commits)
    ]
    write.execute(_INTRODUCTIONS, columns(rows))


PLACES = 10_000
"""More than one event introduces."""

_INTRODUCTIONS = """
insert into introduction (workspace, repository, sha, by_sha, position, place)
select * from unnest(%s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::bigint[], %s::bigint[]) on conflict do nothing
"""


def _links(write: Writes, change: Change, event: ChangesLinked) -> None:
    workspace, repository = _of(change, event)
    envelope = change.envelope
    rows = [
        (
            *(workspace, repository, one.kind.value, one.change, one.ticket, one.source.value),
            *(CONFIDENCE[one.source], one.evidence, None, None, envelope.occurred_at, envelope.position),
        )
        for one in event.links
    ]
    write.execute(_LINKS, columns(rows))


def _unlinked(write: Writes, change: Change, event: ChangesUnlinked) -> None:
    position = change.envelope.position
    rows = [
        (event.repository, one.kind.value, one.change, one.ticket, one.source.value, position) for one in event.links
    ]
    write.execute(_UNLINKS, columns(rows))


_UNLINKS = """
update change_link l set closed_position = u.position
  from unnest(%s::uuid[], %s::text[], %s::text[], %s::uuid[], %s::text[], %s::bigint[])
    as u (repository, kind, change, ticket, source, position)
 where l.repository = u.repository and l.kind = u.kind and l.change = u.change and l.ticket = u.ticket
   and l.source = u.source and l.closed_position is null and l.position < u.position
"""


def _verdict(write: Writes, change: Change, event: LinkEvent) -> None:
    envelope = change.envelope
    pair = (event.repository, event.kind.value, event.change, event.ticket)
    write.execute(
        "update change_link set closed_position = %s where repository = %s and kind = %s and change = %s"
        " and ticket = %s and source = 'PERSON' and closed_position is null",
        (envelope.position, *pair),
    )
    verdict = {LinkAdded: Verdict.ADDED, LinkConfirmed: Verdict.CONFIRMED, LinkRejected: Verdict.REJECTED}[type(event)]
    source, person = LinkSource.PERSON, envelope.cause.on_behalf_of or envelope.cause.actor
    row = (
        *(envelope.workspace, *pair, source.value, CONFIDENCE[source]),
        *("said by a person", verdict.value, person, envelope.occurred_at, envelope.position),
    )
    write.execute(_LINKS, columns([row]))


_LINKS = """
insert into change_link (workspace, repository, kind, change, ticket, source, confidence, evidence, verdict, linked_by,
                         linked_at, position)
select * from unnest(%s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::uuid[], %s::text[], %s::int[], %s::text[],
                     %s::text[], %s::uuid[], %s::timestamptz[], %s::bigint[])
on conflict do nothing
"""


def _mentioned(write: Writes, change: Change, mentions: Sequence[Mention]) -> None:
    """What a request names now."""
    request = change.after
    assert isinstance(request, MergeRequest)
    of = (request.repository, ChangeKind.REQUEST.value, str(request.number))
    write.execute("delete from change_mention where repository = %s and kind = %s and change = %s", of)
    rows = [(change.envelope.workspace, *of, *_mention(one), request.opened_at) for one in mentions]
    if rows:
        write.execute(_MENTIONS, columns(rows))


def _review(write: Writes, change: Change, event: MergeRequestReviewed) -> None:
    envelope = change.envelope
    write.insert(
        "merge_request_review",
        [
            {
                "workspace": envelope.workspace,
                "request": envelope.originator_id,
                "version": envelope.originator_version,
                "position": envelope.position,
                "verdict": event.verdict.value,
                "reviewer": event.reviewer,
                "reviewed_at": event.reviewed_at,
            }
        ],
    )


def _repository(write: Writes, change: Change, state: Repository) -> None:
    write.execute(
        "insert into repository (workspace, id, key, name, provider, url, paths, default_branch, trackers, trailers,"
        " mainline, secured) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict (id) do update set"
        " name = excluded.name, provider = excluded.provider, url = excluded.url, paths = excluded.paths,"
        " default_branch = excluded.default_branch, trackers = excluded.trackers, trailers = excluded.trailers,"
        " mainline = excluded.mainline, secured = excluded.secured",
        (
            *(change.envelope.workspace, change.envelope.originator_id),
            *(state.key, state.name, state.provider.value, state.url, list(state.paths), state.default_branch),
            *(Json(state.trackers, dumps=msgspec.json.encode), list(state.trailers), state.mainline),
            state.secret is not None,
        ),
    )


def _request(write: Writes, change: Change, state: MergeRequest, positions: tuple[int, int | None]) -> None:
    """`positions`: at which it was opened and merged, if it was in this batch."""
    envelope = change.envelope
    write.execute(
        "insert into merge_request (workspace, id, repository, number, position, merged_position, title, branch,"
        " target, head, state, merge_commit, opened_at, merged_at, closed_at, reviews)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict (id) do update set"
        " merged_position = coalesce(merge_request.merged_position, excluded.merged_position),"
        " title = excluded.title, branch = excluded.branch, target = excluded.target, head = excluded.head,"
        " state = excluded.state, merge_commit = excluded.merge_commit, merged_at = excluded.merged_at,"
        " closed_at = excluded.closed_at, reviews = excluded.reviews",
        (
            *(envelope.workspace, envelope.originator_id, state.repository, state.number, *positions),
            *(state.title, state.branch, state.target, state.head, state.state.value, state.merge_commit),
            *(state.opened_at, state.merged_at, state.closed_at, state.reviews),
        ),
    )


PROJECTION = Projection(
    name="traceability",
    tables=(
        "repository",
        "code_commit",
        "code_twin",
        "merge_parent",
        "introduction",
        "code_copy",
        "merge_request",
        "merge_request_review",
        *traceability_releases.TABLES,
        *traceability_lines.TABLES,
        "change_mention",
        "change_link",
    ),
    ddl=DDL + traceability_releases.DDL + traceability_lines.DDL,
    indexes=INDEXES + traceability_releases.INDEXES,
    fold=fold,
    personal={
        "code_commit": ("author", "email", "subject"),
        "merge_request": ("title", "branch"),
        "merge_request_review": ("reviewer",),
        "release": ("title",),
    },
)
