"""Voices of files against each other, and against those that are enrolled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from streamd.errors import TooShort
from streamd.files.voice_cache import FileVoice
from streamd.modules.gallery import Channel, Gallery, Match
from streamd.settings import Band, ChannelThresholds
from streamd.types import Floats

Verdict = Literal["accept", "unsure", "reject"]
MIN_SPEECH_MS = 500
"""Milliseconds of speech in a file from which its voice is compared."""


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether two files have the same voice."""

    similarity: float
    """Cosine of the two voices, -1 to 1."""
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
    """Cosine of the nearest voice; 0 if nobody is enrolled."""
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
            "send a longer recording"
        )
    return voice.embedding


def verify(reference: FileVoice, test: FileVoice, thresholds: ChannelThresholds) -> Verification:
    """Compare two voices, each of which is there.

    Voices on telephone audio are more alike, so that one such file makes the thresholds those of
    the narrow channel.
    """
    assert reference.embedding is not None
    assert test.embedding is not None
    channel: Channel = "narrow" if "narrow" in (reference.channel, test.channel) else "wide"
    band = thresholds.of(channel)
    similarity = min(max(float(reference.embedding @ test.embedding), -1.0), 1.0)
    return Verification(similarity, decided(similarity, band), band.accept)


def identify(
    voice: FileVoice, gallery: Gallery, thresholds: ChannelThresholds, limit: int
) -> Identification:
    """Search the enrolled voices for that of a file, which is there.

    Args:
        voice: The voice of the file.
        gallery: The enrolled voices.
        thresholds: Bounds of the decision.
        limit: Most candidates.
    """
    assert voice.embedding is not None
    ranked = gallery.search(voice.embedding, voice.channel, max(limit, 2))
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
