"""Traces of a real server, at a collector that takes what OpenTelemetry's exporter sends."""

import asyncio
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import (
    DATA,
    RATE_HZ,
    Daemon,
    converse,
    cut,
    dial,
    next_event,
    say,
    silence,
    speech,
    trusts,
)
from fakes.collector import Collector, Span, collecting

SPEECH = DATA / "speech_slt.flac"
FAST = {"OTEL_BSP_SCHEDULE_DELAY": 50, "NO_PROXY": "*"}
"""Spans come soon; and no proxy of this machine is asked for the way to loopback."""
NOT_DELIVERED = "traces are not delivered, and dropped"
PARENT = "b7ad6b7169203331"
UTTERANCE = {
    "session",
    "utterance",
    "t0_ms",
    "t1_ms",
    "speech_ms",
    "cause",
    "lag_ms",
    "lag_ms.speaker",
    "lag_ms.emotion",
    "lag_ms.speech_end",
    "speaker_decision",
    "wake_words",
}


def traced(collector: Collector, **settings: object) -> dict[str, object]:
    """Settings of a daemon that sends its traces to a collector."""
    on = {"tracing__exporter": "otlp", "tracing__endpoint": collector.url}
    return {**on, **FAST, **settings}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Daemon]:
    home = tmp_path_factory.mktemp("traced")
    headers = home / "headers"
    headers.write_text("Authorization: Bearer of-the-collector\n\nX-Scope: home\n")
    headers.chmod(0o600)
    with Daemon(home, **traced(collector, tracing__headers_path=headers)) as running:
        yield running
    assert running.complaints() == []


def parent(trace: str, *, sampled: bool = True) -> dict[str, str]:
    return {"traceparent": f"00-{trace}-{PARENT}-{int(sampled):02}"}


def post(daemon: Daemon, path: str, body: bytes, **headers: str) -> int:
    request = urllib.request.Request(daemon.http_url + path, body, headers)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusts(daemon.url))
    )
    try:
        with opener.open(request) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code


def streamd_attributes(span: Span) -> set[str]:
    return {name.removeprefix("streamd.") for name in span.attributes}


async def spoken(daemon: Daemon, trace: str) -> list[dict[str, object]]:
    """The events of two utterances, sent by a client that has a trace."""
    async with dial(daemon.url, ssl=trusts(daemon.url), additional_headers=parent(trace)) as stream:
        for message in cut(speech("slt") + silence(1) + speech("rms") + silence(1)):
            await say(stream, message)
        await say(stream, {"type": "end"})
        return [json.loads(text) async for text in stream]


async def test_each_utterance_is_one_span_of_the_clients_trace(
    daemon: Daemon, collector: Collector
):
    trace = "1" * 32
    events = await spoken(daemon, trace)
    ended = {e["utterance"]: e for e in events if e["type"] == "speech_end"}
    assert len(ended) >= 2
    await daemon.eventually(lambda: len(collector.named("utterance", trace)) >= len(ended))
    spans = {s.attributes["streamd.utterance"]: s for s in collector.named("utterance", trace)}
    assert spans.keys() == ended.keys()
    assert len(collector.named("utterance", trace)) == len(ended)
    for utterance, span in spans.items():
        event = ended[utterance]
        assert (span.parent, span.is_error) == (PARENT, False)
        assert span.end_ns >= span.start_ns
        assert span.attributes["streamd.t0_ms"] == event["t0"]
        assert span.attributes["streamd.t1_ms"] == event["t1"]
        assert span.attributes["streamd.speech_ms"] == event["speech_ms"]
        assert span.attributes["streamd.cause"] == event["cause"]
        assert streamd_attributes(span) <= UTTERANCE
        assert span.resource["service.name"] == "streamd"
    decided = {
        e["utterance"]: e["decision"] for e in events if e["type"] == "speaker" and e["final"]
    }
    for utterance, decision in decided.items():
        assert spans[utterance].attributes["streamd.speaker_decision"] == decision
    assert any("streamd.lag_ms" in span.attributes for span in spans.values())


async def test_an_utterance_whose_socket_drops_is_one_span_of_the_first_connection(
    daemon: Daemon, collector: Collector
):
    first, second = "7" * 32, "8" * 32
    audio = speech("slt") + silence(1)
    options = {"ssl": trusts(daemon.url)}
    async with dial(daemon.url, additional_headers=parent(first), **options) as stream:
        await say(stream, {"type": "hello"})
        ready = await next_event(stream, "ready")
        await say(stream, audio[: 2 * RATE_HZ])  # a second, in which no utterance ends
        begun = await next_event(stream, "speech_start")
        stream.transport.abort()
    assert collector.named("utterance", first) == [], "it goes on"
    resume = {"token": ready["resume"]["token"], "last_seq": begun["seq"]}
    async with dial(daemon.url, additional_headers=parent(second), **options) as stream:
        await say(stream, {"type": "hello", "resume": resume})
        again = await next_event(stream, "ready")
        for message in cut(audio[2 * again["have_samples"] :]):
            await say(stream, message)
        await say(stream, {"type": "end"})
        events = [json.loads(text) async for text in stream]
    ended = sorted(e["utterance"] for e in events if e["type"] == "speech_end")
    await daemon.eventually(lambda: len(collector.named("utterance", first)) >= len(ended))
    spans = collector.named("utterance", first)
    assert sorted(span.attributes["streamd.utterance"] for span in spans) == ended
    assert begun["utterance"] in ended
    assert collector.named("utterance", second) == []


