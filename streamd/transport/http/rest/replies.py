"""The bodies of the replies, one struct each. The contract is `docs/rest.md`."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType


class Remark(msgspec.Struct, kw_only=True):
    """Something about the request that a person should look at."""

    code: str
    message: str


class Reply(msgspec.Struct, kw_only=True):
    """The base of every reply that is one JSON object."""

    processing_time_ms: float = 0.0
    """Milliseconds from the head of the request to its reply, measured."""


class TicketReply(Reply, kw_only=True):
    """A ticket for one WebSocket."""

    ticket: str
    expires_in_ms: int


class FileReply(Reply, kw_only=True):
    """The base of every reply about a file."""

    warnings: list[Remark] | UnsetType = UNSET
    """Remarks on the file or the request, if there are any."""


class EmotionData(msgspec.Struct, kw_only=True):
    """The emotion in the shape of earlier callers."""

    emotion: str
    confidence: float
    all_emotions: dict[str, float] | UnsetType = UNSET
    text: str | None = None
    language: str | None = None
    duration: float
    """Seconds of audio."""


class EmotionReply(FileReply, kw_only=True):
    """The mood of a file."""

    success: bool = True
    emotion: str
    """The likeliest label, also when abstaining."""
    confidence: float
    """Its probability."""
    abstain: bool
    """Whether the evidence is too thin or too even to act on `emotion`."""
    arousal: float
    """Arousal, from 0 (calm) to 1 (excited)."""
    all_emotions: dict[str, float] | UnsetType = UNSET
    """Probability of every label, if `return_all_emotions` asks for it."""
    text: str | None = None
    """What was said; null without a transcriber."""
    language: str | None = None
    duration_ms: int
    data: EmotionData
    """The same for earlier callers."""


class FlatEmotionReply(FileReply, kw_only=True):
    """The mood of a file, as `/analyze`, `/upload` and `/analyze-emotion` give it."""

    success: bool = True
    emotion: str
    text: str
    """What was said; empty without a transcriber."""
    confidence: float
    duration: float
    """Seconds of audio."""
    data: EmotionData
    """The same, for callers that look for it here."""


class Segment(msgspec.Struct, kw_only=True):
    """A stretch of text in a file."""

    t0: int
    """Start, milliseconds."""
    t1: int
    """End, milliseconds."""
    text: str


class TranscribeReply(FileReply, kw_only=True):
    """What was said in a file."""

    text: str
    """All of it; empty for no speech."""
    language: str
    """BCP 47."""
    duration_ms: int
    segments: list[Segment]
    events: list[str] | UnsetType = UNSET
    """Sounds besides speech, as `laughter`, where the transcriber hears any."""


class AsrReply(FileReply, kw_only=True):
    """What was said in a file, in the shape of earlier callers."""

    status: str = "SUCCESS"
    transcript: str
    language: str
    duration_ms: int


class FoundWord(msgspec.Struct, kw_only=True):
    """A wake word in a file."""

    word: str
    score: float
    t0: int
    """Start of the phrase, milliseconds."""
    t1: int
    """End of the phrase, milliseconds."""


class DetectReply(FileReply, kw_only=True):
    """The wake words in a file."""

    success: bool = True
    detected: bool
    keyword: str | None
    """The first word; null if there is none."""
    confidence: float
    """Its score; 0 if there is none."""
    timestamp: float | None
    """Start of its phrase, seconds; null if there is none."""
    detections: list[FoundWord]


class WordEstimateReply(msgspec.Struct, kw_only=True):
    """The errors that training expects, each as estimate, lower and upper bound at 95 %."""

    misses: tuple[float, float, float]
    """Share of clips that a word made of the others misses."""
    misses_noise: tuple[float, float, float]
    """The same with rooms and noise added."""
    false_per_h: tuple[float, float, float]
    """False accepts an hour, on the built-in negatives."""


class WordReply(Reply, kw_only=True):
    """A wake word that was made."""

    word: str
    source: str
    clips: int
    threshold: float
    estimate: WordEstimateReply | None
    warnings: list[Remark]
    created_ms: int | None


class ListedWord(msgspec.Struct, kw_only=True):
    """A wake word that streams of the tenant may ask for."""

    word: str
    source: str
    """`default` for those that come with streamd, `clips` for the tenant's own."""
    clips: int
    """Number of recordings that it was made of; 0 for those that come with streamd."""
    threshold: float
    """Score from which it is recognised, unless a request says otherwise."""
    estimate: WordEstimateReply | None
    warnings: list[Remark]
    created_ms: int | None


class WordsReply(Reply, kw_only=True):
    """All wake words that the tenant may ask for."""

    words: list[ListedWord]


class WordDeletedReply(Reply, kw_only=True):
    """A wake word was deleted."""

    deleted: bool = True
    word: str


class HealthyReply(msgspec.Struct, kw_only=True):
    """`/` for whoever does not accept HTML."""

    status: str
    service: str = "streamd"
    timestamp: str
    """Now, ISO 8601."""
    model_loaded: bool


def remarks(*found: tuple[str, str]) -> list[Remark] | UnsetType:
    """Return remarks for `FileReply.warnings`."""
    return [Remark(code=code, message=text) for code, text in found] or UNSET
