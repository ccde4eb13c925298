"""A client made of graphql-request, graphql-ws and graphql-sse works a ticket against a running server."""

import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from application.event_store.database import Database
from application.event_store.streams import EventStore
from application.tokens import issue_token
from application.workspaces import Workspace, operator
from domain.access import Scope
from tests.required import missing
from tests.served import served

CLIENT = Path(__file__).parents[1] / "clients"
SECONDS = 120


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the client and its packages, in the versions of its lock file."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        missing("node and npm are not installed, so the JavaScript client is not run (Debian: apt install nodejs npm)")
    folder = tmp_path_factory.mktemp("client")
    for name in ("package.json", "package-lock.json", "client.js"):
        shutil.copy(CLIENT / name, folder)
    installed = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    if installed.returncode:
        missing(f"npm cannot install the JavaScript client's packages: {installed.stderr.strip()[-500:]}")
    return folder


def test_a_client_of_usual_packages_opens_moves_comments_subscribes_and_reconnects(
    database: Database, store: EventStore, workspace: Workspace, node: Path, tmp_path: Path
) -> None:
    person = operator(workspace.id).person
    secret = issue_token(database, workspace.id, person, [Scope.ADMIN], "test", timedelta(days=1))
    with served(database, tmp_path) as server:
        ran = subprocess.run(
            ["node", "client.js", server.http, secret], cwd=node, capture_output=True, text=True, timeout=SECONDS
        )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "44 events, none missed, none doubled\n"
