"""Which trace the work at hand belongs to (W3C Trace Context), and spans around its steps where somebody collects them.

Where nobody does, a span costs a comparison, and OpenTelemetry is not imported: `api/telemetry.py` says whether.
"""

import re
from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import Link, Tracer

LINKS_LIMIT = 100

_WELL_FORMED = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")

given: ContextVar[str | None] = ContextVar("traceparent", default=None)
"""The `traceparent` that came with the request, if it was one."""

_tracer: "Tracer | None" = None
_NO_SPAN: AbstractContextManager[None] = nullcontext()


def collect(tracer: "Tracer | None") -> None:
    """From now on, of the whole process. None: no longer."""
    global _tracer
    _tracer = tracer


def current() -> str | None:
    """The `traceparent` to hand on, and to record with what is written: of the span at hand, or that was given."""
    if _tracer is None:
        return given.get()
    from opentelemetry.trace import get_current_span

    context = get_current_span().get_span_context()
    if not context.is_valid:
        return given.get()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def span(name: str, *, of: Iterable[str | None] = ()) -> AbstractContextManager[None]:
    """`of`: the `traceparent`s of what is worked on, where that began elsewhere; linked, so many as LINKS_LIMIT."""
    return _NO_SPAN if _tracer is None else _span(_tracer, name, of)


@contextmanager
def _span(tracer: "Tracer", name: str, of: Iterable[str | None]) -> Generator[None]:
    from opentelemetry.trace import StatusCode

    # An exception's message may hold what people wrote: of it, a span tells the type alone.
    with tracer.start_as_current_span(
        name, links=_links(of), record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield
        except Exception as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR)
            raise


def _links(of: Iterable[str | None]) -> "list[Link]":
    from opentelemetry.trace import Link, SpanContext, TraceFlags

    links: list[Link] = []
    for traceparent in dict.fromkeys(of):
        parts = _WELL_FORMED.fullmatch(traceparent or "")
        if parts is not None and len(links) < LINKS_LIMIT:
            trace_id, span_id, flags = (int(part, 16) for part in parts.groups())
            links.append(Link(SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))))
    return links


def well_formed(traceparent: str | None) -> str | None:
    """None for what is no `traceparent`."""
    return traceparent if traceparent is not None and _WELL_FORMED.fullmatch(traceparent) else None
