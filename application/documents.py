"""Issuing invoices and acts, and what becomes of them."""

from uuid import UUID

from application.event_store.envelope import Stream
from application.event_store.streams import EventStore, WorkspaceStore
from application.handling import Context, Decision, Further, Outcome, execute, new_id, now, state_in
from domain import documents
from domain.access import may
from domain.clients import Client
from domain.contracts import Contract, DocumentKind, DocumentWithdrawn
from domain.documents import (
    Billed,
    CancelDocument,
    Document,
    DocumentCommand,
    DocumentNumbered,
    IssueAct,
    IssueCommand,
    Occasion,
    numbers_stream,
)
from domain.errors import ContractNotFound, Forbidden, TicketNotFound
from domain.statements import Numbers
from domain.tickets import DocumentFiled, Ticket, must_not_be_merged


def handle(store: EventStore, context: Context, command: DocumentCommand, billed: Billed | None = None) -> Outcome:
    """`billed`: the closed statement that is to be invoiced; None where read models know none such.
    Raises Refused, StoreUnavailable."""
    if not may(context.actor, command):
        raise Forbidden("issue documents")
    if isinstance(command, IssueCommand):
        return _issue(store, context, command, billed)
    workspace = store.workspace(context.actor.workspace)

    def decide(loaded: dict[UUID, Stream]) -> Decision:
        document = state_in(loaded, command.document, Document)
        at = context.occurred_at or now()
        events = documents.decide(document, command, at.date(), new_id(), context.reason)
        assert document is not None, "else it was refused"
        further = _withdrawn(workspace, command, document) if isinstance(command, CancelDocument) and events else []
        return Decision(events=events, occurred_at=at, subject=document.issued.client, further=further)

    return execute(store, context, command, command.document, [], decide)


def _issue(store: EventStore, context: Context, command: IssueCommand, billed: Billed | None) -> Outcome:
    id_ = new_id()
    kind = DocumentKind.ACT if isinstance(command, IssueAct) else DocumentKind.INVOICE
    numbers = numbers_stream(context.actor.workspace, kind)
    workspace = store.workspace(context.actor.workspace)

    def decide(loaded: dict[UUID, Stream]) -> Decision:
        contract = state_in(loaded, command.contract, Contract)
        if contract is None:
            raise ContractNotFound(command.contract)
        client = state_in(workspace.load([contract.client]), contract.client, Client)
        assert client is not None, "contracts are of clients"
        at = context.occurred_at or now()
        number = (state_in(loaded, numbers, Numbers) or Numbers()).last + 1
        occasion = Occasion(document=id_, number=number, client=client.name, today=contract.day_of(at))
        issued, drawn = documents.issue(contract, command, billed, occasion)
        numbered = DocumentNumbered(document=id_, number=number)
        further = [
            Further(stream=numbers, before=loaded.get(numbers), events=[numbered]),
            Further(
                stream=command.contract,
                before=loaded[command.contract],
                events=[drawn],
                subject=contract.client,
            ),
            *_filed(loaded, command.ticket, DocumentFiled(document=id_, kind=kind, number=number)),
        ]
        return Decision(events=[issued], occurred_at=at, subject=contract.client, further=further)

    return execute(store, context, command, id_, [command.contract, numbers, command.ticket], decide)


def _filed(loaded: dict[UUID, Stream], id_: UUID | None, filed: DocumentFiled) -> list[Further]:
    """In the conversation that it was issued from. Raises TicketNotFound, TicketIsMerged."""
    if id_ is None:
        return []
    ticket = state_in(loaded, id_, Ticket)
    if ticket is None:
        raise TicketNotFound(id_)
    must_not_be_merged(ticket)
    return [Further(stream=id_, before=loaded[id_], events=[filed], subject=ticket.requester)]


def _withdrawn(workspace: WorkspaceStore, command: CancelDocument, document: Document) -> list[Further]:
    """What it was for can be issued anew."""
    contract = document.issued.contract
    loaded = workspace.load([contract])
    withdrawn = DocumentWithdrawn(document=command.document)
    return [
        Further(stream=contract, before=loaded[contract], events=[withdrawn], subject=document.issued.client),
    ]
