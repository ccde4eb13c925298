"""Scanning a repository of a hundred thousand commits, going on with it, and asking what stands behind its lines.

Of the commits that are asked about nearly all came by a merge request; their tickets are a part of others, and were
worked on.
"""

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from api.traceability_cli import scan_clone
from api.traceability_client import TRACE
from application import tickets, traceability, work
from application.event_store.database import Database
from application.event_store.streams import EventStore
from application.handling import Context, now
from application.tokens import issue_token
from application.workspaces import create_workspace, operator
from bench.figures import Figure, Spread
from bench.lab import Lab
from bench.load import Order, load
from bench.waiting import wait_until_read
from domain.access import Actor, Scope
from domain.hierarchy import SetParent
from domain.tickets import OpenTicket
from domain.traceability.repositories import DefineRepository
from domain.traceability.requests import RecordMergeRequest, RequestState
from domain.work import LogWork
from projections.engine import Session
from projections.reading import ReadModels
from projections.registry import PROJECTIONS
from projections.traceability_costs import walk
from projections.traceability_trace import Trace, of_commit, of_release

COMMITS = 100_000
TICKETS, PROJECTS = 200, 10
"""Tickets that commits name, and those that they are a part of."""
BRANCH = 5
"""Commits of each branch that is merged, its merge included."""
REQUESTS = 2_000
"""Merge requests that are recorded, of the last merges."""
RELEASED = 500
LINES = 50
NEW = 10
FIRST_SECOND = 1_600_000_000


def tracing(lab: Lab) -> Iterator[Figure]:
    commits = lab.size.of(COMMITS, 200)
    with tempfile.TemporaryDirectory() as folder, lab.database() as database, EventStore(database) as store:
        clone = Path(folder) / "shop.git"
        grown = _Repository(clone)
        lab.said("tracing: making a repository", lambda: grown.grow(commits))
        workspace = create_workspace(database, store, "acme", "Acme")
        actor = operator(workspace.id)
        context = Context(actor=actor)
        _open_tickets(store, context)
        define = DefineRepository(key="shop", name="Shop", default_branch="main")
        repository = traceability.handle(store, context, define).stream
        seconds = lab.said("tracing: scan", lambda: _scanned(database, store, actor, repository, clone))
        rate = Spread.of([commits / seconds])
        yield Figure(name="scan and link a repository", unit="commits/s", value=rate, bar="at least", limit=5_000)
        for number, sha in enumerate(grown.merges(lab.size.of(REQUESTS, 2)), start=1):
            request = RecordMergeRequest(
                repository=repository,
                number=number,
                title=f"Request {number}",
                state=RequestState.MERGED,
                merge_commit=sha,
            )
            traceability.handle(store, context, request)
        lab.said("tracing: link requests", lambda: _scanned(database, store, actor, repository, clone))
        again: list[float] = []
        for _ in range(lab.size.rounds):
            grown.grow(NEW)
            again.append(lab.said("tracing: again", lambda: _scanned(database, store, actor, repository, clone)))
        yield Figure(name=f"scan again, {NEW} commits more", unit="s", value=Spread.of(again), limit=1.0)
        lines = grown.some(lab.size.of(LINES, 5), BRANCH * lab.size.of(REQUESTS, 2))
        yield from asyncio.run(_asked(lab, database, actor, repository, grown, lines))
        yield _over_http(lab, database, actor, lines)


def _open_tickets(store: EventStore, context: Context) -> None:
    """The first ones are those that commits name."""
    ids = [tickets.handle(store, context, OpenTicket(title=f"Ticket {n}", role="TASK")).stream for n in range(TICKETS)]
    projects = [
        tickets.handle(store, context, OpenTicket(title=f"Project {n}", role="PROJECT")).stream for n in range(PROJECTS)
    ]
    for n, ticket in enumerate(ids):
        tickets.handle(store, context, SetParent(ticket=ticket, parent=projects[n % PROJECTS]))
        started = now() - timedelta(days=1, minutes=n)
        work.handle(store, context, LogWork(ticket=ticket, started_at=started, seconds=60))


def _scanned(database: Database, store: EventStore, actor: Actor, repository: UUID, clone: Path) -> float:
    """With all read models brought up to date, as a server would."""
    started = time.perf_counter()
    scan_clone(database, store, actor, repository, clone)
    seconds = time.perf_counter() - started
    with Session(database, {one.name: one for one in PROJECTIONS}) as session:
        session.catch_up()
    return seconds


