"""Spans on their way to a collector: bounded, counted, and part of the caller's trace."""

from collections.abc import Iterator

import pytest
from fakes.collector import Collector, collecting
from opentelemetry.sdk.trace.export import SpanExportResult
from structlog.testing import capture_logs
from waiting import HANG_S, until

from streamd.observability import otel
from streamd.observability.metrics import Metrics
from streamd.observability.otel import BATCH, MAX_WAITING, Otel
from streamd.observability.spans import Caller, file_span, within


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(otel, "FLUSH_S", HANG_S)  # a busy machine takes its time
    monkeypatch.setattr(otel, "SEND_S", HANG_S)
    with collecting() as running:
        yield running


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def tracing(collector: Collector, metrics: Metrics, ratio: float = 1.0) -> Otel:
    return Otel(f"{collector.url}/v1/traces", None, ratio, metrics)


def count(metrics: Metrics, result: str) -> float:
    return metrics.registry.get_sample_value("streamd_spans_total", {"result": result}) or 0.0


async def test_more_spans_than_may_wait_are_dropped_and_all_are_counted(
    collector: Collector, metrics: Metrics
):
    collector.answers.clear()
    on = tracing(collector, metrics)
    made = BATCH + MAX_WAITING + 100
    for _ in range(made):
        on.begin("utterance").end()
    dropped = count(metrics, "dropped")
    assert 100 <= dropped <= 100 + BATCH, "one batch may have been on its way"
    queue = {"queue": "spans"}
    assert metrics.registry.get_sample_value("streamd_queue_limit", queue) == MAX_WAITING
    waiting = metrics.registry.get_sample_value("streamd_queue_length", queue)
    assert waiting is not None
    assert waiting <= MAX_WAITING
    collector.answers.set()
    await until(lambda: sum(count(metrics, x) for x in ("sent", "failed", "dropped")) == made)
    assert metrics.registry.get_sample_value("streamd_queue_length", queue) == 0
    on.close()


def test_a_file_belongs_to_the_caller_of_its_request(collector: Collector, metrics: Metrics):
    on = tracing(collector, metrics)
    trace, parent = "a" * 32, "b" * 16
    headers = {"traceparent": f"00-{trace}-{parent}-01"}
    with within("POST /v1/detect", headers), file_span(on) as span:
        span.child("decode").end()
    with file_span(on):
        pass
    on.close()
    (of_request,) = collector.named("POST /v1/detect")
    assert (of_request.trace, of_request.parent) == (trace, parent)
    (decode,) = collector.named("decode")
    assert (decode.trace, decode.parent) == (trace, of_request.id)
    (alone,) = collector.named("file")
    assert alone.parent == ""


@pytest.mark.parametrize("header", ["", "nonsense", "00-" + "0" * 32 + "-" + "b" * 16 + "-01"])
def test_a_caller_that_makes_no_sense_is_none(collector: Collector, metrics: Metrics, header: str):
    on = tracing(collector, metrics)
    on.begin("utterance", caller=Caller(header)).end()
    on.close()
    assert [span.parent for span in collector.spans] == [""]


def test_no_share_sends_nothing_but_what_a_caller_asks_for(collector: Collector, metrics: Metrics):
    on = tracing(collector, metrics, ratio=0.0)
    on.begin("left out").end()
    on.begin("asked for", caller=Caller("00-" + "a" * 32 + "-" + "b" * 16 + "-01")).end()
    on.close()
    assert [span.name for span in collector.spans] == ["asked for"]


def test_the_error_that_ends_a_file_is_in_its_span(collector: Collector, metrics: Metrics):
    from streamd.errors import TooShort

    on = tracing(collector, metrics)
    with pytest.raises(TooShort), file_span(on):
        raise TooShort("a message that may name a file")
    with pytest.raises(ZeroDivisionError), file_span(on):
        raise ZeroDivisionError
    on.close()
    assert {span.attributes["error.type"] for span in collector.spans} == {
        "too_short",
        "ZeroDivisionError",
    }
    assert all(span.is_error for span in collector.spans)
    assert not any(b"may name a file" in body for body in collector.bodies)


class Failing:
    """An exporter that takes spans only when it is told to."""

    def __init__(self) -> None:
        self.takes: bool | None = False
        """None raises."""

    def export(self, spans: object) -> SpanExportResult:
        if self.takes is None:
            raise ConnectionError
        return SpanExportResult.SUCCESS if self.takes else SpanExportResult.FAILURE


def test_a_collector_that_is_away_is_logged_once_and_again_when_it_is_back(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(otel, "LOG_EVERY_S", 1e9)
    exporter = Failing()
    sender = otel._Sender(exporter, "http://collector", metrics)
    with capture_logs() as logs:
        for takes in (False, None, False, True, True, None):
            exporter.takes = takes
            sender.export([])
        monkeypatch.setattr(otel, "LOG_EVERY_S", 0.0)
        sender.export([])
    away, back = "traces are not delivered, and dropped", "traces are delivered again"
    assert [record["event"] for record in logs] == [away, back, away, away]


async def test_a_collector_that_never_answers_does_not_hold_up_the_end(
    collector: Collector, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(otel, "FLUSH_S", 0.0)
    collector.answers.clear()
    on = tracing(collector, metrics)
    on.begin("utterance").end()
    with capture_logs() as logs:
        on.close()  # returns, although nothing has been answered
    assert not collector.answers.is_set()
    assert [record["event"] for record in logs] == ["traces were not all delivered before the end"]
    collector.answers.set()
    await until(lambda: count(metrics, "sent") + count(metrics, "failed") == 1)
