"""The sink of a session: its jobs go to the engine, and the answers come back to it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Any, Protocol

from streamd.engine.base import Engine, Lease
from streamd.errors import Internal, ModelMissing
from streamd.live.pace import Pace
from streamd.session.session import Session
from streamd.types import Job, Lane, Samples


def failure(job: Job, error: Exception) -> Internal:
    """Return what a client is told of a job that failed; the log has the rest."""
    name = job.pass_name
    if isinstance(error, ModelMissing):
        return Internal(f"the model of {name!r} cannot be loaded again; the server's log says why")
    return Internal(f"the model pass {name!r} failed on this audio")


class SessionSink(ABC):
    """What the engine sees of one session. Streams and files have a subclass each.

    Args:
        session: Makes the jobs and takes the answers.
        engine: Runs them.
        lease: The slots of the session.
    """

    def __init__(self, session: Session, engine: Engine, lease: Lease) -> None:
        self.session = session
        self._engine = engine
        self._lease = lease
        lease.sink = self

    def submit(self) -> bool:
        """Queue the session's work with the engine; False if there is none."""
        session = self.session
        jobs = session.jobs()
        if jobs:
            self._lease.is_ahead = self.is_ahead()
            if self._lease.is_ahead:
                # The windows themselves come as fast as their beginnings could be computed, and in
                # one call they cost less than in two.
                jobs = [job for job in jobs if job.lane is not Lane.SPECULATIVE]
            self._engine.submit(self._lease, jobs)
        if session.useless:
            self._engine.withdraw(self._lease, session.withdrawn())
        return bool(jobs)

    def is_ahead(self) -> bool:
        """Return whether the audio comes faster than in real time, so that its results may wait."""
        return False

    # The engine's side.

    def cut(self, job: Job) -> Samples:
        """Return the samples of a job."""
        return self.session.cut(job)

    def complete(self, job: Job, output: Any) -> None:
        """Take an answer. If the session cannot take it, this session alone fails."""
        try:
            self.session.complete(job, output)
        except Exception as error:
            self.fail(job, error)

    @abstractmethod
    def advance(self) -> None:
        """Go on, because the answers of a batch are in."""

    @abstractmethod
    def fail(self, job: Job, error: Exception) -> None:
        """End, because a job cannot be run or its answer cannot be taken."""


class Advanced(Protocol):
    """What a sink asks of its stream."""

    def advance(self) -> None:
        """Go on, because the answers of a batch are in."""

    def fail(self, job: Job, error: Exception) -> None:
        """End, because a job cannot be run or its answer cannot be taken."""


class StreamSink(SessionSink):
    """The sink of a live stream.

    Args:
        stream: Advances when answers are in, and ends when a job fails.
        session: Makes the jobs and takes the answers.
        engine: Runs them.
        lease: The slots of the session.
        pace: Knows whether the audio is ahead of real time.
    """

    def __init__(
        self, stream: Advanced, session: Session, engine: Engine, lease: Lease, pace: Pace
    ) -> None:
        super().__init__(session, engine, lease)
        self._stream = stream
        self._pace = pace

    def is_ahead(self) -> bool:
        """Return whether the audio comes faster than in real time."""
        return self._pace.is_ahead(time.monotonic())

    def advance(self) -> None:
        """Have the stream go on."""
        self._stream.advance()

    def fail(self, job: Job, error: Exception) -> None:
        """End the stream."""
        self._stream.fail(job, error)
