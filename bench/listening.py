"""Subscribers over graphql-transport-ws, in a process of their own: `python -m bench.listening`.

Told by a line of JSON; says `idle` when the idle ones are there, waits for a line, then adds the active ones, sends
commands, and says what was heard.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

PROTOCOL = Subprotocol("graphql-transport-ws")
TOGETHER = 50
"""Sockets that are opened at once."""
PATIENCE = 60.0

IDLE = 'subscription($ticket: ID!) { ticketChanged(ticket: $ticket, afterPosition: "0") { position } }'
COMMAND = "mutation($input: SetPriorityInput!) { setPriority(input: $input) { position userErrors { message } } }"
PRIORITIES = ("HIGH", "LOW")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """`tokens`: of each idle and then each active subscriber. `tickets`: the first half stands still, idle ones listen
    to one of them. `query` begins after the position `after`. `changes`: a second. `round`: each changes what the one
    before has left."""

    port: int
    tokens: list[str]
    idle: int
    active: int
    query: str
    after: str
    tickets: list[str]
    changes: float
    seconds: float
    round: int


class Heard(msgspec.Struct, frozen=True):
    """From when a command was sent until a subscriber was told, of each command and active subscriber.
    `processor_share`: of one core, that this process used meanwhile."""

    milliseconds: list[float]
    processor_share: float


class Subscriber:
    """One socket with one subscription. `told`: when it was told up to which position."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.told: list[tuple[int, float]] = []

    async def begin(self, token: str, query: str, **variables: Any) -> None:
        """Returns once the server listens: when it has told the last of what was before."""
        await self._send(type="connection_init", payload={"Authorization": f"Bearer {token}"})
        assert (await self._receive())["type"] == "connection_ack"
        await self._send(type="subscribe", id="1", payload={"query": query, "variables": variables})
        while (message := await self._receive())["type"] != "next":
            assert message["type"] == "ping", message
            await self._send(type="pong")

    async def listen(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "ping":
                await self._send(type="pong")
            elif message["type"] != "pong":
                at = time.perf_counter()
                [row] = message["payload"]["data"].values()
                self.told.append((int(row["position"]), at))

    async def _send(self, **message: Any) -> None:
        await self._connection.send(msgspec.json.encode(message).decode())

    async def _receive(self) -> Any:
        return msgspec.json.decode(await self._connection.recv())


async def _open(
    stack: AsyncExitStack, order: Order, numbers: Sequence[int], query: str, variables: Callable[[int], dict[str, Any]]
) -> list[Subscriber]:
    opened: list[Subscriber] = []

    async def one(number: int) -> None:
        address = f"ws://127.0.0.1:{order.port}/graphql"
        connection = await stack.enter_async_context(
            connect(address, subprotocols=[PROTOCOL], compression=None, ping_interval=None, open_timeout=PATIENCE)
        )
        subscriber = Subscriber(connection)
        await subscriber.begin(order.tokens[number], query, **variables(number))
        opened.append(subscriber)

    for first in range(0, len(numbers), TOGETHER):
        await asyncio.gather(*map(one, numbers[first : first + TOGETHER]))
    return opened


async def _run(order: Order, ready: Callable[[], Awaitable[None]]) -> Heard:
    async with AsyncExitStack() as stack:
        still, moving = order.tickets[: len(order.tickets) // 2], order.tickets[len(order.tickets) // 2 :]
        idle = await _open(stack, order, range(order.idle), IDLE, lambda number: {"ticket": still[number % len(still)]})
        listening = [asyncio.create_task(subscriber.listen()) for subscriber in idle]
        await ready()
        numbers = range(order.idle, order.idle + order.active)
        active = await _open(stack, order, numbers, order.query, lambda _: {"after": order.after})
        listening += [asyncio.create_task(subscriber.listen()) for subscriber in active]
        started, used = time.perf_counter(), time.process_time()
        sent = await _command(order, moving)
        share = (time.process_time() - used) / (time.perf_counter() - started)
        last = max(sent)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and any(not one.told or one.told[-1][0] < last for one in active):
            for task in listening:
                if task.done():
                    task.result()
            await asyncio.sleep(0.01)
        for task in listening:
            task.cancel()
        return Heard([taken for one in active for taken in _taken(sent, one.told)], share)


def _taken(sent: dict[int, float], told: list[tuple[int, float]]) -> list[float]:
    """In milliseconds; a change of a board that tells of several commands tells of each. What was not told counts as
    all of the patience."""
    found: list[float] = []
    waiting = sorted(sent)
    for position, at in told:
        while waiting and waiting[0] <= position:
            found.append((at - sent[waiting.pop(0)]) * 1000)
    return [*found, *(PATIENCE * 1000 for _ in waiting)]


async def _command(order: Order, tickets: Sequence[str]) -> dict[int, float]:
    """When the command was sent that came to stand at a position."""
    reader, writer = await asyncio.open_connection("127.0.0.1", order.port)
    sent: dict[int, float] = {}
    started = time.perf_counter()
    for number in range(max(2, int(order.seconds * order.changes))):
        await asyncio.sleep(started + number / order.changes - time.perf_counter())
        ticket = tickets[number % len(tickets)]
        priority = PRIORITIES[(order.round + number // len(tickets)) % 2]
        body = msgspec.json.encode({"query": COMMAND, "variables": {"input": {"ticket": ticket, "priority": priority}}})
        head = (
            f"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1:{order.port}\r\nAuthorization: Bearer {order.tokens[0]}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        at = time.perf_counter()
        writer.write(head.encode() + body)
        length = 0
        while (line := await reader.readline()).strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        answer = msgspec.json.decode(await reader.readexactly(length))
        payload = answer["data"]["setPriority"]
        assert payload["userErrors"] == [], payload
        if int(payload["position"]) > max(sent, default=int(order.after) + 1):  # else it had that priority before
            sent[int(payload["position"])] = at
    writer.close()
    return sent


async def _ready() -> None:
    sys.stdout.buffer.write(b"idle\n")
    sys.stdout.buffer.flush()
    await asyncio.to_thread(sys.stdin.buffer.readline)


if __name__ == "__main__":
    ordered = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    heard = asyncio.run(_run(ordered, _ready))
    sys.stdout.buffer.write(msgspec.json.encode(heard))
