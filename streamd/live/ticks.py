"""Ticks: with many streams open, the event loop looks at all their sockets together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from streamd.live.poll import Poll

FEW = 4
"""Most streams whose sockets the loop itself reads."""
PER_STREAM_S = 0.00045
LONGEST_S = 0.040
"""Length of a tick for each stream, and at most. In 40 ms two of the usual messages arrive, so that
one read takes both, and frames and steps form batches. Events may be later by as much."""
PATIENCE = 32
"""Ticks without a message after which the timer rests, so that idle sockets cost nothing."""
TURN_S = 0.004
"""Seconds that a tick keeps the loop. Then everything else has its turn, and the tick goes on."""
PIECE = 4
"""Sockets that are read, or streams that are advanced, between two looks at the clock."""


class Member(Protocol):
    """A stream that is advanced at the end of a tick."""

    is_due: bool
    """Whether it is advanced at the end of the tick. Set and cleared by `Ticks`."""

    def advance(self) -> None:
        """Take the audio that came, submit jobs and send events."""


class Source(Protocol):
    """A live socket that is read at each tick, and not by the loop."""

    descriptor: int
    is_watched: bool
    """Whether ticks read it. Set and cleared by `Ticks`."""
    rests_in: int
    """Number of the tick that leaves it unread. Set by `Ticks`."""

    def read(self) -> None:
        """Read once; called when there are bytes or an end to read."""

    def release(self) -> None:
        """Leave the ticks, so that the loop reads the socket again."""


class Batches(Protocol):
    """What ticks ask of the engine."""

    def collect(self) -> bool:
        """Take one answer of the threads; return whether there are more."""

    def together(self) -> AbstractContextManager[None]:
        """Dispatch all jobs that are submitted inside at its end."""


class Ticks:
    """Keeps the loop from waking for every message, without blocking it.

    Every stream sends fifty messages a second, each at its own moment, and to wake for one costs
    more than to take it. So with more than a few streams the loop does not read the sockets. A
    timer looks at them every few milliseconds, less often with more streams. A tick reads what came
    meanwhile, and then advances all streams together, which makes one batch. Between two ticks the
    loop is free: it takes the answers of the threads, and serves everything else.

    A long tick is done in pieces, with a turn of the loop between them. The time to the next tick
    counts from the moment when the sockets were read, so that each tick has as much audio however
    long the reading took. If the work takes longer than that, the next tick follows at once, so
    that no time is lost at capacity.

    Args:
        engine: Collects its answers and forms its batches when ticks ask for it.
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
        """Whether the timer rests until a message comes."""
        self._number = 0
        """Number of the latest tick."""
        self._read_s = 0.0
        """When the latest tick had read the sockets."""
        self._idle = 0
        """Ticks since a message came."""
        self._next: asyncio.Handle | None = None
        """The scheduled call that goes on with the ticks."""
        self._work: Iterator[None] = iter(())
        """The rest of the present tick."""
        self._is_asked = False
        """Whether the loop has a call to collect answers."""

    def start(self) -> None:
        """Use the running loop."""
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
            RuntimeError: The loop is closed.
        """
        # The loop clears the flag before it collects, and a thread asks here after it has stored
        # its answer. So one of the two sees the answer.
        if not self._is_asked:
            self._is_asked = True
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._collect)

    def _collect(self) -> None:
        """Take one answer, because each is as much work as a piece of a tick."""
        self._is_asked = False
        if self._engine.collect() and not self._is_asked:
            self._is_asked = True
            assert self._loop is not None
            self._loop.call_soon(self._collect)

    def _begin(self) -> None:
        """Begin a tick."""
        if self.sockets < FEW:  # below FEW, so that one stream does not switch ticks on and off
            self.is_running = False
            self._release_all()
            self._advance_now()
            return
        self._number += 1
        self._idle += 1
        self._read_s = time.monotonic()  # set again behind the reads; an error may come before that
        self._work = self._tick()
        self._go_on()

    def _go_on(self) -> None:
        """Go on with the tick until it is over or its time is."""
        assert self._loop is not None
        until_s = time.monotonic() + TURN_S
        next_s: float | None = None
        try:
            for _ in self._work:
                if time.monotonic() >= until_s:
                    next_s = 0.0
                    break
        finally:  # ticks go on after an error, too
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
        """Advance all streams that are due, and form one batch of their jobs."""
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
