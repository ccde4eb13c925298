"""Which objects an event is related to, and how: what OCEL calls qualified relationships."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, get_args
from uuid import UUID

import msgspec

from api.fields import is_list
from api.ids import PATHS, Kind, encode
from application.event_store.envelope import DomainEvent
from application.event_store.event_types import NAMES
from domain import clients, contracts, people, services, teams, work
from domain.tickets import ticket_key
from domain.workflows import StatusCategory, Workflows
from projections.exports import Recorded, Touched


class Relation(msgspec.Struct, frozen=True, kw_only=True):
    """`named`: whom or what of the directory the object is; None for a ticket, its role or a change of code."""

    object: str
    qualifier: str
    named: tuple[Kind, UUID] | None = None


def episode_id(number: int, version: int) -> str:
    """Of a ticket while it had one role: the name of the event that began it, as `proteus audit prove` takes it."""
    return f"{ticket_key(number)}:{version}"


def change_id(repository: str, kind: str, change: str) -> str:
    return f"{repository}@{change}" if kind == "COMMIT" else f"{repository}!{change}"


_QUALIFIERS: Mapping[str, tuple[str | None, str | None]] = {
    "assignee": ("from", "to"),
    "team": ("from", "to"),
    "service": ("from", "to"),
    "contract": ("from", "to"),
    "ticket": ("from", "to"),
    "mergedInto": ("from", "to"),
    "client": ("from", "client"),
    "requester": ("former requester", "requester"),
    "contributors": ("former contributor", "contributor"),
    "watchers": ("former watcher", "watcher"),
    "members": ("former member", "member"),
    "contacts": ("former contact", "contact"),
    "parent": ("former parent", "parent"),
    "person": (None, "executor"),
}
"""By the path of a change: what was, and what is, to the event. Others are no relationships."""


def _types(union: Any) -> list[str]:
    members: tuple[type[DomainEvent], ...] = get_args(union)
    return [NAMES[cls].name for cls in members]


_OF_STREAM: Mapping[str, tuple[Kind, str]] = {
    **dict.fromkeys(_types(people.PersonEvent), (Kind.PERSON, "person")),
    **dict.fromkeys(_types(teams.TeamEvent), (Kind.TEAM, "team")),
    **dict.fromkeys(_types(services.ServiceEvent), (Kind.SERVICE, "service")),
    **dict.fromkeys(_types(clients.ClientEvent), (Kind.CLIENT, "client")),
    **dict.fromkeys(_types(contracts.ContractEvent), (Kind.CONTRACT, "contract")),
}
_OF_WORK = frozenset(_types(work.WorkEvent))


def tickets_named(events: Iterable[Recorded]) -> set[UUID]:
    """Other tickets that they name."""
    return {
        other
        for one in events
        for change in one.event.changes
        if _kind(change.path) is Kind.TICKET
        for other in (*_ids(change.from_), *_ids(change.to))
    }


def relations(
    one: Recorded, numbers: Mapping[UUID, int], touched: Touched, known: Workflows
) -> dict[tuple[str, str], Relation]:
    """`numbers`: of other tickets that are exported. By object and qualifier, each once."""
    found = (*_of_ticket(one), *_of_people(one, known), *_of_changes(one, numbers), *_of_code(one, touched))
    return {(relation.object, relation.qualifier): relation for relation in found}


def _of_ticket(one: Recorded) -> Iterator[Relation]:
    if one.number is None:
        return
    yield Relation(object=ticket_key(one.number), qualifier="ticket")
    if one.left is not None:
        yield Relation(object=episode_id(one.number, one.left), qualifier="from")
    if one.episode is not None:
        qualifier = "role" if one.left is None else "to"
        yield Relation(object=episode_id(one.number, one.episode), qualifier=qualifier)


def _of_people(one: Recorded, known: Workflows) -> Iterator[Relation]:
    event = one.event
    worked = event.type in _OF_WORK and any(change.path == "person" for change in event.changes)
    worker = next((change.to for change in event.changes if change.path == "person"), None)
    if not worked or worker == str(event.actor):
        yield _named(Kind.PERSON, event.actor, "executor")
    else:
        yield _named(Kind.PERSON, event.actor, "recorder")
    if event.on_behalf_of is not None:
        yield _named(Kind.PERSON, event.on_behalf_of, "on behalf of")
    if _approves(one, known):
        yield _named(Kind.PERSON, event.on_behalf_of or event.actor, "approver")
    if event.type in _OF_STREAM:
        kind, qualifier = _OF_STREAM[event.type]
        yield _named(kind, event.stream, qualifier)


def _approves(one: Recorded, known: Workflows) -> bool:
    """Who takes a ticket out of review, neither back to work nor away, has approved it."""
    if one.event.type != "StatusChanged" or one.event.data.get("category") not in _ONWARDS:
        return False
    left = next((change.from_ for change in one.event.changes if change.path == "status"), None)
    return category(known, one.workflow, left) is StatusCategory.REVIEW


_ONWARDS = (StatusCategory.WAITING, StatusCategory.DONE)


def category(known: Workflows, workflow: str | None, status: Any) -> StatusCategory | None:
    """Of a status in the newest version of its workflow that has it."""
    for version in reversed(known.versions.get(workflow or "", ())):
        for one in version.statuses:
            if one.key == status:
                return one.category
    return None


def _of_changes(one: Recorded, numbers: Mapping[UUID, int]) -> Iterator[Relation]:
    for change in one.event.changes:
        kind = _kind(change.path)
        if kind is None:
            continue
        before, after = _QUALIFIERS.get(change.path, ("unlinked", "linked"))
        was, is_ = _ids(change.from_), _ids(change.to)
        for qualifier, ids in (
            (before, [id_ for id_ in was if id_ not in is_]),
            (after, [id_ for id_ in is_ if id_ not in was]),
        ):
            for id_ in ids:
                if qualifier is None:
                    continue
                if kind is not Kind.TICKET:
                    yield _named(kind, id_, qualifier)
                elif id_ in numbers and id_ != one.ticket:
                    yield Relation(object=ticket_key(numbers[id_]), qualifier=qualifier)


def _of_code(one: Recorded, touched: Touched) -> Iterator[Relation]:
    for repository, kind, change in touched.get(one.event.position, ()):
        yield Relation(object=change_id(repository, kind, change), qualifier="change")


def _named(kind: Kind, id_: UUID, qualifier: str) -> Relation:
    return Relation(object=encode(kind, id_), qualifier=qualifier, named=(kind, id_))


@lru_cache
def _kind(path: str) -> Kind | None:
    if path.startswith("links."):
        return Kind.TICKET
    return PATHS[path] if path in _QUALIFIERS else None


def _ids(value: Any) -> Sequence[UUID]:
    values = value if is_list(value) else [value]
    return [UUID(one) for one in values if isinstance(one, str)]


def activity(type_: str, outcome: str | None) -> str:
    """What a process-mining tool takes for the step: the type, and of a new status or role which one."""
    return type_ if outcome is None else f"{type_} {outcome}"


def activity_of(one: Recorded) -> str:
    event = one.event
    path = _OUTCOMES.get(event.type)
    return activity(event.type, None if path is None else event.data.get(path))


_OUTCOMES = {"StatusChanged": "status", "RoleChanged": "role"}
