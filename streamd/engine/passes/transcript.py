"""The pass `transcript`: the text of an utterance so far, by any recogniser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamd.engine.backends.host import Host
from streamd.engine.recognition.base import Recogniser
from streamd.engine.slots import State, StateSpec
from streamd.types import Recognition, Samples


class TranscriptPass:
    """Recognises the speech of streams.

    Items are the samples of an utterance that no item before had, with a `ChainRequest`. Outputs
    are pairs of a `Recognition` and the state of the utterance. That state has no fixed size, so it
    travels with the jobs and has no slots.

    Args:
        recogniser: The model.
    """

    name = "transcript"
    copies_state = True
    backend = Host()

    def __init__(self, recogniser: Recogniser) -> None:
        self.state: Mapping[str, StateSpec] = {}
        self.max_batch = recogniser.max_batch
        self._recogniser = recogniser

    def run(
        self, items: Sequence[Samples], options: Sequence[Any], state: State
    ) -> tuple[Sequence[tuple[Recognition, Any]], State]:
        """Run one batch; `options` are `ChainRequest`s."""
        return self._recogniser.recognise(items, options), {}
