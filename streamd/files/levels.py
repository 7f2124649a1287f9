"""How loud speech and background of a recording are, and how much of it is clipped."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from streamd.audio.files import Gap
from streamd.files.recording import Part
from streamd.modules.speech_levels import FULL_POWER, LEAST_FRAMES, LOUDEST, SignalLevels, decibels
from streamd.types import RATE_HZ, AudioFormat

FRAME_MS = 20
MOST_S = 600
"""Seconds from which levels are measured; the rest of a longer recording is not looked at."""
_NEAR_FRAMES = 10
"""Frames beside a span of speech that may have a part of it."""


class Levels:
    """Measures the frames of a recording, whose spans of speech are known later.

    Args:
        audio: Format of the parts.
    """

    def __init__(self, audio: AudioFormat) -> None:
        self._audio = audio
        self._size = audio.rate * FRAME_MS // 1000
        self._left = b""
        self._powers: list[npt.NDArray[np.float32]] = []
        self._clipped: list[npt.NDArray[np.bool_]] = []
        self._frames = 0

    def add(self, part: Part) -> None:
        """Measure a part; parts come in order, and a gap is a part of silence."""
        room = MOST_S * 1000 // FRAME_MS - self._frames
        if room <= 0:
            return
        if isinstance(part, Gap):
            # Audio of less than a frame is dropped, so that what follows is off by that much.
            self._left = b""
            frames = min(round(part.ms / FRAME_MS), room)
            self._keep(np.zeros(frames, np.float32), np.zeros(frames, np.bool_))
            return
        data = self._left + part if self._left else part
        frame_bytes = self._size * self._audio.frame_bytes
        frames = min(len(data) // frame_bytes, room)
        self._left = data[frames * frame_bytes : (frames + 1) * frame_bytes]
        if not frames:
            return
        samples = np.frombuffer(data, "<i2", frames * self._size * self._audio.channels)
        samples = samples.reshape(frames, self._size, self._audio.channels)
        clipped: npt.NDArray[np.bool_] = (samples >= LOUDEST) | (samples <= -LOUDEST)
        mixed = samples.mean(axis=2, dtype=np.float32)
        self._keep(mixed.var(axis=1), clipped.reshape(frames, -1).max(axis=1))

    def of(self, runs: Iterable[tuple[int, int]]) -> SignalLevels | None:
        """Return what the speech measures; None where there is too little of it.

        Args:
            runs: Spans of speech, in samples at 16 kHz.
        """
        powers = np.concatenate(self._powers or [np.zeros(0, np.float32)])
        clipped = np.concatenate(self._clipped or [np.zeros(0, np.bool_)])
        is_speech = np.zeros(len(powers), np.bool_)
        is_near = np.zeros(len(powers), np.bool_)
        frame = RATE_HZ * FRAME_MS // 1000
        for start, stop in runs:
            is_speech[start // frame : stop // frame] = True
            is_near[max(start // frame - _NEAR_FRAMES, 0) : stop // frame + _NEAR_FRAMES] = True
        speech = powers[is_speech]
        if len(speech) < LEAST_FRAMES:
            return None
        noise = float(np.percentile(speech, 10))
        others = powers[~is_near]
        if len(others) >= LEAST_FRAMES:
            noise = max(noise, float(others.mean()))
        level_db = decibels(float(speech.mean()) / FULL_POWER)
        return SignalLevels(
            speech_dbfs=level_db,
            snr_db=level_db - decibels(noise / FULL_POWER),
            clipped=float(clipped[is_speech].mean()),
        )

    def _keep(self, powers: npt.NDArray[np.float32], clipped: npt.NDArray[np.bool_]) -> None:
        self._powers.append(powers)
        self._clipped.append(clipped)
        self._frames += len(powers)
