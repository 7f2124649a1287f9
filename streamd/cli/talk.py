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
from streamd.client import ConnectionLost, connect
from streamd.client.pacing import converse, stream_pcm
from streamd.view import View, dbfs

Blocks: TypeAlias = Iterable[bytes | Gap] | Feed


async def talk(
    url: str,
    audio: dict[str, Any],
    blocks: Blocks,
    view: View,
    modules: dict[str, Any] | None,
    *,
    realtime: bool,
    message_ms: int | None = None,
) -> bool:
    """Stream blocks from `hello` to `bye`, every event into the view.

    Ctrl-C ends the audio, and the final events still come. A second one ends it at once.

    Returns:
        Whether there was a Ctrl-C.

    Raises:
        CannotConnect: Nobody answers.
        RefusedByServer: The server refused the stream.
    """
    client = f"streamd-cli/{__version__}"
    is_pcm = audio.get("codec", "pcm_s16le") == "pcm_s16le"
    async with connect(url, audio=audio, modules=modules, client=client) as stream:
        interrupt = Interrupt(blocks.end if isinstance(blocks, Feed) else None, stream.abort)

        async def send() -> None:
            shown = _shown(blocks, view, interrupt, is_pcm=is_pcm)
            await stream_pcm(stream, shown, realtime=realtime, message_ms=message_ms)
            await stream.end()

        with interrupt.caught():
            try:
                await converse(stream, send(), view.event)
            except ConnectionLost:
                if interrupt.count < 2:
                    raise
    return interrupt.count > 0


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
