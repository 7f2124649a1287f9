"""The stages of one stream's front end, one after the other."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from streamd.front_ends import FRAME, Kind, Part
from streamd.types import Samples


class Suppressor(Protocol):
    """Takes noise out of frames."""

    def process(self, frame: Samples) -> Samples:
        """Return the next `FRAME` samples of the output, int16."""


class Chain:
    """Makes the audio of one stream clean, frame by frame. Its state cannot be copied.

    Args:
        kind: What it is made of.

    Raises:
        ImportError: A package is not installed.
    """

    def __init__(self, kind: Kind) -> None:
        self._echo = None
        if kind.has_echo:
            from streamd.audio.frontend.echo import EchoCanceller

            self._echo = EchoCanceller()
        self._suppressors = [_suppressor(part) for part in kind.parts if part != "echo"]

    def run(self, audio: Samples) -> Samples:
        """Process whole frames.

        Args:
            audio: int16, `[n]`, or `[n, 2]` with the loudspeaker's channel behind the
                microphone's; n is a multiple of `FRAME`.

        Returns:
            int16 `[n]`, later than the input by `Kind.delay` samples.
        """
        out = np.empty(len(audio), np.int16)
        for begin in range(0, len(audio), FRAME):
            part = audio[begin : begin + FRAME]
            echo = self._echo
            frame = part if echo is None else echo.process(part[:, 0], part[:, 1])
            for suppressor in self._suppressors:
                frame = suppressor.process(frame)
            out[begin : begin + FRAME] = frame
        return out


def _suppressor(part: Part) -> Suppressor:
    # Imported here, because each needs a package of its own, and takes memory once it is loaded.
    if part == "webrtc":
        from streamd.audio.frontend.webrtc import WebrtcSuppressor

        return WebrtcSuppressor()
    from streamd.audio.frontend.deep import DeepFilter

    return DeepFilter()
