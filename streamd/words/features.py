"""Speech embeddings of recordings, as the wake pass makes them of a stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from streamd.engine.passes.openwakeword import OpenWakeWord
from streamd.engine.passes.warm import initial_rows
from streamd.types import Floats, Samples

STEP = OpenWakeWord.item_samples - OpenWakeWord.context_samples
SETTLING = 10
"""Embeddings at the start of a stream that still depend on the initial state."""


def embed(
    wake: OpenWakeWord, recordings: Sequence[Samples], done: Callable[[int], None] = lambda n: None
) -> list[Floats]:
    """Return embeddings of recordings, each a stream of its own.

    Args:
        wake: the pass.
        recordings: int16, 16 kHz.
        done: called with the number of further recordings done.

    Returns:
        `[steps, 96]` of each; step `n` depends on the samples before `(n + 1) * STEP`.
    """
    found: list[Floats] = [np.zeros((0, 96), np.float32)] * len(recordings)
    by_length = sorted(range(len(recordings)), key=lambda i: len(recordings[i]))
    for first in range(0, len(by_length), wake.max_batch):
        batch = by_length[first : first + wake.max_batch]
        counts = [len(recordings[i]) // STEP for i in batch]
        before = OpenWakeWord.context_samples
        audio = np.zeros((len(batch), before + max(counts) * STEP), np.int16)
        for row, i, count in zip(audio, batch, counts, strict=True):
            row[before : before + count * STEP] = recordings[i][: count * STEP]
        state = initial_rows(wake, len(batch))
        steps = []
        for start in range(0, max(counts) * STEP, STEP):
            items = list(audio[:, start : start + OpenWakeWord.item_samples])
            _, state = wake.run(items, [()] * len(batch), state)
            steps.append(state["history"][:, -1])
        stacked = np.stack(steps, axis=1) if steps else np.zeros((len(batch), 0, 96), np.float32)
        for row, i, count in zip(stacked, batch, counts, strict=True):
            found[i] = row[:count]
        done(len(batch))
    return found
