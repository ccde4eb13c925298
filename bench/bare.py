"""The yardstick over HTTP: the same web server, framework, pool, token check and PostgreSQL, and little else.

`python -m bench.bare --port N`.
"""

import gc
import os
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import msgspec
from granian import Granian
from granian.constants import Interfaces
from litestar import Litestar, MediaType, Request, Response, get, post
from psycopg import sql
from psycopg.rows import TupleRow

from api.context import Context
from api.http import authenticated
from api.runtime import Runtime
from api.schema import schema
from application.event_store.database import DATABASE_VARIABLE, Database, Role
from projections import directory
from projections.reading import Query, ReadModels, View

AnyRequest = Request[Any, Any, Any]
Statement = tuple[Query, Sequence[object] | dict[str, Any]]

POOL_SIZE = 8


class SetPriority(msgspec.Struct):
    ticket: str
    priority: str


class Asked(msgspec.Struct):
    query: str


@get("/ready", sync_to_thread=False)
def ready() -> str:
    return "ready"


@post("/insert", status_code=200)
async def insert(request: AnyRequest) -> Response[bytes]:
    """Authenticates, and inserts one event: what a mutation at least has to do."""
    view = await authenticated(request.headers, request.app.state.runtime.models)
    wanted = msgspec.json.decode(await request.body(), type=SetPriority)
    workspace = view.actor.workspace
    async with request.app.state.pool.connection() as connection:
        async with connection.pipeline():
            await connection.execute("select set_config('proteus.workspace', %s, false)", (str(workspace),))
            cursor = await connection.execute(_INSERT, (workspace, msgspec.json.encode(wanted), view.actor.person))
        [row] = await cursor.fetchall()
    return _json({"position": row[0]})


_INSERT = """
insert into event (workspace, stream, version, name, event_version, state, occurred_at, actor, channel, command_id,
                   command_hash, correlation_id)
values (%s, gen_random_uuid(), 1, 'PriorityChanged', 1, %s, clock_timestamp(), %s, 'api', gen_random_uuid(),
        '\\x00112233445566778899aabbccddeeff', gen_random_uuid())
returning position
"""


@post("/query", status_code=200)
async def query(request: AnyRequest) -> Response[bytes]:
    """Authenticates, runs the statements that Proteus would run for the query, and encodes their rows."""
    runtime: Runtime = request.app.state.runtime
    view = await authenticated(request.headers, runtime.models)
    asked = msgspec.json.decode(await request.body(), type=Asked)
    statements: dict[str, list[Statement]] = request.app.state.statements
    if asked.query not in statements:
        statements[asked.query] = await _statements(runtime, view, asked.query)
    rows = [await runtime.models.fetch(view.actor.workspace, *one) for one in statements[asked.query]]
    return _json({"rows": rows})


class Listening(ReadModels):
    """Notes what it is asked."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.heard: list[Statement] = []

    async def fetch_all(
        self,
        workspace: UUID | None,
        *statements: tuple[Query, Sequence[object] | dict[str, Any]],
        **how: bool,
    ) -> list[list[TupleRow]]:
        for query, arguments in statements:
            said: Any = query.as_string(None) if isinstance(query, sql.Composable) else query
            self.heard.append((said, arguments))
        return await super().fetch_all(workspace, *statements, **how)


async def _statements(runtime: Runtime, view: View, text: str) -> list[Statement]:
    """Of the second of two answers: the first fills the caches."""
    async with Listening(runtime.database) as models:
        listening = View(models, view.actor, view.workflows_at)
        for _ in range(2):
            models.heard.clear()
            workflows = await directory.workflows(listening)
            context = Context(runtime=runtime, view=listening, workflows=workflows)
            answer = await schema.execute(text, context_value=context)
            if answer.errors:
                raise RuntimeError(str(answer.errors))
        return list(models.heard)


def _json(answer: object) -> Response[bytes]:
    return Response(msgspec.json.encode(answer), media_type=MediaType.JSON)


def create() -> Litestar:
    database = Database(os.environ[DATABASE_VARIABLE])

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncGenerator[None]:
        app.state.statements = {}
        async with (
            Runtime(database, "") as app.state.runtime,
            database.async_pool(Role.APP, POOL_SIZE) as app.state.pool,
        ):
            yield

    created = Litestar([ready, insert, query], lifespan=[lifespan], openapi_config=None, logging_config=None)
    gc.collect()
    gc.freeze()
    return created


if __name__ == "__main__":
    Granian(
        "bench.bare:create",
        factory=True,
        port=int(sys.argv[sys.argv.index("--port") + 1]),
        interface=Interfaces.ASGI,
        workers=1,
        log_enabled=False,
    ).serve()
