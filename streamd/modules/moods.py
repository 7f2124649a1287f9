"""The mood of a speaker by a model that hears words and sounds at once: SenseVoice.

Interim estimates are of the latest two seconds of an utterance, the final one of all of it. Nothing
is learned about a speaker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import msgspec

from streamd.events import Emotion, TimedEvent
from streamd.modules.base import ModelCard, ReaderContext, Utterance, Window, parse_options
from streamd.modules.emotion import EmotionOptions
from streamd.modules.emotion_model import LABELS
from streamd.modules.stateful import GridSpec
from streamd.modules.words import NO_WORDS, CustomWords
from streamd.settings import EmotionSettings, given, overridden
from streamd.types import RATE_HZ

PASS = "mood"
WINDOW_MS = 2000
"""Milliseconds of speech that an interim estimate is of."""
MIN_SPEECH_MS = 400
"""Milliseconds of speech below which the module abstains."""
THRESHOLD = 0.5
"""Probability of the likeliest label below which the module abstains, if nothing else is set."""
AROUSALS = (0.9, 0.5, 0.8, 0.75, 0.35, 0.2, 0.75)
"""Usual arousal of each label, for a model that has no estimate of its own (Russell 1980)."""
_PER_MS = RATE_HZ // 1000


class MoodScores(NamedTuple):
    """How probable each label is."""

    scores: dict[str, float]
    """Probability of each label, of sum 1."""
    label: str
    """The likeliest one."""
    arousal: float
    """From 0 (calm) to 1 (excited): the mean of what is usual for the labels."""
    is_unknown: bool
    """Whether the model finds it likelier that the mood is none of these."""

    @classmethod
    def of(cls, moods: Sequence[float]) -> MoodScores:
        """Return the scores of `Recognition.moods`."""
        *known, unknown = moods if any(moods) else [1.0] * (len(LABELS) + 1)
        total = sum(known)
        scores = {
            label: round(value / total, 4) for label, value in zip(LABELS, known, strict=True)
        }
        label = max(scores, key=lambda name: scores[name])
        arousal = sum(p * a for p, a in zip(scores.values(), AROUSALS, strict=True))
        rest = (1 - unknown / total) * scores[label]
        return cls(scores, label, round(min(arousal, 1.0), 4), unknown / total > rest)


class MoodReader:
    """Estimates the moods in one session.

    Args:
        settings: The settings of the session.
        threshold: Probability of the likeliest label below which to abstain.
        context: The parts of the session that it may use.
    """

    name = "emotion"
    options = None

    def __init__(self, settings: EmotionSettings, threshold: float, context: ReaderContext) -> None:
        self.spec = GridSpec(PASS, settings.hop_ms * _PER_MS)
        self._threshold = threshold
        self._ms = context.ms

    def opened(self, utterance: Utterance) -> None:
        """Do nothing: an utterance has no past."""

    def heard(self, utterance: Utterance, span: Window, output: Any) -> Iterable[TimedEvent]:
        """Yield an interim event about the latest two seconds."""
        start = max(span.start, span.stop - WINDOW_MS * _PER_MS)
        yield self._event(utterance, output, start, span, final=False)

    def closed(self, utterance: Utterance, span: Window, output: Any) -> Iterable[TimedEvent]:
        """Yield the final event on the whole utterance."""
        yield self._event(utterance, output, span.start, span, final=True)

    def _event(
        self,
        utterance: Utterance,
        moods: Sequence[float],
        start: int,
        span: Window,
        *,
        final: bool,
    ) -> Emotion:
        found = MoodScores.of(moods)
        speech_ms = utterance.voiced(utterance.start, span.stop) // _PER_MS
        return Emotion(
            t0=self._ms(start),
            t1=self._ms(span.stop, end=True),
            at=self._ms(span.at, end=True),
            utterance=utterance.id,
            label=found.label,
            score=found.scores[found.label],
            scores=found.scores,
            arousal=found.arousal,
            abstain=abstains(found, self._threshold) or speech_ms < MIN_SPEECH_MS,
            final=final,
        )


class MoodModule:
    """Creates the mood readers of sessions.

    Args:
        settings: The server's defaults.
        card: The model.
    """

    name: ClassVar[str] = "emotion"

    def __init__(self, settings: EmotionSettings, card: ModelCard) -> None:
        self.settings = settings
        self.card = card

    def parse(
        self, request: Mapping[str, Any], words: CustomWords = NO_WORDS
    ) -> tuple[EmotionOptions, list[tuple[str, str]]]:
        """Return the options that a client's object sets."""
        return parse_options(self.name, request, EmotionOptions)

    def describe(self, options: EmotionOptions) -> dict[str, Any]:
        """Return the module's entry in `ready`."""
        return {
            **msgspec.structs.asdict(self.card),
            "labels": list(LABELS),
            "hop_ms": given(options.hop_ms, self.settings.hop_ms),
            "window_ms": WINDOW_MS,
            "min_speech_ms": MIN_SPEECH_MS,
            "threshold": self._threshold(options),
            "latency_ms": given(options.hop_ms, self.settings.hop_ms),
        }

    def open(self, options: EmotionOptions, context: ReaderContext) -> MoodReader:
        """Return the mood reader for one session."""
        settings = overridden(self.settings, options)
        return MoodReader(settings, self._threshold(options), context)

    def _threshold(self, options: EmotionOptions) -> float:
        return given(options.threshold, self.threshold)

    @property
    def threshold(self) -> float:
        """Return the probability of the likeliest label below which the server abstains."""
        return self.settings.threshold or THRESHOLD


def abstains(found: MoodScores, threshold: float = THRESHOLD) -> bool:
    """Return whether scores are too even, or the mood is likelier none of the labels."""
    return found.is_unknown or found.scores[found.label] < threshold
