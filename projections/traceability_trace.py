"""The chain from a change of code to who asked for it, and back: every step with its evidence.

commit -> merge request -> ticket -> its parents, up to the first request; commit -> the first release that has it, and
where that runs. From a ticket the other way, with what was split off it.
"""

from collections.abc import Sequence
from typing import Any, LiteralString
from uuid import UUID

import msgspec

from domain.errors import InvalidValue
from domain.traceability.releases import DeploymentOutcome
from domain.traceability.repositories import ChangeKind
from projections.reading import View
from projections.rows import CodeChangeRow, ReleaseRow, TraceNodeRow, TraceStepRow, TraceVia
from projections.traceability_changes import CHANGE_COLUMNS, CHANGE_WIDTH, DETAILS, EFFECTIVE, code_change
from projections.traceability_links import CAME_BY, OF_COMMITS

CHANGES_LIMIT = 1_000
"""Of one answer; a release with more says that it is cut short."""
LINKS_LIMIT = 5_000
DEPTH = 32
"""Of parents, and of what was split off."""

Key = tuple[UUID, str, str]
"""A change: its repository, kind and name."""


class Trace(msgspec.Struct):
    """What was found so far: nodes once each, steps between them. `cut`: there is more."""

    view: View
    steps: list[TraceStepRow] = msgspec.field(default_factory=list[TraceStepRow])
    cut: bool = False
    _changes: dict[Key, TraceNodeRow] = msgspec.field(default_factory=dict[Key, TraceNodeRow])
    _tickets: dict[UUID, TraceNodeRow] = msgspec.field(default_factory=dict[UUID, TraceNodeRow])
    _releases: dict[UUID, TraceNodeRow] = msgspec.field(default_factory=dict[UUID, TraceNodeRow])

    @property
    def nodes(self) -> list[TraceNodeRow]:
        return [*self._changes.values(), *self._tickets.values(), *self._releases.values()]

    def ticket(self, id_: UUID) -> TraceNodeRow:
        return self._tickets.setdefault(id_, TraceNodeRow(ticket=id_))

    def change(self, row: CodeChangeRow) -> TraceNodeRow:
        return self._changes.setdefault((row.repository, row.kind.value, row.name), TraceNodeRow(change=row))

    def release(self, row: ReleaseRow) -> TraceNodeRow:
        return self._releases.setdefault(row.id, TraceNodeRow(release=row))

    def known(self, key: Key) -> TraceNodeRow:
        return self._changes[key]

    def commits(self) -> list[Key]:
        return [key for key in self._changes if key[1] == ChangeKind.COMMIT]

    def changes(self) -> list[Key]:
        return list(self._changes)

    def tickets(self) -> list[UUID]:
        return list(self._tickets)

    def step(self, source: TraceNodeRow, target: TraceNodeRow, via: TraceVia, confidence: int, evidence: str) -> None:
        self.steps.append(TraceStepRow(from_=source, to=target, via=via, confidence=confidence, evidence=evidence))


# ---- where a trace begins


async def of_commit(view: View, sha: str, repository: UUID | None = None) -> Trace:
    """By its hash, or the beginning of it that no other has. Raises InvalidValue."""
    trace = Trace(view)
    if not 7 <= len(sha) <= 64 or any(one not in "0123456789abcdef" for one in sha):
        raise InvalidValue("A commit is named by 7 to 64 hexadecimal digits of its hash.", ("commit", "sha"))
    rows = await _details(
        view,
        "select c.repository, 'COMMIT', c.sha, now() from code_commit c where c.workspace = %(workspace)s"
        " and c.sha >= %(sha)s and c.sha < %(beyond)s"
        " and (%(repository)s::uuid is null or c.repository = %(repository)s) limit 3",
        {"sha": sha, "beyond": sha + "g", "repository": repository},
    )
    if len({row.name for row in rows}) > 1:
        raise InvalidValue(f"Several commits begin with {sha}; give more of the hash.", ("commit", "sha"))
    for row in rows:
        trace.change(row)
    await _forward(trace)
    return trace


async def of_request(view: View, repository: UUID, number: int) -> Trace:
    trace = Trace(view)
    rows = await _details(
        view,
        "select q.repository, 'REQUEST', q.number::text, q.opened_at from merge_request q"
        " where q.workspace = %(workspace)s and q.repository = %(repository)s and q.number = %(number)s",
        {"repository": repository, "number": number},
    )
    for row in rows:
        trace.change(row)
    await _commits_of_requests(trace)
    await _forward(trace)
    return trace


async def of_ticket(view: View, ticket: UUID) -> Trace:
    """With what was split off it, and the changes of all of that."""
    trace = Trace(view)
    trace.ticket(ticket)
    await _down(trace)
    for row in await _links(view, "l.ticket = any(%(tickets)s)", {"tickets": trace.tickets()}):
        change = trace.change(code_change(row[:CHANGE_WIDTH]))
        _linked(trace, trace.ticket(row[CHANGE_WIDTH]), change, row)
    await _up(trace)
    await _released(trace)
    return trace


