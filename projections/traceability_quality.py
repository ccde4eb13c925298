"""What a quality team asks of a repository, month by month: changes that lack something, and how delivery went."""

from collections.abc import Sequence
from enum import StrEnum
from typing import LiteralString
from uuid import UUID

from psycopg import sql

from projections import moments
from projections.filters import PageAsk
from projections.reading import NOW, Listing, Page, View, count, page
from projections.rows import CodeChangeRow, DeliveryMonthRow, GapMonthRow, LineOriginsRow
from projections.traceability_changes import CHANGE_COLUMNS, DETAILS, NOT_REJECTED, code_change
from projections.traceability_links import ALL, CAME_BY
from projections.traceability_releases import DEPLOYED, PLACED

NOW_ARGUMENTS = moments.arguments(NOW)


class ChangeGap(StrEnum):
    """What a commit of the main branch, other than a merge, lacks."""

    NO_TICKET = "NO_TICKET"
    NO_RELEASE = "NO_RELEASE"
    NO_REVIEW = "NO_REVIEW"
    """It is released, and no merge request that was approved has brought it."""


_HAS_TICKET: LiteralString = f"""
exists (select from change_link l
         where l.repository = i.repository and l.kind = 'COMMIT' and l.change = i.sha and l.closed_position is null
         group by l.ticket having {NOT_REJECTED})
"""
_IS_RELEASED: LiteralString = """
(i.place <= (select max(p.place) from placed p) or exists (
  select from release_commit c join placed p on p.id = c.release and p.commit_sha = c.commit_sha
   where c.repository = i.repository and c.sha = i.sha)) is true
"""
_COMMITS: LiteralString = """
  from introduction i
  join code_commit own on own.repository = i.repository and own.sha = i.sha and cardinality(own.parents) < 2
 where i.workspace = %(workspace)s and i.repository = %(repository)s
"""
_IS_REVIEWED: LiteralString = "exists (select from reviewed v where v.sha = i.sha)"
_LACKS: dict[ChangeGap, LiteralString] = {
    ChangeGap.NO_TICKET: f"not {_HAS_TICKET}",
    ChangeGap.NO_RELEASE: f"not {_IS_RELEASED}",
    ChangeGap.NO_REVIEW: f"{_IS_RELEASED} and not {_IS_REVIEWED}",
}
_REVIEWED: LiteralString = f"""
with recursive {CAME_BY.format(which=ALL)},
reviewed as (
  select distinct b.sha from came_by b
    join merge_request q on q.repository = b.repository and q.number = b.number
    join merge_request_review v on v.request = q.id and v.verdict = 'APPROVED'
),
{PLACED}
"""
_KNOWN: dict[ChangeGap, LiteralString] = {
    ChangeGap.NO_TICKET: "",
    ChangeGap.NO_RELEASE: f"with {PLACED}",
    ChangeGap.NO_REVIEW: _REVIEWED,
}
_MONTH: LiteralString = "to_char(own.committed_at at time zone 'UTC', 'YYYY-MM')"
_AT: LiteralString = "coalesce(c.committed_at, q.opened_at, e.at)"


async def gaps(view: View, repository: UUID, gap: ChangeGap, month: str | None, ask: PageAsk) -> Page[CodeChangeRow]:
    """Oldest first; `month`, as 2026-03 in UTC: of that one alone. Raises BadInput."""
    return await page(view, _gaps(repository, gap, month), ask)


async def gap_count(view: View, repository: UUID, gap: ChangeGap, month: str | None) -> int:
    return await count(view, _gaps(repository, gap, month))


def _gaps(repository: UUID, gap: ChangeGap, month: str | None) -> Listing[CodeChangeRow]:
    return Listing(
        columns=sql.SQL(CHANGE_COLUMNS.format(at=_AT)),
        source=sql.SQL(
            f"from ({_KNOWN[gap]} select i.repository, 'COMMIT', i.sha, own.committed_at {_COMMITS} and {_LACKS[gap]}"
            f"        and (%(month)s::text is null or {_MONTH} = %(month)s))"
            f" e (repository, kind, change, at) {DETAILS} where true"
        ),
        keys=((_AT, "timestamptz"), ("e.change", "text")),
        row=code_change,
        arguments={"repository": repository, "month": month, **NOW_ARGUMENTS},
    )


