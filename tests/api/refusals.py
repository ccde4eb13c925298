"""Every mutation: how it is done, and an input for each code with which it can be refused.

A value that is a function makes what it stands for in the scene: a ticket, a file, a contract. What is said of a
refusal is laid over what the happy path says.
"""

import itertools
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

from api.ids import Kind, decode, encode
from application import people, tickets
from application.event_store.streams import EventStore
from application.handling import Context
from application.workspaces import Workspace, operator
from domain.access import Scope
from domain.errors import ErrorCode
from domain.people import AddPerson, ErasePerson
from domain.tickets import OpenTicket
from tests.api.asking import Client
from tests.api.test_attachments import attach, uploaded
from tests.api.test_contracts import HOURLY, PREPAID

LONG_AGO, FAR_AHEAD = "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
COMMIT = "a" * 40
ABSENT = object()
"""Takes away what the happy path says."""
numbers = itertools.count(1)


class Scene:
    """A workspace in which everything that a mutation may need is there, once somebody asks for it. The workflow
    `narrow` asks a reason for everything; its column `full` holds one ticket, and Ada may hold one of it. The role CARE
    requires all that a role can, and the workspace takes no fields but those that it defines."""

    def __init__(self, store: EventStore, workspace: Workspace, token: Callable[..., Client]) -> None:
        self.store, self.workspace, self.token = store, workspace, token
        self.admin = token(workspace, Scope.ADMIN, name="Admin")
        self.auditor = token(workspace, Scope.AUDITOR, name="Auditor")
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


# ---- what is there


def ada(scene: Scene) -> str:
    return scene.ada


def boris(scene: Scene) -> str:
    return scene.boris


def erased(scene: Scene) -> str:
    """As far as the log goes; that their texts are gone is seen elsewhere."""
    context = Context(actor=operator(scene.workspace.id))
    someone = people.handle(scene.store, context, AddPerson(name="Somebody")).stream
    people.handle(scene.store, context, ErasePerson(person=someone, act="0a" * 32, journal="0b" * 32))
    return encode(Kind.PERSON, someone)


def team(scene: Scene) -> str:
    return scene.team


def service(scene: Scene) -> str:
    return scene.service


def closed(scene: Scene) -> str:
    return scene.closed


def merged(scene: Scene) -> str:
    return scene.merged


def exhausted(scene: Scene) -> str:
    return scene.exhausted


def repository(scene: Scene) -> str:
    return scene.repository


def customer(scene: Scene) -> str:
    return scene.customer


# ---- who says it


def new(scene: Scene) -> Client:
    """Somebody of whom nothing is known."""
    return scene.token(scene.workspace, Scope.MANAGER)


def at_work(scene: Scene) -> Client:
    """Somebody whose timer runs."""
    client = new(scene)
    client.done("startTimer", "timer { ticket { key } }", ticket=ticket(scene))
    return client


# ---- what is made for one input


def ticket(scene: Scene, role: str = "INCIDENT", **more: Any) -> str:
    """By the shortest way: nearly every test needs some."""
    context = Context(actor=operator(scene.workspace.id))
    outcome = tickets.handle(scene.store, context, OpenTicket(title="Help", role=role, **more))
    return encode(Kind.TICKET, outcome.stream)


def narrow(scene: Scene) -> str:
    return ticket(scene, "NARROW")


def ada_s(scene: Scene) -> str:
    return ticket(scene, assignee=decode(scene.ada, Kind.PERSON))


def care(scene: Scene) -> str:
    said: dict[str, Any] = {
        "assignee": scene.boris,
        "team": scene.team,
        "service": scene.service,
        "requester": scene.boris,
    }
    more: dict[str, Any] = {
        "description": "With care",
        "dueAt": FAR_AHEAD,
        "fields": {"must": "be"},
        "parent": ticket(scene),
    }
    return str(scene.admin.open(role="CARE", **said, **more)["id"])


def person(scene: Scene) -> str:
    return scene.admin.person_named("Somebody")


def key(_: Scene) -> str:
    return f"key{next(numbers)}"


def role(scene: Scene) -> str:
    made = key(scene).upper()
    scene.admin.done("defineRole", "role { key }", key=made, name=made, workflow="support")
    return made


def workflow(scene: Scene) -> str:
    made = key(scene)
    scene.admin.done("defineWorkflow", "workflow { key }", **{**NARROW, "key": made})
    return made


def field(scene: Scene) -> str:
    made = key(scene)
    scene.admin.done("defineField", "field { key }", key=made, name=made, type="TEXT")
    return made


def upload(scene: Scene) -> str:
    return uploaded(scene.admin, b"A text")


def program(scene: Scene) -> str:
    return uploaded(scene.admin, b"MZ\0\0")


def view(scene: Scene) -> str:
    saved = scene.admin.done("saveView", "view { id }", name="View", definition={}, shared=True)
    return str(saved["id"])


def entry(scene: Scene) -> str:
    said = {"ticket": ticket(scene), "startedAt": LONG_AGO, "seconds": 60}
    return str(scene.admin.done("logWork", "workEntry { id }", **said)["id"])


def contract(scene: Scene, **more: Any) -> str:
    said = {"client": scene.customer, "name": "Support", "appliesFrom": "2026-01-01", "terms": HOURLY, **more}
    return str(scene.admin.done("agreeContract", "contract { id }", **said)["id"])


def prepaid(scene: Scene) -> str:
    return contract(scene, terms=PREPAID)


