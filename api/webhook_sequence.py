"""What one endpoint is told: one event after the other, each tried until it is taken or the endpoint is given up."""

import asyncio
import logging
import math
import random
import time
from collections import deque
from typing import TYPE_CHECKING

from msgspec.structs import replace

from api.webhook_messages import Message, of_event, of_test
from application.event_store.follower import Deposed
from application.webhook_sending import Answer
from domain.webhooks import DisabledBecause
from domain.workflows import NO_WORKFLOWS
from projections import directory, webhook_deliveries
from projections.rows import WebhookState
from projections.webhook_deliveries import Attempt, Cursor, Endpoint, Told

if TYPE_CHECKING:
    from api.webhook_delivery import Hub

log = logging.getLogger(__name__)

JITTER = 0.1
"""Of a pause, at most, that is added to it: those who failed together do not come again together."""
BATCH = 50
UNWRITTEN = 5_000
"""Positions that may be passed over, as not wanted, before that is written down."""
FAILURE_SECONDS = 1.0
"""After a failure of ours."""
GONE = 410


class Sequence:
    """Of one endpoint. `run` ends when it is stopped; all else belongs to the same event loop."""

    def __init__(self, hub: "Hub", endpoint: Endpoint) -> None:
        self._hub = hub
        self.endpoint = endpoint
        self.awake = asyncio.Event()
        self._cursor = endpoint.cursor
        self._due = time.monotonic() + endpoint.next_in
        self._stopping = False
        self._forget()

    def _forget(self) -> None:
        """What was read ahead is read again."""
        self._ahead: deque[Told] = deque()
        self._looked = self._cursor.position
        self._workflows = NO_WORKFLOWS

    @property
    def state(self) -> WebhookState:
        if self.endpoint.webhook.disabled is not None:
            return WebhookState.DISABLED
        return WebhookState.FAILING if self._cursor.failing else WebhookState.ENABLED

    def stop(self) -> None:
        self._stopping = True
        self.awake.set()

    def redefine(self, endpoint: Endpoint) -> None:
        """Another address, or one that was enabled, has its chance at once."""
        before, after = self.endpoint.webhook, endpoint.webhook
        self.endpoint = endpoint
        if before == after:
            return
        if after.url != before.url or (before.disabled is not None and after.disabled is None):
            self._due = 0.0
        self._forget()
        self.awake.set()

    async def run(self) -> None:
        """Raises Deposed."""
        while not self._stopping:
            self.awake.clear()
            try:
                if await self._step():
                    continue
                waits = self._due and self.endpoint.webhook.disabled is None
                pause = self._due - time.monotonic() if waits else math.inf
            except Deposed:
                raise
            except Exception:
                log.exception("webhook %s was not told; trying again", self.endpoint.id)
                pause = FAILURE_SECONDS
            await self._wait(pause)

    async def _wait(self, seconds: float) -> None:
        """Until there may be something to do, and no longer than that."""
        try:
            async with asyncio.timeout(max(seconds, 0) if seconds < math.inf else None):
                await self.awake.wait()
        except TimeoutError:
            pass

    async def _step(self) -> bool:
        """False where there is nothing to do now."""
        webhook, cursor = self.endpoint.webhook, self._cursor
        if cursor.tests < webhook.tests:
            await self._test()
            return True
        if cursor.replays < webhook.replays:
            await self._go_back()
            return True
        if webhook.disabled is not None or time.monotonic() < self._due:
            return False
        self._due = 0.0
        told = await self._next()
        if told is None:
            return False
        await self._tell(told)
        return True

    async def _next(self) -> Told | None:
        until = self._hub.stand.position
        after = max(self._looked, self._cursor.position)
        if not self._ahead and after < until:
            endpoint, view = self.endpoint, self._hub.view(self.endpoint.workspace)
            found = await webhook_deliveries.wanted(view, endpoint.webhook, after, until, BATCH)
            workflows = await directory.workflows(view) if found else NO_WORKFLOWS
            if endpoint is not self.endpoint:  # it was defined anew meanwhile
                return None if self._stopping else await self._next()
            self._ahead.extend(found)
            self._workflows = workflows
            self._looked = found[-1].event.position if len(found) == BATCH else until
            if not found and until - self._cursor.position > UNWRITTEN:
                await self._record(None, replace(self._cursor, position=until))
        return self._ahead[0] if self._ahead else None

    async def _tell(self, told: Told) -> None:
        endpoint, cursor = self.endpoint, self._cursor
        message = of_event(told, self._workflows)
        answer = await self._hub.send(endpoint, message)
        attempts = cursor.attempts + 1
        if answer.trouble is None:
            self._due = 0.0
            after = replace(cursor, position=told.event.position, attempts=0, failing=False, delivery=None)
            await self._record(_attempt(message, answer, attempts, cursor.delivery), after)
            if self._ahead and self._ahead[0] is told:
                self._ahead.popleft()
            return
        pause = self._pause(answer, attempts)
        if pause is None:
            because = DisabledBecause.GONE if answer.status == GONE else DisabledBecause.FAILING
            await self._hub.give_up(endpoint, because)
        if endpoint.webhook.url == self.endpoint.webhook.url:  # else the new one has its chance at once
            self._due = math.inf if pause is None else time.monotonic() + pause
        after = replace(cursor, attempts=0 if pause is None else attempts, failing=True)
        await self._record(_attempt(message, answer, attempts, cursor.delivery, pause), after)

    def _pause(self, answer: Answer, attempts: int) -> float | None:
        """Seconds until the next attempt; None: there is none."""
        schedule = self._hub.settings.schedule
        if answer.status == GONE or attempts > len(schedule):
            return None
        pause = schedule[attempts - 1]
        return max(pause * (1 + random.random() * JITTER), answer.retry_after)  # noqa: S311 - no secret

    async def _test(self) -> None:
        """Beside the sequence, and once. If it is taken, what waits for its next attempt has it now."""
        endpoint, tests = self.endpoint, self.endpoint.webhook.tests
        message = of_test(endpoint.id, tests)
        answer = await self._hub.send(endpoint, message)
        if answer.trouble is None and self._due < math.inf:
            self._due = 0.0
        await self._record(_attempt(message, answer, 1, None), replace(self._cursor, tests=tests))

    async def _go_back(self) -> None:
        """What lies ahead anyway is not passed over."""
        webhook, cursor = self.endpoint.webhook, self._cursor
        position = min(cursor.position, webhook.replay_from - 1)
        self._due = 0.0
        await self._record(None, replace(cursor, position=position, attempts=0, delivery=None, replays=webhook.replays))
        self._forget()

    async def _record(self, attempt: Attempt | None, cursor: Cursor) -> None:
        due = self._due - time.monotonic()
        self._cursor = await self._hub.record(self.endpoint, attempt, cursor, due if 0 < due < math.inf else None)


def _attempt(
    message: Message, answer: Answer, attempts: int, delivery: int | None, next_in: float | None = None
) -> Attempt:
    return Attempt(
        message=message.id,
        type=message.type,
        position=message.position,
        delivered=answer.trouble is None,
        attempts=attempts,
        status=answer.status,
        trouble=answer.trouble,
        seconds=answer.seconds,
        delivery=delivery,
        next_in=next_in,
    )
