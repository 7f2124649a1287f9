"""Voices of files against each other, and against those that are enrolled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from streamd.errors import TooShort
from streamd.files.voice_cache import FileVoice
from streamd.modules.centroids import Centroids
from streamd.modules.gallery import CHANNELS, Gallery, Match, Spoken
from streamd.modules.voice_models import VoiceModels
from streamd.settings import Band, ChannelThresholds
from streamd.types import Floats

_REFERENCE = "reference"
Verdict = Literal["accept", "unsure", "reject"]
MIN_SPEECH_MS = 500
"""Milliseconds of speech in a file from which its voice is compared."""


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether two files have the same voice."""

    similarity: float
    """Score of the two voices, -1 to 1."""
    decision: Verdict
    threshold: float
    """Similarity from which the decision is `accept`."""


@dataclass(frozen=True, slots=True)
class Identification:
    """Who speaks in a file."""

    decision: Verdict
    speaker: str | None
    """The nearest voice; None if it is rejected."""
    score: float
    """Score of the nearest voice; 0 if nobody is enrolled."""
    margin: float | None
    """Difference from the score of the next voice; None without one."""
    candidates: Sequence[Match]
    """The nearest voices, best first."""


def required(voice: FileVoice, name: str) -> Floats:
    """Return the voice of a file that has enough speech.

    Raises:
        TooShort: It has not.
    """
    if voice.embedding is None or voice.speech_ms < MIN_SPEECH_MS:
        raise TooShort(
            f"{name}: {voice.speech_ms} ms of speech; at least {MIN_SPEECH_MS} ms are needed: "
            "send a longer recording, or a louder one"
        )
    return voice.embedding


def verify(
    reference: FileVoice, test: FileVoice, models: VoiceModels, thresholds: ChannelThresholds
) -> Verification:
    """Compare two voices, each of which is there."""
    assert reference.embedding is not None
    heard = {models.deciding: reference.embedding, **reference.others}
    first, channels = np.zeros(1, np.intp), np.array([CHANNELS.index(reference.channel)])
    one = {
        model: Centroids.build(
            heard[model][None], first, channels, models.scale if model == models.deciding else None
        )
        for model in models.ids
        if model in heard
    }
    (match,) = nearest(test, Gallery.of((_REFERENCE,), one), models, 1)
    # Cosines are higher on telephone audio, whichever of the two it is; a scale knows both.
    is_narrow = "narrow" in ((test.channel,) if models.main else (reference.channel, test.channel))
    band = thresholds.of("narrow" if is_narrow else "wide")
    return Verification(match.score, decided(match.score, band), band.accept)


def nearest(voice: FileVoice, gallery: Gallery, models: VoiceModels, limit: int) -> Sequence[Match]:
    """Return the enrolled voices that the voice of a file, which is there, is most like."""
    assert voice.embedding is not None
    if not models.main:
        return gallery.search(voice.embedding, voice.channel, limit)
    seconds = voice.speech_ms / 1000
    spoken = {
        model: Spoken(embedding, seconds)
        for model, embedding in {models.main: voice.embedding, **voice.others}.items()
    }
    return gallery.find(spoken, voice.channel, limit)


def identify(
    voice: FileVoice,
    gallery: Gallery,
    models: VoiceModels,
    thresholds: ChannelThresholds,
    limit: int,
) -> Identification:
    """Search the enrolled voices for that of a file, which is there.

    Args:
        voice: The voice of the file.
        gallery: The enrolled voices.
        models: The models that heard it.
        thresholds: Bounds of the decision.
        limit: Most candidates.
    """
    ranked = nearest(voice, gallery, models, max(limit, 2))
    if not ranked:
        return Identification("reject", None, 0.0, None, ())
    best = ranked[0]
    decision = decided(best.score, thresholds.of(voice.channel))
    return Identification(
        decision,
        None if decision == "reject" else best.name,
        best.score,
        best.score - ranked[1].score if len(ranked) > 1 else None,
        ranked[:limit],
    )


def decided(score: float, band: Band) -> Verdict:
    """Return the decision on a score."""
    if score >= band.accept:
        return "accept"
    return "unsure" if score >= band.reject else "reject"
