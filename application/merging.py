"""Merged tickets: what is part of a ticket now, and on which of these a comment is."""

from collections.abc import Mapping
from uuid import UUID

from application.event_store.streams import WorkspaceStore
from domain.comments import CommentCommand
from domain.ticket_state import LinkKind, Ticket
from domain.tickets import AddComment, SplitTicket, TicketCommand


def parts(workspace: WorkspaceStore, command: TicketCommand, ticket: Ticket | None) -> dict[UUID, Ticket]:
    """All that were merged into the ticket, or into one of these, where the command names a comment that the ticket
    itself has not got. What comes or goes meanwhile moves the ticket too, so the append notices."""
    named = named_comment(command)
    if ticket is None or named is None or ticket.comment(named) is not None:
        return {}
    found: dict[UUID, Ticket] = {}
    edge = directly(ticket)
    while edge:
        loaded = {id_: stream.state for id_, stream in workspace.load(edge).items()}
        tickets = {id_: state for id_, state in loaded.items() if isinstance(state, Ticket)}
        found |= tickets
        edge = {other for one in tickets.values() for other in directly(one)} - found.keys()
    return found


def named_comment(command: TicketCommand) -> UUID | None:
    """That may be on a merged ticket: one that is answered or split off. What is edited or withdrawn there names that
    ticket."""
    match command:
        case AddComment(in_reply_to=answered):
            return answered
        case SplitTicket(comment=comment):
            return comment
        case _:
            return None


def place_of(
    comment: UUID, command: CommentCommand | SplitTicket, ticket: Ticket, merged: Mapping[UUID, Ticket]
) -> tuple[UUID, Ticket] | None:
    """The ticket that has it."""
    tickets = {command.ticket: ticket, **merged}
    return next(((id_, one) for id_, one in tickets.items() if one.comment(comment) is not None), None)


def directly(ticket: Ticket) -> set[UUID]:
    """What was merged into it itself."""
    return {link.other for link in ticket.links if link.kind is LinkKind.MERGED_FROM}
