"""What a session sheds while the machine is short of time.

The caller sets it at a place in the stream; the session measures nothing itself. So the events of
a session depend on the audio, the answers and these calls alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from streamd.events import TimedEvent

CHANGES = 64
"""Changes of the hop that are remembered: more than there can be in what the ring holds."""


class Degradation:
    """What one session sheds now; its planner reads it."""

    def __init__(self) -> None:
        self.speculates = True
        """Whether the session begins speculative work."""
        self.coalesces = False
        """Whether an interim event is left out where a newer window already waits."""
        self.coalesced = 0
        """Number of interim events that were left out."""
        self.skipped = 0
        """Number of windows that were skipped."""
        self._hops: deque[tuple[int, int]] = deque([(0, 1)], maxlen=CHANGES)
        """Pairs of a place in the stream and the factor of the hops behind it."""

    @property
    def hop_factor(self) -> int:
        """Return the factor of the hops now."""
        return self._hops[-1][1]

    def lengthen(self, place: int, factor: int) -> None:
        """Multiply the hops of windows that end behind a place."""
        self._hops.append((place, factor))

    def hop(self, hop: int, stop: int) -> int:
        """Return the samples from a window that ends at `stop` to the next one.

        Args:
            hop: The same without load.
            stop: Where the window ends.
        """
        return hop * next((f for place, f in reversed(self._hops) if place < stop), 1)

    def left(self, events: Iterable[TimedEvent], *, is_superseded: bool) -> Iterator[TimedEvent]:
        """Yield the events of a window that are to be sent.

        Args:
            events: All of them.
            is_superseded: Whether a newer window, or the end of the utterance, already waits.
        """
        for event in events:
            if self.coalesces and is_superseded and getattr(event, "final", True) is False:
                self.coalesced += 1
            else:
                yield event
