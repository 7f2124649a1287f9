"""The pass `voiceprint`: what a main voice model says of a window of speech."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from streamd.engine.backends.base import GraphBackend
from streamd.engine.passes.base import stack
from streamd.engine.passes.warm import warm_up
from streamd.engine.slots import State, StateSpec
from streamd.models.library import Library
from streamd.types import Floats, Samples


class SpeakerOutput(NamedTuple):
    """The output of the pass for one window."""

    embedding: Floats
    """The voice, float32 [dim], of length 1; models differ in `dim`."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Return the shapes that the arrays must have; the engine checks them."""
        return {"embedding": (self.embedding.size,)}


class Voiceprint:
    """A voice model whose graph takes 1.6 s of audio, with its features, and gives an embedding.

    CAM++ (Wang et al. 2023, arXiv:2303.00332), ECAPA-TDNN (Desplanques et al. 2020,
    arXiv:2005.07143) and ERes2NetV2 (Chen et al. 2024, arXiv:2406.02167) are such models.

    Items are windows of 6400 to 25600 samples (0.4 to 1.6 s). A shorter one than 1.6 s is repeated
    until it is as long: of one second that errs as seldom as the second alone, and all windows make
    one batch. The level does not matter, because the features are less their mean over the window.
    No state.

    Args:
        backend: the backend that runs the graph.
        library: the folder of the models.
        graph: as `campplus` or `ecapa_int8`. It takes `audio` float32 [N, 25600] at int16 scale and
            gives `embedding` [N, dim] of length 1. A model in fewer bits is another one, although
            its embeddings are near.
    """

    name = "voiceprint"
    min_samples = 6_400
    max_samples = 25_600
    max_batch = 8
    copies_state = True

    def __init__(self, backend: GraphBackend, library: Library, graph: str = "campplus") -> None:
        """Load the graph.

        Raises:
            ModelMissing: the model is not pulled.
        """
        self.backend = backend
        self._run = backend.load(library.path(backend.file(graph)))
        self.state: Mapping[str, StateSpec] = {}

    def warm(self) -> None:
        """Run it once, so that the first stream does not wait for memory."""
        warm_up(self, self.max_samples)

    def run(
        self, items: Sequence[Samples], options: Sequence[Any], state: State
    ) -> tuple[Sequence[SpeakerOutput], State]:
        """Run one batch; `options` are ignored.

        Raises:
            ValueError: an item is shorter or longer than a window.
        """
        for item in items:
            if not self.min_samples <= len(item) <= self.max_samples:
                raise ValueError(
                    f"a window has {self.min_samples} to {self.max_samples} samples, "
                    f"not {len(item)}"
                )
        windows = [np.resize(item, self.max_samples) for item in items]
        (embeddings,) = self._run({"audio": stack(windows)})
        return [SpeakerOutput(row) for row in np.asarray(embeddings)], {}
