"""Commands to saved views."""

from collections.abc import Sequence
from uuid import UUID

from application.event_store.envelope import Stream
from application.event_store.streams import EventStore
from application.handling import Context, Decision, Outcome, execute, new_id, now, state_in
from domain import views
from domain.access import may, may_act_for_others
from domain.errors import Forbidden
from domain.teams import Team
from domain.views import SaveView, View, ViewCommand, Viewer, ViewEvent, ViewSaved


def handle(store: EventStore, context: Context, command: ViewCommand) -> Outcome:
    """Raises Refused, StoreUnavailable."""
    if not may(context.actor, command):
        raise Forbidden("keep views")
    workspace = store.workspace(context.actor.workspace)
    id_ = new_id() if isinstance(command, SaveView) else command.view
    saved_for = command.team if isinstance(command, SaveView) else None

    def decide(loaded: dict[UUID, Stream]) -> Decision:
        view = state_in(loaded, id_, View)
        team = view.team if view else saved_for
        found = loaded if team is None or team in loaded else workspace.load([team])
        state = None if team is None else state_in(found, team, Team)
        viewer = Viewer(
            person=context.actor.person,
            head=may_act_for_others(context.actor),
            teams={} if team is None or state is None else {team: state},
        )
        events = views.decide(view, command, viewer)
        return Decision(events=events, occurred_at=context.occurred_at or now(), subject=_subject(view, events))

    return execute(store, context, command, id_, [saved_for], decide)


def _subject(view: View | None, events: Sequence[ViewEvent]) -> UUID | None:
    """One's own view is erased with oneself; what is shared stays."""
    if view is not None:
        return view.person
    return events[0].person if events and isinstance(events[0], ViewSaved) else None
