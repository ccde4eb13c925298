"""Appending: through the application, what sealing costs it, by the recorder alone, fairly between workspaces, and one
command alone."""

import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

import msgspec
from psycopg.conninfo import conninfo_to_dict

from application import tickets
from application.event_store.appender import encode_rows
from application.event_store.database import Database, Role
from application.event_store.envelope import Cause, Envelope, StoredEnvelope
from application.event_store.sealing import SEALED_PREFIX, Opener, Sealer
from application.event_store.streams import EventStore
from application.handling import Context, new_id, now
from application.workspaces import Workspace, create_workspace, operator
from bench import stock
from bench.figures import Figure, Spread, in_turns
from bench.lab import Lab, binary
from domain.tickets import AddComment, CommentAdded, OpenTicket, Visibility

CALLERS = 32
FLOOD = 1_000
"""Four times what a batch holds: a quiet workspace that stood in line would wait for all of them."""
BODY = "The printer on the third floor prints every page twice since this morning, whatever the driver says. " * 2


def append(lab: Lab) -> Iterator[Figure]:
    with lab.database() as database, EventStore(database) as store:
        workspace = create_workspace(database, store, "acme", "Acme")
        yield _through_the_application(lab, database, store, workspace)
        yield _sealing(lab, database, store, workspace)
        yield _by_the_recorder(lab, database, store, workspace)
        yield _fairly(lab, database, store, workspace)
        yield _alone(lab, database, store, workspace)


def _through_the_application(lab: Lab, database: Database, store: EventStore, workspace: Workspace) -> Figure:
    """Decide, encode, seal, record: a comment by each of 32 callers, on a ticket of their own, again and again."""
    comment = _commenting(store, workspace)
    stocks = stock.tickets(database, CALLERS)
    theirs = [stocks.open("A ticket") for _ in range(CALLERS)]
    author = str(operator(workspace.id).person)

    def comment_stock(caller: int) -> None:
        stocks.comment(theirs[caller], author, BODY)

    with_us, with_stock = in_turns(
        lab.size.rounds,
        lambda: lab.said("append: through the application", lambda: _rate(lab, CALLERS, comment)),
        lambda: lab.said("append: the stock recorder", lambda: _rate(lab, CALLERS, comment_stock)),
    )
    stocks.close()
    return Figure(
        name=f"append through the application, {CALLERS} callers",
        unit="commands/s",
        value=with_us,
        peer_name="stock recorder and application",
        peer=with_stock,
        bar="at least",
        limit=8.0,
    )


def _sealing(lab: Lab, database: Database, store: EventStore, workspace: Workspace) -> Figure:
    """The same comments by a store that seals nothing."""
    with EventStore(database) as plain:
        plain.mapper.sealer = Unsealed(plain.mapper.sealer.keyring)
        sealed, unsealed = in_turns(
            lab.size.rounds,
            *(
                partial(lab.said, f"append: texts {what}", partial(_rate, lab, CALLERS, _commenting(one, workspace)))
                for what, one in (("sealed", store), ("as they are", plain))
            ),
        )
    return Figure(
        name=f"append through the application, texts sealed, {CALLERS} callers",
        unit="commands/s",
        value=sealed,
        peer_name="the same, texts as they are",
        peer=unsealed,
        bar="at least",
        limit=0.8,
    )


def _commenting(store: EventStore, workspace: Workspace) -> Callable[[int], object]:
    context = Context(actor=operator(workspace.id))
    ours = [tickets.handle(store, context, OpenTicket(title="A ticket", role="TASK")).stream for _ in range(CALLERS)]
    return lambda caller: tickets.handle(store, context, AddComment(ticket=ours[caller], body=BODY))


class Unsealed(Sealer):
    """Texts in the place of sealed ones, which stay readable."""

    def seal(self, value: object, workspace: UUID, subject: UUID, at: bytes) -> str:
        return f"{SEALED_PREFIX}{subject.hex}:{msgspec.json.encode(value).decode()}"

    def opener(self, sealed: Iterable[tuple[UUID, str]]) -> Opener:
        return lambda text, workspace, at: msgspec.json.decode(text.split(":", 2)[2])


