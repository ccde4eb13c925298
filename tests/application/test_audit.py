"""The sequencer gives every event its place, once; the scrub names whatever was changed since."""

import hashlib
import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from application import transfers
from application.audit import leaves, proofs, signing
from application.audit.scrubbing import Finding, Scrubber, scrub
from application.audit.sequencing import NAME, Pace, Sequencer, Session
from application.audit.verifying import Checkpoint, Extension, Key, NotProven, Proof, verify_consistency
from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Connection, Database, Role
from application.event_store.follower import Deposed, LogReader
from application.event_store.streams import EventStore, WorkspaceStore
from application.workspaces import Workspace, create_workspace
from domain.tickets import AddComment
from projections.registry import install
from tests.application.recording import Company, added, at_once, envelopes, insertion, log, renamed, succeeded, writer
from tests.application.test_sealing import superuser
from tests.conftest import KEYS, fresh_database

PACE = Pace(events=1_000_000, seconds=3_600)
"""Signs only when it is told to: `catch_up` does."""


@pytest.fixture
def sequencer(database: Database) -> Iterator[Session]:
    with Session(database, PACE) as session:
        yield session


@contextmanager
def reading(database: Database, workspace: UUID) -> Iterator[Connection]:
    with database.connect(Role.READER) as connection:
        connection.execute("select set_config('proteus.workspace', %s, false)", (str(workspace),))
        yield connection


def signers(database: Database, workspace: Workspace) -> list[Key]:
    with database.keys.connect(Role.PROJECTOR) as keys:
        return signing.known(keys, workspace.id)


@pytest.fixture
def sabotage(postgres: EmbeddedPostgres, database: Database) -> Iterator[Callable[..., int]]:
    """Runs a statement as a superuser, past every right and trigger, where its table is; returns how many rows it
    touched."""
    with superuser(postgres, database) as connection, superuser(postgres, database.keys) as keys:
        for one in (connection, keys):
            one.execute("set search_path to proteus, proteus_keys")
            one.execute("set session_replication_role = 'replica'")
        yield (
            lambda statement, *given: (
                (keys if "subject_key" in statement else connection).execute(statement, given).rowcount
            )
        )


def finding(database: Database, workspace: Workspace) -> Finding | None:
    scrubbed = scrub(database, workspace.id)
    assert scrubbed is not None
    return scrubbed.finding


def checkpoint(database: Database, workspace: Workspace) -> Checkpoint:
    with reading(database, workspace.id) as connection:
        newest = proofs.newest(connection, workspace.id)
    assert newest is not None
    return Checkpoint.parse(newest.note)


def some_history(company: Company, count: int = 6) -> list[UUID]:
    tickets = [company.ticket(f"Ticket {n}", requester=company.person(f"Гость {n}")) for n in range(count)]
    company.give(AddComment(ticket=tickets[0], body="Комментарий"))
    return tickets


# ---- sequencing


def test_every_event_has_its_place_in_order(database: Database, company: Company, sequencer: Session) -> None:
    some_history(company)
    sequencer.catch_up()
    events = log(database)
    rows = leaf_rows(database, company.workspace)
    assert [row[0] for row in rows] == list(range(len(events)))
    assert [row[1] for row in rows] == [event["position"] for event in events]
    signed = checkpoint(database, company.workspace)
    assert (signed.origin, signed.size) == (f"proteus/{company.workspace.id}", len(events))


def leaf_rows(database: Database, workspace: Workspace) -> list[tuple[Any, ...]]:
    with reading(database, workspace.id) as connection:
        return connection.execute("select index, position, leaf, hash from audit_leaf order by index").fetchall()


