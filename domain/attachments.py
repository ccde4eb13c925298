"""Files attached to a ticket. Their contents lie elsewhere; events say where, what they are, and by what digest."""

from datetime import datetime
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain import files
from domain.errors import AttachmentNotFound, TooManyAttachments
from domain.text import FreeText
from domain.ticket_state import Attachment, Surroundings, Ticket, Visibility

FILES_LIMIT = 200
BYTES_LIMIT = 2_000_000_000
"""Of all files of a ticket."""


class FileAttached(msgspec.Struct, frozen=True, kw_only=True):
    """`sha256`: of the content as it was uploaded; sealed, since it tells who knows the file that it is here.
    `content`: where it lies, which tells nothing."""

    attachment: UUID
    name: FreeText
    media_type: str
    bytes: int
    sha256: FreeText
    content: str
    visibility: Visibility


class FileDetached(msgspec.Struct, frozen=True, kw_only=True):
    attachment: UUID


AttachmentEvent = FileAttached | FileDetached


class AttachFile(msgspec.Struct, frozen=True, kw_only=True):
    """`media_type`: as declared by whoever uploaded it; the content has the last word."""

    ticket: UUID
    upload: UUID
    name: str
    visibility: Visibility = Visibility.PUBLIC
    media_type: str | None = None


class DetachFile(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID
    attachment: UUID


AttachmentCommand = AttachFile | DetachFile


def decide(ticket: Ticket, command: AttachmentCommand, around: Surroundings) -> list[AttachmentEvent]:
    if isinstance(command, DetachFile):
        return _detach(ticket, command)
    upload = around.upload
    assert upload is not None, "who attaches has uploaded before"
    name = files.file_name(command.name)
    kind = files.media_type(upload.head, command.media_type, name)
    if len(ticket.attachments) >= FILES_LIMIT:
        raise TooManyAttachments(f"{ticket.key} has {FILES_LIMIT} files; that is the limit.", ("ticket",))
    if sum(attached.bytes for attached in ticket.attachments) + upload.bytes > BYTES_LIMIT:
        raise TooManyAttachments(f"{ticket.key} would have more than {BYTES_LIMIT:,} bytes of files.", ("ticket",))
    return [
        FileAttached(
            attachment=around.new_id,
            name=name,
            media_type=kind,
            bytes=upload.bytes,
            sha256=upload.sha256,
            content=upload.content,
            visibility=command.visibility,
        )
    ]


def _detach(ticket: Ticket, command: DetachFile) -> list[AttachmentEvent]:
    if not any(attached.id == command.attachment for attached in ticket.attachments):
        raise AttachmentNotFound(command.attachment)
    return [FileDetached(attachment=command.attachment)]


def evolve(ticket: Ticket, event: AttachmentEvent, at: datetime) -> Ticket:
    version = ticket.version + 1
    if isinstance(event, FileDetached):
        left = tuple(attached for attached in ticket.attachments if attached.id != event.attachment)
        return replace(ticket, version=version, last_at=at, attachments=left)
    attached = Attachment(id=event.attachment, name=event.name, visibility=event.visibility, bytes=event.bytes)
    return replace(ticket, version=version, attachments=(*ticket.attachments, attached))
