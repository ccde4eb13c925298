"""GraphQL over HTTP: who asks, what is refused before it is parsed, how long it may take. Strawberry does the rest."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from cross_web import AsyncHTTPRequestAdapter
from cross_web import HTTPException as Malformed
from litestar import MediaType, Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import HTTPException, NotAuthorizedException
from litestar.types import Scope
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData
from strawberry.litestar import make_graphql_controller
from strawberry.types import ExecutionResult

from api import errors
from api.context import Context
from api.limits import BODY_SECONDS, QUERY_SECONDS
from api.runtime import Runtime
from api.schema import schema
from application import tokens
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
    runtime: Runtime = connection.app.state.runtime
    view = await authenticated(connection.headers, runtime.models)
    return Context(runtime=runtime, view=view, workflows=await directory.workflows(view))


async def authenticated(headers: Mapping[str, str], models: ReadModels) -> View:
    """Asked of the database every time, so that a revoked token is refused at once."""
    kind, _, secret = headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not secret.strip():
        raise _unauthorized("Send your token: Authorization: Bearer proteus_…")
    row, workflows_at = await models.authenticate(tokens.digest(secret.strip()))
    try:
        return models.view(tokens.bearer(row), workflows_at)
    except TokenRefused as error:
        raise _unauthorized(str(error)) from None


def _unauthorized(message: str) -> NotAuthorizedException:
    return NotAuthorizedException(message, headers={"WWW-Authenticate": "Bearer"})


_Controller: Any = make_graphql_controller(schema, path="/graphql", graphql_ide=None, context_getter=context)


class GraphQL(_Controller):  # type: ignore[misc]  # pyright: ignore[reportUntypedBaseClass]
    """Queries by POST, or by GET; mutations by POST. No batches, no files, no legacy subscriptions."""

    protocols: tuple[str, ...] = ()

    async def execute_request(self, request: AnyRequest, context: Context, root_value: None) -> Response[bytes]:
        try:
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
    errors.QueryTimedOut: unavailable,
    errors.RateLimited: rate_limited,
    errors.TooSlow: too_slow,
    Exception: unforeseen,
}
