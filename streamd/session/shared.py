"""What the paths of one session have in common."""

from __future__ import annotations

from dataclasses import dataclass

from streamd.audio.ring import Ring
from streamd.modules.base import Ms
from streamd.session.emitter import Emitter
from streamd.session.history import History
from streamd.session.planner import Planner
from streamd.session.track import Progress


@dataclass(frozen=True, slots=True)
class Shared:
    """The parts that the VAD's path and those of the steppers use; none of them holds a path."""

    ring: Ring
    ms: Ms
    """Positions to stream time."""
    emitter: Emitter
    vad: Progress
    """How far the VAD has come."""
    history: History
    """What the VAD and the readers decided lately; the live one."""
    planner: Planner
    """Knows what the readers still have to decide."""
