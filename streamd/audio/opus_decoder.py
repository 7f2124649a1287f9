"""Opus packets to samples, by libopus as av brings it. Imported by the first stream that needs it.

The samples have 48 kHz, whatever rate was encoded: so FFmpeg gives them. A packet is as long there
as at any other rate, because all lengths are multiples of 2.5 ms.
"""

from __future__ import annotations

import av
import numpy as np

from streamd.errors import UnsupportedAudio
from streamd.types import OPUS_DECODED_HZ, Floats

_CODEC = "libopus"
_LAYOUTS = {1: "mono", 2: "stereo"}


class OpusDecoder:
    """The decoder of one stream. Its state goes from packet to packet.

    Packets of one and of two channels may follow each other: the decoder mixes or doubles them.

    Args:
        channels: Of the samples that it gives, 1 or 2.

    Raises:
        UnsupportedAudio: This build of av has no libopus.
    """

    def __init__(self, channels: int) -> None:
        if _CODEC not in av.codecs_available:
            raise UnsupportedAudio(
                "`audio.codec`: this server cannot decode Opus, because its av package was built "
                "without libopus; install the wheel of av, or send pcm_s16le",
                ref="audio.codec",
            )
        context = av.CodecContext.create(_CODEC, "r")
        assert isinstance(context, av.AudioCodecContext)
        context.sample_rate = OPUS_DECODED_HZ
        context.layout = _LAYOUTS[channels]
        context.options = {"request_sample_fmt": "flt"}
        context.thread_count = 1
        context.open()
        self._context = context
        self._is_fresh = True

    def decode(self, packet: bytes) -> Floats | None:
        """Decode a packet.

        Args:
            packet: Not empty.

        Returns:
            float32 at 48 kHz, interleaved, full scale ±1; None if the packet is damaged. The state
            is then as it was.
        """
        try:
            frames = self._context.decode(av.Packet(packet))
        except av.FFmpegError:
            return None
        self._is_fresh = False
        return np.concatenate([frame.to_ndarray().ravel() for frame in frames])

    def restart(self) -> None:
        """Forget all packets so far."""
        if not self._is_fresh:
            self._context.flush_buffers()
            self._is_fresh = True