async def _asked(
    lab: Lab, database: Database, actor: Actor, repository: UUID, grown: "_Repository", lines: Sequence[str]
) -> Iterator[Figure]:
    """On a connection that is new: the first answers have their statements planned, too."""
    async with ReadModels(database, size=1) as models:
        view = models.view(actor)
        of_one = [await _milliseconds(of_commit, view, sha) for sha in lines]
        released = [await _milliseconds(of_release, view, repository, "v2") for _ in range(lab.size.rounds)]
    return iter(
        [
            Figure(name="trace of a line, after blame", unit="ms", value=Spread.of(of_one), limit=50),
            Figure(
                name=f"trace of a release of {grown.released} commits", unit="ms", value=Spread.of(released), limit=300
            ),
        ]
    )


async def _milliseconds(query: Callable[..., Any], *arguments: Any) -> float:
    started = time.perf_counter()
    trace: Trace = await query(*arguments)
    await walk(trace)
    assert trace.nodes
    return (time.perf_counter() - started) * 1000


def _over_http(lab: Lab, database: Database, actor: Actor, lines: Sequence[str]) -> Figure:
    token = issue_token(database, actor.workspace, actor.person, [Scope.ADMIN], "bench", timedelta(days=1))
    bodies = [msgspec.json.encode({"query": TRACE, "variables": {"sha": sha}}).decode() for sha in lines]
    with lab.server(database) as server:
        wait_until_read(database)
        order = Order(
            port=server.port,
            path="/graphql",
            token=token,
            bodies=[bodies],
            warm_seconds=lab.size.seconds / 4,
            seconds=lab.size.seconds,
            expected='"nodes":[{',
        )
        taken = [lab.said("tracing: over HTTP", lambda: load(order).p50) for _ in range(lab.size.rounds)]
    return Figure(
        name="trace of a line, after blame, over HTTP as `proteus trace FILE:LINE` asks, p50",
        unit="ms",
        value=Spread.of(taken),
        limit=50,
    )


class _Repository:
    """A bare repository that `git fast-import` writes: branches of a few commits, merged one after another."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.commits = 0
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(path)], check=True)

    @property
    def released(self) -> int:
        return min(RELEASED, self.commits // 2)

    def grow(self, commits: int) -> None:
        lines: list[bytes] = []
        head = self._git("rev-parse", "main") if self.commits else None
        main = f"from {head}\n".encode() if head else b""
        for n in range(self.commits, self.commits + commits):
            mark, merge = n + 1, n % BRANCH == BRANCH - 1
            ticket = f"\n\nTicket: T-{n % TICKETS + 1}" if n % BRANCH == 1 else ""
            message = f"{'Merge branch' if merge else 'Change'} {n}{ticket}".encode()
            side = n % BRANCH not in (0, BRANCH - 1)
            lines.append(f"commit refs/heads/{'side' if side else 'main'}\nmark :{mark}\n".encode())
            lines.append(
                f"committer Author {n % 50} <author{n % 50}@example.org> {FIRST_SECOND + n * 60} +0000\n".encode()
            )
            lines.append(b"data %d\n%s\n" % (len(message), message))
            if merge and n - self.commits >= BRANCH - 1:
                lines.append(f"from :{mark - BRANCH + 1}\nmerge :{mark - 1}\n".encode())
            elif n > self.commits:
                lines.append(f"from :{mark - 1}\n".encode())
            else:
                lines.append(main)
            content = f"Line {n}\n".encode()
            lines.append(b"M 644 inline file%d.txt\ndata %d\n%s\n" % (n % 100, len(content), content))
        lines.append(f"reset refs/heads/main\nfrom :{self.commits + commits}\n\n".encode())
        self.commits += commits
        subprocess.run(
            ["git", "-C", str(self.path), "fast-import", "--quiet", "--force"], input=b"".join(lines), check=True
        )
        self._git("tag", "--force", "v1", f"main~{self.released // BRANCH * 2}")
        self._git("tag", "--force", "v2", "main")

    def merges(self, count: int) -> list[str]:
        return self._git("rev-list", "--merges", f"--max-count={count}", "main").split()

    def some(self, count: int, of: int) -> list[str]:
        """Of the last commits; not all of them at one place of their branch."""
        last = self._git("rev-list", f"--max-count={of}", "main").split()
        return last[:: max(1, of // count - 1)][:count]

    def _git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.path), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
