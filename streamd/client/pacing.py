"""Audio into a stream: at the pace of a microphone, or as fast as the server takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Iterator
from typing import Any

from streamd.audio.files import Gap
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
    message_ms = message_ms or (MESSAGE_MS if realtime else FAST_MESSAGE_MS)
    cutter = Cutter(stream.rate_hz, stream.frame_bytes, message_ms)
    now_s = asyncio.get_running_loop().time
    started_s = now_s()
    sent_before = stream.samples_sent

    async def send(message: bytes) -> None:
        if realtime:
            samples = stream.samples_sent - sent_before + len(message) // stream.frame_bytes
            await asyncio.sleep(delay_s(samples, stream.rate_hz, now_s() - started_s))
        if max_ahead_ms is not None:
            await stream.room(max_ahead_ms * stream.rate_hz // 1000)
        await stream.send(message)

    async def take(block: bytes | Gap) -> None:
        if isinstance(block, Gap):
            await send(cutter.rest())
            await stream.gap(block.ms)
            return
        for message in cutter.push(block):
            await send(message)

    if isinstance(blocks, AsyncIterable):
        async for block in blocks:
            await take(block)
    else:
        for block in blocks:
            await take(block)
    await send(cutter.rest())


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
