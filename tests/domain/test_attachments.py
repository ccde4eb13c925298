"""Files of a ticket: attached, detached, so many and no more."""

import msgspec

from domain.attachments import BYTES_LIMIT, FILES_LIMIT
from domain.errors import AttachmentNotFound, FileTypeRefused, InvalidValue, TicketNotFound, TooManyAttachments
from domain.files import Upload
from domain.tickets import AttachFile, DetachFile, FileAttached, FileDetached, StatusChanged, Visibility
from domain.workflows import StatusCategory
from tests.domain.given import NEW_COMMENT, OPENED, TICKET, an_id, knowing

UPLOAD = Upload(head=b"Traceback", bytes=120, sha256="ab" * 32, content="cd" * 32)
ATTACH = AttachFile(ticket=TICKET, upload=an_id(51), name="logs/error.log", media_type="text/plain")
ATTACHED = FileAttached(
    attachment=NEW_COMMENT,
    name="error.log",
    media_type="text/plain",
    bytes=120,
    sha256="ab" * 32,
    content="cd" * 32,
    visibility=Visibility.PUBLIC,
)
EARLIER = msgspec.structs.replace(ATTACHED, attachment=an_id(52))
CLOSED = StatusChanged(workflow_version=1, status="done", category=StatusCategory.DONE)

ticket = knowing(upload=UPLOAD)


def test_an_upload_is_attached_under_a_plain_name() -> None:
    ticket.given(OPENED).when(ATTACH).then(ATTACHED)


def test_a_file_may_be_for_colleagues_alone() -> None:
    internal = msgspec.structs.replace(ATTACH, visibility=Visibility.INTERNAL)
    ticket.given(OPENED).when(internal).then(msgspec.structs.replace(ATTACHED, visibility=Visibility.INTERNAL))


def test_a_closed_ticket_takes_files_as_it_takes_comments() -> None:
    ticket.given(OPENED, CLOSED).when(ATTACH).then(ATTACHED)


def test_a_file_that_is_not_what_it_is_said_to_be_is_refused() -> None:
    ticket.given(OPENED).when(msgspec.structs.replace(ATTACH, media_type="image/png")).refused(FileTypeRefused)


def test_a_file_without_a_name_is_refused() -> None:
    ticket.given(OPENED).when(msgspec.structs.replace(ATTACH, name="../")).refused(InvalidValue, "name")


def test_a_ticket_takes_so_many_files_and_no_more() -> None:
    many = [msgspec.structs.replace(ATTACHED, attachment=an_id(1000 + n)) for n in range(FILES_LIMIT)]
    ticket.given(OPENED, *many).when(ATTACH).refused(TooManyAttachments, "ticket")
    ticket.given(OPENED, *many, FileDetached(attachment=an_id(1000))).when(ATTACH).then(ATTACHED)


def test_a_ticket_takes_so_many_bytes_and_no_more() -> None:
    big = msgspec.structs.replace(EARLIER, bytes=BYTES_LIMIT - 100)
    ticket.given(OPENED, big).when(ATTACH).refused(TooManyAttachments, "ticket")


def test_a_file_is_detached() -> None:
    outcome = ticket.given(OPENED, EARLIER).when(DetachFile(ticket=TICKET, attachment=an_id(52)))
    outcome.then(FileDetached(attachment=an_id(52)))
    assert outcome.after is not None
    assert outcome.after.attachments == ()


def test_what_is_not_attached_is_not_detached() -> None:
    detach = DetachFile(ticket=TICKET, attachment=an_id(52))
    ticket.given(OPENED).when(detach).refused(AttachmentNotFound, "attachment")
    ticket.given(OPENED, EARLIER, FileDetached(attachment=an_id(52))).when(detach).refused(AttachmentNotFound)


def test_there_must_be_a_ticket() -> None:
    ticket.when(ATTACH).refused(TicketNotFound, "ticket")
