"""The mood of a whole file: the mean over its utterances, weighted by their speech."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from streamd.errors import TooShort
from streamd.events import Emotion, Event, SpeechEnd

MIN_SPEECH_MS = 400
"""Milliseconds of speech that one window needs."""


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
    total_ms = sum(speech_ms.values())
    heard = {u: e for u, e in finals.items() if speech_ms.get(u, 0) >= MIN_SPEECH_MS}
    if not heard:
        raise TooShort(
            f"{total_ms} ms of speech in the file; an emotion needs {MIN_SPEECH_MS} ms in one "
            "piece: send a longer recording, or a louder one"
        )
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
