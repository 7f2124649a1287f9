"""One conversation with a server, shown: what `stream` and `mic` have in common."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any, TypeAlias

from streamd import __version__
from streamd.client import connect
from streamd.pacing import converse, stream_pcm
from streamd.view import View, dbfs

Blocks: TypeAlias = Iterable[bytes] | AsyncIterable[bytes]


async def talk(
    url: str,
    audio: dict[str, Any],
    blocks: Blocks,
    view: View,
    modules: dict[str, Any] | None,
    *,
    realtime: bool,
) -> None:
    """Stream blocks from `hello` to `bye`, every event into the view.

    Raises:
        CannotConnect: nobody answers.
        RefusedByServer: the server refused the stream.
    """
    shown = metered(blocks, view) if audio.get("codec", "pcm_s16le") == "pcm_s16le" else blocks
    client = f"streamd-cli/{__version__}"
    async with connect(url, audio=audio, modules=modules, client=client) as stream:

        async def send() -> None:
            await stream_pcm(stream, shown, realtime=realtime)
            await stream.end()

        await converse(stream, send(), view.event)


def metered(blocks: Blocks, view: View) -> Blocks:
    """The same blocks, their level shown in passing; s16le only."""
    if isinstance(blocks, AsyncIterable):
        return _metered_async(blocks, view)
    return _metered(blocks, view)


def _metered(blocks: Iterable[bytes], view: View) -> Iterator[bytes]:
    for block in blocks:
        view.level(dbfs(block))
        yield block


async def _metered_async(blocks: AsyncIterable[bytes], view: View) -> AsyncIterator[bytes]:
    async for block in blocks:
        view.level(dbfs(block))
        yield block
