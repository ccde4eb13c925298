"""Exports: how long a history takes to be written for other tools, and how much memory that needs."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from api.exports.exporting import Kind
from application.event_store.database import Database, Role
from application.event_store.streams import EventStore
from application.imports.importing import import_file
from application.imports.mapping import read_mapping
from application.imports.names import Known
from application.workspaces import create_workspace, operator
from bench.figures import Figure, Spread
from bench.importing import UCI, write_incidents
from bench.lab import ROOT, Lab
from projections.engine import Session
from projections.registry import PROJECTIONS

OCEL_WITHIN_SECONDS = 60
MEMORY_RATIO = 1.25
"""Of all to a tenth of it: constant, give or take what a process takes by chance."""
PART_ENDS = "2016-03-10T00:00:00Z"
"""Before which about a tenth of the UCI history lies."""


class Run(msgspec.Struct, frozen=True):
    seconds: float
    peak_bytes: int
    written: int


def exporting(lab: Lab) -> Iterator[Figure]:
    whole = UCI.is_file() and lab.size.scale == 1.0
    what = "UCI's incident log" if whole else "a made-up incident log"
    with lab.database() as database, tempfile.TemporaryDirectory() as folder:
        events = lab.said("export: a history is imported", lambda: _filled(database, Path(folder), lab, whole=whole))
        for kind in Kind if whole else (Kind.OCEL_JSON,):
            run = lab.said(f"export: {kind.value}", lambda: _run(database, Path(folder), kind))  # noqa: B023
            yield Figure(
                name=f"export of {what}, {events:,} events, as {kind.value}, {run.written / 1e6:.0f} MB",
                unit="s",
                value=Spread.of([run.seconds]),
                limit=OCEL_WITHIN_SECONDS if kind in (Kind.OCEL_JSON, Kind.OCEL_SQLITE) else None,
            )
            part = lab.said("export: a part of it", lambda: _run(database, Path(folder), kind, "--to", PART_ENDS))  # noqa: B023
            yield Figure(
                name=f"peak memory of it, as {kind.value}",
                unit="MB",
                value=Spread.of([run.peak_bytes / 1e6]),
                peer_name=f"of a part, {part.written / 1e6:.0f} MB",
                peer=Spread.of([part.peak_bytes / 1e6]),
                limit=MEMORY_RATIO,
            )


def _filled(database: Database, folder: Path, lab: Lab, *, whole: bool) -> int:
    """Returns the number of events."""
    history = UCI
    if not whole:
        history = folder / "incidents.csv"
        write_incidents(history, lab.size.of(5_000, 5))
    mapping = read_mapping((ROOT / "docs/mappings/uci_incident.toml").read_text(encoding="utf-8"))
    with EventStore(database) as store:
        workspace = create_workspace(database, store, "acme", "Acme")
        actor, rejects = operator(workspace.id), folder / "rejects.csv"
        import_file(
            store,
            actor,
            history,
            mapping,
            known=Known(),
            rejects_path=rejects,
            progress=lambda stage, done, total: None,
        )
    with Session(database, {projection.name: projection for projection in PROJECTIONS}) as session:
        session.catch_up()
    with database.connect(Role.OWNER) as connection:
        connection.execute("analyze")
    with database.connect(Role.PROJECTOR) as connection:
        row = connection.execute("select count(*) from event").fetchone()
    assert row is not None
    return int(row[0])


def _run(database: Database, folder: Path, kind: Kind, *options: str) -> Run:
    """By the command line, as a process of its own."""
    file = folder / "export"
    command = ["-m", "api.command_line", "audit", "export", "--format", kind.value, "-o", str(file), *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROTEUS_")}
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment | {"PROTEUS_DATABASE_URL": database.url},
        stdout=subprocess.DEVNULL,
    )
    peak = 0
    while process.poll() is None:
        peak = _peak_bytes(process.pid) or peak
        time.sleep(0.02)
    took = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"the export as {kind.value} ended with {process.returncode}")
    written = file.stat().st_size
    file.unlink()
    return Run(took, peak, written)


def _peak_bytes(pid: int) -> int:
    """Of its memory so far; 0 where it has just ended. What `wait4` tells begins with the size of who started it."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
