"""Invoices and acts that were issued from a ticket's conversation: the ticket tells that there is one."""

from datetime import datetime
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.contracts import DocumentKind
from domain.ticket_state import Ticket


class DocumentFiled(msgspec.Struct, frozen=True, kw_only=True):
    document: UUID
    kind: DocumentKind
    number: int


def evolve(ticket: Ticket, event: DocumentFiled, at: datetime) -> Ticket:
    return replace(ticket, version=ticket.version + 1, documents=(*ticket.documents, event.document))
