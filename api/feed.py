"""`GET /feed?after=POSITION`: the log as CloudEvents, one JSON object a line, for whoever keeps a copy of it.

A page ends after `limit` events; the next is asked for after the `sequence` of the last. With `wait`, an answer that
would be empty waits for what comes, so that nobody has to ask again and again.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

from litestar import Response, get
from litestar.exceptions import ClientException, NotAuthorizedException
from litestar.response import Stream

from api.connections import Ending
from api.context import Context
from api.exports.cloud_events import line
from api.http import AnyRequest, context_of, token_digest
from api.runtime import Runtime
from application.privacy.reads import Way
from projections import directory, timeline
from projections.filters import EventFilter
from projections.live import Closed, Events

MEDIA_TYPE = "application/x-ndjson"
PAGE, PAGE_LIMIT = 100, 1_000
WAIT_LIMIT = 60
_HEADERS = {"Cache-Control": "no-store"}


@get("/feed")
async def feed(request: AnyRequest) -> Response[Any]:
    """What the token may see, in order of position. Raises NotAuthorizedException, ClientException, TooManyStreams,
    StoreUnavailable."""
    runtime: Runtime = request.app.state.runtime
    context = await context_of(request.headers, runtime, request)
    unknown = request.query_params.keys() - {"after", "limit", "wait"}
    if unknown:
        raise ClientException(f"The feed takes after, limit and wait, not {min(unknown)[:40]!r}.")
    after = _number(request, "after", 0, 0, 2**63 - 1)
    limit = _number(request, "limit", PAGE, 1, PAGE_LIMIT)
    wait = _number(request, "wait", 0, 0, WAIT_LIMIT)
    if not wait:
        return Response(await _page(context, after, limit), headers=_HEADERS, media_type=MEDIA_TYPE)
    runtime.connections.must_have_room(token_digest(request.headers))
    # It begins at once, so that whoever waits takes no place from others.
    return Stream(_told(request, after, limit, wait), headers=_HEADERS, media_type=MEDIA_TYPE)


def _number(request: AnyRequest, name: str, default: int, low: int, high: int) -> int:
    """Raises ClientException."""
    given = request.query_params.get(name)
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and len(given) < 20 and low <= int(given) <= high):
        raise ClientException(f"{name} is a whole number from {low} to {high}.")
    return int(given)


async def _page(context: Context, after: int, limit: int) -> bytes:
    """Raises StoreUnavailable where it cannot be logged who reads it."""
    view = context.view
    found = await timeline.after(view, after, limit)
    view.workflows_at = None  # what an event stands on may have been defined since
    context.workflows = await directory.workflows(view)
    tickets = {ticket for event, _ in found for ticket in (event.ticket, event.about) if ticket is not None}
    await context.log_reads(tickets, Way.DOWNLOAD)
    return b"".join(line(event, number, view.actor.workspace, context.workflows) for event, number in found)


async def _told(request: AnyRequest, after: int, limit: int, wait: float) -> AsyncGenerator[bytes]:
    page = await _waited(request, after, limit, wait)
    if page:
        yield page


async def _waited(request: AnyRequest, after: int, limit: int, wait: float) -> bytes:
    """What comes; nothing after `wait` seconds, or when its token ends, or the process. Raises what `feed` does."""
    runtime: Runtime = request.app.state.runtime
    deadline = asyncio.get_running_loop().time() + wait

    def end(_: Ending) -> None:
        if not waiting.expired():
            waiting.reschedule(0)

    with suppress(TimeoutError, Closed, NotAuthorizedException):
        async with asyncio.timeout(None) as waiting:
            with runtime.connections.opened(end) as stream:
                runtime.connections.belongs(stream, token_digest(request.headers))
                while not (page := await _next_page(request, after, limit, waiting, deadline)):
                    pass
                return page
    return b""


async def _next_page(request: AnyRequest, after: int, limit: int, waiting: asyncio.Timeout, deadline: float) -> bytes:
    """What is there; where nothing is, nothing, once something came that may be seen. Waits no longer than until the
    deadline, in the event loop's time, and reads what came to the end."""
    runtime: Runtime = request.app.state.runtime
    context = await context_of(request.headers, runtime, request)  # its token may have ended meanwhile
    topic, wanted = _ALL.topic(context.actor), _ALL.wanted(context.actor)
    async with runtime.feed.subscribed(topic, wanted) as subscriber:
        subscriber.begin()  # before the page is read: what comes meanwhile is looked at again
        page = await _page(context, after, limit)
        if not page:
            waiting.reschedule(deadline)
            await subscriber.heard()
            waiting.reschedule(None)
        return page


_ALL = Events(EventFilter())
