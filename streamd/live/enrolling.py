"""Enrolments of one stream on their way to the store, and the answers on their way back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import structlog

from streamd.access.principal import Principal
from streamd.errors import (
    BadName,
    Forbidden,
    Internal,
    Refusal,
    StreamdError,
    Unavailable,
)
from streamd.events import Quality
from streamd.modules.kept_voices import SpokenSample
from streamd.observability.metrics import Metrics
from streamd.protocol import messages
from streamd.session.enrolments import EnrolRequest, PendingEnrolment
from streamd.session.session import Session
from streamd.store.names import check_name

log = structlog.get_logger("streamd.live.enrolling")

PATIENCE_S = 1.0
"""Seconds that a wake word may wait for the store, to name whoever is enrolled just then."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent a message."""

    principal: Principal
    peer: str | None
    """Address of the client, for the audit log."""


class Stored(NamedTuple):
    """An enrolment that is in the store, and whose voice every stream knows."""

    enrolments: int
    """Enrolments that the voice has now."""
    quality: Quality


Store: TypeAlias = Callable[[Sender, str, SpokenSample], Awaitable[Stored]]
"""Enrols a voice by its name; raises `StreamdError` if the store does not have it."""


def request_of(message: messages.Enrol, sender: Sender) -> EnrolRequest:
    """Return what the session is asked for, with what can be said against it already."""
    fault: Refusal | None = None
    name = message.speaker
    try:
        sender.principal.require("enrol")
        name = check_name(name)
    except (Forbidden, BadName) as error:
        fault = error.with_traceback(None)
    return EnrolRequest(message.id, name, tuple(message.utterances), fault, sender)


class Enrolling:
    """Has the enrolments of one session stored, one after the other, as the session makes them.

    Args:
        session: Makes the enrolments, and takes the answers.
        store: Stores one.
        metrics: Counts how they end.
        pump: Sends the events of the session, and lets it go on.
        give_up: Ends the stream, because its session cannot take an answer.
    """

    def __init__(
        self,
        session: Session,
        store: Store,
        metrics: Metrics,
        pump: Callable[[], None],
        give_up: Callable[[Exception], None],
    ) -> None:
        self._session = session
        self._store = store
        self._ended = metrics.enrolments
        self._pump = pump
        self._give_up = give_up
        self._task: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Begin to store what the session wants stored."""
        if (pending := self._session.take_enrolment()) is not None:
            self._task = asyncio.get_running_loop().create_task(self._carry_out(pending))

    def stop(self) -> None:
        """Wait for no answer any more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _carry_out(self, pending: PendingEnrolment) -> None:
        late = asyncio.get_running_loop().call_later(PATIENCE_S, self._is_late)
        try:
            answer = await self._answer(pending)
        finally:
            late.cancel()
        self._task = None
        try:
            if isinstance(answer, Stored):
                self._session.enrolled(*answer)
            else:
                self._session.not_enrolled(answer)
        except Exception as error:
            self._give_up(error)
        self._pump()

    async def _answer(self, pending: PendingEnrolment) -> Stored | Refusal:
        """Store an enrolment, or return why it is not stored."""
        sender, name = pending.request.sender, pending.request.speaker
        assert isinstance(sender, Sender)
        refusal: Refusal
        try:
            stored = await self._store(sender, name, pending.sample)
        except Refusal as error:
            refusal = error
        except StreamdError as error:
            refusal = Unavailable(str(error))
        except Exception as error:
            log.error("an enrolment failed", exc_info=error)
            refusal = Internal(f"the enrolment failed: {type(error).__name__}; nothing was kept")
        else:
            self._ended.labels("enrolled").inc()
            return stored
        self._ended.labels(refusal.code).inc()
        return refusal

    def _is_late(self) -> None:
        self._session.is_enrolling_late()
        self._pump()
