"""`proteus import`: another system's history from a CSV file."""

import asyncio
import signal
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from api.runtime import home, open_database
from application.embedded_postgres import EmbeddedPostgresError
from application.event_store.attempts import StoreUnavailable
from application.event_store.database import Database, DatabaseNotUsable
from application.event_store.streams import EventStore
from application.imports.importing import Stage, Summary, import_file
from application.imports.mapping import ImportMapping, read_mapping
from application.imports.names import Known
from application.imports.work import import_work
from application.imports.work_mapping import WorkMapping, is_work, read_work_mapping
from application.workspaces import Workspace, list_workspaces, operator
from domain.access import Actor
from domain.errors import InvalidValue, Refused
from projections import directory, status
from projections.engine import Session
from projections.reading import ReadModels, ReadModelsUnavailable

SOME_REJECTED = 3
"""Exit code: the import is complete, except for the rows in the rejects file."""

INTERRUPTED = 130
DIRECTORY_PATIENCE = 30.0
"""Seconds for the directory to know everybody that was added so far."""


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--mapping", "mapping_path", required=True, type=click.Path(path_type=Path), help="TOML: what columns mean."
)
@click.option("--workspace", help="Its key; may be left out where there is only one.")
@click.option("--rejects", type=click.Path(path_type=Path), help="Rows not taken, with reasons  [FILE.rejects.csv]")
@click.option("--dry-run", is_flag=True, help="Decide everything, write nothing.")
def import_command(file: Path, mapping_path: Path, workspace: str | None, rejects: Path | None, dry_run: bool) -> None:
    """Import the history in FILE, a CSV file (plain, .gz or .xz): of tickets, or of work on them.

    Interrupt it when you like; the same command goes on where it was. Rows that were imported before are known and
    skipped. Exit code: 0 all rows were taken, 3 some were rejected, 1 nothing could be imported, 130 interrupted.
    """
    try:
        said = _text(mapping_path)
        mapping = read_work_mapping(said) if is_work(said) else read_mapping(said)
        with interruptible(), open_database(home()) as database, EventStore(database) as store:
            chosen = choose_workspace(database, workspace)
            rejects = rejects or Path(f"{file.name}.rejects.csv")
            summary = run_import(database, store, chosen, file, mapping, rejects, dry_run=dry_run)
    except KeyboardInterrupt:
        click.echo("Interrupted; run the same command again to go on.", err=True)
        sys.exit(INTERRUPTED)
    except Refused as error:
        raise click.ClickException(error.message) from None
    except (StoreUnavailable, DatabaseNotUsable, EmbeddedPostgresError, ReadModelsUnavailable, psycopg.Error) as error:
        raise click.ClickException(f"{error}\nWhat was imported so far is kept; run the same command again.") from None
    if summary.rejected:
        sys.exit(SOME_REJECTED)


def choose_workspace(database: Database, key: str | None) -> Workspace:
    """Raises InvalidValue."""
    there = list_workspaces(database)
    chosen = [workspace for workspace in there if key is None or workspace.key == key]
    if len(chosen) == 1:
        return chosen[0]
    if not there:
        raise InvalidValue("There is no workspace yet. Make one: proteus workspace create KEY NAME.", ("workspace",))
    keys = ", ".join(workspace.key for workspace in there)
    what = "Name the workspace with --workspace" if key is None else f"There is no workspace {key!r}"
    raise InvalidValue(f"{what}. Workspaces: {keys}.", ("workspace",))


