"""Links between tickets: made, undone, seen from both sides."""

import msgspec
import pytest

from domain import links
from domain.errors import InvalidValue, LinkCycle, OccurredBeforeLast, TicketNotFound, TooManyLinks
from domain.links import INVERSE, LINKS_LIMIT, mirrored
from domain.tickets import (
    Link,
    LinkKind,
    LinkTickets,
    TicketLinked,
    TicketUnlinked,
    UnlinkTickets,
    evolve,
    occurred_at,
)
from tests.domain.given import AROUND, GRANDPARENT, OPENED, PARENT, START, STRANGE_TICKET, TICKET, an_id, hour, knowing
from tests.domain.given import ticket as a_ticket

MADE = sorted(links.MADE)
BLOCKS = LinkTickets(ticket=TICKET, kind=LinkKind.BLOCKS, other=PARENT)
BLOCKED_BY = LinkTickets(ticket=TICKET, kind=LinkKind.BLOCKED_BY, other=PARENT)
LINKED = TicketLinked(kind=LinkKind.BLOCKS, other=PARENT)


@pytest.mark.parametrize("kind", MADE)
def test_a_link_is_made_and_undone_once(kind: LinkKind) -> None:
    linked = TicketLinked(kind=kind, other=PARENT)
    link, unlink = (
        LinkTickets(ticket=TICKET, kind=kind, other=PARENT),
        UnlinkTickets(ticket=TICKET, kind=kind, other=PARENT),
    )
    made = a_ticket.given(OPENED).when(link)
    made.then(linked)
    assert made.after is not None
    assert made.after.links == (Link(kind=kind, other=PARENT),)
    a_ticket.given(OPENED, linked).when(link).nothing()
    undone = a_ticket.given(OPENED, linked).when(unlink)
    undone.then(TicketUnlinked(kind=kind, other=PARENT))
    assert undone.after is not None
    assert undone.after.links == ()
    a_ticket.given(OPENED).when(unlink).nothing()


@pytest.mark.parametrize("kind", LinkKind)
def test_the_other_ticket_has_the_link_the_other_way_round(kind: LinkKind) -> None:
    there = mirrored(TicketLinked(kind=kind, other=PARENT), TICKET)
    assert there == TicketLinked(kind=INVERSE[kind], other=TICKET)
    assert mirrored(there, PARENT) == TicketLinked(kind=kind, other=PARENT)


def test_two_tickets_may_be_linked_in_several_ways_and_only_one_of_them_is_undone() -> None:
    related = TicketLinked(kind=LinkKind.RELATES, other=PARENT)
    left = a_ticket.given(OPENED, related, LINKED).when(
        UnlinkTickets(ticket=TICKET, kind=LinkKind.RELATES, other=PARENT)
    )
    assert left.after is not None
    assert left.after.links == (Link(kind=LinkKind.BLOCKS, other=PARENT),)


def test_only_tickets_that_are_here_are_linked_and_none_to_itself() -> None:
    for kind in MADE:
        strange = LinkTickets(ticket=TICKET, kind=kind, other=STRANGE_TICKET)
        a_ticket.given(OPENED).when(strange).refused(TicketNotFound, "other")
        itself = LinkTickets(ticket=TICKET, kind=kind, other=TICKET)
        a_ticket.given(OPENED).when(itself).refused(InvalidValue, "other")


@pytest.mark.parametrize("kind", sorted(set(LinkKind) - set(MADE)))
def test_what_other_commands_say_is_neither_linked_nor_unlinked(kind: LinkKind) -> None:
    link, unlink = (
        LinkTickets(ticket=TICKET, kind=kind, other=PARENT),
        UnlinkTickets(ticket=TICKET, kind=kind, other=PARENT),
    )
    a_ticket.given(OPENED).when(link).refused(InvalidValue, "kind")
    a_ticket.given(OPENED).when(unlink).refused(InvalidValue, "kind")


def test_no_ticket_comes_to_block_itself() -> None:
    """PARENT blocks GRANDPARENT, which blocks TICKET."""
    behind_parent = knowing(blocked={PARENT, GRANDPARENT, TICKET}).given(OPENED)
    behind_parent.when(BLOCKS).refused(LinkCycle, "other")
    behind_ticket = knowing(blocked={TICKET, GRANDPARENT, PARENT}).given(OPENED)
    behind_ticket.when(BLOCKED_BY).refused(LinkCycle, "other")
    knowing(blocked={TICKET, GRANDPARENT}).given(OPENED).when(BLOCKED_BY).then(
        TicketLinked(kind=LinkKind.BLOCKED_BY, other=PARENT)
    )


def test_a_ticket_does_not_gather_links_without_end_and_neither_does_the_other() -> None:
    many = [TicketLinked(kind=LinkKind.RELATES, other=an_id(10_000 + n)) for n in range(LINKS_LIMIT)]
    a_ticket.given(OPENED, *many).when(BLOCKS).refused(TooManyLinks, "other")
    full = a_ticket.given(OPENED, *many).state
    knowing(tickets={PARENT: full}).given(OPENED).when(BLOCKS).refused(TooManyLinks, "other")


def test_a_link_is_not_dated_before_the_last_change_of_either_ticket() -> None:
    opened = evolve(None, OPENED, START)
    later = evolve(None, OPENED, hour(5))
    for here, there in ((opened, later), (later, opened)):
        around = msgspec.structs.replace(AROUND, tickets={PARENT: there}, at=hour(4))
        with pytest.raises(OccurredBeforeLast):
            occurred_at(here, [LINKED], around)
        assert occurred_at(here, [LINKED], msgspec.structs.replace(around, at=hour(5))) == hour(5)
