"""The pass `mood`: how an utterance so far sounds, by a recogniser that tells moods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from streamd.engine.backends.host import Host
from streamd.engine.recognition.base import Recogniser
from streamd.engine.slots import State, StateSpec
from streamd.types import ANY_LANGUAGE, RATE_HZ, ChainRequest, Samples

WINDOW = 2 * RATE_HZ
"""Samples that an interim answer is of."""
_NONE = np.zeros(0, np.int16)


class MoodPass:
    """Tells the moods of streams.

    Items are the samples of an utterance that no item before had, with a `ChainRequest`. Outputs
    are pairs of `Recognition.moods` and the state, which is the whole of the utterance so far. The
    last job asks for the whole utterance as the transcript does, so that one run of the network can
    serve both.

    Args:
        recogniser: The model; its recognitions have `moods`.
    """

    name = "mood"
    copies_state = True
    backend = Host()

    def __init__(self, recogniser: Recogniser) -> None:
        self.state: Mapping[str, StateSpec] = {}
        self.max_batch = recogniser.max_batch
        self._recogniser = recogniser

    def run(
        self, items: Sequence[Samples], options: Sequence[Any], state: State
    ) -> tuple[Sequence[tuple[tuple[float, ...], Samples]], State]:
        """Run one batch; `options` are `ChainRequest`s."""
        wholes = [
            np.concatenate((_NONE if one.state is None else one.state, item))
            for item, one in zip(items, options, strict=True)
        ]
        asked = [
            whole if one.is_last else whole[-WINDOW:]
            for whole, one in zip(wholes, options, strict=True)
        ]
        request = ChainRequest(None, is_last=True, options=ANY_LANGUAGE)
        found = self._recogniser.recognise(asked, [request] * len(asked))
        return [(one.moods, whole) for (one, _), whole in zip(found, wholes, strict=True)], {}
