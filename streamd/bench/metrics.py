"""The server's `/metrics`, and the difference between two looks at it."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from http.client import HTTPException
from urllib.parse import urlsplit, urlunsplit

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from streamd.client.credentials import authorization

TIMEOUT_S = 10.0
STREAM_PATH = "/v1/stream"


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The server at one moment."""

    at_s: float
    """Monotonic seconds."""
    version: str = ""
    cpu_s: float | None = None
    """CPU seconds of the server; None if it does not run on Linux."""
    busy_s: float | None = None
    """Busy seconds of this machine's cores, for all programs; None if the server runs elsewhere."""
    resident_bytes: float | None = None
    sessions: int = 0
    """Open streams."""
    pass_s: dict[str, float] = {}
    """CPU time of all batches, by pass."""
    items: dict[str, float] = {}
    """Items in all batches, by pass."""
    batches: dict[str, float] = {}


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """Resources that the server used between two snapshots."""

    cores: float | None
    """Busy cores on average; None if the server does not report it."""
    cpu_ms: float | None
    """CPU milliseconds per stream-second."""
    stages_ms: dict[str, float]
    """The same by pass, CPU of its batches; `rest` is the other CPU."""
    mean_batch: dict[str, float]
    """Mean items in a batch, by pass."""
    items_per_s: dict[str, float] = {}
    """Frames, steps or windows per second and stream, by pass."""


def metrics_url(stream_url: str) -> str:
    """Return the URL of the metrics of the server of a stream."""
    parts = urlsplit(stream_url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    path = parts.path.removesuffix(STREAM_PATH).rstrip("/") + "/metrics"
    return urlunsplit((scheme, parts.netloc, path, "", ""))


def look(url: str, key: str | None = None) -> Snapshot | None:
    """Read the server's metrics.

    Args:
        url: Of the metrics.
        key: API key, checked; None for none.

    Returns:
        None if the server does not answer, or does not show them to this key.
    """
    handlers = []
    if urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1"):
        handlers.append(urllib.request.ProxyHandler({}))  # no proxy for loopback
    request = urllib.request.Request(url)
    for name, value in authorization(key).items():
        request.add_unredirected_header(name, value)  # another host does not get the key
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=TIMEOUT_S) as answer:
            text = answer.read().decode()
        return read(text, time.monotonic())
    except (urllib.error.URLError, HTTPException, OSError, ValueError):
        return None


def read(text: str, at_s: float) -> Snapshot:
    """Parse a body of `/metrics`.

    Raises:
        ValueError: it is not one.
    """
    plain: dict[str, float] = {}
    by_pass: dict[str, dict[str, float]] = {}
    version = ""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if "pass" in sample.labels and "le" not in sample.labels:
                by_pass.setdefault(sample.name, {})[sample.labels["pass"]] = sample.value
            elif not sample.labels:
                plain[sample.name] = sample.value
            version = sample.labels.get("version", version)
    return Snapshot(
        at_s=at_s,
        version=version,
        cpu_s=plain.get("process_cpu_seconds_total"),
        resident_bytes=plain.get("process_resident_memory_bytes"),
        sessions=int(plain.get("streamd_streams_open", 0)),
        pass_s=by_pass.get("streamd_pass_cpu_seconds_total", {}),
        items=by_pass.get("streamd_batch_size_sum", {}),
        batches=by_pass.get("streamd_batch_size_count", {}),
    )


def spent(before: Snapshot, after: Snapshot, streams: int) -> Spent:
    """Return the difference of two snapshots.

    Args:
        before: the earlier look.
        after: the later one.
        streams: streams that played in real time between them.
    """
    wall_s = after.at_s - before.at_s

    def per_stream(seconds: float) -> float:
        return round(1000 * seconds / (wall_s * streams), 3)

    def grown(now: dict[str, float], then: dict[str, float]) -> dict[str, float]:
        return {name: value - then.get(name, 0.0) for name, value in now.items()}

    kernels = grown(after.pass_s, before.pass_s)
    stages = {name: per_stream(seconds) for name, seconds in sorted(kernels.items()) if seconds}
    cpu_ms = cores = None
    if before.cpu_s is not None and after.cpu_s is not None:
        cpu_s = after.cpu_s - before.cpu_s
        cores, cpu_ms = round(cpu_s / wall_s, 3), per_stream(cpu_s)
        stages["rest"] = max(round(cpu_ms - sum(stages.values()), 3), 0.0)
    batches = grown(after.batches, before.batches)
    given = {name: n for name, n in sorted(grown(after.items, before.items).items()) if n}
    return Spent(
        cores=cores,
        cpu_ms=cpu_ms,
        stages_ms=stages,
        mean_batch={
            name: round(items / batches[name], 2)
            for name, items in given.items()
            if batches.get(name)
        },
        items_per_s={name: round(n / (wall_s * streams), 3) for name, n in given.items()},
    )
