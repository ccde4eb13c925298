"""GraphQL over HTTP: who asks, what is refused before it is parsed, how long it may take. Strawberry does the rest."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import msgspec
from cross_web import AsyncHTTPRequestAdapter
from cross_web import HTTPException as Malformed
from litestar import MediaType, Request, Response, get, post, websocket
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import HTTPException, NotAuthorizedException
from litestar.types import Scope
from strawberry import UNSET
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.http.websocket_origin import normalize_origin
from strawberry.litestar import make_graphql_controller
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult

from api import errors
from api.addresses import address_of
from api.connections import TooManyStreams
from api.context import Context
from api.limits import BODY_SECONDS, QUERY_SECONDS
from api.live_answers import subscribed
from api.runtime import Runtime
from api.schema import schema
from api.streaming import (
    INIT_SECONDS,
    AnySocket,
    Connecting,
    EventStream,
    SocketAdapter,
    SocketHandler,
    serve_socket,
)
from application import tokens
from application.event_store.attempts import StoreOverloaded, StoreUnavailable
from application.tokens import TokenRefused
from projections import directory
from projections.reading import ReadModels, ReadModelsUnavailable, View

AnyRequest = Request[Any, Any, Any]
Connection = ASGIConnection[Any, Any, Any, State]


async def context(scope: Scope) -> Context:
    """Authenticates, so that without a good token nothing of the request is read.

    Raises NotAuthorizedException, ReadModelsUnavailable.
    """
    connection: Connection = ASGIConnection(scope)
    return await context_of(connection.headers, connection.app.state.runtime, connection)


async def context_of(headers: Mapping[str, str], runtime: Runtime, connection: Connection | None = None) -> Context:
    """`connection`: from which the address is known. Raises NotAuthorizedException, ReadModelsUnavailable."""
    view = await authenticated(headers, runtime.models)
    address = None
    if connection is not None and connection.client is not None:  # what `connection_init` says is no proxy's word
        address = address_of(connection.client.host, connection.headers, runtime.proxies)
    return Context(runtime=runtime, view=view, workflows=await directory.workflows(view), address=address)


async def authenticated(headers: Mapping[str, str], models: ReadModels) -> View:
    """Asked of the database every time, so that a revoked token is refused at once."""
    row, workflows_at, sensitive = await models.authenticate(token_digest(headers))
    try:
        return models.view(tokens.bearer(row), workflows_at, sensitive=sensitive)
    except TokenRefused as error:
        raise _unauthorized(str(error)) from None


def token_digest(headers: Mapping[str, str]) -> bytes:
    """Raises NotAuthorizedException."""
    kind, _, secret = headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not secret.strip():
        raise _unauthorized("Send your token: Authorization: Bearer proteus_…")
    return tokens.digest(secret.strip())


def _unauthorized(message: str) -> NotAuthorizedException:
    return NotAuthorizedException(message, headers={"WWW-Authenticate": "Bearer"})


_Controller: Any = make_graphql_controller(schema, path="/graphql", graphql_ide=None, context_getter=context)


class GraphQL(_Controller):  # type: ignore[misc]  # pyright: ignore[reportUntypedBaseClass]
    """Queries by POST, or by GET; mutations by POST; subscriptions over WebSockets, or as server-sent events. No
    batches, no files, no legacy subscriptions."""

    protocols: tuple[str, ...] = (GRAPHQL_TRANSPORT_WS_PROTOCOL,)
    websocket_adapter_class = SocketAdapter
    graphql_transport_ws_handler_class = SocketHandler
    connection_init_wait_timeout = timedelta(seconds=INIT_SECONDS)

    async def execute_request(self, request: AnyRequest, context: Context, root_value: None) -> Response[bytes]:
        try:
            if "text/event-stream" in request.headers.get("accept", ""):
                return await self.stream(request, context)
            answer: Response[bytes] = await self.run(request, context=context, root_value=root_value)
        except Malformed as error:
            return answer_with(errors.failure(errors.BAD_USER_INPUT, error.reason), error.status_code)
        return answer

    # Strawberry's own handlers are given what they need by injection, which makes an empty response in a thread.
    @get()
    async def handle_http_get(self, request: AnyRequest) -> Response[bytes]:
        return await self.execute_request(request, await context(request.scope), None)

    @post(status_code=200)
    async def handle_http_post(self, request: AnyRequest) -> Response[bytes]:
        who = await context(request.scope)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                await request.body()
        except TimeoutError:
            raise errors.TooSlow(BODY_SECONDS) from None
        return await self.execute_request(request, who, None)

    async def stream(self, request: AnyRequest, context: Context) -> Response[bytes]:
        """Raises Malformed, TooManyStreams."""
        data = await self.parse_http_body(self.request_adapter_class(request))
        answers = subscribed(schema, context, data.query, data.variables, data.operation_name)
        return EventStream(answers, context.runtime.connections, token_digest(request.headers))

    @websocket()
    async def websocket_endpoint(self, socket: AnySocket) -> None:
        await serve_socket(self, socket, socket.app.state.runtime.connections)

    def is_websocket_origin_allowed(self, request: AnySocket, origin: str) -> bool:
        """Of pages from elsewhere than this address: those of the public address, whatever proxies make of it."""
        runtime: Runtime = request.app.state.runtime
        return normalize_origin(origin) == normalize_origin(runtime.public_url)

    async def on_ws_connect(self, connecting: Connecting) -> object:
        """Who it is. A refusal closes the socket, as a revoked token will later."""
        runtime: Runtime = connecting.socket.app.state.runtime
        adapter = SocketAdapter(self, connecting.socket, connecting.socket)
        try:
            connecting.context = await context_of(connecting.headers, runtime, connecting.socket)
            runtime.connections.belongs(connecting.stream, token_digest(connecting.headers))
        except NotAuthorizedException as error:
            await adapter.close(4401, error.detail)
        except (TooManyStreams, ReadModelsUnavailable) as error:
            await adapter.close(1013, errors.translated(error)[1])
        else:
            return UNSET
        raise WebSocketDisconnected

    async def get_sub_response(self, request: AnyRequest) -> Response[Any]:
        """One per request: Strawberry's own is shared by all requests under way."""
        return Response({})

    async def execute_single(self, *args: Any, **kwargs: Any) -> ExecutionResult:
        inherited: Any = super()
        try:
            async with asyncio.timeout(QUERY_SECONDS):
                result: ExecutionResult = await inherited.execute_single(*args, **kwargs)
        except TimeoutError:
            raise errors.QueryTimedOut(QUERY_SECONDS) from None
        return result

    async def process_result(self, request: AnyRequest, result: ExecutionResult) -> GraphQLHTTPResponse:
        answer: GraphQLHTTPResponse = {"data": result.data}
        if result.errors:
            answer["errors"] = [errors.formatted(error) for error in result.errors]
        return answer

    async def parse_http_body(self, request: AsyncHTTPRequestAdapter) -> GraphQLRequestData:
        inherited: Any = super()
        try:
            data: Any = await inherited.parse_http_body(request)
        except (UnicodeDecodeError, AttributeError):
            raise Malformed(400, "The request must be a JSON object in UTF-8 with a query.") from None
        if not isinstance(data.operation_name, str | None):
            raise Malformed(400, "`operationName` must be a string or null.")
        parsed: GraphQLRequestData = data
        return parsed

    def decode_json(self, data: str | bytes) -> object:
        try:
            return msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
            raise Malformed(400, "Unable to parse request body as JSON") from None

    def encode_json(self, data: object) -> bytes:
        return msgspec.json.encode(data)


