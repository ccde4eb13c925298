"""Releases and deployments of repositories, what was promised of them, and what was built: a part of `traceability`."""

from collections.abc import Sequence
from typing import Any, LiteralString
from uuid import UUID

from domain.traceability.artifacts import ArtifactBuilt
from domain.traceability.releases import (
    Deployment,
    DeploymentFinished,
    Promise,
    PromiseWithdrawn,
    Release,
    ReleaseFollowed,
    ReleaseMoved,
    ReleasePublished,
    TicketsPromised,
)
from projections import moments
from projections.moments import HAPPENED, HELD
from projections.projection import Change
from projections.reading import NOW, Moment, View
from projections.rows import ArtifactRow, ReleaseRow, TraceEnvironmentRow
from projections.writing import Writes, columns

TABLES = ("release", "release_commit", "deployment", "promise", "artifact")

DDL: LiteralString = """
create table release (
  workspace        uuid not null,
  id               uuid not null,
  repository       uuid not null,
  position         bigint not null,
  closed_position  bigint, -- null: it stands there now
  tag              text not null,
  commit_sha       text,
  base             text,   -- the last commit of the main branch's own line that it has, as far as that is known
  title            text,
  published_at     timestamptz not null,
  primary key (id, position)
);
create table release_commit ( -- what releases have beside the main branch
  workspace   uuid not null,
  repository  uuid not null,
  release     uuid not null,
  commit_sha  text not null, -- at which it stands then
  sha         text not null,
  primary key (release, commit_sha, sha)
);
create table deployment (
  workspace        uuid not null,
  id               uuid not null,
  repository       uuid not null,
  position         bigint not null,
  closed_position  bigint, -- null: that is how it ended
  number           text not null,
  environment      text not null,
  commit_sha       text not null,
  outcome          text not null,
  finished_at      timestamptz not null,
  primary key (id, position)
);
create table promise (
  workspace        uuid not null,
  repository       uuid not null,
  tag              text not null,
  ticket           uuid not null,
  position         bigint not null,
  closed_position  bigint, -- when it was withdrawn
  promised_at      timestamptz not null,
  primary key (repository, tag, ticket, position)
);
create table artifact (
  workspace   uuid not null,
  repository  uuid not null,
  digest      text not null,
  commit_sha  text not null,
  position    bigint not null,
  name        text not null,
  builder     text,
  signatures  integer not null,
  built_at    timestamptz not null,
  primary key (repository, digest, commit_sha)
);
"""
INDEXES: LiteralString = """
create index release_of_repository on release (repository, published_at);
create index deployment_of_repository on deployment (repository, finished_at);
create index release_commit_sha on release_commit (repository, sha);
create index deployment_commit on deployment (repository, commit_sha);
create index promise_ticket on promise (workspace, ticket);
create index artifact_digest on artifact (workspace, digest);
create index artifact_commit on artifact (repository, commit_sha);
"""


def fold(write: Writes, change: Change) -> None:
    match change.envelope.event:
        case ReleasePublished() | ReleaseMoved():
            _release(write, change)
        case ReleaseFollowed() as event:
            _followed(write, change, event)
        case DeploymentFinished():
            _deployment(write, change)
        case TicketsPromised() | PromiseWithdrawn() as event:
            _promise(write, change, event)
        case ArtifactBuilt() as event:
            _artifact(write, change, event)
        case _:
            pass


def _release(write: Writes, change: Change) -> None:
    """As it stands from now on."""
    envelope, state = change.envelope, change.after
    assert isinstance(state, Release)
    _close(write, "update release set closed_position = %s where id = %s and closed_position is null", change)
    write.insert(
        "release",
        [
            {
                "workspace": envelope.workspace,
                "id": envelope.originator_id,
                "repository": state.repository,
                "position": envelope.position,
                "tag": state.tag,
                "commit_sha": state.commit,
                "title": state.title,
                "published_at": state.published_at,
            }
        ],
    )


def _close(write: Writes, statement: LiteralString, change: Change) -> None:
    write.execute(statement, (change.envelope.position, change.envelope.originator_id))


def _followed(write: Writes, change: Change, event: ReleaseFollowed) -> None:
    envelope, state = change.envelope, change.after
    assert isinstance(state, Release)
    of = (envelope.originator_id, event.commit)
    write.execute("update release set base = %s where id = %s and commit_sha = %s", (event.base, *of))
    write.execute("delete from release_commit where release = %s and commit_sha = %s", of)
    rows = [(envelope.workspace, state.repository, *of, sha) for sha in event.commits]
    if rows:
        write.execute(_BESIDE, columns(rows))


_BESIDE = """
insert into release_commit (workspace, repository, release, commit_sha, sha)
select * from unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::text[], %s::text[]) on conflict do nothing
"""


