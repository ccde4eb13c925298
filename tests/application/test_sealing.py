"""Personal data and free text stand in the event store sealed; without the subject's key nobody reads them."""

from functools import partial
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from application import people, tickets
from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Database, Place, Role
from application.event_store.envelope import Envelope
from application.event_store.sealing import Keyring, SealBroken, Sealer, place
from application.event_store.streams import EventStore
from application.handling import Context
from application.workspaces import Workspace, create_workspace
from domain.people import AddPerson, Person, RenamePerson
from domain.tickets import (
    AddComment,
    ChangeRole,
    CommentAdded,
    FieldSet,
    OpenTicket,
    SetPriority,
    Ticket,
    TicketOpened,
    TransitionTicket,
    Visibility,
)
from domain.tickets import Priority as Priorities
from tests.application.recording import Company, at_once, log, succeeded
from tests.conftest import KEYS

SECRETS = (
    "Аркадий Ёжиков",
    "Ludmilla Zeppelin",
    "secret.address@example.org",
    "Переименованный Гость",
    "Сайт упал у клиента",
    "Описание: звонил Аркадий",
    "Комментарий с фамилией",
    "Internal remark on Zeppelin",
    "Причина отмены такова",
    "поле-комната-312",
    "поле-при-переходе",
)


def a_story(company: Company) -> tuple[UUID, UUID]:
    """A requester and their ticket, with all kinds of text."""
    context = Context(actor=company.manager)
    requester = company.person("Аркадий Ёжиков", "secret.address@example.org")
    company.person("Ludmilla Zeppelin")
    guest = company.person("Гость")
    people.handle(company.store, context, RenamePerson(person=guest, name="Переименованный Гость"))
    ticket = company.ticket(
        "Сайт упал у клиента",
        description="Описание: звонил Аркадий",
        requester=requester,
        fields={"room": "поле-комната-312", "floor": 3, "vip": True},
    )
    company.give(AddComment(ticket=ticket, body="Комментарий с фамилией"))
    company.give(AddComment(ticket=ticket, body="Internal remark on Zeppelin", visibility=Visibility.INTERNAL))
    company.give(TransitionTicket(ticket=ticket, status="waiting", fields={"cause": "поле-при-переходе"}))
    company.give(TransitionTicket(ticket=ticket, status="cancelled"), reason="Причина отмены такова")
    company.give(SetPriority(ticket=company.ticket(), priority=Priorities.LOW), command_id=uuid4(), reason="Причина")
    return requester, ticket


def opened(database: Database, stream: UUID) -> list[Envelope]:
    """The stream as a process reads it that has just started."""
    rows = log(database, f"stream = '{stream}'")
    with EventStore(database) as fresh:
        return fresh.mapper.to_envelopes(fresh.workspace(rows[0]["workspace"])._recorder.load({stream: 0}))


def erase(postgres: EmbeddedPostgres, database: Database, subject: UUID) -> None:
    """As the erasure will: the key is set to null."""
    with superuser(postgres, database.keys) as connection:
        connection.execute("update proteus_keys.subject_key set key = null where subject = %s", (subject,))


def superuser(postgres: EmbeddedPostgres, place: Place) -> psycopg.Connection[Any]:
    name = conninfo_to_dict(place.url)["dbname"]
    return psycopg.connect(make_conninfo(postgres.dsn, dbname=name), autocommit=True)


def dump(postgres: EmbeddedPostgres, place: Place) -> dict[str, str]:
    """Every row of every table of a schema, as text; bytes as the text that they would be in UTF-8."""
    found: dict[str, str] = {}
    with superuser(postgres, place) as connection:
        for (table,) in connection.execute("select tablename from pg_tables where schemaname = %s", (place.schema,)):
            named = sql.Identifier(place.schema, table)
            rows = connection.execute(sql.SQL("select * from {}").format(named)).fetchall()
            found[table] = "\n".join(
                "|".join(value.decode(errors="replace") if isinstance(value, bytes) else str(value) for value in row)
                for row in rows
            )
    return found


@KEYS
def test_nothing_that_people_wrote_stands_open_in_the_event_store(
    postgres: EmbeddedPostgres, database: Database, company: Company
) -> None:
    a_story(company)
    written = dump(postgres, database) | dump(postgres, database.keys)

    assert written["event"].count("TicketOpened") == 2
    assert "room" not in written["event"], "keys of fields are sealed with their values"
    for secret in SECRETS:
        for form in (secret, msgspec.json.encode(secret).decode().strip('"'), ascii(secret).strip("'"), secret.lower()):
            for table, text in written.items():
                assert form not in text, f"{secret!r} stands open in {table}"


