"""The last seconds of a timeline, addressed by absolute sample position."""

from __future__ import annotations

import numpy as np

from streamd.types import Samples


class Overwritten(LookupError):
    """The span begins before the oldest sample still held."""


class Ring:
    """A ring of int16 samples. Positions are absolute: they count from the stream's start.

    Args:
        capacity: Samples held at most, at least 1.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a ring holds at least one sample, not {capacity}")
        self._buffer: Samples = np.zeros(capacity, np.int16)
        self._head = 0
        self._first = 0
        """Position of the first sample written to this buffer."""

    @property
    def capacity(self) -> int:
        """Samples held at most."""
        return len(self._buffer)

    @property
    def head(self) -> int:
        """Position after the newest sample: how many samples were ever written."""
        return self._head

    @property
    def tail(self) -> int:
        """Position of the oldest sample still held; equals `head` while the ring is empty."""
        return max(self._first, self._head - len(self._buffer))

    def grow(self, capacity: int) -> None:
        """Hold so many samples from now on, if that is more; what is held stays held."""
        if capacity <= len(self._buffer):
            return
        held = self.read(self.tail, self._head)
        self._first = self._head = self.tail
        self._buffer = np.zeros(capacity, np.int16)
        self.write(held)

    def write(self, samples: Samples) -> None:
        """Append samples; of more than the capacity the last part stays.

        Args:
            samples: int16, shape `[n]`, any n.
        """
        capacity = len(self._buffer)
        kept = samples if len(samples) <= capacity else samples[-capacity:]
        at = (self._head + len(samples) - len(kept)) % capacity
        before_wrap = capacity - at
        if len(kept) <= before_wrap:
            self._buffer[at : at + len(kept)] = kept
        else:
            self._buffer[at:] = kept[:before_wrap]
            self._buffer[: len(kept) - before_wrap] = kept[before_wrap:]
        self._head += len(samples)

    def read(self, start: int, stop: int) -> Samples:
        """Copy the span `[start, stop)`; raises as `view` does."""
        span = self.view(start, stop)
        return span if span.base is None else span.copy()

    def view(self, start: int, stop: int) -> Samples:
        """The span `[start, stop)`, good until the next write.

        Raises:
            Overwritten: `start` lies before `tail`.
            ValueError: The span is no span of what was written: it begins below 0, ends
                before it begins, or ends after `head`.
        """
        if not 0 <= start <= stop <= self._head:
            raise ValueError(f"no span [{start}, {stop}) in a stream of {self._head} samples")
        if start < self.tail:
            raise Overwritten(f"sample {start} is gone, the oldest held is {self.tail}")
        capacity = len(self._buffer)
        at = start % capacity
        length = stop - start
        if at + length <= capacity:
            return self._buffer[at : at + length]
        return np.concatenate((self._buffer[at:], self._buffer[: at + length - capacity]))