def _deployment(write: Writes, change: Change) -> None:
    envelope, state = change.envelope, change.after
    assert isinstance(state, Deployment)
    _close(write, "update deployment set closed_position = %s where id = %s and closed_position is null", change)
    write.insert(
        "deployment",
        [
            {
                "workspace": envelope.workspace,
                "id": envelope.originator_id,
                "repository": state.repository,
                "position": envelope.position,
                "number": state.number,
                "environment": state.environment,
                "commit_sha": state.commit,
                "outcome": state.outcome.value,
                "finished_at": state.finished_at,
            }
        ],
    )


def _promise(write: Writes, change: Change, event: TicketsPromised | PromiseWithdrawn) -> None:
    envelope, state = change.envelope, change.after
    assert isinstance(state, Promise)
    of = (state.repository, state.tag)
    if isinstance(event, PromiseWithdrawn):
        write.execute(
            "update promise set closed_position = %s"
            " where repository = %s and tag = %s and ticket = any(%s) and closed_position is null",
            (envelope.position, *of, list(event.tickets)),
        )
        return
    rows = [(envelope.workspace, *of, one, envelope.position, envelope.occurred_at) for one in event.tickets]
    write.execute(_PROMISES, columns(rows))


_PROMISES = """
insert into promise (workspace, repository, tag, ticket, position, promised_at)
select * from unnest(%s::uuid[], %s::uuid[], %s::text[], %s::uuid[], %s::bigint[], %s::timestamptz[])
on conflict do nothing
"""


def _artifact(write: Writes, change: Change, event: ArtifactBuilt) -> None:
    write.insert(
        "artifact",
        [
            {
                "workspace": change.envelope.workspace,
                "repository": event.repository,
                "digest": event.digest,
                "commit_sha": event.commit,
                "position": change.envelope.position,
                "name": event.name,
                "builder": event.builder,
                "signatures": event.signatures,
                "built_at": event.built_at,
            }
        ],
    )


# ---- queries

PLACED: LiteralString = f"""
placed as ( -- releases of a repository; `place`: up to which they have the main branch
  select r.id, r.repository, r.tag, r.commit_sha, r.title, r.published_at, coalesce(i.place, -1) as place,
         r.base is distinct from r.commit_sha and r.base is not null as beside
    from release r
    left join introduction i -- by CASE: under row-level security COALESCE passes for leaky, and gets no index
      on i.repository = r.repository and i.sha = case when r.base is null then r.commit_sha else r.base end
   where r.workspace = %(workspace)s and r.repository = %(repository)s
     and {HELD.format("r")} and {HAPPENED.format("r.published_at")}
)
"""
DEPLOYED: LiteralString = f"""
deployed as ( -- deployments of a repository, however they ended; `place`: up to which they have the main branch
  select d.*, coalesce(i.place, (
           select max(j.place) from release x join introduction j on j.repository = x.repository and j.sha = x.base
            where x.repository = d.repository and x.commit_sha = d.commit_sha)) as place
    from deployment d
    left join introduction i on i.repository = d.repository and i.sha = d.commit_sha
   where d.workspace = %(workspace)s and d.repository = %(repository)s
     and {HELD.format("d")} and {HAPPENED.format("d.finished_at")}
)
"""


async def by_tag(view: View, repository: UUID, tag: str, moment: Moment) -> list[ReleaseRow]:
    """One, or none."""
    return await _releases(view, repository, "p.tag = %(tag)s", {"tag": tag}, moment)


async def _releases(
    view: View, repository: UUID, which: LiteralString, arguments: dict[str, Any], moment: Moment
) -> list[ReleaseRow]:
    """With the environments to which a commit that has it was deployed, and that went well."""
    rows = await view.fetch(
        f"with {PLACED}, {DEPLOYED}"
        " select p.id, p.repository, p.tag, p.commit_sha, p.title, p.published_at,"
        " coalesce((select array_agg(distinct d.environment order by d.environment) from deployed d"
        "  where d.outcome = 'SUCCEEDED' and (d.commit_sha = p.commit_sha or not p.beside and d.place >= p.place"
        "    or exists (select from release_commit c where c.repository = d.repository and c.sha = p.commit_sha"
        "                and c.commit_sha = d.commit_sha))), '{}')"
        f" from placed p where {which} order by p.published_at, p.tag",
        {"repository": repository, **arguments, **moments.arguments(moment)},
    )
    names = ("id", "repository", "tag", "commit", "title", "published_at", "environments")
    return [ReleaseRow(**dict(zip(names, row, strict=True))) for row in rows]


def brought(release: ReleaseRow, most: int, moment: Moment) -> tuple[LiteralString, dict[str, Any]]:
    """A query for the commits that this release is the first to have, and its arguments."""
    given = {"repository": release.repository, "release": release.id, "most": most}
    return _BROUGHT, {**given, **moments.arguments(moment)}


