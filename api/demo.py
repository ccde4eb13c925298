"""Fills a demo workspace: eight weeks of an IT service company, by the same commands that people give."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid5

import msgspec

from api import demo_story
from api.demo_afterwards import come_back
from api.demo_business import OPENED, do_business
from api.demo_files import attach_files
from api.demo_story import LENGTH, SYSTEM, Ids, Step
from application import people, services, teams, tickets, views, webhooks, workflows
from application.attachments.contents import Contents
from application.event_store.envelope import Envelope
from application.event_store.streams import EventStore
from application.handling import Context, Outcome, now, state_in
from application.webhook_signing import new_secret
from application.workspaces import operator, system_person
from domain.access import Actor, Command, Scope
from domain.people import PersonCommand
from domain.services import ServiceCommand
from domain.teams import TeamCommand
from domain.tickets import Ticket, TicketCommand
from domain.views import ViewCommand
from domain.webhooks import WebhookCommand
from domain.workflows import WorkflowsCommand

HERO = "ticket 1"


class AnotherStory(Exception):
    """The workspace was filled, or begun to be, with a story that this version of Proteus no longer tells."""


class DemoSummary(msgspec.Struct, frozen=True, kw_only=True):
    """`hero`: key of the ticket that has been everything. `commands`: how many were given now, 0 if all was there."""

    hero: str
    tickets: int
    commands: int


def fill(
    store: EventStore,
    workspace: UUID,
    progress: Callable[[int, int], None] = lambda done, total: None,
    now: datetime | None = None,
    contents: Contents | None = None,
) -> DemoSummary:
    """Gives all commands of the story that were not given before; so it may be interrupted, and repeated.

    The story ends just before `now`, at the first call; later calls tell the same one. Calls `progress` with the
    number of commands done and their total. With `contents`, files are attached too. Raises AnotherStory before it
    gives any; Refused, StoreUnavailable, StorageFull.
    """
    begun = _begun(store, workspace)
    steps = demo_story.tell(_end(begun, now))
    story = _fingerprint(steps)
    if begun is not None and begun.cause.source != story:
        raise AnotherStory
    command_ids = [command_id(workspace, n) for n in range(len(steps))]
    recorded = store.workspace(workspace).earlier(command_ids)
    ids = {f"person {SYSTEM}": system_person(workspace)}
    given = 0
    for done, (step, id_) in enumerate(zip(steps, command_ids, strict=True), start=1):
        if id_ in recorded:
            stream = recorded[id_].stream
        else:
            stream = _give(store, workspace, step, id_, ids, story if done == 1 else None).stream
            given += 1
        if step.makes:
            ids[step.makes] = stream
        progress(done, len(steps))
    hero = state_in(store.workspace(workspace).load([ids[HERO]]), ids[HERO], Ticket)
    assert hero is not None
    opened = [id_ for name, id_ in ids.items() if name.startswith("ticket ")]
    come_back(store, workspace, ids[HERO], opened, steps[-1].at)
    do_business(store, workspace, ids, steps[-1].at)
    if contents is not None:
        attach_files(store, contents, workspace, ids[HERO])
    return DemoSummary(hero=hero.key, tickets=len(opened) + OPENED, commands=given)


def command_id(workspace: UUID, step: int) -> UUID:
    return uuid5(workspace, f"demo {step}")


def _begun(store: EventStore, workspace: UUID) -> Envelope | None:
    """The event of the story's first command: it keeps for ever when the story ends, and which one it is."""
    opened = store.workspace(workspace)
    first = opened.earlier([command_id(workspace, 0)]).get(command_id(workspace, 0))
    if first is None:
        return None
    begun = next(iter(opened.events.get(first.stream)))
    assert isinstance(begun, Envelope)
    return begun


def _end(begun: Envelope | None, wanted: datetime | None) -> datetime:
    if begun is None:
        return (wanted or now()).replace(second=0, microsecond=0) - timedelta(minutes=1)
    return begun.occurred_at + LENGTH


class _Named(dict[str, UUID]):
    """An id for every name, whatever was made."""

    def __missing__(self, name: str) -> UUID:
        return uuid5(UUID(int=0), name)


def _fingerprint(steps: Sequence[Step]) -> str:
    """Of all that is told, so that two stories are never mixed: steps are known by their number alone."""
    told = [
        (step.at, step.actor, step.makes, step.channel, step.reason, step.on_behalf_of, step.command(_Named()))
        for step in steps
    ]
    return f"story {hashlib.blake2b(msgspec.json.encode(told), digest_size=8).hexdigest()}"


def _give(store: EventStore, workspace: UUID, step: Step, command_id: UUID, ids: Ids, source: str | None) -> Outcome:
    """Everybody here may act as a manager does, because what happened is dated back."""
    person = Actor(workspace=workspace, person=ids[f"person {step.actor}"], scopes=frozenset({Scope.MANAGER}))
    context = Context(
        actor=operator(workspace) if step.actor == SYSTEM else person,
        command_id=command_id,
        occurred_at=step.at,
        channel=step.channel,
        reason=step.reason,
        source=source,
        on_behalf_of=ids[f"person {step.on_behalf_of}"] if step.on_behalf_of else None,
    )
    return _handle(store, context, step.command(ids))


def _handle(store: EventStore, context: Context, command: Command) -> Outcome:
    if isinstance(command, PersonCommand):
        return people.handle(store, context, command)
    if isinstance(command, TeamCommand):
        return teams.handle(store, context, command)
    if isinstance(command, ServiceCommand):
        return services.handle(store, context, command)
    if isinstance(command, ViewCommand):
        return views.handle(store, context, command)
    if isinstance(command, WebhookCommand):
        return webhooks.handle(store, context, command, new_secret())
    if isinstance(command, WorkflowsCommand):
        return workflows.handle(store, context, command)
    assert isinstance(command, TicketCommand)
    return tickets.handle(store, context, command)
