"""Commands to teams."""

from uuid import UUID, uuid5

from application.event_store.envelope import Stream
from application.event_store.streams import EventStore
from application.handling import Context, Decision, Outcome, execute, must_be_active, now, state_in
from domain import teams
from domain.access import may
from domain.errors import Forbidden
from domain.teams import AddTeam, JoinTeam, Team, TeamCommand


def team_stream(workspace: UUID, key: str) -> UUID:
    return uuid5(workspace, f"team:{key.casefold()}")


def handle(store: EventStore, context: Context, command: TeamCommand) -> Outcome:
    """Raises Refused, StoreUnavailable."""
    if not may(context.actor, command):
        raise Forbidden("manage teams")
    id_ = team_stream(context.actor.workspace, command.key) if isinstance(command, AddTeam) else command.team
    joining = command.person if isinstance(command, JoinTeam) else None

    def decide(loaded: dict[UUID, Stream]) -> Decision:
        team = state_in(loaded, id_, Team)
        if joining is not None:
            must_be_active(loaded, joining, "person")
        return Decision(events=teams.decide(team, command), occurred_at=context.occurred_at or now())

    return execute(store, context, command, id_, [joining], decide)