async def gap_months(view: View, repository: UUID) -> list[GapMonthRow]:
    """Each month (UTC) in which something was committed, oldest first."""
    rows = await view.fetch(_GAP_MONTHS, {"repository": repository, **NOW_ARGUMENTS})
    return [GapMonthRow(**dict(zip(GapMonthRow.__struct_fields__, row, strict=True))) for row in rows]


_GAP_MONTHS: LiteralString = f"""
{_REVIEWED},
commits as (
  select {_MONTH} as month, {_HAS_TICKET} as traced, {_IS_RELEASED} as released, {_IS_REVIEWED} as reviewed {_COMMITS}
)
select month, count(*), count(*) filter (where not traced), count(*) filter (where not released),
       count(*) filter (where released and not reviewed)
  from commits group by month order by month
"""


async def line_origins(view: View, repository: UUID) -> LineOriginsRow | None:
    """How many lines at the head reach a ticket, as they were counted last; None: they were not yet."""
    rows = await view.fetch(_LINES, {"repository": repository})
    return LineOriginsRow(**dict(zip(LineOriginsRow.__struct_fields__, rows[0], strict=True))) if rows else None


_LINES: LiteralString = f"""
select c.head, c.counted_at, c.files, c.skipped, coalesce(sum(i.lines), 0)::bigint,
       coalesce(sum(i.lines) filter (where {_HAS_TICKET}), 0)::bigint
  from line_counted c
  left join line_count i on i.repository = c.repository
 where c.workspace = %(workspace)s and c.repository = %(repository)s
 group by c.head, c.counted_at, c.files, c.skipped
"""


async def months(view: View, repository: UUID, environment: str) -> list[DeliveryMonthRow]:
    """Each month (UTC) in which something was committed or deployed, oldest first.

    A commit counts in the month in which it was written; a deployment to the environment in that in which it ended."""
    rows = await view.fetch(_MONTHS, {"repository": repository, "environment": environment, **NOW_ARGUMENTS})
    return [_month(row) for row in rows]


def _month(row: Sequence[object]) -> DeliveryMonthRow:
    return DeliveryMonthRow(**dict(zip(DeliveryMonthRow.__struct_fields__, row, strict=True)))  # type: ignore[arg-type]


_MONTHS: LiteralString = f"""
with commits as (
  select {_MONTH} as month, i.sha, own.committed_at, i.place, {_HAS_TICKET} as traced
  {_COMMITS}
),
{DEPLOYED},
there as (
  select d.*, to_char(d.finished_at at time zone 'UTC', 'YYYY-MM') as month
    from deployed d where d.environment = %(environment)s
),
running as ( -- when each commit first ran there
  select c.month, extract(epoch from min(d.finished_at) - c.committed_at) as seconds
    from commits c join there d on d.outcome = 'SUCCEEDED' and d.place >= c.place
   group by c.month, c.sha, c.committed_at
),
restored as ( -- how long after a deployment that failed the next one went well
  select f.month, extract(epoch from min(d.finished_at) - f.finished_at) as seconds
    from there f join there d on d.outcome = 'SUCCEEDED' and d.finished_at > f.finished_at
   where f.outcome = 'FAILED' group by f.month, f.id, f.finished_at
)
select m.month,
       (select count(*) from commits c where c.month = m.month),
       (select count(*) from commits c where c.month = m.month and c.traced),
       (select count(*) from there d where d.month = m.month),
       (select count(*) from there d where d.month = m.month and d.outcome = 'FAILED'),
       (select percentile_cont(0.5) within group (order by r.seconds)::bigint from running r where r.month = m.month),
       (select percentile_cont(0.5) within group (order by r.seconds)::bigint from restored r where r.month = m.month)
  from (select month from commits union select month from there) m
 order by m.month
"""
