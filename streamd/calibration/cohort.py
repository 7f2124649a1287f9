"""The cohort: speech of 70 people who are nobody's users, as embeddings.

`training/speaker` made it of LibriSpeech (Panayotov et al., 2015; CC BY 4.0). It has no names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamd.models import catalogue
from streamd.modules.centroids import Indices
from streamd.modules.gallery import CHANNELS, Channel, Spoken
from streamd.store.base import Recording
from streamd.types import Floats
from streamd.voices import fitted_path, whole

FILE = "voice-cohort.npz"
BUNDLED = Path(catalogue.__file__).parent / "weights" / FILE
SPAN_S = 3.2
"""Seconds of speech in each span, about those of a short sentence."""


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """Spans of speech of many speakers, each heard by several models on both channels."""

    speakers: Indices
    """`[spans]`, number of the speaker of each."""
    heard: Mapping[Channel, Mapping[str, Floats]]
    """`[spans, dim]` by channel and catalogue id of the model, unit vectors."""

    @classmethod
    def load(cls, models: tuple[str, ...], path: Path | None = None) -> Cohort:
        """Return the embeddings by these models.

        Args:
            models: Ids of the models, that which decides first; one without embeddings is left
                out.
            path: The file; None is that of the owner's own fit, else that which comes with streamd.

        Raises:
            ValueError: It is damaged.
        """
        if path is None:
            fitted = fitted_path(models[0])
            path = fitted if fitted.is_file() else BUNDLED
        with np.load(path, allow_pickle=False) as file:
            if "speakers" not in file:
                raise ValueError(f"{path}: it has no speakers")
            heard: dict[Channel, dict[str, Floats]] = {channel: {} for channel in CHANNELS}
            for channel in CHANNELS:
                for model in models:
                    name = f"{channel}/{whole(model)}"
                    if name in file:
                        heard[channel][model] = file[name].astype(np.float32)
            return cls(file["speakers"].astype(np.intp), heard)

    def knows(self, model: str) -> bool:
        """Return whether it has embeddings by a model."""
        return all(model in heard for heard in self.heard.values())

    def spoken(self, channel: Channel, span: int) -> dict[str, Spoken]:
        """Return a span as a session would hear it, by model."""
        return {model: Spoken(rows[span], SPAN_S) for model, rows in self.heard[channel].items()}

    def recordings(self, channel: Channel, speakers: npt.ArrayLike) -> list[Recording]:
        """Return the spans of some speakers as if each had enrolled with them."""
        return [
            Recording(
                f"cohort {self.speakers[span]}",
                channel,
                int(SPAN_S * 1000),
                {model: rows[span] for model, rows in self.heard[channel].items()},
            )
            for span in np.flatnonzero(np.isin(self.speakers, speakers))
        ]

    def variations(self, channel: Channel) -> list[dict[str, Floats]]:
        """Return for each speaker by how much two spans differ, `[dim]` by model.

        It is scaled to what one span alone varies.
        """
        found = []
        for speaker in np.unique(self.speakers):
            first, second = np.flatnonzero(self.speakers == speaker)[:2]
            found.append(
                {
                    model: (rows[first] - rows[second]) / np.float32(np.sqrt(2))
                    for model, rows in self.heard[channel].items()
                }
            )
        return found
