"""Proofs: how fast events get their places in the log, and how long the proof of one takes."""

import random
import time
from collections.abc import Iterator
from uuid import UUID

from application.audit import proofs
from application.audit.scrubbing import scrub
from application.audit.sequencing import Pace, Session
from application.audit.verifying import Proof
from application.event_store.database import Database, Role
from application.event_store.streams import EventStore
from application.workspaces import create_workspace
from bench.figures import Figure, Spread, percentile
from bench.lab import Lab

EVENTS = 1_000_000
PROOFS = 500
WARM = 10
"""Proofs that a connection makes first: its plans are not kept before."""
SEQUENCED_AT_LEAST = 5_000
PROVEN_WITHIN_MS = 5

# As the store writes them: a comment of some length, sealed under the workspace.
_EVENTS = """
insert into event (workspace, stream, version, name, event_version, state, occurred_at, actor, channel, command_id,
  command_hash, correlation_id)
select %(workspace)s, s.stream, v, 'CommentAdded', 1,
       convert_to('{"comment":"' || gen_random_uuid() || '","body":"1:' || replace(%(workspace)s::text, '-', '') || ':'
                  || repeat(md5(v::text), 5) || '","visibility":"INTERNAL","in_reply_to":null}', 'UTF8'),
       clock_timestamp(), %(workspace)s, 'api', gen_random_uuid(), '\\x00', gen_random_uuid()
  from (select gen_random_uuid() as stream from generate_series(1, %(streams)s)) s, generate_series(1, 20) v
"""


def proving(lab: Lab) -> Iterator[Figure]:
    events = lab.size.of(EVENTS, least=2_000)
    with lab.database() as database, EventStore(database) as store:
        workspace = create_workspace(database, store, "bench", "Bench").id
        lab.said(f"{events:,} events are written", lambda: _write(database, workspace, events))
        rate = lab.said("They get their places in the log", lambda: _sequenced(database))
        yield Figure(
            name="events sequenced, backlog",
            unit="events/s",
            value=Spread.of([rate]),
            bar="at least",
            limit=SEQUENCED_AT_LEAST,
        )
        times = lab.said("Events are proven", lambda: _proven(database, workspace))
        for percent in (50, 99):
            yield Figure(
                name=f"proof of one event among {events:,}, p{percent}",
                unit="ms",
                value=Spread.of([percentile(times, percent)]),
                limit=PROVEN_WITHIN_MS,
            )
        rate = lab.said("The log is scrubbed", lambda: _scrubbed(database, workspace))
        yield Figure(name="events scrubbed", unit="events/s", value=Spread.of([rate]))


def _write(database: Database, workspace: UUID, events: int) -> None:
    with database.connect(Role.APP, statement_timeout="0") as connection:
        connection.execute("select set_config('proteus.workspace', %s, false)", (str(workspace),))
        for start in range(0, events, 100_000):
            wanted = min(100_000, events - start) // 20
            connection.execute(_EVENTS, {"workspace": workspace, "streams": wanted})


def _sequenced(database: Database) -> float:
    """Events a second."""
    with Session(database, Pace()) as session, database.connect(Role.PROJECTOR) as connection:
        started = time.perf_counter()
        session.catch_up()
        took = time.perf_counter() - started
        row = connection.execute("select sum(size) from audit_log").fetchone()
    assert row is not None
    return float(row[0]) / took


def _proven(database: Database, workspace: UUID) -> list[float]:
    """Milliseconds, of each of so many proofs, from an event's position to the file."""
    chance = random.Random(1)  # noqa: S311
    with database.connect(Role.READER) as connection:
        connection.execute("select set_config('proteus.workspace', %s, false)", (str(workspace),))
        rows = connection.execute("select position from audit_leaf").fetchall()
        times: list[float] = []
        for (position,) in chance.choices(rows, k=WARM + PROOFS):
            started = time.perf_counter()
            proof = proofs.prove(connection, workspace, position)
            times.append((time.perf_counter() - started) * 1_000)
            assert Proof.parse(proof).path or len(rows) == 1
    return times[WARM:]


def _scrubbed(database: Database, workspace: UUID) -> float:
    started = time.perf_counter()
    scrubbed = scrub(database, workspace)
    assert scrubbed is not None
    assert scrubbed.finding is None
    return scrubbed.size / (time.perf_counter() - started)