def test_a_leaf_says_what_the_event_s_row_says(database: Database, company: Company, sequencer: Session) -> None:
    ticket = company.ticket("Секрет", requester=company.person("Гость"))
    sequencer.catch_up()
    [event] = log(database, f"stream = '{ticket}'")
    [leaf] = [row[2] for row in leaf_rows(database, company.workspace) if row[1] == event["position"]]
    said = json.loads(leaf)
    assert list(said) == ["cause", "index", "keys", "name", "position", "recorded_at", "state", "stream", "version"]
    assert said["state"] == hashlib.sha256(event["state"]).hexdigest()
    assert (said["name"], said["version"], said["stream"]) == ("TicketOpened", 1, str(ticket))
    assert said["recorded_at"] == event["recorded_at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert leaf == json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(), "RFC 8785"


@KEYS
def test_a_leaf_commits_to_the_keys_that_sealed_the_event(
    database: Database, company: Company, sequencer: Session, sabotage: Callable[..., int]
) -> None:
    guest = company.person("Гость")
    ticket = company.ticket("Секрет", requester=guest)
    sequencer.catch_up()
    [event] = log(database, f"stream = '{ticket}'")
    said = leaves.read(next(row[2] for row in leaf_rows(database, company.workspace) if row[1] == event["position"]))
    assert said is not None
    key = company.store.mapper.sealer.keyring.key(company.workspace.id, guest)
    assert key is not None
    domain = b"proteus key commitment v1\n" + company.workspace.id.bytes + guest.bytes
    assert hashlib.sha256(domain + key).hexdigest() in said.keys
    sabotage("update subject_key set key = null where subject = %s", guest)
    assert finding(database, company.workspace) is None, "an erased key leaves its commitment, and the proofs hold"
    sabotage("update subject_key set commitment = sha256('another') where subject = %s", guest)
    found = finding(database, company.workspace)
    assert found is not None
    assert "a key that sealed it was replaced" in found.says


def test_each_workspace_has_a_log_of_its_own(
    database: Database, store: EventStore, company: Company, sequencer: Session
) -> None:
    other = Company.of(store, create_workspace(database, store, "other", "Other"))
    for one in (company, other, company):
        one.ticket()
    sequencer.catch_up()
    for one in (company, other):
        positions = [event["position"] for event in log(database, f"workspace = '{one.workspace.id}'")]
        rows = leaf_rows(database, one.workspace)
        assert [row[:2] for row in rows] == list(enumerate(positions))
        with reading(database, one.workspace.id) as connection:
            assert connection.execute("select distinct workspace from audit_leaf").fetchall() == [(one.workspace.id,)]
    with database.keys.connect(Role.READER) as keys, pytest.raises(psycopg.errors.InsufficientPrivilege):
        keys.execute("select private from audit_key")


def test_a_sequencer_goes_on_where_another_was(database: Database, here: WorkspaceStore) -> None:
    """Past a whole tile, so that it is read back in both ways."""
    for count in (250, 13, 260):
        stream = uuid4()
        here.append(envelopes(here.workspace, stream, added(), *(renamed(str(n)) for n in range(count - 1))))
        with Session(database, PACE) as session:
            session.catch_up()
    with reading(database, here.workspace) as connection:
        sizes = [row[0] for row in connection.execute("select size from audit_checkpoint order by size")]
        assert len(sizes) == 3
        for old, new in ((sizes[0], sizes[1]), (sizes[0], sizes[2]), (sizes[1], sizes[2])):
            before, after = (stored(connection, here.workspace, size) for size in (old, new))
            extension = Extension.parse(proofs.extension(connection, here.workspace, old, after))
            verify_consistency(old, new, before.root, after.root, extension.path)
    [row] = log_rows(database)
    assert row[1] == sizes[2] == len(log(database))


def stored(connection: Connection, workspace: UUID, size: int) -> Checkpoint:
    found = proofs.of_size(connection, workspace, size)
    assert found is not None
    return Checkpoint.parse(found.note)


def log_rows(database: Database) -> list[tuple[Any, ...]]:
    with database.connect(Role.PROJECTOR) as connection:
        return connection.execute("select workspace, size, position, live from audit_log").fetchall()


def test_what_is_in_flight_is_waited_for(database: Database, workspace: Workspace, sequencer: Session) -> None:
    sequencer.catch_up()
    before = len(log(database))
    with writer(database, workspace.id) as slow, writer(database, workspace.id) as quick:
        slow.execute(*insertion(workspace=workspace.id))
        quick.execute(*insertion(workspace=workspace.id))
        quick.commit()
        sequencer.step()
        assert len(leaf_rows(database, workspace)) == before
        slow.commit()
        sequencer.catch_up()
    assert [row[:2] for row in leaf_rows(database, workspace)] == list(
        enumerate(event["position"] for event in log(database))
    )


def test_a_paused_sequencer_that_was_replaced_writes_nothing(
    database: Database, company: Company, sequencer: Session
) -> None:
    sequencer.catch_up()
    with database.connect(Role.PROJECTOR) as connection:
        connection.execute("update tracking set epoch = epoch + 1 where name = %s", (NAME,))
    company.ticket()
    before = leaf_rows(database, company.workspace)
    with pytest.raises(Deposed):
        sequencer.step()
    assert leaf_rows(database, company.workspace) == before


def test_one_leads_and_the_other_stands_by(database: Database, company: Company, sequencer: Session) -> None:
    sequencer.acquire()
    with Session(database, PACE) as other:
        other.catch_up()
        assert leaf_rows(database, company.workspace) == []
    sequencer.catch_up()
    assert len(leaf_rows(database, company.workspace)) == len(log(database))


def test_a_tree_is_signed_after_so_many_events(database: Database, company: Company) -> None:
    with Session(database, Pace(events=1, seconds=3_600)) as session:
        session.acquire()
        session.step()
        sizes = [checkpoint(database, company.workspace).size]
        company.ticket()
        session.step()
        sizes.append(checkpoint(database, company.workspace).size)
    assert sizes == [len(log(database)) - 1, len(log(database))]


def test_a_tree_is_signed_after_so_long(database: Database, company: Company) -> None:
    with Session(database, Pace(events=1_000_000, seconds=0)) as session:
        session.acquire()
        while session.step():
            pass
    assert checkpoint(database, company.workspace).size == len(log(database))


@pytest.mark.parametrize("seed", [1, 2])
def test_eight_writers_with_rollbacks_leave_a_dense_log(
    database: Database, store: EventStore, workspace: Workspace, seed: int
) -> None:
    other = create_workspace(database, store, "other", "Other")
    running = Sequencer(database, Pace(events=50, seconds=0.1))
    thread = threading.Thread(target=running.run)
    thread.start()

    def write(number: int) -> None:
        chance = random.Random(seed * 100 + number)
        target = (workspace, other)[number % 2].id
        with writer(database, target) as connection:
            for _ in range(40):
                for _ in range(chance.randint(1, 3)):
                    connection.execute(*insertion(workspace=target))
                if chance.random() < 0.4:
                    connection.rollback()
                else:
                    connection.commit()

    try:
        answers = at_once([lambda number=number: write(number) for number in range(8)])  # type: ignore[misc]
    finally:
        running.stop()
        thread.join()
    assert len(succeeded(answers)) == 8
    with Session(database, PACE) as session:
        session.catch_up()
    for one in (workspace, other):
        positions = [event["position"] for event in log(database, f"workspace = '{one.id}'")]
        assert [row[:2] for row in leaf_rows(database, one)] == list(enumerate(positions))
        assert finding(database, one) is None


# ---- proofs


def test_a_proof_is_checked_with_a_key_and_nothing_else(
    database: Database, company: Company, sequencer: Session
) -> None:
    some_history(company)
    sequencer.catch_up()
    with reading(database, company.workspace.id) as connection:
        [key] = signers(database, company.workspace)
        for index, position, leaf, _ in leaf_rows(database, company.workspace):
            proof = Proof.parse(proofs.prove(connection, company.workspace.id, position))
            assert (proof.index, proof.leaf) == (index, leaf)
            assert proof.verify(key)["position"] == position


def test_what_is_not_signed_yet_has_no_proof(database: Database, company: Company, sequencer: Session) -> None:
    sequencer.catch_up()
    ticket = company.ticket()
    [event] = log(database, f"stream = '{ticket}'")
    with reading(database, company.workspace.id) as connection:
        with pytest.raises(proofs.NoProof, match="not in a signed checkpoint yet"):
            proofs.prove(connection, company.workspace.id, event["position"])
        sequencer.step()
        with pytest.raises(proofs.NoProof):
            proofs.prove(connection, company.workspace.id, event["position"])


@KEYS
def test_a_rotated_key_is_vouched_for_by_the_old_one(database: Database, company: Company, sequencer: Session) -> None:
    sequencer.catch_up()
    [old] = signers(database, company.workspace)
    new = signing.rotate(database, company.workspace.id)
    both = checkpoint(database, company.workspace)
    both.verify(old)
    both.verify(new)
    company.ticket()
    sequencer.catch_up()
    later = checkpoint(database, company.workspace)
    later.verify(new)
    with pytest.raises(NotProven, match="not signed by this key"):
        later.verify(old)
    with database.keys.connect(Role.PROJECTOR) as keys:
        private = keys.execute("select count(private), count(*) from audit_key").fetchone()
    assert private == (1, 2), "the old one is forgotten"
    assert signers(database, company.workspace) == [new, old]
    assert finding(database, company.workspace) is None
    with pytest.raises(signing.KeyRefused, match="rotate"):
        signing.new(database, company.workspace.id)


@KEYS
def test_a_rotation_that_ends_before_the_new_key_is_kept_leaves_the_old_one_good(
    postgres: EmbeddedPostgres, database: Database, company: Company, sequencer: Session
) -> None:
    sequencer.catch_up()
    [old] = signers(database, company.workspace)
    with superuser(postgres, database.keys) as keys:
        keys.execute("set search_path to proteus_keys")
        keys.execute(
            "create function cut() returns trigger language plpgsql as $$ begin raise exception 'power cut'; end $$;"
            "create constraint trigger cut after insert on audit_key deferrable initially deferred"
            " for each row execute function cut()"
        )
        with pytest.raises(psycopg.Error, match="power cut"):
            signing.rotate(database, company.workspace.id)
        keys.execute("drop function cut cascade")
    assert signers(database, company.workspace) == [old]
    checkpoint(database, company.workspace).verify(old)
    assert finding(database, company.workspace) is None
    new = signing.rotate(database, company.workspace.id)
    for key in (old, new):
        checkpoint(database, company.workspace).verify(key)


@KEYS
def test_a_log_without_a_key_cannot_rotate_one(database: Database, workspace: Workspace) -> None:
    with pytest.raises(signing.KeyRefused, match="has no key yet"):
        signing.rotate(database, workspace.id)
    key = signing.new(database, workspace.id)
    assert signers(database, workspace) == [key]


# ---- a workspace that moves


@KEYS
def test_a_workspace_that_moves_has_the_same_tree(
    postgres: EmbeddedPostgres, database: Database, company: Company, sequencer: Session, tmp_path: Path
) -> None:
    some_history(company)
    sequencer.catch_up()
    with database.keys.connect(Role.OWNER) as connection:
        connection.execute("alter table subject_key no force row level security")
        connection.execute("update subject_key set key = null where subject <> workspace")  # erased
        connection.execute("alter table subject_key force row level security")
    there = checkpoint(database, company.workspace)
    transfers.export_workspace(database, company.workspace, tmp_path / "moved", lambda done, total: None)
    with fresh_database(postgres) as target, EventStore(target) as elsewhere:
        _past(target, log(database)[-1]["position"])
        local = Company.of(elsewhere, create_workspace(target, elsewhere, "local", "Local"))
        local.ticket()
        with Session(target, PACE) as session:
            session.catch_up()
            done = transfers.import_workspace(target, tmp_path / "moved", lambda done, total: None)
            session.catch_up()
            assert leaf_rows(target, done.workspace) == [], "it is on its way"
            transfers.arrived(target, done.workspace)
            local.ticket()
            session.catch_up()
        moved = checkpoint(target, done.workspace)
        assert (moved.origin, moved.size, moved.root) == (there.origin, there.size, there.root)
        assert leaf_rows(target, done.workspace) == leaf_rows(database, company.workspace)
        assert finding(target, done.workspace) is None
        assert finding(target, local.workspace) is None
        assert len(leaf_rows(target, local.workspace)) == len(log(target, f"workspace = '{local.workspace.id}'"))


def _past(database: Database, position: int) -> None:
    """Positions of the target's own events come after those of the workspace that moves in."""
    with database.connect(Role.OWNER) as connection:
        connection.execute("select setval(pg_get_serial_sequence('event', 'position'), %s)", (position + 100,))


# ---- sabotage, by a superuser in SQL


@pytest.fixture
def history(company: Company, sequencer: Session) -> list[dict[str, Any]]:
    some_history(company)
    sequencer.catch_up()
    return log(company.store.database, f"workspace = '{company.workspace.id}'")


def named(found: Finding | None, event: dict[str, Any]) -> str:
    """What is said of the event that is found."""
    assert found is not None
    assert found.position == event["position"]
    return found.says


def test_an_untouched_log_is_found_untouched(
    database: Database, company: Company, history: list[dict[str, Any]]
) -> None:
    assert finding(database, company.workspace) is None
    with reading(database, company.workspace.id) as connection:
        kept = connection.execute("select size, finding from audit_scrub").fetchall()
    assert kept == [(len(history), None)]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("state = overlay(state placing '\\x21' from octet_length(state) - 3)", "its content was changed"),
        ("actor = gen_random_uuid()", "who caused it, when or why was changed"),
        ("channel = 'phone'", "who caused it, when or why was changed"),
        ("occurred_at = occurred_at - interval '1 microsecond'", "who caused it, when or why was changed"),
        ("recorded_at = recorded_at + interval '1 microsecond'", "when it was recorded was changed"),
        ("source = ''", "who caused it, when or why was changed"),
        ("name = 'TicketRetitled'", "stands there now"),
    ],
)
def test_one_byte_that_was_changed_is_found(
    database: Database,
    company: Company,
    history: list[dict[str, Any]],
    sabotage: Callable[..., int],
    change: str,
    says: str,
) -> None:
    victim = history[-3]
    assert sabotage(f"update event set {change} where position = %s", victim["position"]) == 1
    assert says in named(finding(database, company.workspace), victim)


