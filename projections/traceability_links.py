"""What follows from a repository's graph and merge requests, from what texts name, and is not linked yet; and what is
linked, and follows no more.

Asked of the read model as a whole, so that nothing depends on what came first: a tracker that was mapped, a ticket that
was imported, a request that was recorded after its commits make up for the links that they should have had.

A scan fills these tables faster than the planner looks at them, so what is asked is written for one that knows nothing:
sets are joined by their hashes, see `View.fetch`, and a row that is looked up by its key stands in a `lateral … offset
0`, which the planner takes as it is.
"""

from collections.abc import Collection
from typing import LiteralString
from uuid import UUID

import msgspec

from domain.traceability.findings import FoundLink, LinkSource
from domain.traceability.references import Mention
from domain.traceability.repositories import ChangeKind
from projections.moments import HAPPENED
from projections.reading import View

LINKS_LIMIT = 20_000
"""Found by one question at most."""

LANDED: LiteralString = """
landed as ( -- by which commit of the main branch a merged request came into it
  select q.id, q.repository, q.number, q.head,
         coalesce(own.sha, merge.sha, inside.by_sha) as by_sha,
         case when own.sha is not null then 'merge commit'
              when merge.sha is not null then 'second parent'
              when inside.sha is not null then 'stacked' end as how
    from merge_request q
    left join introduction own
      on own.workspace = %(workspace)s and own.repository = q.repository and own.by_sha = own.sha
     and own.sha = case when q.merge_commit is null then q.head else q.merge_commit end -- as PLACED
    left join lateral (
      select i.sha from merge_parent p
       cross join lateral (
         select n.sha, n.position from introduction n
          where n.repository = p.repository and n.sha = p.merge and n.by_sha = p.merge offset 0) i
       where p.repository = q.repository and p.parent = q.head order by i.position, i.sha limit 1) merge
      on own.sha is null
    left join lateral (
      select i.sha, i.by_sha from introduction i
       where own.sha is null and merge.sha is null and i.repository = q.repository and i.sha = q.merge_commit offset 0
      ) inside on true
   where q.workspace = %(workspace)s and q.state = 'MERGED' and q.repository = %(repository)s and {which}
)
"""

CAME_BY: LiteralString = (
    LANDED
    + """
, rebased as ( -- commits of a request's own branch that never came into the main one as they are, but as copies
  select l.repository, l.number, copy.sha
    from landed l
   cross join lateral (
      select from code_commit m
       where m.repository = l.repository and m.sha = l.by_sha and cardinality(m.parents) < 2 offset 0) alone
    join lateral (
      with recursive own (sha) as (
        select l.head where l.head is not null
        union
        select p.parent from own o
         cross join lateral (
           select c.parents from code_commit c where c.repository = l.repository and c.sha = o.sha offset 0) c
         cross join lateral unnest(c.parents) p (parent)
         where not exists (select from introduction i where i.repository = l.repository and i.sha = o.sha offset 0)
      )
      select own.sha from own limit 2000
    ) side on true
   cross join lateral (
      select k.sha from code_copy k
       where k.repository = l.repository and k.origin = side.sha
         and exists (select from introduction i where i.repository = k.repository and i.sha = k.sha offset 0) offset 0
      ) copy
   where l.how = 'merge commit'
),
came_by as ( -- which request a commit came by, and how that is known
  select i.repository, i.sha, l.number, 'MERGE' as source, l.how || ' ' || left(l.by_sha, 12) as evidence
    from landed l
    join introduction i on i.workspace = %(workspace)s and i.repository = l.repository and i.by_sha = l.by_sha
   where l.how <> 'stacked'
  union all
  select r.repository, r.sha, r.number, 'COPY', 'rebased' from rebased r
   where not exists (select from landed l join introduction i on i.repository = l.repository and i.by_sha = l.by_sha
                      where l.how <> 'stacked' and i.repository = r.repository and i.sha = r.sha)
)
"""
)

ALL: LiteralString = "true"
"""Merge requests of a repository: `which` of them CAME_BY and LANDED are asked for."""

THEN: LiteralString = """
(%(as_of_position)s::bigint is null or q.merged_position <= %(as_of_position)s)
 and """ + HAPPENED.format("q.merged_at")
"""Those that had been merged at a moment."""

OF_COMMITS: LiteralString = """
q.id = any(array(
  with brought as ( -- commits of the main branch by which these may have come
    select i.by_sha from introduction i where i.repository = %(repository)s and i.sha = any(%(shas)s)
    union
    select later.by_sha
      from code_copy k join introduction i on i.repository = k.repository and i.sha = k.sha
     cross join lateral (
       select n.by_sha from introduction n where n.repository = %(repository)s and n.place >= i.place
          and n.sha = n.by_sha order by n.place limit 250) later
     where k.repository = %(repository)s and k.sha = any(%(shas)s)
  )
  select by_it.id from brought b cross join lateral (
    select m.id from merge_request m where m.repository = %(repository)s and m.merge_commit = b.by_sha
    union all
    select m.id from merge_request m where m.repository = %(repository)s and m.head = b.by_sha
    union all
    select m.id from merge_parent p join merge_request m on m.repository = %(repository)s and m.head = p.parent
     where p.repository = %(repository)s and p.merge = b.by_sha
    offset 0) by_it
))
"""
"""Those by which some commits, `%(shas)s`, may have come: all that CAME_BY needs to know of these."""

