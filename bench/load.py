"""Load over HTTP, from a process of its own: `python -m bench.load`, told and answering as JSON.

It speaks just enough HTTP to be no bottleneck: a request is one write of bytes made before, an answer is its length.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median

import msgspec

from bench.figures import percentile


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One connection per list of bodies, which it sends one after another, again and again, each after the last answer.
    `expected`: what every answer must hold."""

    port: int
    path: str
    token: str
    bodies: list[list[str]]
    warm_seconds: float
    seconds: float
    expected: str


class Taken(msgspec.Struct, frozen=True):
    """`milliseconds`: of each answer, in the order in which they came. `answers`: of warming up, too."""

    milliseconds: list[float]
    seconds: float
    answers: int

    @property
    def rate(self) -> float:
        return len(self.milliseconds) / self.seconds

    @property
    def p50(self) -> float:
        return median(self.milliseconds)

    @property
    def p99(self) -> float:
        return percentile(self.milliseconds, 99)


def load(order: Order) -> Taken:
    """Raises RuntimeError where an answer was not as expected."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        cwd=Path(__file__).parents[1],
        input=msgspec.json.encode(order),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode())
    return msgspec.json.decode(done.stdout, type=Taken)


class Caller(asyncio.Protocol):
    def __init__(self, order: Order, bodies: Sequence[str], taken: list[float], over: "asyncio.Future[None]") -> None:
        self._requests = [_request(order, body) for body in bodies]
        self._expected = order.expected.encode()
        self._taken, self._over = taken, over
        self._next, self._sent = 0, 0.0
        self._chunks: list[bytes] = []
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        if not self._chunks:
            self._missing = _length(data)
        self._chunks.append(data)
        self._missing -= len(data)
        if self._missing > 0:
            return
        self._taken.append((time.perf_counter() - self._sent) * 1000)
        answer = b"".join(self._chunks)
        self._chunks.clear()
        if not answer.startswith(b"HTTP/1.1 200") or self._expected not in answer:
            self._fail(f"An answer was not as expected: {answer[:2000].decode(errors='replace')}")
        elif not self._over.done():
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"The server closed the connection: {exc}")

    def _send(self) -> None:
        request = self._requests[self._next % len(self._requests)]
        self._next += 1
        self._sent = time.perf_counter()
        self._transport.write(request)

    def _fail(self, why: str) -> None:
        if not self._over.done():
            self._over.set_exception(RuntimeError(why))


def _request(order: Order, body: str) -> bytes:
    sent = body.encode()
    head = (
        f"POST {order.path} HTTP/1.1\r\nHost: 127.0.0.1:{order.port}\r\nAuthorization: Bearer {order.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n"
    )
    return head.encode() + sent


def _length(data: bytes) -> int:
    """Of the whole answer, whose head is in the first bytes that come."""
    head, end, _ = data.partition(b"\r\n\r\n")
    assert end, "a head in several parts"
    name = b"content-length:"
    [line] = [line for line in head.lower().split(b"\r\n") if line.startswith(name)]
    return len(head) + len(end) + int(line.removeprefix(name))


async def _run(order: Order) -> Taken:
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    taken: list[float] = []
    for bodies in order.bodies:
        await loop.create_connection(partial(Caller, order, bodies, taken, over), "127.0.0.1", order.port)
    await _unless_over(over, order.warm_seconds)
    before, started = len(taken), time.perf_counter()
    await _unless_over(over, order.seconds)
    while len(taken) == before and not over.done():  # one answer at least
        await _unless_over(over, order.seconds)
    seconds = time.perf_counter() - started
    if over.done():
        over.result()
    over.set_result(None)
    return Taken(taken[before:], seconds, len(taken))


async def _unless_over(over: "asyncio.Future[None]", seconds: float) -> None:
    try:
        await asyncio.wait_for(asyncio.shield(over), seconds)
    except TimeoutError:
        return


if __name__ == "__main__":
    ordered = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(_run(ordered))))
