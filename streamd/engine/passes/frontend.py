"""The passes that make a stream's audio clean: noise suppression and echo cancellation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from streamd.audio.frontend.chain import Chain
from streamd.engine.backends.host import Host
from streamd.engine.slots import State, StateSpec
from streamd.front_ends import DEEP_PASS, PASS, Kind
from streamd.types import Samples


class FrontEndPass:
    """Runs the front ends of streams.

    Items are whole frames, int16 `[n]`, or `[n, 2]` with the loudspeaker's channel; options are the
    parts of the front end. Outputs are int16 `[n]`, or where noise is suppressed `[n, 2]`: without
    noise, and as it was before that. They are later than the input by the front end's delay.

    The C libraries keep the state in objects that cannot be copied, so the state row holds the
    object itself, made with a stream's first item: a slot's state cannot be forked. An item fails
    alone, because the others must not run a second time.

    Args:
        name: `PASS` or `DEEP_PASS`.
        max_batch: Items in a batch.
    """

    copies_state = False

    def __init__(self, name: str, max_batch: int) -> None:
        self.name = name
        self.max_batch = max_batch
        self.backend = Host()
        self.state: Mapping[str, StateSpec] = {"chain": StateSpec(np.empty((), object))}

    def run(
        self, items: Sequence[Samples], options: Sequence[Any], state: State
    ) -> tuple[Sequence[Any], State]:
        """Run one batch."""
        chains = state["chain"].copy()
        outputs: list[Any] = []
        for row, (item, parts) in enumerate(zip(items, options, strict=True)):
            try:
                if chains[row] is None:
                    chains[row] = Chain(Kind(parts))
                outputs.append(chains[row].run(item))
            except Exception as error:
                outputs.append(error)
        return outputs, {"chain": chains}


def front_end_passes() -> list[FrontEndPass]:
    """Return all of them; the packages are imported with the first stream that needs one."""
    # One item of DeepFilterNet takes as long as a batch of the others, and may have to load it.
    return [FrontEndPass(PASS, max_batch=16), FrontEndPass(DEEP_PASS, max_batch=1)]
