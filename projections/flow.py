"""Cumulative flow: how many tickets of a process stood in which status, at each of a row of instants."""

from collections import defaultdict
from datetime import datetime, timedelta

from psycopg import sql

from projections import spans
from projections.reading import BadInput, View
from projections.rows import FlowCountRow, FlowPointRow

MOST_POINTS = 400

# A ticket enters a status at the first instant that is not before its span, and leaves it at the first that is not
# before the span's end: by their numbers, each span counts once, however many instants it covers.
_MOVES = sql.SQL("""
select m.status, max(m.version), m.n, sum(m.change)
  from (
    select s.status, s.workflow_version as version, e.change,
           greatest(0, ceil(extract(epoch from e.at - %(since)s::timestamptz) / %(step)s::numeric))::int as n
      from span s
     cross join lateral (values (s.occurred_from, 1), (s.occurred_to, -1)) e (at, change)
     where s.workspace = %(workspace)s and s.workflow = %(process)s and e.at is not null
       and e.at <= %(until)s::timestamptz and {own}) m
 group by m.status, m.n
having sum(m.change) <> 0
""")


async def cumulative_flow(
    view: View, process: str, since: datetime, until: datetime, step: timedelta
) -> list[FlowPointRow]:
    """At `since`, and every step after it up to `until`; without statuses in which nobody stands. Raises BadInput."""
    if until < since:
        raise BadInput("from is to be before to.")
    points = (until - since) // step + 1
    if points > MOST_POINTS:
        raise BadInput(f"That makes {points} points; at most {MOST_POINTS}. Take a longer step.")
    rows = await view.fetch(
        _MOVES.format(own=spans.of_own(view, "s.ticket")),
        {"process": process, "since": since, "until": until, "step": step.total_seconds()},
    )
    moves: defaultdict[int, list[tuple[str, int]]] = defaultdict(list)
    versions: dict[str, int] = {}
    for status, version, n, change in rows:
        moves[n].append((status, int(change)))
        versions[status] = max(version, versions.get(status, 0))
    standing: defaultdict[str, int] = defaultdict(int)
    found: list[FlowPointRow] = []
    for n in range(points):
        for status, change in moves[n]:
            standing[status] += change
        counts = [
            FlowCountRow(workflow=process, workflow_version=versions[status], status=status, count=count)
            for status, count in sorted(standing.items())
            if count
        ]
        found.append(FlowPointRow(at=since + n * step, counts=counts))
    return found
