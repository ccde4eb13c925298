"""What subscribers are told is worked out once for all who ask the same with the same rights, and for nobody else."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, aclosing
from typing import Any

import msgspec
import pytest

from api import live_answers
from api.http import context_of
from api.live_answers import Answer, subscribed
from api.rows import Plan
from api.runtime import Runtime
from api.schema import schema
from application.workspaces import Workspace
from domain.access import Scope
from tests.api.asking import Client
from tests.api.conftest import Server

WAIT = 20.0
EVENTS = "subscription($after: Position) { events(afterPosition: $after) { position type ticket { key } } }"
TICKET = """subscription($ticket: ID!, $after: Position) { ticketChanged(ticket: $ticket, afterPosition: $after) {
  position type reason changes { path to }
  ticket { commentCount requester { email } comments { nodes { body visibility } } }
} }"""
BOARD = """subscription($after: Position) { boardChanged(afterPosition: $after) {
  position changed { key commentCount comments { nodes { body visibility } } } gone
} }"""
TIMER = "subscription($after: Position) { timerChanged(afterPosition: $after) { ticket { key } comment } }"
WHAT_I_CAN = """subscription($ticket: ID!, $after: Position) { ticketChanged(ticket: $ticket, afterPosition: $after) {
  position ticket { comments { nodes { viewerCan } } }
} }"""
PLACE_USED_TWICE = """subscription($after: Position) { events(afterPosition: $after) {
  position ticket { history(afterPosition: $after) { nodes { position } } }
} }"""


class Stream:
    """Takes one answer more than the test asks for; the rest waits for it."""

    def __init__(self, answers: AsyncGenerator[Answer]) -> None:
        self._answers: asyncio.Queue[Answer] = asyncio.Queue(1)
        self._taking = asyncio.create_task(self._take(answers))

    async def _take(self, answers: AsyncGenerator[Answer]) -> None:
        async with aclosing(answers):
            async for answer in answers:
                await self._answers.put(answer)

    async def close(self) -> None:
        self._taking.cancel()
        await asyncio.wait({self._taking})

    async def answer(self) -> Answer:
        async with asyncio.timeout(WAIT):
            return await self._answers.get()

    async def next(self) -> Any:
        """What the root field holds."""
        answer = await self.answer()
        assert not answer.last, answer.text
        return next(iter(msgspec.json.decode(answer.text)["data"].values()))


class Audience:
    """Subscribers in one process."""

    def __init__(self, runtime: Runtime, leaving: AsyncExitStack) -> None:
        self._runtime, self._leaving = runtime, leaving

    async def listens(self, streams: int) -> None:
        """Once so many have read what was before: who still does is told by itself."""
        async with asyncio.timeout(WAIT):
            while self._runtime.groups.listening != streams:  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    async def subscribe(self, client: Client, query: str, **variables: Any) -> Stream:
        context = await context_of({"authorization": f"Bearer {client.secret}"}, self._runtime)
        answers = subscribed(schema, context, query, variables, None)
        stream = Stream(answers)
        self._leaving.push_async_callback(stream.close)
        return stream


Listen = Callable[[Callable[[Audience], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def listen(server: Server) -> Listen:
    def run(listening: Callable[[Audience], Coroutine[Any, Any, None]]) -> None:
        async def audience() -> None:
            runtime = Runtime(server.database, "https://tickets.example", server.files)
            async with runtime, AsyncExitStack() as leaving:
                await listening(Audience(runtime, leaving))

        asyncio.run(audience())

    return run


def doing(client: Client, command: str, **input: Any) -> Awaitable[Any]:
    return asyncio.to_thread(client.done, command, **input)


async def heard(*streams: Stream) -> list[Answer]:
    """The next answer of each, waited for together."""
    return list(await asyncio.gather(*(stream.answer() for stream in streams)))


@pytest.fixture
def colleague(acme: Workspace, token: Callable[..., Client]) -> Client:
    return token(acme, Scope.AGENT, name="Colleague")


@pytest.fixture
def start(agent: Client) -> str:
    position: str = agent.open()["position"]
    agent.wait_for(int(position))
    return position


def test_those_with_the_same_scopes_share_an_answer(
    listen: Listen, agent: Client, colleague: Client, start: str
) -> None:
    async def listening(audience: Audience) -> None:
        mine = await audience.subscribe(agent, EVENTS, after=start)
        theirs = await audience.subscribe(colleague, EVENTS, after=start)
        await audience.listens(2)
        await doing(agent, "openTicket", title="New", role="TASK")
        one, other = await heard(mine, theirs)
        assert one is other

    listen(listening)


def test_those_with_other_scopes_do_not(
    listen: Listen, agent: Client, admin: Client, acme: Workspace, token: Callable[..., Client]
) -> None:
    """Only who administers hears how the workspace is connected to others, though all ask the same."""
    auditor = token(acme, Scope.AUDITOR, name="Auditor")
    start = agent.open()["position"]
    agent.wait_for(int(start))

    async def listening(audience: Audience) -> None:
        streams = [await audience.subscribe(client, EVENTS, after=start) for client in (agent, admin, auditor)]
        await audience.listens(3)
        await asyncio.to_thread(
            admin.done, "defineWebhook", "webhook { id }", url="https://example.com/", types=["TicketOpened"]
        )
        await doing(agent, "openTicket", title="New", role="TASK")
        told = [await stream.next() for stream in streams]
        assert [event["type"] for event in told] == ["TicketOpened", "WebhookDefined", "WebhookDefined"]

    listen(listening)


@pytest.mark.parametrize("past", [False, True], ids=["live", "past"])
def test_a_requester_never_gets_what_colleagues_get_who_ask_the_same(
    listen: Listen, agent: Client, colleague: Client, claire: Client, start: str, past: bool
) -> None:
    ticket = agent.open(requester=claire.person)
    agent.wait_for(int(ticket["position"]))
    asked: dict[str, Any] = {"after": ticket["position"]}

    def work() -> None:
        agent.done("addComment", ticket=ticket["id"], body="Never pays", visibility="INTERNAL")
        agent.done("addComment", ticket=ticket["id"], body="Hello", visibility="PUBLIC", reason="To calm down")

    async def listening(audience: Audience) -> None:
        if past:
            await asyncio.to_thread(work)
        staff = [await audience.subscribe(one, TICKET, ticket=ticket["id"], **asked) for one in (agent, colleague)]
        theirs = await audience.subscribe(claire, TICKET, ticket=ticket["id"], **asked)
        board = await audience.subscribe(claire, BOARD, **asked)
        boards = [await audience.subscribe(one, BOARD, **asked) for one in (agent, colleague)]
        if not past:
            await audience.listens(6)
            await asyncio.to_thread(work)
        answers, told, change, changes = (
            await heard(*staff),
            await theirs.next(),
            await board.next(),
            await heard(*boards),
        )
        public = {"body": "Hello", "visibility": "PUBLIC"}
        assert (told["type"], told["reason"]) == ("CommentAdded", None)
        assert told["ticket"] == {"commentCount": 1, "requester": {"email": None}, "comments": {"nodes": [public]}}
        assert [(one["commentCount"], one["comments"]["nodes"]) for one in change["changed"]] == [(1, [public])]
        assert all("Never pays" in answer.text for answer in [*answers, *changes])

    listen(listening)


def test_what_depends_on_the_person_is_told_to_each_by_itself(
    listen: Listen, agent: Client, colleague: Client, start: str
) -> None:
    ticket = agent.open()

    async def listening(audience: Audience) -> None:
        asked = {"ticket": ticket["id"], "after": ticket["position"]}
        both = [await audience.subscribe(one, WHAT_I_CAN, **asked) for one in (agent, colleague)]
        for n in range(1, 3):  # the second time it is known that the answer depends on the person
            await audience.listens(2)
            await doing(agent, "addComment", ticket=ticket["id"], body=f"№ {n}")
            mine, theirs = [await stream.next() for stream in both]
            assert mine["position"] == theirs["position"]
            assert [one["viewerCan"] for one in mine["ticket"]["comments"]["nodes"]] == [
                ["editComment", "withdrawComment"]
            ] * n
            assert [one["viewerCan"] for one in theirs["ticket"]["comments"]["nodes"]] == [[]] * n
        later = await audience.subscribe(colleague, WHAT_I_CAN, **asked)
        assert await later.next()

    listen(listening)


def test_everybody_hears_of_their_own_timer(listen: Listen, agent: Client, colleague: Client, start: str) -> None:
    ticket = agent.open()

    async def listening(audience: Audience) -> None:
        mine, theirs = [await audience.subscribe(one, TIMER, after=start) for one in (agent, colleague)]
        await audience.listens(2)
        for one, comment in ((agent, "Mine"), (colleague, "Theirs")):
            await asyncio.to_thread(
                one.command, "startTimer", "timer { comment }", ticket=ticket["id"], comment=comment
            )
        assert [(await stream.next())["comment"] for stream in (mine, theirs)] == ["Mine", "Theirs"]

    listen(listening)


def test_answers_are_not_shared_where_they_depend_on_the_place_resumed_after(
    listen: Listen, agent: Client, colleague: Client, start: str
) -> None:
    ticket = agent.open()
    talk = agent.done("addComment", ticket=ticket["id"], body="Hm")
    agent.wait_for(int(talk["position"]))

    async def listening(audience: Audience) -> None:
        early = await audience.subscribe(agent, PLACE_USED_TWICE, after=ticket["position"])
        late = await audience.subscribe(colleague, PLACE_USED_TWICE, after=talk["position"])
        await early.next()
        await audience.listens(2)
        await doing(agent, "setPriority", ticket=ticket["id"], priority="LOW")
        told = [await stream.next() for stream in (early, late)]
        assert [len(event["ticket"]["history"]["nodes"]) for event in told] == [2, 1]

    listen(listening)


def test_rights_are_checked_with_every_event(listen: Listen, agent: Client, claire: Client, start: str) -> None:
    """Of a ticket that was handed to somebody else, she is told no more, and again when it is hers again."""
    ticket = agent.open(requester=claire.person)
    agent.wait_for(int(ticket["position"]))

    async def listening(audience: Audience) -> None:
        followed = await audience.subscribe(claire, TICKET, ticket=ticket["id"], after=ticket["position"])
        await audience.listens(1)
        await doing(agent, "setRequester", ticket=ticket["id"], requester=agent.person)
        await doing(agent, "addComment", ticket=ticket["id"], body="Not for Claire", visibility="PUBLIC")
        back = await doing(agent, "setRequester", ticket=ticket["id"], requester=claire.person)
        assert (await followed.next())["position"] == back["position"]

    listen(listening)


def test_who_takes_nothing_is_not_waited_for_and_reads_on_alone(
    listen: Listen, agent: Client, colleague: Client, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_answers, "BUFFER", 2)
    monkeypatch.setattr(live_answers, "PATIENCE_SECONDS", 0.05)
    ticket = agent.open()

    async def listening(audience: Audience) -> None:
        asked = {"after": ticket["position"]}
        quick, slow = [await audience.subscribe(one, EVENTS, **asked) for one in (agent, colleague)]
        await audience.listens(2)
        said = []
        for n in range(10):
            said.append((await doing(agent, "addComment", ticket=ticket["id"], body=f"№ {n}"))["position"])
            assert (await quick.next())["position"] == said[-1]
        assert [(await slow.next())["position"] for _ in said] == said
        await audience.listens(2)
        await doing(agent, "addComment", ticket=ticket["id"], body="Together again")
        one, other = await heard(quick, slow)
        assert one is other

    listen(listening)


def test_a_long_subscription_keeps_nothing_of_what_it_told(listen: Listen, agent: Client, start: str) -> None:
    ticket = agent.open()

    async def listening(audience: Audience) -> None:
        stream = await audience.subscribe(agent, EVENTS, after=ticket["position"])
        kept = []
        for n in range(6):
            await audience.listens(1)
            await doing(agent, "addComment", ticket=ticket["id"], body=f"№ {n}")
            await stream.next()
            gc.collect()
            kept.append(sum(isinstance(one, Plan) for one in gc.get_objects()))
        assert kept[-1] == kept[1]

    listen(listening)


def test_a_group_ends_with_its_last_member(listen: Listen, agent: Client, colleague: Client, start: str) -> None:
    async def listening(audience: Audience) -> None:
        async with AsyncExitStack() as leaving:
            both = Audience(audience._runtime, leaving)
            streams = [await both.subscribe(one, EVENTS, after=start) for one in (agent, colleague)]
            await audience.listens(2)
            assert groups() == 1
            await doing(agent, "openTicket", title="New", role="TASK")
            await heard(*streams)
        async with asyncio.timeout(WAIT):
            while groups():  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    listen(listening)


def groups() -> int:
    return sum(task.get_name() == live_answers.GROUP for task in asyncio.all_tasks())
