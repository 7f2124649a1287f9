"""What /metrics says."""

import re
from pathlib import Path

import pytest
from metric_families import families, samples
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from streamd.observability.metrics import Metrics

PAGE = Path(__file__).parents[2] / "docs/run/metrics.md"
PAGES = [
    page
    for page in (PAGE.parents[1]).rglob("*.md")
    if "recipes" not in page.parts and "`streamd_" in page.read_text()
]
PROCESS = (
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_start_time_seconds",
    "process_open_fds",
    "process_max_fds",
)
LABELS = {
    "status",
    "code",
    "kind",
    "type",
    "pass",
    "lane",
    "model",
    "queue",
    "cause",
    "reason",
    "operation",
    "result",
    "word",
    "decision",
    "emotion",
    "id",
    "version",
    "license",
    "backend",
    "precision",
}


def test_what_was_counted_is_rendered() -> None:
    metrics = Metrics()
    metrics.streams_open.inc()
    metrics.streams.labels(1000).inc()
    metrics.audio_seconds.inc(1.5)
    metrics.jobs.labels("ge2e", "final").inc(3)
    metrics.jobs_waiting.labels("ge2e", "final").set(4)
    metrics.queue("audit", 1000, lambda: 7)
    metrics.batch_size.labels("vad").observe(8)
    metrics.job_wait.labels("live").observe(0.003)
    shown = metrics.render()[0].decode().splitlines()
    for line in (
        "streamd_streams_open 1.0",
        'streamd_streams_total{code="1000"} 1.0',
        "streamd_audio_seconds_total 1.5",
        'streamd_jobs_total{lane="final",pass="ge2e"} 3.0',
        'streamd_jobs_waiting{lane="final",pass="ge2e"} 4.0',
        'streamd_queue_limit{queue="audit"} 1000.0',
        'streamd_queue_length{queue="audit"} 7.0',
        'streamd_batch_size_bucket{le="4.0",pass="vad"} 0.0',
        'streamd_batch_size_bucket{le="8.0",pass="vad"} 1.0',
        'streamd_job_wait_seconds_sum{lane="live"} 0.003',
    ):
        assert line in shown
    assert not any("_created" in line for line in shown)


def test_two_apps_in_one_process_count_apart() -> None:
    one, two = Metrics(), Metrics()
    one.received_bytes.inc(10)
    assert b"streamd_received_bytes_total 10.0" in one.render()[0]
    assert b"streamd_received_bytes_total 0.0" in two.render()[0]


def test_no_label_grows_with_sessions() -> None:
    metrics = vars(Metrics())
    assert isinstance(metrics.pop("registry"), CollectorRegistry)
    for metric in metrics.values():
        assert isinstance(metric, Counter | Gauge | Histogram)
        assert set(metric._labelnames) <= LABELS


def documented() -> dict[str, set[str]]:
    """The labels of each metric in the table for operators."""
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|", PAGE.read_text(), re.MULTILINE)
    assert len(rows) == len(dict(rows))
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


def test_the_table_for_operators_has_every_metric_with_its_labels() -> None:
    assert documented() == families() | {name: set() for name in PROCESS}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_names_no_metric_that_is_not_there(page: Path) -> None:
    named = set(re.findall(r"`(streamd_[a-z_]+)[`{]", page.read_text()))
    assert named <= families().keys() | samples()


def test_the_content_type_is_prometheus_text() -> None:
    body, content_type = Metrics().render()
    assert content_type.startswith("text/plain; version=")
    assert b'streamd_build_info{version="' in body
