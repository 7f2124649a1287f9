"""Ticks: with many streams open, the event loop looks at all their sockets together."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

FEW = 4
"""Streams up to which the loop is left alone."""
PER_STREAM_S = 0.00045
LONGEST_S = 0.040
"""Of a tick. Two messages of the usual 20 ms are read in one go, and frames and steps come in
batches; what is decided may be as much later."""
PATIENCE = 32
"""Ticks without a message after which there are none: idle sockets cost nothing."""
PASSES = 5
"""Turns of the loop between two ticks. What a message sets off takes as many: read, hand to the
session, take its jobs, form the batch, send the event."""


class Member(Protocol):
    """A stream that is advanced at the end of a tick."""

    is_due: bool
    """It is advanced with all others that are due. Set and cleared by `Ticks`."""

    def advance(self) -> None:
        """Take the audio that came, and hand on what follows from it."""


class Batches(Protocol):
    """What ticks ask of the engine."""

    leases: int
    """Streams that hold a lease."""

    def collect(self) -> None:
        """Take in the answers of the threads."""

    def together(self) -> AbstractContextManager[None]:
        """Dispatch all jobs that are submitted inside at its end."""


class Ticks:
    """Keeps the loop from waking for every message.

    Every stream sends fifty messages a second, each at its own moment, and to wake for one costs
    more than to take it. So the loop waits for a few milliseconds, longer with more streams. It
    reads what came meanwhile in one go, and at the end of each tick advances all streams together,
    which makes one batch. While it waits it takes in the answers of the threads, gives them their
    next work and sends events. Only an event that its client is too slow for ends the wait, as the
    loop has to send that one. A loop that has work for longer than a tick does not wait: at
    capacity nothing is lost.

    Args:
        engine: whose answers are collected, and whose batches are formed.
    """

    def __init__(self, engine: Batches) -> None:
        self._engine = engine
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due: list[Member] = []
        """Streams that are advanced at the end of this tick."""
        self._after: list[Callable[[], None]] = []
        """What is called then too."""
        self.is_running = False
        """Whether streams are advanced tick by tick."""
        self._must_send = False
        self._passes = 0
        self._idle = 0
        """Ticks since a message came."""
        self._until = 0.0
        self._wait = threading.Lock()
        """Held by the loop, except for a moment after an answer."""
        self._wait.acquire()

    def start(self) -> None:
        """Begin, on the loop."""
        self._loop = asyncio.get_running_loop()

    def due(self, member: Member) -> None:
        """Audio came: advance the stream soon, together with all others."""
        if member.is_due:
            return
        member.is_due = True
        self._due.append(member)
        self._idle = 0
        if self._loop is None or self.is_running:
            return
        if self._engine.leases > FEW:
            self.is_running = True
            self._loop.call_soon(self._turn)
        elif len(self._due) == 1:
            self._loop.call_soon(self._advance)

    def after_tick(self, call: Callable[[], None]) -> bool:
        """Call back after the next tick; False if there is none, as with few streams."""
        if not self.is_running:
            return False
        self._after.append(call)
        return True

    def must_send(self) -> None:
        """There is an event that the loop has to send; on the loop."""
        self._must_send = True

    def answered(self) -> None:
        """A thread has something to collect; from that thread, once it is there.

        Raises:
            RuntimeError: the loop is closed.
        """
        # This is asked after the answer was put down, and the loop collects once more after the
        # last tick: one of the two sees it.
        if not self.is_running:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._engine.collect)
        elif self._wait.locked():
            try:
                self._wait.release()
            except RuntimeError:
                return  # another thread has just done it

    def _turn(self) -> None:
        assert self._loop is not None
        if self._engine.leases <= FEW or self._idle > PATIENCE:
            self.is_running = False
            self._engine.collect()
            self._advance()
            return
        self._loop.call_soon(self._turn)  # first: an error below must not be the end of it
        self._engine.collect()
        self._passes += 1
        if self._passes >= PASSES:
            self._passes = 0
            self._tick()

    def _tick(self) -> None:
        now = time.monotonic()
        self._must_send = False
        if now >= self._until:
            self._until = now + min(self._engine.leases * PER_STREAM_S, LONGEST_S)
            self._idle += 1
            self._advance()
            if self._must_send:
                return
        while self._until > now and self._wait.acquire(timeout=self._until - now):
            self._engine.collect()
            if self._must_send:
                return
            now = time.monotonic()

    def _advance(self) -> None:
        """Advance all streams that are due, and form one batch of what they bring."""
        due, self._due = self._due, []
        after, self._after = self._after, []
        for call in after:
            call()
        with self._engine.together():
            for member in due:
                member.is_due = False
                member.advance()
