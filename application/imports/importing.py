"""Import of another system's history. Every row is one command, whose id is derived from the row: what was recorded
before is known and skipped, so that an import can be interrupted, repeated and continued.

Beside this module, by behaviour: mapping (what columns mean), source, json_lines and xes (reading), spool (ordering),
names (people, teams, services), workflow, planning (deciding), rejects.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol
from uuid import uuid5

import msgspec

from application.event_store.recorder import AlreadyRecorded, VersionConflict
from application.event_store.streams import EventStore, WorkspaceStore
from application.handling import ATTEMPTS, Context, now
from application.imports.custom_fields import CustomFields
from application.imports.json_lines import JsonLines
from application.imports.mapping import ImportMapping, check_columns, check_seen
from application.imports.names import Known, Names
from application.imports.planning import CHANNEL, Counts, Plan, Planner
from application.imports.rejects import Rejects
from application.imports.source import Csv, Source
from application.imports.spool import Fault, RowReader, Said, Spool, SpooledRow
from application.imports.workflow import define_workflow
from application.imports.xes import Xes
from application.workflows import workflows_in, workflows_stream
from domain.access import Actor, may_import
from domain.errors import Conflict, Forbidden
from domain.imports import Origin

CHUNK_ROWS = 2_000
"""A chunk ends with the ticket that reaches this."""

LONGEST_CHUNK_ROWS = 10_000
"""A ticket with more rows goes over several chunks."""

PROGRESS_ROWS = 2_000

Stage = Literal["reading", "writing"]


class Progress(Protocol):
    """Told how far a stage is: bytes of the file while reading, rows while writing."""

    def __call__(self, stage: Stage, done: int, total: int) -> None: ...


class Summary(Counts, kw_only=True):
    """What an import came to. `rows` = imported + unchanged + duplicates + rejected. `first_at` and `last_at`: of the
    rows that could be read. `passed_over`: rows that the mapping leaves alone, by the value for which it does.
    `unseen`: columns of the mapping that no row had. `seconds`: of the whole import."""

    rows: int = 0
    rejected: int = 0
    passed_over: Counter[str] = msgspec.field(default_factory=Counter[str])
    unseen: list[str] = msgspec.field(default_factory=list[str])
    first_at: datetime | None = None
    last_at: datetime | None = None
    seconds: float = 0.0

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds if self.seconds else 0.0

    def add(self, counts: Counts) -> None:
        for name in counts.__struct_fields__:
            value = getattr(counts, name)
            if isinstance(value, int):
                setattr(self, name, getattr(self, name) + value)
            else:
                getattr(self, name).update(value)


def import_file(
    store: EventStore,
    actor: Actor,
    path: Path,
    mapping: ImportMapping,
    *,
    known: Known,
    rejects_path: Path,
    progress: Progress,
    dry_run: bool = False,
) -> Summary:
    """Reads all of the file, then writes it, a few thousand rows at a time. `known`: what the workspace has already, by
    name. `rejects_path`: rows that could not be taken, with line and reason; there is no such file if all could.
    A dry run decides everything and writes nothing.

    Safe to interrupt at any moment and to run again. Raises Refused where nothing can be imported, StoreUnavailable.
    """
    if not may_import(actor):
        raise Forbidden("import")
    started = time.monotonic()
    summary = Summary()
    workspace = store.workspace(actor.workspace)
    secret = workspace.subject_key()
    with _opened(path, mapping) as source, Spool() as spool:
        check_columns(mapping, source.header)
        reader = RowReader(mapping, source.header, secret, now())
        with Rejects(rejects_path, source.header) as rejects:
            spool.fill(_read(source, reader, rejects, summary, progress))
            summary.unseen = source.unseen()
            check_seen(mapping, summary.unseen)
            planner = _planner(store, actor, path.name, mapping, reader, secret, known, dry_run=dry_run)
            readable = summary.rows - rejects.count
            done = 0
            for chunk in _chunks(spool.rows()):
                plan = planner.plan(chunk) if dry_run else _write(workspace, planner, chunk)
                summary.add(plan.counts)
                for row, reason in plan.rejects:
                    rejects.add(row.line, reason, msgspec.json.decode(row.raw, type=list[str]))
                done += len(chunk)
                progress("writing", done, readable)
            summary.rejected = rejects.count
    summary.seconds = time.monotonic() - started
    return summary


def _opened(path: Path, mapping: ImportMapping) -> Source:
    """Raises InvalidValue."""
    columns = list(dict.fromkeys(column for _, column in mapping.named_columns()))
    match mapping.file.format:
        case "csv":
            return Csv(path, mapping.file)
        case "jsonl":
            return JsonLines(path, mapping.file, columns)
        case "xes":
            return Xes(path, mapping.file, columns)


def _planner(
    store: EventStore,
    actor: Actor,
    file_name: str,
    mapping: ImportMapping,
    reader: RowReader,
    secret: bytes,
    known: Known,
    *,
    dry_run: bool,
) -> Planner:
    """Once all of the file is read, so that every status and name in it is known. Raises Refused."""
    context = Context(actor=actor, channel=CHANNEL, source=file_name)
    workflow = define_workflow(store, context, mapping, reader.statuses.all(), dry_run=dry_run)
    role = mapping.role.role or next(iter(mapping.role.values.values()))
    origin_id = uuid5(actor.workspace, f"import:{mapping.source}")
    workspace, catalogue = store.workspace(actor.workspace), workflows_stream(actor.workspace)
    defined = workflows_in(workspace.load([catalogue]), actor.workspace)
    return Planner(
        workspace,
        actor.person,
        file_name,
        Origin(workflow=workflow, role=role),
        origin_id,
        reader.statuses,
        Names(actor.workspace, origin_id, secret, known, reader.found),
        CustomFields(workspace, defined, known),
        dry_run=dry_run,
    )


def _read(
    source: Source, reader: RowReader, rejects: Rejects, summary: Summary, progress: Progress
) -> Iterator[tuple[int, str, datetime, bytes, Said, bytes]]:
    for row in source.rows():
        if (value := reader.passes_over(row)) is not None:
            summary.passed_over[value] += 1
            continue
        summary.rows += 1
        if summary.rows % PROGRESS_ROWS == 0:
            progress("reading", source.bytes_read, source.bytes)
        try:
            key, at, digest, said, raw = reader.read(row)
        except Fault as fault:
            rejects.add(row.line, str(fault), row.cells)
            continue
        if summary.first_at is None or at < summary.first_at:
            summary.first_at = at
        if summary.last_at is None or at > summary.last_at:
            summary.last_at = at
        yield row.line, key, at, digest, said, raw
    progress("reading", source.bytes, source.bytes)


def _chunks(rows: Iterable[SpooledRow]) -> Iterator[list[SpooledRow]]:
    chunk: list[SpooledRow] = []
    for row in rows:
        full = len(chunk) >= CHUNK_ROWS and row.key != chunk[-1].key
        if full or len(chunk) >= LONGEST_CHUNK_ROWS:
            yield chunk
            chunk = []
        chunk.append(row)
    if chunk:
        yield chunk


def _write(workspace: WorkspaceStore, planner: Planner, chunk: list[SpooledRow]) -> Plan:
    """All of it or nothing. Where somebody changes the same tickets meanwhile, it is decided again."""
    for _ in range(ATTEMPTS):
        plan = planner.plan(chunk)
        workspace.prepare_keys(plan.subjects)
        try:
            if plan.envelopes:
                workspace.append(plan.envelopes, unchanged=plan.unchanged)
            elif plan.unchanged:
                workspace.record_unchanged(plan.unchanged)
        except (VersionConflict, AlreadyRecorded):
            planner.give_up(plan)
        else:
            return plan
    raise Conflict(None, None)
