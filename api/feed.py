"""`GET /feed?after=POSITION`: the log as CloudEvents, one JSON object a line, for whoever keeps a copy of it.

A page ends after `limit` events; the next is asked for after the `sequence` of the last. With `wait`, an answer that
would be empty waits for what comes, so that nobody has to ask again and again.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

from litestar import Response, get
from litestar.exceptions import ClientException
from litestar.response import Stream

from api.exports.cloud_events import line
from api.http import AnyRequest, authenticated, token_digest
from api.runtime import Runtime
from projections import directory, timeline
from projections.reading import View

MEDIA_TYPE = "application/x-ndjson"
PAGE, PAGE_LIMIT = 100, 1_000
WAIT_LIMIT = 60
POLL_SECONDS = 0.05
_HEADERS = {"Cache-Control": "no-store"}


@get("/feed")
async def feed(request: AnyRequest) -> Response[Any]:
    """What the token may see, in order of position. Raises NotAuthorizedException, ClientException, TooManyStreams."""
    runtime: Runtime = request.app.state.runtime
    view = await authenticated(request.headers, runtime.models)
    unknown = request.query_params.keys() - {"after", "limit", "wait"}
    if unknown:
        raise ClientException(f"The feed takes after, limit and wait, not {min(unknown)[:40]!r}.")
    after = _number(request, "after", 0, 0, 2**63 - 1)
    limit = _number(request, "limit", PAGE, 1, PAGE_LIMIT)
    wait = _number(request, "wait", 0, 0, WAIT_LIMIT)
    if not wait:
        return Response(await _page(view, after, limit), headers=_HEADERS, media_type=MEDIA_TYPE)
    digest = token_digest(request.headers)
    runtime.connections.must_have_room(digest)
    # It begins at once, so that whoever waits takes no place from others.
    return Stream(_waiting(runtime, view, digest, after, limit, wait), headers=_HEADERS, media_type=MEDIA_TYPE)


def _number(request: AnyRequest, name: str, default: int, low: int, high: int) -> int:
    """Raises ClientException."""
    given = request.query_params.get(name)
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and len(given) < 20 and low <= int(given) <= high):
        raise ClientException(f"{name} is a whole number from {low} to {high}.")
    return int(given)


async def _page(view: View, after: int, limit: int) -> bytes:
    view.workflows_at = None
    known = await directory.workflows(view)
    found = await timeline.after(view, after, limit)
    return b"".join(line(event, number, view.actor.workspace, known) for event, number in found)


async def _waiting(
    runtime: Runtime, view: View, digest: bytes, after: int, limit: int, wait: float
) -> AsyncGenerator[bytes]:
    """Ends with what came, after `wait` seconds, with its token, or with the process."""
    ended = asyncio.Event()
    deadline = time.monotonic() + wait
    with runtime.connections.opened(lambda _: ended.set()) as stream:
        runtime.connections.belongs(stream, digest)
        while True:
            stand = runtime.feed.position  # before the page is read: what comes meanwhile is looked at again
            page = await _page(view, after, limit)
            if page:
                yield page
                return
            while runtime.feed.position == stand:
                if ended.is_set() or time.monotonic() > deadline:
                    return
                await asyncio.sleep(POLL_SECONDS)
