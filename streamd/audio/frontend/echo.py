"""Echo cancellation of WebRTC (AEC3), by the package `livekit`."""

from __future__ import annotations

import numpy as np
from livekit.rtc import AudioFrame
from livekit.rtc.apm import AudioProcessingModule

from streamd.front_ends import FRAME
from streamd.types import RATE_HZ, Samples


class EchoCanceller:
    """Takes what a loudspeaker plays out of a microphone's signal."""

    def __init__(self) -> None:
        self._module = AudioProcessingModule(echo_cancellation=True)

    def process(self, near: Samples, far: Samples) -> Samples:
        """Return the next `FRAME` samples of the output, int16.

        Args:
            near: A frame of the microphone.
            far: What the loudspeaker was given at the same time.
        """
        self._module.process_reverse_stream(_frame(far))
        frame = _frame(near)
        self._module.process_stream(frame)
        return np.frombuffer(frame.data, np.int16)


def _frame(samples: Samples) -> AudioFrame:
    return AudioFrame(bytearray(samples.tobytes()), RATE_HZ, 1, FRAME)
