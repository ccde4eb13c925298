"""Where an error goes: what a person can mend comes as `userErrors`; all else as `errors` with a stable code."""

import logging
from collections.abc import Callable
from typing import Any

import psycopg
import strawberry
from graphql import GraphQLError, GraphQLFormattedError
from strawberry.schema.exceptions import InvalidOperationTypeError

from api import requests
from api.ids import WrongId
from api.logs import told
from application.attachments.contents import StorageFull
from application.event_store.attempts import StoreOverloaded, StoreUnavailable
from application.event_store.sealing import KeysUnavailable
from domain.errors import ErrorCode, Refused
from projections.reading import BadInput, ReadModelBehind, ReadModelsUnavailable

log = logging.getLogger(__name__)

UNAUTHENTICATED = "UNAUTHENTICATED"
FORBIDDEN = "FORBIDDEN"
BAD_USER_INPUT = "BAD_USER_INPUT"
NOT_FOUND = "NOT_FOUND"
COMPLEXITY_LIMIT = "COMPLEXITY_LIMIT"
RATE_LIMITED = "RATE_LIMITED"
UNAVAILABLE = "UNAVAILABLE"
STORAGE_FULL = "STORAGE_FULL"
INTERNAL = "INTERNAL"

RETRY_SECONDS = 1

strawberry.enum(ErrorCode, description="What was refused; stable, for programs to branch on.")


@strawberry.type(description="Why a command was refused. Nothing was written.")
class UserError:
    code: ErrorCode
    field: list[str] | None = strawberry.field(description="The path into the input that it is about.")
    message: str


class Failure(Exception):
    """An answer of `errors`, with its code."""

    def __init__(self, code: str, message: str, **extensions: object) -> None:
        super().__init__(message)
        self.extensions = {"code": code, **extensions}


class QueryTimedOut(Failure):
    def __init__(self, seconds: float) -> None:
        super().__init__(UNAVAILABLE, f"No answer within {seconds:.0f} s; ask for less, or later.", retryAfter=5)


class RateLimited(Failure):
    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(RATE_LIMITED, message, retryAfter=seconds)


class TooSlow(Failure):
    def __init__(self, seconds: float) -> None:
        super().__init__(BAD_USER_INPUT, f"The request did not arrive within {seconds:.0f} s.")


def formatted(error: GraphQLError) -> GraphQLFormattedError:
    """As it is sent: always with a code, and without what a stranger must not see."""
    code, message, extensions = _of_graphql(error)
    requests.note_error(code)
    answer = error.formatted
    answer["message"] = message
    answer["extensions"] = {"code": code, **extensions}
    return answer


def failure(code: str, message: str, **extensions: object) -> dict[str, Any]:
    """The body of an answer to a request that never came to be executed."""
    requests.note_error(code)
    return {"errors": [{"message": message, "extensions": {"code": code, **extensions}}]}


Answer = tuple[str, str, dict[str, object]]
"""Code, message, further extensions."""


def _of_graphql(error: GraphQLError) -> Answer:
    if error.extensions and "code" in error.extensions:
        return str(error.extensions["code"]), error.message, _without_code(error.extensions)
    cause = error.original_error
    if cause is None:
        # Before execution there is no path: the document or its variables are wrong.
        return (BAD_USER_INPUT, error.message, {}) if error.path is None else _masked(error)
    if isinstance(cause, GraphQLError):
        if cause.original_error is not None or cause.extensions or error.path is None:
            return _of_graphql(cause)
        # Arguments that turn out wrong while executing point into the document; our own mistakes do not.
        return (BAD_USER_INPUT, error.message, {}) if cause.nodes else _masked(cause)
    return translated(cause)


def translated(cause: Exception) -> Answer:
    if isinstance(cause, Failure):
        return str(cause.extensions["code"]), str(cause), _without_code(cause.extensions)
    for kinds, answer in _KNOWN:
        if isinstance(cause, kinds):
            return answer(cause)
    return _masked(cause)


def _without_code(extensions: dict[str, Any]) -> dict[str, object]:
    return {name: value for name, value in extensions.items() if name != "code"}


def _told(code: str, **extra: object) -> Callable[[Exception], Answer]:
    return lambda cause: (code, str(cause), extra)


def _hidden(code: str, message: str, **extra: object) -> Callable[[Exception], Answer]:
    """The cause names hosts or tables: it goes to the log alone."""

    def answer(cause: Exception) -> Answer:
        log.warning("%s: %s", code, told(cause).partition("\n")[0])  # the rest is our own SQL
        return code, message, extra

    return answer


_KNOWN: tuple[tuple[tuple[type[Exception], ...], Callable[[Exception], Answer]], ...] = (
    ((BadInput, WrongId, Refused), _told(BAD_USER_INPUT)),
    ((InvalidOperationTypeError,), _hidden(BAD_USER_INPUT, "Only subscriptions are streamed; send this by POST.")),
    ((RecursionError,), _hidden(BAD_USER_INPUT, "This request is nested too deeply.")),
    ((ReadModelBehind,), _told(UNAVAILABLE, retryAfter=RETRY_SECONDS)),
    ((StoreOverloaded,), _hidden(RATE_LIMITED, "Too many commands wait; try again.", retryAfter=RETRY_SECONDS)),
    (
        (KeysUnavailable,),
        _hidden(UNAVAILABLE, "Keys of texts cannot be had now; try again.", retryAfter=RETRY_SECONDS),
    ),
    (
        (ReadModelsUnavailable, StoreUnavailable, psycopg.OperationalError),
        _hidden(UNAVAILABLE, "The database does not answer now; try again.", retryAfter=RETRY_SECONDS),
    ),
    ((StorageFull,), _hidden(STORAGE_FULL, "There is no room for files on the server; tell its operator.")),
    (
        (psycopg.DataError,),  # a NUL, a number beyond its column: no value of ours gets that far
        _hidden(BAD_USER_INPUT, "A value in this request is outside of what the database can compare."),
    ),
)


def _masked(cause: Exception) -> Answer:
    trace_id = requests.trace_id()
    log.error("internal error %s", trace_id, exc_info=cause, extra={"promised": True})
    return INTERNAL, f"Something went wrong on our side. The log knows it as {trace_id}.", {"traceId": trace_id}