def _by_the_recorder(lab: Lab, database: Database, store: EventStore, workspace: Workspace) -> Figure:
    """Rows that are encoded already, each the first of a new stream."""
    recorder = store.workspace(workspace.id).recorder
    ready = Ready(store, workspace.id)

    with_us, with_pgbench = in_turns(
        lab.size.rounds,
        lambda: lab.said("append: the recorder", lambda: _rate_of(lab, ready, recorder.insert_events)),
        lambda: lab.said("append: pgbench", lambda: _pgbench(lab, database, ready.row)),
    )
    return Figure(
        name=f"append by the recorder alone, {CALLERS} callers",
        unit="commands/s",
        value=with_us,
        peer_name=f"pgbench, single-row inserts, {CALLERS} connections",
        peer=with_pgbench,
        bar="at least",
        limit=1.0,
    )


def _fairly(lab: Lab, database: Database, store: EventStore, workspace: Workspace) -> Figure:
    """A quiet workspace beside one that floods the store with more callers than a batch holds."""
    quiet = create_workspace(database, store, "quiet", "Quiet")
    ready, own = Ready(store, workspace.id), Ready(store, quiet.id)
    loud_recorder, quiet_recorder = (store.workspace(one.id).recorder for one in (workspace, quiet))

    def run() -> tuple[float, float]:
        loud: list[float] = []
        calm: list[float] = []
        with flooding(FLOOD, lambda _: loud.append(_timed(loud_recorder.insert_events, ready.next()))):
            end = time.monotonic() + lab.size.seconds
            while time.monotonic() < end:
                calm.append(_timed(quiet_recorder.insert_events, own.next()))
        return median(calm) * 1000, median(loud) * 1000

    runs = [lab.said("append: fairness", run) for _ in range(lab.size.rounds)]
    return Figure(
        name=f"append in a quiet workspace beside {FLOOD} callers in another, p50",
        unit="ms",
        value=Spread.of([calm for calm, _ in runs]),
        peer_name="in the loud workspace",
        peer=Spread.of([loud for _, loud in runs]),
        limit=1.0,
    )


def _alone(lab: Lab, database: Database, store: EventStore, workspace: Workspace) -> Figure:
    """One command where no other waits gains nothing from a group, and must not pay for it."""
    recorder = store.workspace(workspace.id).recorder
    ready = Ready(store, workspace.id)
    with database.connect(Role.APP) as connection:

        def directly(rows: Sequence[StoredEnvelope]) -> None:
            batch = [{"workspace": workspace.id, "events": encode_rows(rows, 0)}]
            document = msgspec.json.encode(batch).decode()
            connection.execute("select * from append(%s::text::json)", (document,)).fetchall()

        grouped, direct = in_turns(
            max(lab.size.rounds, 5 if lab.size.rounds > 1 else 1),
            lambda: lab.said("append: one caller", lambda: _latency(lab, ready, recorder.insert_events)),
            lambda: lab.said("append: one caller, plainly", lambda: _latency(lab, ready, directly)),
        )
    return Figure(
        name="append of one command alone, p50",
        unit="ms",
        value=grouped,
        peer_name="the same statement sent directly",
        peer=direct,
        limit=1.05,
    )


# ---- callers


class Ready:
    """Rows that only need to be recorded: each one command, the first event of a new stream."""

    def __init__(self, store: EventStore, workspace: UUID) -> None:
        command = uuid4()
        comment = CommentAdded(comment=new_id(), author=new_id(), body=BODY, visibility=Visibility.PUBLIC)
        envelope = Envelope(
            workspace=workspace,
            originator_id=new_id(),
            originator_version=1,
            event=comment,
            occurred_at=now(),
            cause=Cause(actor=workspace, command_id=command, correlation_id=command, channel="api"),
            command_hash=command.bytes,
        )
        self.row: StoredEnvelope = store.mapper.to_stored_event(envelope)

    def next(self) -> list[StoredEnvelope]:
        command = uuid4()
        cause = Cause(actor=self.row.workspace, command_id=command, correlation_id=command, channel="api")
        row = self.row
        return [
            StoredEnvelope(
                originator_id=new_id(),
                originator_version=1,
                topic=row.topic,
                state=row.state,
                workspace=row.workspace,
                event_version=row.event_version,
                occurred_at=row.occurred_at,
                cause=cause,
                command_hash=command.bytes,
            )
        ]


