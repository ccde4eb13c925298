"""Commands to repositories, to merge requests, and to links between changes and tickets."""

from uuid import UUID, uuid5

from application.event_store.envelope import Stream
from application.event_store.streams import EventStore
from application.handling import Context, Decision, Further, Outcome, execute, new_id, now, state_in
from domain.access import may, may_scan
from domain.errors import Forbidden, RepositoryNotFound, TicketNotFound
from domain.tickets import Ticket
from domain.traceability import artifacts, findings, links, releases, repositories, requests
from domain.traceability.artifacts import Artifact, AttachProvenance
from domain.traceability.findings import RecordPush
from domain.traceability.links import Link, LinkCommand
from domain.traceability.releases import Deployment, Promise, PromiseCommand, RecordRelease, Release, ReleaseCommand
from domain.traceability.repositories import (
    ChangeKind,
    DefineRepository,
    Repository,
    RepositoryCommand,
    SetWebhookSecret,
)
from domain.traceability.requests import MergeRequest, RequestCommand


def repository_stream(workspace: UUID, key: str) -> UUID:
    return uuid5(workspace, f"repository:{key.casefold()}")


def request_stream(repository: UUID, number: int) -> UUID:
    return uuid5(repository, f"request:{number}")


def release_stream(command: ReleaseCommand) -> UUID:
    if isinstance(command, RecordRelease):
        return uuid5(command.repository, f"release:{command.tag}")
    return uuid5(command.repository, f"deployment:{command.number}")


def link_stream(repository: UUID, kind: ChangeKind, change: str, ticket: UUID) -> UUID:
    return uuid5(repository, f"link:{kind.value}:{change}:{ticket}")


def handle(
    store: EventStore,
    context: Context,
    command: RepositoryCommand | LinkCommand | RequestCommand | ReleaseCommand | PromiseCommand | AttachProvenance,
) -> Outcome:
    """Raises Refused, StoreUnavailable."""
    if not may(context.actor, command):
        raise Forbidden("trace changes so")
    if isinstance(command, DefineRepository):
        return _define(store, context, command)
    if isinstance(command, SetWebhookSecret):
        return _secure(store, context, command)
    if isinstance(command, RequestCommand):
        return _record(store, context, command)
    if isinstance(command, ReleaseCommand):
        return _release(store, context, command)
    if isinstance(command, PromiseCommand):
        return _promise(store, context, command)
    if isinstance(command, AttachProvenance):
        return _attach(store, context, command)
    return _link(store, context, command)


def receive(store: EventStore, context: Context, command: RequestCommand | ReleaseCommand | RecordPush) -> Outcome:
    """What a provider tells. Raises Refused, StoreUnavailable."""
    if not isinstance(command, RecordPush):
        return handle(store, context, command)
    if not may_scan(context.actor):
        raise Forbidden("record pushes")

    def decide(loaded: dict[UUID, Stream]) -> Decision:
        if state_in(loaded, command.repository, Repository) is None:
            raise RepositoryNotFound(command.repository)
        return Decision(events=findings.push(command), occurred_at=context.occurred_at or now())

    return execute(store, context, command, new_id(), [command.repository], decide)


def _secure(store: EventStore, context: Context, command: SetWebhookSecret) -> Outcome:
    def decide(loaded: dict[UUID, Stream]) -> Decision:
        state = state_in(loaded, command.repository, Repository)
        if state is None:
            raise RepositoryNotFound(command.repository)
        return Decision(events=repositories.secure(state, command), occurred_at=context.occurred_at or now())

    return execute(store, context, command, command.repository, [], decide)


def _release(store: EventStore, context: Context, command: ReleaseCommand) -> Outcome:
    id_ = release_stream(command)

    def decide(loaded: dict[UUID, Stream]) -> Decision:
        if state_in(loaded, command.repository, Repository) is None:
            raise RepositoryNotFound(command.repository)
        at = context.occurred_at or now()
        state = state_in(loaded, id_, Release) or state_in(loaded, id_, Deployment)
        return Decision(events=releases.decide(state, command, at), occurred_at=at)

    return execute(store, context, command, id_, [command.repository], decide)


