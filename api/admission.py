"""Who is let in when too many come: a bounded number of requests at once, and a rate for each token.

A request that is not let in costs no look into the database, and is told when to come again. One token may have half
of the places, so that nobody is shut out by one client that went wild.
"""

import hashlib
import math
import random
import time
from collections import Counter, OrderedDict

from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from api import errors, metrics
from api.settings import number

REQUESTS_VARIABLE = "PROTEUS_MAX_REQUESTS"
REQUESTS = 256
RATE_VARIABLE = "PROTEUS_TOKEN_RATE"
RATE = 500.0
"""Requests a second that one token may go on sending."""
BURST_SECONDS = 2.0
"""So much of its rate may come at once."""
KNOWN_TOKENS = 10_000
RETRY_SECONDS = 3
"""Those who are turned away come again spread over this time."""
ADMITTED = ("/health/", "/metrics", "/graphiql")
"""Paths that cost next to nothing, and must answer whatever happens."""


class Bucket:
    """`level`: how many requests may come at once, at the time `at` of the monotonic clock."""

    __slots__ = ("at", "level")

    def __init__(self, level: float, at: float) -> None:
        self.level = level
        self.at = at


class Rates:
    """A token bucket for each token; of those that were used last, for memory is bounded: who is forgotten is full."""

    def __init__(self, rate: float, burst: float, known: int = KNOWN_TOKENS) -> None:
        self._rate = rate
        self._burst = max(burst, 1.0)
        self._known = known
        self._buckets: OrderedDict[bytes, Bucket] = OrderedDict()

    def take(self, token: bytes, now: float) -> float:
        """Seconds until the token may send its next request; 0: now, and this one is counted."""
        bucket = self._buckets.get(token)
        if bucket is None:
            bucket = self._buckets[token] = Bucket(self._burst, now)
            if len(self._buckets) > self._known:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(token)
        bucket.level = min(self._burst, bucket.level + (now - bucket.at) * self._rate)
        bucket.at = now
        if bucket.level < 1:
            return (1 - bucket.level) / self._rate
        bucket.level -= 1
        return 0.0


class Admission:
    """ASGI middleware around every route. A request has its place until its answer begins, so that a long stream of
    events holds none. Raises BadSetting."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._places = int(number(REQUESTS_VARIABLE, REQUESTS, 1, 100_000))
        rate = number(RATE_VARIABLE, RATE, 0, 1_000_000)
        self._rates = Rates(rate, rate * BURST_SECONDS) if rate else None
        self._taken = 0
        self._taken_by: Counter[bytes] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["path"].startswith(ADMITTED):
            await self._app(scope, receive, send)
            return
        token = hashlib.blake2b(Headers.from_scope(scope).get("authorization", "").encode(), digest_size=16).digest()
        self._check(token)
        self._taken += 1
        self._taken_by[token] += 1
        metrics.REQUESTS_NOW.set(self._taken)
        placed = True

        def leave() -> None:
            nonlocal placed
            if placed:
                placed = False
                self._taken -= 1
                self._taken_by[token] -= 1
                if not self._taken_by[token]:
                    del self._taken_by[token]
                metrics.REQUESTS_NOW.set(self._taken)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                leave()
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            leave()

    def _check(self, token: bytes) -> None:
        """Raises RateLimited."""
        if self._taken >= self._places or self._taken_by[token] >= max(1, self._places // 2):
            metrics.TURNED_AWAY.labels("full").inc()
            raise errors.RateLimited("The server has all that it can do; try again.", random.randint(1, RETRY_SECONDS))  # noqa: S311
        wait = self._rates.take(token, time.monotonic()) if self._rates is not None else 0.0
        if wait:
            metrics.TURNED_AWAY.labels("rate").inc()
            raise errors.RateLimited("This token sends too many requests; slow down.", math.ceil(wait))