def _rate(lab: Lab, callers: int, work: Callable[[int], object]) -> float:
    """How often a second, by so many threads."""
    done = [0] * callers

    def call(caller: int) -> None:
        work(caller)
        done[caller] += 1

    with flooding(callers, call):
        time.sleep(lab.size.seconds / 4)  # warm
        before, started = sum(done), time.monotonic()
        time.sleep(lab.size.seconds)
        return (sum(done) - before) / (time.monotonic() - started)


def _rate_of(lab: Lab, ready: Ready, record: Callable[[Sequence[StoredEnvelope]], object]) -> float:
    return _rate(lab, CALLERS, lambda _: record(ready.next()))


def _latency(lab: Lab, ready: Ready, record: Callable[[Sequence[StoredEnvelope]], object]) -> float:
    """Median, in milliseconds."""
    taken: list[float] = []
    end = time.monotonic() + lab.size.seconds / 2
    while time.monotonic() < end:
        taken.append(_timed(record, ready.next()))
    return median(taken) * 1000


def _timed(record: Callable[[Sequence[StoredEnvelope]], object], rows: Sequence[StoredEnvelope]) -> float:
    started = time.perf_counter()
    record(rows)
    return time.perf_counter() - started


@contextmanager
def flooding(callers: int, work: Callable[[int], object]) -> Generator[None]:
    """Threads that work as long as the context lasts. The first error of one is raised at its end."""
    over = threading.Event()
    failed: list[Exception] = []

    def run(caller: int) -> None:
        try:
            while not over.is_set():
                work(caller)
        except Exception as error:
            failed.append(error)
            over.set()

    threads = [threading.Thread(target=run, args=(caller,)) for caller in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
    if failed:
        raise failed[0]


# ---- pgbench


def _pgbench(lab: Lab, database: Database, row: StoredEnvelope) -> float:
    """Inserts of the same row into a table of the same shape and indexes, without rows' security or any check."""
    schema = database.schema
    with database.connect(Role.OWNER) as owner:
        owner.execute(f"drop table if exists {schema}.raw_event".encode())
        owner.execute(f"create table {schema}.raw_event (like {schema}.event including all)".encode())
        owner.execute(f"grant insert, select on {schema}.raw_event to proteus_app".encode())
    where = conninfo_to_dict(database.conninfo(Role.APP))
    with TemporaryDirectory() as folder:
        script = Path(folder) / "insert.sql"
        script.write_text(
            f"insert into {schema}.raw_event (workspace, stream, version, name, event_version, state, occurred_at,"
            " actor, channel, command_id, command_hash, correlation_id) values"
            f" ('{row.workspace}', gen_random_uuid(), 1, '{row.topic}', {row.event_version},"
            " convert_to(:state, 'UTF8'), :at,"
            f" '{row.workspace}', 'api', gen_random_uuid(), '\\x{row.workspace.hex}', gen_random_uuid());"
        )
        seconds = max(1, round(lab.size.seconds))
        said = subprocess.run(
            [
                binary("pgbench"),
                *("--no-vacuum", "--protocol=prepared", f"--client={CALLERS}", "--jobs=2", f"--time={seconds}"),
                *(f"--define=state={row.state.decode()}", f"--define=at={row.occurred_at.isoformat()}"),
                f"--file={script}",
                f"host={where['host']} port={where['port']} user={where['user']} dbname={where['dbname']}",
            ],
            env={"PGOPTIONS": "-c role=proteus_app"},
            capture_output=True,
            text=True,
            check=False,
        )
    found = [line for line in said.stdout.splitlines() if line.startswith("tps = ")]
    if not found:
        raise RuntimeError(f"pgbench said: {said.stdout}{said.stderr}")
    return float(found[0].split()[2])