def _promise(store: EventStore, context: Context, command: PromiseCommand) -> Outcome:
    id_ = uuid5(command.repository, f"promise:{command.tag}")

    def decide(loaded: dict[UUID, Stream]) -> Decision:
        if state_in(loaded, command.repository, Repository) is None:
            raise RepositoryNotFound(command.repository)
        there = frozenset(one for one in command.tickets if state_in(loaded, one, Ticket) is not None)
        events = releases.promise(state_in(loaded, id_, Promise), command, there)
        return Decision(events=events, occurred_at=context.occurred_at or now())

    return execute(store, context, command, id_, [command.repository, *command.tickets], decide)


def artifact_stream(repository: UUID, digest: str) -> UUID:
    return uuid5(repository, f"artifact:{digest}")


def _attach(store: EventStore, context: Context, command: AttachProvenance) -> Outcome:
    """All subjects or none; the outcome is that of the first that is new."""
    workspace = store.workspace(context.actor.workspace)
    repository = state_in(workspace.load([command.repository]), command.repository, Repository)
    if repository is None:
        raise RepositoryNotFound(command.repository)
    built = {
        artifact_stream(command.repository, one.digest): one for one in artifacts.read(command.provenance, repository)
    }
    known = workspace.load(built)
    new = [id_ for id_, one in built.items() if one.commit not in _commits(known, id_)]
    first, *others = new or built

    def decide(loaded: dict[UUID, Stream]) -> Decision:
        at = context.occurred_at or now()
        told = {
            id_: artifacts.decide(state_in(loaded, id_, Artifact), command.repository, built[id_], at)
            for id_ in (first, *others)
        }
        further = [
            Further(stream=id_, before=loaded.get(id_), events=told[id_]) for id_ in others if told[first] and told[id_]
        ]
        return Decision(events=told[first], occurred_at=at, further=further)

    return execute(store, context, command, first, others, decide)


def _commits(known: dict[UUID, Stream], id_: UUID) -> tuple[str, ...]:
    artifact = state_in(known, id_, Artifact)
    return artifact.commits if artifact is not None else ()


def _define(store: EventStore, context: Context, command: DefineRepository) -> Outcome:
    id_ = repository_stream(context.actor.workspace, command.key)

    def decide(loaded: dict[UUID, Stream]) -> Decision:
        events = repositories.define(state_in(loaded, id_, Repository), command)
        return Decision(events=events, occurred_at=context.occurred_at or now())

    return execute(store, context, command, id_, [], decide)


def _record(store: EventStore, context: Context, command: RequestCommand) -> Outcome:
    id_ = request_stream(command.repository, command.number)

    def decide(loaded: dict[UUID, Stream]) -> Decision:
        repository = state_in(loaded, command.repository, Repository)
        if repository is None:
            raise RepositoryNotFound(command.repository)
        at = context.occurred_at or now()
        events = requests.decide(state_in(loaded, id_, MergeRequest), command, repository, at)
        return Decision(events=events, occurred_at=at)

    return execute(store, context, command, id_, [command.repository], decide)


def _link(store: EventStore, context: Context, command: LinkCommand) -> Outcome:
    change = links.change_name(command.kind, command.change)
    id_ = link_stream(command.repository, command.kind, change, command.ticket)

    def decide(loaded: dict[UUID, Stream]) -> Decision:
        if state_in(loaded, command.repository, Repository) is None:
            raise RepositoryNotFound(command.repository)
        if state_in(loaded, command.ticket, Ticket) is None:
            raise TicketNotFound(command.ticket)
        events = links.decide(state_in(loaded, id_, Link), command)
        return Decision(events=events, occurred_at=context.occurred_at or now())

    return execute(store, context, command, id_, [command.repository, command.ticket], decide)
