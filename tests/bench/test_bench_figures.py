"""Figures and a verdict, from what the load and the server report."""

import pytest

from streamd.bench.messages import Answer
from streamd.bench.metrics import Snapshot, look, metrics_url, read, spent
from streamd.bench.report import memory_per_stream
from streamd.bench.step import Bounds, sum_up
from streamd.bench.tally import Tally
from streamd.observability.metrics import Metrics

BOUNDS = Bounds(250)


def played(latencies=(), streams=2, seconds=10.0, is_cut=False, cpu_s=0.1, **given):
    """What one process of the load says of streams of 20 ms messages."""
    tally = Tally(0, seconds)
    tally.ready = streams
    tally.cpu_s = cpu_s
    for number in range(int(streams * seconds * 50)):
        tally.sent(0.0, number % 5 < 2)
    for latency_s in latencies:
        tally.received(1.0, "wake", latency_s)
    for lag_s in given.get("lags", ()):
        tally.acked(1.0, lag_s)
    for late_s in given.get("late", ()):
        tally.late(1.0, 1.0 - late_s)
    for name in ("refused", "lost"):
        for why in given.get(name, ()):
            getattr(tally, name)(why)
    for kind in given.get("shed", ()):
        tally.shed(1.0, kind)
    return Answer(played=tally.played(seconds), is_cut=is_cut)


def judged(*answers, streams=2, bounds=BOUNDS):
    return sum_up(streams, 20, answers, (None, None), bounds)


@pytest.mark.parametrize(
    ("given", "verdict", "why"),
    [
        ({"latencies": [0.01] * 99 + [9]}, "held", ""),
        ({"latencies": [0.01] * 98 + [9, 9]}, "latency", "p99 over 250 ms"),
        ({"lags": [0.9]}, "held", ""),
        ({"lags": [2.5]}, "lag", "acks 2.5 s behind"),
        ({"refused": ["HTTP 503"] * 3}, "refused", "refused: 3 × HTTP 503"),
        ({"lost": ["internal"]}, "lost", "lost: 1 × internal"),
        ({"shed": ["gap", "degraded", "gap"]}, "shed", "shed: 1 × degraded, 2 × gap"),
        ({"latencies": [1], "late": [0.1], "cpu_s": 9.9}, "load", "the load was late: 100 ms"),
        ({"latencies": [1], "late": [0.1]}, "latency", "p99 over 250 ms"),
        ({"latencies": [1], "cpu_s": 9.9}, "latency", "p99 over 250 ms"),
    ],
)
def test_a_verdict_names_the_plainest_reason(given, verdict, why) -> None:
    step = judged(played(**given))
    assert (step.verdict, step.why) == (verdict, why)
    assert step.has_held == (verdict == "held")


def test_streams_that_did_not_open_in_time_are_no_success() -> None:
    assert judged(played(streams=1)).why == "only 1 opened in time"


def test_processes_of_the_load_are_summed_up_as_one() -> None:
    one = played([0.1, 0.2], late=[0.001], cpu_s=1.0)
    two = played([0.3], late=[0.002], cpu_s=3.0)
    step = judged(one, two, streams=4)
    assert step.latency_ms["all"] == step.latency_ms["wake"]
    assert (step.latency_ms["wake"].n, step.latency_ms["wake"].p50) == (3, 200)
    assert step.voiced == 0.4
    assert step.late.p99_ms == pytest.approx(2, abs=0.01)
    assert step.late.cpu_ms == pytest.approx(1000 * 4 / (4 * 10))
    assert (step.late.busiest, step.late.processes) == (0.3, 2)


def test_what_falls_outside_of_the_time_measured_is_not_counted() -> None:
    tally = Tally(10, 20)
    for now in (9.9, 10.0, 19.9, 20.0):
        tally.received(now, "wake", 0.1)
        tally.sent(now, True)
        tally.late(now, now)
    found = tally.played(10)
    assert (len(found.latencies_ms["wake"]), found.messages) == (2, 2)
    tally.gave_up(7.0)
    assert (tally.has_failed, tally.played(10).worst_lag_ms) == (True, 7000)


def test_metrics_are_those_that_the_server_gives() -> None:
    metrics = Metrics()
    for seconds, items in ((0.002, 1), (0.004, 3)):
        metrics.pass_cpu.labels("vad").inc(seconds)
        metrics.batch_size.labels("vad").observe(items)
    metrics.streams_open.set(2)
    found = read(metrics.render()[0].decode(), 1.0)
    assert found.pass_s == {"vad": pytest.approx(0.006)}
    assert (found.items, found.batches) == ({"vad": 4}, {"vad": 2})
    assert found.sessions == 2
    assert found.version


def test_cost_is_shared_out_over_stages() -> None:
    before = Snapshot(at_s=100, cpu_s=5, pass_s={"vad": 1}, items={"vad": 10}, batches={"vad": 10})
    after = Snapshot(
        at_s=110, cpu_s=9, pass_s={"vad": 2, "voice": 1}, items={"vad": 90, "voice": 4},
        batches={"vad": 20, "voice": 2},
    )  # fmt: skip
    found = spent(before, after, 20)
    assert (found.cores, found.cpu_ms) == (0.4, 20)
    assert found.stages_ms == {"vad": 5, "voice": 5, "rest": 10}
    assert found.mean_batch == {"vad": 8, "voice": 2}


def test_a_server_that_does_not_report_its_cpu() -> None:
    found = spent(Snapshot(at_s=0), Snapshot(at_s=10, pass_s={"vad": 1}), 10)
    assert (found.cores, found.cpu_ms, found.stages_ms) == (None, None, {"vad": 10})


def test_memory_is_that_of_the_largest_step_while_the_number_grew() -> None:
    def step(streams, megabytes, lag_s=0.0):
        looks = tuple(Snapshot(at_s=s, resident_bytes=megabytes * 1e6) for s in (0, 10))
        return sum_up(streams, 20, [played(streams=streams, lags=[lag_s])], looks, BOUNDS)

    steps = [step(8, 104), step(16, 108), step(32, 120, 9.0), step(24, 140)]
    assert memory_per_stream(100e6, steps) == 500_000
    assert memory_per_stream(None, steps) is None
    assert memory_per_stream(100e6, []) is None


@pytest.mark.parametrize(
    ("stream", "metrics"),
    [
        ("ws://127.0.0.1:8765/v1/stream", "http://127.0.0.1:8765/metrics"),
        ("wss://voice.example/under/v1/stream?a=b", "https://voice.example/under/metrics"),
    ],
)
def test_metrics_lie_beside_the_stream(stream, metrics) -> None:
    assert metrics_url(stream) == metrics


def test_metrics_that_are_not_there_are_none() -> None:
    assert look("http://127.0.0.1:1/metrics") is None
