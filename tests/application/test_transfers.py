"""A workspace is moved to another database and is the same there: the log, what it answers, now and as of then."""

import asyncio
import gzip
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest

from application import tickets as ticket_commands
from application import transfers
from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Database, Role
from application.event_store.streams import EventStore
from application.handling import Context
from application.transfers import export_workspace, import_workspace, keys_of
from application.workspaces import Workspace, create_workspace, find_workspace, operator
from domain.access import Scope
from domain.errors import InvalidValue, KeyTaken, Refused
from domain.tickets import AddComment, OpenTicket, Priority, SetParent, SetPriority, Ticket
from projections import tickets
from projections.engine import Session
from projections.filters import AsOf, PageAsk
from projections.reading import Moment, ReadModels
from projections.rebuild import digests_of, rebuild_all
from projections.registry import PROJECTIONS
from tests.application.recording import Company, log
from tests.application.test_sealing import superuser
from tests.conftest import fresh_database
from tests.faults.commands import Commander


def quiet(done: int, total: int) -> None:
    pass


class Moved:
    """A workspace that was exported, and an empty database to import it into."""

    def __init__(self, company: Company, here: Database, there: Database, file: Path) -> None:
        self.company, self.here, self.there, self.file = company, here, there, file
        self.command = uuid4()
        self.client = company.person("Аркадий Ёжиков")
        erased = company.person("Гость")
        parent = company.ticket("Сайт упал", requester=self.client)
        child = company.ticket("Починить", requester=erased)
        company.give(SetParent(ticket=child, parent=parent))
        company.give(AddComment(ticket=parent, body="Перезапустили"), command_id=self.command)
        company.give(SetPriority(ticket=parent, priority=Priority.NORMAL), command_id=uuid4())  # changes nothing
        self.parent, self.erased = parent, erased
        project(here)

    def do_everything(self) -> None:
        """Commands of every kind, as chance would have it: of work, contracts, repositories, webhooks, definitions."""
        chief = msgspec.structs.replace(self.company.manager, scopes=frozenset({Scope.ADMIN}))
        commander = Commander(self.company.store, chief, self.file.parent / "files", "moved")
        commander.look_around(self.here)
        for _ in range(200):
            with suppress(Refused):
                commander.give(commander.draw(), commander.context())
        project(self.here)

    @property
    def workspace(self) -> Workspace:
        return self.company.workspace

    def export(self) -> str:
        return export_workspace(self.here, self.workspace, self.file, quiet).log

    def take(self) -> str:
        log_ = import_workspace(self.there, self.file, quiet).log
        rebuild_all(self.there, PROJECTIONS)
        transfers.arrived(self.there, self.workspace)
        return log_


def project(database: Database) -> None:
    with Session(database, {projection.name: projection for projection in PROJECTIONS}) as session:
        session.catch_up()


@pytest.fixture
def moved(postgres: EmbeddedPostgres, database: Database, company: Company, tmp_path: Path) -> Iterator[Moved]:
    with fresh_database(postgres) as there:
        yield Moved(company, database, there, tmp_path / "acme.jsonl.gz")


def rows(database: Database, workspace: UUID) -> list[dict[str, Any]]:
    return log(database, f"workspace = '{workspace}'")


def test_the_log_is_the_same_to_the_byte_and_the_microsecond(moved: Moved) -> None:
    moved.do_everything()
    exported = moved.export()
    assert moved.take() == exported
    assert rows(moved.there, moved.workspace.id) == rows(moved.here, moved.workspace.id)
    assert transfers.digest(moved.there, moved.workspace, quiet).log == exported
    assert transfers.digest(moved.here, moved.workspace, quiet).log == exported
    assert find_workspace(moved.there, "acme") == moved.workspace


def test_read_models_and_answers_as_of_any_moment_are_the_same(moved: Moved) -> None:
    moved.do_everything()
    moved.export()
    moved.take()
    id_ = moved.workspace.id
    assert digests_of(moved.there, id_, PROJECTIONS) == digests_of(moved.here, id_, PROJECTIONS)
    at = rows(moved.here, id_)[-3]["recorded_at"]

    async def ask(database: Database) -> tuple[Moment, list[Any]]:
        async with ReadModels(database) as models:
            view = models.view(operator(id_))
            moment = await view.moment(AsOf(recorded_at=at))
            page = await tickets.tickets(view, None, None, [], PageAsk(), moment)
            return moment, page.nodes

    assert asyncio.run(ask(moved.there)) == asyncio.run(ask(moved.here))


def test_work_goes_on_there_as_if_it_had_never_moved(moved: Moved) -> None:
    moved.export()
    moved.take()
    with EventStore(moved.there) as store:
        company = Company(store, moved.workspace, moved.company.manager)
        again = company.give(AddComment(ticket=moved.parent, body="Перезапустили"), command_id=moved.command)
        assert again.replayed
        opened = ticket_commands.handle(
            store, Context(actor=company.manager), OpenTicket(title="Next", role="INCIDENT", requester=moved.client)
        )
        assert opened.position > rows(moved.here, moved.workspace.id)[-1]["position"]
        [ticket] = store.workspace(moved.workspace.id).load([opened.stream]).values()
        assert isinstance(ticket.state, Ticket)
        assert ticket.state.number > 2  # those that its own process had drawn and not used are lost
    project(moved.there)


def test_positions_that_others_have_are_not_taken_twice(moved: Moved) -> None:
    with EventStore(moved.there) as store:
        create_workspace(moved.there, store, "other", "Other")
    before = log(moved.there)
    moved.export()
    with pytest.raises(InvalidValue, match="a database of its own"):
        import_workspace(moved.there, moved.file, quiet)
    assert log(moved.there) == before
    assert find_workspace(moved.there, "acme") is None


