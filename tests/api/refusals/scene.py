"""The workspace that refusals are tested in, and what more than one feature needs in it.

A function makes what it stands for, once for each who asks: a ticket, a file, a contract."""

import itertools
from collections.abc import Callable
from functools import cached_property
from typing import Any

from api.ids import Kind, decode, encode
from application import tickets
from application.event_store.streams import EventStore
from application.handling import Context
from application.workspaces import Workspace, operator
from domain.access import Scope
from domain.tickets import OpenTicket
from tests.api.asking import Client
from tests.api.test_contracts import HOURLY, PREPAID

LONG_AGO, FAR_AHEAD = "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
numbers = itertools.count(1)


class Scene:
    """A workspace in which everything that a mutation may need is there, once somebody asks for it. The workflow
    `narrow` asks a reason for everything; its column `full` holds one ticket, and Ada may hold one of it. The role CARE
    requires all that a role can, and the workspace takes no fields but those that it defines."""

    def __init__(self, store: EventStore, workspace: Workspace, token: Callable[..., Client]) -> None:
        self.store, self.workspace, self.token = store, workspace, token
        self.admin = token(workspace, Scope.ADMIN, name="Admin")
        self.auditor = token(workspace, Scope.AUDITOR, name="Auditor")
        self.agent = token(workspace, Scope.AGENT, name="Agent")
        admin = self.admin
        self.ada, self.boris = admin.person_named("Ada"), admin.person_named("Boris")
        self.team = str(admin.done("addTeam", "team { id }", key="line", name="Line")["id"])
        self.service = str(admin.done("addService", "service { id }", key="hosting", name="Hosting")["id"])
        admin.done("defineWorkflow", "workflow { key }", **NARROW)
        admin.done("defineRole", "role { key }", key="NARROW", name="Narrow", workflow="narrow")
        required = ["assignee", "team", "service", "requester", "parent", "description", "dueAt", "must"]
        for key, kind in (("floor", "INTEGER"), ("must", "TEXT"), ("who", "PERSON"), ("crew", "TEAM")):
            admin.done("defineField", "field { key }", key=key, name=key, type=kind)
        admin.done("defineRole", "role { key }", key="CARE", name="Care", workflow="support", requires=required[:-1])
        admin.done("defineField", "field { key }", key="must", name="must", type="TEXT", requiredFor=["CARE"])
        admin.command("setFieldPolicy", "", strict=True)
        stands = admin.open(role="NARROW", assignee=self.ada)["id"]
        admin.done("transitionTicket", ticket=stands, status="full", reason="So it is")
        narrow = {"workflow": "narrow", "limit": 1, "hard": True}
        admin.done("setWipLimit", "wipLimit { limit }", **narrow, status="full")
        admin.done("setWipLimit", "wipLimit { limit }", **narrow, person=self.ada)

    @cached_property
    def closed(self) -> str:
        closed = ticket(self)
        self.admin.done("transitionTicket", ticket=closed, status="done")
        return closed

    @cached_property
    def merged(self) -> str:
        return str(merging(self)["ticket"])

    @cached_property
    def exhausted(self) -> str:
        """Bound to a contract of which no hours are left."""
        bound = ticket(self)
        self.admin.done("bindContract", "ticket { key }", ticket=bound, contract=prepaid(self))
        return bound

    @cached_property
    def repository(self) -> str:
        return str(self.admin.done("defineRepository", "repository { id }", key="shop", name="Shop")["id"])

    @cached_property
    def customer(self) -> str:
        said = {"name": "Acme", "language": "en", "currency": "EUR", "timeZone": "UTC"}
        return str(self.admin.done("addClient", "client { id }", **said)["id"])


NARROW: dict[str, Any] = {
    "key": "narrow",
    "name": "Narrow",
    "initial": "new",
    "statuses": [
        {"key": "new", "name": "New", "category": "NEW"},
        {"key": "full", "name": "Full", "category": "ACTIVE"},
        {"key": "done", "name": "Done", "category": "DONE"},
    ],
    "transitions": [{"source": "*", "target": key} for key in ("new", "full", "done")],
    "reasons": ["PRIORITY_CHANGE", "ROLE_CHANGE"],
}


def ada(scene: Scene) -> str:
    return scene.ada


def boris(scene: Scene) -> str:
    return scene.boris


def team(scene: Scene) -> str:
    return scene.team


def service(scene: Scene) -> str:
    return scene.service


def closed(scene: Scene) -> str:
    return scene.closed


def merged(scene: Scene) -> str:
    return scene.merged


def ticket(scene: Scene, role: str = "INCIDENT", **more: Any) -> str:
    """By the shortest way: nearly every test needs some."""
    context = Context(actor=operator(scene.workspace.id))
    outcome = tickets.handle(scene.store, context, OpenTicket(title="Help", role=role, **more))
    return encode(Kind.TICKET, outcome.stream)


def narrow(scene: Scene) -> str:
    return ticket(scene, "NARROW")


def ada_s(scene: Scene) -> str:
    return ticket(scene, assignee=decode(scene.ada, Kind.PERSON))


def person(scene: Scene) -> str:
    return scene.admin.person_named("Somebody")


def key(_: Scene) -> str:
    return f"key{next(numbers)}"


def role(scene: Scene) -> str:
    made = key(scene).upper()
    scene.admin.done("defineRole", "role { key }", key=made, name=made, workflow="support")
    return made


def contract(scene: Scene, **more: Any) -> str:
    said = {"client": scene.customer, "name": "Support", "appliesFrom": "2026-01-01", "terms": HOURLY, **more}
    return str(scene.admin.done("agreeContract", "contract { id }", **said)["id"])


def prepaid(scene: Scene) -> str:
    return contract(scene, terms=PREPAID)


def asked(scene: Scene) -> dict[str, Any]:
    """A ticket with an estimate that nobody has given."""
    has = ticket(scene)
    scene.admin.done("requestEstimate", ticket=has)
    return {"ticket": has}


def comment(scene: Scene) -> dict[str, Any]:
    has = ticket(scene)
    said = scene.admin.done("addComment", "ticket { comments { nodes { id } } }", ticket=has, body="Hello")
    return {"ticket": has, "comment": said["comments"]["nodes"][0]["id"]}


def withdrawn(scene: Scene) -> dict[str, Any]:
    said = comment(scene)
    scene.admin.done("withdrawComment", **said)
    return said


def merging(scene: Scene) -> dict[str, Any]:
    said = {"ticket": ticket(scene), "into": ticket(scene)}
    scene.admin.done("mergeTickets", **said)
    return said
