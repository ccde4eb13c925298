"""A body that nobody read: a request may be refused before. A server that then closes the connection takes the refusal
back, since what is still on its way is answered by a reset; so the rest is read first, as far as that is sensible."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, Message, Receive, Scope, Send

DRAINED_BYTES = 1_000_000
DRAINED_SECONDS = 2.0


class Drained:
    """ASGI middleware. Where the rest is too long, or too slow, the answer says that the connection ends with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        ended = False

        async def take() -> HTTPReceiveMessage:
            nonlocal ended
            message = cast(HTTPReceiveMessage, await receive())
            ended = message["type"] == "http.disconnect" or not message["more_body"]
            return message

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and not ended:
                await _drain(take)
                if not ended and scope["http_version"].startswith("1"):
                    MutableScopeHeaders.from_message(message)["Connection"] = "close"
            await send(message)

        await self._app(scope, take, answer)


async def _drain(receive: Callable[[], Awaitable[HTTPReceiveMessage]]) -> None:
    size = 0
    try:
        async with asyncio.timeout(DRAINED_SECONDS):
            while size < DRAINED_BYTES:
                message = await receive()
                if message["type"] == "http.disconnect" or not message["more_body"]:
                    return
                size += len(message["body"])
    except TimeoutError:
        return
