"""The rounds of every fault, and the table of them that a soak ends with."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from application.embedded_postgres import EmbeddedPostgres
from tests.faults.rounds import SEED, SOAKING, Rounds

_MINUTES = float(os.environ.get("PROTEUS_SOAK_MINUTES") or 0)
_ROUNDS = pytest.StashKey[dict[str, Rounds]]()
_ENDS = pytest.StashKey[float]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ROUNDS] = {}
    config.stash[_ENDS] = time.monotonic() + 60 * _MINUTES


def pytest_report_header(config: pytest.Config) -> list[str]:
    return [f"soak: seed {SEED}{f', {_MINUTES:g} minutes' if _MINUTES else ''}"] if SOAKING else []


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> Rounds:
    """`for chance in rounds(test=2, soak=40)`: so many times, each with a seeded chance of its own."""
    started = request.config.stash[_ROUNDS]
    ending = None
    if _MINUTES:
        to_come = sum("rounds" in getattr(item, "fixturenames", ()) for item in request.session.items) - len(started)
        now = time.monotonic()
        ending = now + max(request.config.stash[_ENDS] - now, 0) / max(to_come, 1)
    own = Rounds(request.node.nodeid, ending)
    if SOAKING:
        own.begun = partial(_show, request.config)
    started[own.test] = own
    return own


def _show(config: pytest.Config, round_: int, of: int) -> None:
    terminal, capture = (config.pluginmanager.get_plugin(name) for name in ("terminalreporter", "capturemanager"))
    assert terminal is not None
    assert capture is not None
    with capture.global_and_fixture_disabled():
        terminal.write("." if round_ > 1 else f"[{of} rounds] .", flush=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not SOAKING:
        return
    table = terminalreporter
    table.section(f"soak, seed {SEED}")
    table.line(f"{'rounds':>6}  {'seconds':>8}  {'outcome':<8}  fault")
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in table.stats.get(outcome, []):
            rounds = config.stash[_ROUNDS].get(report.nodeid, Rounds(report.nodeid))
            name = report.nodeid.removeprefix("tests/faults/")
            table.line(f"{rounds.done:>6}  {report.duration:>8.1f}  {outcome:<8}  {name}")
            for line in rounds.summary():
                table.line(f"{'':>26}  {line}")


@pytest.fixture
def durable() -> Iterator[EmbeddedPostgres]:
    """A server of its own, with fsync."""
    root = Path(tempfile.mkdtemp(prefix="pt-"))
    root.chmod(0o711)
    try:
        with EmbeddedPostgres(root) as server:
            yield server
    finally:
        shutil.rmtree(root, ignore_errors=True)
