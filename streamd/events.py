"""The events of the wire (server to client), one struct each; times are integer milliseconds.

A field that does not apply is left out of the JSON: its value is `UNSET`.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

Cause = Literal["silence", "flush", "max_length", "gap", "end"]
GapCause = Literal["client", "overload", "resume", "model_error"]
Decision = Literal["accept", "reject", "unsure", "too_short"]
IssueCode: TypeAlias = Literal["short", "clipped", "noisy", "quiet", "two_voices", "unlike_before"]
Verdict: TypeAlias = Literal["good", "usable", "poor"]


class Event(msgspec.Struct, kw_only=True, tag_field="type"):
    """The base of all events."""


class LogEvent(Event, kw_only=True):
    """An event of the session's log, with a `seq` that grows by 1 each."""

    seq: int = 0


class TimedEvent(LogEvent, kw_only=True):
    """A log event about a span of the session's clock."""

    t0: int
    t1: int
    at: int
    """Last sample that the event depends on, as a time in milliseconds."""


class SpeechStart(TimedEvent, tag="speech_start", kw_only=True):
    """Speech began; t0 includes the pre-roll, and t1 is the end of the speech so far."""

    utterance: str


class SpeechEnd(TimedEvent, tag="speech_end", kw_only=True):
    """The utterance is over, and no further event names it."""

    utterance: str
    speech_ms: int
    cause: Cause


class Wake(TimedEvent, tag="wake", kw_only=True):
    """A wake word was heard; t0–t1 spans the phrase."""

    word: str
    score: float
    utterance: str | UnsetType = UNSET
    speaker: str | UnsetType = UNSET
    speaker_score: float | UnsetType = UNSET
    class_: str | UnsetType = msgspec.field(default=UNSET, name="class")


class Speaker(TimedEvent, tag="speaker", kw_only=True):
    """Who speaks; interim while `final` is false."""

    utterance: str
    decision: Decision
    speaker: str | None
    score: float
    margin: float | None
    speech_ms: int
    final: bool


class Emotion(TimedEvent, tag="emotion", kw_only=True):
    """The mood of the speaker; interim while `final` is false."""

    utterance: str
    label: str
    """The likeliest label, also when abstaining."""
    score: float
    scores: dict[str, float]
    arousal: float
    """Arousal, from 0 (calm) to 1 (excited)."""
    valence: float | UnsetType = UNSET
    abstain: bool
    """Whether the evidence is too thin or too even to act on `label`."""
    final: bool


class Segment(msgspec.Struct, frozen=True):
    """A stretch of text."""

    t0: int
    t1: int
    text: str


class Transcript(TimedEvent, tag="transcript", kw_only=True):
    """What was said in an utterance so far; interim while `final` is false."""

    utterance: str
    text: str
    """All of it. Interim texts of an utterance only grow; the final one may correct them."""
    language: str
    """BCP 47."""
    final: bool
    confidence: float | UnsetType = UNSET
    """Mean probability of the text, from 0 to 1, where the model has one."""
    events: list[str] | UnsetType = UNSET
    """Sounds besides speech, as `laughter`, where the model finds any."""
    segments: list[Segment] | UnsetType = UNSET
    """The text in pieces with their times; only in final events."""


class SpeakerChange(TimedEvent, tag="speaker_change", kw_only=True):
    """Another voice took over inside one utterance."""

    utterance: str
    from_: str | None = msgspec.field(name="from")
    to: str | None


class Gap(TimedEvent, tag="gap", kw_only=True):
    """Audio that is missing: t0–t1 on the clock."""

    cause: GapCause
    module: str | UnsetType = UNSET


class Issue(msgspec.Struct, frozen=True):
    """Something that makes an enrolment less reliable."""

    code: IssueCode
    message: str
    """What was found, and what to do."""


class Quality(msgspec.Struct, frozen=True):
    """The verdict on an enrolment."""

    verdict: Verdict
    """`good`, `usable` (decisions are less sure), or `poor` (make it anew)."""
    issues: tuple[Issue, ...] = ()


class Enrolled(LogEvent, tag="enrolled", kw_only=True):
    """A voice of this stream was enrolled; utterances that open from there on know it."""

    id: str
    """Of the `enrol` message."""
    speaker: str
    """Name of the voice."""
    label: str | None
    """The session label that the voice had, which no later utterance gets."""
    utterances: list[str]
    enrolments: int
    """Enrolments that the voice has now."""
    quality: Quality


class Flushed(LogEvent, tag="flushed", kw_only=True):
    """Everything that the flush caused has been sent."""

    id: str


class WarningEvent(LogEvent, tag="warning", kw_only=True):
    """Something that the client should look at; the stream goes on."""

    code: str
    message: str
    ref: str | UnsetType = UNSET


class Error(LogEvent, tag="error", kw_only=True):
    """A refusal; a close follows if `fatal`."""

    code: str
    message: str
    fatal: bool
    retryable: bool
    retry_after_ms: int | None = None
    ref: str | None = None


class Bye(LogEvent, tag="bye", kw_only=True):
    """The last event, with the totals of the session."""

    samples: int
    """Sample frames received, at the input rate."""
    duration_ms: int
    utterances: int
    speech_ms: int
    events: int
    """Log events before this one."""


class Ready(Event, tag="ready", kw_only=True):
    """Always the first event."""

    protocol: int = 1
    session: str
    epoch_ms: int
    audio: dict[str, Any]
    modules: dict[str, dict[str, Any]]
    limits: dict[str, int]
    resume: dict[str, Any] | None = None
    """`token` and `window_s`."""
    resumed: bool | UnsetType = UNSET
    have_samples: int | UnsetType = UNSET
    """Sample frames received: the client sends its audio from here on."""
    have_controls: int | UnsetType = UNSET
    """Control messages received that act at their place in the stream."""
    client: str | UnsetType = UNSET
    """Name of the program in the header `Client-Id`, where `hello` gave none."""
    device: str | UnsetType = UNSET
    """Name of the device in the header `Device-Id`, where `hello` gave none."""


class Ack(Event, tag="ack", kw_only=True):
    """Sample frames of audio messages that were received and are safe."""

    samples: int


class Pong(Event, tag="pong", kw_only=True):
    """The answer to `ping`."""

    t: Any
    server_ms: int


class Degraded(Event, tag="degraded", kw_only=True):
    """The machine is short of time: windows of a module come less often from here on."""

    module: str
    hop_ms: int


class Recovered(Event, tag="recovered", kw_only=True):
    """Windows of a module come as often as asked for again."""

    module: str
    hop_ms: int


class Draining(Event, tag="draining", kw_only=True):
    """The server is about to restart."""

    deadline_ms: int


_encoder = msgspec.json.Encoder()


def encode(event: Event) -> str:
    """Return one event as the JSON text of one WebSocket message."""
    return _encoder.encode(event).decode()
