"""`proteus`: the commands of the operator. What goes wrong is one sentence and a non-zero exit, never a traceback."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import psycopg
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from api import (
    administration,
    auditing,
    billing_cli,
    bundles,
    erasing,
    imports,
    logs,
    replaying,
    retry,
    serving,
    traceability_cli,
)
from api import demo as scenario
from api.exports.command import export_command
from api.runtime import ATTACHMENTS, attachments_folder, home, open_contents, open_database
from api.settings import BadSetting
from application.embedded_postgres import EmbeddedPostgresError
from application.event_store.attempts import StoreUnavailable
from application.event_store.database import DATABASE_VARIABLE, KEYS_VARIABLE, DatabaseNotUsable
from application.event_store.streams import EventStore
from application.workspaces import Workspace
from domain.errors import Refused
from projections.parking import ReadModelBroken
from projections.reading import ReadModelBehind, ReadModelsUnavailable
from projections.rebuild import RebuildBusy

DEMO = "demo"
MAIN = "main"


class Sentences(click.Group):
    """Turns what a person can mend into one sentence."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Refused as refused:
            raise click.ClickException(refused.message) from None
        except (
            BadSetting,
            DatabaseNotUsable,
            EmbeddedPostgresError,
            RebuildBusy,
            ReadModelBroken,
            ReadModelBehind,
        ) as error:
            raise click.ClickException(str(error)) from None
        except (psycopg.OperationalError, StoreUnavailable, ReadModelsUnavailable) as error:
            first_line = str(error).strip().splitlines()[0]
            named = f"{DATABASE_VARIABLE}; unset, an embedded one is used"
            if os.environ.get(KEYS_VARIABLE):
                named = f"{DATABASE_VARIABLE} and {KEYS_VARIABLE}"
            raise click.ClickException(f"PostgreSQL does not answer: {first_line}. Check {named}.") from None
        except OSError as error:
            raise click.ClickException(f"{error.filename or 'The system'}: {error.strerror or error}.") from None


@click.group(cls=Sentences, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="proteus", message="Proteus %(version)s")
def main() -> None:
    """Proteus, the ticket server.

    PROTEUS_DATABASE_URL names its PostgreSQL; where it is unset, one is started in PROTEUS_HOME (.proteus).
    PROTEUS_KEYS_DATABASE_URL names another for the keys of texts, if they are to lie apart.
    """


def _listening(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option(
            "--worker/--no-worker", default=True, help="Also keep the read models up to date.", show_default=True
        ),
        click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True),
        click.option("--host", default="127.0.0.1", show_default=True),
    ):
        command = option(command)
    return command


@main.command()
@_listening
def serve(host: str, port: int, worker: bool) -> None:
    """Serve GraphQL until stopped."""
    serving.must_be_free(host, port)
    logs.configure()
    embedded = not os.environ.get(DATABASE_VARIABLE)
    folder = home()
    with open_database(folder) as database:
        if embedded:
            with EventStore(database) as store:
                workspace = serving.first_workspace(database, store, MAIN, "Main")
                secret = serving.kept_token(database, store, workspace, folder / "token")
            serving.greet(host, port, secret, folder / "token")
        serving.serve(database, host, port, attachments_folder(folder), follow=worker)


@main.command()
@_listening
def demo(host: str, port: int, worker: bool) -> None:
    """Fill a demo workspace, once, and serve it. Always on an embedded PostgreSQL of its own."""
    serving.must_be_free(host, port)
    logs.configure()
    folder = home() / DEMO
    with open_database(folder, embedded=True) as database:
        with EventStore(database) as store:
            workspace = serving.first_workspace(database, store, DEMO, "Demo")
            secret = serving.kept_token(database, store, workspace, folder / "token")
            word = _filled(store, workspace, folder)
        serving.console.print(f"\n  {word}", soft_wrap=True)
        serving.greet(host, port, secret, folder / "token")
        serving.serve(database, host, port, folder / ATTACHMENTS, follow=worker)


def _filled(store: EventStore, workspace: Workspace, folder: Path) -> str:
    """What was told before is not told again. Returns what to look at."""
    columns = (TextColumn("  Filling the workspace"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=serving.console, transient=True) as bars:
        task = bars.add_task("", total=None)
        try:
            summary = scenario.fill(
                store,
                workspace.id,
                lambda done, total: bars.update(task, completed=done, total=total),
                contents=open_contents(store, folder / ATTACHMENTS),
            )
        except scenario.AnotherStory:
            return f"Here is what an earlier version told, kept as it was. Remove {folder} to be told the newer story."
    return f"{summary.hero} has been an inquiry, a deal, a project and an incident."


@main.command()
def worker() -> None:
    """Keep the read models up to date, without serving."""
    logs.configure()
    with open_database(home()) as database:
        serving.follow(database, attachments_folder(home()))


main.add_command(administration.migrate)
main.add_command(administration.status)
main.add_command(administration.rebuild)
main.add_command(retry.retry)
main.add_command(administration.token)
main.add_command(administration.workspace)
main.add_command(administration.workflow)
main.add_command(administration.schema)
main.add_command(administration.attachments)
main.add_command(imports.import_command)
main.add_command(traceability_cli.trace)
main.add_command(billing_cli.billing)
main.add_command(auditing.audit)
auditing.audit.add_command(replaying.replay)
auditing.audit.add_command(bundles.bundle)
auditing.audit.add_command(export_command)
auditing.audit.add_command(erasing.erase)
auditing.key_group.add_command(erasing.rotate_master)


if __name__ == "__main__":
    main()
