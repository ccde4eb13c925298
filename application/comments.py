"""Who may say what on a ticket: what depends on the comments that are there."""

from collections.abc import Mapping
from uuid import UUID

from application import merging
from application.event_store.envelope import Envelope
from application.event_store.streams import WorkspaceStore
from application.handling import Context
from domain import access
from domain.comments import (
    NOTHING_MERGED,
    AddComment,
    ChangeOfComment,
    CommentAdded,
    CommentCommand,
    CommentEdited,
    EditComment,
    there,
)
from domain.errors import CommentNotFound, Forbidden, PersonNotFound
from domain.tickets import SplitTicket, Ticket


def text_of(
    workspace: WorkspaceStore,
    command: EditComment | SplitTicket,
    ticket: Ticket,
    merged: Mapping[UUID, Ticket] = NOTHING_MERGED,
) -> str | None:
    """What the comment says, which no state keeps; None where it says nothing, or is not there."""
    place = merging.place_of(command.comment, command, ticket, merged)
    said = place and place[1].comment(command.comment)
    if place is None or said is None:
        return None
    last = said.said_version
    [envelope] = workspace.events.get(place[0], gt=last - 1, lte=last)
    assert isinstance(envelope, Envelope)
    event = envelope.event
    return event.body if isinstance(event, CommentAdded | CommentEdited) else None


def check_access(context: Context, command: CommentCommand, ticket: Ticket, merged: Mapping[UUID, Ticket]) -> None:
    """What a requester must not see is answered as what is not there, be it on a ticket that was merged into theirs.
    Raises CommentNotFound, PersonNotFound, Forbidden."""
    actor = context.actor
    if isinstance(command, AddComment):
        named, field = command.in_reply_to, "inReplyTo"
    else:
        named, field = command.comment, "comment"
    if named is not None:
        said = there(ticket, named, field, {id_: one for id_, one in merged.items() if access.sees(actor, one)})
        if not access.reads(actor, said.visibility):
            raise CommentNotFound(named, field)
        if isinstance(command, ChangeOfComment) and not access.may_change(
            actor, type(command), said.author, context.on_behalf_of
        ):
            verb = "edit" if isinstance(command, EditComment) else "withdraw"
            raise Forbidden(f"{verb} what others have written", "comment")
    if isinstance(command, AddComment | EditComment):
        for person in command.mentions or ():
            if not access.may_name(actor, person, ticket):
                raise PersonNotFound(person, "mentions")
