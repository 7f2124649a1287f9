"""Whether somebody may be speaking: what lets the model of a stepper sleep."""

from __future__ import annotations

from streamd.audio.ring import Ring
from streamd.modules.stepper import Gate
from streamd.session.activity import Activity
from streamd.session.loudness import Loudness
from streamd.session.track import Progress
from streamd.types import RATE_HZ


class SpeechGate:
    """The gate of one stepper.

    Args:
        gate: When the stepper's model may sleep.
        ring: The stream.
        vad: How far the VAD has come.
    """

    def __init__(self, gate: Gate, ring: Ring, vad: Progress) -> None:
        hold = gate.hold_ms * RATE_HZ // 1000
        self.activity = Activity(gate.threshold, hold)
        """Is told the VAD's decisions."""
        self._loudness = Loudness(ring, gate.rise_db, hold // gate.step, gate.step)
        self._vad = vad

    def may_speak(self, stop: int) -> bool | None:
        """Whether somebody may be speaking in the step that ends at a sample.

        Steps are asked about in order. None while the VAD has not come as far.
        """
        if self._vad.position + self._vad.step <= stop:  # not `covers`: asked of every step
            return None
        rose = self._loudness.rose(stop)  # asked of every step
        return rose or self.activity.at(stop)

    def restart(self) -> None:
        """Audio was lost here."""
        self._loudness.restart()
