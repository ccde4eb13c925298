"""The operator's commands besides serving: migrate, status, rebuild, tokens, workspaces, workflows, schema."""

import asyncio
import difflib
import re
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import click
from graphql import GraphQLSchema, build_schema
from graphql.utilities import find_breaking_changes
from msgspec import UNSET, UnsetType
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from api.ids import Kind, WrongId, decode, encode
from api.imports import choose_workspace
from api.runtime import attachments_folder, home, named_database, open_contents, open_database
from application import people, tokens, transfers, workflows
from application.attachments.sweeping import sweep
from application.event_store.database import Database
from application.event_store.streams import EventStore
from application.handling import Context, state_in
from application.workspaces import Workspace, create_workspace, list_workspaces, operator
from domain.access import Actor, Scope
from domain.people import AddPerson, Person
from domain.workflows import read_definitions
from projections import directory
from projections import status as stands
from projections.filters import PageAsk, PersonFilter, TextFilter
from projections.reading import ReadModels
from projections.rebuild import digests_of, rebuild_all
from projections.registry import NAMES, PROJECTIONS, find, install
from projections.rows import PersonRow, ServerStatusRow
from projections.workflows import census

SCHEMA_FILE = Path(__file__).with_name("schema.graphql")

console = Console(highlight=False)

_workspace_option = click.option("--workspace", "key", help="Its key; may be left out where there is only one.")


@click.command()
def migrate() -> None:
    """Bring the database to this version of Proteus."""
    named = named_database()
    if named is not None:
        changed = named.migrate(install)
        console.print("The database is migrated." if changed else "The database was up to date.")
        return
    with open_database(home()):
        console.print("The embedded database is up to date.")


# ---- read models


@click.command()
@click.option(
    "--check", is_flag=True, help=f"Exit with 1 where a read model is more than {stands.BEHIND_SECONDS:.0f} s behind."
)
def status(check: bool) -> None:
    """Show the head of the log, and where each read model stands."""
    with open_database(home()) as database:
        stand = asyncio.run(_status(database))
    table = Table(title=f"Head of the log: {stand.head}", title_justify="left")
    for column in ("Read model", "Position", "Events behind", "Seconds behind", "Parked", ""):
        table.add_column(column, justify="left" if column in ("Read model", "") else "right")
    for one in stand.projections:
        word = "rebuilding" if one.rebuilding else ""
        numbers = str(one.position), str(one.lag_events), f"{one.lag_seconds:.1f}", str(one.parked_streams)
        table.add_row(one.name, *numbers, word)
    console.print(table)
    if any(one.parked_streams for one in stand.projections):
        say = "Parked streams are left out; `proteus retry --list` says why, `proteus retry` makes them up."
        console.print(say, soft_wrap=True)
    behind = stands.behind(stand)
    if check and behind:
        raise click.ClickException(f"Behind: {', '.join(behind)}. Does `proteus worker` or `proteus serve` run?")


async def _status(database: Database) -> ServerStatusRow:
    async with ReadModels(database, size=1) as models:
        return await stands.status(models)


@click.command()
@click.argument("name", required=False)
@click.option("--all", "every", is_flag=True, help="Rebuild every read model.")
def rebuild(name: str | None, every: bool) -> None:
    """Rebuild the read model NAME beside the live one, and swap them. Readers notice nothing."""
    if every == (name is not None):
        raise click.UsageError(f"Name a read model or say --all. Read models: {', '.join(NAMES)}.")
    chosen = NAMES if every else (name or "",)
    unknown = [one for one in chosen if find(one) is None]
    if unknown:
        raise click.ClickException(f"There is no read model {unknown[0]!r}. Read models: {', '.join(NAMES)}.")
    columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with open_database(home()) as database, Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(name or "all", total=None)
        summaries = rebuild_all(
            database,
            [projection for one in chosen if (projection := find(one))],
            lambda position, head: bars.update(task, completed=position, total=max(position, head)),
        )
    same = {True: "equal to the old tables", False: "DIFFERENT from the old tables", None: "not compared: written to"}
    for one in summaries:
        console.print(f"{one.name}: {one.events} events in {one.seconds:.1f} s, {same[one.same]}")


# ---- tokens


@click.group()
def token() -> None:
    """Make, list and revoke API tokens."""


@token.command("create")
@_workspace_option
@click.option("--person", help="Name or id of the person that it stands for.")
@click.option("--new-person", help="Add a person of this name for it.")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice([scope.value for scope in Scope]))
@click.option("--expires", default="90d", show_default=True, help="After so many d(ays), h(ours) or m(inutes).")
@click.option("--name", default="command line", show_default=True, help="What it is for.")
def create_token(
    key: str | None, person: str | None, new_person: str | None, scopes: tuple[str, ...], expires: str, name: str
) -> None:
    """Make a token. It is printed once and stored nowhere."""
    if (person is None) == (new_person is None):
        raise click.UsageError("Say whom it stands for: --person NAME, or --new-person NAME.")
    lasts = _duration(expires)
    with open_database(home()) as database, EventStore(database) as store:
        workspace = choose_workspace(database, key)
        actor = operator(workspace.id)
        if new_person is not None:
            id_ = people.handle(store, Context(actor=actor, channel="system"), AddPerson(name=new_person)).stream
        else:
            id_ = find_person(database, store, workspace, person or "")
        secret = tokens.issue_token(database, workspace.id, id_, [Scope(one) for one in scopes], name, lasts)
    click.echo(secret)


