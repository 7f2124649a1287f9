"""Warnings about the audio that a client sends, each sent once."""

from __future__ import annotations

from streamd.audio.signature import DESCRIPTIONS
from streamd.audio.source import AudioIn
from streamd.session.emitter import Emitter


class InputWarnings:
    """Warns of audio that is probably not what the client means to send.

    Args:
        audio: The input.
        emitter: Where the warnings go.
    """

    def __init__(self, audio: AudioIn, emitter: Emitter) -> None:
        self._audio = audio
        self._emitter = emitter
        self._warned: set[str] = set()

    def look(self) -> None:
        """Warn of what looks suspect in the input, once for each kind."""
        audio = self._audio
        if name := audio.looks_like:
            self._warn(
                f"looks_like_{name}",
                f"the audio begins with {DESCRIPTIONS[name]}: send samples only "
                "(its bytes count as audio)",
            )
        if audio.channels_cancel:
            self._warn(
                "channels_cancel",
                "the channels cancel each other when mixed (one has its polarity reversed): "
                "choose one with audio.use, as [0]",
            )
        if audio.non_finite:
            self._warn("non_finite", "some samples are not finite numbers; they count as 0")

    def end(self) -> None:
        """Warn if the input ends within a sample."""
        if self._audio.carried:
            self._warn(
                "partial_sample",
                f"the last sample is incomplete; bytes ignored: {self._audio.carried}",
            )

    def _warn(self, code: str, message: str) -> None:
        if code not in self._warned:
            self._warned.add(code)
            self._emitter.warn(code, message)