def billed(scene: Scene) -> str:
    return _billed(scene, contract(scene))


def prepaid_and_billed(scene: Scene) -> str:
    return _billed(scene, prepaid(scene))


def _billed(scene: Scene, contract: str) -> str:
    scene.admin.done("closePeriod", "statement { number }", contract=contract, until="2026-01-31")
    return contract


FIXED = {"kind": "FIXED_PRICE", "currency": "EUR", "price": "100"}


def stated(scene: Scene) -> dict[str, Any]:
    """A closed statement of which something is due."""
    of_contract = contract(scene, terms=FIXED)
    shown = scene.admin.done("closePeriod", "statement { number }", contract=of_contract, until="2026-01-31")
    return {"contract": of_contract, "statement": shown["number"]}


def _issued(scene: Scene, command: str) -> dict[str, Any]:
    of_statement = stated(scene)
    scene.admin.done(command, "document { id }", **of_statement)
    return of_statement


def invoiced(scene: Scene) -> dict[str, Any]:
    return _issued(scene, "issueInvoice")


def acted(scene: Scene) -> dict[str, Any]:
    return _issued(scene, "issueAct")


def invoice(scene: Scene) -> str:
    return str(scene.admin.done("issueInvoice", "document { id }", **stated(scene))["id"])


def cancelled(scene: Scene) -> str:
    made = invoice(scene)
    scene.admin.done("cancelDocument", "document { id }", document=made, reason="So it is")
    return made


def paid(scene: Scene) -> dict[str, Any]:
    said = {"document": invoice(scene), "amount": "1", "paidOn": "2026-02-01"}
    shown = scene.admin.done("recordPayment", "document { payments { id } }", **said)
    return {"document": said["document"], "payment": shown["payments"][0]["id"]}


def asked(scene: Scene) -> dict[str, Any]:
    """A ticket with an estimate that nobody has given."""
    has = ticket(scene)
    scene.admin.done("requestEstimate", ticket=has)
    return {"ticket": has}


def question(scene: Scene) -> dict[str, Any]:
    of_ticket = asked(scene)
    show = "ticket { estimates { questions { id } } }"
    shown = scene.admin.done("askEstimateQuestion", show, **of_ticket, text="How many?")
    return {**of_ticket, "question": shown["estimates"][0]["questions"][0]["id"]}


def estimate(scene: Scene) -> dict[str, Any]:
    return _given(scene, asked(scene))


def _given(scene: Scene, of_ticket: dict[str, Any], **more: Any) -> dict[str, Any]:
    said = {**of_ticket, "leastSeconds": 60, **more}
    shown = scene.admin.done("giveEstimate", "ticket { estimates { id } }", **said)
    return {**of_ticket, "estimate": shown["estimates"][0]["id"]}


def accepted(scene: Scene) -> dict[str, Any]:
    given = estimate(scene)
    scene.admin.done("acceptEstimate", **given)
    return given


def declined(scene: Scene) -> dict[str, Any]:
    given = estimate(scene)
    scene.admin.done("declineEstimate", **given)
    return given


def expired(scene: Scene) -> dict[str, Any]:
    has = {"ticket": str(scene.admin.open(occurredAt=LONG_AGO)["id"])}
    scene.admin.done("requestEstimate", **has, occurredAt=LONG_AGO)
    return _given(scene, has, occurredAt=LONG_AGO, validUntil="2020-01-02")


def webhook(scene: Scene) -> str:
    return str(scene.admin.done("defineWebhook", "webhook { id }", url="https://example.org")["id"])


def disabled(scene: Scene) -> str:
    made = webhook(scene)
    scene.admin.done("disableWebhook", "webhook { id }", webhook=made)
    return made


# ---- inputs of which two parts belong together


def file(scene: Scene) -> dict[str, Any]:
    has = ticket(scene)
    return {"ticket": has, "attachment": attach(scene.admin, has, b"A text", "a.txt")["id"]}


def comment(scene: Scene) -> dict[str, Any]:
    has = ticket(scene)
    said = scene.admin.done("addComment", "ticket { comments { nodes { id } } }", ticket=has, body="Hello")
    return {"ticket": has, "comment": said["comments"]["nodes"][0]["id"]}


def withdrawn(scene: Scene) -> dict[str, Any]:
    said = comment(scene)
    scene.admin.done("withdrawComment", **said)
    return said


def blocking(scene: Scene) -> dict[str, Any]:
    said = {"ticket": ticket(scene), "kind": "BLOCKS", "other": ticket(scene)}
    scene.admin.done("linkTickets", **said)
    return said


def ring(scene: Scene) -> dict[str, Any]:
    said = blocking(scene)
    return {**said, "ticket": said["other"], "other": said["ticket"]}


def ring_by_merging(scene: Scene) -> dict[str, Any]:
    said, last = blocking(scene), ticket(scene)
    scene.admin.done("linkTickets", ticket=said["other"], kind="BLOCKS", other=last)
    return {"ticket": said["ticket"], "into": last}


def merging(scene: Scene) -> dict[str, Any]:
    said = {"ticket": ticket(scene), "into": ticket(scene)}
    scene.admin.done("mergeTickets", **said)
    return said


def unmerged(scene: Scene) -> dict[str, Any]:
    return {"ticket": merging(scene)["ticket"]}


def merged_further(scene: Scene) -> dict[str, Any]:
    said = merging(scene)
    scene.admin.done("mergeTickets", ticket=said["into"], into=ticket(scene))
    return {"ticket": said["ticket"]}