def answer_with(body: dict[str, Any], status: int, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    return Response(
        msgspec.json.encode(body), status_code=status, media_type=MediaType.JSON, headers=dict(headers or {})
    )


_CODES = {401: errors.UNAUTHENTICATED, 403: errors.FORBIDDEN, 404: errors.NOT_FOUND, 503: errors.UNAVAILABLE}


def http_error(_: AnyRequest, error: HTTPException) -> Response[bytes]:
    """What Litestar refuses, in GraphQL's shape."""
    if error.status_code >= 500:
        return unforeseen(_, error)
    code = _CODES.get(error.status_code, errors.BAD_USER_INPUT)
    return answer_with(errors.failure(code, error.detail), error.status_code, error.headers)


def unavailable(_: AnyRequest, error: Exception) -> Response[bytes]:
    return _from_exception(error, 503)


def rate_limited(_: AnyRequest, error: Exception) -> Response[bytes]:
    return _from_exception(error, 429)


def too_slow(_: AnyRequest, error: Exception) -> Response[bytes]:
    return _from_exception(error, 408)


def unforeseen(_: AnyRequest, error: Exception) -> Response[bytes]:
    return _from_exception(error, 500)


def _from_exception(error: Exception, status: int) -> Response[bytes]:
    code, message, extensions = errors.translated(error)
    headers = {"Retry-After": str(extensions["retryAfter"])} if "retryAfter" in extensions else {}
    return answer_with(errors.failure(code, message, **extensions), status, headers)


EXCEPTION_HANDLERS: dict[int | type[Exception], Callable[[AnyRequest, Any], Response[Any]]] = {
    HTTPException: http_error,
    ReadModelsUnavailable: unavailable,
    StoreUnavailable: unavailable,
    StoreOverloaded: rate_limited,
    errors.QueryTimedOut: unavailable,
    errors.RateLimited: rate_limited,
    errors.TooSlow: too_slow,
    Exception: unforeseen,
}
