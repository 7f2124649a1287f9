"""The module that reads files of one voice: it collects their embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from streamd.events import TimedEvent
from streamd.modules.base import ReaderContext, Utterance, Window, WindowSpec
from streamd.modules.speaker_reader import MAIN_PASS, MAIN_WINDOW, MIN_WINDOW_MS
from streamd.modules.voice_models import VoiceModels
from streamd.modules.words import NO_WORDS, CustomWords
from streamd.settings import SpeakerSettings
from streamd.types import RATE_HZ, Floats

LEAST_SAMPLES = RATE_HZ
"""Samples of a window of the main model from which it alone says whether somebody else speaks."""


class VoiceReader:
    """Collects the embeddings of the windows that the speaker module may read.

    Args:
        settings: Those of the speaker module.
        models: The models of it; a main model hears all speech, in windows one after the other.
    """

    name = "voice"
    extras = frozenset[str]()

    def __init__(self, settings: SpeakerSettings, models: VoiceModels | None = None) -> None:
        models = models or VoiceModels("")
        self.optional = (
            WindowSpec(MAIN_PASS, MAIN_WINDOW, MAIN_WINDOW, MIN_WINDOW_MS * RATE_HZ // 1000)
            if models.main
            else None
        )
        self.spec = WindowSpec(
            pass_name="voice",
            length=settings.window_ms * RATE_HZ // 1000,
            hop=settings.hop_ms * RATE_HZ // 1000,
            minimum=MIN_WINDOW_MS * RATE_HZ // 1000,
        )
        self._models = models
        self._heard: dict[str, list[Floats]] = {model: [] for model in models.ids}
        self.speech = 0
        """Number of samples of speech."""
        self.runs: list[tuple[int, int]] = []
        """Spans of speech, in samples at 16 kHz."""

    @property
    def windows(self) -> list[Floats]:
        """Return the embeddings by the model of every window, in the order of the stream."""
        return self._heard[self._models.windows]

    @property
    def heard(self) -> dict[str, Floats]:
        """Return the mean embedding by each model that heard something, as a unit vector."""
        return {model: _mean(heard) for model, heard in self._heard.items() if heard}

    def opened(self, utterance: Utterance) -> None:
        """Prepare nothing, because `closed` has pooled the windows of the utterance before."""

    def window(self, utterance: Utterance, window: Window, output: Any) -> Iterable[TimedEvent]:
        """Keep the embedding of a window."""
        self._heard[self._models.windows].append(output.embedding)
        return ()

    def wants(self, utterance: Utterance, window: Window) -> bool:
        """Return True, because what is enrolled is worth every window."""
        return True

    def take(self, utterance: Utterance, window: Window, output: Any) -> Iterable[TimedEvent]:
        """Keep the embedding of a window by the main model."""
        self._heard[self._models.main].append(output.embedding)
        return ()

    def closed(self, utterance: Utterance) -> Iterable[TimedEvent]:
        """Count the speech."""
        self.speech += utterance.speech
        self.runs.extend(utterance.runs)
        return ()

    def enrolled(self, name: str, label: str | None) -> None:
        """Do nothing, because nobody is enrolled in a session over a file."""


class EnrolmentReader(VoiceReader):
    """Collects also what emotion learns of a voice, and with it a baseline."""

    extras = frozenset({"prosody"})

    def __init__(self, settings: SpeakerSettings, models: VoiceModels | None = None) -> None:
        super().__init__(settings, models)
        if self.optional is not None:
            # Twice the windows, so that a second voice has one of its own sooner.
            self.optional = replace(self.optional, hop=MAIN_WINDOW // 2)
        self.main: list[Floats] = []
        """Embeddings by the main model of windows that say much, in the order of the stream."""
        self.utterances: list[tuple[Floats, Floats]] = []
        """Mean states and summed moments of each utterance, from which a baseline is made."""
        self._states: list[Floats] = []
        self._moments: list[Floats] = []

    def window(self, utterance: Utterance, window: Window, output: Any) -> Iterable[TimedEvent]:
        """Keep the outputs of a window."""
        self._states.append(output.states)
        self._moments.append(output.prosody.sum(axis=0))
        return super().window(utterance, window, output)

    def take(self, utterance: Utterance, window: Window, output: Any) -> Iterable[TimedEvent]:
        """Keep the embedding of a window by the main model."""
        if window.stop - window.start >= LEAST_SAMPLES:
            self.main.append(output.embedding)
        return super().take(utterance, window, output)

    def closed(self, utterance: Utterance) -> Iterable[TimedEvent]:
        """Count the speech, and pool the windows."""
        if self._states:
            self.utterances.append((np.mean(self._states, axis=0), np.sum(self._moments, axis=0)))
            self._states, self._moments = [], []
        return super().closed(utterance)


def _mean(embeddings: Sequence[Floats]) -> Floats:
    total = np.sum(embeddings, axis=0)
    mean: Floats = total / np.linalg.norm(total)
    return mean


class VoiceModule:
    """Creates the reader of one session; no client can ask for this module."""

    name: ClassVar[str] = "voice"

    def __init__(self, reader: VoiceReader) -> None:
        self.reader = reader

    def parse(
        self, request: Mapping[str, Any], words: CustomWords = NO_WORDS
    ) -> tuple[None, list[tuple[str, str]]]:
        """Return no options, because there are none."""
        return None, []

    def describe(self, options: None) -> dict[str, Any]:
        """Return nothing, because no client sees this module."""
        return {}

    def open(self, options: None, context: ReaderContext, previous: Any) -> VoiceReader:
        """Return the one reader."""
        return self.reader
