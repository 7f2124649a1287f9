"""Times of frames to gaps: where a container's clock moves on without audio."""

from __future__ import annotations

from streamd.audio.files.parts import Note

JITTER_S = 0.04
"""Least difference that is a gap. Smaller ones are rounding, priming or an encoder's delay."""
MAX_DRIFT_S = 0.2
"""Sum of small differences at which a gap corrects the clock."""
MAX_GAP_MS = 3_600_000
"""The longest gap that the protocol carries in one message."""
_EXACT_S = 0.001


class Timeline:
    """Compares the time of each frame with the end of the frame before it.

    Args:
        name: What the note calls the file.
        note: Called when a gap is limited to an hour.
    """

    def __init__(self, name: str, note: Note) -> None:
        self._name = name
        self._note = note
        self.start_s: float | None = None
        """Time of the first frame, in seconds; None before it."""
        self._end_s = 0.0
        self._drift_s = 0.0
        """How much later the container is than the audio and the gaps given out."""

    def advance(self, start_s: float | None, length_s: float, *, is_damaged: bool = False) -> int:
        """Take the next frame.

        Args:
            start_s: Its time in the container, in seconds; None if it follows the one before.
            length_s: Its length in seconds.
            is_damaged: A packet before it could not be decoded, so any difference is a loss.

        Returns:
            Milliseconds of the gap before it, mostly 0. A frame that starts before the end of
            the one before it overlaps; the audio of both counts.
        """
        if self.start_s is None:
            self.start_s = self._end_s = start_s or 0.0
        if start_s is None:
            start_s = self._end_s
        hole_s = start_s - self._end_s
        self._end_s = start_s + length_s
        if hole_s <= -JITTER_S:
            self._drift_s = 0.0
            return 0
        self._drift_s = max(self._drift_s + hole_s, -MAX_DRIFT_S)
        is_hole = hole_s >= (_EXACT_S if is_damaged else JITTER_S)
        if not is_hole and self._drift_s < MAX_DRIFT_S:
            return 0
        gap_ms = max(round(self._drift_s * 1000), 0)
        self._drift_s -= gap_ms / 1000
        if gap_ms > MAX_GAP_MS:
            self._note(
                f"{self._name}: its timestamps leave out {gap_ms / 3_600_000:.1f} hours at once; "
                "one hour is taken"
            )
            gap_ms = MAX_GAP_MS
        return gap_ms
