"""Contributors and watchers of a ticket."""

from uuid import UUID

import pytest

from domain.errors import InvalidValue, PersonNotFound, TicketIsClosed
from domain.participants import CONTRIBUTORS_LIMIT, WATCHERS_LIMIT
from domain.tickets import (
    AddContributor,
    ContributorAdded,
    ContributorRemoved,
    RemoveContributor,
    StatusChanged,
    TicketUnwatched,
    TicketWatched,
    UnwatchTicket,
    WatchTicket,
)
from domain.workflows import StatusCategory
from tests.domain.given import ANNA, BORIS, LEFT, OPENED, STRANGER, TICKET, an_id, ticket

DONE = StatusChanged(workflow_version=1, status="done", category=StatusCategory.DONE)


def test_contributors_come_and_go() -> None:
    came = ContributorAdded(person=ANNA)
    ticket.given(OPENED).when(AddContributor(ticket=TICKET, person=ANNA)).then(came)
    ticket.given(OPENED, came).when(AddContributor(ticket=TICKET, person=ANNA)).nothing()
    left = ticket.given(OPENED, came, ContributorAdded(person=BORIS)).when(
        RemoveContributor(ticket=TICKET, person=ANNA)
    )
    left.then(ContributorRemoved(person=ANNA))
    assert left.after is not None
    assert left.after.contributors == (BORIS,)
    ticket.given(OPENED).when(RemoveContributor(ticket=TICKET, person=ANNA)).nothing()


def test_watchers_come_and_go() -> None:
    came = TicketWatched(person=BORIS)
    ticket.given(OPENED).when(WatchTicket(ticket=TICKET, person=BORIS)).then(came)
    ticket.given(OPENED, came).when(WatchTicket(ticket=TICKET, person=BORIS)).nothing()
    left = ticket.given(OPENED, came, TicketWatched(person=ANNA)).when(UnwatchTicket(ticket=TICKET, person=BORIS))
    left.then(TicketUnwatched(person=BORIS))
    assert left.after is not None
    assert left.after.watchers == (ANNA,)
    ticket.given(OPENED).when(UnwatchTicket(ticket=TICKET, person=BORIS)).nothing()


@pytest.mark.parametrize("person", [LEFT, STRANGER])
def test_who_left_or_never_was_here_does_not_join(person: UUID) -> None:
    ticket.given(OPENED).when(AddContributor(ticket=TICKET, person=person)).refused(PersonNotFound, "person")
    ticket.given(OPENED).when(WatchTicket(ticket=TICKET, person=person)).refused(PersonNotFound, "person")


def test_nobody_begins_to_contribute_to_a_closed_ticket_but_anybody_may_watch_or_leave_it() -> None:
    closed = ticket.given(OPENED, ContributorAdded(person=ANNA), DONE)
    closed.when(AddContributor(ticket=TICKET, person=BORIS)).refused(TicketIsClosed, "ticket")
    closed.when(AddContributor(ticket=TICKET, person=ANNA)).nothing()
    closed.when(RemoveContributor(ticket=TICKET, person=ANNA)).then(ContributorRemoved(person=ANNA))
    closed.when(WatchTicket(ticket=TICKET, person=BORIS)).then(TicketWatched(person=BORIS))


def test_a_ticket_does_not_gather_people_without_end() -> None:
    crowd = [ContributorAdded(person=an_id(10_000 + n)) for n in range(CONTRIBUTORS_LIMIT)]
    ticket.given(OPENED, *crowd).when(AddContributor(ticket=TICKET, person=ANNA)).refused(InvalidValue, "person")
    audience = [TicketWatched(person=an_id(10_000 + n)) for n in range(WATCHERS_LIMIT)]
    ticket.given(OPENED, *audience).when(WatchTicket(ticket=TICKET, person=ANNA)).refused(InvalidValue, "person")
