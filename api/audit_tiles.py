"""A workspace's log as C2SP tlog-tiles: `/audit/checkpoint`, `/audit/tile/LEVEL/N[.p/WIDTH]`, `/audit/tile/entries/N`.

The token says whose log it is, and must be one that reads everything.
"""

import re
from http import HTTPStatus

from litestar import Response, get

from api import errors, proofs
from api.http import AnyRequest, answer_with, authenticated
from api.runtime import Runtime
from application.audit.tree import WIDTH
from projections.reading import View

_PATH = re.compile(r"/?(0|[1-9]\d?|entries)/((?:x\d{3}/){0,4}\d{3})(?:\.p/([1-9]\d{0,2}))?")
FOR_EVER = "private, max-age=31536000, immutable"


@get("/audit/checkpoint")
async def checkpoint(request: AnyRequest) -> Response[bytes]:
    view = await _auditor(request)
    newest = None if view is None else await proofs.newest(view)
    if newest is None:
        return _nothing("Nothing is signed yet." if view else "Your token does not read everything.", view)
    headers = {"Cache-Control": "private, no-cache"}
    return Response(newest.note.encode(), headers=headers, media_type="text/plain")


@get("/audit/tile/{path:path}")
async def tile(request: AnyRequest, path: str) -> Response[bytes]:
    view = await _auditor(request)
    found = _PATH.fullmatch(path)
    if view is None or found is None:
        return _nothing("There is no such tile." if view else "Your token does not read everything.", view)
    n, width = int(re.sub(r"\D", "", found[2])), int(found[3] or WIDTH)
    body: bytes | None = None
    if width <= WIDTH and (found[3] is None or width < WIDTH):
        first, past = n * WIDTH, n * WIDTH + width
        if found[1] == "entries":
            body = await proofs.entries(view, first, past)
        else:
            read = int(found[1]), first, past
            hashes = (await proofs.hashes(view, [read]))[read]
            body = hashes if len(hashes) == 32 * width else None
    if body is None:
        return _nothing("There is no such tile.", view)
    return Response(body, headers={"Cache-Control": FOR_EVER}, media_type="application/octet-stream")


async def _auditor(request: AnyRequest) -> View | None:
    """None where the token may not. Raises NotAuthorizedException."""
    runtime: Runtime = request.app.state.runtime
    view = await authenticated(request.headers, runtime.models)
    return view if view.actor.reads_all else None


def _nothing(message: str, view: View | None) -> Response[bytes]:
    code, status = ("NOT_FOUND", HTTPStatus.NOT_FOUND) if view else ("FORBIDDEN", HTTPStatus.FORBIDDEN)
    return answer_with(errors.failure(code, message), status)
