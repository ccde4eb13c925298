"""Merging: a ticket goes on in another one, and can be taken out again with all that it brought."""

from typing import get_args
from uuid import UUID

import msgspec
import pytest

from domain import tickets
from domain.errors import InvalidValue, LinkCycle, TicketIsMerged, TicketNotFound, TooManyLinks
from domain.links import LINKS_LIMIT
from domain.participants import WATCHERS_LIMIT
from domain.tickets import (
    AddComment,
    CommentAdded,
    DetachFile,
    Link,
    LinkKind,
    LinkTickets,
    MergeTickets,
    OpenTicket,
    SetParent,
    StatusChanged,
    Ticket,
    TicketEvent,
    TicketLinked,
    TicketMerged,
    TicketUnlinked,
    TicketUnmerged,
    TicketUnwatched,
    TicketWatched,
    TransitionTicket,
    UnmergeTicket,
    Visibility,
    WatchTicket,
    WithdrawComment,
)
from domain.workflows import StatusCategory
from tests.domain.given import (
    ANNA,
    AROUND,
    BORIS,
    COMMENT,
    GRANDPARENT,
    OPENED,
    PARENT,
    STRANGE_TICKET,
    TICKET,
    an_id,
    hour,
    knowing,
    ticket,
)

MERGE = MergeTickets(ticket=TICKET, into=PARENT)
UNMERGE = UnmergeTicket(ticket=TICKET)
CANCELLED = StatusChanged(workflow_version=1, status="cancelled", category=StatusCategory.CANCELLED)
BLOCKS = Link(kind=LinkKind.BLOCKS, other=GRANDPARENT)
RELATES = Link(kind=LinkKind.RELATES, other=an_id(5))
INTO = TicketLinked(kind=LinkKind.MERGED_INTO, other=PARENT)
OUT_OF = TicketUnlinked(kind=LinkKind.MERGED_INTO, other=PARENT)
PLAIN = TicketMerged(into=PARENT, number=OPENED.number)


def linked(link: Link) -> TicketLinked:
    return TicketLinked(kind=link.kind, other=link.other)


def target(*events: TicketEvent) -> dict[UUID, Ticket]:
    """The tickets around, the target with these events."""
    state = ticket.given(OPENED, *events).state
    assert state is not None
    return {**AROUND.tickets, PARENT: state, an_id(5): state}


def test_a_merged_ticket_is_closed_and_says_where_it_went() -> None:
    merged = ticket.given(OPENED).when(MERGE)
    merged.then(PLAIN, INTO, CANCELLED)
    assert merged.after is not None
    assert merged.after.merged is not None
    assert (merged.after.merged.into, merged.after.merged.status, merged.after.closed) == (PARENT, "new", True)
    ticket.given(OPENED, *merged.events).when(MERGE).nothing()
    done = StatusChanged(workflow_version=1, status="done", category=StatusCategory.DONE)
    ticket.given(OPENED, done).when(MERGE).then(PLAIN, INTO)


def test_links_and_watchers_move_and_what_is_there_already_is_not_doubled() -> None:
    had = (linked(BLOCKS), linked(RELATES), TicketWatched(person=ANNA), TicketWatched(person=BORIS))
    there = knowing(tickets=target(linked(RELATES), TicketWatched(person=BORIS)))
    merged = there.given(OPENED, *had).when(MERGE)
    fact = TicketMerged(into=PARENT, number=OPENED.number, moved=(BLOCKS, RELATES), added=(BLOCKS,), watchers=(ANNA,))
    unlinked = [TicketUnlinked(kind=link.kind, other=link.other) for link in (BLOCKS, RELATES)]
    merged.then(fact, *unlinked, INTO, CANCELLED)
    assert merged.after is not None
    assert merged.after.links == (Link(kind=LinkKind.MERGED_INTO, other=PARENT),)
    assert tickets.told(TICKET, merged.events) == {
        PARENT: [
            linked(BLOCKS),
            TicketWatched(person=ANNA),
            TicketLinked(kind=LinkKind.MERGED_FROM, other=TICKET),
        ],
        GRANDPARENT: [
            TicketLinked(kind=LinkKind.BLOCKED_BY, other=PARENT),
            TicketUnlinked(kind=LinkKind.BLOCKED_BY, other=TICKET),
        ],
        RELATES.other: [TicketUnlinked(kind=LinkKind.RELATES, other=TICKET)],
    }


