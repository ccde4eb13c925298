"""Subscriptions over WebSockets (graphql-transport-ws) and as server-sent events (graphql-sse, distinct connections).

Strawberry's handler speaks the protocol of WebSockets; here is who may open one, how long it lasts and what a slow or
silent client gets.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import Any

import msgspec
from litestar import Response, WebSocket
from litestar.exceptions import WebSocketDisconnect
from litestar.types import Receive, Scope, Send
from strawberry.http.async_base_view import AsyncWebSocketAdapter
from strawberry.http.exceptions import NonJsonMessageReceived, NonTextMessageReceived, WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler

from api import errors
from api.connections import SILENT, SLOW, Connections, Ending, Stream, TooManyStreams
from api.context import Context
from api.limits import BODY_LIMIT
from api.live_answers import Answer, subscribed
from projections.live import Closed

SUBSCRIPTIONS_PER_SOCKET = 100
INIT_SECONDS = 10
SEND_SECONDS = 10.0
"""How long a client may leave lie what is sent to it."""
PING_SECONDS = 25.0
HEARTBEAT_SECONDS = 15.0
CLOSE_SECONDS = 1.0

AnySocket = WebSocket[Any, Any, Any]


class Connecting:
    """What strawberry's handler carries until the client has said who it is, and then its context."""

    def __init__(self, socket: AnySocket, stream: Stream) -> None:
        self.socket, self.stream = socket, stream
        self.connection_params: dict[str, object] = {}
        self.context: Context | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """Browsers cannot set headers on WebSockets: what the payload of `connection_init` says goes first."""
        said = {name.lower(): value for name, value in self.connection_params.items() if isinstance(value, str)}
        return {**self.socket.headers, **said}


class SocketAdapter(AsyncWebSocketAdapter):
    def __init__(self, view: Any, request: AnySocket, response: AnySocket) -> None:
        super().__init__(view)  # pyright: ignore[reportUnknownMemberType]
        self._socket = response

    async def iter_json(self, *, ignore_parsing_errors: bool = False) -> AsyncGenerator[object]:
        with suppress(WebSocketDisconnect):
            while True:
                text = await self._socket.receive_text()
                if not text:
                    raise NonTextMessageReceived
                if len(text) > BODY_LIMIT:
                    raise NonJsonMessageReceived
                try:
                    yield msgspec.json.decode(text, type=dict[str, Any])
                except (msgspec.DecodeError, RecursionError, ValueError):
                    raise NonJsonMessageReceived from None

    async def send_json(self, message: Mapping[str, object]) -> None:
        await self.send_text(msgspec.json.encode(message).decode())

    async def send_text(self, text: str) -> None:
        """Raises WebSocketDisconnected for who has gone, or takes nothing."""
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._socket.send_data(text)
        except WebSocketDisconnect as error:
            raise WebSocketDisconnected from error
        except TimeoutError:
            await self.close(SLOW.close_code, SLOW.message)
            raise WebSocketDisconnected from None

    async def close(self, code: int, reason: str) -> None:
        with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.close(code=code, reason=reason[:120])


class SocketHandler(BaseGraphQLTransportWSHandler[Any, None]):
    """One WebSocket. It carries subscriptions alone: queries and commands have their limits where they are posted."""

    websocket: SocketAdapter

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pinging: asyncio.Task[None] | None = None
        self._answered = True

    async def handle_message(self, message: Any) -> None:
        self._answered = True
        try:
            await super().handle_message(message)
        except (TypeError, AttributeError):
            await self.handle_invalid_message("Failed to parse message")

    async def handle_connection_init(self, message: Any) -> None:
        await super().handle_connection_init(message)
        if self.connection_acknowledged and self._pinging is None:
            self._pinging = asyncio.create_task(self._ping())

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_SECONDS)
            if not self._answered:
                self.context.stream.end(SILENT)
                return
            self._answered = False
            with suppress(WebSocketDisconnected):
                await self.send_message({"type": "ping"})

    async def handle_subscribe(self, message: Any) -> None:
        payload = message["payload"]
        well_formed = (
            isinstance(message["id"], str)
            and isinstance(payload["query"], str)
            and isinstance(payload.get("variables"), dict | None)
            and isinstance(payload.get("operationName"), str | None)
        )
        if not well_formed:
            await self.handle_invalid_message("Failed to parse message")
        elif self.connection_acknowledged and len(self.operations) >= SUBSCRIPTIONS_PER_SOCKET:
            word = f"This WebSocket carries as many subscriptions as it may, {SUBSCRIPTIONS_PER_SOCKET}."
            refused = errors.failure(errors.RATE_LIMITED, word)["errors"]
            await self.websocket.send_json({"id": message["id"], "type": "error", "payload": refused})
        else:
            await super().handle_subscribe(message)

    async def run_operation(self, operation: Any) -> None:
        context: Context = self.context.context
        asked = (operation.query, operation.variables, operation.operation_name)
        head = f'{{"id":{msgspec.json.encode(operation.id).decode()},"type":'
        try:
            async with aclosing(subscribed(self.schema, context, *asked)) as answers:
                async for answer in answers:
                    if answer.last:
                        self.operations.pop(operation.id, None)
                    kind = "error" if answer.last else "next"
                    await self.websocket.send_text(f'{head}"{kind}","payload":{answer.text}}}')
        except WebSocketDisconnected:
            self.context.stream.end(SLOW)
        except Closed:
            pass  # the connection is told

    async def shutdown(self) -> None:
        if self._pinging is not None:
            self._pinging.cancel()
        await super().shutdown()


