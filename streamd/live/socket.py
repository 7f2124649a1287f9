"""What a connection asks of a WebSocket, whatever library the transport builds on."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol


class Beat(enum.Enum):
    """What a client sends to keep a WebSocket alive."""

    PING = enum.auto()
    """The socket has answered it."""
    PONG = enum.auto()


class Socket(Protocol):
    """A WebSocket, as the transport gives it.

    Once the peer has left, the iteration ends, `send` raises `ConnectionError`, and everything else
    does nothing.
    """

    def __aiter__(self) -> AsyncIterator[str | bytes | Beat]:
        """Yield messages and beats until the peer closes or drops."""

    def on_audio(self, take: Callable[[list[bytes]], bool] | None) -> None:
        """Offer audio as it comes, while no message waits to be iterated over.

        Args:
            take: Gets binary messages, none of them empty; returns whether it took them, all or
                none. The others come by iteration, and with None all do.
        """

    def rest(self) -> None:
        """Leave what comes next in the kernel for a tick, because it is not urgent; a hint."""

    @property
    def is_clear(self) -> bool:
        """Return whether `send_now` may be called: all that was sent is on its way."""

    def send_now(self, texts: Sequence[str]) -> None:
        """Send without waiting, and without a turn of the loop; only while `is_clear`."""

    async def send(self, text: str) -> None:
        """Send, waiting while the peer's buffers are full."""

    async def close(self, code: int, reason: str) -> None:
        """Close."""

    def abort(self) -> None:
        """Drop the connection with what is unsent; a `send` that waits raises `ConnectionError`."""
