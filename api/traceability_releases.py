"""Release notes, what was promised for a release, and what was built of a commit."""

from typing import Any

import strawberry
from strawberry import ID, UNSET, Parent

from api.commands import CommandInput, Done, Payload, perform, wait_until_readable
from api.fields import Info, by, once_passed
from api.filters import AsOf, asked
from api.ids import Kind, decode
from api.people import must_read_all
from api.scalars import Position
from api.services import Service, service
from api.traceability import RepositoryPayload
from api.traceability_trace import Artifact, Release, TracedTicket
from api.workflows import Role, role_row
from application.traceability.commands import handle
from domain import workflows
from domain.traceability.artifacts import AttachProvenance
from domain.traceability.releases import PromiseTickets, WithdrawPromise
from projections import filters, traceability_notes, traceability_releases
from projections.reading import NOW
from projections.registry import TICKET_READ_MODELS
from projections.rows import ArtifactRow, ReleaseNotesRow, ReleaseNotesSection, TicketRow


def _role(section: Parent[ReleaseNotesSection], info: Info) -> workflows.Role:
    return role_row(info.context.workflows, section.role)


def _service(section: Parent[ReleaseNotesSection], info: Info) -> Any:
    return service(info, section.service)


async def _tickets(info: Info, ids: list[Any]) -> list[TicketRow]:
    found = await info.context.loaders.tickets.load_many([(id_, NOW) for id_ in ids])
    return [ticket for ticket in found if ticket is not None]


async def _of_section(section: Parent[ReleaseNotesSection], info: Info) -> list[TicketRow]:
    return await _tickets(info, section.tickets)


@strawberry.type
class ReleaseSection:
    role: Role = by(_role)
    service: Service | None = by(_service)
    tickets: list[TracedTicket] = by(_of_section)


async def _fulfilled(notes: Parent[ReleaseNotesRow], info: Info) -> list[TicketRow]:
    """First requests of which, and of whose parts, nothing is left to be done or released."""
    return await _tickets(info, notes.fulfilled)


async def _partly(notes: Parent[ReleaseNotesRow], info: Info) -> list[TicketRow]:
    """First requests that it has something of, and of which something is left."""
    return await _tickets(info, notes.partly)


async def _promised(notes: Parent[ReleaseNotesRow], info: Info) -> list[TicketRow]:
    return await _tickets(info, notes.promised)


async def _missing(notes: Parent[ReleaseNotesRow], info: Info) -> list[TicketRow]:
    """Promised, and not wholly in it or in a release before."""
    return await _tickets(info, notes.missing)


@strawberry.type(
    description="What a release brings, as tickets. `release`: null while it is only promised. Links of less than 50"
    " percent of confidence do not count. `cut`: there is more than is shown."
)
class ReleaseNotes:
    release: Release | None
    sections: list[ReleaseSection]
    fulfilled: list[TracedTicket] = by(_fulfilled)
    partly: list[TracedTicket] = by(_partly)
    promised: list[TracedTicket] = by(_promised)
    missing: list[TracedTicket] = by(_missing)
    cut: bool


async def _release_notes(
    info: Info, repository: ID, tag: str, as_of: AsOf | None = UNSET, min_position: Position | None = UNSET
) -> ReleaseNotesRow:
    """By role and service; which requests are fulfilled, which were promised and are missing. Not for requesters."""
    must_read_all(info)
    await once_passed(info, min_position, *TICKET_READ_MODELS)
    view = info.context.view
    moment = await view.moment(asked(as_of, filters.AsOf))
    return await traceability_notes.notes(view, decode(repository, Kind.REPOSITORY), tag, moment)


@strawberry.type
class ReleaseQueries:
    release_notes: ReleaseNotes = by(_release_notes)


# ---- commands


@strawberry.input(description="That this release will have what these tickets ask for. It need not be there yet.")
class PromiseTicketsInput(CommandInput):
    repository: ID
    tag: str
    tickets: list[ID]


@strawberry.input
class WithdrawPromiseInput(CommandInput):
    repository: ID
    tag: str
    tickets: list[ID]


async def promise_tickets(info: Info, input: PromiseTicketsInput) -> Done:
    return await perform(info, input, PromiseTickets, handle)


async def withdraw_promise(info: Info, input: WithdrawPromiseInput) -> Done:
    return await perform(info, input, WithdrawPromise, handle)


@strawberry.input(
    description="`provenance`: an in-toto statement (v0.1, v1) with SLSA provenance (v0.2, v1), plain or in a DSSE"
    " envelope, as JSON; 500 kB at most. Its signatures are counted, not verified."
)
class AttachProvenanceInput(CommandInput):
    repository: ID
    provenance: str


async def _built(done: Parent[Done], info: Info) -> list[ArtifactRow]:
    """What was built of the commit that the provenance names; none if the read model has not come that far in 2 s."""
    command = done.command
    if done.outcome is None or not isinstance(command, AttachProvenance):
        return []
    if not await wait_until_readable(info, done.outcome, "traceability"):
        return []
    return await traceability_releases.artifacts_after(info.context.view, command.repository, done.outcome.position)


@strawberry.type
class ProvenancePayload(Payload):
    artifacts: list[Artifact] = by(_built)


async def attach_provenance(info: Info, input: AttachProvenanceInput) -> Done:
    """Ties what was built, by its digest, to the commit that it was built of."""
    return await perform(info, input, AttachProvenance, handle)


@strawberry.type
class ReleaseMutations:
    promise_tickets: RepositoryPayload = by(promise_tickets)
    withdraw_promise: RepositoryPayload = by(withdraw_promise)
    attach_provenance: ProvenancePayload = by(attach_provenance)