def merged_from_full(scene: Scene) -> dict[str, Any]:
    said = {"ticket": narrow(scene), "into": ticket(scene)}
    over: dict[str, Any] = {"overrideWipLimit": True, "reason": "So it is"}
    scene.admin.done("transitionTicket", ticket=said["ticket"], status="full", **over)
    scene.admin.done("mergeTickets", **said)
    return {"ticket": said["ticket"]}


def parent_of_itself(scene: Scene) -> dict[str, Any]:
    one = ticket(scene)
    return {"ticket": one, "parent": one}


def merged_into_itself(scene: Scene) -> dict[str, Any]:
    one = ticket(scene)
    return {"ticket": one, "into": one}


def contributed(scene: Scene) -> dict[str, Any]:
    said = {"ticket": ticket(scene), "person": scene.boris}
    scene.admin.done("addContributor", **said)
    return said


def watched(scene: Scene) -> dict[str, Any]:
    said = {"ticket": ticket(scene), "person": scene.boris}
    scene.admin.done("watchTicket", **said)
    return said


def rated(scene: Scene) -> dict[str, Any]:
    """A closed ticket of whoever rates it."""
    asked = ticket(scene, requester=decode(scene.admin.person, Kind.PERSON))
    scene.admin.done("transitionTicket", ticket=asked, status="done")
    return {"ticket": asked, "score": 5}


def promised(scene: Scene) -> dict[str, Any]:
    said = {"repository": scene.repository, "tag": key(scene), "tickets": [ticket(scene)]}
    scene.admin.command("promiseTickets", "", **said)
    return said


def provenance(_: Scene) -> str:
    """Of an artifact that is no other's."""
    source = {"uri": "git+https://example.org/shop", "digest": {"gitCommit": COMMIT}}
    said = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "shop.tar", "digest": {"sha256": f"{next(numbers):064x}"}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {"buildDefinition": {"resolvedDependencies": [source]}},
    }
    return json.dumps(said)


def tagged(scene: Scene) -> dict[str, Any]:
    said: dict[str, Any] = {"ticket": ticket(scene), "tags": ["a"]}
    scene.admin.done("tagTicket", **said)
    return said


def gone(scene: Scene) -> dict[str, Any]:
    left = person(scene)
    scene.admin.done("deactivatePerson", "person { id }", person=left)
    return {"person": left}


def member(scene: Scene) -> dict[str, Any]:
    said = {"team": scene.team, "person": person(scene)}
    scene.admin.done("joinTeam", "team { id }", **said)
    return said


def contact(scene: Scene) -> dict[str, Any]:
    said = {"client": scene.customer, "person": person(scene)}
    scene.admin.done("addContact", "client { id }", **said)
    return said


def change(scene: Scene) -> dict[str, Any]:
    return {"ticket": ticket(scene), "repository": scene.repository, "change": COMMIT}


def request(scene: Scene) -> dict[str, Any]:
    said = {"repository": scene.repository, "number": next(numbers)}
    scene.admin.command("recordMergeRequest", "", **said, title="A change")
    return said


# ---- what is said of a mutation


class Case(NamedTuple):
    """An input. `by`: who says it, if not the administrator, or who says the happy path. `limit`: a limit that is
    lowered for it, and to what."""

    said: Mapping[str, Any] | Callable[[Scene], dict[str, Any]]
    by: Callable[[Scene], Client] | None = None
    limit: tuple[str, int] | None = None


Said = Mapping[str, Any] | Callable[[Scene], dict[str, Any]] | Case


class Mutation(NamedTuple):
    done: Case
    refused: Mapping[str, Case]


COMMON = {
    ErrorCode.FORBIDDEN,
    ErrorCode.INVALID_VALUE,
    ErrorCode.CONFLICT,
    ErrorCode.COMMAND_ID_REUSED,
    ErrorCode.OCCURRED_IN_FUTURE,
    ErrorCode.PERSON_NOT_FOUND,
}
"""Codes of what every command has: who gives it, when, in whose name, with which id, to which version."""


def of(done: Said, **refused: Said) -> Mutation:
    return Mutation(_case(done), {code: _case(said) for code, said in refused.items()})


def _case(said: Said) -> Case:
    return said if isinstance(said, Case) else Case(said)


def to_ticket(done: Said, **refused: Said) -> Mutation:
    """Of a command to a ticket that is merged no longer."""
    return of(
        done,
        **{
            "TICKET_NOT_FOUND": {"ticket": "nothing"},
            "TICKET_MERGED": {"ticket": merged},
            "OCCURRED_BEFORE_LAST": {"occurredAt": LONG_AGO},
            **refused,
        },
    )


def to_part(done: Said, **refused: Said) -> Mutation:
    """Of one that a merged ticket takes too."""
    every = to_ticket(done, **refused)
    return Mutation(every.done, {code: case for code, case in every.refused.items() if code != "TICKET_MERGED"})