def run_import(
    database: Database,
    store: EventStore,
    workspace: Workspace,
    file: Path,
    mapping: ImportMapping | WorkMapping,
    rejects: Path,
    *,
    dry_run: bool = False,
) -> Summary:
    """With a progress bar and a summary on standard error. Raises what import_file raises."""
    console = Console(stderr=True)
    actor = operator(workspace.id)
    known = known_names(database, actor)
    columns = (
        TextColumn("{task.description:>8}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        tasks: dict[Stage, TaskID] = {}

        def progress(stage: Stage, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, unit="bytes" if stage == "reading" else "rows")
            bars.update(tasks[stage], completed=done, total=total)

        given: dict[str, Any] = {"known": known, "rejects_path": rejects, "progress": progress, "dry_run": dry_run}
        if isinstance(mapping, WorkMapping):
            summary = import_work(store, actor, file, mapping, **given)
        else:
            summary = import_file(store, actor, file, mapping, **given)
    console.print(_table(summary, rejects, dry_run=dry_run))
    return summary


def known_names(database: Database, actor: Actor) -> Known:
    """Who and what the workspace has by now. Brings the directory up to date where no server or worker does.

    Raises ReadModelsUnavailable, psycopg.Error.
    """
    deadline = time.monotonic() + DIRECTORY_PATIENCE
    head = asyncio.run(_head(database))
    while True:
        with Session(database, {directory.PROJECTION.name: directory.PROJECTION}) as session:
            session.acquire()  # where another process leads, there is nothing to step
            while session.step():
                pass
        known = asyncio.run(_known_names(database, actor, head))
        if known is not None:
            return known
        if time.monotonic() > deadline:
            raise ReadModelsUnavailable("The directory is behind the log. `proteus status` shows how far.")
        time.sleep(0.2)


async def _head(database: Database) -> int:
    async with ReadModels(database, size=1) as models:
        return (await status.status(models)).head


async def _known_names(database: Database, actor: Actor, head: int) -> Known | None:
    """None while the directory has not come to this position."""
    async with ReadModels(database, size=1) as models:
        stand = await status.status(models)
        if any(one.name == directory.PROJECTION.name and one.position < head for one in stand.projections):
            return None
        index = await directory.name_index(models.view(actor))
    return Known(people=index.people, teams=index.teams, services=index.services)


def _table(summary: Summary, rejects: Path, *, dry_run: bool) -> Table:
    table = Table(
        title="Dry run: nothing was written" if dry_run else "Imported", show_header=False, title_justify="left"
    )
    table.add_column(justify="right")
    table.add_column()
    for number, what in (
        (summary.rows, "rows read"),
        (summary.imported, "rows changed something"),
        (summary.unchanged, "rows changed nothing"),
        (summary.duplicates, "rows were imported before, or are in the file twice"),
        (summary.rejected, f"rows were rejected: see {rejects}" if summary.rejected else "rows were rejected"),
    ):
        table.add_row(f"{number:,}", what)
    table.add_section()
    table.add_row(f"{summary.tickets_new:,}", "tickets opened")
    table.add_row(f"{summary.tickets_updated:,}", "tickets that were there got newer events")
    for number, what in (
        (summary.people_added, "people added"),
        (summary.teams_added, "teams added"),
        (summary.services_added, "services added"),
    ):
        table.add_row(f"{number:,}", what)
    table.add_section()
    for name, number in summary.events.most_common():
        table.add_row(f"{number:,}", name)
    if summary.ignored:
        table.add_section()
        for name, number in summary.ignored.most_common():
            table.add_row(f"{number:,}", f"changes of {name} after the opening, which no event says, were passed over")
    for value, number in summary.passed_over.most_common():
        table.add_row(f"{number:,}", f"rows with {value!r} were passed over, as the mapping says")
    for column in summary.unseen:
        table.add_row("", f"no row of the file has {column!r}, which the mapping names")
    table.add_section()
    if summary.first_at is not None and summary.last_at is not None:
        table.add_row("", f"from {summary.first_at.isoformat()} to {summary.last_at.isoformat()}")
    table.add_row(f"{summary.seconds:.1f}", f"seconds, {summary.rows_per_second:,.0f} rows/s")
    return table


def _text(path: Path) -> str:
    """Raises InvalidValue."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidValue(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise InvalidValue(f"{path} is not UTF-8: {error}.") from None


@contextmanager
def interruptible() -> Generator[None]:
    """SIGTERM ends an import as Ctrl-C does: in order, and with a word."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
