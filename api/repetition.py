"""Warnings come by the thousand when PostgreSQL is away: the log keeps the first of each kind and the number of the
others."""

import logging
import threading
import time

FIRST = 5
SECONDS = 10.0


class Repetition(logging.Filter):
    """Of warnings of one kind, lets FIRST through every SECONDS; the next one then says how many were left out.
    Errors always come through: people are told by which number the log knows them."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._kinds: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return True
        kind = (record.name, str(record.msg))  # not yet formatted: our own few texts
        now = time.monotonic()
        with self._lock:
            since, number = self._kinds.get(kind, (now, 0))
            left_out = max(0, number - FIRST) if now - since > SECONDS else 0
            if now - since > SECONDS:
                since, number = now, 0
            self._kinds[kind] = (since, number + 1)
        if left_out:
            record.msg = f"{record.msg} ({left_out} more like this were left out)"
        return number < FIRST
