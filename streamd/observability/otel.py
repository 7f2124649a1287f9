"""OpenTelemetry: sends spans to a collector. Only this file imports it.

A thread of the SDK sends them in batches. The event loop only appends to a queue that is bounded:
while no collector answers, the newest spans are dropped and counted, and nothing waits.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from streamd import __version__, wall_clock
from streamd.display import without_password
from streamd.observability.metrics import Metrics
from streamd.observability.spans import Caller, Span, Value

log = structlog.get_logger("streamd.tracing")

MAX_WAITING = 2048
"""Spans that wait to be sent; the next is dropped."""
BATCH = 512
"""Spans in one request to the collector."""
SEND_S = 5.0
"""Seconds that one request may take, with all attempts."""
FLUSH_S = 2.0
"""Seconds that the end of the server waits for the last spans."""
LOG_EVERY_S = 60.0
"""Seconds between two log records about a collector that does not answer."""
_PROPAGATOR = TraceContextTextMapPropagator()


class Otel:
    """Tracing by OpenTelemetry, to a collector that speaks OTLP over HTTP.

    Args:
        endpoint: URL for traces.
        headers: HTTP headers of each request; None takes `OTEL_EXPORTER_OTLP_HEADERS`.
        sample_ratio: Share of the traces without a caller that are sent; a caller decides for its
            own.
        metrics: Counts the spans.
    """

    is_on = True

    def __init__(
        self,
        endpoint: str,
        headers: Mapping[str, str] | None,
        sample_ratio: float,
        metrics: Metrics,
    ) -> None:
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # `_Sender` says it, rarely
        exporter = OTLPSpanExporter(endpoint=endpoint, headers=headers, timeout=SEND_S)
        sender = _Sender(exporter, without_password(endpoint), metrics)
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
            resource=Resource.create({"service.name": "streamd", "service.version": __version__}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(_Bounded(sender, metrics))
        self._tracer = self._provider.get_tracer("streamd", __version__)

    def begin(self, name: str, began_s: float | None = None, caller: Caller | None = None) -> Span:
        """Begin a span."""
        context = Context()
        if caller is not None:
            carrier = {"traceparent": caller.traceparent, "tracestate": caller.tracestate}
            context = _PROPAGATOR.extract(carrier, context)
        # The clock's offset as it is now holds for the span and all inside of it.
        offset_ns = wall_clock.now_ns() - time.monotonic_ns()
        began_ns = time.monotonic_ns() if began_s is None else int(began_s * 1e9)
        return _Span(self._tracer, name, SpanKind.SERVER, began_ns, context, offset_ns)

    def close(self) -> None:
        """Send what waits, for as long as the end of the server may wait. It blocks."""
        # The SDK would wait for half a minute.
        thread = threading.Thread(target=self._provider.shutdown, daemon=True, name="traces-end")
        thread.start()
        thread.join(FLUSH_S)
        if thread.is_alive():
            log.warning("traces were not all delivered before the end")


class _Span:
    """A span of the SDK.

    Args:
        tracer: Makes it.
        name: Its name.
        kind: Whether a client is waiting for it, or it is a part of another.
        began_ns: When it began, on the monotonic clock.
        context: What it is inside of.
        offset_ns: Nanoseconds from the monotonic clock to the wall clock.
    """

    def __init__(
        self,
        tracer: Tracer,
        name: str,
        kind: SpanKind,
        began_ns: int,
        context: Context,
        offset_ns: int,
    ) -> None:
        self._tracer = tracer
        self._context = context
        self._offset_ns = offset_ns
        self._span = tracer.start_span(name, context, kind, start_time=began_ns + offset_ns)

    def note(self, name: str, value: Value) -> None:
        """Set an attribute."""
        self._span.set_attribute(f"streamd.{name}", value)

    def child(self, name: str) -> Span:
        """Begin a span inside of this one, now."""
        inside = set_span_in_context(self._span, self._context)
        now_ns = time.monotonic_ns()
        return _Span(self._tracer, name, SpanKind.INTERNAL, now_ns, inside, self._offset_ns)

    def end(self, fault: str | None = None) -> None:
        """End it now."""
        if fault is not None:
            self._span.set_attribute("error.type", fault)
            self._span.set_status(Status(StatusCode.ERROR, fault))
        self._span.end(time.monotonic_ns() + self._offset_ns)


class _Sender(SpanExporter):
    """Sends batches, on the thread of the SDK; counts them, and logs a collector that is away."""

    def __init__(self, exporter: OTLPSpanExporter, endpoint: str, metrics: Metrics) -> None:
        self._exporter = exporter
        self._spans = metrics.spans
        self._endpoint = endpoint
        self._said_s: float | None = None
        """When the log last had that nothing is delivered, monotonic seconds; None if it is."""
        self.waiting = 0
        """Spans that wait."""
        self.lock = threading.Lock()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch."""
        with self.lock:
            self.waiting -= len(spans)
        try:
            is_sent = self._exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception:  # whatever the HTTP library of an older exporter raises
            is_sent = False
        self._spans.labels("sent" if is_sent else "failed").inc(len(spans))
        self._say(is_sent)
        return SpanExportResult.SUCCESS if is_sent else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Send nothing more."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _say(self, is_sent: bool) -> None:
        now_s = time.monotonic()
        if is_sent:
            if self._said_s is not None:
                log.info("traces are delivered again", endpoint=self._endpoint)
            self._said_s = None
        elif self._said_s is None or now_s - self._said_s >= LOG_EVERY_S:
            self._said_s = now_s
            log.warning(
                "traces are not delivered, and dropped",
                endpoint=self._endpoint,
                advice="does a collector listen there, for OTLP over HTTP? tracing.endpoint",
            )


class _Bounded(SpanProcessor):
    """Queues spans that ended, up to a bound."""

    def __init__(self, sender: _Sender, metrics: Metrics) -> None:
        self._sender = sender
        self._metrics = metrics
        metrics.queue("spans", MAX_WAITING, lambda: sender.waiting)
        self._batches = BatchSpanProcessor(
            sender,
            max_queue_size=MAX_WAITING,
            max_export_batch_size=BATCH,
        )

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span, or drop it."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        with self._sender.lock:
            is_full = self._sender.waiting >= MAX_WAITING
            if not is_full:
                self._sender.waiting += 1
        if is_full:
            self._metrics.spans.labels("dropped").inc()
        else:
            self._batches.on_end(span)

    def shutdown(self) -> None:
        """Send what waits."""
        self._batches.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits now."""
        return self._batches.force_flush(timeout_millis)
