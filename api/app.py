"""The Litestar application: GraphQL, GraphiQL, health. Everything but health and GraphiQL's page needs a token."""

import os
import warnings
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from litestar import Litestar, get
from litestar.datastructures import MutableScopeHeaders
from litestar.exceptions import LitestarDeprecationWarning
from litestar.middleware import DefineMiddleware
from litestar.response import Redirect
from litestar.static_files import create_static_files_router  # pyright: ignore[reportUnknownVariableType]
from litestar.types import Message, Scope

from api import attachment_files, audit_tiles, feed, health, metrics, sheet_files, telemetry, traceability_webhooks
from api.admission import Admission
from api.bodies import Drained
from api.http import EXCEPTION_HANDLERS, GraphQL
from api.limits import BODY_LIMIT
from api.requests import LOGGED_VARIABLE, Watched
from api.runtime import PUBLIC_URL_VARIABLE, Runtime, named_database
from api.settings import number
from application.event_store.database import Database

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
PAGE_HEADERS = HEADERS | {
    # The editor sets styles on its elements and carries its fonts inside the style sheet.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:;"
        " img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-cache",
}


@get("/", sync_to_thread=False)
def start() -> Redirect:
    return Redirect("/graphiql/")


async def secure(message: Message, scope: Scope) -> None:
    """Every answer, files and refusals too, tells browsers what it may not be used for."""
    if message["type"] == "http.response.start":
        headers = MutableScopeHeaders.from_message(message)
        for name, value in _headers_of(scope["path"]).items():
            headers[name] = value


def _headers_of(path: str) -> dict[str, str]:
    if path.startswith("/graphiql"):
        return PAGE_HEADERS
    return HEADERS | attachment_files.FILE_HEADERS if path.startswith(("/attachments", "/documents")) else HEADERS


def application(database: Database, public_url: str, attachments: Path | None = None) -> Litestar:
    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncGenerator[None]:
        telemetry.start()
        try:
            async with Runtime(database, public_url, attachments) as runtime:
                app.state.runtime = runtime
                yield
        finally:
            telemetry.stop()

    page = create_static_files_router(
        path="/graphiql", directories=[Path(__file__).with_name("graphiql")], html_mode=True
    )
    with warnings.catch_warnings():
        # Strawberry's controller declares its dependencies in the way that Litestar 3 will no longer infer.
        warnings.simplefilter("ignore", LitestarDeprecationWarning)
        return Litestar(
            route_handlers=[
                *(GraphQL, start, page, health.live, health.ready, metrics.exposed),
                *(attachment_files.upload, attachment_files.download, traceability_webhooks.deliver),
                *(audit_tiles.checkpoint, audit_tiles.tile, feed.feed, sheet_files.statement, sheet_files.document),
            ],
            middleware=[Drained, DefineMiddleware(Watched, logged=number(LOGGED_VARIABLE, 0, 0, 1)), Admission],
            lifespan=[lifespan],
            exception_handlers=EXCEPTION_HANDLERS | attachment_files.EXCEPTION_HANDLERS,
            request_max_body_size=BODY_LIMIT,
            before_send=[secure],
            openapi_config=None,
            logging_config=None,
        )


def create() -> Litestar:
    """For the server: `proteus serve` says in the environment where the database is."""
    database = named_database()
    assert database is not None, "whoever starts this names it"
    return application(database, os.environ[PUBLIC_URL_VARIABLE])
