"""Removes a constant offset (DC) from a stream. A stream without one does not change.

A microphone with an offset adds the same value to every sample. Its power counts as level: silence
is never quiet, and the gain of a window of faint speech is too small. A high-pass filter would
remove it, but would also change all other audio a little, which moves every score. So the offset is
measured, and subtracted only if there is one.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from streamd.types import Samples

BLOCK = 320
"""Samples whose mean is one measurement, 20 ms, counted from the start of the piece."""
_WINDOW = 32
"""Measurements that are remembered, 0.64 s."""
_LEAST = 16
"""The smallest offset, in steps of int16, that is subtracted: -66 dBFS."""
_FEWEST = 4
"""Fewest measurements that decide. The more there are, the more they may differ."""
_ENOUGH = 16
"""Measurements that decide even if they scatter."""
_EVERY = 4
"""One of so many blocks is measured while there is no sign of an offset."""
_LIMIT = _LEAST * BLOCK
_ONES = np.ones(BLOCK, np.float32)
_LOWEST, _HIGHEST = -(1 << 15), (1 << 15) - 1


class OffsetRemover:
    """One stream's offset: the median of the means of the last blocks.

    What is subtracted from a block follows from earlier blocks. So no sample waits, and chunking
    changes nothing.
    """

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin a new piece: nothing before it has an influence."""
        self._means: deque[float] = deque(maxlen=_WINDOW)
        self._blocks = 0
        self._is_clean = False
        """Whether the last block that was measured had no sign of an offset."""
        self._sum = self._count = 0
        """Sum and number of the samples of the block that is not complete yet."""
        self.offset = 0
        """What is subtracted now, in steps of int16."""

    def push(self, samples: Samples) -> Samples:
        """Take the stream's next samples.

        Args:
            samples: int16, shape `[n]`, any n.

        Returns:
            As many, without the offset; the same array where there is none.
        """
        if not self._count and not len(samples) % BLOCK:
            return self._whole(samples)
        parts, begin = [], 0
        while begin < len(samples):
            if self._count or len(samples) - begin < BLOCK:
                end = begin + min(BLOCK - self._count, len(samples) - begin)
                parts.append(self._part(samples[begin:end]))
            else:
                end = len(samples) - (len(samples) - begin) % BLOCK
                parts.append(self._whole(samples[begin:end]))
            begin = end
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def tail(self, samples: Samples) -> Samples:
        """Return about what `push` would return for the samples; the state does not change."""
        return _without(samples, self.offset) if self.offset else samples

    def _part(self, samples: Samples) -> Samples:
        """Process samples of one block, up to its end at most."""
        out = self.tail(samples)
        self._sum += int(samples.sum(dtype=np.int64))
        self._count += len(samples)
        if self._count == BLOCK:
            self._take(None if self._is_skipped else self._sum / BLOCK)
            self._sum = self._count = 0
        return out

    @property
    def _is_skipped(self) -> bool:
        """Whether the next block is not measured."""
        return self._is_clean and self._blocks % _EVERY != 0

    def _whole(self, samples: Samples) -> Samples:
        """Process complete blocks."""
        count = len(samples) // BLOCK
        if self._is_clean:
            measured = -self._blocks % _EVERY
            if measured < count <= measured + _EVERY:
                block = samples[measured * BLOCK : (measured + 1) * BLOCK]
                self._is_clean = -_LIMIT < _sum(block) < _LIMIT
            if self._is_clean and count <= measured + _EVERY:
                self._blocks += count
                return samples
            self._is_clean = True
        offsets = []
        for begin in range(0, len(samples), BLOCK):
            offsets.append(self.offset)
            if self._is_skipped:
                self._take(None)
                continue
            self._take(_sum(samples[begin : begin + BLOCK]) / BLOCK)
        if not any(offsets):
            return samples
        return _without(samples, np.repeat(np.array(offsets, np.int32), BLOCK))

    def _take(self, mean: float | None) -> None:
        """Take the mean of a block, None where it is not measured."""
        self._blocks += 1
        if mean is None:
            return
        if self._is_clean:
            # There was no offset before: a decision now needs many measurements.
            self._means.clear()
            self._means.extend((0.0, 0.0))
        self._means.append(mean)
        self._is_clean = not self.offset and abs(mean) < _LEAST
        if self.offset:
            if self._blocks % _EVERY:
                return
            median = sorted(self._means)[len(self._means) // 2]
            self.offset = 0 if abs(median) < _LEAST / 2 else round(median)
        elif not self._is_clean:
            self.offset = _common(sorted(self._means))


def _sum(block: Samples) -> float:
    """Return the sum of a block: an integer below 2^24, so float32 holds it exactly."""
    return float(block.astype(np.float32).dot(_ONES))


def _common(means: list[float]) -> int:
    """Return the offset that sorted means share, 0 if sound alone may explain them."""
    count = len(means)
    median = means[count // 2]
    if count < _FEWEST or abs(median) < _LEAST:
        return 0
    if count < _ENOUGH:
        is_there = means[-1] - means[0] < abs(median) * count / 32
    else:
        few = count // 8
        is_there = (means[few] if median > 0 else means[-1 - few]) / median > 0.5
    return round(median) if is_there else 0


def _without(samples: Samples, offset: int | npt.NDArray[np.int32]) -> Samples:
    less = samples.astype(np.int32)
    less -= offset
    np.maximum(less, _LOWEST, out=less)
    np.minimum(less, _HIGHEST, out=less)
    return less.astype(np.int16)
