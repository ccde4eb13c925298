"""Release notes: what a release brings, as tickets; which requests it fulfils; which were promised and are missing."""

from collections.abc import Sequence
from typing import LiteralString
from uuid import UUID

from domain.workflows import StatusCategory
from projections import moments, traceability_releases, traceability_trace
from projections.moments import HAPPENED, HELD
from projections.reading import Moment, View
from projections.rows import ReleaseNotesRow, ReleaseNotesSection, TraceVia
from projections.traceability_changes import EFFECTIVE
from projections.traceability_releases import PLACED

LEAST_CONFIDENCE = 50
"""Of links that count here: what a text merely names does not."""


async def notes(view: View, repository: UUID, tag: str, moment: Moment) -> ReleaseNotesRow:
    """Of a release, or of one that is only promised yet."""
    releases = await traceability_releases.by_tag(view, repository, tag, moment)
    trace = await traceability_trace.of_release(view, repository, tag, moment)
    sure = [step for step in trace.steps if step.from_.change is not None and step.confidence >= LEAST_CONFIDENCE]
    brought = list(dict.fromkeys(step.to.ticket for step in sure if step.to.ticket is not None))
    first = _first_requests(trace, brought)
    promised = await promised_for(view, repository, tag, moment)
    whole = await _whole(view, repository, releases[0].id if releases else None, [*first, *promised], moment)
    return ReleaseNotesRow(
        release=releases[0] if releases else None,
        sections=await _sections(view, brought),
        fulfilled=[one for one in first if one in whole],
        partly=[one for one in first if one not in whole],
        promised=promised,
        missing=[one for one in promised if one not in whole],
        cut=trace.cut,
    )


def _first_requests(trace: traceability_trace.Trace, tickets: Sequence[UUID]) -> list[UUID]:
    """Those that these are a part of, and that are a part of no other."""
    above = {
        step.from_.ticket: step.to.ticket for step in trace.steps if step.via is TraceVia.PARENT and step.from_.ticket
    }
    found: dict[UUID, None] = {}
    for ticket in tickets:
        seen = {ticket}
        while (parent := above.get(ticket)) is not None and parent not in seen:
            seen.add(parent)
            ticket = parent
        found[ticket] = None
    return list(found)


async def promised_for(view: View, repository: UUID, tag: str, moment: Moment) -> list[UUID]:
    """By when they were."""
    rows = await view.fetch(
        "select p.ticket from promise p where p.workspace = %(workspace)s and p.repository = %(repository)s"
        f" and p.tag = %(tag)s and {HELD.format('p')} and {HAPPENED.format('p.promised_at')}"
        " order by p.position, p.ticket",
        {"repository": repository, "tag": tag, **moments.arguments(moment)},
    )
    return [ticket for (ticket,) in rows]


async def _sections(view: View, tickets: Sequence[UUID]) -> list[ReleaseNotesSection]:
    """By role and service, as they are now."""
    rows = await view.fetch(
        "select s.role, s.service, array_agg(s.ticket order by s.number) from span s"
        " where s.workspace = %(workspace)s and s.closed_position is null and s.ticket = any(%(tickets)s)"
        " group by s.role, s.service order by s.role, min(s.number)",
        {"tickets": list(tickets)},
    )
    return [ReleaseNotesSection(role=role, service=service, tickets=found) for role, service, found in rows]


async def _whole(
    view: View, repository: UUID, release: UUID | None, tickets: Sequence[UUID], moment: Moment
) -> frozenset[UUID]:
    """Those of which, and of whose parts, something is released by then and nothing is left; or that are done, and had
    nothing to release."""
    rows = await view.fetch(
        _LEFT,
        {
            "repository": repository,
            "release": release,
            "tickets": list(dict.fromkeys(tickets)),
            "least": LEAST_CONFIDENCE,
            "done": StatusCategory.DONE.value,
            "closed": [one.value for one in StatusCategory if one.closed],
            **moments.arguments(moment),
        },
    )
    return frozenset(ticket for ticket, released, left, done in rows if not left and (released or done))


_LEFT: LiteralString = f"""
with recursive {PLACED},
parts (root, ticket) as (
  select t, t from unnest(%(tickets)s::uuid[]) t
   union
  select p.root, s.ticket from parts p
    join span s on s.workspace = %(workspace)s and s.parent = p.ticket and s.closed_position is null
),
linked as (
  select e.ticket, e.kind, e.repository, e.change from (
    {EFFECTIVE.format(which="l.ticket in (select ticket from parts)")}) e
   where e.confidence >= %(least)s
),
stands as ( -- of what was linked: whether the release has it, or it is still to be released
  select l.ticket, l.kind = 'COMMIT' and (i.place <= p.place or c.sha is not null) as released,
         l.kind = 'COMMIT' and i.sha is not null and (i.place <= p.place or c.sha is not null) is not true
         or q.state = 'OPEN' as waiting
    from linked l
    left join placed p on p.id = %(release)s and l.repository = p.repository
    left join introduction i on l.kind = 'COMMIT' and i.repository = l.repository and i.sha = l.change
    left join release_commit c on c.release = p.id and c.commit_sha = p.commit_sha and c.sha = l.change
    left join merge_request q
      on l.kind = 'REQUEST' and q.repository = l.repository
     and q.number = case l.kind when 'REQUEST' then l.change::integer end
)
select p.root, coalesce(bool_or(s.released), false),
       coalesce(bool_or(s.waiting), false) or bool_or(p.ticket <> p.root and not t.category = any(%(closed)s)),
       bool_or(p.ticket = p.root and t.category = %(done)s)
  from parts p
  join span t on t.workspace = %(workspace)s and t.ticket = p.ticket and t.closed_position is null
  left join stands s on s.ticket = p.ticket
 group by p.root
"""
