"""Frames of FFmpeg to float32 of one rate and one number of channels."""

from __future__ import annotations

import av
import numpy as np

from streamd.types import Floats


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
        self._format: tuple[str, str, int] | None = None
        self._resampler: av.AudioResampler | None = None

    def push(self, frame: av.AudioFrame) -> Floats:
        """Return what is certain by now, shape `[n, channels]`."""
        fmt = (frame.format.name, frame.layout.name, frame.sample_rate)
        before: Floats | None = None
        if self._resampler is None or fmt != self._format:
            before = self.flush()
            self._format = fmt
            self._resampler = av.AudioResampler("flt", frame.layout, self._rate_hz)
        # Times are the caller's business; a resampler might act on them.
        frame.pts = None
        parts = [self._unpacked(out) for out in self._resampler.resample(frame)]
        return _joined([before, *parts] if before is not None else parts, self._channels)

    def flush(self) -> Floats:
        """Return what is still inside; the next frame begins anew."""
        if self._resampler is None:
            return _joined([], self._channels)
        # Where nothing is to be converted, PyAV gives the None back.
        parts = [self._unpacked(out) for out in self._resampler.resample(None) if out is not None]
        self._resampler = None
        return _joined(parts, self._channels)

    def _unpacked(self, frame: av.AudioFrame) -> Floats:
        interleaved: Floats = frame.to_ndarray().astype(np.float32, copy=False)
        block = interleaved.reshape(-1, frame.layout.nb_channels)
        if block.shape[1] != self._channels:
            block = np.repeat(block.mean(axis=1, keepdims=True), self._channels, axis=1)
        return block


def _joined(parts: list[Floats], channels: int) -> Floats:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([np.zeros((0, channels), np.float32), *parts])
