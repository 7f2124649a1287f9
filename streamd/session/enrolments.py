"""Enrolment of voices that spoke in the session: checked at its place, then stored by the caller.

What the readers have to say about the stream behind that place waits until the store has answered.
So every utterance that opens later knows the voice, or none does, whatever the store's pace.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamd.errors import Refusal
from streamd.events import Enrolled, Error, Quality
from streamd.modules.base import ReaderContext
from streamd.modules.kept_voices import SpokenSample
from streamd.modules.speaker import SpeakerModule
from streamd.modules.voice_models import VoiceModels
from streamd.session.emitter import Emitter
from streamd.settings import SpeakerSettings


@dataclass(frozen=True, slots=True, eq=False)
class EnrolRequest:
    """A client's request to enrol the voice of some utterances."""

    id: str
    speaker: str
    """Name of the voice."""
    utterances: tuple[str, ...]
    fault: Refusal | None = None
    """Why it is refused at its place, whatever the utterances are."""
    sender: object = None
    """Who makes it, for whoever writes to the store."""


@dataclass(slots=True, eq=False)
class PendingEnrolment:
    """An enrolment that was checked and waits for the store."""

    request: EnrolRequest
    sample: SpokenSample
    is_taken: bool = False
    """Whether the caller has it."""
    is_answered: bool = False


class Enrolments:
    """Carries out the requests of one session, one after the other.

    Args:
        context: Has the voices of the latest utterances.
        speaker: The speaker module of the server; None if it has none.
        emitter: Takes the answers to the client.
    """

    def __init__(
        self, context: ReaderContext, speaker: SpeakerModule | None, emitter: Emitter
    ) -> None:
        self.unanswered = 0
        """Number of requests that were received and not answered."""
        self._context = context
        self._speaker = speaker
        self._emitter = emitter
        self._pending: PendingEnrolment | None = None

    def reached(self, request: EnrolRequest) -> bool:
        """Return whether the session may go on behind the place of a request."""
        if self._pending is None:
            try:
                sample = self._check(request)
            except Refusal as error:
                self._refuse(request, error)
                return True
            self._pending = PendingEnrolment(request, sample)
            return False
        if not self._pending.is_answered:
            return False
        self._pending = None
        return True

    def take(self) -> PendingEnrolment | None:
        """Return the enrolment that is to be stored, once; None if there is none."""
        pending = self._pending
        if pending is None or pending.is_taken:
            return None
        pending.is_taken = True
        return pending

    def stored(self, enrolments: int, quality: Quality) -> PendingEnrolment:
        """Take note that the voice is in the store and in the gallery.

        Args:
            enrolments: Enrolments that the voice has now.
            quality: The verdict on this one.

        Returns:
            The enrolment.
        """
        pending = self._answered()
        request, sample = pending.request, pending.sample
        self.unanswered -= 1
        self._emitter.emit(
            Enrolled(
                id=request.id,
                speaker=request.speaker,
                label=sample.label,
                utterances=list(sample.utterances),
                enrolments=enrolments,
                quality=quality,
            )
        )
        return pending

    def failed(self, error: Refusal) -> None:
        """Take note that the voice is not in the store."""
        self._refuse(self._answered().request, error)

    def _answered(self) -> PendingEnrolment:
        pending = self._pending
        assert pending is not None
        assert not pending.is_answered
        pending.is_answered = True
        return pending

    def _check(self, request: EnrolRequest) -> SpokenSample:
        """Return the voice of a request.

        Raises:
            Refusal: It cannot be enrolled.
        """
        if request.fault is not None:
            raise request.fault
        context = self._context
        # Without a speaker module no voice is kept, and the settings do not matter.
        settings = SpeakerSettings() if self._speaker is None else self._speaker.settings
        models = VoiceModels("") if self._speaker is None else self._speaker.models
        return context.voices.sample(request.utterances, context.channel, settings, models)

    def _refuse(self, request: EnrolRequest, refusal: Refusal) -> None:
        self.unanswered -= 1
        self._emitter.emit(
            Error(
                code=refusal.code,
                message=refusal.message,
                fatal=False,
                retryable=refusal.retryable,
                retry_after_ms=refusal.retry_after_ms,
                ref=request.id,
            )
        )
