"""Contents of files on disk: sealed, whole or not there, once per subject, swept when nobody needs them."""

import errno
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application import tickets
from application.attachments import contents as on_disk
from application.attachments.attaching import attach
from application.attachments.contents import CHUNK, UPLOADS_LIMIT, ContentGone, Contents, StorageFull, Writer
from application.attachments.sweeping import sweep
from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Database
from application.event_store.sealing import SealBroken
from application.event_store.streams import EventStore
from application.handling import Context, Outcome
from domain.errors import FileTooLarge, FileTypeRefused, TooManyUploads, UploadNotFound
from domain.tickets import AttachFile, DetachFile, Ticket
from tests.application.recording import Company, log
from tests.application.test_sealing import superuser

WORKSPACE, PERSON, SUBJECT = UUID(int=1), UUID(int=2), UUID(int=3)


class Keys:
    """A keyring in memory."""

    def __init__(self) -> None:
        self.keys: dict[UUID, bytes | None] = {}

    def key(self, workspace: UUID, subject: UUID, *, make: bool = False) -> bytes | None:
        if make:
            self.keys.setdefault(subject, hashlib.sha256(subject.bytes).digest())
        return self.keys[subject]


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def files(tmp_path: Path, keys: Keys) -> Contents:
    held: Any = keys
    return Contents(tmp_path / "files", held, limit=10 * CHUNK, reserve=0)


def upload(files: Contents, data: bytes, workspace: UUID = WORKSPACE, person: UUID = PERSON) -> UUID:
    receiving = files.receive(workspace, person)
    receiving.writer.write(data)
    receiving.writer.finish()
    return receiving.upload


def kept(files: Contents, data: bytes, subject: UUID = SUBJECT) -> str:
    id_ = upload(files, data)
    content = files.examine(WORKSPACE, PERSON, id_, subject).content
    files.keep(WORKSPACE, PERSON, id_, subject, content)
    files.forget(WORKSPACE, PERSON, id_)
    return content


def read(files: Contents, content: str, start: int = 0, stop: int | None = None) -> bytes:
    with files.open(WORKSPACE, content) as reader:
        return b"".join(reader.read(start, reader.bytes if stop is None else stop))


def on_the_disk(files: Contents) -> list[Path]:
    return [path for path in sorted(files.root.rglob("*")) if path.is_file() and path.name != "lock"]


# ---- one file


@given(st.integers(0, 5 * CHUNK + 7), st.lists(st.integers(1, 2 * CHUNK), max_size=6), st.data())
@settings(max_examples=40, deadline=None)
def test_what_was_written_in_any_pieces_is_read_from_any_place(size: int, cuts: list[int], data: st.DataObject) -> None:
    content = os.urandom(size)
    with tempfile.TemporaryDirectory() as folder:
        held: Any = Keys()
        files = Contents(Path(folder), held, reserve=0)
        receiving = files.receive(WORKSPACE, PERSON)
        start = 0
        for cut in cuts:
            receiving.writer.write(content[start : start + cut])
            start += cut
        receiving.writer.write(content[start:])
        receiving.writer.finish()
        examined = files.examine(WORKSPACE, PERSON, receiving.upload, SUBJECT)
        assert (examined.bytes, examined.sha256) == (size, hashlib.sha256(content).hexdigest())
        files.keep(WORKSPACE, PERSON, receiving.upload, SUBJECT, examined.content)
        first = data.draw(st.integers(0, size))
        last = data.draw(st.integers(first, size))
        assert read(files, examined.content, first, last) == content[first:last]


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_sizes_around_a_chunk_come_back_whole(files: Contents, size: int) -> None:
    data = os.urandom(size)
    assert read(files, kept(files, data)) == data


def test_nothing_readable_lies_on_the_disk(files: Contents) -> None:
    secret = b"Zeppelin's passport" * 100
    kept(files, secret)
    [path] = on_the_disk(files)
    assert b"Zeppelin" not in path.read_bytes()
    assert hashlib.sha256(secret).hexdigest() not in str(path)
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("spoil", ["flip", "cut", "swap", "header"])
def test_a_file_that_was_changed_does_not_open(files: Contents, spoil: str) -> None:
    content = kept(files, os.urandom(3 * CHUNK))
    [path] = on_the_disk(files)
    raw = bytearray(path.read_bytes())
    sealed = CHUNK + 16
    match spoil:
        case "flip":
            raw[sealed + 100] ^= 1
        case "cut":
            del raw[-sealed:]
        case "swap":
            first, second = bytes(raw[40 : 40 + sealed]), bytes(raw[40 + sealed : 40 + 2 * sealed])
            raw[40 : 40 + 2 * sealed] = second + first
        case _:
            raw[0] ^= 1
    path.write_bytes(raw)
    with pytest.raises(SealBroken):
        read(files, content)


