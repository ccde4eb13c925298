"""What a long history costs a board: 1,000,000 tickets, of which 10,000 are not closed, beside those 10,000 alone; and
what a board of the past takes that has 25,000.

The rows of the read model are made by SQL in the shape that its fold writes, since a million tickets by commands would
take an hour; the boards are asked of `proteus serve` as everywhere.
"""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial

from application.event_store.database import Database, Role
from application.handling import now
from bench.boards import PLAIN, ask, board
from bench.company import STATUSES, Furnished, furnish
from bench.figures import Figure, in_turns
from bench.lab import Lab, drop_indexes
from bench.waiting import wait_until_read
from projections import spans

TICKETS, OPEN = 1_000_000, 10_000
YEAR = 25_000
"""As many as UCI's incident log has."""
YEAR_WITHIN_MS = 100
DAYS = 900
"""How long ago the first was opened. Those that are closed were so for ten days on average, the last a month ago."""


def long_history(lab: Lab) -> Iterator[Figure]:
    still_open = lab.size.of(OPEN, 20)
    with lab.database() as large, lab.database() as small:
        company = lab.said("long history: a million tickets", lambda: _fill(large, lab.size.of(TICKETS), still_open))
        few = _fill(small, still_open, still_open)
        with lab.server(large) as long, lab.server(small) as short:
            wait_until_read(large)
            wait_until_read(small)
            live = partial(ask, lab, long, "/graphql", company, board(PLAIN), '"board":')
            past = partial(ask, lab, long, "/graphql", company, board(PLAIN, _past()), '"board":')
            alone = partial(ask, lab, short, "/graphql", few, board(PLAIN), '"board":')
            now_, of_old, beside = in_turns(
                lab.size.rounds, lambda: live(1).p50, lambda: past(1).p50, lambda: alone(1).p50
            )
    for what, value, limit in (("now", now_, 1.5), ("as of a past instant", of_old, 3.0)):
        yield Figure(
            name=f"board {what}, {TICKETS:,} tickets of which {OPEN:,} are open, p50",
            unit="ms",
            value=value,
            peer_name=f"board now, those {OPEN:,} alone",
            peer=beside,
            limit=limit,
        )
    yield _of_a_year(lab)


def _of_a_year(lab: Lab) -> Figure:
    """A board of the past by itself."""
    with lab.database() as database:
        company = lab.said("long history: a year's tickets", lambda: _fill(database, lab.size.of(YEAR), 0))
        with lab.server(database) as server:
            wait_until_read(database)
            shown = partial(ask, lab, server, "/graphql", company, board(PLAIN, _past()), '"board":')
            [taken] = in_turns(lab.size.rounds, lambda: shown(1).p50)
    return Figure(
        name=f"board as of a past instant, {YEAR:,} tickets, p50",
        unit="ms",
        value=taken,
        limit=YEAR_WITHIN_MS,
    )


def _past() -> str:
    """In the middle."""
    then = now() - timedelta(days=DAYS / 2)
    return f', asOf: {{occurredAt: "{then.isoformat()}"}}'


def _fill(database: Database, tickets: int, still_open: int) -> Furnished:
    company = furnish(database, 0)
    with database.connect(Role.OWNER) as owner:
        owner.execute("set work_mem = '256MB'; set maintenance_work_mem = '512MB'")
        drop_indexes(owner, spans.INDEXES)
        for statement in (_TICKETS, _SPANS):
            arguments = {
                "workspace": company.actor.workspace,
                "tickets": tickets,
                "open": still_open,
                "days": DAYS,
                "people": company.people,
                "teams": company.teams,
                "statuses": list(STATUSES),
            }
            owner.execute(statement, arguments)
        owner.execute(spans.INDEXES)
        owner.execute("analyze span")
    with database.connect(Role.OWNER) as owner:
        owner.execute("vacuum span")
    return company


_TICKETS = """
create temporary table life as
select uuidv7(opened - clock_timestamp()) as id, n as number, opened,
       opened + spent / 4 as taken,
       case when n > %(tickets)s - %(open)s then null
            else least(opened + spent, clock_timestamp() - interval '30 days') end as closed,
       (array['The order form loses attachments', 'Печать счетов останавливается', 'VPN drops every hour'])[1 + n %% 3]
         || ' ' || n as title,
       (%(people)s::uuid[])[1 + n %% cardinality(%(people)s::uuid[])] as assignee,
       (%(teams)s::uuid[])[1 + n %% cardinality(%(teams)s::uuid[])] as team
  from generate_series(1, %(tickets)s) n
 cross join lateral (
   select clock_timestamp() - interval '60 days'
            - (%(days)s - 60) * interval '1 day' * (%(tickets)s - n) / %(tickets)s as opened,
          -ln(1 - random()) * interval '10 days' * (n > 0)::int as spent) drawn
"""

_SPANS = """
insert into span (workspace, ticket, version, opened_position, closed_position, occurred_from, occurred_to, number,
                  title, role, workflow, workflow_version, status, category, status_since, rank, priority, channel,
                  assignee, team, contributors, tags, fields, due_at, opened_at, closed_at)
select %(workspace)s, id, stretch, (extract(epoch from since) * 1000)::bigint,
       (extract(epoch from until) * 1000)::bigint, since, until, number, title, 'TASK', 'task', 1,
       case stretch when 1 then 'todo' when 2 then (%(statuses)s::text[])[2 + number %% 3] else 'done' end,
       case stretch when 1 then 'NEW' when 2 then (array['ACTIVE', 'WAITING', 'REVIEW'])[1 + number %% 3]
                    else 'DONE' end,
       since, 'a' || lpad(number::text, 12, '0'), number %% 4, 'api', assignee, team, '{}', array['office', 'vpn'],
       '{}',
       opened + interval '30 days', opened, case stretch when 3 then closed end
  from life
 cross join lateral (values (1, opened, taken), (2, taken, closed), (3, closed, null)) as s (stretch, since, until)
 where since is not null
 order by since
"""
