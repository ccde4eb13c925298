"""What happens when the demo's story has been told: on the ticket that has been everything a comment is mended, one is
taken back and a colleague is named; all that is urgent is tagged at once; and what somebody asked for twice is merged.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID, uuid5

from application import comments
from application.bulk import TICKETS_LIMIT, give_each
from application.event_store.streams import EventStore
from application.handling import Context, state_in
from application.tickets import handle
from application.workspaces import operator
from domain.tickets import (
    AddComment,
    CommentCommand,
    EditComment,
    MergeTickets,
    Priority,
    TagTicket,
    Ticket,
    Visibility,
    WithdrawComment,
)

RUSH = "before the holidays"


def come_back(store: EventStore, workspace: UUID, hero: UUID, tickets: Sequence[UUID], at: datetime) -> None:
    """Once, whatever was changed since. Raises Refused, StoreUnavailable."""
    here = store.workspace(workspace)
    ids = [uuid5(workspace, f"demo afterwards {n}") for n in range(4)]
    recorded = here.earlier(ids)
    loaded = here.load([hero, *tickets])
    ticket = state_in(loaded, hero, Ticket)
    assert ticket is not None
    for id_, (author, command) in zip(ids, _said(store, workspace, hero, ticket), strict=False):
        if id_ not in recorded:
            said = Context(actor=operator(workspace), command_id=id_, occurred_at=at, on_behalf_of=author)
            handle(store, said, command)
    urgent = [id_ for id_ in tickets if (one := state_in(loaded, id_, Ticket)) is not None and _urgent(one)]
    if ids[-1] not in recorded:
        sorting = Context(actor=operator(workspace), command_id=ids[-1], occurred_at=at, reason="Freeze on 20 December")
        give_each(store, sorting, [TagTicket(ticket=id_, tags=(RUSH,)) for id_ in urgent[:TICKETS_LIMIT]])
    merging = uuid5(workspace, "demo afterwards merge")
    if not here.earlier([merging]):
        asked_for = {id_: one for id_ in tickets if (one := state_in(loaded, id_, Ticket)) is not None}
        same = Context(actor=operator(workspace), command_id=merging, occurred_at=at, reason="Asked for twice")
        handle(store, same, _twice(asked_for))


def _twice(tickets: Mapping[UUID, Ticket]) -> MergeTickets:
    """The first two open tickets of one requester about one service: the later goes on in the earlier."""
    earlier: dict[tuple[object, ...], UUID] = {}
    for id_, ticket in sorted(tickets.items(), key=lambda one: one[1].number):
        about = (ticket.requester, ticket.service, ticket.role)
        if ticket.requester is None or ticket.closed:
            continue
        if about in earlier:
            return MergeTickets(ticket=id_, into=earlier[about])
        earlier[about] = id_
    raise AssertionError("nobody in the story asked twice")


def _urgent(ticket: Ticket) -> bool:
    return not ticket.closed and ticket.priority in (Priority.CRITICAL, Priority.HIGH)


def _said(store: EventStore, workspace: UUID, hero: UUID, ticket: Ticket) -> list[tuple[UUID, CommentCommand]]:
    """By whom, and what."""
    answer = next(
        one for one in ticket.comments if one.visibility is Visibility.PUBLIC and one.author != ticket.requester
    )
    note, *_, other = [one for one in ticket.comments if one.visibility is Visibility.INTERNAL]
    mended = EditComment(ticket=hero, comment=answer.id, body="")
    text = comments.text_of(store.workspace(workspace), mended, ticket)
    ask = AddComment(
        ticket=hero,
        body="@colleague, you know this form best: is there anything else that the old copy may bring back?",
        visibility=Visibility.INTERNAL,
        mentions=(other.author,),
    )
    return [
        (answer.author, EditComment(ticket=hero, comment=answer.id, body=f"{text}\n\nP.S. All times are Berlin time.")),
        (note.author, WithdrawComment(ticket=hero, comment=note.id)),
        (answer.author, ask),
    ]
