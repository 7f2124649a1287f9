"""Channels that cancel each other: a mix that is silent while they are not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from streamd.audio.files.parts import Note, Part
from streamd.types import Floats

_ACTIVE_POWER = 1e-6
"""-60 dBFS: a fainter block says nothing about its channels."""
_CANCELLED = 10 ** (-25 / 10)
"""Power of the mix against the loudest channel. One channel in use of eight gives -18 dB."""


def do_cancel(block: Floats) -> bool | None:
    """Whether the channels of a block, shape `[n, channels]`, cancel; None if it is quiet."""
    loudest = float(np.square(block).mean(axis=0).max())
    if loudest < _ACTIVE_POWER:
        return None
    return float(np.square(block.mean(axis=1)).mean()) < _CANCELLED * loudest


def without_cancelling(parts: Iterator[Part], name: str, note: Note) -> Iterator[Part]:
    """The parts of a file; blocks that cancel have their loudest channel in all channels.

    Each block of half a second is judged, a quiet one as the block before it.
    """
    channel: int | None = None
    noted = False
    for part in parts:
        if isinstance(part, np.ndarray) and (cancels := do_cancel(part)) is not None:
            if cancels and channel is None:
                channel = int(np.square(part).sum(axis=0).argmax())
                if not noted:
                    noted = True
                    note(
                        f"{name}: its channels cancel each other when mixed (one has its "
                        f"polarity reversed); channel {channel + 1} is taken alone"
                    )
            elif not cancels:
                channel = None
        if channel is not None and isinstance(part, np.ndarray):
            part = np.repeat(part[:, channel : channel + 1], part.shape[1], axis=1)
        yield part