def test_a_file_does_not_open_in_another_s_place(files: Contents) -> None:
    one, other = kept(files, b"one"), kept(files, b"other")
    paths = {path.name: path for path in on_the_disk(files)}
    paths[one].write_bytes(paths[other].read_bytes())
    with pytest.raises(SealBroken):
        read(files, one)


def test_equal_files_of_a_subject_lie_there_once_and_of_two_subjects_twice(files: Contents) -> None:
    one, again, other = kept(files, b"logo"), kept(files, b"logo"), kept(files, b"logo", UUID(int=4))
    assert one == again != other
    assert len(on_the_disk(files)) == 2


def test_an_erased_subject_s_files_cannot_be_read_and_are_swept(files: Contents, keys: Keys) -> None:
    content, another = kept(files, b"passport"), kept(files, b"letter", UUID(int=4))
    keys.keys[SUBJECT] = None
    with pytest.raises(ContentGone):
        files.open(WORKSPACE, content)
    assert files.sweep(WORKSPACE, {content, another}, on_disk.ago(-60)).files == 1
    assert read(files, another) == b"letter"
    assert kept(files, b"new") != content  # under the workspace from now on


# ---- limits, and a full disk


def test_a_file_that_is_too_large_is_refused_and_leaves_nothing(files: Contents) -> None:
    writer = files.receive(WORKSPACE, PERSON).writer
    writer.write(bytes(9 * CHUNK))
    writer.write(bytes(CHUNK))
    with pytest.raises(FileTooLarge):
        writer.write(b"x")
    assert on_the_disk(files) == []


def test_who_attaches_nothing_uploads_no_more(files: Contents) -> None:
    for _ in range(UPLOADS_LIMIT):
        upload(files, b"x")
    with pytest.raises(TooManyUploads):
        files.receive(WORKSPACE, PERSON)
    files.receive(WORKSPACE, UUID(int=4)).writer.give_up()


def test_a_disk_without_room_takes_nothing_and_keeps_its_reserve(tmp_path: Path, keys: Keys) -> None:
    held: Any = keys
    files = Contents(tmp_path, held, reserve=2**60)
    with pytest.raises(StorageFull):
        files.receive(WORKSPACE, PERSON)
    assert on_the_disk(files) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_a_disk_that_fills_up_meanwhile_leaves_nothing_half_written(
    files: Contents, monkeypatch: pytest.MonkeyPatch, number: int, step: str
) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    where: Any = os if step == "fsync" else Path
    id_ = upload(files, b"fits")
    content = files.examine(WORKSPACE, PERSON, id_, SUBJECT).content
    with monkeypatch.context() as patched:
        patched.setattr(where, step, full)
        with pytest.raises(StorageFull):
            upload(files, b"does not fit")
        with pytest.raises(StorageFull):
            files.keep(WORKSPACE, PERSON, id_, SUBJECT, content)
    assert [path.name for path in on_the_disk(files)] == [id_.hex]
    files.keep(WORKSPACE, PERSON, id_, SUBJECT, content)  # there is room again
    assert read(files, content) == b"fits"


# ---- attaching and sweeping, with real events


@pytest.fixture
def real(store: EventStore, tmp_path: Path) -> Contents:
    return Contents(tmp_path / "files", store.mapper.sealer.keyring, reserve=0)


@pytest.fixture
def give(company: Company, real: Contents) -> Callable[..., Outcome]:
    def attach_to(ticket: UUID, data: bytes, name: str = "a.txt", **context: Any) -> Outcome:
        id_ = upload(real, data, company.workspace.id, company.manager.person)
        command = AttachFile(ticket=ticket, upload=id_, name=name)
        return attach(real, company.store, Context(actor=company.manager, **context), command)

    return attach_to


def attached(company: Company, ticket: UUID) -> list[UUID]:
    state = company.store.workspace(company.workspace.id).load([ticket])[ticket].state
    assert isinstance(state, Ticket)
    return [one.id for one in state.attachments]


def test_an_upload_is_used_up_and_its_content_is_under_the_requester(
    database: Database, company: Company, real: Contents, give: Callable[..., Outcome]
) -> None:
    requester = company.person("Аркадий Ёжиков")
    ticket = company.ticket(requester=requester)
    give(ticket, b"log", "Ёжиков.txt")
    [path] = on_the_disk(real)
    assert path.read_bytes()[8:24] == requester.bytes
    [event] = log(database, "name = 'FileAttached'")
    assert "Ёжиков" not in event["state"].decode()
    assert hashlib.sha256(b"log").hexdigest() not in event["state"].decode()
    assert path.name in event["state"].decode()


