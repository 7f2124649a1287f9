"""What every view does, and how loud a block of samples is."""

from __future__ import annotations

import math
import sys
from array import array
from types import TracebackType
from typing import Any, Protocol, Self

FLOOR_DBFS = -60.0


class View(Protocol):
    """Shows the events that a command receives."""

    alive: bool
    """False once nobody reads the output any more; the command should stop."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def event(self, event: dict[str, Any]) -> None:
        """Show one wire event."""

    def level(self, dbfs: float) -> None:
        """Show the level of the audio that is being sent."""

    def position(self, done_s: float, total_s: float | None) -> None:
        """Show how many seconds of a file were sent, and of how many, if that is known."""


def dbfs(pcm_s16le: bytes) -> float:
    """Return the RMS level of a block of samples, at least −60 dBFS."""
    samples = array("h", pcm_s16le[: len(pcm_s16le) // 2 * 2])
    if sys.byteorder == "big":
        samples.byteswap()
    if not samples:
        return FLOOR_DBFS
    mean_square = sum(x * x for x in samples) / len(samples) / 32768**2
    return max(FLOOR_DBFS, 10 * math.log10(max(mean_square, 1e-12)))
