"""The warm-up: it runs a pass once, before the first stream waits for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamd.engine.passes.base import Pass
from streamd.engine.slots import State


def initial_rows(model: Pass, batch: int) -> State:
    """Return state rows `[batch, *shape]` of streams that have just begun."""
    return model.backend.slots(model.state, 1).gather([-1] * batch)


def warm_up(model: Pass, samples: int, option: Any = None) -> None:
    """Run silence at the smallest and the largest batch, so that the runtime allocates its memory.

    Args:
        model: the pass.
        samples: length of an item.
        option: what each item asks for.
    """
    for batch in (1, model.max_batch):
        silence = [np.zeros(samples, np.int16)] * batch
        model.run(silence, [option] * batch, initial_rows(model, batch))