def test_an_event_that_was_removed_is_found(
    database: Database, company: Company, history: list[dict[str, Any]], sabotage: Callable[..., int]
) -> None:
    victim = history[5]
    sabotage("delete from event where position = %s", victim["position"])
    assert "was removed" in named(finding(database, company.workspace), victim)


def test_an_event_that_was_slipped_into_a_gap_is_found(
    database: Database,
    company: Company,
    sequencer: Session,
    history: list[dict[str, Any]],
    sabotage: Callable[..., int],
) -> None:
    with writer(database, company.workspace.id) as connection:
        connection.execute(*insertion(workspace=company.workspace.id))
        connection.rollback()
    company.ticket()
    sequencer.catch_up()
    gap = history[-1]["position"] + 1
    assert log(database, f"position = {gap}") == []
    _superuser_inserts(sabotage, insertion(position=gap, workspace=company.workspace.id)[1])
    assert "was slipped in" in named(finding(database, company.workspace), {"position": gap})
    sabotage("update event set state = 'x' where position = %s", history[2]["position"])
    assert "content" in named(finding(database, company.workspace), history[2]), "the first that differs"


def _superuser_inserts(sabotage: Callable[..., int], row: dict[str, object]) -> None:
    names = ", ".join(row)
    marks = ", ".join(["%s"] * len(row))
    sabotage(f"insert into event ({names}) overriding system value values ({marks})", *row.values())


