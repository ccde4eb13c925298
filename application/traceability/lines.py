"""How many lines at the head of the main branch are from each commit: `git blame` of every file of text.

What a file came to is kept beside, by its content: only what has changed since is blamed again. When the time is over,
what was done is kept, and the next run goes on from there.
"""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

from application.traceability.git import Git
from application.traceability.scanning import Found, Recording
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
    """Of a file: its content, and how many lines are from which commit."""

    blob: str
    lines: dict[str, int]


def count_lines(
    recording: Recording,
    clone: Path,
    kept: Path,
    seconds: float = SECONDS,
    progress: Progress = lambda done, total: None,
) -> Counted:
    """`kept`: the file in which what was blamed is kept. Raises Refused, StoreUnavailable."""
    git = Git(clone)
    git.must_be_whole()
    state = recording.state()
    head = git.mainline(state.default_branch)
    if head is None:
        return Counted(lines=0, files=0, skipped=0, left=0, position=0)
    before = _read(kept)
    there = git.files(head)
    wanted = git.texts(head, there, FILE_LIMIT)
    chosen = dict(list(wanted.items())[:FILES_LIMIT])
    found: dict[str, _Kept] = {}
    until = time.monotonic() + seconds
    for done, (path, blob) in enumerate(chosen.items(), start=1):
        known = before.get(path)
        if known is not None and known.blob == blob:
            found[path] = known
        elif time.monotonic() < until:
            found[path] = _Kept(blob, dict(git.blame_all(path, head)))
        progress(done, len(chosen))
    _write(kept, found)
    total: Counter[str] = Counter()
    for one in found.values():
        total.update(one.lines)
    event = LinesCounted(
        repository=recording.repository,
        head=head,
        lines=dict(sorted(total.items())),
        files=len(found),
        skipped=len(there) - len(found),
    )
    position = recording.tell(Found(first=head, last=head, count=len(found)), event)
    return Counted(
        lines=total.total(),
        files=len(found),
        skipped=event.skipped,
        left=len(wanted) - len(found),
        position=position,
    )


def _read(kept: Path) -> dict[str, _Kept]:
    try:
        return msgspec.json.decode(kept.read_bytes(), type=dict[str, _Kept])
    except (OSError, msgspec.DecodeError):
        return {}


def _write(kept: Path, found: dict[str, _Kept]) -> None:
    """Whole or not at all."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    draft = kept.with_suffix(".draft")
    draft.write_bytes(msgspec.json.encode(found))
    draft.replace(kept)
