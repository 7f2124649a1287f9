"""Audio before the session: it waits until the stream advances, and is taken together."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence

from streamd.events import Ack
from streamd.live.acks import Acks
from streamd.live.meter import Meter
from streamd.live.pace import MARK, Pace
from streamd.session.session import Session
from streamd.types import RATE_HZ

HELD_MS = 160
"""Most milliseconds of audio that wait, or that are taken at once: acks are sent between two
blocks, and must not be far apart."""


class Intake(ABC):
    """Takes the audio of one stream, as fast as its session has room.

    The audio that comes between two turns of the stream is put aside and taken together. Only audio
    that surely fits is put aside. All sizes are bytes of samples, as `frame_bytes` of the format
    counts them.

    Args:
        session: Takes the audio.
        max_ms: Longest time of the session, milliseconds.
        meter: Counts the audio that came and that was taken.
        acked: Sends an ack; called before more audio is taken.
        until: Has the stream take what the session was given, and waits until a condition is true.
        pace: Follows the audio that was taken, at most ten times in each second of it.
    """

    held_ms = HELD_MS
    """Most milliseconds of audio that are put aside."""

    def __init__(
        self,
        session: Session,
        max_ms: int,
        meter: Meter,
        acked: Callable[[Ack], None],
        until: Callable[[Callable[[], bool]], Awaitable[None]],
        pace: Pace,
    ) -> None:
        self._session = session
        self._max_ms = max_ms
        self._meter = meter
        self._acked = acked
        self._until = until
        self._pace = pace
        self._acks = Acks(session.audio)
        fmt = session.audio.fmt
        self._rate_hz = fmt.rate
        self._frame_bytes = fmt.frame_bytes
        self._bytes_per_s = fmt.rate * fmt.frame_bytes
        self._longest = fmt.rate * self.held_ms // 1000 * fmt.frame_bytes
        self._mark_bytes = self._bytes_per_s * MARK // RATE_HZ
        self._unmarked = 0
        """Bytes taken that the pace does not know of yet."""
        self._held: list[bytes] = []
        self._free = 0
        """Bytes that may still be put aside."""
        self._left = 0
        """Bytes that surely fit before the session is too long; 0 to compute it again."""

    @abstractmethod
    def hold(self, messages: Sequence[bytes], now_s: float) -> bool:
        """Keep audio until `take`; return False if it must be fed instead, and none of it is kept.

        Args:
            messages: Those that came together, none of them empty.
            now_s: The monotonic clock.
        """

    @abstractmethod
    def take(self) -> None:
        """Give the session the audio that was put aside."""

    @abstractmethod
    async def feed(self, data: bytes, now_s: float) -> bool:
        """Take a message, waiting for room.

        Args:
            data: The bytes of the message.
            now_s: The monotonic clock.

        Returns:
            Whether the session was short enough to take all of it.

        Raises:
            NotAPacket: Packets are to come, and this is none.
        """

    def interrupt(self) -> None:
        """Take what was put aside, and forget how much may still come: the clock may move."""
        self.take()
        self._free = self._left = 0

    def finish(self) -> None:
        """Take what was put aside and acknowledge it, because no more audio comes."""
        self.take()
        if (ack := self._acks.last()) is not None:
            self._acked(ack)

    async def _wait(self, is_ready: Callable[[], bool]) -> None:
        """Wait for the session."""
        self._pace.held_up(time.monotonic())
        await self._until(is_ready)
        self._pace.held_up(time.monotonic())

    def _before(self, size: int) -> None:
        """Send the ack that is due before so many bytes are taken."""
        if (ack := self._acks.before(size)) is not None:
            self._acked(ack)

    def _after(self, taken: int) -> None:
        """Take note of what the session took."""
        self._left -= taken
        self._free = min(self._longest, self._left, self._session.spare(self._longest))
        self._meter.taken(taken)
        self._unmarked += taken
        if self._unmarked >= self._mark_bytes:
            reached = self._session.audio.position
            self._pace.took(self._unmarked / self._bytes_per_s, reached, time.monotonic())
            self._unmarked = 0
        if (ack := self._acks.after(taken)) is not None:
            self._acked(ack)


class SampleIntake(Intake):
    """Takes samples, cut anywhere.

    A message costs about the same however long it is. So all that was put aside is taken as one.
    """

    def hold(self, messages: Sequence[bytes], now_s: float) -> bool:
        """Keep audio until `take`."""
        data = messages[0] if len(messages) == 1 else b"".join(messages)
        size = len(data)
        if size > self._free:
            self.take()
            if size > min(self._left, self._session.spare(size)):
                return False
        self._meter.arrived(size, now_s)
        if size <= self._free:
            self._free -= size
            self._held.append(data)
            return True
        for begin in range(0, size, self._longest):  # the loop was late, and much has come
            piece = data[begin : begin + self._longest]
            self.take()
            self._free -= len(piece)
            self._held.append(piece)
        return True

    def take(self) -> None:
        """Give the session the audio that was put aside."""
        held = self._held
        if not held:
            return
        data = held[0] if len(held) == 1 else b"".join(held)
        held.clear()
        self._give(data)

    async def feed(self, data: bytes, now_s: float) -> bool:
        """Take a message, as far as the session is short enough."""
        self.take()
        if len(data) > self._left:
            self._left = self._session.audio.bytes_until(self._max_ms)
        allowed = min(len(data), self._left)
        self._meter.arrived(allowed, now_s)
        rest = memoryview(data)[:allowed]
        while rest := rest[self._give(rest[: self._longest]) :]:
            if not self._session.room:
                await self._wait(lambda: self._session.room > 0)
        return allowed == len(data)

    def _give(self, data: bytes | memoryview) -> int:
        self._before(len(data))
        taken = self._session.receive_audio(data)
        self._after(taken)
        return taken
