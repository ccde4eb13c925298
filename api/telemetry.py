"""OpenTelemetry, where OTEL_EXPORTER_OTLP_ENDPOINT says where spans go to. Else nothing of it is imported."""

import logging
import os
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from application.event_store import tracing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

log = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

_provider: "TracerProvider | None" = None


def start(exporter: Any = None) -> None:
    """Of this process, once. `exporter`: in place of the one that the environment configures.

    Raises ModuleNotFoundError where the environment asks for what is not installed.
    """
    global _provider
    if _provider is not None or (exporter is None and not any(os.environ.get(one) for one in ENDPOINTS)):
        return
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    if exporter is None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter()
    name = os.environ.get("OTEL_SERVICE_NAME", "proteus")
    _provider = TracerProvider(resource=Resource.create({"service.name": name, "service.version": version("proteus")}))
    _provider.add_span_processor(BatchSpanProcessor(exporter))  # a bounded queue: what does not fit is dropped
    tracing.collect(_provider.get_tracer("proteus", version("proteus")))


def stop() -> None:
    """Sends what waits, and collects no more."""
    global _provider
    tracing.collect(None)
    if _provider is not None:
        _provider.shutdown()
        _provider = None


@contextmanager
def request_span(traceparent: str | None) -> Generator["Span | None"]:
    """Around a request; what is done in it belongs to the trace that the client named."""
    token = tracing.given.set(traceparent)
    try:
        if _provider is None:
            yield None
        else:
            with _server_span(_provider, traceparent) as span:
                yield span
    finally:
        tracing.given.reset(token)


def _server_span(provider: "TracerProvider", traceparent: str | None) -> "AbstractContextManager[Span]":
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    parent = TraceContextTextMapPropagator().extract({"traceparent": traceparent} if traceparent else {})
    return provider.get_tracer("proteus", version("proteus")).start_as_current_span(
        "request", context=parent, kind=SpanKind.SERVER, record_exception=False, set_status_on_exception=False
    )


def tell(span: "Span | None", kind: str, operation: str | None, code: str, status: int) -> None:
    """What became of a request."""
    if span is None:
        return
    from opentelemetry.trace import StatusCode

    span.update_name(kind)
    span.set_attribute("graphql.operation.type", kind)
    span.set_attribute("http.response.status_code", status)
    if operation:
        span.set_attribute("graphql.operation.name", operation)
    if code != "OK":
        span.set_attribute("error.type", code)
        span.set_status(StatusCode.ERROR)
