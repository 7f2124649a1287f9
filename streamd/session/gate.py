"""The gate that lets the model of a stepper sleep while nobody speaks."""

from __future__ import annotations

from streamd.audio.ring import Ring
from streamd.modules.stepper import Gate
from streamd.session.activity import Activity
from streamd.session.loudness import Loudness
from streamd.session.track import Progress
from streamd.types import RATE_HZ


class SpeechGate:
    """Decides at which steps of one stepper somebody may be speaking.

    Args:
        gate: When the stepper's model may sleep.
        ring: The samples of the stream.
        vad: The progress of the VAD.
    """

    def __init__(self, gate: Gate, ring: Ring, vad: Progress) -> None:
        hold = gate.hold_ms * RATE_HZ // 1000
        self.activity = Activity(gate.threshold, hold)
        """Where the VAD saw a trace of speech; the speech path feeds it."""
        self._loudness = Loudness(ring, gate.rise_db, hold // gate.step, gate.step)
        self._vad = vad

    def may_speak(self, stop: int) -> bool | None:
        """Return whether somebody may be speaking in the step that ends at a sample.

        Callers ask about steps in order. The answer is None until the VAD has come as far.
        """
        # Written out instead of `covers`, because every step asks.
        if self._vad.position + self._vad.step <= stop:
            return None
        rose = self._loudness.rose(stop)  # called for every step, as it compares steps in a row
        return rose or self.activity.at(stop)

    def restart(self) -> None:
        """Start afresh after lost audio."""
        self._loudness.restart()
