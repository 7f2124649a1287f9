"""Files whose channels cancel each other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from streamd.audio.cancel import do_cancel
from streamd.audio.files.parts import Note, Part
from streamd.types import Floats


def _cancels(block: Floats) -> bool | None:
    loudest = float(np.square(block).mean(axis=0).max())
    return do_cancel(loudest, float(np.square(block.mean(axis=1)).mean()))


def without_cancelling(parts: Iterator[Part], name: str, note: Note) -> Iterator[Part]:
    """Yield the parts of a file; in blocks that cancel, the loudest channel replaces all others.

    Each block of half a second is judged, a quiet one as the block before it.
    """
    channel: int | None = None
    noted = False
    for part in parts:
        if isinstance(part, np.ndarray) and (cancels := _cancels(part)) is not None:
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
