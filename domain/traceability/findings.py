"""What was found in a repository: commits, the way of its main branch, copies, links to tickets.

Each portion of hundreds is a stream of its own, so that who goes on with a repository of a hundred thousand commits
need not read again what was found before. Commits are recorded parents first, so that what is recorded is closed under
parents and the repository's tips say all of it: a scan goes on from them, wherever it was interrupted and whatever was
pushed meanwhile.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import msgspec

from domain.text import PASSING, SEALED
from domain.traceability.references import Mention
from domain.traceability.repositories import ChangeKind, HistoryRecorded, MainlineAdvanced, Repository, sha

Texts = Annotated[dict[str, Sequence[str]] | str, msgspec.Meta(extra={SEALED: True, PASSING: True})]
"""Of commits by their hash: author's name, author's address, subject. The `str` is the sealed form."""


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """`reverts`, `picked`: the commit that it takes back or repeats, by its own message."""

    sha: str
    parents: tuple[str, ...]
    authored_at: datetime
    committed_at: datetime
    mentions: tuple[Mention, ...] = ()
    reverts: str | None = None
    picked: str | None = None


class Introduction(msgspec.Struct, frozen=True):
    """A commit of the main branch, and those that were reachable from it first."""

    by: str
    commits: tuple[str, ...] = ()


class Copy(msgspec.Struct, frozen=True):
    """Two commits that make the same change (`git patch-id`), as a rebase or a cherry-pick leaves behind."""

    sha: str
    origin: str


class LinkSource(StrEnum):
    """Why a change is thought to belong to a ticket; what a person says outweighs all."""

    PERSON = "PERSON"
    TRAILER = "TRAILER"
    REQUEST = "REQUEST"
    MERGE = "MERGE"
    COPY = "COPY"
    BRANCH = "BRANCH"
    TEXT = "TEXT"


CONFIDENCE = {
    LinkSource.PERSON: 100,
    LinkSource.TRAILER: 95,
    LinkSource.REQUEST: 90,
    LinkSource.MERGE: 85,
    LinkSource.COPY: 75,
    LinkSource.BRANCH: 60,
    LinkSource.TEXT: 40,
}
"""In percent."""


class FoundLink(msgspec.Struct, frozen=True, kw_only=True):
    """`change`: a commit's hash, or a request's number. `evidence`: what was found, where."""

    kind: ChangeKind
    change: str
    ticket: UUID
    source: LinkSource
    evidence: str


# ---- events


class CommitsRecorded(msgspec.Struct, frozen=True, kw_only=True):
    """Parents first."""

    repository: UUID
    commits: tuple[Commit, ...]
    texts: Texts


class CommitsPushed(msgspec.Struct, frozen=True, kw_only=True):
    """As a provider told at once, without parents: a scan completes them."""

    repository: UUID
    commits: tuple[Commit, ...]
    texts: Texts


class CommitsIntroduced(msgspec.Struct, frozen=True, kw_only=True):
    """By the first parents of the main branch, oldest first. `anew`: its history was replaced, so what it had
    introduced before no longer holds."""

    repository: UUID
    introduced: tuple[Introduction, ...]
    anew: bool = False


class CopiesFound(msgspec.Struct, frozen=True, kw_only=True):
    """Of commits that one author wrote at one second. `different`: those of them that are no copies."""

    repository: UUID
    copies: tuple[Copy, ...]
    different: tuple[Copy, ...] = ()


class ChangesLinked(msgspec.Struct, frozen=True, kw_only=True):
    repository: UUID
    links: tuple[FoundLink, ...]


class ChangesUnlinked(msgspec.Struct, frozen=True, kw_only=True):
    """What these followed from is no more so: a text was changed, a tracker mapped otherwise, a history replaced."""

    repository: UUID
    links: tuple[FoundLink, ...]


class LinesCounted(msgspec.Struct, frozen=True, kw_only=True):
    """Of the files at `head`: how many lines are from each commit. A count replaces the ones before."""

    repository: UUID
    head: str
    lines: dict[str, int]
    files: int
    skipped: int


Finding = (
    CommitsRecorded | CommitsPushed | CommitsIntroduced | CopiesFound | ChangesLinked | ChangesUnlinked | LinesCounted
)


# ---- commands


class RecordPush(msgspec.Struct, frozen=True, kw_only=True):
    """Commits that a provider says were pushed."""

    repository: UUID
    commits: tuple[Commit, ...]
    texts: dict[str, Sequence[str]]


# ---- state


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a portion when it is there: nothing follows it."""

    repository: UUID


def record(
    repository: Repository, id_: UUID, commits: Sequence[Commit], texts: dict[str, Sequence[str]], batch: UUID
) -> tuple[HistoryRecorded, CommitsRecorded] | None:
    """`id_`: the repository's. Those that are not its tips already; None if there are none. Raises InvalidValue."""
    new = tuple(commit for commit in commits if commit.sha not in repository.tips)
    if not new:
        return None
    for commit in new:
        for one in (commit.sha, *commit.parents):
            sha(one)
    parents = {parent for commit in new for parent in commit.parents}
    history = HistoryRecorded(
        batch=batch,
        commits=len(new),
        tips=tuple(commit.sha for commit in new if commit.sha not in parents),
        passed=tuple(sorted(repository.tips & parents)),
    )
    return history, CommitsRecorded(repository=id_, commits=new, texts={one.sha: texts[one.sha] for one in new})


def introduce(
    id_: UUID, introduced: Sequence[Introduction], batch: UUID, *, anew: bool
) -> tuple[MainlineAdvanced, CommitsIntroduced]:
    """At least one commit of the main branch."""
    advanced = MainlineAdvanced(
        batch=batch,
        head=introduced[-1].by,
        introduced=sum(1 + len(one.commits) for one in introduced),
        anew=anew,
    )
    return advanced, CommitsIntroduced(repository=id_, introduced=tuple(introduced), anew=anew)


def push(command: RecordPush) -> list[CommitsPushed]:
    """Raises InvalidValue."""
    for commit in command.commits:
        sha(commit.sha)
    if not command.commits:
        return []
    return [CommitsPushed(repository=command.repository, commits=command.commits, texts=command.texts)]


def evolve(batch: Batch | None, event: Finding, at: datetime) -> Batch:
    return Batch(repository=event.repository)