@token.command("list")
@_workspace_option
def list_tokens(key: str | None) -> None:
    """Show the tokens of a workspace, never their secrets."""
    with open_database(home()) as database, EventStore(database) as store:
        workspace = choose_workspace(database, key)
        found = tokens.list_tokens(database, workspace.id)
        streams = store.workspace(workspace.id).load({one.person for one in found})
    table = Table()
    for column in ("Id", "Person", "For", "Scopes", "Expires", "Revoked"):
        table.add_column(column, overflow="fold", no_wrap=column == "Id")  # in one piece, for `token revoke`
    for one in found:
        person = state_in(streams, one.person, Person)
        who = person.name if person else str(one.person)
        ended = f"{one.revoked_at:%Y-%m-%d %H:%M}" if one.revoked_at else ""
        table.add_row(str(one.id), who, one.name, ", ".join(one.scopes), f"{one.expires_at:%Y-%m-%d %H:%M}", ended)
    console.print(table)


@token.command("revoke")
@click.argument("id_", metavar="ID", type=click.UUID)
@_workspace_option
def revoke_token(id_: UUID, key: str | None) -> None:
    """Revoke the token ID, as `proteus token list` shows it; it is refused from now on."""
    with open_database(home()) as database:
        if not tokens.revoke_token(database, choose_workspace(database, key).id, id_):
            raise click.ClickException(f"There is no token {id_} here that is not revoked already.")
    click.echo("Revoked.")


def _duration(text: str) -> timedelta:
    units = {"d": "days", "h": "hours", "m": "minutes"}
    found = re.fullmatch(r"(\d{1,6})([dhm])", text)
    if found is None:
        raise click.ClickException(f"{text!r} is not a duration. Write 90d, 12h or 30m.")
    return timedelta(**{units[found[2]]: int(found[1])})


def find_person(
    database: Database, store: EventStore, workspace: Workspace, wanted: str, *, also_who_left: bool = False
) -> UUID:
    """By id, or by name where only one is called so."""
    try:
        id_ = decode(wanted, Kind.PERSON)
    except WrongId:
        pass
    else:
        known = store.workspace(workspace.id).load([id_]).get(id_)
        if known is not None and isinstance(known.state, Person):
            if not known.state.active and not also_who_left:
                raise click.ClickException(f"{known.state.name} has left {workspace.key}; reactivate them first.")
            return id_
    active = UNSET if also_who_left else True
    found = asyncio.run(_people_named(database, operator(workspace.id), wanted, active))
    if len(found) == 1:
        return found[0].id
    if found:
        ids = ", ".join(encode(Kind.PERSON, one.id) for one in found)
        raise click.ClickException(f"Several people are called {wanted!r}. Name one by id: {ids}.")
    raise click.ClickException(f"There is nobody called {wanted!r} in {workspace.key}.")


async def _people_named(database: Database, actor: Actor, name: str, active: bool | UnsetType) -> list[PersonRow]:
    async with ReadModels(database, size=1) as models:
        page = await directory.people(
            models.view(actor), PersonFilter(name=TextFilter(eq=name), active=active), PageAsk(first=20)
        )
        return page.nodes


# ---- workspaces and workflows


@click.group()
def workspace() -> None:
    """Make and list workspaces."""


@workspace.command("create")
@click.argument("key")
@click.argument("name")
def create(key: str, name: str) -> None:
    """Make the workspace KEY, called NAME, with the default roles and workflows."""
    with open_database(home()) as database, EventStore(database) as store:
        made = create_workspace(database, store, key, name)
    click.echo(f"Workspace {made.key} is there. Next: proteus token create --workspace {made.key} --help")


@workspace.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_workspace_option
def export(file: Path, key: str | None) -> None:
    """Write all that a workspace has recorded to FILE (compressed if it ends with .gz), and its keys to FILE.keys.

    Whoever has both can read everything: guard FILE.keys as the database. Files that are attached to tickets lie in a
    folder of their own, see the operator's guide.
    """
    with open_database(home()) as database, progress_bar("Exporting") as progress:
        done = transfers.export_workspace(database, choose_workspace(database, key), file, progress)
    click.echo(
        f"{done.events:,} events of {done.workspace.key} are in {file}, their keys in {transfers.keys_of(file)}."
    )
    click.echo(f"log {done.log}")


@workspace.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--key", help="Another key for it here.")
def import_(file: Path, key: str | None) -> None:
    """Record a workspace that was exported to FILE, with its ids, positions and times. Needs FILE.keys beside it.

    It may be interrupted, and run again. Then all read models are rebuilt, beside the live ones.
    """
    with open_database(home()) as database:
        with progress_bar("Importing") as progress:
            done = transfers.import_workspace(database, file, progress, key)
        with progress_bar("Rebuilding") as progress:
            rebuild_all(database, PROJECTIONS, progress)
        transfers.arrived(database, done.workspace)
    click.echo(f"{done.events:,} events are in {done.workspace.key}. Next: proteus token create --help")
    click.echo(f"log {done.log}")


