"""A client's bytes to samples on the session's timeline: decoder, resampler, offset and clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from streamd.audio.clock import Clock
from streamd.audio.decode import Decoder
from streamd.audio.offset import OffsetRemover
from streamd.audio.resample import Resampler
from streamd.front_ends import kind_of
from streamd.types import RATE_HZ, AudioFormat, Floats, Samples

if TYPE_CHECKING:
    from streamd.audio.opus_decoder import OpusDecoder

_PCM = np.dtype("<i2")
OPUS_BYTES = 45_000
"""Memory of an Opus decoder, roughly (`benchmarks/opus.py`)."""


class AudioIn:
    """The input side of one session.

    With a far end, samples have the shape `[n, 2]` instead of `[n]`: the microphone's, and behind
    each of them what the loudspeaker played.

    Args:
        fmt: What the client sends, with the front end that is in force.
    """

    def __init__(self, fmt: AudioFormat) -> None:
        self.fmt = fmt
        self.front_end = kind_of(fmt)
        """What makes the samples clean, behind this part."""
        self.clock = Clock(fmt.rate)
        """Maps positions to milliseconds. The session tells it which ones to forget."""
        self._decoder = Decoder(fmt)
        self._opus = load_opus_decoder()(fmt.channels) if fmt.has_packets else None
        self._resampler = Resampler(fmt.decoded_hz)
        self._far_end = None if fmt.far_end is None else Resampler(fmt.decoded_hz)
        self._offset = OffsetRemover()
        # What most clients send needs no conversion to floats and back.
        self._as_is = fmt.codec == "pcm_s16le" and fmt.rate == RATE_HZ and fmt.channels == 1
        self._frame_bytes = fmt.frame_bytes
        self._frames = 0
        self._position = 0
        self._gap_ms = self._gap_frames = 0

    def described(self) -> dict[str, Any]:
        """Return the `audio` of `ready`."""
        return {**self.fmt.described(), "delay_ms": self.front_end.delay_ms}

    @property
    def state_bytes(self) -> int:
        """Memory of the decoder and of the front end, bytes."""
        return self.front_end.state_bytes + (0 if self._opus is None else OPUS_BYTES)

    @property
    def frames(self) -> int:
        """Whole sample frames received at the input rate, gaps not counted."""
        return self._frames

    @property
    def received_s(self) -> float:
        """Seconds of audio received, gaps not counted."""
        return self._frames / self.fmt.rate

    @property
    def position(self) -> int:
        """Timeline samples returned so far."""
        return self._position

    @property
    def now_ms(self) -> int:
        """The session's clock: all audio received and all gaps, in ms."""
        return self.clock.ms_of_frames(self._frames)

    @property
    def carried(self) -> int:
        """Bytes of a sample frame that is not complete yet."""
        return self._decoder.carried

    def drop_carried(self) -> None:
        """Drop the bytes of an incomplete frame: the next byte begins a frame."""
        self._decoder.drop_carry()

    @property
    def is_suspect(self) -> bool:
        """Whether one of the next three properties calls for a warning."""
        # Written out instead of the three properties, because every message asks.
        decoder = self._decoder
        watch = decoder.watch
        return (
            decoder.non_finite
            or bool(decoder.signature.looks_like)
            or (watch is not None and watch.found)
        )

    @property
    def non_finite(self) -> bool:
        """Whether a float that is not finite ever came."""
        return self._decoder.non_finite

    @property
    def looks_like(self) -> str | None:
        """The file format of the first bytes, "" for none; None before they came."""
        return self._decoder.signature.looks_like

    @property
    def channels_cancel(self) -> bool:
        """Whether the channels in use cancel each other in the mix."""
        return self._decoder.watch is not None and self._decoder.watch.found

    def push(self, data: bytes | memoryview) -> Samples:
        """Take audio bytes, any number.

        Returns:
            Samples to append to the timeline, int16 at 16 kHz; often none, as the resampler
            works in bursts.
        """
        whole = self._decoder.whole_frames(data)
        self._frames += len(whole) // self._frame_bytes
        if self._as_is:
            return self._give(np.frombuffer(whole, _PCM))
        return self._resampled(whole)

    def push_packet(self, packet: bytes, frames: int) -> Samples | None:
        """Take one Opus packet.

        Args:
            packet: Not empty.
            frames: Its length, from `packet_frames`.

        Returns:
            Samples as from `push`; None if the packet cannot be decoded, so that it must be given
            to `lose`.
        """
        assert self._opus is not None
        self.examine(packet)
        decoded = self._opus.decode(packet)
        if decoded is None:
            return None
        self._frames += frames
        return self._resampled(decoded)

    def examine(self, message: bytes) -> None:
        """Look whether the first messages are a file, and no packets."""
        if self._decoder.signature.looks_like is None:
            self._decoder.signature.push(message)

    def lose(self, frames: int) -> Samples:
        """Count frames as received that have no samples, and end the piece before them.

        Args:
            frames: Length of a packet that cannot be decoded.

        Returns:
            The last samples of the piece, to append to the timeline first.
        """
        return self._break(lost=frames)

    def tail(self) -> Samples:
        """Return what the resampler still holds, up to `mark()`; the live state does not change."""
        near = self._offset.tail(self._resampler.tail())
        return near if self._far_end is None else _beside(near, self._far_end.tail())

    def gap(self, ms: int = 0, frames: int = 0) -> Samples:
        """End the piece, and move the clock on.

        Carried bytes are dropped. What comes next begins a piece of its own at `position`.

        Args:
            ms: Length of the audio lost.
            frames: The same in sample frames at the input rate, where it is known exactly.

        Returns:
            The last samples of the piece, to append to the timeline first.
        """
        self._decoder.drop_carry()
        self._gap_ms += ms
        self._gap_frames += frames
        return self._break()

    def mark(self) -> int:
        """Return the timeline position of all frames received: `position` and the `tail()`."""
        return self.clock.position_of(self._frames)

    def bytes_for(self, samples: int) -> int:
        """Return how many bytes may be taken at once so that `mark()` stays within the room.

        Args:
            samples: Room on the timeline from `position` on. What the resampler holds back is
                to fit in too, up to 2010 samples at 8 kHz: with less room, this may be 0.

        Returns:
            Bytes; after a push of so many, `push` and `tail` together gave at most `samples`.
        """
        frames = self.clock.frames_within(self._position + samples) - self._frames
        return max(0, frames * self._frame_bytes - self.carried)

    def bytes_until(self, ms: int) -> int:
        """Return how many bytes fit before the clock passes `ms`, gaps counted; 0 if it has."""
        frames = -(-(ms - self._gap_ms) * self.fmt.rate // 1000) - self._gap_frames - self._frames
        return max(0, frames * self.fmt.frame_bytes - self.carried)

    def _resampled(self, whole: bytes | memoryview | Floats) -> Samples:
        near = self._give(self._resampler.push(self._decoder.mix(whole)))
        if self._far_end is None:
            return near
        return _beside(near, self._far_end.push(self._decoder.far_end(whole)))

    def _break(self, lost: int = 0) -> Samples:
        """End the piece; what comes next depends on nothing before it."""
        last = self._give(self._resampler.drain())
        if self._far_end is not None:
            last = _beside(last, self._far_end.drain())
        self._offset.restart()
        if self._opus is not None:
            self._opus.restart()
        self._frames += lost
        self.clock.begin_piece(self._position, self._frames, self._gap_ms, self._gap_frames)
        return last

    def _give(self, samples: Samples) -> Samples:
        self._position += len(samples)
        return self._offset.push(samples) if len(samples) else samples


def load_opus_decoder() -> type[OpusDecoder]:
    """Import the decoder. The first time takes as long as 100 frames of audio, and 35 MB."""
    from streamd.audio.opus_decoder import OpusDecoder

    return OpusDecoder


def _beside(near: Samples, far: Samples) -> Samples:
    return np.stack((near, far), axis=1)