_BROUGHT: LiteralString = f"""
with {PLACED},
this as materialized ( -- worked out once, not for each commit
  select p.*, coalesce((
           select max(e.place) from placed e
            where e.place < p.place or p.beside and e.place = p.place and e.id <> p.id
             and (e.published_at, e.tag) < (p.published_at, p.tag)), -1) as before
    from placed p where p.id = %(release)s
)
select i.repository, 'COMMIT', i.sha, now()
  from this t join introduction i on i.repository = t.repository and i.place > t.before and i.place <= t.place
 where not exists ( -- what an earlier release had beside the main branch, which it came to later
   select from release_commit c join placed e on e.id = c.release and e.commit_sha = c.commit_sha
    where c.repository = t.repository and c.sha = i.sha and e.id <> t.id and e.published_at < t.published_at)
union
select c.repository, 'COMMIT', c.sha, now()
  from this t join release_commit c on c.release = t.id and c.commit_sha = t.commit_sha
 where not exists (
   select from release_commit o join placed e on e.id = o.release and e.commit_sha = o.commit_sha
    where o.repository = t.repository and o.sha = c.sha and e.id <> t.id
      and (e.published_at, e.tag) < (t.published_at, t.tag))
   and not exists (
   select from introduction i join placed e on e.place >= i.place and e.id <> t.id
    where i.repository = t.repository and i.sha = c.sha and e.published_at < t.published_at)
 limit %(most)s
"""


async def first_with(view: View, repository: UUID, shas: Sequence[str], moment: Moment) -> list[tuple[str, ReleaseRow]]:
    """Of each of these commits that is released: the first release that has it."""
    rows = await view.fetch(_FIRST, {"repository": repository, "shas": list(shas), **moments.arguments(moment)})
    ids = list({row[1] for row in rows})
    known = {row.id: row for row in await _releases(view, repository, "p.id = any(%(ids)s)", {"ids": ids}, moment)}
    return [(sha, known[release]) for sha, release in rows]


_FIRST: LiteralString = f"""
with {PLACED}
select s.sha, coalesce(beside.id, first.id)
  from unnest(%(shas)s::text[]) s (sha)
  left join introduction i on i.repository = %(repository)s and i.sha = s.sha
  left join lateral (
    select p.id from release_commit c join placed p on p.id = c.release and p.commit_sha = c.commit_sha
     where c.repository = %(repository)s and c.sha = s.sha order by p.published_at, p.tag limit 1) beside on true
  left join lateral (
    select p.id from placed p where p.place >= i.place order by p.place, p.published_at, p.id limit 1) first
    on beside.id is null
 where coalesce(beside.id, first.id) is not null
 order by i.place, s.sha
"""


async def running(view: View, repository: UUID, shas: Sequence[str], moment: Moment) -> list[TraceEnvironmentRow]:
    """Where these commits run, by the environment."""
    rows = await view.fetch(_RUNNING, {"repository": repository, "shas": list(shas), **moments.arguments(moment)})
    names = TraceEnvironmentRow.__struct_fields__
    return [TraceEnvironmentRow(**dict(zip(names, row, strict=True))) for row in rows]


_RUNNING: LiteralString = f"""
with {DEPLOYED},
mine as (
  select min(i.place) as first, max(i.place) as last from introduction i
   where i.repository = %(repository)s and i.sha = any(%(shas)s)
),
carrying as (
  select d.environment, d.finished_at, d.place >= m.first or c.count > 0 as has_one,
         coalesce(d.place >= m.last, false) or c.count = cardinality(%(shas)s::text[]) as whole
    from deployed d cross join mine m
   cross join lateral (
     select count(distinct c.sha) from release_commit c
      where c.repository = d.repository and c.commit_sha = d.commit_sha and c.sha = any(%(shas)s)) c
   where d.outcome = 'SUCCEEDED'
)
select %(repository)s::uuid, environment, min(finished_at), min(finished_at) filter (where whole), max(finished_at)
  from carrying where has_one group by environment order by environment
"""


async def artifacts(view: View, which: LiteralString, arguments: dict[str, Any]) -> list[ArtifactRow]:
    """`which`: of artifacts `a`, with its arguments and those of a moment."""
    rows = await view.fetch(
        "select a.repository, a.digest, a.commit_sha, a.name, a.builder, a.signatures, a.built_at from artifact a"
        f" where a.workspace = %(workspace)s and {which}"
        " and (%(as_of_position)s::bigint is null or a.position <= %(as_of_position)s)"
        f" and {HAPPENED.format('a.built_at')}"
        " order by a.built_at, a.digest, a.commit_sha limit 100",
        arguments,
    )
    return [ArtifactRow(**dict(zip(ArtifactRow.__struct_fields__, row, strict=True))) for row in rows]


async def artifacts_after(view: View, repository: UUID, position: int) -> list[ArtifactRow]:
    """What was built of the commit of which a provenance that was recorded by then told last."""
    last = (
        "select commit_sha from artifact where repository = a.repository and position <= %(position)s"
        " order by position desc limit 1"
    )
    given = {"repository": repository, "position": position, **moments.arguments(NOW)}
    return await artifacts(view, f"a.repository = %(repository)s and a.commit_sha = ({last})", given)
