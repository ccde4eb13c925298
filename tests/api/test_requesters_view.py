"""What a requester may see is their own tickets, and what is public in them: asked of every field of the schema.

All that is foreign or internal bears a mark. Fields that are added later are asked for without a change here.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from api.ids import Kind, decode, encode, parse
from application.workspaces import create_workspace
from domain.access import Scope
from tests.api.asking import Client
from tests.api.conftest import Server
from tests.api.subscribing import Ended, opened
from tests.api.test_attachments import uploaded
from tests.api.walking import fields_of, mutations, needed, queries, selections
from tests.served import Served

FOR_COLLEAGUES = ("timerChanged",)
"""Subscriptions that requesters do not have."""

FOR_STAFF = ("trace", "releaseNotes", "reports")
"""Queries with a past that requesters do not have."""
TOLD_AT_ONCE = ("balanceChanged",)
"""Subscriptions that tell first how it stands, and then nothing where nothing changes."""

TERMS = {"kind": "TIME_AND_MATERIALS", "currency": "EUR", "tax": "20", "rates": [{"perHour": "80"}]}

MARK = "Хранилище"
"""In every text that is not for the requester."""


class Scene(NamedTuple):
    """`foreign`: opaque ids of what is not the requester's to see. `own`: of what is."""

    customer: Client
    agent: Client
    own: list[str]
    foreign: list[str]
    keys: list[str]
    contract: str


