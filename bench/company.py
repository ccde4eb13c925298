"""What figures are taken of: a workspace with people, teams and tickets, made by commands; or very many tickets."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random
from typing import NamedTuple
from uuid import UUID

from application import people, teams, tickets
from application.event_store.database import Database
from application.event_store.streams import EventStore
from application.handling import Context, now
from application.tokens import issue_token
from application.workspaces import create_workspace, operator
from domain.access import Actor, Scope
from domain.people import AddPerson
from domain.teams import AddTeam
from domain.tickets import OpenTicket, Priority, TransitionTicket

PEOPLE, TEAMS = 20, 4
STATUSES = ("todo", "in_progress", "blocked", "review")
TITLES = (
    "The order form loses attachments",
    "Печать счетов останавливается после обновления",
    "Move the warehouse to the new server",
    "VPN drops every hour",
    "Отчёт по складу не сходится с остатками за месяц",
)


class Furnished(NamedTuple):
    database: Database
    actor: Actor
    token: str
    people: list[UUID]
    teams: list[UUID]
    tickets: list[UUID]


def furnish(database: Database, count: int) -> Furnished:
    """A workspace with that many open tickets, and a token to it."""
    random = Random(1042)  # noqa: S311
    with EventStore(database) as store:
        actor = operator(create_workspace(database, store, "acme", "Acme").id)
        context = Context(actor=actor, reason="so it is")
        folk = [people.handle(store, context, AddPerson(name=f"Person {n}")).stream for n in range(PEOPLE)]
        groups = [teams.handle(store, context, AddTeam(key=f"team-{n}", name=f"Team {n}")).stream for n in range(TEAMS)]

        def opened(n: int) -> UUID:
            status = STATUSES[n % len(STATUSES)]
            waiting = [] if status != STATUSES[0] else [None]
            command = OpenTicket(
                title=f"{random.choice(TITLES)} {n}",
                role="TASK",
                assignee=random.choice([*folk, *waiting]),
                team=random.choice(groups),
                priority=random.choice(list(Priority)),
                tags=tuple(random.sample(["printer", "office", "vpn", "склад"], random.randrange(3))),
                due_at=now() + timedelta(days=random.randrange(1, 60)),
            )
            id_ = tickets.handle(store, context, command).stream
            for step in STATUSES[1 : 1 + n % len(STATUSES)]:
                if step in ("in_progress", status):
                    tickets.handle(store, context, TransitionTicket(ticket=id_, status=step))
            return id_

        with ThreadPoolExecutor(16) as pool:
            ids = list(pool.map(opened, range(count)))
    token = issue_token(database, actor.workspace, actor.person, [Scope.ADMIN], "bench", timedelta(days=1))
    return Furnished(database, actor, token, folk, groups, ids)
