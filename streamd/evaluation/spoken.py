"""What the voice models hear in recordings, and galleries made of it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np

from streamd.events import TimedEvent
from streamd.modules.base import Utterance, Window
from streamd.modules.enrolment import VoiceReader
from streamd.modules.gallery import Channel, Gallery, Spoken
from streamd.modules.turn import Turn
from streamd.modules.voice_models import VoiceModels
from streamd.settings import SpeakerSettings
from streamd.types import RATE_HZ, Floats


class SpokenReader(VoiceReader):
    """Collects what each model hears of a voice, as the speaker module counts it."""

    def __init__(self, settings: SpeakerSettings, models: VoiceModels) -> None:
        super().__init__(settings, models)
        self._models = models
        self._turn = Turn(0)

    @property
    def spoken(self) -> dict[str, Spoken]:
        """Return what each model that heard something did; the model that decides comes first."""
        heard = {model: self._turn.by(model) for model in self._models.ids}
        # The model of every window may have heard pauses: the speech counts.
        seconds = {self._models.windows: self.speech / RATE_HZ}
        return {
            model: Spoken(one.mean, seconds.get(model, one.seconds))
            for model, one in heard.items()
            if one.windows
        }

    def window(self, utterance: Utterance, window: Window, output: Any) -> Iterable[TimedEvent]:
        """Count a window of the model of every window."""
        self._turn.by(self._models.windows).add(output.embedding, window.start, window.stop)
        return super().window(utterance, window, output)

    def take(self, utterance: Utterance, window: Window, output: Any) -> Iterable[TimedEvent]:
        """Count a window of the main model."""
        self._turn.by(self._models.main).add(output.embedding, window.start, window.stop)
        return super().take(utterance, window, output)


class Enrolment(msgspec.Struct, frozen=True):
    """One enrolment of a gallery."""

    name: str
    channel: Channel
    embeddings: dict[str, bytes]
    """float32, little-endian, by catalogue id of the model; at least one."""

    @classmethod
    def of(cls, name: str, channel: Channel, spoken: Mapping[str, Spoken]) -> Enrolment:
        """Return the enrolment of speech that some models heard."""
        heard = {model: one.embedding.astype("<f4").tobytes() for model, one in spoken.items()}
        return cls(name, channel, heard)


def make_gallery(enrolments: Iterable[Enrolment], models: VoiceModels) -> Gallery:
    """Return a gallery of enrolments, the voices in order of their names."""
    return Gallery.of_enrolments(
        [
            (one.name, one.channel, {m: unpack(heard) for m, heard in one.embeddings.items()})
            for one in enrolments
        ],
        models,
    )


def pack(embedding: Floats) -> str:
    """Return an embedding as text, for JSON."""
    return base64.b64encode(embedding.astype("<f4").tobytes()).decode()


def unpack(packed: str | bytes) -> Floats:
    """Return the embedding of a text."""
    data = base64.b64decode(packed) if isinstance(packed, str) else packed
    return np.frombuffer(data, "<f4")
