"""Audio into a stream: at the pace of a microphone, or as fast as the server takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from typing import Any

from streamd.audio.files import Gap
from streamd.audio.opus_packet import packet_frames
from streamd.client.refusal import ConnectionLost, Event, RefusedByServer
from streamd.client.stream import Stream

MESSAGE_MS = 20
FAST_MESSAGE_MS = 200
MAX_AHEAD_MS = 30_000
"""Most audio that `stream_pcm` sends ahead of the last `ack`, so that a flush or an end does not
wait behind minutes of it in socket buffers."""


class Cutter:
    """Cuts blocks of any size into messages of one length, without drift at any rate.

    Message k ends at frame `floor(k · rate · message_ms / 1000)`, counted from the start, so a
    rate that has no whole number of frames in a message (11025 Hz) stays exact in the long run.
    """

    def __init__(self, rate_hz: int, frame_bytes: int, message_ms: int) -> None:
        self._rate_hz = rate_hz
        self._frame_bytes = frame_bytes
        self._message_ms = message_ms
        self._messages = 0
        self._held = bytearray()

    def push(self, block: bytes) -> Iterator[bytes]:
        """Take a block and yield the messages that it completes."""
        self._held += block
        while len(self._held) >= (size := self._next_bytes()):
            message = bytes(self._held[:size])
            del self._held[:size]
            self._messages += 1
            yield message

    def rest(self) -> bytes:
        """Return the audio that is left when no more blocks come."""
        rest, self._held = bytes(self._held), bytearray()
        return rest

    def _next_bytes(self) -> int:
        first, last = (
            k * self._rate_hz * self._message_ms // 1000
            for k in (self._messages, self._messages + 1)
        )
        return (last - first) * self._frame_bytes


def delay_s(samples: int, rate_hz: int, elapsed_s: float) -> float:
    """Return the seconds to wait before sending audio whose last frame is number `samples`.

    A microphone could not have given it before `samples / rate_hz`. Counted from the start and
    never from message to message, so that late wake-ups do not add up.
    """
    return max(0.0, samples / rate_hz - elapsed_s)


async def stream_pcm(
    stream: Stream,
    blocks: Iterable[bytes | Gap] | AsyncIterable[bytes | Gap],
    *,
    realtime: bool,
    message_ms: int | None = None,
    max_ahead_ms: int | None = MAX_AHEAD_MS,
) -> None:
    """Send blocks of PCM in the stream's own format, whole or cut anywhere; does not `end`.

    A gap becomes a `gap` message at its place.

    Args:
        stream: An open stream; it knows the rate and the size of a frame.
        blocks: Audio as it comes.
        realtime: Pace as a microphone would, in 20 ms messages. Otherwise as fast as TCP takes
            it.
        message_ms: Audio in a message; None takes 20 ms in real time and 200 ms otherwise.
        max_ahead_ms: Audio that may be ahead of the server's `ack`; None is for a source that
            cannot wait, whose oldest audio is dropped when the connection is lost for too long.
    """
    frame_bytes = stream.frame_bytes
    assert frame_bytes is not None, "packets go through stream_packets"
    message_ms = message_ms or (MESSAGE_MS if realtime else FAST_MESSAGE_MS)
    cutter = Cutter(stream.rate_hz, frame_bytes, message_ms)
    pacer = _Pacer(stream, realtime=realtime, max_ahead_ms=max_ahead_ms)

    async def send(message: bytes) -> None:
        await pacer.send(message, len(message) // frame_bytes)

    async for block in _each(blocks):
        if isinstance(block, Gap):
            await send(cutter.rest())
            await stream.gap(block.ms)
        else:
            for message in cutter.push(block):
                await send(message)
    await send(cutter.rest())


async def stream_packets(
    stream: Stream,
    packets: Iterable[bytes | Gap] | AsyncIterable[bytes | Gap],
    *,
    realtime: bool,
    max_ahead_ms: int | None = MAX_AHEAD_MS,
) -> None:
    """Send Opus packets, each as it is, in a stream whose codec is `opus`; does not `end`.

    Args:
        stream: An open stream.
        packets: Packets as they come, and gaps between them.
        realtime: Pace as a device would, that sends a packet when its last sample is recorded.
            Otherwise as fast as TCP takes them.
        max_ahead_ms: Audio that may be ahead of the server's `ack`; None as in `stream_pcm`.

    Raises:
        NotAPacket: One of them is none.
    """
    pacer = _Pacer(stream, realtime=realtime, max_ahead_ms=max_ahead_ms)
    async for packet in _each(packets):
        if isinstance(packet, Gap):
            await stream.gap(packet.ms)
        else:
            await pacer.send(packet, packet_frames(packet, stream.rate_hz))


class _Pacer:
    """Sends messages, none too early."""

    def __init__(self, stream: Stream, *, realtime: bool, max_ahead_ms: int | None) -> None:
        self._stream = stream
        self._realtime = realtime
        self._max_ahead_ms = max_ahead_ms
        self._now_s = asyncio.get_running_loop().time
        self._started_s = self._now_s()
        self._sent_before = stream.samples_sent

    async def send(self, message: bytes, frames: int) -> None:
        """Send a message of so many sample frames."""
        stream = self._stream
        if self._realtime:
            samples = stream.samples_sent - self._sent_before + frames
            elapsed_s = self._now_s() - self._started_s
            await asyncio.sleep(delay_s(samples, stream.rate_hz, elapsed_s))
        if self._max_ahead_ms is not None:
            await stream.room(self._max_ahead_ms * stream.rate_hz // 1000)
        await stream.send(message)


async def _each(
    blocks: Iterable[bytes | Gap] | AsyncIterable[bytes | Gap],
) -> AsyncIterator[bytes | Gap]:
    if isinstance(blocks, AsyncIterable):
        async for block in blocks:
            yield block
    else:
        for block in blocks:
            yield block


async def converse(
    stream: Stream, sending: Coroutine[Any, Any, None], on_event: Callable[[Event], None]
) -> None:
    """Run `sending` and pass every event to `on_event`, until the server has sent `bye`.

    The first failure of either side ends both and is raised as it is, not in a group.
    """

    async def read() -> None:
        async for event in stream:
            on_event(event)

    reader, sender = asyncio.create_task(read()), asyncio.create_task(sending)
    try:
        await asyncio.wait({reader, sender}, return_when=asyncio.FIRST_EXCEPTION)
        if sender.done() and isinstance(sender.exception(), RefusedByServer | ConnectionLost):
            await reader  # it has the `error` event that came before the close
        for task in (reader, sender):
            if task.done():
                task.result()
    finally:
        reader.cancel()
        sender.cancel()
        await asyncio.gather(reader, sender, return_exceptions=True)
