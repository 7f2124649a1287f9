"""The mood of a whole file: the mean over its utterances, weighted by their speech."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from streamd.errors import TooShort
from streamd.events import Emotion, Event, SpeechEnd
from streamd.modules.moods import MIN_SPEECH_MS, MoodScores, abstains
from streamd.types import Recognition


@dataclass(frozen=True, slots=True)
class Mood:
    """What the utterances of a file say together."""

    label: str
    score: float
    scores: dict[str, float]
    """Probability of each label."""
    arousal: float
    """From 0 (calm) to 1 (excited)."""
    abstain: bool
    """Whether the evidence is too thin or too even to act on `label`."""


def mood_of(events: Iterable[Event]) -> Mood:
    """Return the mood of a file from the events of a session over it.

    Raises:
        TooShort: There is less speech than one window.
    """
    speech_ms: dict[str, int] = {}
    finals: dict[str, Emotion] = {}
    for event in events:
        match event:
            case SpeechEnd():
                speech_ms[event.utterance] = event.speech_ms
            case Emotion(final=True):
                finals[event.utterance] = event
    _check_speech([speech_ms.get(u, 0) for u in finals])
    heard = {u: e for u, e in finals.items() if speech_ms.get(u, 0) >= MIN_SPEECH_MS}
    weights = {u: speech_ms[u] for u in heard}
    whole = sum(weights.values())

    def mean(values: dict[str, float]) -> float:
        return round(sum(values[u] * weights[u] for u in heard) / whole, 4)

    labels = next(iter(heard.values())).scores
    scores = {name: mean({u: e.scores[name] for u, e in heard.items()}) for name in labels}
    label = max(scores, key=lambda name: scores[name])
    sure_ms = sum(weights[u] for u, e in heard.items() if not e.abstain and e.label == label)
    return Mood(
        label=label,
        score=scores[label],
        scores=scores,
        arousal=mean({u: e.arousal for u, e in heard.items()}),
        abstain=2 * sure_ms < whole,
    )


def told_mood(events: Iterable[Event], found: Recognition, threshold: float) -> Mood:
    """Return the mood of a file from its text, by a recogniser that tells moods.

    Args:
        events: Of a session over the file.
        found: What the recogniser makes of it.
        threshold: Probability of the likeliest label below which to abstain.

    Raises:
        TooShort: There is less speech than one window.
    """
    _check_speech([event.speech_ms for event in events if isinstance(event, SpeechEnd)])
    told = MoodScores.of(found.moods)
    return Mood(
        label=told.label,
        score=told.scores[told.label],
        scores=told.scores,
        arousal=told.arousal,
        abstain=abstains(told, threshold),
    )


def _check_speech(utterances_ms: Collection[int]) -> None:
    """Refuse a file of which no utterance has enough speech, milliseconds of each."""
    if max(utterances_ms, default=0) < MIN_SPEECH_MS:
        raise TooShort(
            f"{sum(utterances_ms)} ms of speech in the file; an emotion needs {MIN_SPEECH_MS} ms "
            "in one piece: send a longer recording, or a louder one"
        )
