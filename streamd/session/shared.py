"""The parts that all paths of one session use."""

from __future__ import annotations

from dataclasses import dataclass

from streamd.audio.ring import Ring
from streamd.modules.base import Ms
from streamd.session.chains import Chains
from streamd.session.emitter import Emitter
from streamd.session.history import History
from streamd.session.planner import Planner
from streamd.session.track import Progress


@dataclass(frozen=True, slots=True)
class Shared:
    """Holds the parts that the VAD's path and the steppers' paths use; no part refers to a path."""

    ring: Ring
    """The audio that the steppers read, the VAD excepted."""
    voices: Ring
    """The audio without noise suppression; the same where there is none."""
    ms: Ms
    """Converts positions to stream time."""
    emitter: Emitter
    vad: Progress
    """Progress of the VAD."""
    history: History
    """What the VAD and the readers decided lately, on live audio."""
    planner: Planner
    """The planner, which knows what the readers have yet to decide."""
    chains: Chains
    """The jobs of stateful readers."""
