"""Noise suppression of WebRTC, by the package `webrtc-noise-gain`."""

from __future__ import annotations

import numpy as np
from webrtc_noise_gain import AudioProcessor

from streamd.types import Samples

LEVEL = 2
"""Strength, 1 to 4."""


class WebrtcSuppressor:
    """Suppresses noise by a Wiener filter whose noise estimate follows the stream."""

    def __init__(self) -> None:
        self._processor = AudioProcessor(0, LEVEL)

    def process(self, frame: Samples) -> Samples:
        """Return the next `FRAME` samples of the output, int16."""
        cleaned = self._processor.Process10ms(frame.tobytes()).audio
        return np.frombuffer(cleaned, np.int16)
