"""`proteus trace`: what stands behind changes of code, at the command line."""

import asyncio
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import click
from psycopg import sql
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from api import traceability_client
from api.catching_up import catching_up
from api.imports import choose_workspace
from api.runtime import home, open_database
from api.traceability_linking import READ_MODELS, Linked, link
from application.event_store.database import Database, Role
from application.event_store.streams import EventStore
from application.handling import Context
from application.traceability.commands import repository_stream
from application.traceability.lines import SECONDS, count_lines
from application.traceability.scanning import Recording, Scanned, scan
from application.workspaces import operator
from domain.access import Actor
from projections import traceability
from projections.reading import ReadModels

INTERRUPTED = 130
MANY = 1_000
"""Commits, or links, of one scan, from which on the planner is told of them at once."""


Resolved = tuple[str | None, click.Command | None, list[str]]


class FileOrCommand(click.Group):
    """What is none of its commands is a file."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        return super().resolve_command(ctx, args if args[0] in self.commands else ["line", *args])


@click.group(cls=FileOrCommand, subcommand_metavar="FILE[:LINE] | COMMAND")
def trace() -> None:
    """Trace changes of code to tickets, and back.

    Inside a clone, `proteus trace FILE:LINE` says which request stands behind a line. It asks the server of
    PROTEUS_URL with the token in PROTEUS_TOKEN.
    """


trace.add_command(traceability_client.line_command)
trace.add_command(traceability_client.check_command)
trace.add_command(traceability_client.attach_command)


@trace.command("scan")
@click.argument("clone", type=click.Path(path_type=Path))
@click.option("--repository", "key", required=True, help="Its key, as defineRepository gave it.")
@click.option("--workspace", help="Its key; may be left out where there is only one.")
def scan_command(clone: Path, key: str, workspace: str | None) -> None:
    """Record the commits of CLONE, a clone (working or bare) on this machine, and link them to tickets.

    Only what is new is read. Interrupt it when you like; the same command goes on where it was.
    """
    try:
        with open_database(home()) as database, EventStore(database) as store:
            chosen = choose_workspace(database, workspace)
            actor = operator(chosen.id)
            scanned, linked = scan_clone(database, store, actor, repository_stream(chosen.id, key), clone)
    except KeyboardInterrupt:
        click.echo("Interrupted; run the same command again to go on.", err=True)
        sys.exit(INTERRUPTED)
    anew = " Its main branch was replaced, and was followed anew." if scanned.anew else ""
    withdrawn = f" Links that hold no more: {linked.unlinked:,}." if linked.unlinked else ""
    click.echo(f"New commits: {scanned.commits:,}, new links: {linked.links:,}.{anew}{withdrawn}")


@trace.command("lines")
@click.argument("clone", type=click.Path(path_type=Path))
@click.option("--repository", "key", required=True, help="Its key, as defineRepository gave it.")
@click.option("--workspace", help="Its key; may be left out where there is only one.")
@click.option("--seconds", type=click.FloatRange(min=0), default=SECONDS, show_default=True, help="Then it stops.")
def lines_command(clone: Path, key: str, workspace: str | None, seconds: float) -> None:
    """Count, for each commit, the lines at the head of CLONE's main branch that are from it.

    Scan it first. Only files that have changed since the last time are looked into; when the time is over, the next
    run goes on.
    """
    try:
        with open_database(home()) as database, EventStore(database) as store:
            chosen = choose_workspace(database, workspace)
            id_ = repository_stream(chosen.id, key)
            recording = Recording(store, Context(actor=operator(chosen.id), channel="scan"), id_)
            kept = home() / "lines" / f"{id_}.json"
            with _bar("Counting") as told:
                counted = count_lines(recording, clone, kept, seconds, told)
    except KeyboardInterrupt:
        click.echo("Interrupted; nothing was recorded.", err=True)
        sys.exit(INTERRUPTED)
    left = f" There was no time for {counted.left:,} files; run it again to go on." if counted.left else ""
    click.echo(f"Lines: {counted.lines:,} in {counted.files:,} files; skipped: {counted.skipped:,}.{left}")


@contextmanager
def _bar(what: str) -> Generator[Callable[[int, int], None]]:
    """A progress bar on standard error, where that is a terminal."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def scan_clone(
    database: Database, store: EventStore, actor: Actor, repository: UUID, clone: Path
) -> tuple[Scanned, Linked]:
    """With a progress bar on standard error. Raises Refused, StoreUnavailable, ReadModelBehind."""
    recording = Recording(store, Context(actor=actor, channel="scan"), repository)
    with _bar("Scanning") as told:
        scanned = scan(recording, clone, told)
        linked = asyncio.run(_link(database, actor, recording, scanned, clone))
        if scanned.commits >= MANY or linked.links >= MANY:
            _analyze(database)
    return scanned, linked


async def _link(database: Database, actor: Actor, recording: Recording, scanned: Scanned, clone: Path) -> Linked:
    async with ReadModels(database, size=1) as models, catching_up(database, models, READ_MODELS) as reach:
        return await link(models.view(actor), recording, reach, scanned.position, clone)


def _analyze(database: Database) -> None:
    """PostgreSQL would look at many new rows within a minute or so; asked about them before, it plans as for none.
    Links are found without (decision 77)."""
    with database.connect(Role.OWNER) as connection:
        for table in traceability.PROJECTION.tables:
            connection.execute(sql.SQL("analyze {}").format(sql.Identifier(table)))