async def of_release(view: View, repository: UUID, tag: str) -> Trace:
    """What came into the main branch since the release before it."""
    trace = Trace(view)
    releases = await _releases(
        view, "r.repository = %(repository)s and r.tag = %(tag)s", {"repository": repository, "tag": tag}
    )
    for release in releases:
        trace.release(release)
        for row in await _details(view, _IN_RELEASE, {"release": release.id, "most": CHANGES_LIMIT + 1}):
            if len(trace.changes()) >= CHANGES_LIMIT:
                trace.cut = True
                break
            trace.step(trace.release(release), trace.change(row), TraceVia.RELEASE, 100, f"first in {release.tag}")
    await _forward(trace, released=False)
    return trace


_IN_RELEASE: LiteralString = """
select i.repository, 'COMMIT', i.sha, now()
  from (select r.repository, head.place,
               coalesce((
                 select max(earlier.place) from release e
                   join introduction earlier on earlier.repository = e.repository and earlier.sha = e.commit_sha
                  where e.repository = r.repository and earlier.place < head.place), -1) as before
          from release r join introduction head on head.repository = r.repository and head.sha = r.commit_sha
         where r.workspace = %(workspace)s and r.id = %(release)s
        offset 0) r -- worked out once, not for each commit
  join introduction i on i.repository = r.repository and i.place > r.before and i.place <= r.place
 order by i.place, i.sha limit %(most)s
"""


# ---- steps


async def _forward(trace: Trace, *, released: bool = True) -> None:
    """From changes to tickets and their parents, and to releases."""
    await _requests_of_commits(trace)
    changes = trace.changes()
    for row in await _links(trace.view, _AMONG, _asked(changes)):
        change = trace.change(code_change(row[:CHANGE_WIDTH]))
        _linked(trace, change, trace.ticket(row[CHANGE_WIDTH]), row)
    await _up(trace)
    if released:
        await _released(trace)


_AMONG: LiteralString = (
    "(l.repository, l.kind, l.change) in (select * from unnest(%(repositories)s::uuid[], %(kinds)s::text[],"
    " %(names)s::text[]))"
)


def _asked(changes: Sequence[Key]) -> dict[str, Any]:
    return {
        "repositories": [one[0] for one in changes],
        "kinds": [one[1] for one in changes],
        "names": [one[2] for one in changes],
    }


def _linked(trace: Trace, source: TraceNodeRow, target: TraceNodeRow, row: Sequence[Any]) -> None:
    _, via, confidence, evidence = row[CHANGE_WIDTH:]
    trace.step(source, target, TraceVia(via), confidence, evidence)


async def _links(view: View, which: LiteralString, arguments: dict[str, Any]) -> list[Any]:
    columns: LiteralString = CHANGE_COLUMNS.format(at="coalesce(c.committed_at, q.opened_at, e.linked_at)")
    return await view.fetch(
        f"select {columns}, e.ticket, e.source, e.confidence, e.evidence"
        f" from ({EFFECTIVE.format(which=which)}) e {DETAILS} order by 6, 3, e.ticket limit %(most)s",
        {"as_of_position": None, "most": LINKS_LIMIT, **arguments},
    )


async def _details(view: View, source: LiteralString, arguments: dict[str, Any]) -> list[CodeChangeRow]:
    """Of changes that a query names: repository, kind, name, and a time for those of which no other is known."""
    columns: LiteralString = CHANGE_COLUMNS.format(at="coalesce(c.committed_at, q.opened_at, e.at)")
    rows = await view.fetch(
        f"select {columns} from ({source}) e (repository, kind, change, at) {DETAILS} order by 6, 3", arguments
    )
    return [code_change(row) for row in rows]


async def _requests_of_commits(trace: Trace) -> None:
    for repository in {one[0] for one in trace.commits()}:
        shas = [name for of, _, name in trace.commits() if of == repository]
        await _came_by(trace, repository, shas)


async def _commits_of_requests(trace: Trace) -> None:
    """Those that it may have brought; whether another request did is asked of them."""
    for repository, _, number in trace.changes():
        rows = await trace.view.fetch(
            f"with recursive {CAME_BY.format(which='q.number = %(number)s')} select b.sha from came_by b"
            " order by b.sha limit %(most)s",
            {"repository": repository, "number": int(number), "most": LINKS_LIMIT},
        )
        await _came_by(trace, repository, [sha for (sha,) in rows], int(number))