_MEANT: LiteralString = """
select replace(t.external_key, '{{number}}', {mention}.number::text)
  from repository r
 cross join lateral json_to_recordset(r.trackers)
   as t (prefix text, external_key text, first integer, last integer, since timestamptz, until timestamptz)
 where r.id = {of} and {prefix}
   and {mention}.number >= t.first and (t.last is null or {mention}.number <= t.last)
   and (t.since is null or {mention}.at >= t.since) and (t.until is null or {mention}.at < t.until)
 limit 1
"""
"""The external key of the ticket that a number means, by the first of its repository's trackers that fits."""
_BY_TEXT: LiteralString = "(m.prefix = t.prefix or m.prefix in (select p || t.prefix from unnest(r.paths) p))"
_BY_PROVIDER: LiteralString = "t.prefix = case r.provider when 'GITLAB' then '!' else '#' end"

_FOUND: LiteralString = f"""
with recursive {CAME_BY.format(which=ALL)},
named as ( -- what texts name, as tickets
  select m.kind, m.change, m.source, m.prefix || m.number as name, s.ticket
    from change_mention m
    join span s on s.workspace = %(workspace)s and s.closed_position is null and s.number = m.number
   where m.workspace = %(workspace)s and m.repository = %(repository)s and m.prefix = 'T-'
  union all
  select m.kind, m.change, m.source, m.prefix || m.number, s.ticket
    from (select m.*, (
            {_MEANT.format(mention="m", prefix=_BY_TEXT, of="m.repository")}) as external_key
            from change_mention m
           where m.workspace = %(workspace)s and m.repository = %(repository)s and m.prefix <> 'T-') m
    join span s on s.workspace = %(workspace)s and s.closed_position is null and s.external_key = m.external_key
),
sourced as (
  select kind, change, ticket,
         case source when 'TRAILER' then 'TRAILER' when 'BRANCH' then 'BRANCH'
              when 'CLOSING' then case kind when 'REQUEST' then 'REQUEST' else 'TEXT' end else 'TEXT' end as source,
         lower(source) || ' ' || name as evidence
    from named
),
requested as ( -- a request whose commits close a ticket does, too; one that a ticket was imported from is that ticket
  select 'REQUEST' as kind, b.number::text as change, n.ticket,
         case n.source when 'TRAILER' then 'TRAILER' else 'REQUEST' end as source,
         lower(n.source) || ' ' || n.name || ' in commit ' || left(b.sha, 12) as evidence
    from came_by b join named n on n.kind = 'COMMIT' and n.change = b.sha and n.source in ('TRAILER', 'CLOSING')
  union all
  select 'REQUEST', q.number::text, s.ticket, 'REQUEST', 'is ' || s.external_key
    from (select q.*, (
            {_MEANT.format(mention="q", prefix=_BY_PROVIDER, of="q.repository")}) as external_key
            from (select q.*, q.opened_at as at from merge_request q
                   where q.workspace = %(workspace)s and q.repository = %(repository)s) q) q
    join span s on s.workspace = %(workspace)s and s.closed_position is null and s.external_key = q.external_key
),
recorded as (
  select l.kind, l.change, l.ticket, l.source, l.evidence, l.verdict from change_link l
   where l.workspace = %(workspace)s and l.repository = %(repository)s and l.closed_position is null
),
said as ( -- what people say of links
  select kind, change, ticket, verdict from recorded where verdict is not null
),
held as ( -- links that hold, recorded or found just now, or both
  select h.kind, h.change, h.ticket from (
    select kind, change, ticket from recorded
     union all
    select kind, change, ticket from sourced
     union all
    select kind, change, ticket from requested) h
   where not exists (select from said s where s.kind = h.kind and s.change = h.change and s.ticket = h.ticket
                        and s.verdict = 'REJECTED')
),
merged as (
  select 'COMMIT' as kind, b.sha as change, h.ticket, b.source,
         'request ' || b.number || ', ' || b.evidence as evidence
    from came_by b
    join (select distinct change, ticket from held where kind = 'REQUEST') h on h.change = b.number::text
),
repeated as ( -- commits that do, or undo, what another did
  select k.sha, k.origin, 'the same change as ' as how from code_copy k
   where k.workspace = %(workspace)s and k.repository = %(repository)s
  union all
  select r.sha, o.origin, o.how from code_commit r
   cross join lateral (values (r.picked, 'picked from '), (r.reverts, 'reverts ')) o (origin, how)
   where r.workspace = %(workspace)s and r.repository = %(repository)s
     and (r.picked is not null or r.reverts is not null)
),
whole as ( -- links of commits that others repeat
  select change, ticket from held where kind = 'COMMIT' and change in (select origin from repeated)
   union
  select m.change, m.ticket from merged m
   where m.change in (select origin from repeated)
     and not exists (select from said s where s.kind = 'COMMIT' and s.change = m.change and s.ticket = m.ticket
                        and s.verdict = 'REJECTED')
),
found as (
  select kind, change, ticket, source, evidence from sourced
  union all
  select kind, change, ticket, source, evidence from requested
  union all
  select kind, change, ticket, source, evidence from merged
  union all
  select 'COMMIT', r.sha, h.ticket, 'COPY', r.how || left(r.origin, 12)
    from repeated r join whole h on h.change = r.origin
)
(select distinct on (f.kind, f.change, f.ticket, f.source) true, f.kind, f.change, f.ticket, f.source, f.evidence
   from found f
  where not exists (
    select from recorded r
     where r.kind = f.kind and r.change = f.change and r.ticket = f.ticket and r.source = f.source)
  order by f.kind, f.change, f.ticket, f.source, f.evidence
  limit 20000)
union all
(select false, kind, change, ticket, source, evidence
   from recorded
  where source <> 'PERSON' and (kind, change, ticket, source) not in (select kind, change, ticket, source from found)
  order by kind, change, ticket, source
  limit 20000)
"""


