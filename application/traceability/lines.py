"""How many lines at the head of the main branch are from each commit: `git blame` of every file of text.

What a file came to is kept beside: only what the main branch has changed since is blamed again, or all where that one
was replaced. When the time is over, what was done is kept, and the next run goes on from there.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

import msgspec

from application.handling import new_id
from application.traceability.git import Git
from application.traceability.scanning import Found, Recording, goes_on
from domain.traceability.findings import LinesCounted

FILE_LIMIT = 1_000_000
"""Bytes of a file that is looked into."""
FILES_LIMIT = 100_000
SECONDS = 600.0

Progress = Callable[[int, int], None]
"""Told how many files are done, and how many there are."""


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """`skipped`: binary files, those of more than 1 MB, and those that there was no time for: `left` of them."""

    lines: int
    files: int
    skipped: int
    left: int
    position: int


class _Kept(msgspec.Struct, frozen=True):
    """How many lines of each file were from which commit at a head, and by which command that was told."""

    head: str
    files: dict[str, dict[str, int]]
    skipped: int
    command: UUID

    def event(self, repository: UUID) -> LinesCounted:
        total: Counter[str] = Counter()
        for lines in self.files.values():
            total.update(lines)
        return LinesCounted(
            repository=repository,
            head=self.head,
            lines=dict(sorted(total.items())),
            files=len(self.files),
            skipped=self.skipped,
        )


def count_lines(
    recording: Recording,
    clone: Path,
    kept: Path,
    seconds: float = SECONDS,
    progress: Progress = lambda done, total: None,
) -> Counted:
    """`kept`: the file in which what was blamed is kept. Where all is as it was told last, nothing is recorded. Raises
    Refused, StoreUnavailable."""
    git = Git(clone)
    git.must_be_whole()
    state = recording.state()
    head = git.mainline(state.default_branch)
    if head is None:
        return Counted(lines=0, files=0, skipped=0, left=0, position=0)
    before = _read(kept)
    there = git.files(head)
    wanted = git.texts(head, there, FILE_LIMIT)
    files = _blamed(git, head, wanted[:FILES_LIMIT], _still(git, before, head), seconds, progress)
    now = _Kept(head, files, len(there) - len(files), new_id())
    event = now.event(recording.repository)
    if before is not None and before.event(recording.repository) == event:
        now = msgspec.structs.replace(now, command=before.command)
    _write(kept, now)
    position = recording.tell(Found(first=head, last=head, count=len(files)), event, now.command)
    return Counted(
        lines=sum(event.lines.values()),
        files=event.files,
        skipped=event.skipped,
        left=len(wanted) - len(files),
        position=position,
    )


def _still(git: Git, before: _Kept | None, head: str) -> dict[str, dict[str, int]]:
    """What is known of files and holds at a later head of the same branch: a file that no commit of its line changed is
    of the same commits."""
    if before is None or not goes_on(git, before.head, head):
        return {}
    changed = git.changed(before.head, head)
    return {path: lines for path, lines in before.files.items() if path not in changed}


def _blamed(
    git: Git, head: str, wanted: Sequence[str], known: dict[str, dict[str, int]], seconds: float, progress: Progress
) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    until = time.monotonic() + seconds
    for done, path in enumerate(wanted, start=1):
        if path in known:
            found[path] = known[path]
        elif time.monotonic() < until:
            found[path] = dict(git.blame_all(path, head))
        progress(done, len(wanted))
    return found


def _read(kept: Path) -> _Kept | None:
    try:
        return msgspec.json.decode(kept.read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError):
        return None


def _write(kept: Path, found: _Kept) -> None:
    """Whole or not at all."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    draft = kept.with_suffix(".draft")
    draft.write_bytes(msgspec.json.encode(found))
    draft.replace(kept)
