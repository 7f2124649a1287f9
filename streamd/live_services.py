"""What all live streams share, as a configuration asks for it."""

from __future__ import annotations

import time

from streamd.compose import Parts
from streamd.config import Config
from streamd.live.enrolling import Store
from streamd.live.event_counts import EventCounts
from streamd.live.headroom import Bounds
from streamd.live.held import MAX_ENDING, Held, ResumeLimits
from streamd.live.load import LATE, Load
from streamd.live.services import Limits, Services
from streamd.live.ticks import Ticks
from streamd.modules.kept_voices import MAX_KEPT
from streamd.observability.cores import usable_cpus
from streamd.observability.metrics import Metrics
from streamd.observability.spans import Tracing
from streamd.session.planner import MAX_IN_FLIGHT
from streamd.session.session import MAX_MARKS
from streamd.store.watch import GalleryWatcher


def make_services(
    config: Config,
    parts: Parts,
    watcher: GalleryWatcher,
    ticks: Ticks,
    enrol: Store,
    tracing: Tracing,
) -> Services:
    """Return what all live streams share, and report its bounds.

    Args:
        config: The configuration in force.
        parts: Models and engine.
        watcher: Knows the voices and words of each tenant.
        ticks: Advance the streams.
        enrol: Enrols voices that spoke in streams.
        tracing: Makes spans.
    """

    def cpu_s() -> float:
        # Text takes only the time that everything else leaves, and sheds by itself.
        return time.process_time() - parts.text_cpu_s()

    limits, resume = _limits(config), config.resume
    _report(config, parts.metrics)
    bounds = Bounds(
        cores=usable_cpus(),
        max_load=config.limits.max_load,
        max_lag_s=limits.max_lag_s * LATE,
        max_loop_lag_s=config.limits.max_loop_lag_ms / 1000,
    )
    return Services(
        engine=parts.engine,
        ticks=ticks,
        registry=parts.registry,
        gallery=watcher.gallery,
        words=watcher.words,
        keep=watcher.keep,
        metrics=parts.metrics,
        counts=EventCounts(parts.metrics, parts.registry),
        limits=limits,
        ring_s=config.session.ring_s,
        load=Load(parts.engine, bounds, parts.metrics, cpu_s),
        enrol=enrol,
        tracing=tracing,
        held=Held(
            ResumeLimits(
                window_s=resume.window_s,
                max_held=resume.max_held,
                max_events=resume.max_events,
                max_bytes=resume.max_memory_mb * 1_000_000,
                max_per_key=config.limits.streams_per_key,
            ),
            parts.metrics,
        ),
    )


def _limits(config: Config) -> Limits:
    limits = config.limits
    return Limits(
        max_streams=limits.max_streams,
        max_message_bytes=limits.max_message_bytes,
        max_lag_ms=min(limits.max_lag_ms, config.longest_lag_ms),
        idle_s=limits.idle_s,
        max_session_s=limits.max_session_s,
        max_events_queued=limits.max_events_queued,
        messages_per_s=limits.messages_per_s,
    )


def _report(config: Config, metrics: Metrics) -> None:
    """Report the bounds of the configuration beside what they bound."""
    limits, resume = config.limits, config.resume
    metrics.streams_limit.set(limits.max_streams)
    metrics.streams_held_limit.labels("dropped").set(resume.max_held)
    metrics.streams_held_limit.labels("ended").set(resume.max_held)
    metrics.streams_held_limit.labels("ending").set(MAX_ENDING)
    metrics.streams_held_limit_bytes.set(resume.max_memory_mb * 1_000_000)
    metrics.stream_ring.set(config.session.ring_s)
    for queue, bound in (
        ("events", limits.max_events_queued),
        ("log_events", resume.max_events),
        ("marks", MAX_MARKS),
        ("kept_voices", MAX_KEPT),
        ("windows_in_flight", MAX_IN_FLIGHT),
    ):
        metrics.stream_queue_limit.labels(queue).set(bound)
