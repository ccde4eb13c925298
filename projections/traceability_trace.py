"""The chain from a change of code to who asked for it, and back: every step with its evidence, as of any moment.

commit -> merge request -> ticket -> its parents, up to the first request; commit -> the first release that has it, and
where that runs; ticket -> hours -> statements, and what the requester says of it. From a ticket, a contract and a
release the other way, with what was split off.
"""

from collections.abc import Sequence
from typing import Any, LiteralString
from uuid import UUID

import msgspec
from psycopg import sql

from domain.errors import InvalidValue
from domain.traceability import artifacts
from domain.traceability.repositories import ChangeKind
from projections import moments, spans, traceability_releases
from projections.moments import HAPPENED, HELD
from projections.reading import NOW, Moment, View
from projections.rows import ArtifactRow, CodeChangeRow, ReleaseRow, TraceNodeRow, TraceStepRow, TraceVia
from projections.traceability_changes import CHANGE_COLUMNS, CHANGE_WIDTH, DETAILS, EFFECTIVE, code_change
from projections.traceability_links import CAME_BY, OF_COMMITS, THEN

CHANGES_LIMIT = 1_000
"""Of one answer; a release with more says that it is cut short."""
LINKS_LIMIT = 5_000
TICKETS_LIMIT = 1_000
DEPTH = 32
"""Of parents, and of what was split off."""

Key = tuple[UUID, str, str]
"""A change: its repository, kind and name."""


class Trace(msgspec.Struct):
    """What was found so far: nodes once each, steps between them. `cut`: there is more."""

    view: View
    moment: Moment = NOW
    steps: list[TraceStepRow] = msgspec.field(default_factory=list[TraceStepRow])
    cut: bool = False
    _changes: dict[Key, TraceNodeRow] = msgspec.field(default_factory=dict[Key, TraceNodeRow])
    _tickets: dict[UUID, TraceNodeRow] = msgspec.field(default_factory=dict[UUID, TraceNodeRow])
    _others: dict[Any, TraceNodeRow] = msgspec.field(default_factory=dict[Any, TraceNodeRow])

    @property
    def nodes(self) -> list[TraceNodeRow]:
        return [*self._changes.values(), *self._tickets.values(), *self._others.values()]

    @property
    def arguments(self) -> dict[str, Any]:
        return moments.arguments(self.moment)

    def ticket(self, id_: UUID) -> TraceNodeRow:
        return self._tickets.setdefault(id_, TraceNodeRow(ticket=id_))

    def change(self, row: CodeChangeRow) -> TraceNodeRow:
        return self._changes.setdefault((row.repository, row.kind.value, row.name), TraceNodeRow(change=row))

    def release(self, row: ReleaseRow) -> TraceNodeRow:
        return self._others.setdefault(row.id, TraceNodeRow(release=row))

    def artifact(self, row: ArtifactRow) -> TraceNodeRow:
        return self._others.setdefault((row.repository, row.digest, row.commit), TraceNodeRow(artifact=row))

    def contract(self, id_: UUID) -> TraceNodeRow:
        return self._others.setdefault(id_, TraceNodeRow(contract=id_))

    def other(self, node: TraceNodeRow) -> TraceNodeRow:
        """One that nothing else leads to."""
        return self._others.setdefault(len(self._others), node)

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


async def of_commit(view: View, sha: str, repository: UUID | None = None, moment: Moment = NOW) -> Trace:
    """By its hash, or the beginning of it that no other has. Raises InvalidValue."""
    trace = Trace(view, moment)
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


async def of_request(view: View, repository: UUID, number: int, moment: Moment = NOW) -> Trace:
    trace = Trace(view, moment)
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


async def of_artifact(view: View, digest: str, moment: Moment = NOW) -> Trace:
    """By its digest, as `sha256:…`. Raises InvalidValue."""
    trace = Trace(view, moment)
    await _artifacts(trace, "a.digest = %(digest)s", {"digest": artifacts.digest(digest)})
    await _forward(trace)
    return trace


async def of_ticket(view: View, ticket: UUID, moment: Moment = NOW) -> Trace:
    """With what was split off it, and the changes of all of that."""
    trace = Trace(view, moment)
    trace.ticket(ticket)
    await _backward(trace)
    return trace


