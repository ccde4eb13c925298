"""The sweep: removes contents that no ticket has, uploads that nobody attached, and what an erasure left unreadable.

What is referenced is read from the log itself, which no read model that lags can falsify.
"""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

import psycopg

from application.attachments.contents import Contents, Swept, ago
from application.event_store.attempts import StoreUnavailable
from application.event_store.database import Database, DatabaseNotUsable, Role

log = logging.getLogger(__name__)

UPLOADS_KEPT = timedelta(days=1)
"""How long an upload waits to be attached."""

DETACHED_KEPT = timedelta(days=30)
"""How long a file that was detached can still be read, by who reads all: in the past, and should it be a mistake."""

PERIOD = timedelta(hours=6)
_LOCK = "select pg_try_advisory_xact_lock(hashtextextended(current_schema() || ' attachments sweep', 0))"

# Of the fence's gaps nothing can be missed: who attaches a file touches its content first.
_REFERENCED = """
select convert_from(a.state, 'UTF8')::json ->> 'content'
  from event a
 where a.workspace = %(workspace)s and a.name = 'FileAttached' and not exists (
       select from event d
        where d.stream = a.stream and d.version > a.version and d.name = 'FileDetached'
          and d.recorded_at < clock_timestamp() - %(kept)s
          and convert_from(d.state, 'UTF8')::json ->> 'attachment'
              = convert_from(a.state, 'UTF8')::json ->> 'attachment')
"""


def sweep(database: Database, contents: Contents, detached_kept: timedelta = DETACHED_KEPT) -> Swept:
    """Of all workspaces. Nothing where another sweep is under way. Raises psycopg.Error, OSError."""
    swept = Swept()
    patient = {"idle_in_transaction_session_timeout": "0"}  # it holds the lock while it walks through the files
    with database.connect(Role.PROJECTOR, **patient) as connection, connection.transaction():
        free = connection.execute(_LOCK).fetchone()
        if free is None or not free[0]:
            return swept
        for workspace in contents.workspaces():
            before = ago(UPLOADS_KEPT.total_seconds())
            rows = connection.execute(_REFERENCED, {"workspace": workspace, "kept": detached_kept})
            referenced = {row[0] for row in rows}
            swept = swept.and_also(contents.sweep_uploads(workspace, before))
            swept = swept.and_also(contents.sweep(workspace, referenced, before))
    return swept


class Sweeper:
    """Sweeps now and then, in a thread of its own. `also`: what else is to be removed then."""

    def __init__(self, database: Database, contents: Contents, also: Callable[[], object] = lambda: None) -> None:
        self._database = database
        self._also = also
        self._contents = contents
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proteus-sweeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(PERIOD.total_seconds()):
            try:
                swept = sweep(self._database, self._contents)
                self._also()
            except (psycopg.Error, OSError, StoreUnavailable, DatabaseNotUsable):
                log.exception("what is kept no longer was not swept; trying again in %s", PERIOD)
            else:
                log.info("swept %d files, %d bytes, that no ticket has", *swept)
