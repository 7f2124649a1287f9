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
    """Run silence in batches of the sizes that the backend wants to have run.

    Args:
        model: the pass.
        samples: length of an item.
        option: what each item asks for.
    """

    def run(batch: int) -> None:
        silence = [np.zeros(samples, np.int16)] * batch
        model.run(silence, [option] * batch, initial_rows(model, batch))

    model.backend.warm(run, model.max_batch)
