"""Commands to contracts, and to which of them a ticket is bound."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import holidays

from application.event_store.envelope import Stream
from application.event_store.streams import EventStore, WorkspaceStore
from application.handling import Context, Decision, Outcome, execute, must_be_active, new_id, now, state_in
from domain import contracts
from domain.access import may
from domain.clients import Client
from domain.contracts import (
    AgreeContract,
    AgreeTerms,
    BindContract,
    Binding,
    Contract,
    ContractCommand,
    ContractEvent,
    ReachAlerts,
    ReportUsedUp,
    binding_stream,
)
from domain.errors import ContractNotFound, Forbidden, InvalidValue, ServiceNotFound, TicketNotFound
from domain.services import Service
from domain.terms import Terms, WorkingCalendar
from domain.tickets import Ticket


def handle(store: EventStore, context: Context, command: ContractCommand | BindContract) -> Outcome:
    """Raises Refused, StoreUnavailable."""
    if not may(context.actor, command):
        raise Forbidden("manage contracts")
    if isinstance(command, BindContract):
        return _bind(store, context, command)
    id_ = new_id() if isinstance(command, AgreeContract) else command.contract
    client = command.client if isinstance(command, AgreeContract) else None
    terms = command.terms if isinstance(command, AgreeContract | AgreeTerms) else None
    if terms is not None:
        _check_holidays(terms.calendar)

    def decide(loaded: dict[UUID, Stream]) -> Decision:
        contract = state_in(loaded, id_, Contract)
        known = None if client is None else state_in(loaded, client, Client)
        events = contracts.decide(contract, command, known, new_id())
        if terms is not None:
            _check_named(loaded, terms)
        subject = contract.client if contract else client
        return Decision(events=events, occurred_at=context.occurred_at or now(), subject=subject)

    named = [] if terms is None else [*_services(terms), *_people(terms)]
    return execute(store, context, command, id_, [client, *named], decide, new=isinstance(command, AgreeContract))


def tell(store: EventStore, context: Context, command: ReachAlerts | ReportUsedUp) -> Outcome:
    """Raises Refused, StoreUnavailable."""
    if not may(context.actor, command):
        raise Forbidden("tell of hours that are used")

    def decide(loaded: dict[UUID, Stream]) -> Decision:
        contract = state_in(loaded, command.contract, Contract)
        if contract is None:
            raise ContractNotFound(command.contract)
        events: Sequence[ContractEvent] = (
            contracts.reach(contract, command)
            if isinstance(command, ReachAlerts)
            else contracts.report(contract, command)
        )
        return Decision(events=events, occurred_at=now(), subject=contract.client)

    return execute(store, context, command, command.contract, [], decide)


def _bind(store: EventStore, context: Context, command: BindContract) -> Outcome:
    id_ = binding_stream(context.actor.workspace, command.ticket)

    def decide(loaded: dict[UUID, Stream]) -> Decision:
        ticket = state_in(loaded, command.ticket, Ticket)
        if ticket is None:
            raise TicketNotFound(command.ticket)
        if command.contract is not None and state_in(loaded, command.contract, Contract) is None:
            raise ContractNotFound(command.contract)
        binding = state_in(loaded, id_, Binding)
        at = context.occurred_at or now()
        if binding is not None and at < binding.since[-1][0]:
            raise InvalidValue("It was bound otherwise after that.", ("occurredAt",))
        return Decision(events=contracts.bind(binding, command), occurred_at=at, subject=ticket.requester)

    return execute(store, context, command, id_, [command.ticket, command.contract], decide)


def contract_of(workspace: WorkspaceStore, ticket: UUID, state: Ticket, at: datetime) -> UUID | None:
    """Which contract work that begins then counts under: the ticket's, else that of the nearest above it."""
    seen: set[UUID] = set()
    here: UUID | None = ticket
    parent = state.parent
    while here is not None and here not in seen:
        seen.add(here)
        stream = binding_stream(workspace.workspace, here)
        loaded = workspace.load([stream, *([parent] if parent else [])])
        binding = state_in(loaded, stream, Binding)
        if binding is not None and (contract := binding.at(at)) is not None:
            return contract
        above = None if parent is None else state_in(loaded, parent, Ticket)
        here, parent = parent, None if above is None else above.parent
    return None


def _services(terms: Terms) -> list[UUID]:
    return [*terms.services, *(rate.service for rate in terms.rates if rate.service is not None)]


def _people(terms: Terms) -> list[UUID]:
    return [person for grade in terms.grades for person in grade.people]


def _check_named(loaded: Mapping[UUID, Stream], terms: Terms) -> None:
    """Raises PersonNotFound, ServiceNotFound."""
    for service in _services(terms):
        if state_in(loaded, service, Service) is None:
            raise ServiceNotFound(service, "terms")
    for person in _people(terms):
        must_be_active(loaded, person, "terms")


def _check_holidays(calendar: WorkingCalendar) -> None:
    """Raises InvalidValue."""
    if calendar.country is None:
        if calendar.subdivision is not None:
            raise InvalidValue("subdivision goes with a country.", ("terms", "calendar", "subdivision"))
        return
    known = holidays.list_supported_countries()
    if calendar.country not in known:
        raise InvalidValue(
            f"The holidays of {calendar.country[:20]!r} are not known; write a country as DE or RU.",
            ("terms", "calendar", "country"),
        )
    if calendar.subdivision is not None and calendar.subdivision not in known[calendar.country]:
        raise InvalidValue(
            f"{calendar.country} has no subdivision {calendar.subdivision[:20]!r}.",
            ("terms", "calendar", "subdivision"),
        )
