"""`proteus audit erase`: a person's data, gone from everywhere."""

import os
from pathlib import Path

import click
from rich.console import Console

from api.administration import find_person, progress_bar
from api.ids import Kind, encode
from api.imports import choose_workspace
from api.runtime import attachments_folder, home, open_contents, open_database
from application.event_store.master_keys import VARIABLE as MASTER_VARIABLE
from application.event_store.streams import EventStore
from application.privacy import erasing, rotating
from application.privacy.erasing import Asked
from projections.rebuild import rebuild_all
from projections.registry import PROJECTIONS

console = Console(highlight=False)


@click.command()
@click.argument("person")
@click.option("--reason", required=True, help="Why: it stands in the act, and sealed in the log.")
@click.option("--workspace", "key", help="Its key; may be left out where there is only one.")
@click.option("--controller", help="For the act: who answers for the data, name and address.")
@click.option("--processor", help="For the act: who works with it on the controller's behalf, name and address.")
@click.option("--by", help="For the act: who erases, name and position.")
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Folder for the act and the journal's export. They name the person: keep them apart. [this folder]",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(
    person: str,
    reason: str,
    key: str | None,
    controller: str | None,
    processor: str | None,
    by: str | None,
    folder: Path,
    yes: bool,
) -> None:
    """Erase PERSON (a name or an id): delete their key, so that nothing that it sealed can be read in any copy of the
    log, and make anew what shows it. Tickets and proofs stay; the person reads as erased.

    Nothing brings it back. Interrupted, it is finished by the same command, with the person's id."""
    at_home = home()
    with open_database(at_home) as database, EventStore(database) as store:
        workspace = choose_workspace(database, key)
        id_ = find_person(database, store, workspace, person, also_who_left=True)
        named = encode(Kind.PERSON, id_)
        if not yes:
            click.confirm(f"Erase {person} ({named}) from {workspace.key}, for ever?", abort=True)
        contents = open_contents(store, attachments_folder(at_home))
        asked = Asked(person=id_, reason=reason, folder=folder, controller=controller, processor=processor, by=by)
        files = erasing.begin(database, store, contents, workspace, asked)
        console.print(f"The key of {named} is deleted. Interrupted, finish it by this id.", soft_wrap=True)
        with progress_bar("Rebuilding") as progress:
            rebuild_all(database, PROJECTIONS, progress)
        done = erasing.finish(database, store, workspace, asked)
    for path in done.written:
        console.print(f"Written to {path}.", soft_wrap=True)
    for one in done.undone:
        console.print(f"Not done: {one}.", soft_wrap=True)
    console.print(f"{named} is erased. Attached files removed: {files}.", soft_wrap=True)


@click.command("rotate-master")
def rotate_master() -> None:
    """Make another master key, wrap the keys of all people with it, and forget the one before.

    It lies in the file that PROTEUS_MASTER_KEY names, which may not be there yet: then it is the first."""
    named = os.environ.get(MASTER_VARIABLE)
    if not named:
        raise click.ClickException(f"{MASTER_VARIABLE} names no file for the master key.")
    with open_database(home()) as database:
        wrapped, undone = rotating.rotate(database, Path(named))
    for one in undone:
        console.print(f"Not done: {one}.", soft_wrap=True)
    console.print(
        f"Keys wrapped by the new master key: {wrapped}. Back up {named}, apart from the database.", soft_wrap=True
    )