async def test_without_a_caller_each_utterance_has_a_trace_of_its_own(
    daemon: Daemon, collector: Collector
):
    events = (await converse(daemon.url, [*cut(speech("awb")), {"type": "end"}])).events
    session = next(e["session"] for e in events if e["type"] == "ready")
    count = sum(e["type"] == "speech_end" for e in events)

    def own() -> list[Span]:
        spans = collector.named("utterance")
        return [s for s in spans if s.attributes["streamd.session"] == session]

    await daemon.eventually(lambda: len(own()) == count)
    assert {span.parent for span in own()} == {""}
    assert len({span.trace for span in own()}) == count


async def test_a_caller_that_does_not_sample_has_no_spans(daemon: Daemon, collector: Collector):
    left_out, after = "2" * 32, "3" * 32
    body = SPEECH.read_bytes()
    assert (
        await asyncio.to_thread(
            post, daemon, "/v1/analyze", body, **parent(left_out, sampled=False)
        )
        == 200
    )
    assert await asyncio.to_thread(post, daemon, "/v1/analyze", body, **parent(after)) == 200
    await daemon.eventually(lambda: bool(collector.named("POST /v1/analyze", after)))
    assert collector.named("POST /v1/analyze", left_out) == []


async def test_a_file_is_a_span_with_what_was_done_inside(daemon: Daemon, collector: Collector):
    trace = "4" * 32
    body = SPEECH.read_bytes()
    assert await asyncio.to_thread(post, daemon, "/v1/analyze", body, **parent(trace)) == 200
    await daemon.eventually(lambda: bool(collector.named("POST /v1/analyze", trace)))
    (span,) = collector.named("POST /v1/analyze", trace)
    assert (span.parent, span.is_error) == (PARENT, False)
    assert streamd_attributes(span) == {"bytes", "audio_ms"}
    assert span.attributes["streamd.bytes"] == len(body)
    for name in ("decode", "models"):
        (inside,) = collector.named(name, trace)
        assert inside.parent == span.id
        assert span.start_ns <= inside.start_ns <= inside.end_ns <= span.end_ns


async def test_a_file_that_is_none_is_a_span_with_the_error(daemon: Daemon, collector: Collector):
    trace = "5" * 32
    assert (
        await asyncio.to_thread(post, daemon, "/v1/analyze", b"no audio" * 99, **parent(trace))
        == 415
    )
    await daemon.eventually(lambda: bool(collector.named("POST /v1/analyze", trace)))
    (span,) = collector.named("POST /v1/analyze", trace)
    assert (span.is_error, span.attributes["error.type"]) == (True, "not_audio")


async def test_each_file_of_a_request_is_a_span_also_one_that_is_remembered(
    daemon: Daemon, collector: Collector
):
    trace = "6" * 32
    form = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="%s"; filename="Zebulon.flac"\r\n\r\n%s\r\n'
        % (name, (DATA / f"speech_{voice}.flac").read_bytes())
        for name, voice in ((b"reference", "slt"), (b"tests", "rms"), (b"tests", "slt"))
    )
    headers = {"Content-Type": "multipart/form-data; boundary=x", **parent(trace)}
    path = "/v1/batch-verify"
    assert await asyncio.to_thread(post, daemon, path, form + b"--x--\r\n", **headers) == 200
    assert await asyncio.to_thread(post, daemon, path, form + b"--x--\r\n", **headers) == 200
    await daemon.eventually(lambda: len(collector.named(f"POST {path}", trace)) == 6)
    spans = collector.named(f"POST {path}", trace)
    assert sum(span.attributes.get("streamd.remembered", False) for span in spans) >= 3
    assert not any(b"Zebulon" in body for body in collector.bodies), "a file's name is nobody's"


async def test_the_collector_gets_its_headers(daemon: Daemon, collector: Collector):
    await asyncio.to_thread(post, daemon, "/v1/analyze", SPEECH.read_bytes())
    await daemon.eventually(lambda: bool(collector.headers))
    assert {one["authorization"] for one in collector.headers} == {"Bearer of-the-collector"}
    assert {one["x-scope"] for one in collector.headers} == {"home"}
    await daemon.eventually(lambda: daemon.metric("streamd_spans_total", result="sent") > 0)


async def test_a_collector_that_is_away_costs_a_log_record_and_the_spans(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    settings = {"tracing__exporter": "otlp", "tracing__endpoint": url, **FAST}
    with Daemon(tmp_path, **settings) as daemon:
        events = (await converse(daemon.url, [*cut(speech()), {"type": "end"}])).events
        assert events[-1]["type"] == "bye"
        await daemon.eventually(lambda: daemon.metric("streamd_spans_total", result="failed") > 0)
        await daemon.eventually(lambda: bool(daemon.records(NOT_DELIVERED)))
        assert daemon.stop() == 0
    assert daemon.complaints() == []


async def test_a_collector_that_never_answers_holds_up_neither_a_stream_nor_the_end(
    tmp_path: Path,
):
    with collecting() as slow:
        slow.answers.clear()
        with Daemon(tmp_path, **traced(slow)) as daemon:
            for _ in range(2):
                events = (await converse(daemon.url, [*cut(speech()), {"type": "end"}])).events
                assert events[-1]["type"] == "bye"
            assert daemon.stop() == 0
    assert daemon.records("stopped")
    assert slow.spans == []


async def test_the_last_spans_are_sent_before_the_end(tmp_path: Path):
    with collecting() as collector:
        settings = traced(collector, OTEL_BSP_SCHEDULE_DELAY=3_600_000)
        with Daemon(tmp_path, **settings) as daemon:
            events = (await converse(daemon.url, [*cut(speech()), {"type": "end"}])).events
            assert collector.spans == [], "they wait for their time"
            assert daemon.stop() == 0
        if not daemon.records("traces were not all delivered before the end"):
            ended = sum(event["type"] == "speech_end" for event in events)
            assert len(collector.named("utterance")) == ended
