"""The bodies of replies about voices, one struct each. The contract is `docs/rest.md`."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from streamd.events import Quality
from streamd.files.comparison import Verdict
from streamd.transport.http.rest.replies import Reply

Channel = Literal["wide", "narrow"]


class VerifyReply(Reply, kw_only=True):
    """Whether two files have the same voice."""

    similarity: float
    """How alike the voices are, -1 to 1."""
    verification_result: bool
    """Whether the decision is `accept`."""
    decision: Verdict
    threshold: float
    """Similarity from which the decision is `accept`, on the channel of these files."""


class Fault(msgspec.Struct, kw_only=True):
    """Why a file has no result."""

    code: str
    message: str
    ref: str | None
    retryable: bool


class BatchResult(msgspec.Struct, kw_only=True):
    """A test against the reference: either `similarity` and `result`, or `error`."""

    filename: str
    similarity: float | UnsetType = UNSET
    result: bool | UnsetType = UNSET
    """Whether the voices are the same."""
    error: Fault | UnsetType = UNSET
    """Why the test has no result."""


class BatchReply(Reply, kw_only=True):
    """Tests against one reference, in the order in which they came."""

    batch_results: list[BatchResult]
    total_count: int


class Candidate(msgspec.Struct, kw_only=True):
    """An enrolled voice and how near it is."""

    speaker: str
    score: float


class IdentifyReply(Reply, kw_only=True):
    """Who speaks in a file."""

    decision: Verdict
    speaker: str | None
    """The nearest enrolled voice; null if it is rejected."""
    score: float
    """Similarity of the nearest voice; 0 if nobody is enrolled."""
    margin: float | None
    """Difference from the score of the next voice; null without one."""
    candidates: list[Candidate]
    """The nearest voices, best first."""
    channel: Channel
    speech_ms: int
    """Milliseconds of speech in the file."""


class EnrolmentReply(msgspec.Struct, kw_only=True):
    """One enrolment."""

    id: str
    channel: Channel
    speech_ms: int
    models: list[str]
    """Ids of the models that know it."""
    quality: Quality | None
    """The verdict on it; null for one by an earlier version of streamd."""


class EnrolledReply(Reply, kw_only=True):
    """A voice was enrolled."""

    speaker: str
    enrolments: int
    """Enrolments that the voice has now."""
    enrolment: EnrolmentReply


class ListedEnrolment(EnrolmentReply, kw_only=True):
    """One enrolment of a voice."""

    created_ms: int
    """Unix time, milliseconds."""


class ListedSpeaker(msgspec.Struct, kw_only=True):
    """An enrolled voice."""

    speaker: str
    enrolments: int
    channels: list[Channel]
    models: list[str]
    """Ids of the models that it was enrolled with; it is unknown to others."""
    speech_ms: int
    created_ms: int
    """Unix time of the first enrolment, milliseconds."""


class SpeakersReply(Reply, kw_only=True):
    """All enrolled voices of the tenant, by name."""

    speakers: list[ListedSpeaker]


class SpeakerReply(Reply, kw_only=True):
    """An enrolled voice."""

    speaker: str
    enrolments: int
    channels: list[Channel]
    models: list[str]
    speech_ms: int
    created_ms: int
    enrolment_list: list[ListedEnrolment]
    """Oldest first."""


class SpeakerDeletedReply(Reply, kw_only=True):
    """A voice was deleted, past recovery."""

    deleted: bool = True
    audit: str | None
    """Id of the entry of the audit log; null if the server keeps none."""