CLOSED: dict[str, Any] = {"ticket": closed}
ADA_S_NARROW: dict[str, Any] = {"role": "NARROW", "assignee": ada}
INTO_FULL: dict[str, Any] = {"ticket": narrow, "status": "full"}
OVER: dict[str, Any] = {"overrideWipLimit": True, "reason": ABSENT}
PLACED: dict[str, Any] = {
    "ROLE_NOT_FOUND": {"role": "NONE"},
    "TEAM_NOT_FOUND": {"team": "x"},
    "SERVICE_NOT_FOUND": {"service": "x"},
    "FIELD_REQUIRED": {"role": "CARE"},
    "WIP_LIMIT_REACHED": ADA_S_NARROW,
    "REASON_REQUIRED": {**ADA_S_NARROW, **OVER},
}
"""Of a new ticket, and of one that goes elsewhere."""
MOVED: dict[str, Any] = {
    "STATUS_NOT_FOUND": {"status": "x"},
    "TRANSITION_NOT_ALLOWED": {"status": "approval"},
    "FIELD_REQUIRED": {"status": "in_progress"},
    "REASON_REQUIRED": {"status": "cancelled"},
    "WIP_LIMIT_REACHED": INTO_FULL,
}
TIMED: dict[str, Any] = {
    "TICKET_NOT_FOUND": {"ticket": "nothing"},
    "TICKET_MERGED": {"ticket": merged},
    "TICKET_CLOSED": CLOSED,
    "CONTRACT_EXHAUSTED": {"ticket": exhausted},
    "REASON_REQUIRED": {"ticket": exhausted, "overrideExhausted": True},
}


def with_terms(**terms: Any) -> dict[str, Any]:
    return {"terms": {**HOURLY, **terms}}


TOO_LONG = {"interruption": 10**9}
NO_PERSON, NO_TEAM, NO_SERVICE = (encode(kind, UUID(int=7)) for kind in (Kind.PERSON, Kind.TEAM, Kind.SERVICE))
TERMS: dict[str, Any] = {
    "INVALID_VALUE": with_terms(currency="DOUBLOON"),
    "FIELD_REQUIRED": with_terms(rates=[]),
    "SERVICE_NOT_FOUND": with_terms(services=[NO_SERVICE]),
    "PERSON_NOT_FOUND": with_terms(grades=[{"key": "senior", "people": [NO_PERSON]}]),
}
NO_WORK: dict[str, Any] = {"WORK_NOT_FOUND": {"workEntry": "x"}}
NO_REPOSITORY: dict[str, Any] = {"REPOSITORY_NOT_FOUND": {"repository": "x"}}
LINKED: dict[str, Any] = {
    **NO_REPOSITORY,
    "TICKET_NOT_FOUND": {"ticket": "x"},
    "INVALID_VALUE": {"change": "short"},
}
NO_WEBHOOK: dict[str, Any] = {"WEBHOOK_NOT_FOUND": {"webhook": "x"}}
NO_CLIENT: dict[str, Any] = {"CLIENT_NOT_FOUND": {"client": "x"}}
NO_DOCUMENT: dict[str, Any] = {"DOCUMENT_NOT_FOUND": {"document": "x"}}
NO_CONTRACT: dict[str, Any] = {"CONTRACT_NOT_FOUND": {"contract": "x"}}

