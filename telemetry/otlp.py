"""Export of spans to an OpenTelemetry collector by OTLP over HTTP. Loaded only if `THREADA_OTLP_ENDPOINT` is set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from threada_site.kernel.tracing import Kind, Value

_KINDS: Final = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "consumer": SpanKind.CONSUMER,
    "internal": SpanKind.INTERNAL,
}
_EVERY_MS: Final = 1000
_PATIENCE_S: Final = 5.0
_propagator: Final = TraceContextTextMapPropagator()


class _Span:
    def __init__(self, span: OtelSpan) -> None:
        self._span = span
        context = span.get_span_context()
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def note(self, **attributes: Value) -> None:
        self._span.set_attributes({name.replace("__", "."): value for name, value in attributes.items()})

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def fail(self, reason: str) -> None:
        self._span.set_status(Status(StatusCode.ERROR, reason))


class OtlpTracer:
    """Collects the spans of this process and sends them every second in a separate thread. Drops spans that the
    collector does not accept; no request waits for it."""

    def __init__(self, endpoint: str, *, version: str) -> None:
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "threada", "service.version": version})
        )
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=_PATIENCE_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=_EVERY_MS))
        self._tracer = self._provider.get_tracer("threada", version)

    @contextmanager
    def span(
        self, name: str, kind: Kind, *, parent: str, started_ns: int | None, attributes: Mapping[str, Value]
    ) -> Iterator[_Span]:
        """Open a span, see `Tracer.span`. Only the class of an exception is recorded, because its text may be
        confidential."""
        context = _propagator.extract({"traceparent": parent}) if parent else None
        span = self._tracer.start_span(
            name, context=context, kind=_KINDS[kind], start_time=started_ns, attributes=dict(attributes)
        )
        try:
            yield _Span(span)
        except BaseException as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            span.end()

    def flush(self) -> None:
        """Send all collected spans now."""
        self._provider.force_flush()
