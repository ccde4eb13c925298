"""Read models that an older Proteus made otherwise than this one are rebuilt, once, while everything else goes on."""

import logging
import threading
from collections.abc import Sequence

from application.event_store.database import Database, Role
from projections.projection import Projection
from projections.rebuild import rebuild_all

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 3_600.0
"""Before it is tried again, in seconds, ever more: each attempt reads the whole log."""


class Renewal:
    """`run` blocks until nothing is left to renew; `stop` from elsewhere."""

    def __init__(self, database: Database, projections: Sequence[Projection]) -> None:
        self._database = database
        self._projections = projections
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        """Until stopped. What cannot be rebuilt now, or is rebuilt elsewhere, is looked at again."""
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                outdated = self.outdated()
                if not outdated:
                    return
                log.info("rebuilding what an older version made: %s", ", ".join(one.name for one in outdated))
                rebuild_all(self._database, outdated, self._go_on)
            except _Stopped:
                return
            except Exception:
                log.exception("read models could not be rebuilt; trying again in %.0f s", pause)
                self._stopping.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    def outdated(self) -> list[Projection]:
        """Those whose tables were made by another description than today's."""
        with self._database.connect(Role.PROJECTOR) as connection:
            shapes: dict[str, str | None] = dict(connection.execute("select name, shape from tracking").fetchall())
        return [one for one in self._projections if one.name in shapes and shapes[one.name] != one.shape]

    def _go_on(self, position: int, head: int) -> None:
        if self._stopping.is_set():
            raise _Stopped


class _Stopped(Exception):
    """In the middle of a rebuild; the next start begins again."""