# ---- server-sent events


class EventStream(Response[bytes]):
    """An answer that lasts: `next` for each answer, `complete` at the end, comments to keep it alive. At the end of the
    process it breaks off without `complete`, so that clients come again. Who leaves a piece lie is cut off."""

    def __init__(self, answers: AsyncGenerator[Answer], connections: Connections, token: bytes) -> None:
        """Raises TooManyStreams."""
        super().__init__(b"")
        self._answers, self._connections, self._token = answers, connections, token
        connections.must_have_room(token)

    def to_asgi_response(self, *_: object, **__: object) -> Any:
        return self._run

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        with self._connections.opened(ending.set_result) as stream:
            self._connections.belongs(stream, self._token)
            leaving = asyncio.ensure_future(_left(receive))
            try:
                await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
                async with aclosing(self._answers) as answers:
                    await _send_pieces(answers, ending, leaving, send)
                await _send(send, b"", more=False)
            except TimeoutError:
                pass  # whatever is returned from here, the rest of the stream is lost to this client
            finally:
                leaving.cancel()


_HEADERS = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),  # proxies pass on each piece as it comes
)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_pieces(
    answers: AsyncGenerator[Answer], ending: asyncio.Future[Ending], leaving: asyncio.Future[None], send: Send
) -> None:
    """Raises TimeoutError."""
    await _send(send, b":\n\n")
    coming: asyncio.Future[Any] = asyncio.ensure_future(anext(answers))
    try:
        while not (ending.done() or leaving.done()):
            awaited: set[asyncio.Future[Any]] = {coming, ending, leaving}
            await asyncio.wait(awaited, timeout=HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                await _send(send, _next(coming.result()))
                coming = asyncio.ensure_future(anext(answers))
            elif not ending.done():
                await _send(send, b":\n\n")
        if ending.done() and ending.result().error == errors.UNAUTHENTICATED:
            failure = errors.failure(errors.UNAUTHENTICATED, ending.result().message)
            await _send(send, _piece("next", msgspec.json.encode(failure).decode()))
            await _send(send, _COMPLETE)
    except StopAsyncIteration:
        await _send(send, _COMPLETE)
    except Closed:
        pass
    finally:
        coming.cancel()
        await asyncio.wait({coming})


def _next(answer: Answer) -> bytes:
    return _piece("next", f'{{"errors":{answer.text}}}' if answer.last else answer.text)


def _piece(event: str, data: str = "") -> bytes:
    return f"event: {event}\ndata: {data}\n\n".encode()


_COMPLETE = _piece("complete")


async def _send(send: Send, piece: bytes, *, more: bool = True) -> None:
    async with asyncio.timeout(SEND_SECONDS):
        await send({"type": "http.response.body", "body": piece, "more_body": more})


# ---- WebSockets


async def serve_socket(view: Any, socket: AnySocket, connections: Connections) -> None:
    """From the handshake to the end, whoever ends it."""
    serving = asyncio.current_task()
    assert serving is not None
    ended: list[Ending] = []

    def end(why: Ending) -> None:
        ended.append(why)
        serving.cancel()

    adapter = SocketAdapter(view, socket, socket)
    try:
        with connections.opened(end) as stream:
            try:
                await view.run(socket, context=Connecting(socket, stream), root_value=None)
            except asyncio.CancelledError:
                if not ended:
                    raise
                serving.uncancel()
                await adapter.close(ended[0].close_code, ended[0].message)
    except TooManyStreams as full:
        await socket.accept()
        await adapter.close(1013, str(full))
