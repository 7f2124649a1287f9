"""The windows of one utterance, and what is asked of the pass for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from streamd.modules.base import OptionalReader, Reader, Utterance, WindowSpec
from streamd.types import WindowRequest

MISSING = object()
"""Placeholder for an answer that has not come; None is an answer."""
SKIPPED = object()
"""Placeholder for the answer of a window that is left out."""


@dataclass(slots=True, eq=False)
class Plan:
    """The windows of one utterance. Its readers are fixed when it opens."""

    utterance: Utterance
    readers: Sequence[Reader]
    next_start: dict[WindowSpec, int] = field(default_factory=dict)
    last_stop: dict[WindowSpec, int] = field(default_factory=dict)
    extras: dict[WindowSpec, frozenset[str]] = field(default_factory=dict)
    optional: dict[WindowSpec, OptionalReader] = field(default_factory=dict)
    """The reader that each kind of optional window is for."""
    is_announced: bool = False
    """Whether `opened` of the readers was called for this utterance."""

    def __post_init__(self) -> None:
        for reader in self.readers:
            spec = reader.spec
            self.next_start[spec] = self.utterance.onset
            self.extras[spec] = self.extras.get(spec, frozenset()) | reader.extras
            if reader.optional is not None:
                self.next_start[reader.optional] = self.utterance.onset
                self.extras[reader.optional] = frozenset()
                self.optional[reader.optional] = cast(OptionalReader, reader)

    def last_start(self, spec: WindowSpec, end: int) -> int | None:
        """Return where the last window begins if the speech ends at `end`; None without one."""
        last = self.last_stop.get(spec)
        # Samples that the last window would add.
        if last is not None and end - last < spec.hop // 2:
            return None
        start = max(self.utterance.onset, end - spec.length)
        return start if end - start >= spec.minimum else None

    def is_voiced(self, spec: WindowSpec, start: int, stop: int) -> bool:
        """Return whether enough of a window is speech."""
        return self.utterance.voiced(start, stop) >= spec.min_voiced * (stop - start)

    def request(self, spec: WindowSpec, start: int, stop: int) -> WindowRequest:
        """Return what the readers want of a window if it is the next one."""
        new = min(stop - self.last_stop.get(spec, start), stop - start)
        return WindowRequest(self.extras[spec], new)
