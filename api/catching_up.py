"""Waiting for read models at the command line, and bringing them up to date where no server or worker does."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from application.event_store.database import Database
from projections.engine import Session
from projections.reading import ReadModelBehind, ReadModels
from projections.registry import PROJECTIONS

PATIENCE = 60.0
"""Seconds for read models, that another process writes, to know what was recorded."""

Reach = Callable[[int], Awaitable[None]]
"""Of a position: until the read models are there. Raises ReadModelBehind."""


@asynccontextmanager
async def catching_up(database: Database, models: ReadModels, names: Sequence[str]) -> AsyncGenerator[Reach]:
    with Session(database, {one.name: one for one in PROJECTIONS if one.name in names}) as session:

        async def reach(position: int) -> None:
            deadline = time.monotonic() + PATIENCE
            while True:
                session.acquire()
                while session.step():
                    pass
                try:
                    await models.wait_for(position, *names)
                except ReadModelBehind:
                    if time.monotonic() > deadline:
                        raise
                else:
                    return

        yield reach
