"""Bytes of messages of any length to mono floats. Chunking does not change a bit of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from streamd.audio.cancel import CancelWatch
from streamd.audio.pcm import FULL_SCALE
from streamd.audio.signature import Signature
from streamd.types import AudioFormat, Floats


def _mulaw_table() -> Floats:
    """G.711 µ-law: 256 codes to linear, full scale 32 124."""
    code = ~np.arange(256, dtype=np.uint8)
    exponent = (code >> 4 & 7).astype(np.int32)
    magnitude = (((code & 15).astype(np.int32) << 3) + 132 << exponent) - 132
    return _signed(magnitude, negative=code >= 128)


def _alaw_table() -> Floats:
    """G.711 A-law: 256 codes to linear, full scale 32 256."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent = (code >> 4 & 7).astype(np.int32)
    mantissa = ((code & 15).astype(np.int32) << 4) + 8
    magnitude = np.where(exponent == 0, mantissa, mantissa + 256 << np.maximum(exponent - 1, 0))
    return _signed(magnitude, negative=code < 128)


def _signed(magnitude: npt.NDArray[np.int32], negative: npt.NDArray[np.bool_]) -> Floats:
    return (np.where(negative, -magnitude, magnitude) / FULL_SCALE).astype(np.float32)


TABLES = {"mulaw": _mulaw_table(), "alaw": _alaw_table()}
"""Linear values of the 256 codes of each companded coding, float32, full scale ±1."""
_WIRE = {"pcm_s16le": "<i2", "pcm_f32le": "<f4", "mulaw": "u1", "alaw": "u1", "opus": "<f4"}
"""Type of a sample in the bytes to decode; for Opus, in those that its own decoder gives."""
_STEP = np.float32(1 / FULL_SCALE)
_ONE = np.float32(1)


class Decoder:
    """One stream's bytes to mono float32 in [-1, 1].

    A sample frame (one sample of every channel) that is split between two messages waits for
    the rest. The channels of `use` are averaged in their order, in float32, one after the
    other, because numpy's own sum may pair its terms by the shape of the array.

    Args:
        fmt: What the client sends.
    """

    def __init__(self, fmt: AudioFormat) -> None:
        self._fmt = fmt
        self._use = fmt.mixed
        self._wire = np.dtype(_WIRE[fmt.codec])
        self._frame_bytes = fmt.frame_bytes
        self._carry = b""
        self.signature = Signature()
        """The file format that the first bytes of the stream suggest."""
        self.watch = CancelWatch(fmt.decoded_hz, len(self._use)) if len(self._use) > 1 else None
        """Whether the channels cancel, if several are mixed."""
        self.non_finite = False
        """Whether NaN or infinity ever came on a channel in use. Such a sample counts as 0."""

    @property
    def carried(self) -> int:
        """Bytes of a frame that is not complete yet."""
        return len(self._carry)

    def drop_carry(self) -> None:
        """Drop the bytes of an incomplete frame: the next byte begins a frame."""
        self._carry = b""

    def push(self, data: bytes | memoryview) -> Floats:
        """Decode what is whole.

        Args:
            data: Any number of bytes.

        Returns:
            One float32 per whole sample frame, full scale ±1.
        """
        return self.mix(self.whole_frames(data))

    def whole_frames(self, data: bytes | memoryview) -> bytes | memoryview:
        """Return the bytes of all complete frames; the rest is carried."""
        if self._carry:
            data = self._carry + data
            self._carry = b""
        if cut := len(data) % self._frame_bytes:
            self._carry = bytes(data[-cut:])
            data = data[:-cut]
        if self.signature.looks_like is None:
            self.signature.push(data)
        return data

    def mix(self, data: bytes | memoryview | Floats) -> Floats:
        """Decode the bytes of complete frames to mono."""
        frames = np.frombuffer(data, self._wire).reshape(-1, self._fmt.channels)
        if self.watch is None:
            return self._linear(frames[:, self._use[0]])
        channels = [self._linear(frames[:, channel]) for channel in self._use]
        total = channels[0] + channels[1]
        for samples in channels[2:]:
            total += samples
        total /= np.float32(len(channels))
        if not self.watch.found:
            self.watch.push(total, channels)
        return total

    def far_end(self, data: bytes | memoryview | Floats) -> Floats:
        """Decode what the loudspeaker plays, from the bytes of complete frames."""
        frames = np.frombuffer(data, self._wire).reshape(-1, self._fmt.channels)
        return self._linear(frames[:, self._fmt.far_end])

    def _linear(self, column: npt.NDArray[Any]) -> Floats:
        """Return one channel, full scale ±1, as a new array."""
        linear: Floats
        if self._fmt.codec == "pcm_s16le":
            linear = column * _STEP
        elif self._fmt.codec in ("pcm_f32le", "opus"):
            # Beyond full scale a sum or a filter might overflow.
            linear = np.minimum(np.maximum(column, -_ONE), _ONE)
            if not np.isfinite(column).all():
                self.non_finite = True
                linear[~np.isfinite(column)] = 0
        else:
            linear = TABLES[self._fmt.codec][column]
        return linear