async def _came_by(trace: Trace, repository: UUID, shas: Sequence[str], number: int | None = None) -> None:
    """`number`: of the one request that is asked about."""
    rows = await trace.view.fetch(
        f"with recursive {CAME_BY.format(which=OF_COMMITS)}"
        " select b.sha, b.number, b.source, b.evidence from came_by b where b.sha = any(%(shas)s)"
        " and (%(number)s::integer is null or b.number = %(number)s) order by b.number, b.sha limit %(most)s",
        {"repository": repository, "shas": shas, "number": number, "most": LINKS_LIMIT},
    )
    wanted = {("COMMIT", row[0]) for row in rows} | {("REQUEST", str(row[1])) for row in rows}
    found = await _details(
        trace.view,
        "select w.repository, w.kind, w.change, now() from unnest(%(repositories)s::uuid[], %(kinds)s::text[],"
        " %(names)s::text[]) w (repository, kind, change)",
        _asked([(repository, kind, name) for kind, name in sorted(wanted)]),
    )
    known = {(row.kind.value, row.name): row for row in found}
    for sha, number, via, evidence in rows:
        commit, request = trace.change(known["COMMIT", sha]), trace.change(known["REQUEST", str(number)])
        trace.step(commit, request, TraceVia(via), 100 if via == "MERGE" else 75, evidence)


async def _up(trace: Trace) -> None:
    """To the parents, up to the first request."""
    rows = await trace.view.fetch(
        "with recursive line (ticket, parent, depth) as ("
        "  select s.ticket, s.parent, 1 from span s where s.workspace = %(workspace)s and s.closed_position is null"
        "     and s.ticket = any(%(tickets)s) and s.parent is not null"
        "  union all"
        "  select s.ticket, s.parent, l.depth + 1 from line l join span s on s.workspace = %(workspace)s"
        "     and s.closed_position is null and s.ticket = l.parent and s.parent is not null and l.depth < %(depth)s)"
        " select distinct ticket, parent from line order by ticket, parent",
        {"tickets": trace.tickets(), "depth": DEPTH, "most": CHANGES_LIMIT},
    )
    for ticket, parent in rows:
        trace.step(trace.ticket(ticket), trace.ticket(parent), TraceVia.PARENT, 100, "is a part of it")


async def _down(trace: Trace) -> None:
    rows = await trace.view.fetch(
        "with recursive line (ticket, parent, depth) as ("
        "  select s.ticket, s.parent, 1 from span s where s.workspace = %(workspace)s and s.closed_position is null"
        "     and s.parent = any(%(tickets)s)"
        "  union all"
        "  select s.ticket, s.parent, l.depth + 1 from line l join span s on s.workspace = %(workspace)s"
        "     and s.closed_position is null and s.parent = l.ticket and l.depth < %(depth)s)"
        " select distinct ticket from line limit %(most)s",
        {"tickets": trace.tickets(), "depth": DEPTH, "most": CHANGES_LIMIT},
    )
    for (ticket,) in rows:
        trace.ticket(ticket)


async def _released(trace: Trace) -> None:
    """The first release that has each commit, if there is one."""
    for repository in {one[0] for one in trace.commits()}:
        shas = [name for of, _, name in trace.commits() if of == repository]
        rows = await trace.view.fetch(_FIRST_RELEASE, {"repository": repository, "shas": shas})
        releases = await _releases(trace.view, "r.id = any(%(ids)s)", {"ids": list({row[1] for row in rows})})
        known = {row.id: row for row in releases}
        for sha, release in rows:
            commit = trace.known((repository, "COMMIT", sha))
            trace.step(commit, trace.release(known[release]), TraceVia.RELEASE, 100, f"first in {known[release].tag}")


_FIRST_RELEASE: LiteralString = """
select i.sha, first.id
  from introduction i
  join lateral (
    select r.id from release r
      join introduction head on head.repository = r.repository and head.sha = r.commit_sha
     where r.repository = i.repository and head.place >= i.place
     order by head.place, r.published_at, r.id limit 1) first on true
 where i.workspace = %(workspace)s and i.repository = %(repository)s and i.sha = any(%(shas)s)
 order by i.place, i.sha
"""


async def _releases(view: View, which: LiteralString, arguments: dict[str, Any]) -> list[ReleaseRow]:
    """With the environments to which a commit that has it was deployed last, and went well."""
    rows = await view.fetch(
        "select r.id, r.repository, r.tag, r.commit_sha, r.title, r.published_at,"
        " coalesce((select array_agg(distinct d.environment order by d.environment) from deployment d"
        "   join introduction there on there.repository = d.repository and there.sha = d.commit_sha"
        "   join introduction head on head.repository = r.repository and head.sha = r.commit_sha"
        "  where d.repository = r.repository and d.outcome = %(succeeded)s and there.place >= head.place), '{}')"
        f" from release r where r.workspace = %(workspace)s and {which} order by r.published_at, r.tag",
        {"succeeded": DeploymentOutcome.SUCCEEDED.value, **arguments},
    )
    names = ("id", "repository", "tag", "commit", "title", "published_at", "environments")
    return [ReleaseRow(**dict(zip(names, row, strict=True))) for row in rows]