MUTATIONS: dict[str, Mutation] = {
    # ---- tickets
    "openTicket": of(
        {"title": "Help", "role": "INCIDENT"},
        **PLACED,
        INVALID_VALUE={"title": " "},
        PERSON_NOT_FOUND={"assignee": "x"},
        TICKET_NOT_FOUND={"parent": "x"},
        TICKET_MERGED={"parent": merged},
        FIELD_NOT_FOUND={"fields": {"none": 1}},
    ),
    "changeRole": to_ticket(
        {"ticket": ticket, "role": "TASK"},
        ROLE_NOT_FOUND={"role": "NONE"},
        STATUS_NOT_FOUND={"status": "x"},
        INVALID_VALUE={"role": "INCIDENT", "status": "done"},
        FIELD_REQUIRED={"role": "CARE"},
        REASON_REQUIRED={"ticket": narrow},
        WIP_LIMIT_REACHED={"ticket": ada_s, "role": "NARROW", "reason": "So it is"},
    ),
    "transitionTicket": to_ticket(
        {"ticket": ticket, "status": "done"},
        **MOVED,
        INVALID_VALUE={"fields": {"floor": "high"}},
        FIELD_NOT_FOUND={"fields": {"none": 1}},
        PERSON_NOT_FOUND={"fields": {"who": NO_PERSON}},
        TEAM_NOT_FOUND={"fields": {"crew": NO_TEAM}},
    ),
    "assignTicket": to_ticket(
        {"ticket": ticket, "assignee": boris},
        INVALID_VALUE={"assignee": ABSENT},
        PERSON_NOT_FOUND={"assignee": "x"},
        TEAM_NOT_FOUND={"team": "x"},
        TICKET_CLOSED=CLOSED,
        WIP_LIMIT_REACHED={"ticket": narrow, "assignee": ada},
        REASON_REQUIRED={"ticket": narrow, "assignee": ada, **OVER},
        FIELD_REQUIRED={"ticket": care, "assignee": None},
    ),
    "setField": to_ticket(
        {"ticket": ticket, "field": "floor", "value": 3},
        FIELD_NOT_FOUND={"field": "none"},
        INVALID_VALUE={"value": "high"},
        PERSON_NOT_FOUND={"field": "who", "value": NO_PERSON},
        TEAM_NOT_FOUND={"field": "crew", "value": NO_TEAM},
        FIELD_REQUIRED={"ticket": care, "field": "must", "value": None},
    ),
    "setParent": to_ticket(
        {"ticket": ticket, "parent": ticket},
        PARENT_CYCLE=parent_of_itself,
        FIELD_REQUIRED={"ticket": care, "parent": None},
    ),
    "attachFile": to_ticket(
        {"ticket": ticket, "upload": upload, "name": "a.txt"},
        UPLOAD_NOT_FOUND={"upload": "x"},
        INVALID_VALUE={"name": " "},
        FILE_TYPE_REFUSED={"upload": program, "name": "a.exe"},
        LIMIT_REACHED=Case({}, limit=("domain.attachments.FILES_LIMIT", 0)),
    ),
    "detachFile": to_part(file, ATTACHMENT_NOT_FOUND={"attachment": "x"}),
    "rankTicket": to_ticket(
        {"ticket": ticket, "to": "TOP"},
        **MOVED,
        INVALID_VALUE={"to": ABSENT},
        PERSON_NOT_FOUND={"assignee": "x"},
        TICKET_CLOSED={**CLOSED, "assignee": boris},
    ),
    "retitleTicket": to_ticket({"ticket": ticket, "title": "New"}, INVALID_VALUE={"title": " "}),
    "describeTicket": to_ticket(
        {"ticket": ticket, "description": "New"},
        INVALID_VALUE={"description": "x\0"},
        FIELD_REQUIRED={"ticket": care, "description": None},
    ),
    "tagTicket": to_ticket({"ticket": ticket, "tags": ["a"]}, INVALID_VALUE={"tags": [""]}),
    "untagTicket": to_ticket(tagged, INVALID_VALUE={"tags": [""]}),
    "setPriority": to_ticket(
        {"ticket": ticket, "priority": "HIGH"}, TICKET_CLOSED=CLOSED, REASON_REQUIRED={"ticket": narrow}
    ),
    "scheduleTicket": to_ticket(
        {"ticket": ticket, "dueAt": FAR_AHEAD},
        INVALID_VALUE={"dueAt": ABSENT},
        TICKET_CLOSED=CLOSED,
        FIELD_REQUIRED={"ticket": care, "dueAt": None},
    ),
    "bindService": to_ticket(
        {"ticket": ticket, "service": service},
        SERVICE_NOT_FOUND={"service": "x"},
        FIELD_REQUIRED={"ticket": care, "service": None},
    ),
    "setRequester": to_ticket(
        {"ticket": ticket, "requester": boris},
        PERSON_NOT_FOUND={"requester": "x"},
        FIELD_REQUIRED={"ticket": care, "requester": None},
    ),
    "setSensitive": to_ticket({"ticket": ticket, "sensitive": True}),
    "bulkTickets": of(
        {"tickets": lambda scene: [ticket(scene)], "change": {"setPriority": {"priority": "HIGH"}}},
        INVALID_VALUE={"tickets": []},
    ),
    "addComment": to_ticket(
        {"ticket": ticket, "body": "Hello"},
        INVALID_VALUE={"body": " "},
        COMMENT_NOT_FOUND={"inReplyTo": "x"},
        PERSON_NOT_FOUND={"mentions": ["x"]},
    ),
    "editComment": to_part(
        lambda scene: {**comment(scene), "body": "Other"},
        INVALID_VALUE={"body": " "},
        COMMENT_NOT_FOUND={"comment": "x"},
        COMMENT_WITHDRAWN=withdrawn,
        PERSON_NOT_FOUND={"mentions": ["x"]},
    ),
    "withdrawComment": to_part(comment, COMMENT_NOT_FOUND={"comment": "x"}),
    "addContributor": to_ticket(
        {"ticket": ticket, "person": boris},
        PERSON_NOT_FOUND={"person": "x"},
        TICKET_CLOSED=CLOSED,
        INVALID_VALUE=Case({}, limit=("domain.participants.CONTRIBUTORS_LIMIT", 0)),
    ),
    "removeContributor": to_ticket(contributed, PERSON_NOT_FOUND={"person": "x"}),
    "watchTicket": to_ticket(
        {"ticket": ticket, "person": boris},
        PERSON_NOT_FOUND={"person": "x"},
        INVALID_VALUE=Case({}, limit=("domain.participants.WATCHERS_LIMIT", 0)),
    ),
    "unwatchTicket": to_ticket(watched, PERSON_NOT_FOUND={"person": "x"}),
    "rateTicket": to_ticket(rated, TICKET_OPEN={"ticket": ticket}, INVALID_VALUE={"score": 0}),
    "transferTicket": to_ticket(
        {"ticket": ticket, "team": team},
        **{**PLACED, "WIP_LIMIT_REACHED": {"ticket": ada_s, "role": "NARROW", "team": ABSENT, "reason": "So it is"}},
        INVALID_VALUE={"team": ABSENT},
        STATUS_NOT_FOUND={"role": "TASK", "status": "x"},
        PERSON_NOT_FOUND={"assignee": "x"},
        FIELD_NOT_FOUND={"fields": {"none": 1}},
        TICKET_CLOSED=CLOSED,
    ),
    "linkTickets": to_ticket(
        {"ticket": ticket, "kind": "BLOCKS", "other": ticket},
        INVALID_VALUE={"kind": "MERGED_INTO"},
        LINK_CYCLE=ring,
        LIMIT_REACHED=Case({}, limit=("domain.links.LINKS_LIMIT", 0)),
    ),
    "unlinkTickets": to_ticket(blocking, INVALID_VALUE={"kind": "MERGED_INTO"}),
    "mergeTickets": to_ticket(
        {"ticket": ticket, "into": ticket},
        INVALID_VALUE=merged_into_itself,
        LINK_CYCLE=ring_by_merging,
        LIMIT_REACHED=Case(
            lambda scene: {"ticket": blocking(scene)["ticket"]}, limit=("domain.merging.LINKS_LIMIT", 0)
        ),
    ),
    "unmergeTicket": to_ticket(
        unmerged,
        TICKET_MERGED=merged_further,
        WIP_LIMIT_REACHED=merged_from_full,
        REASON_REQUIRED=lambda scene: {**merged_from_full(scene), **OVER},
    ),
    "spawnTicket": to_ticket(
        {"ticket": ticket, "title": "Part", "role": "TASK", "service": service},
        **PLACED,
        INVALID_VALUE={"title": " "},
        PERSON_NOT_FOUND={"assignee": "x"},
        FIELD_NOT_FOUND={"fields": {"none": 1}},
        TICKET_CLOSED=CLOSED,
    ),
    "splitTicket": to_ticket(
        lambda scene: {**comment(scene), "title": "Apart"},
        **PLACED,
        INVALID_VALUE={"title": " "},
        COMMENT_NOT_FOUND={"comment": "x"},
        COMMENT_WITHDRAWN=withdrawn,
        PERSON_NOT_FOUND={"assignee": "x"},
    ),
    # ---- people, teams, services
    "addPerson": of({"name": "Somebody"}, INVALID_VALUE={"name": " "}),
    "renamePerson": of(
        {"person": person, "name": "Other"},
        INVALID_VALUE={"name": " "},
        PERSON_NOT_FOUND={"person": "x"},
        PERSON_ERASED={"person": erased},
    ),
    "deactivatePerson": of({"person": person}, PERSON_NOT_FOUND={"person": "x"}, PERSON_ERASED={"person": erased}),
    "reactivatePerson": of(gone, PERSON_NOT_FOUND={"person": "x"}, PERSON_ERASED={"person": erased}),
    "addTeam": of({"key": key, "name": "Team"}, INVALID_VALUE={"name": " "}, KEY_TAKEN={"key": "line"}),
    "renameTeam": of({"team": team, "name": key}, INVALID_VALUE={"name": " "}, TEAM_NOT_FOUND={"team": "x"}),
    "joinTeam": of(
        {"team": team, "person": person},
        TEAM_NOT_FOUND={"team": "x"},
        PERSON_NOT_FOUND={"person": "x"},
    ),
    "leaveTeam": of(member, TEAM_NOT_FOUND={"team": "x"}, PERSON_NOT_FOUND={"person": "x"}),
    "addService": of({"key": key, "name": "Service"}, INVALID_VALUE={"name": " "}, KEY_TAKEN={"key": "hosting"}),
    "renameService": of(
        {"service": service, "name": key},
        INVALID_VALUE={"name": " "},
        SERVICE_NOT_FOUND={"service": "x"},
    ),
    # ---- definitions
    "defineWorkflow": of(
        {**NARROW, "key": key},
        INVALID_VALUE={"initial": "none"},
        IN_USE={
            "key": "narrow",
            "statuses": [status for status in NARROW["statuses"] if status["key"] != "full"],
            "transitions": [{"source": "*", "target": key} for key in ("new", "done")],
        },
    ),
    "defineRole": of(
        {"key": lambda scene: key(scene).upper(), "name": "Role", "workflow": "support"},
        INVALID_VALUE={"workflow": "none"},
    ),
    "retireWorkflow": of(
        {"workflow": workflow}, WORKFLOW_NOT_FOUND={"workflow": "none"}, IN_USE={"workflow": "narrow"}
    ),
    "retireRole": of({"role": role}, ROLE_NOT_FOUND={"role": "NONE"}, IN_USE={"role": "NARROW"}),
    "defineField": of({"key": key, "name": "Field", "type": "TEXT"}, INVALID_VALUE={"type": "CHOICE"}),
    "retireField": of({"field": field}, FIELD_NOT_FOUND={"field": "none"}),
    "setFieldPolicy": of({"strict": True}),
    "setReadLogging": of({"all": False}),
    "setWipLimit": of(
        {"workflow": "support", "status": "approval", "limit": 100},
        INVALID_VALUE={"limit": 0},
        WORKFLOW_NOT_FOUND={"workflow": "none"},
        STATUS_NOT_FOUND={"status": "none"},
        PERSON_NOT_FOUND={"person": "x"},
        FIELD_REQUIRED={"limit": ABSENT},
        IN_USE=Case(
            {"workflow": "narrow", "status": "full", "hard": True}, limit=("application.wip_limits.CARDS_LIMIT", 0)
        ),
    ),
    # ---- views
    "saveView": of(
        {"name": "View", "definition": {}, "shared": True}, INVALID_VALUE={"name": " "}, TEAM_NOT_FOUND={"team": "x"}
    ),
    "updateView": of({"view": view, "name": "Other"}, INVALID_VALUE={"name": " "}, VIEW_NOT_FOUND={"view": "x"}),
    "deleteView": of({"view": view}, VIEW_NOT_FOUND={"view": "x"}),
    "favouriteView": of({"view": view}, VIEW_NOT_FOUND={"view": "x"}),
    "unfavouriteView": of({"view": view}, VIEW_NOT_FOUND={"view": "x"}),
    # ---- work
    "startTimer": of(Case({"ticket": ticket}, by=new), **TIMED, TIMER_RUNS=Case({}, by=at_work)),
    "switchTimer": of(Case({"ticket": ticket}, by=new), **TIMED, INVALID_VALUE=Case(TOO_LONG, by=at_work)),
    "stopTimer": of(
        Case({}, by=at_work),
        TIMER_NOT_RUNNING=Case({}, by=new),
        INVALID_VALUE=Case(TOO_LONG, by=at_work),
    ),
    "discardTimer": of(Case({}, by=at_work), TIMER_NOT_RUNNING=Case({}, by=new)),
    "logWork": of(
        {"ticket": ticket, "startedAt": LONG_AGO, "seconds": 60},
        INVALID_VALUE={"seconds": 10**9},
        FIELD_REQUIRED={"seconds": ABSENT},
        TICKET_NOT_FOUND={"ticket": "x"},
        TICKET_MERGED={"ticket": merged},
    ),
    "correctWork": of(
        {"workEntry": entry, "interruption": 10, "reason": "So it is"},
        **NO_WORK,
        REASON_REQUIRED={"reason": ABSENT},
        INVALID_VALUE={"interruption": 10**9},
    ),
    "moveWork": of(
        {"workEntry": entry, "ticket": ticket},
        **NO_WORK,
        TICKET_NOT_FOUND={"ticket": "x"},
        TICKET_MERGED={"ticket": merged},
    ),
    "markWorkBillable": of({"workEntry": entry}, **NO_WORK),
    "markWorkNotBillable": of({"workEntry": entry}, **NO_WORK),
    "commentWork": of({"workEntry": entry, "comment": "Logs"}, **NO_WORK, INVALID_VALUE={"comment": "\0"}),
    "billWork": of({"workEntry": entry, "contract": contract}, **NO_WORK, **NO_CONTRACT),
    "reverseWork": of({"workEntry": entry, "reason": "So it is"}, **NO_WORK, REASON_REQUIRED={"reason": ABSENT}),
    # ---- traceability
    "defineRepository": of({"key": key, "name": "Shop"}, INVALID_VALUE={"url": "ssh://x"}),
    "setWebhookSecret": of(
        {"repository": repository, "secret": "s" * 32}, **NO_REPOSITORY, INVALID_VALUE={"secret": "short"}
    ),
    "recordRelease": of(
        {"repository": repository, "tag": key, "commit": COMMIT}, **NO_REPOSITORY, INVALID_VALUE={"commit": "short"}
    ),
    "recordDeployment": of(
        {
            "repository": repository,
            "number": key,
            "environment": "production",
            "commit": COMMIT,
            "outcome": "SUCCEEDED",
        },
        **NO_REPOSITORY,
        INVALID_VALUE={"commit": "short"},
        FIELD_REQUIRED={"number": ""},
    ),
    "promiseTickets": of(
        {"repository": repository, "tag": key, "tickets": lambda scene: [ticket(scene)]},
        **NO_REPOSITORY,
        TICKET_NOT_FOUND={"tickets": ["nothing"]},
        INVALID_VALUE={"tag": " "},
    ),
    "withdrawPromise": of(promised, **NO_REPOSITORY, TICKET_NOT_FOUND={"tickets": ["nothing"]}),
    "attachProvenance": of(
        {"repository": repository, "provenance": provenance}, **NO_REPOSITORY, INVALID_VALUE={"provenance": "{}"}
    ),
    "addChangeLink": of(change, **LINKED),
    "confirmChangeLink": of(change, **LINKED),
    "rejectChangeLink": of(change, **LINKED),
    "recordMergeRequest": of(
        {"repository": repository, "number": lambda _: next(numbers), "title": "A change"},
        **NO_REPOSITORY,
        FIELD_REQUIRED={"title": ABSENT},
        INVALID_VALUE={"number": 0},
    ),
    "recordReview": of(
        lambda scene: {**request(scene), "verdict": "APPROVED"}, **NO_REPOSITORY, INVALID_VALUE={"number": 10**6}
    ),
    # ---- clients and contracts
    "addClient": of(
        {"name": "Acme", "language": "en", "currency": "EUR", "timeZone": "UTC"}, INVALID_VALUE={"timeZone": "x"}
    ),
    "renameClient": of({"client": customer, "name": key}, **NO_CLIENT, INVALID_VALUE={"name": " "}),
    "localizeClient": of({"client": customer, "language": "ru"}, **NO_CLIENT, INVALID_VALUE={"currency": "XXX"}),
    "addContact": of({"client": customer, "person": person}, **NO_CLIENT, PERSON_NOT_FOUND={"person": "x"}),
    "removeContact": of(contact, **NO_CLIENT, PERSON_NOT_FOUND={"person": "x"}),
    "agreeContract": of(
        {"client": customer, "name": "Support", "appliesFrom": "2026-01-01", "terms": HOURLY}, **NO_CLIENT, **TERMS
    ),
    "agreeTerms": of(
        {"contract": contract, "appliesFrom": "2026-06-01", "terms": HOURLY},
        **NO_CONTRACT,
        **TERMS,
        TERMS_OVERLAP={"appliesFrom": "2026-01-01", "terms": {**HOURLY, "tax": "7"}},
        PERIOD_CLOSED={"contract": billed, "appliesFrom": "2026-01-15", "terms": {**HOURLY, "tax": "7"}},
    ),
    "grantHours": of(
        {"contract": prepaid, "seconds": 3600, "validFrom": "2026-01-01"},
        **NO_CONTRACT,
        INVALID_VALUE={"seconds": -1},
        PERIOD_CLOSED={"contract": prepaid_and_billed},
    ),
    "endContract": of(
        {"contract": contract, "lastDay": "2026-12-31"},
        **NO_CONTRACT,
        INVALID_VALUE={"lastDay": "2020-01-01"},
        PERIOD_CLOSED={"contract": billed, "lastDay": "2026-01-15"},
    ),
    "bindContract": of({"ticket": ticket, "contract": contract}, **NO_CONTRACT, TICKET_NOT_FOUND={"ticket": "x"}),
    "closePeriod": of(
        {"contract": contract, "until": "2026-01-31"},
        **NO_CONTRACT,
        INVALID_VALUE={"until": "2999-01-01"},
        PERIOD_CLOSED={"contract": billed},
    ),
    # ---- documents
    "issueInvoice": of(
        stated,
        **NO_CONTRACT,
        INVALID_VALUE={"statement": ABSENT},
        STATEMENT_NOT_FOUND={"statement": 999},
        HOUR_PACKAGE_NOT_FOUND={"statement": ABSENT, "hourPackage": "x"},
        TICKET_NOT_FOUND={"ticket": "x"},
        TICKET_MERGED={"ticket": merged},
        ALREADY_INVOICED=invoiced,
    ),
    "issueAct": of(
        stated,
        **NO_CONTRACT,
        STATEMENT_NOT_FOUND={"statement": 999},
        TICKET_NOT_FOUND={"ticket": "x"},
        TICKET_MERGED={"ticket": merged},
        ALREADY_INVOICED=acted,
    ),
    "recordPayment": of(
        {"document": invoice, "amount": "1", "paidOn": "2026-02-01"},
        **NO_DOCUMENT,
        INVALID_VALUE={"amount": "0"},
        DOCUMENT_CANCELLED={"document": cancelled},
    ),
    "reversePayment": of(
        paid, **NO_DOCUMENT, PAYMENT_NOT_FOUND={"payment": "x"}, DOCUMENT_CANCELLED={"document": cancelled}
    ),
    "signDocument": of(
        lambda scene: {"document": invoice(scene), "signedOn": f"{datetime.now(UTC):%Y-%m-%d}"},
        **NO_DOCUMENT,
        INVALID_VALUE={"signedOn": "2999-01-01"},
        DOCUMENT_CANCELLED={"document": cancelled},
    ),
    "cancelDocument": of(
        {"document": invoice, "reason": "So it is"}, **NO_DOCUMENT, REASON_REQUIRED={"reason": ABSENT}
    ),
    # ---- estimates
    "requestEstimate": to_ticket(
        {"ticket": ticket},
        INVALID_VALUE={"about": " "},
        TICKET_CLOSED=CLOSED,
        ESTIMATE_OPEN=asked,
        LIMIT_REACHED=Case({}, limit=("domain.estimates.ESTIMATES_LIMIT", 0)),
    ),
    "askEstimateQuestion": to_ticket(
        lambda scene: {**asked(scene), "text": "How many?"},
        INVALID_VALUE={"text": " "},
        ESTIMATE_NOT_FOUND={"ticket": ticket},
        LIMIT_REACHED=Case({}, limit=("domain.estimates.QUESTIONS_LIMIT", 0)),
    ),
    "answerEstimateQuestion": to_ticket(
        lambda scene: {**question(scene), "text": "Forty"},
        INVALID_VALUE={"text": " "},
        ESTIMATE_NOT_FOUND={"ticket": ticket},
        QUESTION_NOT_FOUND={"question": "x"},
    ),
    "giveEstimate": to_ticket(
        lambda scene: {**asked(scene), "leastSeconds": 60},
        INVALID_VALUE={"leastSeconds": -1},
        FIELD_REQUIRED={"leastPrice": "1"},
        ESTIMATE_NOT_FOUND={"ticket": ticket},
    ),
    "acceptEstimate": to_ticket(
        estimate,
        ESTIMATE_NOT_FOUND={"estimate": "x"},
        ESTIMATE_SETTLED=declined,
        ESTIMATE_EXPIRED=expired,
    ),
    "declineEstimate": to_ticket(estimate, ESTIMATE_NOT_FOUND={"estimate": "x"}, ESTIMATE_SETTLED=accepted),
    # ---- webhooks
    "defineWebhook": of(
        {"url": "https://example.org"},
        INVALID_VALUE={"url": "https://10.0.0.1"},
        LIMIT_REACHED=Case({}, limit=("domain.webhooks.ENDPOINTS_LIMIT", 0)),
    ),
    "changeWebhook": of(
        {"webhook": webhook, "description": "Other"}, **NO_WEBHOOK, INVALID_VALUE={"url": "https://10.0.0.1"}
    ),
    "rotateWebhookSecret": of({"webhook": webhook}, **NO_WEBHOOK, INVALID_VALUE={"formerHours": 10**6}),
    "enableWebhook": of({"webhook": disabled}, **NO_WEBHOOK),
    "disableWebhook": of({"webhook": webhook}, **NO_WEBHOOK),
    "replayWebhook": of(
        {"webhook": webhook, "fromPosition": "1"},
        **NO_WEBHOOK,
        INVALID_VALUE={"fromPosition": "0"},
        WEBHOOK_DISABLED={"webhook": disabled},
    ),
    "testWebhook": of({"webhook": webhook}, **NO_WEBHOOK),
    "retireWebhook": of({"webhook": webhook}, **NO_WEBHOOK),
}


def codes(mutation: str) -> set[str]:
    """With which it can be refused."""
    return COMMON | MUTATIONS[mutation].refused.keys()
