"""How many lines at a repository's head are from each commit: a part of `traceability`."""

from typing import LiteralString

from domain.traceability.findings import LinesCounted
from projections.projection import Change
from projections.writing import Writes

TABLES = ("line_count", "line_counted")

DDL: LiteralString = """
create table line_count ( -- how many lines at the head are from each commit
  workspace   uuid not null,
  repository  uuid not null,
  sha         text not null,
  lines       integer not null,
  primary key (repository, sha)
);
create table line_counted (
  workspace   uuid not null,
  repository  uuid primary key,
  position    bigint not null,
  head        text not null,
  files       integer not null,
  skipped     integer not null,
  counted_at  timestamptz not null
);
"""


def fold(write: Writes, change: Change, event: LinesCounted) -> None:
    """In place of what was counted before."""
    envelope, repository = change.envelope, event.repository
    write.execute("delete from line_count where repository = %s", (repository,))
    write.execute("delete from line_counted where repository = %s", (repository,))
    rows = [
        {"workspace": envelope.workspace, "repository": repository, "sha": sha, "lines": lines}
        for sha, lines in event.lines.items()
    ]
    counted = {
        "workspace": envelope.workspace,
        "repository": repository,
        "position": envelope.position,
        "head": event.head,
        "files": event.files,
        "skipped": event.skipped,
        "counted_at": envelope.occurred_at,
    }
    write.insert("line_count", rows)
    write.insert("line_counted", [counted])
