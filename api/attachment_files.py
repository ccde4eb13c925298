"""Attached files over HTTP: `POST /attachments` takes a file and answers with an upload's id, for `attachFile`;
`GET /attachments/ID` gives a file out. Both are streamed: memory does not grow with a file."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from anyio import to_thread
from litestar import Response, get, post
from litestar.exceptions import ClientException
from litestar.response import Stream

from api import errors
from api.http import AnyRequest, answer_with, authenticated, context_of
from api.ids import Kind, WrongId, decode, encode
from api.runtime import Runtime
from application.attachments.contents import ContentGone, Contents, Reader, StorageFull
from application.privacy.reads import Way
from domain.access import may
from domain.attachments import AttachFile
from domain.errors import ErrorCode, FileTooLarge, Forbidden, Refused
from domain.files import served_type
from projections import attachments
from projections.rows import AttachmentRow

UPLOAD_SECONDS = 3_600.0
"""How long an upload may take."""
BUFFER = 1024 * 1024
"""Bytes of an upload that are written at once; of a download, that are read at once."""

FILE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Whatever a file holds, a browser runs none of it."""


@post("/attachments", request_max_body_size=None)
async def upload(request: AnyRequest) -> Response[bytes]:
    """The body is the file, as it is. Raises NotAuthorizedException, Refused, StorageFull."""
    runtime: Runtime = request.app.state.runtime
    view = await authenticated(request.headers, runtime.models)
    if not may(view.actor, AttachFile):
        raise Forbidden("upload files")
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > runtime.contents.limit:
        raise FileTooLarge(runtime.contents.limit)
    async with asyncio.timeout(UPLOAD_SECONDS):
        id_, size = await _received(request, runtime.contents, view.actor.workspace, view.actor.person)
    if announced.isdigit() and size != int(announced):
        await to_thread.run_sync(runtime.contents.forget, view.actor.workspace, view.actor.person, id_)
        raise ClientException("The file ended before its announced length.")
    return answer_with({"upload": encode(Kind.UPLOAD, id_), "bytes": size}, HTTPStatus.CREATED)


async def _received(request: AnyRequest, contents: Contents, *uploader: Any) -> tuple[Any, int]:
    receiving = await to_thread.run_sync(contents.receive, *uploader)
    writer = receiving.writer
    try:
        waiting = bytearray()
        async for part in request.stream():
            waiting += part
            if len(waiting) >= BUFFER:
                await to_thread.run_sync(writer.write, bytes(waiting))
                waiting.clear()
        await to_thread.run_sync(writer.write, bytes(waiting))
        await to_thread.run_sync(writer.finish)
    except BaseException:
        writer.give_up()
        raise
    return receiving.upload, writer.bytes


@get("/attachments/{id:str}")
async def download(request: AnyRequest, id: str) -> Response[Any]:
    """All of a file, or the range that is asked for. Raises NotAuthorizedException, Failure, ContentGone."""
    runtime: Runtime = request.app.state.runtime
    context = await context_of(request.headers, runtime, request)
    view = context.view
    try:
        attachment = await attachments.readable(view, decode(id, Kind.ATTACHMENT))
    except WrongId:
        attachment = None
    if attachment is None:
        return answer_with(errors.failure(errors.NOT_FOUND, "There is no such attachment."), HTTPStatus.NOT_FOUND)
    await context.log_reads([attachment.ticket], Way.DOWNLOAD)
    tag = f'"{attachment.sha256[:32]}"'
    headers = _headers(attachment, tag)
    if _names(request.headers.get("if-none-match", ""), tag):
        return Response(b"", status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    size = attachment.bytes
    part = _range(request.headers.get("range", ""), size)
    if request.headers.get("if-range", tag) != tag:
        part = None
    if part is not None and part[0] >= part[1]:
        told = errors.failure(errors.BAD_USER_INPUT, f"The file has {size} bytes.")
        return answer_with(told, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, {"Content-Range": f"bytes */{size}"})
    start, stop = part or (0, size)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["Content-Length"] = str(stop - start)
    reader = await to_thread.run_sync(runtime.contents.open, view.actor.workspace, attachment.content)
    return Stream(
        _parts(reader, start, stop),
        status_code=HTTPStatus.OK if part is None else HTTPStatus.PARTIAL_CONTENT,
        headers=headers,
        media_type=served_type(attachment.media_type),
    )


async def _parts(reader: Reader, start: int, stop: int) -> AsyncGenerator[bytes]:
    try:
        while start < stop:
            until = min(start + BUFFER, stop)
            yield await to_thread.run_sync(lambda first, last: b"".join(reader.read(first, last)), start, until)
            start = until
    finally:
        reader.close()


def disposition(name: str) -> str:
    """To be saved under this name; who knows ASCII alone gets it without the rest."""
    plain = re.sub(r"[^ !#-\[\]-~]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _headers(attachment: AttachmentRow, tag: str) -> dict[str, str]:
    return {
        "Content-Disposition": disposition(attachment.name),
        "Accept-Ranges": "bytes",
        "ETag": tag,
        "Cache-Control": "private, no-cache",  # kept, but asked for again: rights may have changed
    }


def _range(asked: str, size: int) -> tuple[int, int] | None:
    """From which byte to before which; empty where there are none such. None: all, since nothing is asked for that
    we know: several ranges, or another unit."""
    found = re.fullmatch(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", asked)
    if found is None or found.group(1, 2) == ("", ""):
        return None
    first, last = found.group(1, 2)
    if first == "":
        return (max(0, size - int(last)), size) if int(last) else (size, size)
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last) + 1, size) if last else size


def _names(condition: str, tag: str) -> bool:
    return condition.strip() == "*" or tag in (one.strip().removeprefix("W/") for one in condition.split(","))


def refused(_: AnyRequest, error: Refused) -> Response[bytes]:
    status = _STATUS.get(error.code, HTTPStatus.BAD_REQUEST)
    return answer_with(errors.failure(error.code, error.message), status)


def storage_full(_: AnyRequest, error: StorageFull) -> Response[bytes]:
    code, message, _more = errors.translated(error)
    return answer_with(errors.failure(code, message), HTTPStatus.INSUFFICIENT_STORAGE)


def gone(_: AnyRequest, error: ContentGone) -> Response[bytes]:
    return answer_with(errors.failure(errors.NOT_FOUND, "The file's content was removed."), HTTPStatus.GONE)


_STATUS = {
    ErrorCode.FORBIDDEN: HTTPStatus.FORBIDDEN,
    ErrorCode.FILE_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ErrorCode.LIMIT_REACHED: HTTPStatus.TOO_MANY_REQUESTS,
}

EXCEPTION_HANDLERS: dict[int | type[Exception], Callable[[AnyRequest, Any], Response[Any]]] = {
    Refused: refused,
    StorageFull: storage_full,
    ContentGone: gone,
}
