"""Closing a contract's days: the statement is drawn before, from read models, and closed as it was drawn."""

from uuid import UUID

from application.event_store.envelope import Stream
from application.event_store.streams import EventStore
from application.handling import Context, Decision, Further, Outcome, execute, now, state_in
from domain import statements
from domain.access import may
from domain.contracts import Contract
from domain.errors import Conflict, ContractNotFound, Forbidden
from domain.statements import ClosePeriod, Drawn, Numbers, StatementNumbered, numbers_stream


def handle(store: EventStore, context: Context, command: ClosePeriod, drawn: Drawn | None = None) -> Outcome:
    """`drawn`: None where read models know no such contract. Raises Refused, StoreUnavailable."""
    if not may(context.actor, command):
        raise Forbidden("close periods")
    numbers = numbers_stream(context.actor.workspace)

    def decide(loaded: dict[UUID, Stream]) -> Decision:
        contract = state_in(loaded, command.contract, Contract)
        if contract is None:
            raise ContractNotFound(command.contract)
        if drawn is None:
            raise Conflict(None, None)  # read models do not know it yet
        number = (state_in(loaded, numbers, Numbers) or Numbers()).last + 1
        events = statements.close(contract, command, drawn, number)
        if not drawn.still(contract):
            raise Conflict(None, None)  # what was drawn is not of the contract as it is
        numbered = StatementNumbered(contract=command.contract, number=number)
        return Decision(
            events=events,
            occurred_at=context.occurred_at or now(),
            subject=contract.client,
            further=[Further(stream=numbers, before=loaded.get(numbers), events=[numbered])],
        )

    return execute(store, context, command, command.contract, [numbers], decide)