def test_links_between_the_two_and_those_that_tell_of_the_past_stay() -> None:
    between = TicketLinked(kind=LinkKind.DUPLICATES, other=PARENT)
    split = TicketLinked(kind=LinkKind.SPLIT_FROM, other=GRANDPARENT)
    merged = ticket.given(OPENED, between, split).when(MERGE)
    merged.then(PLAIN, INTO, CANCELLED)


def test_a_ticket_that_is_taken_out_stands_where_it_stood_with_what_it_brought() -> None:
    started = StatusChanged(workflow_version=1, status="waiting", category=StatusCategory.WAITING)
    had = (linked(BLOCKS), linked(RELATES), TicketWatched(person=ANNA), started)
    before = ticket.given(OPENED, *had)
    merged = knowing(tickets=target()).given(*before.history).when(MERGE)
    now = knowing(tickets=target(linked(BLOCKS), linked(RELATES), TicketWatched(person=ANNA)))
    out = now.given(*before.history, *merged.events).when(UNMERGE)
    out.then(
        TicketUnmerged(out_of=PARENT, removed=(BLOCKS, RELATES), watchers=(ANNA,)),
        OUT_OF,
        linked(BLOCKS),
        linked(RELATES),
        started,
    )
    assert before.state is not None
    assert out.after is not None
    same = {"version", "last_at", "status_since"}
    changed = {name for name in Ticket.__struct_fields__ if getattr(before.state, name) != getattr(out.after, name)}
    assert changed == same
    assert tickets.told(TICKET, out.events)[PARENT] == [
        TicketUnlinked(kind=BLOCKS.kind, other=BLOCKS.other),
        TicketUnlinked(kind=RELATES.kind, other=RELATES.other),
        TicketUnwatched(person=ANNA),
        TicketUnlinked(kind=LinkKind.MERGED_FROM, other=TICKET),
    ]
    now.given(*before.history, *merged.events, *out.events).when(UNMERGE).nothing()


def test_what_was_undone_on_the_target_meanwhile_is_not_brought_back() -> None:
    had = (linked(BLOCKS), linked(RELATES), TicketWatched(person=ANNA))
    merged = ticket.given(OPENED, *had).when(MERGE)
    out = knowing(tickets=target(linked(RELATES))).given(OPENED, *had, *merged.events).when(UNMERGE)
    out.then(
        TicketUnmerged(out_of=PARENT, removed=(RELATES,)),
        OUT_OF,
        linked(RELATES),
        StatusChanged(workflow_version=1, status="new", category=StatusCategory.NEW),
    )


def test_what_the_target_had_itself_stays_with_it() -> None:
    known = knowing(tickets=target(linked(RELATES), TicketWatched(person=ANNA)))
    had = (linked(RELATES), TicketWatched(person=ANNA))
    merged = known.given(OPENED, *had).when(MERGE)
    out = known.given(OPENED, *had, *merged.events).when(UNMERGE)
    assert out.events[0] == TicketUnmerged(out_of=PARENT)
    assert linked(RELATES) in out.events


