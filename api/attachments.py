"""Files attached to tickets: what they are, and the commands. Their contents come and go beside GraphQL."""

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry import ID, UNSET, Parent

from api.commands import Done, ExpectingInput, perform
from api.fields import Info, Node, by
from api.ids import Kind, encode
from api.people import Person, person
from api.prefetch import found
from application.attachments.attaching import attach
from application.tickets import handle
from domain.attachments import AttachFile, DetachFile
from domain.tickets import Visibility
from projections.rows import AttachmentRow

if TYPE_CHECKING:
    from api.ticket_fields import Ticket


def _id(attachment: Parent[AttachmentRow]) -> ID:
    return encode(Kind.ATTACHMENT, attachment.id)


def _ticket(attachment: Parent[AttachmentRow], info: Info) -> Any:
    """To which it was attached: another one than asked, where that was merged into it. Who detaches it names this
    one."""
    return found(info.context.loaders.tickets, (attachment.ticket, attachment.moment))


def _url(attachment: Parent[AttachmentRow], info: Info) -> str:
    """Where its content is, for whoever sends a token along."""
    return f"{info.context.runtime.public_url}/attachments/{encode(Kind.ATTACHMENT, attachment.id)}"


def _attached_by(attachment: Parent[AttachmentRow], info: Info) -> Any:
    return person(info, attachment.attached_by)


@strawberry.type
class Attachment(Node):
    id: ID = by(_id)
    ticket: Annotated["Ticket", strawberry.lazy("api.ticket_fields")] = by(_ticket)
    name: str
    media_type: str = strawberry.field(description="What its content shows it to be, else what it was said to be.")
    bytes: int
    sha256: str = strawberry.field(description="Of the content, in hexadecimal digits.")
    visibility: Visibility
    url: str = by(_url)
    attached_at: datetime
    attached_by: Person = by(_attached_by)

    @classmethod
    def is_type_of(cls, row: object, _: object) -> bool:
        return isinstance(row, AttachmentRow)


@strawberry.input(description="`upload`: what `POST /attachments` answered; used once, within a day.")
class AttachFileInput(ExpectingInput):
    ticket: ID
    upload: ID
    name: str
    visibility: Visibility = Visibility.PUBLIC
    media_type: str | None = UNSET


@strawberry.input
class DetachFileInput(ExpectingInput):
    ticket: ID
    attachment: ID


async def attach_file(info: Info, input: AttachFileInput) -> Done:
    """Gives a ticket a file that was uploaded before."""
    return await perform(info, input, AttachFile, partial(attach, info.context.runtime.contents))


async def detach_file(info: Info, input: DetachFileInput) -> Done:
    """The past keeps it: who reads all can read its content there for 30 days more, and then that is removed."""
    return await perform(info, input, DetachFile, handle)
