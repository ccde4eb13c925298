"""Waiting for what is under way."""

import time

from application.event_store.database import Database, Role
from projections.registry import NAMES


def wait_until_read(database: Database) -> None:
    """Until the read models have all events."""
    with database.connect(Role.PROJECTOR) as connection:
        while connection.execute(_BEHIND, (list(NAMES),)).fetchone() != (False,):
            time.sleep(0.005)


_BEHIND = """
select coalesce(max(e.position), 0) > (select min(position) from tracking where name = any(%s)) from event e
"""
