"""The files of a request, and the pieces of a body as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp.web import RequestPayloadError

from streamd.errors import BadInput, Stalled
from streamd.files.uploads import STALL_S

PIECE_BYTES = 1 << 16


class File:
    """A file of a request.

    Args:
        field: Name of its field; empty for the body itself.
        name: Its file name, or what messages call it.
        body: Its bytes, once.
        is_kept: Whether all of it is in memory.
    """

    def __init__(
        self, field: str, name: str, body: AsyncIterator[bytes], is_kept: bool = False
    ) -> None:
        self.field = field
        self.name = name
        self.body = body
        self.is_kept = is_kept
        self.held_bytes = 0
        """Bytes that `Form.hold` took for it."""


async def once(data: bytes) -> AsyncIterator[bytes]:
    """Yield bytes that are in memory, in pieces."""
    for start in range(0, len(data), PIECE_BYTES):
        yield data[start : start + PIECE_BYTES]


async def joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield bytes that are in memory, then those that come."""
    async for piece in once(first):
        yield piece
    async for piece in rest:
        yield piece


async def arriving(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the pieces of a body, unless it stops coming."""
    source = aiter(pieces)
    while True:
        try:
            async with patience():
                piece = await anext(source)
        except StopAsyncIteration:
            return
        yield piece


@asynccontextmanager
async def patience() -> AsyncIterator[None]:
    """Wait for a client in the block, but not for ever.

    Raises:
        Stalled: Nothing came.
        BadInput: What came is not coded as its headers say.
    """
    try:
        async with asyncio.timeout(STALL_S):
            yield
    except TimeoutError:
        raise Stalled(f"nothing came for {STALL_S:g} s; send it again") from None
    except RequestPayloadError:
        raise BadInput(
            "the body is not coded as its Content-Encoding or Transfer-Encoding says; send it "
            "without, or with gzip or deflate"
        ) from None
