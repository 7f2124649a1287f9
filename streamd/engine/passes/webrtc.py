"""The pass `vad` by WebRTC: speech or not for 30 ms, for boards that cannot carry Silero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import webrtcvad

from streamd.engine.backends.host import Host
from streamd.engine.slots import State, StateSpec
from streamd.types import RATE_HZ, Samples


class WebrtcVad:
    """Runs the Gaussian-mixture VAD of WebRTC, which needs no model file.

    Items are 480 samples; outputs are 1.0 for speech and 0.0 for none.

    The detector keeps its state inside a C object that cannot be copied, so the state row holds
    the object itself, made on a stream's first frame: a slot's state cannot be forked.

    Args:
        mode: 0 (calls most sounds speech) to 3 (strictest). 3 by default, because even so this
            detector calls 29 % of noise speech.
    """

    name = "vad"
    item_samples = 480
    context_samples = 0
    max_batch = 64
    copies_state = False

    def __init__(self, mode: int = 3) -> None:
        """Check the mode.

        Raises:
            ValueError: the mode is not 0 to 3.
        """
        if mode not in range(4):
            raise ValueError(f"webrtc mode must be 0 to 3, not {mode}")
        self._mode = mode
        self.backend = Host()
        empty = np.empty((), object)  # initially None, as there is no detector yet
        self.state: Mapping[str, StateSpec] = {"detector": StateSpec(empty)}

    def run(
        self, items: Sequence[Samples], options: Sequence[Any], state: State
    ) -> tuple[Sequence[float], State]:
        """Run one batch; `options` are ignored."""
        detectors = state["detector"].copy()
        outputs = []
        for row, item in enumerate(items):
            if detectors[row] is None:
                detectors[row] = webrtcvad.Vad(self._mode)
            outputs.append(float(detectors[row].is_speech(item.tobytes(), RATE_HZ)))
        return outputs, {"detector": detectors}
