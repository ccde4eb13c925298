"""Exports: what leaves for other tools, read in chunks by keyset, so that any history takes the same memory.

All is as of one position of the log, so that an export that was interrupted goes on with what it began with.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, LiteralString
from uuid import UUID

import msgspec
from psycopg import sql

from domain.billing import month_end
from projections import timeline
from projections.billing import rated, work_of
from projections.contracts import as_contract, contracts_by_ids
from projections.reading import Moment, View
from projections.rows import EventRow

READ_MODELS = ("timeline", "spans", "tickets", "directory", "work", "contracts", "billing", "traceability", "links")
"""What exports are made of."""


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What is exported. `head`: the position up to which. `since`, `until`: of the events, in their own time, until
    excluded. `process`: a role or a workflow, which a ticket has, or once had. `client`: whose tickets: those bound to
    its contracts, themselves or by what they are a part of, and those of its contacts. `ticket`: one alone."""

    head: int
    since: datetime | None = None
    until: datetime | None = None
    process: str | None = None
    client: UUID | None = None
    ticket: UUID | None = None

    @property
    def narrowed(self) -> bool:
        """To some tickets: what has nothing to do with them is left out."""
        return bool(self.process or self.client or self.ticket)

    @property
    def arguments(self) -> dict[str, Any]:
        return msgspec.structs.asdict(self)


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """An event, and the ticket that it is of or about. `role`, `workflow`: of the ticket then; `episode`: the version
    of the ticket's event by which it had come to this role; `left`: the same of the role that this event ended."""

    event: EventRow
    ticket: UUID | None
    number: int | None
    role: str | None
    workflow: str | None
    episode: int | None
    left: int | None


class ExportedTicket(msgspec.Struct, frozen=True, kw_only=True):
    """`contract`: that it is bound to itself. `client`: of that contract, else whose contact the requester is."""

    id: UUID
    number: int
    contract: UUID | None
    client: UUID | None