@workspace.command("digest")
@_workspace_option
def digest_(key: str | None) -> None:
    """Print digests of a workspace's log and read models: equal ones hold the same."""
    with open_database(home()) as database:
        chosen = choose_workspace(database, key)
        with progress_bar("Reading") as progress:
            done = transfers.digest(database, chosen, progress)
        found = digests_of(database, chosen.id, PROJECTIONS)
    click.echo(f"log {done.log}")
    for name, one in found.items():
        click.echo(f"{name} {one}")


@contextmanager
def progress_bar(what: str) -> Generator[Callable[[int, int], None]]:
    columns = (TextColumn(f"{what:>10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=max(done, total))


@workspace.command("list")
def list_() -> None:
    """Show the workspaces of this database."""
    with open_database(home()) as database:
        found = list_workspaces(database)
    table = Table()
    for column in ("Key", "Name", "Id"):
        table.add_column(column, overflow="fold")
    for one in found:
        table.add_row(one.key, one.name, encode(Kind.WORKSPACE, one.id))
    console.print(table)


@click.group()
def workflow() -> None:
    """Define roles, workflows and custom fields."""


@workflow.command("define")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_workspace_option
def define(file: Path, key: str | None) -> None:
    """Define the workflows, roles and custom fields in FILE (TOML); what differs becomes a workflow's next version."""
    try:
        definitions = read_definitions(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise click.ClickException(f"{file} is not UTF-8.") from None
    with open_database(home()) as database, EventStore(database) as store:
        chosen = choose_workspace(database, key)
        actor = operator(chosen.id)
        counted = asyncio.run(_counted(database, actor))
        for command in definitions.commands():
            workflows.handle(store, Context(actor=actor, channel="system"), command, counted)
    count = len(definitions.workflows), len(definitions.roles), len(definitions.fields)
    click.echo(f"{count[0]} workflows, {count[1]} roles and {count[2]} fields are defined in {chosen.key}.")


async def _counted(database: Database, actor: Actor) -> workflows.Counted:
    async with ReadModels(database, size=1) as models:
        standing, position = await census(models.view(actor))
    return workflows.Counted(census=standing, position=position)


# ---- attached files


@click.group()
def attachments() -> None:
    """Look after attached files."""


@attachments.command("sweep")
@click.option("--detached", default="30d", show_default=True, help="Keep what was detached for so long: d, h or m.")
def sweep_attachments(detached: str) -> None:
    """Remove files that no ticket has, and uploads that nobody attached within a day. Servers do it now and then."""
    kept = _duration(detached)
    folder = home()
    with open_database(folder) as database, EventStore(database) as store:
        swept = sweep(database, open_contents(store, attachments_folder(folder)), kept)
    click.echo(f"{swept.files} files removed, {swept.bytes:,} bytes.")


# ---- the schema


@click.command()
@click.option("--check", is_flag=True, help="Exit with 1 where api/schema.graphql differs from what is served.")
@click.option("--write", is_flag=True, help="Write api/schema.graphql, unless that would break clients.")
@click.option("--allow-breaking", is_flag=True, help="Write it all the same.")
def schema(check: bool, write: bool, allow_breaking: bool) -> None:
    """Print the GraphQL schema that the server serves."""
    from api.schema import schema as served  # a third of what a start costs, and the other commands do without

    text = served.as_str().rstrip() + "\n"
    if not check and not write:
        click.echo(text, nl=False)
        return
    written = SCHEMA_FILE.read_text(encoding="utf-8") if SCHEMA_FILE.exists() else ""
    if written == text:
        return
    broken = breaking(written, text) if written else []
    if check:
        sys.stderr.writelines(
            difflib.unified_diff(written.splitlines(True), text.splitlines(True), "api/schema.graphql", "as served")
        )
    if broken and not (write and allow_breaking):
        listed = "\n".join(f"  {one}" for one in broken)
        raise click.ClickException(f"This breaks clients; deprecate first, or say --allow-breaking:\n{listed}")
    if check:
        raise click.ClickException("api/schema.graphql is not what is served. Run `proteus schema --write`.")
    SCHEMA_FILE.write_text(text, encoding="utf-8")


def breaking(old: str, new: str) -> list[str]:
    """What a client of the old schema would miss in the new one, except for what was deprecated."""
    before = build_schema(old)
    changes = find_breaking_changes(before, build_schema(new))
    return [change.description for change in changes if not _was_deprecated(before, change.description)]


def _was_deprecated(before: GraphQLSchema, description: str) -> bool:
    """Of a field or a value that was removed."""
    for name, type_ in before.type_map.items():
        members = {**getattr(type_, "fields", {}), **getattr(type_, "values", {})}
        for member, definition in members.items():
            if definition.deprecation_reason and f"{name}.{member} was removed" in description:
                return True
    return False