def test_a_refused_upload_can_be_attached_otherwise_and_another_s_cannot(
    company: Company, real: Contents, give: Callable[..., Outcome]
) -> None:
    ticket = company.ticket()
    id_ = upload(real, b"text", company.workspace.id, company.manager.person)
    wrong = AttachFile(ticket=ticket, upload=id_, name="a.png", media_type="image/png")
    right = AttachFile(ticket=ticket, upload=id_, name="a.txt")
    context = Context(actor=company.manager)
    with pytest.raises(FileTypeRefused):
        attach(real, company.store, context, wrong)
    other = company.actor(company.person("Other"), *company.manager.scopes)
    with pytest.raises(UploadNotFound):
        attach(real, company.store, Context(actor=other), right)
    attach(real, company.store, context, right)
    with pytest.raises(UploadNotFound):
        attach(real, company.store, context, right)


def test_a_repeated_command_is_answered_though_its_upload_is_used_up(company: Company, real: Contents) -> None:
    ticket, command = company.ticket(), uuid4()
    id_ = upload(real, b"text", company.workspace.id, company.manager.person)
    attaching = AttachFile(ticket=ticket, upload=id_, name="a.txt")
    context = Context(actor=company.manager, command_id=command)
    first = attach(real, company.store, context, attaching)
    again = attach(real, company.store, context, attaching)
    assert (again.position, again.replayed) == (first.position, True)
    assert len(attached(company, ticket)) == 1


def test_the_sweep_takes_what_nobody_needs_and_leaves_the_rest(
    database: Database, company: Company, real: Contents, give: Callable[..., Outcome]
) -> None:
    ticket = company.ticket()
    give(ticket, b"stays")
    give(ticket, b"goes")
    give(ticket, b"shared")
    give(company.ticket(), b"shared")
    context = Context(actor=company.manager)
    _, second, third = attached(company, ticket)
    for id_ in (second, third):
        tickets.handle(company.store, context, DetachFile(ticket=ticket, attachment=id_))
    upload(real, b"never attached", company.workspace.id, company.manager.person)
    fresh = upload(real, b"just uploaded", company.workspace.id, company.manager.person)
    never = real.receive(company.workspace.id, company.manager.person)
    never.writer.write(b"half written when its server was killed")
    for path in on_the_disk(real):
        if path.name != fresh.hex:
            os.utime(path, (0, 0))

    assert sweep(database, real).files == 2  # what was detached is kept for a while
    os.utime(next(path for path in on_the_disk(real)), None)
    assert len(on_the_disk(real)) == 4
    for path in on_the_disk(real):
        if path.name != fresh.hex:
            os.utime(path, (0, 0))
    assert sweep(database, real, timedelta(0)).files == 1
    assert len(on_the_disk(real)) == 3
    assert sweep(database, real, timedelta(0)).files == 0


def test_what_is_attached_again_while_a_sweep_looks_is_not_swept(
    company: Company, real: Contents, give: Callable[..., Outcome]
) -> None:
    give(company.ticket(), b"forgotten")
    [path] = on_the_disk(real)
    os.utime(path, (0, 0))
    with real.attaching(company.workspace.id):  # the sweep has seen it, and waits here before it removes it
        sweeping = threading.Thread(target=real.sweep, args=(company.workspace.id, set(), on_disk.ago(60)))
        sweeping.start()
        give(company.ticket(), b"forgotten")
    sweeping.join(timeout=30)
    assert on_the_disk(real) == [path]


def test_an_erasure_leaves_nothing_of_the_files_of_a_person(
    postgres: EmbeddedPostgres,
    database: Database,
    company: Company,
    real: Contents,
    give: Callable[..., Outcome],
) -> None:
    requester = company.person("Аркадий Ёжиков")
    give(company.ticket(requester=requester), b"passport")
    give(company.ticket(), b"company's own")
    with superuser(postgres, database.keys) as connection:
        connection.execute("update proteus_keys.subject_key set key = null where subject = %s", (requester,))
    with EventStore(database) as later:  # which has no keys in memory
        afterwards = Contents(real.root, later.mapper.sealer.keyring)
        for path in on_the_disk(real):
            os.utime(path, (0, 0))
        assert sweep(database, afterwards).files == 1


def test_a_writer_that_is_given_up_twice_or_finished_leaves_what_it_should(files: Contents) -> None:
    writer: Writer = files.receive(WORKSPACE, PERSON).writer
    writer.give_up()
    writer.give_up()
    id_ = upload(files, b"x")
    assert [path.name for path in on_the_disk(files)] == [id_.hex]
