"""What strangers and owners score, by the code that serves sessions: `Gallery.find`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from streamd.calibration.cohort import SPAN_S, Cohort
from streamd.modules.gallery import Channel, Gallery, Spoken
from streamd.modules.voice_models import VoiceModels
from streamd.store.base import Recording
from streamd.types import Floats

MIN_VOICES = 3
"""Voices with `MIN_ENROLMENTS` that make a gallery's own scores worth more than the cohort's."""
MIN_ENROLMENTS = 2
SPLITS = 8
"""Times that the cohort is divided into owners and strangers, where it serves for both."""
COPIES = 6
"""Short tests that stand for one long enrolment."""

Step = Callable[[int, int], object]
"""Is called with the number of scores so far, and of all."""


@dataclass(slots=True)
class Group:
    """Scores, each of somebody."""

    scores: list[float] = field(default_factory=list)
    of: list[str] = field(default_factory=list)
    """Who spoke, by name."""

    def add(self, score: float, of: str) -> None:
        """Add one score."""
        self.scores.append(score)
        self.of.append(of)


@dataclass(slots=True)
class Scores:
    """What was measured on one channel. All scores are on the scale of sessions."""

    is_own: bool
    """Whether the gallery's own voices spoke; if not, the cohort's did, and has the voices too."""
    voices: int = 0
    """Voices of the gallery."""
    strangers: Group = field(default_factory=Group)
    """The best voice for each span of the cohort."""
    runners_up: Group = field(default_factory=Group)
    """The second best voice for each of them, if there is one."""
    others: Group = field(default_factory=Group)
    """The best other voice for each enrolment of the gallery: strangers in the same rooms."""
    owners: Group = field(default_factory=Group)
    """The voice itself, made of its other enrolments, for each enrolment."""


def is_own(recordings: Iterable[Recording], models: VoiceModels, channel: Channel) -> bool:
    """Return whether there are enough voices with enough enrolments on a channel."""
    counts: dict[str, int] = {}
    for one in recordings:
        if one.channel == channel and models.deciding in one.embeddings:
            counts[one.voice] = counts.get(one.voice, 0) + 1
    return sum(count >= MIN_ENROLMENTS for count in counts.values()) >= MIN_VOICES


def measure(
    gallery: Gallery,
    recordings: Sequence[Recording],
    cohort: Cohort,
    models: VoiceModels,
    channel: Channel,
    step: Step = lambda done, total: None,
) -> Scores:
    """Return what strangers and owners score against a gallery.

    Args:
        gallery: All voices.
        recordings: Enrolments of voices of it, of one voice after the other.
        cohort: Strangers.
        models: The voice models.
        channel: Of the speech of those who are compared.
        step: Takes the progress.
    """
    if is_own(recordings, models, channel):
        found = Scores(is_own=True, voices=len(gallery))
        spans = range(len(cohort.speakers))
        tests = [r for r in recordings if r.channel == channel and models.deciding in r.embeddings]
        total = len(spans) + len(tests)
        for done, span in enumerate(spans):
            _stranger(found, gallery, cohort, channel, span)
            step(done + 1, total)
        _own(found, gallery, recordings, tests, cohort, models, channel, step, total)
        return found
    return _of_cohort(
        max(len(gallery), 1), _enrolled_on(recordings, channel), cohort, models, channel, step
    )


def _stranger(found: Scores, gallery: Gallery, cohort: Cohort, channel: Channel, span: int) -> None:
    speaker = str(cohort.speakers[span])
    best, *others = gallery.find(cohort.spoken(channel, span), channel, 2)
    found.strangers.add(best.score, speaker)
    for other in others:
        found.runners_up.add(other.score, speaker)


def _own(
    found: Scores,
    gallery: Gallery,
    recordings: Sequence[Recording],
    tests: Sequence[Recording],
    cohort: Cohort,
    models: VoiceModels,
    channel: Channel,
    step: Step,
    total: int,
) -> None:
    """Compare each enrolment with the voice of the others, and with all other voices."""
    by_voice: dict[str, list[Recording]] = {}
    for one in recordings:
        by_voice.setdefault(one.voice, []).append(one)
    variations = cohort.variations(channel)
    for number, test in enumerate(tests):
        spoken = {
            model: Spoken(row, test.speech_ms / 1000) for model, row in test.embeddings.items()
        }
        others = [m for m in gallery.find(spoken, channel, 2) if m.name != test.voice]
        if others:
            found.others.add(others[0].score, test.voice)
        rest = [one for one in by_voice[test.voice] if one is not test]
        if rest:
            voice = made_of(rest, models)
            for copy in _short(test, variations, number):
                if matches := voice.find(copy, channel, 1):
                    found.owners.add(matches[0].score, test.voice)
        step(total - len(tests) + number + 1, total)


def _short(
    test: Recording, variations: Sequence[Mapping[str, Floats]], number: int
) -> Iterable[dict[str, Spoken]]:
    """Yield what short tests of the same voice may be.

    An enrolment is longer than what a session decides on, so its embedding varies less. To it is
    added what is missing: some of what two short spans of one speaker of the cohort differ by.
    """
    seconds = test.speech_ms / 1000
    missing = max(1 - SPAN_S / max(seconds, SPAN_S), 0.0)
    for copy in range(COPIES if missing else 1):
        variation = variations[(number * COPIES + copy) % len(variations)]
        yield {
            model: Spoken(
                row + np.float32(np.sqrt(missing)) * variation[model] if missing else row,
                min(seconds, SPAN_S),
            )
            for model, row in test.embeddings.items()
            if model in variation
        }


def _enrolled_on(recordings: Sequence[Recording], channel: Channel) -> Channel:
    """Return the channel of the enrolments that speech of a channel is compared with."""
    channels = {one.channel for one in recordings}
    return channel if channel in channels or not channels else next(iter(channels))


def _of_cohort(
    voices: int,
    enrolled_on: Channel,
    cohort: Cohort,
    models: VoiceModels,
    channel: Channel,
    step: Step,
) -> Scores:
    """Compare a part of the cohort with voices made of the other part, several times over."""
    speakers = np.unique(cohort.speakers)
    count = min(voices, len(speakers) // 2)
    found = Scores(is_own=False, voices=count)
    random = np.random.default_rng(0)
    for split in range(SPLITS):
        enrolled = random.permutation(speakers)[:count]
        gallery = made_of(cohort.recordings(enrolled_on, enrolled), models)
        for span in np.flatnonzero(~np.isin(cohort.speakers, enrolled)):
            _stranger(found, gallery, cohort, channel, int(span))
        step(split + 1, SPLITS + 1)
    recordings = cohort.recordings(enrolled_on, speakers)
    for number, test in enumerate(cohort.recordings(channel, speakers)):
        # The same words on another channel are no other recording.
        rest = [
            one
            for place, one in enumerate(recordings)
            if one.voice == test.voice and place != number
        ]
        spoken = {model: Spoken(row, SPAN_S) for model, row in test.embeddings.items()}
        (match,) = made_of(rest, models).find(spoken, channel, 1)
        found.owners.add(match.score, test.voice)
    step(SPLITS + 1, SPLITS + 1)
    return found


def made_of(recordings: Sequence[Recording], models: VoiceModels) -> Gallery:
    """Return the gallery of recordings, as the store would load it."""
    return Gallery.of_enrolments(
        [(one.voice, one.channel, one.embeddings) for one in recordings], models
    )