@KEYS
def test_what_was_sealed_is_read_again_by_a_process_that_has_just_started(database: Database, company: Company) -> None:
    requester, ticket = a_story(company)
    events = [envelope.event for envelope in opened(database, ticket)]
    first = events[0]
    assert isinstance(first, TicketOpened)
    assert (first.title, first.description) == ("Сайт упал у клиента", "Описание: звонил Аркадий")
    assert first.fields == {"room": "поле-комната-312", "floor": 3, "vip": True}
    assert [event.body for event in events if isinstance(event, CommentAdded)] == [
        "Комментарий с фамилией",
        "Internal remark on Zeppelin",
    ]
    assert [event.value for event in events if isinstance(event, FieldSet)] == ["поле-при-переходе"]
    assert opened(database, ticket)[-1].cause.reason == "Причина отмены такова"
    assert {envelope.subject for envelope in opened(database, ticket) if envelope.subject} == {requester}


def test_equal_texts_look_different(database: Database, company: Company) -> None:
    """Nobody learns from the table that two texts are the same."""
    ticket = company.ticket("Same", description="Same")
    company.give(AddComment(ticket=ticket, body="Same"))
    states = [msgspec.json.decode(row["state"]) for row in log(database, f"stream = '{ticket}'")]
    assert len({states[0]["title"], states[0]["description"], states[1]["body"]}) == 3


# ---- a sealed value has one place


def test_a_sealed_value_opens_in_its_own_place_only(company: Company) -> None:
    sealer, here = company.store.mapper.sealer, company.workspace.id
    stream, subject = uuid4(), uuid4()
    sealed = sealer.seal("Имя", here, subject, place(stream, 7, "name"))

    assert sealer.open(sealed, here, place(stream, 7, "name")) == "Имя"
    for elsewhere in (place(uuid4(), 7, "name"), place(stream, 8, "name"), place(stream, 7, "email")):
        with pytest.raises(SealBroken):
            sealer.open(sealed, here, elsewhere)


def test_a_sealed_value_opens_under_its_own_subject_and_workspace_only(
    database: Database, store: EventStore, company: Company
) -> None:
    sealer, here = store.mapper.sealer, company.workspace.id
    other = create_workspace(database, store, "other", "Other").id
    at, one, two = place(uuid4(), 1, "name"), uuid4(), uuid4()
    sealed, of_two = sealer.seal("Имя", here, one, at), sealer.seal("Имя", here, two, at)

    with pytest.raises(SealBroken):
        sealer.open(sealed.replace(one.hex, two.hex), here, at)
    with pytest.raises(SealBroken):
        sealer.open(sealed, other, at)
    with pytest.raises(SealBroken):
        sealer.open(sealed.replace(one.hex, uuid4().hex), here, at)
    assert sealer.open(of_two, here, at) == "Имя"


def test_a_changed_value_is_told_from_an_erased_one(company: Company) -> None:
    sealer, at = company.store.mapper.sealer, place(uuid4(), 1, "name")
    sealed = sealer.seal("Имя", company.workspace.id, uuid4(), at)
    for changed in (sealed[:-8], sealed[:60] + "!" + sealed[61:], sealed[:36], "1:x", "Open text"):
        with pytest.raises(SealBroken):
            sealer.open(changed, company.workspace.id, at)


def test_a_value_that_was_moved_to_another_row_does_not_load(
    postgres: EmbeddedPostgres, database: Database, company: Company
) -> None:
    ticket = company.ticket()
    for body in ("One", "Two"):
        company.give(AddComment(ticket=ticket, body=body))
    with superuser(postgres, database) as connection:
        connection.execute(
            "update proteus.event e set state = f.state from proteus.event f"
            " where e.stream = %(ticket)s and e.version = 2 and f.stream = %(ticket)s and f.version = 3",
            {"ticket": ticket},
        )
    with pytest.raises(SealBroken):
        opened(database, ticket)


# ---- erasure


@KEYS
def test_texts_of_an_erased_subject_read_as_erased(
    postgres: EmbeddedPostgres, database: Database, company: Company
) -> None:
    requester, ticket = a_story(company)
    erase(postgres, database, requester)

    with EventStore(database) as fresh:
        loaded = fresh.workspace(company.workspace.id).load([requester, ticket])
    person, state = loaded[requester].state, loaded[ticket].state
    assert isinstance(person, Person)
    assert isinstance(state, Ticket)
    assert (person.name, person.email) == ("[erased]", "[erased]")
    assert (state.title, state.description) == ("[erased]", "[erased]")
    assert state.fields == {"cause": "[erased]"}
    assert opened(database, ticket)[-1].cause.reason == "[erased]"
    # What is not about the person stays: the company keeps its tickets.
    assert (state.status, state.requester, len(state.comments)) == ("cancelled", requester, 2)


