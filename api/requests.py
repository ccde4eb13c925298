"""What is noted of every request: its trace, its id, what it asked for, how it ended, how long that took.

Nothing of a request's content is noted, but for the name that a client gave its operation.
"""

import logging
import random
import re
import secrets
import time
from contextvars import ContextVar

import msgspec
from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from api import metrics, telemetry
from application.event_store import tracing

log = logging.getLogger(__name__)

LOGGED_VARIABLE = "PROTEUS_LOG_REQUESTS"
REQUEST_ID = "X-Request-ID"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
NAME_LIMIT = 60
UNWATCHED = ("/health/", "/metrics", "/graphiql")
"""Paths that are not counted: they would drown what is."""


class Noted(msgspec.Struct):
    """`kind`: query, mutation or subscription, once that is known; `code`: of the first error."""

    trace_id: str
    request_id: str
    kind: str = "none"
    operation: str | None = None
    code: str = "OK"


current: ContextVar[Noted | None] = ContextVar("request", default=None)


def note_operation(kind: str, name: str | None) -> None:
    noted = current.get()
    if noted is not None:
        noted.kind, noted.operation = kind, name and name[:NAME_LIMIT]


def note_error(code: str) -> None:
    """The first counts."""
    noted = current.get()
    if noted is not None and noted.code == "OK":
        noted.code = code


def trace_id() -> str:
    """By which the log knows the work at hand."""
    noted = current.get()
    return noted.trace_id if noted is not None else secrets.token_hex(16)


class Watched:
    """ASGI middleware around every route. `logged`: the share of requests that the log shows, from 0 to 1."""

    def __init__(self, app: ASGIApp, logged: float = 0.0) -> None:
        self._app = app
        self._logged = logged

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["path"].startswith(UNWATCHED):
            await self._app(scope, receive, send)
            return
        headers = Headers.from_scope(scope)
        given = tracing.well_formed(headers.get("traceparent"))
        started = time.perf_counter()
        status = 0
        with telemetry.request_span(given) as span:
            traceparent = tracing.current()
            named = headers.get(REQUEST_ID, "")
            trace = traceparent.split("-")[1] if traceparent else secrets.token_hex(16)
            noted = Noted(trace, named if _REQUEST_ID.fullmatch(named) else trace[:16])
            token = current.set(noted)

            async def answer(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                    MutableScopeHeaders.from_message(message)[REQUEST_ID] = noted.request_id
                await send(message)

            try:
                await self._app(scope, receive, answer)
            finally:
                seconds = time.perf_counter() - started
                metrics.REQUESTS.labels(noted.kind, noted.code).inc()
                metrics.REQUEST_SECONDS.labels(noted.kind).observe(seconds)
                telemetry.tell(span, noted.kind, noted.operation, noted.code, status)
                if random.random() < self._logged:  # noqa: S311
                    facts = {"operation": noted.operation, "kind": noted.kind, "code": noted.code, "status": status}
                    log.info("request", extra={**facts, "duration_ms": round(seconds * 1000, 1)})
                current.reset(token)