async def of_contract(view: View, contract: UUID, moment: Moment = NOW) -> Trace:
    """With the tickets that are bound to it, and those whose work counts under it."""
    trace = Trace(view, moment)
    rows = await view.fetch(
        "select ticket, 'bound to it' from ticket_contract where workspace = %(workspace)s and contract = %(contract)s"
        " union"
        " select w.ticket, 'work counts under it' from billed_work w"
        "  where w.workspace = %(workspace)s and w.contract = %(contract)s"
        f"   and {HELD.format('w')} and {HAPPENED.format('w.started_at')}"
        " order by 1, 2 limit %(most)s",
        {"contract": contract, "most": TICKETS_LIMIT + 1, **trace.arguments},
    )
    trace.cut = len(rows) > TICKETS_LIMIT
    for ticket, evidence in rows[:TICKETS_LIMIT]:
        trace.step(trace.contract(contract), trace.ticket(ticket), TraceVia.CONTRACT, 100, evidence)
    if rows:
        await _backward(trace)
    return trace


async def of_release(view: View, repository: UUID, tag: str, moment: Moment = NOW) -> Trace:
    """What came with it first."""
    trace = Trace(view, moment)
    for release in await traceability_releases.by_tag(view, repository, tag, moment):
        rows = await _details(view, *traceability_releases.brought(release, CHANGES_LIMIT + 1, moment))
        trace.cut = len(rows) > CHANGES_LIMIT
        for row in rows[:CHANGES_LIMIT]:
            trace.step(trace.release(release), trace.change(row), TraceVia.RELEASE, 100, f"first in {release.tag}")
        trace.release(release)
    await _forward(trace, released=False)
    return trace


# ---- steps


async def _forward(trace: Trace, *, released: bool = True) -> None:
    """From changes to tickets and their parents, and to releases."""
    await _requests_of_commits(trace)
    for row in await _links(trace, _AMONG, _asked(trace.changes())):
        change = trace.change(code_change(row[:CHANGE_WIDTH]))
        _linked(trace, change, trace.ticket(row[CHANGE_WIDTH]), row)
    await _up(trace)
    if released:
        await _released(trace)


async def _backward(trace: Trace) -> None:
    """From tickets to what was split off them, to changes and to releases."""
    await _down(trace)
    for row in await _links(trace, "l.ticket = any(%(tickets)s)", {"tickets": trace.tickets()}):
        change = trace.change(code_change(row[:CHANGE_WIDTH]))
        _linked(trace, trace.ticket(row[CHANGE_WIDTH]), change, row)
    await _up(trace)
    await _released(trace)
    await _artifacts_of_commits(trace)


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


async def _links(trace: Trace, which: LiteralString, arguments: dict[str, Any]) -> list[Any]:
    at: LiteralString = "coalesce(c.committed_at, q.opened_at, e.linked_at)"
    rows = await trace.view.fetch(
        f"select {CHANGE_COLUMNS.format(at=at)}, e.ticket, e.source, e.confidence, e.evidence"
        f" from ({EFFECTIVE.format(which=which)}) e {DETAILS}"
        f" where {HAPPENED.format(at)}"
        " order by 6, 3, e.ticket limit %(most)s",
        {"most": LINKS_LIMIT + 1, **trace.arguments, **arguments},
    )
    trace.cut |= len(rows) > LINKS_LIMIT
    return rows[:LINKS_LIMIT]


async def _details(view: View, source: LiteralString, arguments: dict[str, Any]) -> list[CodeChangeRow]:
    """Of changes that a query names: repository, kind, name, and a time for those of which no other is known."""
    columns: LiteralString = CHANGE_COLUMNS.format(at="coalesce(c.committed_at, q.opened_at, e.at)")
    rows = await view.fetch(
        f"select {columns} from ({source}) e (repository, kind, change, at) {DETAILS} order by 6, 3", arguments
    )
    return [code_change(row) for row in rows]


_NAMED: LiteralString = (
    "select w.repository, w.kind, w.change, now() from unnest(%(repositories)s::uuid[], %(kinds)s::text[],"
    " %(names)s::text[]) w (repository, kind, change)"
)


async def _requests_of_commits(trace: Trace) -> None:
    for repository in {one[0] for one in trace.commits()}:
        shas = [name for of, _, name in trace.commits() if of == repository]
        await _came_by(trace, repository, shas)


async def _commits_of_requests(trace: Trace) -> None:
    """Those that it may have brought; whether another request did is asked of them."""
    for repository, _, number in trace.changes():
        rows = await trace.view.fetch(
            f"with recursive {CAME_BY.format(which='q.number = %(number)s and ' + THEN)} select b.sha from came_by b"
            " order by b.sha limit %(most)s",
            {"repository": repository, "number": int(number), "most": LINKS_LIMIT, **trace.arguments},
        )
        await _came_by(trace, repository, [sha for (sha,) in rows], int(number))


