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
        self.capacity = capacity
        """Most samples held; read-only, like `head`."""
        self.head = 0
        """Position after the newest sample: how many samples were ever written."""
        self._first = 0
        """Position of the first sample written to this buffer."""

    @property
    def tail(self) -> int:
        """Position of the oldest sample still held; equals `head` while the ring is empty."""
        return max(self._first, self.head - self.capacity)

    def grow(self, capacity: int) -> None:
        """Raise the capacity, if it is less; all samples are kept."""
        if capacity <= self.capacity:
            return
        held = self.read(self.tail, self.head)
        self._first = self.head = self.tail
        self._buffer, self.capacity = np.zeros(capacity, np.int16), capacity
        self.write(held)

    def write(self, samples: Samples) -> None:
        """Append samples; if there are more than the capacity, the last ones remain.

        Args:
            samples: int16, shape `[n]`, any n.
        """
        self.head += len(samples)
        if len(samples) > self.capacity:
            samples = samples[-self.capacity :]
        size = len(samples)
        at = (self.head - size) % self.capacity
        if at + size <= self.capacity:
            self._buffer[at : at + size] = samples
        else:
            before_wrap = self.capacity - at
            self._buffer[at:] = samples[:before_wrap]
            self._buffer[: size - before_wrap] = samples[before_wrap:]

    def read(self, start: int, stop: int) -> Samples:
        """Copy the span `[start, stop)`; raises as `view` does."""
        span = self.view(start, stop)
        return span if span.base is None else span.copy()

    def view(self, start: int, stop: int) -> Samples:
        """Return the span `[start, stop)` as a view that is valid until the next write.

        Raises:
            Overwritten: `start` lies before `tail`.
            ValueError: The span is not part of what was written: it begins below 0, ends
                before it begins, or ends after `head`.
        """
        if not 0 <= start <= stop <= self.head:
            raise ValueError(f"no span [{start}, {stop}) in a stream of {self.head} samples")
        capacity = self.capacity
        if start < self._first or start < self.head - capacity:
            raise Overwritten(f"sample {start} is gone, the oldest held is {self.tail}")
        at = start % capacity
        end = at + stop - start
        if end <= capacity:
            return self._buffer[at:end]
        return np.concatenate((self._buffer[at:], self._buffer[: end - capacity]))