@pytest.fixture(scope="module")
def scene(server: Server, token: Callable[..., Client]) -> Scene:
    acme = create_workspace(server.database, server.store, "vault", "Vault")
    elsewhere = create_workspace(server.database, server.store, "elsewhere", "Elsewhere")
    admin = token(acme, Scope.ADMIN, name="Admin")
    customer = token(acme, Scope.REQUESTER, name="Customer")
    agent = token(acme, Scope.AGENT, name="Agent")
    stranger = admin.done(
        "addPerson", "person { id }", name=f"{MARK} person", email=f"{MARK}@example.com", kind="CLIENT"
    )
    team = admin.done("addTeam", "team { id }", key="vault", name=f"{MARK} team")
    admin.done("joinTeam", "team { id }", team=team["id"], person=stranger["id"])

    def foreign(**input: Any) -> Any:
        return agent.open(
            f"{MARK} title",
            description=f"{MARK} description",
            tags=[MARK],
            reason=f"{MARK} reason",
            channel="vault",
            **input,
        )

    parent = foreign(requester=stranger["id"], team=team["id"], assignee=stranger["id"])
    own = agent.open(
        "Own", requester=customer.person, description="Own description", tags=["own"], assignee=agent.person
    )
    child, orphan = foreign(), foreign(requester=stranger["id"])
    agent.done("setParent", ticket=own["id"], parent=parent["id"], reason=f"{MARK} reason")
    agent.done("setParent", ticket=child["id"], parent=own["id"])
    agent.done("transitionTicket", ticket=own["id"], status="in_progress", reason=f"{MARK} reason")
    for kind in ("RELATES", "BLOCKED_BY"):
        agent.done("linkTickets", ticket=own["id"], kind=kind, other=orphan["id"], reason=f"{MARK} reason")
    agent.done("unlinkTickets", ticket=own["id"], kind="BLOCKED_BY", other=orphan["id"], reason=f"{MARK} reason")
    comments = []
    for ticket, visibility, body in (
        (own, "PUBLIC", "Hello"),
        (own, "INTERNAL", f"{MARK} body"),
        (orphan, "PUBLIC", f"{MARK} body"),
    ):
        agent.done("addComment", ticket=ticket["id"], visibility=visibility, body=body, reason=f"{MARK} reason")
        shown = agent.ask("query($id: ID!) { ticket(id: $id) { comments(last: 1) { nodes { id } } } }", id=ticket["id"])
        comments.append(shown["comments"]["nodes"][0]["id"])
    files = []
    for ticket, visibility, name in ((own, "INTERNAL", f"{MARK}.txt"), (orphan, "PUBLIC", f"{MARK}.txt")):
        upload = uploaded(agent, MARK.encode())
        agent.done("attachFile", ticket=ticket["id"], upload=upload, name=name, visibility=visibility)
        shown = agent.ask("query($id: ID!) { ticket(id: $id) { attachments { nodes { id } } } }", id=ticket["id"])
        files.append(shown["attachments"]["nodes"][0]["id"])
    customer.done("addComment", ticket=own["id"], body="Thank you")
    clients = [
        admin.done("addClient", "client { id }", name=name, language="en", currency="EUR", timeZone="UTC")["id"]
        for name in ("Ours", f"{MARK} client")
    ]
    admin.done("addContact", "client { id }", client=clients[0], person=customer.person)
    contract, other = (
        admin.done("agreeContract", "contract { id }", client=client, name=name, appliesFrom="2026-01-01", terms=TERMS)
        for client, name in zip(clients, ("Our contract", f"{MARK} contract"), strict=True)
    )
    prepaid = admin.done(
        "agreeContract",
        "contract { id }",
        client=clients[1],
        name=f"{MARK} prepaid",
        appliesFrom="2026-01-01",
        terms={"kind": "PREPAID", "currency": "EUR"},
    )
    grant = {"contract": prepaid["id"], "seconds": 60, "validFrom": "2026-01-01", "price": "1"}
    package = admin.done("grantHours", "contract { hourPackages { id } }", **grant)["hourPackages"][0]["id"]
    sold = {"contract": prepaid["id"], "hourPackage": package, "ticket": own["id"]}
    invoice = admin.done("issueInvoice", "document { id }", **sold)
    paid = {"document": invoice["id"], "amount": "1", "paidOn": "2026-01-01", "note": f"{MARK} note"}
    payment = admin.done("recordPayment", "document { payments { id } }", **paid)["payments"][0]["id"]
    work = {"ticket": orphan["id"], "startedAt": "2026-01-01T00:00:00Z", "seconds": 60, "comment": f"{MARK} work"}
    saved = {"name": f"{MARK} view", "definition": {}, "shared": True}
    others = [
        agent.done("logWork", "workEntry { id }", **work),
        admin.done("saveView", "view { id }", **saved),
        admin.done("defineRepository", "repository { id }", key="vault", name=f"{MARK} repository"),
        token(elsewhere, Scope.ADMIN).done("addService", "service { id }", key="vault", name=f"{MARK} service"),
        admin.done("defineWebhook", "webhook { id }", url="https://example.org", description=MARK),
    ]
    for ticket, text in ((own, "Own"), (orphan, MARK)):
        agent.done("requestEstimate", ticket=ticket["id"], about=f"{text} about")
        shown = "ticket { estimates { id questions { id } } }"
        asked = agent.done("askEstimateQuestion", shown, ticket=ticket["id"], text=f"{text} question")["estimates"][0]
        agent.done("giveEstimate", ticket=ticket["id"], leastSeconds=60, note=f"{text} note")
    hidden = [
        event["id"]
        for event in agent.ask("{ events(first: 100) { nodes { id data changes { to } } } }")["nodes"]
        if MARK in str(event)
    ]
    return Scene(
        customer=customer,
        agent=agent,
        own=[own["id"], comments[0], customer.person, contract["id"], clients[0]],
        foreign=[
            parent["id"],
            child["id"],
            orphan["id"],
            *comments[1:],
            *files,
            *hidden[:2],
            stranger["id"],
            team["id"],
            clients[1],
            other["id"],
            prepaid["id"],
            invoice["id"],
            package,
            payment,
            asked["id"],
            asked["questions"][0]["id"],
            *(one["id"] for one in others),
            uploaded(agent, MARK.encode()),
            encode(Kind.WORKSPACE, elsewhere.id),
        ],
        keys=[parent["key"], own["key"], MARK],
        contract=contract["id"],
    )


def tells(scene: Scene, answer: Any) -> str | None:
    """What of the marked things an answer tells: a text, or an id."""
    text = str(answer)
    uuids = [decode(id_, kind) for id_ in scene.foreign for kind in Kind if _is(id_, kind)]
    secrets = [MARK, *scene.foreign, *map(str, uuids)]
    return next((secret for secret in secrets if secret in text), None)


def _is(id_: str, kind: Kind) -> bool:
    try:
        return isinstance(decode(id_, kind), UUID)
    except Exception:
        return False