def test_what_is_written_after_an_erasure_is_sealed_under_the_workspace(
    postgres: EmbeddedPostgres, database: Database, company: Company
) -> None:
    requester, ticket = a_story(company)
    erase(postgres, database, requester)
    with EventStore(database) as fresh:
        context = Context(actor=company.manager)
        tickets.handle(fresh, context, AddComment(ticket=ticket, body="Написано позже"))
        tickets.handle(fresh, context, ChangeRole(ticket=ticket, role="TASK"))

    last = opened(database, ticket)
    [comment] = [one for one in last if isinstance(one.event, CommentAdded)][-1:]
    assert isinstance(comment.event, CommentAdded)
    assert comment.event.body == "Написано позже"
    assert comment.subject == company.workspace.id


def test_the_key_of_an_erased_subject_is_never_made_again(
    postgres: EmbeddedPostgres, database: Database, company: Company
) -> None:
    person = company.person("Аркадий")
    erase(postgres, database, person)
    with EventStore(database) as fresh:
        fresh.workspace(company.workspace.id).prepare_keys([person])
        fresh.mapper.sealer.seal("Новый", company.workspace.id, person, b"")
    with superuser(postgres, database.keys) as connection:
        rows = connection.execute("select key from proteus_keys.subject_key where subject = %s", (person,)).fetchall()
    assert rows == [(None,)]


# ---- keys


def test_all_who_make_a_subject_s_first_key_at_once_end_with_one(database: Database, workspace: Workspace) -> None:
    pool = database.keys.pool(Role.APP, 8)
    try:
        for _ in range(10):
            subject, at = uuid4(), place(uuid4(), 1, "name")
            sealers = [Sealer(Keyring(pool)) for _ in range(8)]
            answers = at_once([partial(one.seal, "Имя", workspace.id, subject, at) for one in sealers])
            reader = Sealer(Keyring(pool))
            assert [reader.open(sealed, workspace.id, at) for sealed in succeeded(answers)] == ["Имя"] * 8
    finally:
        pool.close()


def test_many_who_make_the_same_keys_in_another_order_do_not_deadlock(database: Database, workspace: Workspace) -> None:
    pool = database.keys.pool(Role.APP, 4)
    try:
        for _ in range(5):
            subjects = [(workspace.id, uuid4()) for _ in range(200)]
            rings = [Keyring(pool) for _ in range(4)]
            orders = [subjects[:: 1 if n % 2 else -1] for n in range(4)]
            answers = at_once([partial(ring.load, order, make=True) for ring, order in zip(rings, orders, strict=True)])
            keys = succeeded(answers)
            assert len(keys) == 4, answers
            assert all(found == keys[0] for found in keys)
    finally:
        pool.close()


def test_a_key_that_is_not_there_is_no_erasure(database: Database, workspace: Workspace) -> None:
    pool = database.keys.pool(Role.APP, 1)
    try:
        ring = Keyring(pool)
        with pytest.raises(KeyError):
            ring.key(workspace.id, uuid4())
    finally:
        pool.close()


@KEYS
def test_nobody_reads_keys_of_another_workspace(database: Database, store: EventStore, workspace: Workspace) -> None:
    other = create_workspace(database, store, "other", "Other")
    for role in (Role.APP, Role.READER):
        with database.keys.connect(role) as connection:
            connection.execute("select set_config('proteus.workspace', %s, false)", (str(workspace.id),))
            rows = connection.execute("select distinct workspace from subject_key").fetchall()
            assert rows == [(workspace.id,)]
            assert other.id not in rows[0]
            for change in ("update subject_key set key = null", "delete from subject_key"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(change.encode())


def test_a_person_s_texts_stand_under_their_own_key(database: Database, company: Company) -> None:
    """So that a leaving employee's erasure does not touch the tickets that they worked on."""
    agent = people.handle(company.store, Context(actor=company.manager), AddPerson(name="Агент")).stream
    requester = company.person("Заказчик")
    without = company.give(OpenTicket(title="Без заказчика", role="INCIDENT", assignee=agent)).stream
    ticket = company.ticket(requester=requester, assignee=agent)

    assert [one.subject for one in opened(database, agent)] == [agent]
    assert [one.subject for one in opened(database, ticket)] == [requester]
    assert [one.subject for one in opened(database, without)] == [company.workspace.id]
