"""Talk on a ticket: comments, for everybody who sees it or for colleagues only; answered, edited, withdrawn."""

from collections.abc import Mapping
from datetime import datetime
from typing import assert_never
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from domain import text
from domain.errors import CommentIsWithdrawn, CommentNotFound, InvalidValue
from domain.participants import WATCHERS_LIMIT, TicketWatched
from domain.text import PassingText
from domain.ticket_state import Comment, Surroundings, Ticket, Visibility, must_be_active

MENTIONS_LIMIT = 50
"""People that one comment names."""
NOTHING_MERGED: Mapping[UUID, Ticket] = {}


# ---- events


class CommentAdded(msgspec.Struct, frozen=True, kw_only=True):
    comment: UUID
    author: UUID
    body: PassingText
    visibility: Visibility
    in_reply_to: UUID | None = None
    mentions: tuple[UUID, ...] = ()


class CommentEdited(msgspec.Struct, frozen=True, kw_only=True):
    """Its author wrote it anew. `mentions`: all whom it names now."""

    comment: UUID
    body: PassingText
    mentions: tuple[UUID, ...] = ()


class CommentWithdrawn(msgspec.Struct, frozen=True, kw_only=True):
    """It keeps its place, and says nothing any more."""

    comment: UUID


CommentEvent = CommentAdded | CommentEdited | CommentWithdrawn


# ---- commands


class AddComment(msgspec.Struct, frozen=True, kw_only=True):
    """`mentions`: people whom it names; they watch the ticket from then on."""

    ticket: UUID
    body: str
    visibility: Visibility = Visibility.PUBLIC
    in_reply_to: UUID | None = None
    mentions: tuple[UUID, ...] | UnsetType = UNSET


class EditComment(msgspec.Struct, frozen=True, kw_only=True):
    """`mentions`: absent, they stay; None is nobody."""

    ticket: UUID
    comment: UUID
    body: str
    mentions: tuple[UUID, ...] | UnsetType | None = UNSET


class WithdrawComment(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID
    comment: UUID


ChangeOfComment = EditComment | WithdrawComment
CommentCommand = AddComment | ChangeOfComment


def decide(ticket: Ticket, command: CommentCommand, around: Surroundings) -> list[CommentEvent | TicketWatched]:
    match command:
        case AddComment():
            return _add(ticket, command, around)
        case EditComment():
            return _edit(ticket, command, around)
        case WithdrawComment():
            said = there(ticket, command.comment)
            return [] if said.withdrawn else [CommentWithdrawn(comment=said.id)]
        case _:
            assert_never(command)


def there(
    ticket: Ticket, comment: UUID, field: str = "comment", merged: Mapping[UUID, Ticket] = NOTHING_MERGED
) -> Comment:
    """On the ticket, or on one that was merged into it. Raises CommentNotFound."""
    for one in (ticket, *merged.values()):
        if (said := one.comment(comment)) is not None:
            return said
    raise CommentNotFound(comment, field)


def _add(ticket: Ticket, command: AddComment, around: Surroundings) -> list[CommentEvent | TicketWatched]:
    answered, visibility = command.in_reply_to, command.visibility
    if answered is not None:
        internal = there(ticket, answered, "inReplyTo", around.merged).visibility is Visibility.INTERNAL
        if internal and visibility is Visibility.PUBLIC:
            raise InvalidValue("The answer to an internal comment is internal too.", ("visibility",))
    mentions = _mentioned(command.mentions or (), (), around)
    added = CommentAdded(
        comment=around.new_id,
        author=around.by,
        body=text.prose(command.body, "body"),
        visibility=visibility,
        in_reply_to=answered,
        mentions=mentions,
    )
    return [added, *_begin_to_watch(ticket, mentions, around)]


def _edit(ticket: Ticket, command: EditComment, around: Surroundings) -> list[CommentEvent | TicketWatched]:
    said = there(ticket, command.comment)
    if said.withdrawn:
        raise CommentIsWithdrawn
    body = text.prose(command.body, "body")
    asked = said.mentions if command.mentions is UNSET else command.mentions or ()
    mentions = _mentioned(asked, said.mentions, around)
    if (body, mentions) == (around.text, said.mentions):
        return []
    named_now = tuple(person for person in mentions if person not in said.mentions)
    return [
        CommentEdited(comment=said.id, body=body, mentions=mentions),
        *_begin_to_watch(ticket, named_now, around),
    ]


def _mentioned(asked: tuple[UUID, ...], before: tuple[UUID, ...], around: Surroundings) -> tuple[UUID, ...]:
    """Each once. Who was named before may have left since. Raises PersonNotFound, InvalidValue."""
    mentions = tuple(dict.fromkeys(asked))
    if len(mentions) > MENTIONS_LIMIT:
        raise InvalidValue(f"{len(mentions)} people are mentioned; {MENTIONS_LIMIT} is the limit.", ("mentions",))
    for person in mentions:
        if person not in before:
            must_be_active(person, "mentions", around)
    return mentions


def _begin_to_watch(ticket: Ticket, people: tuple[UUID, ...], around: Surroundings) -> list[TicketWatched]:
    """As many as there is room for: a comment is not refused for its readers. What is dated back before the ticket's
    last change tells of the past, where nobody begins to watch any more."""
    if around.at is not None and around.at < ticket.last_at:
        return []
    room = max(0, WATCHERS_LIMIT - len(ticket.watchers))
    return [TicketWatched(person=person) for person in people if person not in ticket.watchers][:room]


def not_before(ticket: Ticket, event: CommentEvent) -> datetime:
    """The earliest time at which it can have happened: talk may be dated back, an edit not before what it edits."""
    if isinstance(event, CommentAdded):
        return ticket.opened_at
    said = ticket.comment(event.comment)
    assert said is not None, "it was decided on"
    return said.said_at


def evolve(ticket: Ticket, event: CommentEvent, at: datetime) -> Ticket:
    version = ticket.version + 1
    match event:
        case CommentAdded():
            added = Comment(
                id=event.comment,
                author=event.author,
                visibility=event.visibility,
                said_version=version,
                said_at=at,
                mentions=event.mentions,
            )
            return replace(ticket, version=version, comments=ticket.comments.adding(added))
        case CommentEdited(mentions=mentions):
            return _said_anew(ticket, event.comment, at, mentions=mentions)
        case CommentWithdrawn():
            return _said_anew(ticket, event.comment, at, withdrawn=True)
        case _:
            assert_never(event)


def _said_anew(
    ticket: Ticket, id_: UUID, at: datetime, *, mentions: tuple[UUID, ...] = (), withdrawn: bool = False
) -> Ticket:
    version = ticket.version + 1
    said = ticket.comment(id_)
    if said is None:
        return replace(ticket, version=version)
    anew = replace(said, said_version=version, said_at=at, mentions=mentions, withdrawn=withdrawn)
    return replace(ticket, version=version, comments=ticket.comments.replacing(anew))
