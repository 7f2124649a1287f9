"""What a session does without while the machine is short of time.

Its caller sets it, at a place in the stream; the session measures nothing itself. So its
events follow from the audio, the answers and these calls.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from streamd.events import TimedEvent
from streamd.modules.base import WindowSpec

CHANGES = 64
"""Changes of the hop that are remembered: more than there can be in what the ring holds."""


class Degradation:
    """The state of one session, which its planner asks."""

    def __init__(self) -> None:
        self.speculates = True
        """Whether windows are begun before they are asked for."""
        self.coalesces = False
        """Whether an interim event is left out where a newer window waits already."""
        self.coalesced = 0
        """Interim events that were left out."""
        self.skipped = 0
        """Windows that were left out."""
        self._hops: deque[tuple[int, int]] = deque([(0, 1)], maxlen=CHANGES)
        """Where in the stream hops become how many times as long."""

    @property
    def hop_factor(self) -> int:
        """By how much hops are longer now."""
        return self._hops[-1][1]

    def lengthen(self, place: int, factor: int) -> None:
        """Make hops so many times as long, for windows that end behind a place."""
        self._hops.append((place, factor))

    def hop(self, spec: WindowSpec, stop: int) -> int:
        """Return the samples from a window that ends at `stop` to the next one."""
        return spec.hop * next((f for place, f in reversed(self._hops) if place < stop), 1)

    def left(self, events: Iterable[TimedEvent], *, is_superseded: bool) -> Iterator[TimedEvent]:
        """Give the events of a window that are to be sent.

        Args:
            events: All of them.
            is_superseded: Whether a newer window, or the end of the utterance, waits already.
        """
        for event in events:
            if self.coalesces and is_superseded and getattr(event, "final", True) is False:
                self.coalesced += 1
            else:
                yield event
