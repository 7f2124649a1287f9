"""The stages of one stream's front end, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from streamd.front_ends import FRAME, HELD_BACK, Kind, Part
from streamd.types import Samples

if TYPE_CHECKING:
    from streamd.audio.frontend.echo import EchoCanceller


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
        self._echo: EchoCanceller | None = None
        if kind.has_echo:
            from streamd.audio.frontend.echo import EchoCanceller

            self._echo = EchoCanceller()
        parts = [part for part in kind.parts if part != "echo"]
        self._suppressors = [_suppressor(part) for part in parts]
        self._behind: Samples = np.zeros(sum(HELD_BACK[part] for part in parts), np.int16)
        """What the suppressors took and have not given out."""

    def run(self, audio: Samples) -> Samples:
        """Process whole frames.

        Args:
            audio: int16, `[n]`, or `[n, 2]` with the loudspeaker's channel behind the
                microphone's; n is a multiple of `FRAME`.

        Returns:
            int16 `[n]`, or `[n, 2]` with the audio before noise suppression behind the clean one;
            both are later than the input by `Kind.delay` samples.
        """
        near = audio if self._echo is None else self._cancelled(self._echo, audio)
        if not self._suppressors:
            return near
        out = np.empty((len(near), 2), np.int16)
        for begin in range(0, len(near), FRAME):
            frame = near[begin : begin + FRAME]
            for suppressor in self._suppressors:
                frame = suppressor.process(frame)
            out[begin : begin + FRAME, 0] = frame
        late = np.concatenate((self._behind, near))
        out[:, 1], self._behind = late[: len(near)], late[len(near) :]
        return out

    def _cancelled(self, echo: EchoCanceller, audio: Samples) -> Samples:
        out = np.empty(len(audio), np.int16)
        for begin in range(0, len(audio), FRAME):
            part = audio[begin : begin + FRAME]
            out[begin : begin + FRAME] = echo.process(part[:, 0], part[:, 1])
        return out


def _suppressor(part: Part) -> Suppressor:
    # Imported here, because each needs a package of its own, and takes memory once it is loaded.
    if part == "webrtc":
        from streamd.audio.frontend.webrtc import WebrtcSuppressor

        return WebrtcSuppressor()
    from streamd.audio.frontend.deep import DeepFilter

    return DeepFilter()