def test_who_comes_later_gets_positions_behind_it(moved: Moved) -> None:
    moved.export()
    moved.take()
    with EventStore(moved.there) as store:
        Company.of(store, create_workspace(moved.there, store, "other", "Other")).ticket("Theirs")
    project(moved.there)
    assert digests_of(moved.there, moved.workspace.id, PROJECTIONS) == digests_of(
        moved.here, moved.workspace.id, PROJECTIONS
    )


def test_an_import_that_is_ended_in_the_middle_goes_on_where_it_was(
    moved: Moved, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = moved.export()
    monkeypatch.setattr(transfers, "CHUNK", 3)

    def interrupt(done: int, total: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_workspace(moved.there, moved.file, interrupt)
    assert len(rows(moved.there, moved.workspace.id)) == 6
    assert moved.take() == exported
    assert rows(moved.there, moved.workspace.id) == rows(moved.here, moved.workspace.id)


def test_who_is_erased_while_an_import_is_interrupted_arrives_erased(
    postgres: EmbeddedPostgres, moved: Moved, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved.export()

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(transfers, "CHUNK", 3)
        with pytest.raises(KeyboardInterrupt):
            import_workspace(moved.there, moved.file, interrupt)
    assert key_of(moved.there, moved.erased) is not None
    with superuser(postgres, moved.here.keys) as connection:
        connection.execute("update proteus_keys.subject_key set key = null where subject = %s", (moved.erased,))
    moved.export()
    moved.take()
    assert key_of(moved.there, moved.erased) is None


def key_of(database: Database, subject: UUID) -> bytes | None:
    with database.keys.connect(Role.PROJECTOR) as connection:
        [(key,)] = connection.execute("select key from subject_key where subject = %s", (subject,)).fetchall()
    return bytes(key) if key else None


def test_what_was_erased_arrives_erased_and_nothing_readable_is_in_the_file(
    postgres: EmbeddedPostgres, moved: Moved
) -> None:
    with superuser(postgres, moved.here.keys) as connection:
        connection.execute("update proteus_keys.subject_key set key = null where subject = %s", (moved.erased,))
    moved.export()
    text = gzip.decompress(moved.file.read_bytes()).decode()
    for secret in ("Ёжиков", "Сайт упал", "Перезапустили"):
        assert secret not in text
    assert moved.file.stat().st_mode & 0o077 == keys_of(moved.file).stat().st_mode & 0o077 == 0
    moved.take()
    assert key_of(moved.there, moved.erased) is None


def test_a_workspace_that_is_here_already_is_not_written_to(moved: Moved) -> None:
    moved.export()
    moved.take()
    with pytest.raises(KeyTaken):
        import_workspace(moved.there, moved.file, quiet)
    with pytest.raises(KeyTaken):
        import_workspace(moved.here, moved.file, quiet)


def test_a_key_that_another_has_is_refused_and_another_can_be_given(moved: Moved) -> None:
    moved.export()
    with moved.there.connect(Role.OWNER) as connection:
        connection.execute(
            "insert into workspace (id, key, name, shard) values (gen_random_uuid(), 'acme', 'Another', 'proteus')"
        )
    with pytest.raises(KeyTaken):
        import_workspace(moved.there, moved.file, quiet)
    assert import_workspace(moved.there, moved.file, quiet, "acme-2").workspace.key == "acme-2"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda content: content[:-100], "damaged"),
        (lambda content: content[: content.rindex(b'{"end"')], "not whole"),
        (lambda content: content.replace(b'"channel" : "api"', b'"channel" : "apj"', 1), "changed or damaged"),
        (lambda content: content + b"{}\n", "goes on"),
        (lambda content: b"", "not whole"),
        (lambda content: b"id,title\n1,x\n", "no export"),
        (lambda content: content.replace(b'"version":1', b'"version":2', 1), "version 2"),
    ],
)
def test_a_file_that_is_not_whole_and_as_it_was_written_changes_nothing(moved: Moved, spoil: Any, message: str) -> None:
    moved.export()
    content = gzip.decompress(moved.file.read_bytes())
    spoilt = spoil(content)
    assert spoilt != content
    moved.file.write_bytes(spoilt)
    with pytest.raises(InvalidValue, match=message):
        import_workspace(moved.there, moved.file, quiet)
    assert log(moved.there) == []
    assert find_workspace(moved.there, "acme") is None


def test_the_keys_must_be_there_and_of_this_workspace(moved: Moved) -> None:
    moved.export()
    keys = keys_of(moved.file)
    other = keys.read_bytes().replace(str(moved.workspace.id).encode(), str(uuid4()).encode())
    keys.write_bytes(other)
    with pytest.raises(InvalidValue, match="does not hold the keys"):
        import_workspace(moved.there, moved.file, quiet)
    keys.unlink()
    with pytest.raises(InvalidValue, match="There is no"):
        import_workspace(moved.there, moved.file, quiet)
    assert log(moved.there) == []


def test_nobody_but_an_arriving_workspace_sets_positions_and_times(database: Database, company: Company) -> None:
    company.ticket()
    with database.connect(Role.OWNER) as connection:
        connection.execute("select set_config('proteus.workspace', %s, false)", (str(company.workspace.id),))
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            connection.execute(
                "insert into event (position, workspace, stream, version, name, event_version, state, occurred_at,"
                " recorded_at, actor, channel, command_id, correlation_id) overriding system value"
                " select 10000, workspace, gen_random_uuid(), 1, name, 1, state, occurred_at, '2020-01-01', actor,"
                " channel, gen_random_uuid(), correlation_id from event limit 1"
            )