def test_what_is_marked_is_there_for_staff(scene: Scene) -> None:
    """Else the rest would prove nothing."""
    told = [scene.agent.send(f"{{ {query} }}") for query in queries("Query", scene.foreign[:1], scene.keys[:1])]
    assert sum(MARK in str(answer) for answer in told) > len(told) // 4


def test_no_query_tells_a_requester_what_is_foreign_or_internal(scene: Scene) -> None:
    assert {parse(id_)[0] for id_ in scene.foreign} == set(Kind), "of each kind there is one to be asked for"
    ids = [*scene.own, *scene.foreign]
    answered: set[str] = set()
    for query in queries("Query", ids, scene.keys):
        answer = scene.customer.send(f"{{ {query} }}")
        codes = [error["extensions"]["code"] for error in answer.get("errors", [])]
        assert "INTERNAL" not in codes, (query, answer)
        assert "COMPLEXITY_LIMIT" not in codes, query
        assert tells(scene, answer.get("data")) is None, (query, tells(scene, answer["data"]), answer["data"])
        # An error may repeat what was asked, and no more.
        told = tells(scene, answer.get("errors"))
        assert told is None or told in query, (query, answer["errors"])
        if not codes or set(codes) == {"FORBIDDEN"}:  # not asked in vain
            answered.add(re.split(r"\W|_\d", query)[0])
    assert answered == set(fields_of("Query"))


@pytest.mark.parametrize("as_of", ["position", "occurredAt"])
def test_the_past_tells_no_more(scene: Scene, as_of: str) -> None:
    head = scene.agent.ask("{ status { head } }")["head"]
    moment = f'{{position: "{head}"}}' if as_of == "position" else '{occurredAt: "2030-01-01T00:00:00Z"}'
    for name, field in fields_of("Query").items():
        if "asOf" in field.args:
            id_ = scene.contract if "contract" in field.args else scene.own[0]
            named = {"ticket": f'id: "{id_}", ', "boardCell": 'column: "in_progress", '}.get(name) or "".join(
                f"{argument}: {value}, " for argument, value in needed(field, id_).items()
            )
            named += "first: 5, " if "first" in field.args else ""
            for selected in selections(field):
                answer = scene.customer.send(f"{{ {name}({named}asOf: {moment}) {selected} }}")
                codes = [error["extensions"]["code"] for error in answer.get("errors", [])]
                assert codes == (["FORBIDDEN"] if name in FOR_STAFF else []), (name, selected, answer)
                assert tells(scene, answer["data"]) is None, (name, selected, answer["data"])


def test_no_command_tells_a_requester_whether_a_foreign_thing_is_there(scene: Scene) -> None:
    """What is foreign is answered as what was never there."""
    nothing = {
        kind: encode(kind, UUID(int=7)) for kind in (Kind.TICKET, Kind.PERSON, Kind.TEAM, Kind.COMMENT, Kind.ATTACHMENT)
    }

    def answers(id_: str) -> dict[str, str]:
        return {
            name: re.sub(r"[0-9a-f]{16,}", "…", str(scene.customer.send(command)).replace(id_, "…"))
            for name, command in mutations(id_)
        }

    for kind, absent in nothing.items():
        expected = answers(absent)
        for id_ in scene.foreign:
            if _is(id_, kind):
                told = answers(id_)
                assert told == expected
                assert MARK not in str(told)


def test_no_subscription_tells_a_requester_what_is_foreign_or_internal(scene: Scene, live: Served) -> None:
    named = {"ticketChanged": f'ticket: "{scene.own[0]}", ', "balanceChanged": f'contract: "{scene.contract}", '}
    last = scene.customer.done("addComment", ticket=scene.own[0], body="Goodbye")["position"]
    for name, field in fields_of("Subscription").items():
        for n, selected in enumerate(selections(field)):
            asked = f'subscription {{ {name}({named.get(name, "")}afterPosition: "0") {selected} }}'
            with opened(live.socket, scene.customer.secret) as socket:
                told = socket.subscribe(asked, str(n))
                if name in FOR_COLLEAGUES:
                    with pytest.raises(Ended) as ended:
                        told.next()
                    assert "FORBIDDEN" in str(ended.value)
                    assert tells(scene, ended.value) is None
                    continue
                for answer in told:
                    assert tells(scene, answer) is None, (name, selected, answer)
                    if answer["position"] == last or name in TOLD_AT_ONCE:
                        break
