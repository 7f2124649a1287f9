"""The parts and limits that all live streams share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from streamd.engine.base import Engine
from streamd.live.enrolling import Store
from streamd.live.event_counts import EventCounts
from streamd.live.held import Held
from streamd.live.load import Load
from streamd.live.ticks import Ticks
from streamd.modules.gallery import Gallery
from streamd.modules.registry import Registry
from streamd.modules.words import CustomWords
from streamd.observability.metrics import Metrics
from streamd.observability.spans import OFF, Tracing


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one stream, and of the number of streams."""

    max_streams: int
    max_message_bytes: int
    max_lag_ms: int
    """0 sets no bound."""
    idle_s: int
    max_session_s: int
    max_events_queued: int
    messages_per_s: int
    """Those without audio; 0 sets no bound."""

    @property
    def max_lag_s(self) -> float:
        """Return the seconds that a window may be late; infinity without a bound."""
        return self.max_lag_ms / 1000 if self.max_lag_ms else math.inf

    def described(self) -> dict[str, int]:
        """Return the `limits` of `ready`."""
        return {
            "max_message_bytes": self.max_message_bytes,
            "max_lag_ms": self.max_lag_ms,
            "idle_s": self.idle_s,
            "max_session_s": self.max_session_s,
        }


@dataclass(frozen=True, slots=True)
class Services:
    """The parts that all streams share."""

    engine: Engine
    ticks: Ticks
    registry: Registry
    gallery: Callable[[str], Gallery]
    """Returns the voices of a tenant, as they are now."""
    words: Callable[[str], CustomWords]
    """Returns a tenant's own wake words, as they are now."""
    keep: Callable[[str, Mapping[str, bytes]], None]
    """Stores what a session of a tenant has learned of voices, by name, when it is over."""
    metrics: Metrics
    counts: EventCounts
    limits: Limits
    ring_s: int
    held: Held
    load: Load
    enrol: Store
    """Enrols voices that spoke in streams."""
    tracing: Tracing = OFF
    """Makes spans of utterances and files."""
