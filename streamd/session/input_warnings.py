"""Warnings about the audio that a client sends, each sent once."""

from __future__ import annotations

from streamd.audio.signature import DESCRIPTIONS
from streamd.audio.source import AudioIn
from streamd.session.emitter import Emitter

BAD_PACKET = "bad_packet"


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
            rule = (
                "send one Opus packet in each message, without a container"
                if audio.fmt.has_packets
                else "send samples only (its bytes count as audio)"
            )
            self._warn(f"looks_like_{name}", f"the audio begins with {DESCRIPTIONS[name]}: {rule}")
        if audio.channels_cancel:
            self._warn(
                "channels_cancel",
                "the channels cancel each other when mixed (one has its polarity reversed): "
                "choose one with audio.use, as [0]",
            )
        if audio.non_finite:
            self._warn("non_finite", "some samples are not finite numbers; they count as 0")

    def damaged(self, t0: int, frames: int) -> None:
        """Warn of a packet that cannot be decoded, and of each such packet.

        Args:
            t0: Where it begins, ms.
            frames: Its length in sample frames.
        """
        ms = frames * 1000 / self._audio.fmt.rate
        self._emitter.warn(
            BAD_PACKET,
            f"the packet of {ms:g} ms at {t0} ms cannot be decoded and counts as a gap: "
            "send one whole Opus packet (RFC 6716) in each message",
        )

    def no_packet(self, why: str) -> None:
        """Warn of a message that is no packet, and so counts for nothing.

        Args:
            why: What is wrong with it.
        """
        self._emitter.warn(
            BAD_PACKET,
            f"a message is no Opus packet and counts for nothing: {why}; "
            "send one whole Opus packet (RFC 6716) in each message",
        )

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
