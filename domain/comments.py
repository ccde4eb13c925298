"""Talk on a ticket: comments, for everybody who sees it or for colleagues only."""

from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain import text
from domain.errors import CommentNotFound, InvalidValue
from domain.text import PassingText
from domain.ticket_state import Surroundings, Ticket, Visibility


class CommentAdded(msgspec.Struct, frozen=True, kw_only=True):
    comment: UUID
    body: PassingText
    visibility: Visibility
    in_reply_to: UUID | None = None


CommentEvent = CommentAdded


class AddComment(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID
    body: str
    visibility: Visibility = Visibility.PUBLIC
    in_reply_to: UUID | None = None


def decide(ticket: Ticket, command: AddComment, around: Surroundings) -> list[CommentEvent]:
    answered = command.in_reply_to
    visibility = command.visibility
    if answered is not None:
        visible = dict(ticket.comments).get(answered)
        if visible is None:
            raise CommentNotFound(answered)
        if visible is Visibility.INTERNAL and visibility is Visibility.PUBLIC:
            raise InvalidValue("The answer to an internal comment is internal too.", ("visibility",))
    body = text.prose(command.body, "body")
    return [CommentAdded(comment=around.new_id, body=body, visibility=visibility, in_reply_to=answered)]


def evolve(ticket: Ticket, event: CommentEvent) -> Ticket:
    comments = (*ticket.comments, (event.comment, event.visibility))
    return replace(ticket, version=ticket.version + 1, comments=comments)
