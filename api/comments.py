"""Comments on tickets: what they are, and the commands."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry import ID, UNSET, Parent

from api.commands import Done, ExpectingInput, perform
from api.fields import Info, Node, by
from api.ids import Kind, encode
from api.people import Person, people, person
from api.prefetch import found, then
from api.ticket_payload import TicketPayload
from application.tickets import handle
from domain import access
from domain.tickets import AddComment, EditComment, Visibility, WithdrawComment
from projections.rows import CommentRow, TicketRow

if TYPE_CHECKING:
    from api.ticket_fields import Ticket

strawberry.enum(Visibility)


def _id(comment: Parent[CommentRow]) -> ID:
    return encode(Kind.COMMENT, comment.id)


def _ticket(comment: Parent[CommentRow], info: Info) -> Any:
    """On which it was written: another one than asked, where that was merged into it. Who edits or withdraws it names
    this one."""
    return found(info.context.loaders.tickets, (comment.ticket, comment.moment))


def _author(comment: Parent[CommentRow], info: Info) -> Any:
    return person(info, comment.author)


def _in_reply_to(comment: Parent[CommentRow]) -> ID | None:
    return None if comment.in_reply_to is None else encode(Kind.COMMENT, comment.in_reply_to)


def _mentions(comment: Parent[CommentRow], info: Info) -> Any:
    """Whom it names."""
    return people(info, comment.mentions)


def _viewer_can(comment: Parent[CommentRow], info: Info) -> Any:
    """Which of `editComment` and `withdrawComment` the viewer may give. None to a comment of the past, or withdrawn."""
    if comment.withdrawn or not comment.moment.live:
        return []

    def to_comments_of(ticket: TicketRow | None) -> list[str]:
        actor = info.context.actor
        return [
            name
            for command, name in ((EditComment, "editComment"), (WithdrawComment, "withdrawComment"))
            if ticket is not None
            and access.may(actor, command, ticket)
            and access.may_change(actor, command, comment.author)
        ]

    return then(found(info.context.loaders.tickets, (comment.ticket, comment.moment)), to_comments_of)


@strawberry.type
class Comment(Node):
    id: ID = by(_id)
    ticket: Annotated["Ticket", strawberry.lazy("api.ticket_fields")] = by(_ticket)
    author: Person = by(_author)
    body: str = strawberry.field(description="Empty once it is withdrawn.")
    visibility: Visibility
    created_at: datetime
    edited_at: datetime | None = strawberry.field(description="When it was edited last, or withdrawn; else null.")
    withdrawn: bool
    in_reply_to: ID | None = by(_in_reply_to)
    mentions: list[Person] = by(_mentions)
    viewer_can: list[str] = by(_viewer_can)

    @classmethod
    def is_type_of(cls, row: object, _: object) -> bool:
        return isinstance(row, CommentRow)


@strawberry.input(description="`mentions`: people whom the text names; they watch the ticket from then on.")
class AddCommentInput(ExpectingInput):
    ticket: ID
    body: str
    visibility: Visibility = Visibility.PUBLIC
    in_reply_to: ID | None = UNSET
    mentions: list[ID] | None = UNSET


@strawberry.input(description="`mentions`: all whom it names from now on; absent, they stay, and null is nobody.")
class EditCommentInput(ExpectingInput):
    ticket: ID
    comment: ID
    body: str
    mentions: list[ID] | None = UNSET


@strawberry.input
class WithdrawCommentInput(ExpectingInput):
    ticket: ID
    comment: ID


async def add_comment(info: Info, input: AddCommentInput) -> Done:
    return await perform(info, input, AddComment, handle)


async def edit_comment(info: Info, input: EditCommentInput) -> Done:
    """Its author writes it anew. Who reads all reads the former text in the history and in the past; requesters do
    not."""
    return await perform(info, input, EditComment, handle)


async def withdraw_comment(info: Info, input: WithdrawCommentInput) -> Done:
    """Its author takes it back, or a manager does: it keeps its place, without its text. The past keeps that for those
    who read all."""
    return await perform(info, input, WithdrawComment, handle)


@strawberry.type
class CommentMutations:
    add_comment: TicketPayload = by(add_comment)
    edit_comment: TicketPayload = by(edit_comment)
    withdraw_comment: TicketPayload = by(withdraw_comment)
