"""A server with a main voice model beside that of every window, by passes without models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from fakes.driving import Stage, fake_passes, tone
from fakes.recipes import REGISTRY

from streamd.engine.passes.fake import FakeVoice, FakeVoiceprint
from streamd.engine.slots import State
from streamd.modules.base import ModelCard
from streamd.modules.centroids import Centroids
from streamd.modules.gallery import Gallery
from streamd.modules.registry import Registry
from streamd.modules.speaker import SpeakerModule
from streamd.modules.voice_models import VoiceModels
from streamd.settings import SpeakerSettings
from streamd.types import Samples

CARD = ModelCard(model="main", license="", source="", training_data="")
MODELS = VoiceModels("windows", "main", change=0.6)
BOTH = Registry(
    REGISTRY.vad,
    list(REGISTRY.steppers.values()),
    [
        SpeakerModule(SpeakerSettings(), CARD, MODELS),
        *(module for name, module in REGISTRY.readers.items() if name != "speaker"),
    ],
    REGISTRY.defaults,
    REGISTRY.speculative,
)


def gallery() -> Gallery:
    """Anna is enrolled with both models, bert with that of every window alone."""
    first, both = np.zeros(1, int), np.zeros(2, int)
    anna, bert = tone(300, 1600, 8000.0), tone(2100, 1600, 6000.0)
    (print_,), _ = FakeVoiceprint().run([anna], [None], {})
    voices, _ = FakeVoice().run([anna, bert], [None, None], {})
    heard = np.stack([voice.embedding for voice in voices])
    return Gallery.of(
        ["anna", "bert"],
        {
            "main": Centroids.build(print_.embedding[None], first, first),
            "windows": Centroids.build(heard, np.arange(2), both),
        },
    )


GALLERY = gallery()


class Counted(FakeVoiceprint):
    """Counts the windows that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.windows = 0

    def run(
        self, items: Sequence[Samples], options: Sequence[Any], state: State
    ) -> tuple[Sequence[Any], State]:
        self.windows += len(items)
        return super().run(items, options, state)


class BothStage(Stage):
    """The fake passes, with the main model too."""

    def __init__(self, seed: int | None = None) -> None:
        self.main = Counted()
        super().__init__([*fake_passes(), self.main], seed)
