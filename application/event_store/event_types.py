"""Every event that can be stored: its stable name and version, which of its fields are sealed, how it is folded.

A changed shape gets the next version here, an upcaster from the one before, and keeps its samples in
tests/application/events/.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, cast, get_args

import msgspec

from application.event_store.envelope import Cause, DomainEvent, Envelope, State, Stream
from domain import (
    clients,
    contracts,
    documents,
    people,
    services,
    statements,
    teams,
    tickets,
    views,
    webhooks,
    wip_limits,
    work,
    workflows,
)
from domain.text import PASSING, SEALED
from domain.traceability import artifacts, findings, links, releases, repositories, requests

Upcaster = Callable[[dict[str, Any], Cause], dict[str, Any]]
"""Of an event's fields, texts opened, and of what its envelope says of its cause."""


class EventType(msgspec.Struct, frozen=True):
    """`sealed`: fields stored encrypted, by version, since an old version's fields are opened before it is upcast.
    `kept`: those of the newest version that a state keeps, and a fold therefore has to open.
    `upcasters[n]` makes version n + 1 of version n."""

    name: str
    version: int
    cls: type[DomainEvent]
    sealed: Mapping[int, tuple[str, ...]]
    evolve: Callable[[Any, Any, datetime], State]
    kept: tuple[str, ...] = ()
    upcasters: Mapping[int, Upcaster] = {}


def sealed_fields(cls: type[DomainEvent]) -> tuple[str, ...]:
    return fields_marked(cls, SEALED)


def fields_marked(cls: type[DomainEvent], mark: str) -> tuple[str, ...]:
    """Fields whose type carries this mark of `domain.text`."""
    info = msgspec.inspect.type_info(cls)
    assert isinstance(info, msgspec.inspect.StructType)
    return tuple(field.encode_name for field in info.fields if _marked(field.type, mark))


def _marked(kind: msgspec.inspect.Type, mark: str) -> bool:
    if isinstance(kind, msgspec.inspect.Metadata):
        extra = cast("dict[str, object]", kind.extra or {})
        return bool(extra.get(mark)) or _marked(kind.type, mark)
    return isinstance(kind, msgspec.inspect.UnionType) and any(_marked(member, mark) for member in kind.types)


class Former(msgspec.Struct, frozen=True):
    """A version before the last: its sealed fields, and the next version made of it."""

    sealed: tuple[str, ...]
    upcast: Upcaster


def _with_its_author(comment: dict[str, Any], cause: Cause) -> dict[str, Any]:
    return {**comment, "author": str(cause.on_behalf_of or cause.actor), "mentions": []}


def _asking_no_reasons(defined: dict[str, Any], _: Cause) -> dict[str, Any]:
    return {**defined, "workflow": {**defined["workflow"], "reasons": []}}


def _of_one_person(limited: dict[str, Any], _: Cause) -> dict[str, Any]:
    if "limit" in limited:
        return {"limit": {**limited["limit"], "each_person": False}}
    return {**limited, "each_person": False}


def _sharing_nothing(merged: dict[str, Any], _: Cause) -> dict[str, Any]:
    return {**merged, "shared": [], "shared_watchers": []}


def _expecting_no_change(defined: dict[str, Any], _: Cause) -> dict[str, Any]:
    return {**defined, "role": {**defined["role"], "expects_change": False}}


def _renewing_never(granted: dict[str, Any], _: Cause) -> dict[str, Any]:
    return {**granted, "every": None, "renews_until": None}


FORMER: Mapping[type[DomainEvent], tuple[Former, ...]] = {
    tickets.CommentAdded: (Former(("body",), _with_its_author),),
    tickets.TicketMerged: (Former((), _sharing_nothing),),
    workflows.WorkflowDefined: (Former((), _asking_no_reasons),),
    workflows.WipLimitSet: (Former((), _of_one_person),),
    workflows.WipLimitRemoved: (Former((), _of_one_person),),
    workflows.RoleDefined: (Former((), _expecting_no_change),),
    contracts.HoursGranted: (Former((), _renewing_never),),
}
"""All versions before the last, the first of them first."""


def _types(evolve: Callable[[Any, Any, datetime], State], union: Any) -> list[EventType]:
    members: tuple[type[DomainEvent], ...] = get_args(union) or (union,)
    return [_type(evolve, cls, FORMER.get(cls, ())) for cls in members]


def _type(
    evolve: Callable[[Any, Any, datetime], State], cls: type[DomainEvent], former: tuple[Former, ...]
) -> EventType:
    version = len(former) + 1
    return EventType(
        name=cls.__name__,
        version=version,
        cls=cls,
        sealed={n: one.sealed for n, one in enumerate(former, start=1)} | {version: sealed_fields(cls)},
        evolve=evolve,
        kept=_kept(cls),
        upcasters={n: one.upcast for n, one in enumerate(former, start=1)},
    )


def _kept(cls: type[DomainEvent]) -> tuple[str, ...]:
    passing = fields_marked(cls, PASSING)
    return tuple(field for field in sealed_fields(cls) if field not in passing)


EVENT_TYPES: Mapping[str, EventType] = {
    event_type.name: event_type
    for event_type in (
        *_types(tickets.evolve, tickets.TicketEvent),
        *_types(people.evolve, people.PersonEvent),
        *_types(teams.evolve, teams.TeamEvent),
        *_types(services.evolve, services.ServiceEvent),
        *_types(workflows.evolve, workflows.WorkflowsEvent),
        *_types(wip_limits.evolve, wip_limits.LedgerEvent),
        *_types(views.evolve, views.ViewEvent),
        *_types(work.evolve_timer, work.TimerEvent),
        *_types(work.evolve, work.WorkEvent),
        *_types(repositories.evolve, repositories.RepositoryEvent),
        *_types(findings.evolve, findings.Finding),
        *_types(requests.evolve, requests.RequestEvent),
        *_types(releases.evolve, releases.ReleaseEvent),
        *_types(releases.evolve_promise, releases.PromiseEvent),
        *_types(artifacts.evolve, artifacts.ArtifactBuilt),
        *_types(links.evolve, links.LinkEvent),
        *_types(clients.evolve, clients.ClientEvent),
        *_types(contracts.evolve, contracts.ContractEvent),
        *_types(contracts.evolve_binding, contracts.BindingEvent),
        *_types(webhooks.evolve, webhooks.WebhookEvent),
        *_types(statements.evolve, statements.StatementNumbered),
        *_types(documents.evolve, documents.DocumentEvent),
        *_types(statements.evolve, documents.DocumentNumbered),
    )
}
"""By stored name. The name happens to be the class's; renaming a class keeps the name by an entry of its own."""

NAMES: Mapping[type[DomainEvent], EventType] = {kind.cls: kind for kind in EVENT_TYPES.values()}


def fold(stream: Stream | None, envelope: Envelope) -> Stream:
    """The stream after this event. Versions are contiguous."""
    version = envelope.originator_version
    assert version == (stream.version if stream else 0) + 1, "a stream's versions have no gaps"
    evolve = NAMES[type(envelope.event)].evolve
    state = evolve(stream.state if stream else None, envelope.event, envelope.occurred_at)
    return Stream(envelope.originator_id, version, envelope.position, state)
