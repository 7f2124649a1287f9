"""Frames of FFmpeg to float32 of one rate and one number of channels."""

from __future__ import annotations

import av
import numpy as np
import soxr

from streamd.types import Floats

_FULL_SCALES = {"u8": 2**7, "s16": 2**15, "s32": 2**31, "s64": 2**63, "flt": 1, "dbl": 1}
"""Full scale of each sample format; its planar variant ends in `p`."""


class Converter:
    """Converts one frame after the other; their format may change on the way.

    Args:
        rate_hz: The rate that comes out.
        channels: The channels that come out. Where a frame has another number of them, each is
            the mean of those of the frame, as a session mixes them.
    """

    def __init__(self, rate_hz: int, channels: int) -> None:
        self._rate_hz = rate_hz
        self._channels = channels
        self._from_hz = rate_hz
        self._resampler: soxr.ResampleStream | None = None

    def push(self, frame: av.AudioFrame) -> Floats:
        """Return what is certain by now, float32 of shape `[n, channels]`."""
        block = _floats(frame)
        if block.shape[1] != self._channels:
            block = np.repeat(block.mean(axis=1, keepdims=True), self._channels, axis=1)
        rest = None
        if frame.sample_rate != self._from_hz:
            rest = self.flush()
            self._from_hz = frame.sample_rate
        if self._from_hz != self._rate_hz:
            if self._resampler is None:
                self._resampler = soxr.ResampleStream(
                    self._from_hz, self._rate_hz, self._channels, dtype="float32", quality="HQ"
                )
            block = self._resampler.resample_chunk(np.ascontiguousarray(block))
        return block if rest is None else np.concatenate((rest, block))

    def flush(self) -> Floats:
        """Return what is still inside; the next frame begins anew."""
        rest: Floats = np.zeros((0, self._channels), np.float32)
        if self._resampler is not None:
            rest = self._resampler.resample_chunk(rest, last=True)
            self._resampler = None
        return rest


def _floats(frame: av.AudioFrame) -> Floats:
    """The samples of a frame, full scale ±1, shape `[n, channels]`."""
    samples = frame.to_ndarray()
    kind = frame.format.name.removesuffix("p")
    floats: Floats = samples.astype(np.float32)
    if kind == "u8":
        floats -= 128
    if (full_scale := _FULL_SCALES[kind]) != 1:
        floats *= np.float32(1 / full_scale)
    if frame.format.is_planar:
        return floats.T
    return floats.reshape(-1, frame.layout.nb_channels)
