"""Waiting for read models at the command line, and bringing them up to date where no server or worker does."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from application.event_store.database import Database
from projections import status
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


async def caught_up(database: Database, models: ReadModels, names: Sequence[str]) -> int:
    """Once they know all that is recorded by now: up to which position. Raises ReadModelBehind."""
    head = (await status.status(models)).head
    async with catching_up(database, models, names) as reach:
        await reach(head)
    return head