def test_two_events_that_were_swapped_are_found(
    database: Database, company: Company, history: list[dict[str, Any]], sabotage: Callable[..., int]
) -> None:
    one, other = history[4]["position"], history[7]["position"]
    swap = "update event set position = %s::bigint + %s::bigint - position where position in (%s, %s)"
    sabotage("alter table event drop constraint event_pkey, alter position set generated by default")
    assert sabotage(swap, one, other, one, other) == 2
    assert "stands there now" in named(finding(database, company.workspace), history[4])


def test_a_leaf_rewritten_with_its_event_is_found_by_what_was_signed(
    database: Database,
    company: Company,
    sequencer: Session,
    history: list[dict[str, Any]],
    sabotage: Callable[..., int],
) -> None:
    """The tree above is recomputed, too: what stays is the signature."""
    ticket = company.ticket("The only event between two checkpoints")
    sequencer.catch_up()
    company.ticket()
    sequencer.catch_up()
    [victim] = log(database, f"stream = '{ticket}'")
    sabotage("update event set actor = gen_random_uuid() where position = %s", victim["position"])
    _recompute(database, company.workspace, sabotage, keep="audit_checkpoint")
    assert "was rewritten, with its leaf" in named(finding(database, company.workspace), victim)


def test_a_log_rewritten_with_all_that_was_signed_is_found_by_an_earlier_checkpoint(
    database: Database,
    company: Company,
    sequencer: Session,
    history: list[dict[str, Any]],
    sabotage: Callable[..., int],
) -> None:
    """Whoever has the database has the key in it; what somebody else has kept stays as it was."""
    kept = checkpoint(database, company.workspace)
    sabotage("update event set actor = gen_random_uuid() where position = %s", history[3]["position"])
    _recompute(database, company.workspace, sabotage)
    assert finding(database, company.workspace) is None, "it is whole in itself"
    with reading(database, company.workspace.id) as connection:
        assert proofs.root(connection, company.workspace.id, kept.size) != kept.root
        again = checkpoint(database, company.workspace)
        with pytest.raises(NotProven, match="Two different trees"):
            verify_consistency(kept.size, again.size, kept.root, again.root, ())