def test_every_other_command_to_a_merged_ticket_is_refused_and_told_where_to_go() -> None:
    merged = ticket.given(OPENED, CommentAdded(comment=COMMENT, author=ANNA, body="Hi", visibility=Visibility.PUBLIC))
    merged = merged.given(PLAIN, INTO, CANCELLED)
    for command in (
        AddComment(ticket=TICKET, body="Hello"),
        TransitionTicket(ticket=TICKET, status="new"),
        WatchTicket(ticket=TICKET, person=ANNA),
        LinkTickets(ticket=TICKET, kind=LinkKind.RELATES, other=PARENT),
        SetParent(ticket=TICKET, parent=None),
        MergeTickets(ticket=TICKET, into=GRANDPARENT),
    ):
        refused = merged.when(command)
        refused.refused(TicketIsMerged, "ticket")
        assert refused.refusal is not None
        assert "T-1042 was merged into T-1042" in refused.refusal.message  # all tickets have this number here
    assert merged.when(WithdrawComment(ticket=TICKET, comment=COMMENT)).events, "what was said can be taken back"
    state = merged.state
    assert state is not None
    assert tickets.available_transitions(state, AROUND.workflows) == []
    kinds = get_args(tickets.CommandToTicket | tickets.OffshootCommand)
    names = {kind.__name__ for kind in kinds if tickets.possible(state, kind)}
    assert names == {"UnmergeTicket", "EditComment", "WithdrawComment", DetachFile.__name__}
    open_ = ticket.given(OPENED).state
    assert open_ is not None
    assert not tickets.possible(open_, UnmergeTicket)
    assert tickets.possible(open_, MergeTickets)


def test_nothing_is_begun_with_a_merged_ticket() -> None:
    around = knowing(tickets=target(TicketMerged(into=GRANDPARENT, number=7)))
    around.given(OPENED).when(MERGE).refused(TicketIsMerged, "into")
    around.given(OPENED).when(LinkTickets(ticket=TICKET, kind=LinkKind.RELATES, other=PARENT)).refused(
        TicketIsMerged, "other"
    )
    around.given(OPENED).when(SetParent(ticket=TICKET, parent=PARENT)).refused(TicketIsMerged, "parent")
    around.when(OpenTicket(title="Below", role="TASK", parent=PARENT)).refused(TicketIsMerged, "parent")


def test_what_cannot_be_merged_is_refused() -> None:
    ticket.given(OPENED).when(MergeTickets(ticket=TICKET, into=TICKET)).refused(InvalidValue, "into")
    ticket.given(OPENED).when(MergeTickets(ticket=TICKET, into=STRANGE_TICKET)).refused(TicketNotFound, "into")
    ticket.given(OPENED).when(UNMERGE).nothing()
    for ring in ({TICKET}, {PARENT, an_id(5)}):
        knowing(blocked=ring).given(OPENED, linked(BLOCKS)).when(MERGE).refused(LinkCycle, "into")
    many = [TicketLinked(kind=LinkKind.RELATES, other=an_id(10_000 + n)) for n in range(LINKS_LIMIT)]
    full = knowing(tickets=target(*many))
    full.given(OPENED, linked(BLOCKS)).when(MERGE).refused(TooManyLinks, "into")
    full.given(OPENED).when(MERGE).then(PLAIN, INTO, CANCELLED)


def test_watchers_come_along_as_far_as_there_is_room() -> None:
    crowd = [TicketWatched(person=an_id(10_000 + n)) for n in range(WATCHERS_LIMIT - 1)]
    merged = knowing(tickets=target(*crowd)).given(OPENED, TicketWatched(person=ANNA), TicketWatched(person=BORIS))
    fact = merged.when(MERGE).events[0]
    assert isinstance(fact, TicketMerged)
    assert fact.watchers == (ANNA,)


def test_merges_are_taken_back_the_last_one_first() -> None:
    further = knowing(tickets=target(TicketMerged(into=GRANDPARENT, number=7)))
    further.given(OPENED, PLAIN, INTO, CANCELLED).when(UNMERGE).refused(TicketIsMerged, "ticket")


@pytest.mark.parametrize("at", [2, 3])
def test_a_merge_is_dated_after_the_last_change_of_every_ticket_that_it_changes(at: int) -> None:
    later = tickets.evolve(None, OPENED, hour(3))
    around = msgspec.structs.replace(AROUND, tickets={PARENT: later}, at=hour(at))
    state = ticket.given(OPENED).state
    events = tickets.decide(state, MERGE, around)
    if at < 3:
        with pytest.raises(tickets.OccurredBeforeLast):
            tickets.occurred_at(state, events, around)
    else:
        assert tickets.occurred_at(state, events, around) == hour(3)
