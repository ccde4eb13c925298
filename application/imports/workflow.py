"""The workflow of imported tickets: it has the source's statuses, and leads from each to every other, since a real
history has gone all ways."""

from msgspec.structs import replace

from application import workflows as workflow_commands
from application.event_store.streams import EventStore
from application.handling import ATTEMPTS, Context, now
from application.imports.mapping import ImportMapping
from application.workflows import workflows_in, workflows_stream
from domain import workflows
from domain.errors import Conflict, InvalidValue
from domain.workflows import ANY, DefineWorkflow, Status, Transition, Workflow, Workflows


def define_workflow(
    store: EventStore, context: Context, mapping: ImportMapping, statuses: list[Status], *, dry_run: bool
) -> Workflow:
    """The mapping's workflow with these statuses, added to those that it has. Raises Refused."""
    id_ = workflows_stream(context.actor.workspace)
    for _ in range(ATTEMPTS):
        loaded = store.workspace(context.actor.workspace).load([id_])
        state = workflows_in(loaded, context.actor.workspace)
        for role in {mapping.role.role, *mapping.role.values.values()}:
            if role is not None:
                state.role(role)
        wanted = DefineWorkflow(workflow=_extended(state, mapping, statuses))
        events = workflows.decide(state, wanted)
        for event in events:
            state = workflows.evolve(state, event, now())
        if events and not dry_run:
            version = loaded[id_].version if id_ in loaded else 0
            try:
                workflow_commands.handle(store, replace(context, expected_version=version), wanted)
            except Conflict:
                continue
        return state.newest(mapping.workflow.key)
    raise Conflict(None, None)


def _extended(state: Workflows, mapping: ImportMapping, statuses: list[Status]) -> Workflow:
    """Raises InvalidValue where the workspace's workflow says otherwise of a status than the mapping."""
    key = mapping.workflow.key
    if key not in state.versions:
        initial = mapping.status.initial or next((one.key for one in statuses if not one.category.closed), None)
        if initial is None:
            raise InvalidValue("The mapping cannot be used: at status: none of the statuses is open.")
        return Workflow(
            key=key,
            name=mapping.workflow.name,
            initial=initial,
            statuses=tuple(statuses),
            transitions=tuple(Transition(source=ANY, target=one.key) for one in statuses),
        )
    newest = state.newest(key)
    for status in statuses:
        if newest.has(status.key) and newest.status(status.key).category is not status.category:
            raise InvalidValue(
                f"The mapping cannot be used: at status.values: {status.key!r} is {status.category}, and in the"
                f" workspace's workflow {key!r} it is {newest.status(status.key).category}."
            )
    added = [status for status in statuses if not newest.has(status.key)]
    return replace(
        newest,
        statuses=(*newest.statuses, *added),
        transitions=(*newest.transitions, *(Transition(source=ANY, target=one.key) for one in added)),
    )