def _recompute(database: Database, workspace: Workspace, sabotage: Callable[..., int], keep: str | None = None) -> None:
    """As if the log had never been written: a sequencer makes it anew of what stands in the table now."""
    for table in ("audit_log", "audit_leaf", "audit_node", "audit_checkpoint"):
        if table != keep:
            sabotage(f"delete from {table} where workspace = %s", workspace.id)
    sabotage("update tracking set position = 0, epoch = epoch + 1 where name = %s", NAME)
    sabotage("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and pid <> pg_backend_pid()")
    with Session(database, PACE) as session:
        session.catch_up()


def test_a_log_that_was_cut_is_found(
    database: Database, company: Company, history: list[dict[str, Any]], sabotage: Callable[..., int]
) -> None:
    last = history[-1]["position"]
    sabotage("delete from event where position = %s", last)
    sabotage("delete from audit_leaf where position = %s", last)
    sabotage("update audit_log set size = size - 1")
    found = finding(database, company.workspace)
    assert found is not None
    assert "The log was cut" in found.says


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("update audit_leaf set hash = sha256('x') where index = 3", "its leaf and the hash of it differ"),
        ("update audit_leaf set leaf = 'x' where index = 3", "cannot be read"),
        ("delete from audit_leaf where index = 3", "Leaf 3 is missing"),
        ("delete from audit_leaf where index >= 3", "Leaf 3 is missing"),
        ("update audit_checkpoint set root = sha256('x')", "is another"),
        ("update audit_checkpoint set note = 'x'", "is another"),
    ],
)
def test_a_tree_that_was_changed_is_found(
    database: Database,
    company: Company,
    history: list[dict[str, Any]],
    sabotage: Callable[..., int],
    statement: str,
    says: str,
) -> None:
    assert sabotage(statement)
    found = finding(database, company.workspace)
    assert found is not None
    assert says in found.says


