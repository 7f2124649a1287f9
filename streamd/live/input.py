"""The input of one stream: audio and control messages, in the order of the client's bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from streamd.audio.opus_packet import NotAPacket
from streamd.errors import MaxDuration
from streamd.events import Ack, GapCause
from streamd.live.enrolling import Sender, request_of
from streamd.live.intake import SampleIntake
from streamd.live.meter import Meter
from streamd.live.pace import Pace
from streamd.live.packet_intake import PacketIntake
from streamd.protocol import messages
from streamd.session.session import Session


class Input:
    """Gives the session of one stream what its client sends, and waits while there is no room.

    Args:
        session: Takes the audio and the control messages.
        max_session_s: The longest that the stream may be, seconds of audio.
        meter: Counts the audio.
        pace: Follows the audio against the wall clock.
        acked: Sends an ack; called before more audio is taken.
        due: Marks the stream as due.
        pump: Submits the jobs and sends the events of the session, at once.
    """

    def __init__(
        self,
        session: Session,
        max_session_s: int,
        meter: Meter,
        pace: Pace,
        acked: Callable[[Ack], None],
        due: Callable[[], None],
        pump: Callable[[], None],
    ) -> None:
        self.controls = 0
        """Control messages received."""
        self.is_all_taken = False
        """Whether the end was received, so that no more audio is taken."""
        self._session = session
        self._max_session_s = max_session_s
        self._due = due
        self._pump = pump
        self._is_stopped = False
        self._advanced = asyncio.Event()
        """Set when the session has moved on, so that there may be room or it may have ended."""
        # Not a method: the intake would refer back to this object, and the memory of every stream
        # would stay until the garbage collector came.
        until = partial(_until_ready, self._advanced, due)
        kind = PacketIntake if session.audio.fmt.has_packets else SampleIntake
        self._intake = kind(session, max_session_s * 1000, meter, acked, until, pace)

    def hold(self, data: list[bytes], now_s: float) -> bool:
        """Keep audio until `take`; return False if it must be fed instead.

        Args:
            data: Messages that came together, none of them empty.
            now_s: The monotonic clock.
        """
        return self._intake.hold(data, now_s)

    def take(self) -> None:
        """Give the session the audio that is kept."""
        self._intake.take()

    def interrupt(self) -> None:
        """Drop the bytes of half a sample, because the next audio is from another socket."""
        self._intake.interrupt()
        self._session.audio.drop_carried()

    async def feed(self, data: bytes, now_s: float) -> bool:
        """Take audio, waiting for room.

        Args:
            data: The bytes of a message.
            now_s: The monotonic clock.

        Returns:
            Whether it was audio; False where packets are to come and this is none.

        Raises:
            MaxDuration: The stream is as long as it may be; its final events are in the outbox.
        """
        if not self.is_all_taken:
            try:
                is_all = await self._intake.feed(data, now_s)
            except NotAPacket as fault:
                self._intake.take()  # the warning comes behind those of earlier packets
                self._session.receive_no_packet(data, str(fault))
                self._due()
                return False
            self._due()
            if is_all:
                return True
        await self.finish()
        raise self._too_long()

    async def control(self, message: messages.Message, gap_cause: GapCause, sender: Sender) -> None:
        """Take a message that acts at its place in the stream, waiting for room.

        Args:
            message: A flush, gap, change of configuration or enrolment.
            gap_cause: The cause of a gap.
            sender: Who sent it.

        Raises:
            BadConfig: The configuration cannot be used.
            MaxDuration: The stream is as long as it may be.
        """
        session = self._session
        if self.is_all_taken:
            raise self._too_long()
        while not session.can_mark:
            await _until(self._advanced)
        self._intake.interrupt()
        self.controls += 1
        match message:
            case messages.Gap(ms=ms, samples=samples):
                session.receive_gap(ms, samples, gap_cause)
            case messages.Flush(id=flush_id):
                session.receive_flush(flush_id)
            case messages.Config(modules=modules):
                session.receive_config(modules)
            case messages.Enrol():
                session.receive_enrol(request_of(message, sender))
        self._pump()

    async def finish(self) -> None:
        """Take no more audio; return when the last final event is in the outbox."""
        if not self.is_all_taken:  # a drain may come while an end is on its way
            self.is_all_taken = True
            self._intake.finish()
            self._session.receive_end()
            self._pump()
        while not self._is_stopped and not self._session.ended:
            await _until(self._advanced)

    def advanced(self) -> None:
        """Take note that the session has moved on."""
        self._advanced.set()

    def stop(self) -> None:
        """Wake everything that waits for the session, for good."""
        self._is_stopped = True
        self._advanced.set()

    def _too_long(self) -> MaxDuration:
        return MaxDuration(
            f"the stream reached the limit of {self._max_session_s} s of audio; start a new one"
        )


async def _until(advanced: asyncio.Event) -> None:
    advanced.clear()
    await advanced.wait()


async def _until_ready(
    advanced: asyncio.Event, due: Callable[[], None], is_ready: Callable[[], bool]
) -> None:
    """Have the stream take what it has, and wait until a condition of the session is true."""
    # Only once: without an answer of the engine, nothing changes when the stream is advanced
    # again, and the loop would do nothing else.
    due()
    while not is_ready():
        await _until(advanced)
