"""One conversation with a server, shown: what `stream` and `mic` have in common."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from streamd import __version__
from streamd.audio.files import Gap
from streamd.cli.blocks import Feed
from streamd.cli.common import note
from streamd.cli.credentials import shown_to
from streamd.cli.raw import OPUS
from streamd.client import ConnectionLost, Event, connect
from streamd.client.pacing import MAX_AHEAD_MS, converse, stream_packets, stream_pcm
from streamd.view import View, dbfs

Blocks: TypeAlias = Iterable[bytes | Gap] | Feed


async def talk(
    url: str,
    audio: dict[str, Any],
    blocks: Blocks,
    view: View,
    modules: dict[str, Any] | None,
    *,
    key: str | None,
    realtime: bool,
    is_live: bool = False,
    message_ms: int | None = None,
) -> bool:
    """Stream blocks from `hello` to `bye`, every event into the view.

    Ctrl-C ends the audio, and the final events still come. A second one ends it at once. When the
    connection drops and when it is back, a note says so.

    Args:
        url: Of the server.
        audio: `hello.audio`.
        blocks: The audio, in this format; of Opus, each block is a packet.
        view: Shows the events.
        modules: `hello.modules`; None leaves the server's own.
        key: API key, checked; None for none.
        realtime: Pace the blocks as a microphone would.
        is_live: The blocks come at their own pace and cannot wait.
        message_ms: Audio in a message; None leaves it to `stream_pcm`.

    Returns:
        Whether there was a Ctrl-C.

    Raises:
        CannotConnect: Nobody answers, or nobody does any more.
        RefusedByServer: The server refused the stream.
    """
    client = f"streamd-cli/{__version__}"
    codec = audio.get("codec", "pcm_s16le")
    with shown_to(url, key):
        async with connect(url, audio=audio, modules=modules, client=client, key=key) as stream:
            interrupt = Interrupt(blocks.end if isinstance(blocks, Feed) else None, stream.abort)

            async def send() -> None:
                shown = _shown(blocks, view, interrupt, is_pcm=codec == "pcm_s16le")
                most_ms = None if is_live else MAX_AHEAD_MS
                if codec == OPUS:
                    await stream_packets(stream, shown, realtime=realtime, max_ahead_ms=most_ms)
                else:
                    await stream_pcm(
                        stream,
                        shown,
                        realtime=realtime,
                        message_ms=message_ms,
                        max_ahead_ms=most_ms,
                    )
                await stream.end()

            def show(event: Event) -> None:
                if (text := connection_note(event, stream.rate_hz)) is not None:
                    note(text)
                else:
                    view.event(event)

            with interrupt.caught():
                try:
                    await converse(stream, send(), show)
                except ConnectionLost:
                    if interrupt.count < 2:
                        raise
    return interrupt.count > 0


def connection_note(event: Event, rate_hz: int) -> str | None:
    """Say what an event of the client's own means, or return None for one of the server's."""
    match event:
        case {"type": "disconnected", "reason": reason}:
            return f"Disconnected: {reason}. Connecting again; press Ctrl-C twice to leave."
        case {"type": "reconnected", "resumed": True, "lost_samples": 0}:
            return "Connected again; nothing is lost."
        case {"type": "reconnected", "resumed": True, "lost_samples": lost}:
            return f"Connected again; {lost / rate_hz:.1f} s of audio are lost."
        case {"type": "reconnected", "first_sample": first}:
            return (
                "Connected again, to a new session of the server: its times count from "
                f"{first / rate_hz:.1f} s of the audio."
            )
    return None


class Interrupt:
    """Ctrl-C while a stream is open.

    Args:
        end: Ends the audio at its first result, for a source that does not end by itself.
        abort: Drops the connection at the second one.
    """

    def __init__(self, end: Callable[[], None] | None, abort: Callable[[], None]) -> None:
        self.count = 0
        self._end = end
        self._abort = abort

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Take Ctrl-C in place of Python, unless the parent process has it ignored."""
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            yield
            return
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._take)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    def _take(self) -> None:
        self.count += 1
        if self.count > 1:
            self._abort()
            return
        note("Ending; press Ctrl-C again to leave at once.")
        if self._end is not None:
            self._end()


async def _shown(
    blocks: Blocks, view: View, interrupt: Interrupt, *, is_pcm: bool
) -> AsyncIterator[bytes | Gap]:
    """The blocks up to a Ctrl-C, their level shown in passing."""
    async for block in blocks if isinstance(blocks, Feed) else _until(blocks, interrupt):
        if is_pcm and isinstance(block, bytes):
            view.level(dbfs(block))
        yield block


async def _until(blocks: Iterable[bytes | Gap], interrupt: Interrupt) -> AsyncIterator[bytes | Gap]:
    for block in blocks:
        if interrupt.count:
            return
        yield block