def test_the_scrubber_looks_by_itself(
    database: Database, company: Company, history: list[dict[str, Any]], sabotage: Callable[..., int]
) -> None:
    sabotage("update event set state = 'x' where position = %s", history[2]["position"])
    scrubber = Scrubber(database, timedelta(hours=1), every=0.01)
    scrubber.start()
    try:
        with reading(database, company.workspace.id) as connection:
            while (row := connection.execute("select position from audit_scrub").fetchone()) is None:
                pass
    finally:
        scrubber.stop()
    assert row == (history[2]["position"],)


# ---- a database of an older Proteus


def test_an_older_database_gets_what_the_proofs_need(
    database: Database, company: Company, sabotage: Callable[..., int]
) -> None:
    ticket = company.ticket("Sealed")
    sabotage(
        "drop table audit_log, audit_leaf, audit_node, audit_checkpoint, audit_scrub, audit_key;"
        "drop function audit_hashes; drop trigger commit_to_key on subject_key; drop function commit_to_key cascade;"
        "alter table subject_key drop column commitment; delete from tracking where name = 'audit';"
        "drop policy follow on workspace"
    )
    database.migrate(install)
    database.migrate(install)
    with Session(database, PACE) as session:
        session.catch_up()
    [event] = log(database, f"stream = '{ticket}'")
    said = leaves.read(next(row[2] for row in leaf_rows(database, company.workspace) if row[1] == event["position"]))
    assert said is not None
    assert said.keys, "of keys that were made before there were commitments"
    with database.connect(Role.PROJECTOR) as connection:
        assert LogReader(connection).head() == event["position"]
