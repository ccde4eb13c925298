"""Statements, invoices and acts over HTTP, in every format, to whom may see them.

`GET /documents/statements/CONTRACT/FIRST..LAST.pdf` (`.xlsx`, `.csv`, `.xml` for UBL): the days from first to last;
without the first, those that no closed statement before tells of. `?position=` asks for it as it was known then.
`GET /documents/DOCUMENT.pdf`: an invoice or an act; an act has no form in UBL.
"""

import re
from collections.abc import Awaitable, Callable
from datetime import date
from http import HTTPStatus
from typing import Any

from anyio import to_thread
from litestar import Response, get

from api import errors
from api.attachment_files import disposition
from api.http import AnyRequest, answer_with, context_of
from api.ids import Kind, WrongId, decode
from api.runtime import Runtime
from api.sheets.formats import BY_ENDING, Format, NotWritten, named
from application.privacy.reads import Way
from domain.sheets import Sheet
from projections import sheets
from projections.reading import NOW, BadInput, Moment, View

_DAYS = re.compile(r"(?:(\d{4}-\d\d-\d\d))?\.\.(\d{4}-\d\d-\d\d)\.([a-z]{1,8})")
_FILE = re.compile(r"([\w-]{1,60})\.([a-z]{1,8})")
_POSITION = re.compile(r"\d{1,18}")


@get("/documents/statements/{contract:str}/{days:str}")
async def statement(request: AnyRequest, contract: str, days: str) -> Response[Any]:
    """Raises NotAuthorizedException."""

    async def drawn(view: View, asked: re.Match[str]) -> Sheet | None:
        since, until = _day(asked[1]) if asked[1] else None, _day(asked[2])
        return await sheets.of_statement(view, decode(contract, Kind.CONTRACT), since, until, _moment(request))

    return await _answered(request, _DAYS.fullmatch(days), drawn)


@get("/documents/{file:str}")
async def document(request: AnyRequest, file: str) -> Response[Any]:
    """Raises NotAuthorizedException."""

    async def drawn(view: View, asked: re.Match[str]) -> Sheet | None:
        return await sheets.of_document(view, decode(asked[1], Kind.DOCUMENT))

    return await _answered(request, _FILE.fullmatch(file), drawn)


def _day(written: str) -> date:
    """Raises BadInput."""
    try:
        return date.fromisoformat(written)
    except ValueError:
        raise BadInput(f"There is no day {written}.") from None


def _moment(request: AnyRequest) -> Moment:
    """Raises BadInput."""
    position = request.query_params.get("position")
    if position is None:
        return NOW
    if not _POSITION.fullmatch(position):
        raise BadInput("position is a number of the log.")
    return Moment(position=int(position))


async def _answered(
    request: AnyRequest, asked: re.Match[str] | None, drawn: Callable[[View, re.Match[str]], Awaitable[Sheet | None]]
) -> Response[Any]:
    """`asked`: its last group is the ending, that says the format. Raises StoreUnavailable where reads cannot be
    logged."""
    runtime: Runtime = request.app.state.runtime
    context = await context_of(request.headers, runtime, request)
    format = None if asked is None else BY_ENDING.get(asked[asked.re.groups])
    if asked is None or format is None:
        return _failed(errors.NOT_FOUND, f"There is no such document. Formats: {', '.join(BY_ENDING)}.")
    try:
        sheet = await drawn(context.view, asked)
        if sheet is None:
            return _failed(errors.NOT_FOUND, "There is no such document, or none that you may see.")
        await context.log_reads(sheet.tickets, Way.DOWNLOAD)
        body = await to_thread.run_sync(format.render, sheet, limiter=runtime.sheet_threads)
    except WrongId:
        return _failed(errors.NOT_FOUND, "There is no such document, or none that you may see.")
    except (BadInput, NotWritten) as error:
        return _failed(errors.BAD_USER_INPUT, str(error))
    return Response(body, headers=_headers(sheet, format), media_type=format.media_type)


def _headers(sheet: Sheet, format: Format) -> dict[str, str]:
    return {
        "Content-Disposition": disposition(named(sheet, format.ending)),
        "Cache-Control": "private, no-cache",
    }


def _failed(code: str, message: str) -> Response[bytes]:
    status = HTTPStatus.NOT_FOUND if code == errors.NOT_FOUND else HTTPStatus.BAD_REQUEST
    return answer_with(errors.failure(code, message), status)
