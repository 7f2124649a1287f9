"""Ticks: with many streams open, the event loop looks at all their sockets together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from streamd.live.poll import Poll

FEW = 4
"""Streams up to which the loop is left alone."""
PER_STREAM_S = 0.00045
LONGEST_S = 0.040
"""Of a tick. Two messages of the usual 20 ms are read in one go, and frames and steps come in
batches; what is decided may be as much later."""
PATIENCE = 32
"""Ticks without a message after which the timer rests: idle sockets cost nothing."""
TURN_S = 0.004
"""How long a tick holds the loop; then everything else has its turn, and the tick goes on."""


PIECE = 4
"""Sockets that are read, or streams that are advanced, between two looks at the clock."""


class Member(Protocol):
    """A stream that is advanced at the end of a tick."""

    is_due: bool
    """It is advanced with all others that are due. Set and cleared by `Ticks`."""

    def advance(self) -> None:
        """Take the audio that came, and hand on what follows from it."""


class Source(Protocol):
    """A live socket that is read at each tick, and not by the loop."""

    descriptor: int
    is_watched: bool
    """Set and cleared by `Ticks`."""
    rests_in: int
    """Number of the tick that leaves it unread. Set by `Ticks`."""

    def read(self) -> None:
        """Take what has come; called when there is something, be it the end."""

    def release(self) -> None:
        """Be unwatched, and read by the loop again."""


class Batches(Protocol):
    """What ticks ask of the engine."""

    def collect(self) -> bool:
        """Take in an answer of the threads; True if there are more."""

    def together(self) -> AbstractContextManager[None]:
        """Dispatch all jobs that are submitted inside at its end."""


class Ticks:
    """Keeps the loop from waking for every message, without ever holding it up.

    Every stream sends fifty messages a second, each at its own moment, and to wake for one costs
    more than to take it. So with more than a few streams the sockets are not the loop's to read: a
    timer looks at them every few milliseconds, less often with more streams. A tick reads what came
    meanwhile, and then advances all streams together, which makes one batch. Between two ticks the
    loop is free: it takes in the answers of the threads, and serves everyone else.

    A tick that takes long is done in pieces, with a turn of the loop between them. The time to the
    next tick counts from when the sockets were read, so that it holds as much audio however long
    the reading took. A loop that has work for longer than that does not wait for the next tick: at
    capacity nothing is lost.

    Args:
        engine: whose answers are collected, and whose batches are formed.
    """

    def __init__(self, engine: Batches) -> None:
        self.sockets = 0
        """Open sockets of streams; each connection counts itself in and out."""
        self._engine = engine
        self._loop: asyncio.AbstractEventLoop | None = None
        self._poll: Poll[Source] = Poll()
        self._due: list[Member] = []
        """Streams that are advanced at the end of this tick."""
        self.is_running = False
        """Whether streams are advanced tick by tick."""
        self._is_asleep = False
        """The timer rests until a message comes."""
        self._number = 0
        """Of the latest tick."""
        self._read_s = 0.0
        """When the latest tick had read the sockets."""
        self._idle = 0
        """Ticks since a message came."""
        self._next: asyncio.Handle | None = None
        """The call with which ticks go on."""
        self._work: Iterator[None] = iter(())
        """What is left of the tick."""
        self._is_asked = False
        """The loop will collect."""

    def start(self) -> None:
        """Begin, on the loop."""
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        """Watch no sockets any more."""
        if self._is_asleep:
            self._stay_awake()
        if self._next is not None:
            self._next.cancel()
        self._release_all()
        self._poll.close()

    def due(self, member: Member) -> None:
        """Advance the stream soon, together with all others that are due."""
        if member.is_due:
            return
        member.is_due = True
        self._due.append(member)
        self._idle = 0
        if self._loop is None:
            return
        if self.is_running:
            if self._is_asleep:
                self._stay_awake()
                self._next = self._loop.call_soon(self._begin)
        elif self.sockets > FEW:
            self.is_running = True
            self._next = self._loop.call_soon(self._begin)
        elif len(self._due) == 1:
            self._loop.call_soon(self._advance_now)

    def watch(self, source: Source) -> bool:
        """Read the socket at each tick from now on; False if there are no ticks.

        The caller makes sure that the loop does not read it. The descriptor must be unwatched
        before it is closed.
        """
        if not self.is_running:
            return False
        self._poll.add(source)
        source.is_watched = True
        return True

    def unwatch(self, source: Source) -> None:
        """Read the socket no longer."""
        if source.is_watched:
            source.is_watched = False
            self._poll.remove(source)

    def rest(self, source: Source) -> None:
        """Leave what comes next in the kernel for one tick."""
        source.rests_in = self._number + 1

    def answered(self) -> None:
        """Take note, on a thread of the engine, that it has something to collect.

        Raises:
            RuntimeError: the loop is closed.
        """
        # The flag is cleared before the loop collects, and this is asked after the answer was put
        # down: one of the two sees it.
        if not self._is_asked:
            self._is_asked = True
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._collect)

    def _collect(self) -> None:
        """Take in one answer: each leads to as much work as a piece of a tick."""
        self._is_asked = False
        if self._engine.collect() and not self._is_asked:
            self._is_asked = True
            assert self._loop is not None
            self._loop.call_soon(self._collect)

    def _begin(self) -> None:
        """Begin a tick."""
        if self.sockets < FEW:  # not at FEW: one stream must not change it to and fro
            self.is_running = False
            self._release_all()
            self._advance_now()
            return
        self._number += 1
        self._idle += 1
        self._read_s = time.monotonic()  # not yet, but an error may come before
        self._work = self._tick()
        self._go_on()

    def _go_on(self) -> None:
        """Go on with the tick, until it is over or others must have their turn."""
        assert self._loop is not None
        until_s = time.monotonic() + TURN_S
        next_s: float | None = None
        try:
            for _ in self._work:
                if time.monotonic() >= until_s:
                    next_s = 0.0
                    break
        finally:  # an error must not be the last tick
            if next_s is not None:
                self._next = self._loop.call_soon(self._go_on)
            elif self._idle > PATIENCE:
                self._is_asleep = True
                self._loop.add_reader(self._poll.fileno(), self._wake)
            else:
                length_s = min(self.sockets * PER_STREAM_S, LONGEST_S)
                left_s = self._read_s + length_s - time.monotonic()
                self._next = self._loop.call_later(max(left_s, 0.0), self._begin)

    def _tick(self) -> Iterator[None]:
        """Read the sockets, and advance the streams; in small pieces."""
        number, read = self._number, 0
        for source in self._poll.ready():
            if source.is_watched and source.rests_in != number:
                source.read()
                read += 1
                if not read % PIECE:
                    yield
        self._read_s = time.monotonic()
        yield from self._advance()

    def _advance(self) -> Iterator[None]:
        """Advance all streams that are due, and form one batch of what they bring."""
        due, self._due = self._due, []
        with self._engine.together():
            for number, member in enumerate(due, 1):
                member.is_due = False
                member.advance()
                if not number % PIECE:
                    yield

    def _advance_now(self) -> None:
        for _ in self._advance():
            pass

    def _wake(self) -> None:
        self._stay_awake()
        self._idle = 0
        self._begin()

    def _stay_awake(self) -> None:
        assert self._loop is not None
        self._is_asleep = False
        self._loop.remove_reader(self._poll.fileno())

    def _release_all(self) -> None:
        for source in list(self._poll.watched.values()):
            source.release()
