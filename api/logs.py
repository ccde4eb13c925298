"""What the log looks like: a line of JSON for machines, of words for a terminal. The same for the web server, the
engine and all else; and what fails again and again is told once a minute, with a count.

Never a token, a variable of a query, or what people wrote: what is logged is chosen by name where it is logged.
"""

import logging
import logging.config
import os
import sys
import threading
import time
import traceback
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any

import msgspec
import psycopg

from api.settings import BadSetting

LEVEL_VARIABLE = "PROTEUS_LOG_LEVEL"
FORMAT_VARIABLE = "PROTEUS_LOG_FORMAT"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
FORMATS = ("json", "text")

QUIET_SECONDS = 60.0
"""For so long, a failure that was told is only counted when it comes again."""
KNOWN_FAILURES = 500

FACTS = ("operation", "kind", "code", "status", "duration_ms", "trace_id", "request_id", "repeated")
"""Beside time, level, logger and message; as attributes of the record, where it has them."""


def facts(record: logging.LogRecord) -> dict[str, Any]:
    found = {name: getattr(record, name, None) for name in FACTS}
    return {name: value for name, value in found.items() if value is not None}


def at(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def told(error: BaseException) -> str:
    """The message of an error, without what people wrote: PostgreSQL quotes values and whole rows."""
    if isinstance(error, psycopg.Error) and (error.sqlstate or "").startswith(("22", "23")):
        where = error.diag.constraint_name or error.diag.column_name or error.diag.table_name or ""
        return f"SQLSTATE {error.sqlstate} {where}".rstrip()
    return str(error)


class Formatter(logging.Formatter):
    def formatException(self, ei: Any) -> str:
        parts: list[str] = []
        error: BaseException | None = ei[1]
        while error is not None:
            frames = "".join(traceback.format_tb(error.__traceback__))
            parts.append(f"{frames}{type(error).__module__}.{type(error).__qualname__}: {told(error)}")
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\n\nwhich was caused by:\n\n".join(parts)


class Json(Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"time": at(record), "level": record.levelname, "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode({**line, **facts(record)}).decode()


class Text(Formatter):
    def format(self, record: logging.LogRecord) -> str:
        told = "".join(f" {name}={value}" for name, value in facts(record).items())
        line = f"{at(record)} {record.levelname} {record.name}: {record.getMessage()}{told}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class OfRequest(logging.Filter):
    """Adds to which request a line belongs."""

    def filter(self, record: logging.LogRecord) -> bool:
        requests = sys.modules.get("api.requests")  # a process without a web application has none
        noted = requests.current.get() if requests is not None else None
        if noted is not None:
            record.trace_id, record.request_id = noted.trace_id, noted.request_id
        return True


class Repeats(logging.Filter):
    """Lets a warning or an error through once in QUIET_SECONDS, and then says how often it came meanwhile.

    The same: from the same line of code, with the same kind of exception from the same place. An error that a client
    was given the trace id of is always told, without the traceback where that was told already.
    """

    def __init__(self) -> None:
        super().__init__()
        self._known: OrderedDict[tuple[object, ...], list[float]] = OrderedDict()
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        with self._lock:
            repeated = self._repeated(self._of(record), time.monotonic())
        if repeated is None:
            if not hasattr(record, "promised"):
                return False
            record.exc_info = record.exc_text = None
        elif repeated:
            record.repeated = repeated
        return True

    def _repeated(self, failure: tuple[object, ...], now: float) -> int | None:
        """How often it came while it was not told; None while it is not to be told."""
        known = self._known.get(failure)
        if known is not None and now < known[0]:
            known[1] += 1
            return None
        self._known[failure] = [now + QUIET_SECONDS, 0]
        self._known.move_to_end(failure)
        if len(self._known) > KNOWN_FAILURES:
            self._known.popitem(last=False)
        return int(known[1]) if known is not None else 0

    def _of(self, record: logging.LogRecord) -> tuple[object, ...]:
        kind, _, frame = record.exc_info or (None, None, None)
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        place = (frame.tb_frame.f_code.co_filename, frame.tb_lineno) if frame is not None else None
        return record.name, record.pathname, record.lineno, record.levelno, kind, place


def configuration() -> dict[str, Any]:
    """For logging.config.dictConfig, in this process and in Granian's. Raises BadSetting."""
    level = os.environ.get(LEVEL_VARIABLE, "INFO").upper()
    format = os.environ.get(FORMAT_VARIABLE) or ("text" if sys.stderr.isatty() else "json")
    if level not in LEVELS:
        raise BadSetting(f"{LEVEL_VARIABLE} is one of {', '.join(LEVELS)}; it is {level!r}.")
    if format not in FORMATS:
        raise BadSetting(f"{FORMAT_VARIABLE} is one of {', '.join(FORMATS)}; it is {format!r}.")
    stderr = {"class": "logging.StreamHandler", "formatter": format, "filters": ["of_request", "repeats"]}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": Json}, "text": {"()": Text}},
        "filters": {"of_request": {"()": OfRequest}, "repeats": {"()": Repeats}},
        "handlers": {"stderr": stderr},
        "root": {"handlers": ["stderr"], "level": level},
        # Granian fills up what is missing here with handlers of its own.
        "loggers": {name: {"handlers": [], "propagate": True} for name in ("_granian", "granian.access")},
    }


def configure() -> None:
    """Raises BadSetting."""
    logging.config.dictConfig(configuration())
