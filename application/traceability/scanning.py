"""Scanning a clone: its commits are recorded parents first, then by which way they came into the main branch.

What is recorded is closed under parents, so a scan that was interrupted goes on from the tips of it, and one that finds
nothing new reads nothing. Two at once do no harm: what is recorded twice is one commit.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import msgspec

from application.event_store.envelope import Stream
from application.event_store.streams import EventStore
from application.handling import Context, Decision, Further, execute, new_id, now, state_in
from application.traceability.commands import release_stream
from application.traceability.git import Git, GitCommit
from domain import text
from domain.access import may_scan
from domain.errors import Forbidden, RepositoryNotFound
from domain.traceability import findings, references, releases
from domain.traceability.findings import (
    Commit,
    CopiesFound,
    Copy,
    Finding,
    Introduction,
)
from domain.traceability.releases import RecordRelease, Release, ReleaseFollowed
from domain.traceability.repositories import Repository, RepositoryEvent

COMMITS_AT_ONCE = 500
"""Of one event: large enough to be quick, small enough to be read again beside thousands of others."""
INTRODUCTIONS_AT_ONCE = 2_000
COPIES_AT_ONCE = 500
NEAR = 1_000
"""Commits of the main branch among which most new releases are; the others are looked for in all of it."""

T = TypeVar("T")
Told = tuple[RepositoryEvent, Finding]
Progress = Callable[[int, int], None]
"""Told how many commits are recorded, and how many there are to record."""


class Scanned(msgspec.Struct, kw_only=True):
    """What a scan found that was not known. `position`: of the last event that it recorded; 0 if there was none."""

    commits: int = 0
    introduced: int = 0
    anew: bool = False
    position: int = 0


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Stands for a batch where commands are told apart."""

    first: str
    last: str
    count: int


class Recording:
    """Appends what was found in one repository. Raises Forbidden, RepositoryNotFound."""

    def __init__(self, store: EventStore, context: Context, repository: UUID) -> None:
        if not may_scan(context.actor):
            raise Forbidden("scan repositories")
        self._store, self._context, self.repository = store, context, repository
        self.state()

    def state(self) -> Repository:
        workspace = self._store.workspace(self._context.actor.workspace)
        state = state_in(workspace.load([self.repository]), self.repository, Repository)
        if state is None:
            raise RepositoryNotFound(self.repository)
        return state

    def append(self, found: Found, decide: Callable[[Repository, UUID], Told | None]) -> int:
        """What is recorded of the repository itself, and the portion that tells of it, whose id the decision is given.
        Returns the position after both. Raises Refused, StoreUnavailable."""
        batch = new_id()

        def decided(loaded: dict[UUID, Stream]) -> Decision:
            state = state_in(loaded, self.repository, Repository)
            assert state is not None, "a repository is never taken back"
            told = decide(state, batch)
            if told is None:
                return Decision(events=[], occurred_at=now())
            event, finding = told
            further = [Further(stream=batch, before=None, events=[finding])]
            return Decision(events=[event], occurred_at=now(), further=further)

        return execute(self._store, self._context, found, self.repository, [], decided).position

    def record_tags(self, git: Git, mainline: str, *, anew: bool) -> int:
        """Those that are new or stand elsewhere, with what they have beside the main branch; all where that one was
        replaced. Returns the position after them, 0 if there are none."""
        tags = git.tags()
        commands = [
            RecordRelease(repository=self.repository, tag=one.name, commit=one.commit, at=one.at) for one in tags
        ]
        known = self._store.workspace(self._context.actor.workspace).load(map(release_stream, commands))
        near, line = frozenset(git.line(mainline, NEAR)), list[str]()
        position = 0
        for command in commands:
            assert command.commit is not None, "a tag stands at a commit"
            release = state_in(known, release_stream(command), Release)
            if anew or release is None or not release.commit == release.followed == command.commit:
                own = command.commit in near
                line = line or ([] if own else git.line(mainline))
                position = self.record_release(command, git.beside(command.commit, [command.commit] if own else line))
        return position

    def record_release(self, command: RecordRelease, followed: ReleaseFollowed) -> int:
        """Returns the position after it. Raises Refused, StoreUnavailable."""
        id_ = release_stream(command)

        def decided(loaded: dict[UUID, Stream]) -> Decision:
            at = now()
            release = state_in(loaded, id_, Release)
            return Decision(events=[*releases.decide(release, command, at), followed], occurred_at=at)

        return execute(self._store, self._context, command, id_, [self.repository], decided).position

    def tell(self, found: Found, event: Finding, command: UUID | None = None) -> int:
        """What is true whatever happened meanwhile. Returns the position after it. Raises Refused, StoreUnavailable."""
        context = msgspec.structs.replace(self._context, command_id=command)
        decision = Decision(events=[event], occurred_at=now())
        return execute(self._store, context, found, new_id(), [], lambda _: decision, new=True).position