async def _came_by(trace: Trace, repository: UUID, shas: Sequence[str], number: int | None = None) -> None:
    """`number`: of the one request that is asked about."""
    rows = await trace.view.fetch(
        f"with recursive {CAME_BY.format(which=OF_COMMITS + ' and ' + THEN)}"
        " select b.sha, b.number, b.source, b.evidence from came_by b where b.sha = any(%(shas)s)"
        " and (%(number)s::integer is null or b.number = %(number)s) order by b.number, b.sha limit %(most)s",
        {"repository": repository, "shas": shas, "number": number, "most": LINKS_LIMIT, **trace.arguments},
    )
    wanted = {("COMMIT", row[0]) for row in rows} | {("REQUEST", str(row[1])) for row in rows}
    found = await _details(trace.view, _NAMED, _asked([(repository, kind, name) for kind, name in sorted(wanted)]))
    known = {(row.kind.value, row.name): row for row in found}
    for sha, request, via, evidence in rows:
        source, target = trace.change(known["COMMIT", sha]), trace.change(known["REQUEST", str(request)])
        trace.step(source, target, TraceVia(via), 100 if via == "MERGE" else 75, evidence)


async def _up(trace: Trace) -> None:
    """To the parents, up to the first request."""
    there, arguments = spans.at(trace.moment)
    rows = await trace.view.fetch(
        sql.SQL(
            "with recursive line (ticket, parent, depth) as ("
            "  select s.ticket, s.parent, 1 from span s where s.workspace = %(workspace)s and {there}"
            "     and s.ticket = any(%(tickets)s) and s.parent is not null"
            "  union all"
            "  select s.ticket, s.parent, l.depth + 1 from line l join span s on s.workspace = %(workspace)s"
            "     and {there} and s.ticket = l.parent and s.parent is not null and l.depth < %(depth)s)"
            " select distinct ticket, parent from line order by ticket, parent"
        ).format(there=there),
        {"tickets": trace.tickets(), "depth": DEPTH, **arguments},
    )
    for ticket, parent in rows:
        trace.step(trace.ticket(ticket), trace.ticket(parent), TraceVia.PARENT, 100, "is a part of it")


async def _down(trace: Trace) -> None:
    there, arguments = spans.at(trace.moment)
    rows = await trace.view.fetch(
        sql.SQL(
            "with recursive line (ticket, depth) as ("
            "  select s.ticket, 1 from span s where s.workspace = %(workspace)s and {there}"
            "     and s.parent = any(%(tickets)s)"
            "  union all"
            "  select s.ticket, l.depth + 1 from line l join span s on s.workspace = %(workspace)s"
            "     and {there} and s.parent = l.ticket and l.depth < %(depth)s)"
            " select distinct ticket from line limit %(most)s"
        ).format(there=there),
        {"tickets": trace.tickets(), "depth": DEPTH, "most": TICKETS_LIMIT + 1, **arguments},
    )
    trace.cut |= len(rows) > TICKETS_LIMIT
    for (ticket,) in rows[:TICKETS_LIMIT]:
        trace.ticket(ticket)


async def _released(trace: Trace) -> None:
    """The first release that has each commit, if there is one."""
    for repository in {one[0] for one in trace.commits()}:
        shas = [name for of, _, name in trace.commits() if of == repository]
        first = await traceability_releases.first_with(trace.view, repository, shas, trace.moment)
        for sha, release in first:
            commit = trace.known((repository, "COMMIT", sha))
            trace.step(commit, trace.release(release), TraceVia.RELEASE, 100, f"first in {release.tag}")


async def _artifacts_of_commits(trace: Trace) -> None:
    for repository in {one[0] for one in trace.commits()}:
        shas = [name for of, _, name in trace.commits() if of == repository]
        await _artifacts(
            trace,
            "a.repository = %(repository)s and a.commit_sha = any(%(shas)s)",
            {"repository": repository, "shas": shas},
        )


async def _artifacts(trace: Trace, which: LiteralString, arguments: dict[str, Any]) -> None:
    """Both ways: from what was built to what it was built of."""
    found = await traceability_releases.artifacts(trace.view, which, {**arguments, **trace.arguments})
    keys = [(row.repository, "COMMIT", row.commit) for row in found]
    rows = await _details(trace.view, _NAMED, _asked(list(dict.fromkeys(keys))))
    commits = {(row.repository, row.name): row for row in rows}
    for row in found:
        builder = f" by {row.builder}" if row.builder else ""
        signed = f", {row.signatures} signatures, not verified here" if row.signatures else ", unsigned"
        trace.step(
            trace.artifact(row),
            trace.change(commits[row.repository, row.commit]),
            TraceVia.ARTIFACT,
            100,
            f"provenance{builder}{signed}",
        )
