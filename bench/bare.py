"""The yardstick over HTTP: the same web server, framework, pool, token check and PostgreSQL, and little else.

`python -m bench.bare --port N`.
"""

import gc
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from granian import Granian
from granian.constants import Interfaces
from litestar import Litestar, MediaType, Request, Response, get, post

from api.http import authenticated
from api.runtime import DATABASE_VARIABLE
from application.event_store.database import Database, Role
from projections.reading import ReadModels

POOL_SIZE = 8


class SetPriority(msgspec.Struct):
    ticket: str
    priority: str


@get("/ready", sync_to_thread=False)
def ready() -> str:
    return "ready"


@post("/insert", status_code=200)
async def insert(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Authenticates, and inserts one event: what a mutation at least has to do."""
    view = await authenticated(request.headers, request.app.state.models)
    wanted = msgspec.json.decode(await request.body(), type=SetPriority)
    workspace = view.actor.workspace
    async with request.app.state.pool.connection() as connection:
        async with connection.pipeline():
            await connection.execute("select set_config('proteus.workspace', %s, false)", (str(workspace),))
            cursor = await connection.execute(_INSERT, (workspace, msgspec.json.encode(wanted), view.actor.person))
        [row] = await cursor.fetchall()
    return Response(msgspec.json.encode({"position": row[0]}), media_type=MediaType.JSON)


_INSERT = """
insert into event (workspace, stream, version, name, event_version, state, occurred_at, actor, channel, command_id,
                   command_hash, correlation_id)
values (%s, gen_random_uuid(), 1, 'PriorityChanged', 1, %s, clock_timestamp(), %s, 'api', gen_random_uuid(),
        '\\x00112233445566778899aabbccddeeff', gen_random_uuid())
returning position
"""


def create() -> Litestar:
    database = Database(os.environ[DATABASE_VARIABLE])

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncGenerator[None]:
        async with ReadModels(database) as app.state.models, database.async_pool(Role.APP, POOL_SIZE) as app.state.pool:
            yield

    created = Litestar([ready, insert], lifespan=[lifespan], openapi_config=None, logging_config=None)
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