class Differing(msgspec.Struct, frozen=True, kw_only=True):
    """Between what follows from what is known, and what is recorded: 20,000 of each at once, at most. What depends on
    these in turn (copies of copies) differs when they are recorded. `since`: when a link was taken back last."""

    missing: list[FoundLink]
    stale: list[FoundLink]
    since: int


async def differing_links(view: View, repository: UUID) -> Differing:
    rows = await view.fetch(_FOUND, {"repository": repository}, joins_sets=True)
    [(since,)] = await view.fetch(
        "select coalesce(max(closed_position), 0) from change_link"
        " where workspace = %(workspace)s and repository = %(repository)s and source <> 'PERSON'",
        {"repository": repository},
    )
    links = [
        (
            missing,
            FoundLink(kind=ChangeKind(kind), change=change, ticket=ticket, source=LinkSource(source), evidence=why),
        )
        for missing, kind, change, ticket, source, why in rows
    ]
    return Differing(
        missing=[link for missing, link in links if missing],
        stale=[link for missing, link in links if not missing],
        since=since,
    )


async def requests_of_commits(view: View, repository: UUID) -> list[tuple[str, int]]:
    """Commits of the main branch, and by which merge request each came."""
    rows = await view.fetch(
        f"with recursive {CAME_BY.format(which=ALL)} select sha, number from came_by order by number, sha",
        {"repository": repository},
        joins_sets=True,
    )
    return [(sha, number) for sha, number in rows]


async def stacked_requests(view: View, repository: UUID) -> list[tuple[str, int, int]]:
    """Merge requests that were merged into the branch of another: by which commit, which one, inside which."""
    rows = await view.fetch(
        f"with {LANDED.format(which=ALL)}"
        " select inner_.by_sha, inner_.number, outer_.number from landed inner_"
        "   join landed outer_ on outer_.by_sha = inner_.by_sha and outer_.how <> 'stacked'"
        "  where inner_.how = 'stacked' order by inner_.number",
        {"repository": repository},
    )
    return [(sha, inside, outside) for sha, inside, outside in rows]


async def tickets_named(view: View, repository: UUID, mentions: Collection[Mention]) -> dict[str, UUID]:
    """Which tickets these would name in a message that is written now, by the mention's name."""
    rows = await view.fetch(
        "select m.prefix || m.number, s.ticket from unnest(%(prefixes)s::text[], %(numbers)s::int[]) m (prefix, number)"
        "  join span s on s.workspace = %(workspace)s and s.closed_position is null and s.number = m.number"
        " where m.prefix = 'T-'"
        " union all"
        " select m.prefix || m.number, s.ticket"
        f"   from (select m.*, ({_MEANT.format(mention='m', prefix=_BY_TEXT, of='%(repository)s')}) as external_key"
        "      from (select *, now() as at from unnest(%(prefixes)s::text[], %(numbers)s::int[]) m (prefix, number)) m"
        "     where m.prefix <> 'T-') m"
        "   join span s on s.workspace = %(workspace)s and s.closed_position is null"
        "    and s.external_key = m.external_key",
        {
            "repository": repository,
            "prefixes": [one.prefix for one in mentions],
            "numbers": [one.number for one in mentions],
        },
    )
    return dict(rows)


async def possible_copies(view: View, repository: UUID) -> list[tuple[str, str]]:
    """Commits that may make the same change as an earlier one, and were not compared yet: 20,000 at most."""
    rows = await view.fetch(
        "select t.sha, t.origin from code_twin t"
        "  join code_commit later on later.repository = t.repository and later.sha = t.sha"
        " where t.workspace = %(workspace)s and t.repository = %(repository)s"
        " order by later.position, t.sha, t.origin limit 20000",
        {"repository": repository},
    )
    return [(sha, origin) for sha, origin in rows]
