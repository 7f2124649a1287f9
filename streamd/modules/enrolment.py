"""Listens for one voice only: what `streamd enroll` makes an enrolment from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from streamd.events import TimedEvent
from streamd.modules.base import ReaderContext, Utterance, Window, WindowSpec
from streamd.modules.speaker import MIN_WINDOW_MS
from streamd.modules.words import NO_WORDS, CustomWords
from streamd.settings import SpeakerSettings
from streamd.types import RATE_HZ, Floats


class EnrolmentReader:
    """Collects what the windows say of a voice, cut as the speaker module cuts them."""

    name = "enrolment"
    extras = frozenset({"prosody"})

    def __init__(self, settings: SpeakerSettings) -> None:
        self.spec = WindowSpec(
            pass_name="voice",
            length=settings.window_ms * RATE_HZ // 1000,
            hop=settings.hop_ms * RATE_HZ // 1000,
            minimum=MIN_WINDOW_MS * RATE_HZ // 1000,
        )
        self.embeddings: list[Floats] = []
        self.utterances: list[tuple[Floats, Floats]] = []
        """Mean states and summed moments of each: what a baseline is made of."""
        self._states: list[Floats] = []
        self._moments: list[Floats] = []
        self.speech = 0
        """Samples of speech heard."""

    @property
    def mean(self) -> Floats:
        """The voice, a unit vector; there must be an embedding."""
        total = np.sum(self.embeddings, axis=0)
        mean: Floats = total / np.linalg.norm(total)
        return mean

    @property
    def consistency(self) -> float:
        """How alike the windows are: the mean cosine to their mean."""
        return float(np.mean([self.mean @ e for e in self.embeddings]))

    def opened(self, utterance: Utterance) -> None:
        """Nothing to prepare: the last one's windows are pooled."""

    def window(self, utterance: Utterance, window: Window, output: Any) -> Iterable[TimedEvent]:
        """Keep the embedding."""
        self.embeddings.append(output.embedding)
        self._states.append(output.states)
        self._moments.append(output.prosody.sum(axis=0))
        return ()

    def closed(self, utterance: Utterance) -> Iterable[TimedEvent]:
        """Count the speech, pool the windows."""
        self.speech += utterance.speech
        if self._states:
            self.utterances.append((np.mean(self._states, axis=0), np.sum(self._moments, axis=0)))
            self._states, self._moments = [], []
        return ()


class EnrolmentModule:
    """Not of the protocol: no client can ask for it."""

    name: ClassVar[str] = "enrolment"

    def __init__(self, settings: SpeakerSettings) -> None:
        self.reader = EnrolmentReader(settings)

    def parse(
        self, request: Mapping[str, Any], words: CustomWords = NO_WORDS
    ) -> tuple[None, list[tuple[str, str]]]:
        """There are no options."""
        return None, []

    def describe(self, options: None) -> dict[str, Any]:
        """Nothing that a client would see."""
        return {}

    def open(self, options: None, services: ReaderContext, previous: Any) -> EnrolmentReader:
        """The one reader."""
        return self.reader