def scan(recording: Recording, path: Path, progress: Progress = lambda done, total: None) -> Scanned:
    """Raises Refused, StoreUnavailable. Safe to interrupt at any moment and to run again."""
    git = Git(path)
    git.must_be_whole()
    scanned = Scanned()
    state = recording.state()
    heads, mainline = git.heads(), git.mainline(state.default_branch)
    if mainline is None:
        return scanned
    heads = list(dict.fromkeys([mainline, *heads]))
    known = git.existing([*state.tips, *([state.mainline] if state.mainline else [])])
    total = git.count(heads, known)
    if total:
        for batch in batches(git.commits(heads, known), COMMITS_AT_ONCE):
            scanned.position = _record(recording, state, batch)
            scanned.commits += len(batch)
            progress(scanned.commits, total)
    _advance(recording, git, mainline, scanned)
    scanned.position = recording.record_tags(git, mainline, anew=scanned.anew) or scanned.position
    return scanned


def record_copies(recording: Recording, path: Path, possible: Sequence[tuple[str, str]]) -> int:
    """`possible`: pairs of a commit and an earlier one of the same author and time. Records which of them make the same
    change, where the clone has both; returns the position after that, 0 if there are none. Raises Refused,
    StoreUnavailable."""
    if not possible:
        return 0
    git = Git(path)
    there = frozenset(git.existing(dict.fromkeys(sha for pair in possible for sha in pair)))
    compared = [Copy(sha, origin) for sha, origin in possible if {sha, origin} <= there]
    patches = git.patch_ids(dict.fromkeys(sha for one in compared for sha in (one.sha, one.origin)))
    position = 0
    for batch in batches(compared, COPIES_AT_ONCE):
        same = {
            one: patches.get(one.sha) is not None and patches.get(one.sha) == patches.get(one.origin) for one in batch
        }
        event = CopiesFound(
            repository=recording.repository,
            copies=tuple(one for one in batch if same[one]),
            different=tuple(one for one in batch if not same[one]),
        )
        position = recording.tell(Found(first=batch[0].sha, last=batch[-1].sha, count=len(batch)), event)
    return position


def _record(recording: Recording, state: Repository, batch: Sequence[GitCommit]) -> int:
    commits = [_as_commit(one, state) for one in batch]
    texts: dict[str, Sequence[str]] = {
        one.sha: (as_line(one.author), as_line(one.email), as_line(one.message.partition("\n")[0])) for one in batch
    }
    found = Found(first=batch[0].sha, last=batch[-1].sha, count=len(batch))
    return recording.append(found, lambda state, id_: findings.record(state, recording.repository, commits, texts, id_))


def _as_commit(one: GitCommit, state: Repository) -> Commit:
    return Commit(
        sha=one.sha,
        parents=one.parents,
        authored_at=one.authored_at,
        committed_at=one.committed_at,
        mentions=references.mentions(one.message, state.trailers),
        reverts=references.reverted(one.message),
        picked=references.picked(one.message),
    )


def as_line(value: str) -> str:
    """As far as it is shown."""
    return value.strip()[: text.TITLE_LIMIT]


def _advance(recording: Recording, git: Git, head: str, scanned: Scanned) -> None:
    """Follows the main branch from where it was followed to, or from its beginning where that is no more its past."""
    before = recording.state().mainline
    if before == head:
        return
    start = before if before is not None and goes_on(git, before, head) else None
    scanned.anew = before is not None and start is None
    anew = scanned.anew
    for batch in batches(introductions(git, head, start), INTRODUCTIONS_AT_ONCE):
        found = Found(first=batch[0].by, last=batch[-1].by, count=len(batch))
        scanned.position = recording.append(
            found, partial(_introduced, id_=recording.repository, introduced=batch, anew=anew)
        )
        scanned.introduced += sum(1 + len(one.commits) for one in batch)
        anew = False


def _introduced(_: Repository, batch: UUID, *, id_: UUID, introduced: Sequence[Introduction], anew: bool) -> Told:
    return findings.introduce(id_, introduced, batch, anew=anew)


def goes_on(git: Git, before: str, head: str) -> bool:
    """Whether a commit stands in the line of first parents that ends at `head`."""
    if not git.existing([before]):
        return False
    _, *parents = next(git.graph(head, before, first_parent=True), (head,))
    return parents[:1] == [before]


def introductions(git: Git, head: str, start: str | None) -> Iterator[Introduction]:
    """For each commit of the main branch after `start`, oldest first: those that were reachable from it first."""
    parents = {sha: of for sha, *of in git.graph(head, start)}
    line: list[str] = []
    sha: str | None = head
    while sha is not None and sha in parents:
        line.append(sha)
        sha = parents[sha][0] if parents[sha] else None
    introduced: set[str] = set()
    for by in reversed(line):
        introduced.add(by)
        own: list[str] = []
        waiting = parents[by][1:]
        while waiting:
            sha = waiting.pop()
            if sha in parents and sha not in introduced:
                introduced.add(sha)
                own.append(sha)
                waiting += parents[sha]
        yield Introduction(by, tuple(own))


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