class ExportedSpan(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID
    version: int
    occurred_from: datetime
    role: str
    workflow: str
    status: str
    category: str
    priority: int
    channel: str
    external_key: str | None
    title: str
    tags: list[str]
    assignee: UUID | None
    team: UUID | None
    requester: UUID | None
    service: UUID | None
    parent: UUID | None
    start_at: datetime | None
    due_at: datetime | None
    closed_at: datetime | None


class ExportedChange(msgspec.Struct, frozen=True, kw_only=True):
    """A commit or a merge request. `change`: its whole hash, or its number. `at`: when it was authored, or opened.
    `tickets`: the numbers of those it is linked to."""

    repository: UUID
    repository_key: str
    kind: str
    change: str
    title: str
    author: str | None
    at: datetime
    state: str | None
    merged_at: datetime | None
    tickets: list[int] = []


# ---- which tickets

_OF_PROCESS = sql.SQL(
    "exists (select from span p where p.ticket = {ticket} and p.opened_position <= %(head)s"
    " and (p.role = %(process)s or p.workflow = %(process)s))"
)
_OF_CLIENT = sql.SQL("""{ticket} in (
  with recursive bound (ticket) as (
    select b.ticket from ticket_contract b
      join contract k on k.workspace = %(workspace)s and k.id = b.contract and k.closed_position is null
     where b.workspace = %(workspace)s and k.client = %(client)s
    union
    select s.ticket from bound
      join span s on s.workspace = %(workspace)s and s.parent = bound.ticket and s.closed_position is null
     where not exists (select from ticket_contract b where b.ticket = s.ticket and b.contract is not null)
  )
  select ticket from bound
  union
  select s.ticket from client_contact m
    join span s on s.workspace = %(workspace)s and s.requester = m.person and s.closed_position is null
   where m.workspace = %(workspace)s and m.client = %(client)s)""")


def _times(scope: Scope, column: sql.Composable) -> list[sql.Composable]:
    parts: list[sql.Composable] = []
    if scope.since is not None:
        parts.append(sql.SQL("{} >= %(since)s").format(column))
    if scope.until is not None:
        parts.append(sql.SQL("{} < %(until)s").format(column))
    return parts


def _narrowed(scope: Scope, ticket: sql.Composable) -> list[sql.Composable]:
    parts: list[sql.Composable] = []
    if scope.process is not None:
        parts.append(_OF_PROCESS.format(ticket=ticket))
    if scope.ticket is not None:
        parts.append(sql.SQL("{} = %(ticket)s").format(ticket))
    if scope.client is not None:
        parts.append(_OF_CLIENT.format(ticket=ticket))
    return parts


async def _chosen(view: View, scope: Scope, tickets: Collection[UUID]) -> set[UUID]:
    """Those of these tickets that are exported. Asked of some at a time, each is found by its index, whatever the
    planner knows of tables that were just filled."""
    if not tickets or not (scope.narrowed or scope.since or scope.until):
        return set(tickets)
    ticket = sql.SQL("w.id")
    parts = _narrowed(scope, ticket)
    times = _times(scope, sql.SQL("r.occurred_at"))
    if times:
        within = sql.SQL(" and ").join([sql.SQL("r.position <= %(head)s"), *times])
        parts.append(
            sql.SQL(
                "(exists (select from timeline r where r.ticket = {0} and {1})"
                " or exists (select from timeline r where r.about = {0} and {1}))"
            ).format(ticket, within)
        )
    rows = await view.fetch(
        sql.SQL("select w.id from unnest(%(tickets)s::uuid[]) w (id) where {}").format(sql.SQL(" and ").join(parts)),
        {**scope.arguments, "tickets": list(tickets)},
    )
    return {id_ for (id_,) in rows}


# ---- events


def _events(scope: Scope) -> sql.Composable:
    """How the workspace is connected to other systems is nobody's history."""
    hidden = sql.Literal(list(timeline.FOR_ADMINISTRATORS))
    parts: list[sql.Composable] = [
        sql.SQL("x.workspace = %(workspace)s and x.position <= %(head)s and x.type <> all({})").format(hidden),
        *_times(scope, sql.SQL("x.occurred_at")),
    ]
    if scope.ticket is not None:
        parts.append(sql.SQL("(x.ticket = %(ticket)s or x.about = %(ticket)s)"))
    return sql.SQL(" and ").join(parts)


async def events(view: View, scope: Scope, after: int, limit: int) -> tuple[list[Recorded], int | None]:
    """Those of the next so many events after a position that are exported, in order; and after which position to go
    on, None at the end."""
    rows = await view.fetch(
        sql.SQL(
            "select coalesce(x.ticket, x.about), {} from timeline x where {} and x.position > %(after)s"
            " order by x.position limit %(limit)s"
        ).format(timeline.COLUMNS, _events(scope)),
        {**scope.arguments, "after": after, "limit": limit},
    )
    found = [(ticket, timeline.event_row(event)) for ticket, *event in rows]
    last = found[-1][1].position if found else None
    if scope.narrowed:
        chosen = await _chosen(view, scope, {ticket for ticket, _ in found if ticket is not None})
        found = [one for one in found if one[0] in chosen]
    return await _recorded(view, found), last


async def events_of(
    view: View, scope: Scope, tickets: Sequence[ExportedTicket], after: tuple[int, datetime, int], limit: int
) -> list[Recorded]:
    """Those of these tickets or about them, after a number, a time and a position, in this order."""
    rows = await view.fetch(
        sql.SQL(
            "select coalesce(x.ticket, x.about), {} from ("
            " select w.number, t.* from unnest(%(tickets)s::uuid[], %(numbers)s::bigint[]) w (id, number)"
            "   join timeline t on t.ticket = w.id"
            " union all"
            " select w.number, t.* from unnest(%(tickets)s::uuid[], %(numbers)s::bigint[]) w (id, number)"
            "   join timeline t on t.about = w.id) x"
            " where {} and (x.number, x.occurred_at, x.position) > (%(number)s, %(at)s, %(after)s)"
            " order by x.number, x.occurred_at, x.position limit %(limit)s"
        ).format(timeline.COLUMNS, _events(scope)),
        {
            **scope.arguments,
            "tickets": [one.id for one in tickets],
            "numbers": [one.number for one in tickets],
            "number": after[0],
            "at": after[1],
            "after": after[2],
            "limit": limit,
        },
    )
    return await _recorded(view, [(ticket, timeline.event_row(event)) for ticket, *event in rows])


async def _recorded(view: View, found: Sequence[tuple[UUID | None, EventRow]]) -> list[Recorded]:
    """With the tickets' numbers, and the roles that they had."""
    tickets = list({ticket for ticket, _ in found if ticket is not None})
    known: dict[UUID, int] = {}
    episodes: dict[UUID, list[tuple[int, int, str, str]]] = {}
    if tickets:
        known = dict(
            await view.fetch(
                "select id, number from ticket where workspace = %(workspace)s and id = any(%(tickets)s)",
                {"tickets": tickets},
            )
        )
        rows = await view.fetch(
            "select r.ticket, r.position, r.version, r.data ->> 'role', r.data ->> 'workflow' from timeline r"
            " where r.ticket = any(%(tickets)s) and r.type in ('TicketOpened', 'RoleChanged') order by r.position",
            {"tickets": tickets},
        )
        for ticket, *episode in rows:
            episodes.setdefault(ticket, []).append((episode[0], episode[1], episode[2], episode[3]))
    return [_placed(event, ticket, known, episodes) for ticket, event in found]


def _placed(
    event: EventRow,
    ticket: UUID | None,
    known: Mapping[UUID, int],
    episodes: Mapping[UUID, Sequence[tuple[int, int, str, str]]],
) -> Recorded:
    of_ticket = () if ticket is None else episodes.get(ticket, ())
    begun = [one for one in of_ticket if one[0] <= event.position]
    now = begun[-1] if begun else None
    ended = len(begun) > 1 and begun[-1][0] == event.position
    return Recorded(
        event=event,
        ticket=ticket,
        number=None if ticket is None else known.get(ticket),
        role=None if now is None else now[2],
        workflow=None if now is None else now[3],
        episode=None if now is None else now[1],
        left=begun[-2][1] if ended else None,
    )


_ABOUT = sql.SQL("coalesce(x.ticket, x.about)")


def _of_chosen(scope: Scope) -> sql.Composable:
    narrowed = _narrowed(scope, _ABOUT)
    return sql.SQL(" and ").join([_events(scope), *narrowed])


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """Events of one type: of those that change a status or a role, with one outcome."""

    type: str
    outcome: str | None
    count: int


async def census(view: View, scope: Scope, *, of_tickets: bool = False) -> list[Counted]:
    """How many events there are of which kind; of those alone that are of or about a ticket."""
    rows = await view.fetch(
        sql.SQL(
            "select x.type, case x.type when 'StatusChanged' then x.data ->> 'status'"
            " when 'RoleChanged' then x.data ->> 'role' end, count(*) from timeline x where {} and {}"
            " group by 1, 2 order by 1, 2"
        ).format(_of_chosen(scope), sql.SQL("{} is not null").format(_ABOUT) if of_tickets else sql.SQL("true")),
        scope.arguments,
    )
    return [Counted(type=type_, outcome=outcome, count=count) for type_, outcome, count in rows]


# ---- tickets


async def tickets(view: View, scope: Scope, after: int, limit: int) -> tuple[list[ExportedTicket], int | None]:
    """Those of the next so many tickets after a number that are exported, in order; and after which number to go on,
    None at the end. Some may have been opened after `head`: they have no spans, and no events."""
    rows = await view.fetch(
        "select k.id, k.number from ticket k where k.workspace = %(workspace)s and k.number > %(after)s"
        " and (%(ticket)s::uuid is null or k.id = %(ticket)s) order by k.number limit %(limit)s",
        {**scope.arguments, "after": after, "limit": limit},
    )
    if not rows:
        return [], None
    chosen = await _chosen(view, scope, {id_ for id_, _ in rows})
    whose = {
        id_: (contract, client)
        for id_, contract, client in await view.fetch(
            "select w.id, b.contract, coalesce(c.client, m.client) from unnest(%(tickets)s::uuid[]) w (id)"
            " left join ticket_contract b on b.ticket = w.id"
            " left join contract c on c.id = b.contract and c.closed_position is null"
            " left join span s on s.ticket = w.id and s.closed_position is null"
            " left join lateral (select min(m.client::text)::uuid as client from client_contact m"
            "   where m.workspace = %(workspace)s and m.person = s.requester) m on true",
            {"tickets": list(chosen)},
        )
    }
    found = [
        ExportedTicket(id=id_, number=number, contract=whose[id_][0], client=whose[id_][1])
        for id_, number in rows
        if id_ in whose
    ]
    return found, rows[-1][1]


async def numbers(view: View, scope: Scope, tickets: Collection[UUID]) -> dict[UUID, int]:
    """Of those of these tickets that are exported."""
    chosen = await _chosen(view, scope, tickets)
    if not chosen:
        return {}
    rows = await view.fetch(
        "select k.id, k.number from ticket k where k.workspace = %(workspace)s and k.id = any(%(tickets)s)",
        {"tickets": list(chosen)},
    )
    return dict(rows)


_SPAN = sql.SQL(", ").join(sql.Identifier("s", name) for name in ExportedSpan.__struct_fields__)


async def spans_of(view: View, scope: Scope, tickets: Sequence[UUID]) -> dict[UUID, list[ExportedSpan]]:
    """What each of these tickets was, in order."""
    rows = await view.fetch(
        sql.SQL(
            "select {} from span s where s.workspace = %(workspace)s and s.ticket = any(%(tickets)s)"
            " and s.opened_position <= %(head)s order by s.ticket, s.version"
        ).format(_SPAN),
        {"tickets": list(tickets), "head": scope.head},
    )
    found: dict[UUID, list[ExportedSpan]] = {}
    for row in rows:
        named = dict(zip(ExportedSpan.__struct_fields__, row, strict=True))
        found.setdefault(row[0], []).append(ExportedSpan(**named))
    return found


async def links_of(view: View, scope: Scope, tickets: Sequence[UUID]) -> dict[UUID, list[tuple[str, UUID]]]:
    """The links of each of these tickets: of which kind, to which other."""
    rows = await view.fetch(
        "select l.ticket, l.kind, l.other from link l"
        " where l.workspace = %(workspace)s and l.ticket = any(%(tickets)s) and l.opened_position <= %(head)s"
        " and (l.closed_position is null or l.closed_position > %(head)s) order by 1, 2, 3",
        {"tickets": list(tickets), "head": scope.head},
    )
    found: dict[UUID, list[tuple[str, UUID]]] = {}
    for ticket, kind, other in rows:
        found.setdefault(ticket, []).append((kind, other))
    return found


# ---- whom and what events name

_NAMED: dict[str, LiteralString] = {
    "person": "select id, name, kind, active from person",
    "team": "select id, name, key, true from team",
    "service": "select id, name, key, active from service",
    "client": "select id, name, time_zone, true from client",
    "contract": "select id, name, client::text, last_day is null from contract",
}


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """`mark`: a person's kind, a key, a client's time zone, a contract's client."""

    id: UUID
    name: str
    mark: str
    active: bool


async def named(
    view: View, kind: str, after: UUID | None, limit: int, among: Sequence[UUID] | None = None
) -> list[Named]:
    """The people, teams, services, clients or contracts after an id, in order; of these alone, where they are given."""
    conditions: LiteralString = (
        "workspace = %(workspace)s and (%(after)s::uuid is null or id > %(after)s)"
        " and (%(among)s::uuid[] is null or id = any(%(among)s))"
    )
    current: LiteralString = " and closed_position is null" if kind == "contract" else ""
    rows = await view.fetch(
        sql.SQL("{} where {}{} order by id limit %(limit)s").format(
            sql.SQL(_NAMED[kind]), sql.SQL(conditions), sql.SQL(current)
        ),
        {"after": after, "limit": limit, "among": None if among is None else list(among)},
    )
    return [Named(id=row[0], name=row[1], mark=row[2], active=row[3]) for row in rows]


async def actors_without_names(view: View) -> list[UUID]:
    """Who acts and is nobody in the directory: the system, as a rule."""
    rows = await view.fetch(
        "with recursive acting (actor) as ("
        " (select actor from timeline where workspace = %(workspace)s order by actor limit 1)"
        " union all"
        " select (select t.actor from timeline t where t.workspace = %(workspace)s and t.actor > a.actor"
        "   order by t.actor limit 1) from acting a where a.actor is not null)"
        " select a.actor from acting a where a.actor is not null"
        " and not exists (select from person p where p.id = a.actor)"
    )
    return [actor for (actor,) in rows]


# ---- changes of code


async def changes(
    view: View, scope: Scope, kind: str, after: tuple[UUID, str] | None, limit: int
) -> tuple[list[ExportedChange], tuple[UUID, str] | None]:
    """Of the next so many commits (COMMIT) or merge requests (REQUEST) after a repository and a change, in order, those
    that are exported: where the export is narrowed, those that are linked to its tickets. And after which to go on,
    None at the end."""
    source = _COMMITS if kind == "COMMIT" else _REQUESTS
    rows = await view.fetch(
        sql.SQL(
            "select x.repository, r.key, x.change, x.title, x.author, x.at, x.state, x.merged_at from ({}) x"
            " join repository r on r.id = x.repository where (%(repository)s::uuid is null"
            " or (x.repository, x.change) > (%(repository)s, %(change)s))"
            " order by x.repository, x.change limit %(limit)s"
        ).format(sql.SQL(source)),
        {
            **scope.arguments,
            "repository": None if after is None else after[0],
            "change": None if after is None else after[1],
            "limit": limit,
        },
    )
    if not rows:
        return [], None
    linked = await _links(view, scope, kind, [(row[0], row[2]) for row in rows])
    found = [
        ExportedChange(
            repository=row[0],
            repository_key=row[1],
            kind=kind,
            change=row[2],
            title=row[3],
            author=row[4],
            at=row[5],
            state=row[6],
            merged_at=row[7],
            tickets=linked.get((row[0], row[2]), []),
        )
        for row in rows
        if not scope.narrowed or (row[0], row[2]) in linked
    ]
    return found, (rows[-1][0], rows[-1][2])


_COMMITS: LiteralString = """
select c.repository, c.sha as change, c.subject as title, c.author, c.authored_at as at, null as state,
       null::timestamptz as merged_at
  from code_commit c where c.workspace = %(workspace)s and c.position <= %(head)s
union all
select l.repository, l.change, '', null, min(l.linked_at), null, null
  from change_link l where l.workspace = %(workspace)s and l.position <= %(head)s and l.kind = 'COMMIT'
   and not exists (select from code_commit c where c.repository = l.repository and c.sha = l.change)
 group by l.repository, l.change
"""
"""Those too that somebody linked, and no clone has shown yet."""
_REQUESTS: LiteralString = """
select q.repository, q.number::text collate "C" as change, q.title, null as author, q.opened_at as at, q.state,
       q.merged_at
  from merge_request q where q.workspace = %(workspace)s
"""


async def _links(
    view: View, scope: Scope, kind: str, wanted: Sequence[tuple[UUID, str]]
) -> dict[tuple[UUID, str], list[int]]:
    """By change, the numbers of exported tickets that it is linked to; none of those that somebody has rejected."""
    rows = await view.fetch(
        "select distinct l.repository, l.change, l.ticket, l.verdict is distinct from 'REJECTED'"
        "   and l.closed_position is null"
        " from unnest(%(repositories)s::uuid[], %(changes)s::text[]) w (repository, change)"
        " join change_link l on l.repository = w.repository and l.kind = %(kind)s and l.change = w.change"
        " where l.workspace = %(workspace)s and l.position <= %(head)s order by 1, 2",
        {
            **scope.arguments,
            "kind": kind,
            "repositories": [repository for repository, _ in wanted],
            "changes": [change for _, change in wanted],
        },
    )
    known = await numbers(view, scope, {row[2] for row in rows})
    found: dict[tuple[UUID, str], list[int]] = {}
    for repository, change, ticket, holds in rows:
        if ticket in known:
            of_change = found.setdefault((repository, change), [])
            if holds and known[ticket] not in of_change:
                of_change.append(known[ticket])
    return found


Touched = dict[int, list[tuple[str, str, str]]]
"""By an event's position, changes of code: repository's key, kind, change."""


async def changes_at(view: View, events: Sequence[Recorded]) -> Touched:
    """What events of repositories, merge requests and links are about."""
    pushed = [one.event for one in events if one.event.type in ("CommitsRecorded", "CommitsPushed")]
    linked = [
        one.event for one in events if one.event.type in ("ChangesLinked", "LinkAdded", "LinkConfirmed", "LinkRejected")
    ]
    asked = [one.event for one in events if one.event.type.startswith("MergeRequest")]
    if not pushed and not linked and not asked:
        return {}
    rows = await view.fetch(
        "select c.position, r.key, 'COMMIT', c.sha from code_commit c join repository r on r.id = c.repository"
        " where c.workspace = %(workspace)s and c.position = any(%(pushed)s)"
        " union all"
        " select w.position, r.key, 'REQUEST', q.number::text"
        "   from unnest(%(asked)s::bigint[], %(requests)s::uuid[]) w (position, id)"
        "   join merge_request q on q.id = w.id join repository r on r.id = q.repository"
        "  where q.workspace = %(workspace)s"
        " union all"
        " select distinct l.position, r.key, l.kind, l.change from change_link l"
        "   join repository r on r.id = l.repository"
        "  where l.workspace = %(workspace)s and l.position = any(%(linked)s) order by 1, 2, 3, 4",
        {
            "pushed": [event.position for event in pushed],
            "asked": [event.position for event in asked],
            "requests": [event.stream for event in asked],
            "linked": [event.position for event in linked],
        },
    )
    found: Touched = {}
    for position, key, kind, change in rows:
        found.setdefault(position, []).append((key, kind, change))
    return found


# ---- prices


async def contracts_with_work(view: View, ticket: UUID | None) -> list[UUID]:
    """On this ticket, where one is named."""
    rows = await view.fetch(
        "select c.id from contract c where c.workspace = %(workspace)s and c.closed_position is null and exists ("
        "select from billed_work w where w.workspace = %(workspace)s and w.contract = c.id"
        " and (%(ticket)s::uuid is null or w.ticket = %(ticket)s)) order by c.id",
        {"ticket": ticket},
    )
    return [contract for (contract,) in rows]


async def prices(view: View, contract: UUID, until: date, moment: Moment) -> tuple[str, dict[UUID, Decimal]]:
    """The currency of a contract, and what each entry of work comes to under it, without tax."""
    row = (await contracts_by_ids(view, [contract], moment)).get(contract)
    if row is None:
        return "", {}
    agreed = as_contract(row)
    work, _ = await work_of(view, contract, None, month_end(until), moment)
    amounts: dict[UUID, Decimal] = {}
    for charge in (await rated(agreed, work, until, None)).charges:
        amounts[charge.entry] = amounts.get(charge.entry, Decimal(0)) + charge.amount
    return agreed.versions[-1].terms.currency, amounts


async def priced_at(view: View, scope: Scope, entries: Collection[UUID]) -> dict[UUID, int]:
    """By the event at which position each of these entries of work came to the ticket that it is on: there its price
    stands, and nowhere else, so that prices may be added up."""
    rows = await view.fetch(
        "select w.id, w.ticket, w.position from work w where w.workspace = %(workspace)s and w.id = any(%(entries)s)"
        " and w.position <= %(head)s order by w.id, w.version",
        {"entries": list(entries), "head": scope.head},
    )
    found: dict[UUID, tuple[UUID, int]] = {}
    for entry, ticket, position in rows:
        if entry not in found or found[entry][0] != ticket:
            found[entry] = ticket, position
    return {entry: position for entry, (_, position) in found.items()}


# ---- what an export must know before it begins


async def parked(view: View) -> int:
    """Streams of which a read model leaves something out."""
    rows = await view.fetch("select count(distinct stream) from parked where workspace = %(workspace)s")
    return int(rows[0][0])


async def erased_since(view: View, position: int) -> bool:
    """Whether somebody was erased after a position: what was written before may still name them."""
    rows = await view.fetch(
        "select exists (select from timeline where workspace = %(workspace)s and type = 'SubjectErased'"
        " and position > %(position)s)",
        {"position": position},
    )
    return bool(rows[0][0])


async def clients_named(view: View, name: str) -> list[UUID]:
    rows = await view.fetch(
        "select id from client where workspace = %(workspace)s and lower(name) = lower(%(name)s) order by id",
        {"name": name},
    )
    return [id_ for (id_,) in rows]
