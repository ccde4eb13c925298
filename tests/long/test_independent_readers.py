"""What others' programs read in our exports and proofs is what is in them: pm4py, r4pm and tlog-scales.

They live in an environment of their own, `.venv-readers` beside `.venv`, which is made here when it is missing: Proteus
imports none of them. It is 800 MB, and takes a minute.
"""

import fcntl
import hashlib
import json
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from litestar.testing import TestClient

from api.app import application
from api.command_line import main
from api.exports.exporting import Kind
from api.runtime import HOME_VARIABLE
from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import DATABASE_VARIABLE, Database
from application.event_store.streams import EventStore
from application.tokens import issue_token
from application.workspaces import operator
from domain.access import Scope
from tests.conftest import fresh_database
from tests.exported import tell
from tests.required import missing

ROOT = Path(__file__).parents[2]
READERS = ROOT / "tests" / "readers"
ENVIRONMENT = ROOT / ".venv-readers"
INSTALL_SECONDS, READ_SECONDS = 600, 180


@pytest.fixture(scope="module")
def python() -> Path:
    """Of the readers' environment, as its requirements say; made anew where they have changed."""
    requirements = READERS / "requirements.txt"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    made = ENVIRONMENT / "requirements.sha256"
    found = ENVIRONMENT / "bin" / "python"
    ENVIRONMENT.mkdir(exist_ok=True)
    with (ENVIRONMENT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.is_file() or made.read_text() != wanted:
            _run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], "cannot make an environment")
            pip = [str(found), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--require-hashes"]
            _run([*pip, "--only-binary", ":all:", "-r", str(requirements)], "cannot install independent readers")
            made.write_text(wanted)
    return found


def _run(command: list[str], failing: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
        said = done.stderr.strip()[-500:] if done.returncode else ""
    except subprocess.TimeoutExpired:
        said = f"it took longer than {INSTALL_SECONDS} s"
    if said:
        missing(f"{failing}, so what they read is not compared: {said}")


def read(python: Path, what: str, folder: Path, *arguments: str) -> dict[str, Any]:
    answer = folder / "answer.json"
    done = subprocess.run(
        [str(python), "-I", str(READERS / "read.py"), what, str(folder), *arguments, str(answer)],
        capture_output=True,
        text=True,
        timeout=READ_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(answer.read_text())
    return found


class Written(NamedTuple):
    """`folder` holds log.json, log.sqlite and log.xes, and below `tiles` the log of proofs."""

    folder: Path
    vkey: str


@pytest.fixture(scope="module")
def written(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    folder = tmp_path_factory.mktemp("written")
    with fresh_database(postgres) as database, EventStore(database) as store:
        told = tell(database, store, "acme", tmp_path_factory.mktemp("clone"))
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv(DATABASE_VARIABLE, database.url)
            patched.setenv(HOME_VARIABLE, str(folder / "home"))
            for kind, name in ((Kind.OCEL_JSON, "json"), (Kind.OCEL_SQLITE, "sqlite"), (Kind.XES, "xes")):
                _proteus("export", "--format", kind.value, "-o", str(folder / f"log.{name}"))
            tiles = folder / "tiles"
            tiles.mkdir()
            for version in (1, 2, 7):
                _proteus("prove", f"T-1:{version}", "-o", str(tiles / f"{version}.tlog-proof"))
            vkey = _proteus("key", "show").strip()
        person = operator(told.workspace.id).person
        secret = issue_token(database, told.workspace.id, person, [Scope.AUDITOR], "test", timedelta(days=1))
        _download(database, secret, tiles)
        yield Written(folder, vkey)


def _proteus(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["audit", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def _download(database: Database, secret: str, folder: Path) -> None:
    """The log as tiles, as a monitor would: it is short, and all of it lies in one tile of each level."""
    headers = {"Authorization": f"Bearer {secret}"}
    with TestClient(application(database, "http://localhost")) as client:
        note = client.get("/audit/checkpoint", headers=headers).content
        (folder / "checkpoint").write_bytes(note)
        size = int(note.split(b"\n")[1])
        assert 0 < size < 256
        for level in ("0", "entries"):
            place = folder / "tile" / level / "000.p"
            place.mkdir(parents=True)
            answer = client.get(f"/audit/tile/{level}/000.p/{size}", headers=headers)
            assert answer.status_code == 200
            (place / str(size)).write_bytes(answer.content)


@pytest.fixture(scope="module")
def answer(python: Path, written: Written) -> dict[str, Any]:
    return read(python, "exports", written.folder)


@pytest.mark.parametrize("reader", ["pm4py json", "pm4py sqlite", "r4pm json", "r4pm sqlite"])
def test_ocel_is_read_as_it_is_written(written: Written, answer: dict[str, Any], reader: str) -> None:
    log = json.loads((written.folder / "log.json").read_bytes())
    found = answer[reader]
    assert len(log["events"]) > 60
    assert found["events"] == sorted(one["id"] for one in log["events"])
    assert found["objects"] == sorted(one["id"] for one in log["objects"])
    assert found["activities"] == Counter(one["type"] for one in log["events"])
    assert found["types"] == Counter(one["type"] for one in log["objects"])
    if reader.startswith("r4pm"):
        assert found["relations"] == sum(len(one["relationships"]) for one in log["events"])
        # The first value of each attribute is what the object began with.
        first = {(one["id"], value["name"]) for one in log["objects"] for value in one["attributes"]}
        assert found["changes"] == sum(len(one["attributes"]) for one in log["objects"]) - len(first)


def test_the_ocel_database_keeps_the_constraints_of_the_standard(answer: dict[str, Any]) -> None:
    assert answer["violations"] == []


@pytest.mark.parametrize("reader", ["pm4py xes", "r4pm xes"])
def test_xes_is_read_as_it_is_written(written: Written, answer: dict[str, Any], reader: str) -> None:
    with sqlite3.connect(written.folder / "log.sqlite") as database:
        rows = database.execute(
            "select ocel_object_id, ocel_event_id from event_object where ocel_qualifier = 'ticket'"
        ).fetchall()
    database.close()
    of_tickets: dict[str, list[str]] = {}
    for ticket, event in rows:
        of_tickets.setdefault(ticket, []).append(event)
    assert {case: sorted(events) for case, events in answer[reader].items()} == {
        case: sorted(events) for case, events in of_tickets.items()
    }
    assert list(answer[reader]) == ["T-1", "T-2", "T-3", "T-4"]


def test_xes_keeps_to_its_schema_and_has_what_work_cost(answer: dict[str, Any]) -> None:
    assert answer["xsd"] == []
    # The entry, and that it was billed: the same 1.5 h at 3,000.00.
    assert set(answer["costs"]) == {4500.0}


def test_the_log_of_proofs_has_the_root_that_another_program_finds(python: Path, written: Written) -> None:
    found = read(python, "log", written.folder / "tiles", written.vkey)
    assert found["root"] == found["signed"]
    assert len(found["proven"]) == 3
    assert found["size"] > max(found["proven"])
