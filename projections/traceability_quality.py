"""What a quality team asks of a repository: changes that lack something, and how delivery went, month by month."""

from collections.abc import Sequence
from enum import StrEnum
from typing import LiteralString
from uuid import UUID

from psycopg import sql

from projections.filters import PageAsk
from projections.reading import Listing, Page, View, count, page
from projections.rows import CodeChangeRow, DeliveryMonthRow
from projections.traceability_changes import CHANGE_COLUMNS, DETAILS, code_change
from projections.traceability_links import ALL, CAME_BY


class ChangeGap(StrEnum):
    """What a commit of the main branch, other than a merge, lacks."""

    NO_TICKET = "NO_TICKET"
    NO_RELEASE = "NO_RELEASE"
    NO_REVIEW = "NO_REVIEW"
    """It is released, and no merge request that was approved has brought it."""


_HAS_TICKET: LiteralString = """
exists (select from change_link l
         where l.repository = i.repository and l.kind = 'COMMIT' and l.change = i.sha and l.closed_position is null
         group by l.ticket having bool_and(l.verdict is distinct from 'REJECTED'))
"""
_IS_RELEASED: LiteralString = """
i.place <= (select max(head.place) from release r
              join introduction head on head.repository = r.repository and head.sha = r.commit_sha
             where r.repository = %(repository)s)
"""
_COMMITS: LiteralString = """
  from introduction i
  join code_commit own on own.repository = i.repository and own.sha = i.sha and cardinality(own.parents) < 2
 where i.workspace = %(workspace)s and i.repository = %(repository)s
"""
_LACKS: dict[ChangeGap, LiteralString] = {
    ChangeGap.NO_TICKET: f"not {_HAS_TICKET}",
    ChangeGap.NO_RELEASE: f"({_IS_RELEASED}) is not true",
    ChangeGap.NO_REVIEW: (
        f"{_IS_RELEASED} and not exists (select from reviewed v where v.sha = i.sha and v.verdict = 'APPROVED')"
    ),
}
_REVIEWED: LiteralString = f"""
with recursive {CAME_BY.format(which=ALL)},
reviewed as (
  select b.sha, v.verdict from came_by b
    join merge_request q on q.repository = b.repository and q.number = b.number
    join merge_request_review v on v.request = q.id
)
"""
_AT: LiteralString = "coalesce(c.committed_at, q.opened_at, e.at)"


async def gaps(view: View, repository: UUID, gap: ChangeGap, ask: PageAsk) -> Page[CodeChangeRow]:
    """Oldest first. Raises BadInput."""
    return await page(view, _gaps(repository, gap), ask)


async def gap_count(view: View, repository: UUID, gap: ChangeGap) -> int:
    return await count(view, _gaps(repository, gap))


def _gaps(repository: UUID, gap: ChangeGap) -> Listing[CodeChangeRow]:
    known: LiteralString = _REVIEWED if gap is ChangeGap.NO_REVIEW else ""
    return Listing(
        columns=sql.SQL(CHANGE_COLUMNS.format(at=_AT)),
        source=sql.SQL(
            f"from ({known} select i.repository, 'COMMIT', i.sha, own.committed_at {_COMMITS} and {_LACKS[gap]})"
            f" e (repository, kind, change, at) {DETAILS} where true"
        ),
        keys=((_AT, "timestamptz"), ("e.change", "text")),
        row=code_change,
        arguments={"repository": repository},
    )


async def months(view: View, repository: UUID, environment: str) -> list[DeliveryMonthRow]:
    """Each month (UTC) in which something was committed or deployed, oldest first.

    A commit counts in the month in which it was written; a deployment to the environment in that in which it ended."""
    rows = await view.fetch(_MONTHS, {"repository": repository, "environment": environment})
    return [_month(row) for row in rows]


def _month(row: Sequence[object]) -> DeliveryMonthRow:
    return DeliveryMonthRow(**dict(zip(DeliveryMonthRow.__struct_fields__, row, strict=True)))  # type: ignore[arg-type]


_MONTHS: LiteralString = f"""
with commits as (
  select to_char(own.committed_at at time zone 'UTC', 'YYYY-MM') as month, i.sha, own.committed_at, i.place,
         {_HAS_TICKET} as traced
  {_COMMITS}
),
deployed as (
  select d.*, there.place, to_char(d.finished_at at time zone 'UTC', 'YYYY-MM') as month
    from deployment d left join introduction there on there.repository = d.repository and there.sha = d.commit_sha
   where d.workspace = %(workspace)s and d.repository = %(repository)s and d.environment = %(environment)s
),
running as ( -- when each commit first ran there
  select c.month, extract(epoch from min(d.finished_at) - c.committed_at) as seconds
    from commits c join deployed d on d.outcome = 'SUCCEEDED' and d.place >= c.place
   group by c.month, c.sha, c.committed_at
),
restored as ( -- how long after a deployment that failed the next one went well
  select f.month, extract(epoch from min(d.finished_at) - f.finished_at) as seconds
    from deployed f join deployed d on d.outcome = 'SUCCEEDED' and d.finished_at > f.finished_at
   where f.outcome = 'FAILED' group by f.month, f.id, f.finished_at
)
select m.month,
       (select count(*) from commits c where c.month = m.month),
       (select count(*) from commits c where c.month = m.month and c.traced),
       (select count(*) from deployed d where d.month = m.month),
       (select count(*) from deployed d where d.month = m.month and d.outcome = 'FAILED'),
       (select percentile_cont(0.5) within group (order by r.seconds)::bigint from running r where r.month = m.month),
       (select percentile_cont(0.5) within group (order by r.seconds)::bigint from restored r where r.month = m.month)
  from (select month from commits union select month from deployed) m
 order by m.month
"""
